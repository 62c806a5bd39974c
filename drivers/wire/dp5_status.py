"""The 64 status bytes of an Amptek DP5, both ways. Source: DP5 Programmer's Guide, status packet 80/01 (byte table)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from drivers.errors import WireError
from drivers.wire.dp5 import STATUS_SIZE


class Device(IntEnum):
    """Byte 39: which member of the family answers."""

    DP5 = 0
    PX5 = 1
    DP5G = 2
    MCA8000D = 3
    TB5 = 4
    DP5X = 5


class ListSync(IntEnum):
    """Bits 0 and 1 of byte 43: what sets the list-mode timer."""

    INT = 0
    NOTIMETAG = 1
    EXT = 2
    FRAME = 3


_MCA_ENABLED = 0x20  # byte 35
_PRESET_TIME_REACHED = 0x80  # byte 35
_NOT_GATED = 0x08  # byte 35
_CONFIGURED = 0x02  # byte 35
_SLOW_LIST_CLOCK = 0x04  # byte 43: 1 us instead of 100 ns


@dataclass(frozen=True)
class Status:
    """What the box counts and how it is.

    fast, slow, general: counts since they were cleared, modulo 2^32.  accumulation, live, real: ms.  firmware, fpga:
    BCD major and minor, build apart.  high_voltage: 0.5 V.  detector: 0.1 K.  board: degC.  flags: bytes 35, 36, 38 and
    42.  tec: 1/758.5 V.  list_flags: byte 43.  rest: bytes 44 to 63 as they came.
    """

    fast: int = 0
    slow: int = 0
    general: int = 0
    accumulation: int = 0
    live: int = 0
    real: int = 0
    firmware: int = 0x69
    fpga: int = 0
    serial: int = 0
    high_voltage: int = 0
    detector: int = 0
    board: int = 0
    flags: tuple[int, int, int, int] = (0, 0, 0, 0)
    build: int = 0
    device: Device = Device.DP5
    tec: int = 0
    list_flags: int = 0
    rest: bytes = bytes(20)

    @property
    def enabled(self) -> bool:
        return bool(self.flags[0] & _MCA_ENABLED)

    @property
    def preset_reached(self) -> bool:
        return bool(self.flags[0] & _PRESET_TIME_REACHED)

    @property
    def list_sync(self) -> ListSync:
        return ListSync(self.list_flags & 0b11)

    @property
    def list_tick(self) -> float:
        """Seconds of one list-mode tick."""
        return 1e-6 if self.list_flags & _SLOW_LIST_CLOCK else 100e-9

    @property
    def version(self) -> tuple[int, int, int]:
        """Firmware as (major, minor, build)."""
        return self.firmware >> 4, self.firmware & 0x0F, self.build & 0x0F

    def encode(self) -> bytes:
        tenths, milliseconds = divmod(self.accumulation, 100)
        return b"".join(
            (
                *(count.to_bytes(4, "little") for count in (self.fast, self.slow, self.general)),
                bytes((milliseconds,)),
                tenths.to_bytes(3, "little"),
                self.live.to_bytes(4, "little"),
                self.real.to_bytes(4, "little"),
                bytes((self.firmware, self.fpga)),
                self.serial.to_bytes(4, "little"),
                self.high_voltage.to_bytes(2, "big", signed=True),
                self.detector.to_bytes(2, "big"),
                self.board.to_bytes(1, "big", signed=True),
                bytes((self.flags[0], self.flags[1], self.build, self.flags[2], self.device)),
                self.tec.to_bytes(2, "big"),
                bytes((self.flags[3], self.list_flags)),
                self.rest,
            )
        )


def flags(*, enabled: bool, preset_reached: bool) -> tuple[int, int, int, int]:
    """The flag bytes of a configured box that is not gated."""
    first = _CONFIGURED | _NOT_GATED
    return first | (_MCA_ENABLED if enabled else 0) | (_PRESET_TIME_REACHED if preset_reached else 0), 0, 0, 0


def list_flags(sync: ListSync, tick: float) -> int:
    """Byte 43 for a sync source and a tick of 100 ns or 1 us."""
    return sync | (_SLOW_LIST_CLOCK if tick > 500e-9 else 0)


def decode_status(data: bytes) -> Status:
    """The status in 64 bytes; raises WireError when they are not 64 or hold what no box sends."""
    if len(data) != STATUS_SIZE:
        raise WireError(f"a status of {len(data)} bytes; {STATUS_SIZE} are due")
    if data[12] > 99 or data[39] not in set(Device):
        raise WireError(f"a status with {data[12]} ms beyond the tenths and device {data[39]}")
    return Status(
        fast=int.from_bytes(data[0:4], "little"),
        slow=int.from_bytes(data[4:8], "little"),
        general=int.from_bytes(data[8:12], "little"),
        accumulation=data[12] + 100 * int.from_bytes(data[13:16], "little"),
        live=int.from_bytes(data[16:20], "little"),
        real=int.from_bytes(data[20:24], "little"),
        firmware=data[24],
        fpga=data[25],
        serial=int.from_bytes(data[26:30], "little"),
        high_voltage=int.from_bytes(data[30:32], "big", signed=True),
        detector=int.from_bytes(data[32:34], "big"),
        board=int.from_bytes(data[34:35], "big", signed=True),
        flags=(data[35], data[36], data[38], data[42]),
        build=data[37],
        device=Device(data[39]),
        tec=int.from_bytes(data[40:42], "big"),
        list_flags=data[43],
        rest=data[44:64],
    )
