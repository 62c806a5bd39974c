"""Amptek DP5 packets, both ways: requests, replies, acknowledgements, text configuration and spectra.

Source: Amptek DP5 Programmer's Guide, chapter 4 (framing, PIDs, acknowledge codes, 512-byte text limit, 520-byte
datagrams), held to a recorded conversation of a client that nobody here wrote. Status is in dp5_status, list mode in
dp5_list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

import numpy as np
from numpy.typing import NDArray

from drivers.errors import WireError

SYNC = b"\xf5\xfa"
DATAGRAM = 520  # longest UDP datagram; a longer packet comes in several
LONGEST_TEXT = 512  # of one text configuration packet
CHANNELS = (256, 512, 1024, 2048, 4096, 8192)
STATUS_SIZE = 64
CHANNEL_SIZE = 3  # 24-bit counters, least significant byte first

_HEADER = 6
_CHECKSUM = 2
_LONGEST_DATA = CHANNELS[-1] * CHANNEL_SIZE + STATUS_SIZE
_BOUND = 2 * (_HEADER + _LONGEST_DATA + _CHECKSUM)

Pid = tuple[int, int]


class Ack(IntEnum):
    """Second PID of an acknowledgement (first PID FF)."""

    OK = 0x00
    SYNC = 0x01
    PID = 0x02
    LENGTH = 0x03
    CHECKSUM = 0x04
    BAD_PARAMETER = 0x05
    BAD_HEX = 0x06
    UNRECOGNISED = 0x07
    FPGA = 0x08
    NO_ETHERNET = 0x09
    NO_SCOPE_DATA = 0x0A
    NO_PC5 = 0x0B
    OK_SHARING = 0x0C
    BUSY = 0x0D
    I2C = 0x0E
    OK_ADDRESS = 0x0F
    NOT_SUPPORTED = 0x10
    NO_CALIBRATION = 0x11


GARBLED = frozenset({Ack.SYNC, Ack.LENGTH, Ack.CHECKSUM})  # the box did not understand and did nothing
_EXPLAINED = frozenset({Ack.BAD_PARAMETER, Ack.BAD_HEX, Ack.UNRECOGNISED, Ack.OK_ADDRESS})  # these carry data


class Repeat(Enum):
    """What happens when a message is sent twice."""

    SAFE = "safe"  # nothing; it may be asked again
    CONSUMING = "consuming"  # what it answers is gone from the box
    ACTION = "action"  # the box does it again


class BadPacket(WireError):
    """Bytes outside the grammar, with the code by which the box says so."""

    def __init__(self, what: str, ack: Ack) -> None:
        super().__init__(what)
        self.ack = ack


@dataclass(frozen=True)
class Packet:
    """One packet of either direction."""

    pid: Pid
    data: bytes = b""

    def encode(self) -> bytes:
        """The bytes on the wire; the 16-bit sum of all bytes before the checksum, and the checksum, add up to 0."""
        if (fault := _fault(self.pid, len(self.data))) is not None:
            raise ValueError(f"packet {_show(self.pid)}: {fault.what}")
        body = SYNC + bytes(self.pid) + len(self.data).to_bytes(2, "big") + self.data
        return body + (-sum(body) & 0xFFFF).to_bytes(2, "big")


@dataclass(frozen=True)
class Request:
    """A question to the box: its PID, what it may be answered with, and whether it may be sent twice."""

    pid: Pid
    repeat: Repeat
    replies: frozenset[Pid]

    def packet(self, data: bytes = b"") -> Packet:
        return Packet(self.pid, data)


ACKED = frozenset({(0xFF, Ack.OK), (0xFF, Ack.OK_SHARING)})
STATUS_REPLY = (0x80, 0x01)
SPECTRUM_REPLIES = {(0x81, 1 + 2 * i): n for i, n in enumerate(CHANNELS)}
SPECTRUM_STATUS_REPLIES = {(0x81, 2 + 2 * i): n for i, n in enumerate(CHANNELS)}
TEXT_REPLY = (0x82, 0x07)
LIST_REPLY = (0x82, 0x0A)
LIST_FULL_REPLY = (0x82, 0x0B)  # records were lost before this answer
ECHO_REPLY = (0x8F, 0x7F)

STATUS = Request((0x01, 0x01), Repeat.SAFE, frozenset({STATUS_REPLY}))
SPECTRUM = Request((0x02, 0x01), Repeat.SAFE, frozenset(SPECTRUM_REPLIES))
SPECTRUM_CLEAR = Request((0x02, 0x02), Repeat.CONSUMING, frozenset(SPECTRUM_REPLIES))
SPECTRUM_STATUS = Request((0x02, 0x03), Repeat.SAFE, frozenset(SPECTRUM_STATUS_REPLIES))
SPECTRUM_STATUS_CLEAR = Request((0x02, 0x04), Repeat.CONSUMING, frozenset(SPECTRUM_STATUS_REPLIES))
LIST = Request((0x03, 0x09), Repeat.CONSUMING, frozenset({LIST_REPLY, LIST_FULL_REPLY}))
CONFIGURE = Request((0x20, 0x02), Repeat.ACTION, ACKED)
READ_BACK = Request((0x20, 0x03), Repeat.SAFE, frozenset({TEXT_REPLY}))
CLEAR = Request((0xF0, 0x01), Repeat.ACTION, ACKED)
ENABLE = Request((0xF0, 0x02), Repeat.ACTION, ACKED)
DISABLE = Request((0xF0, 0x03), Repeat.SAFE, ACKED)
CLEAR_LIST_TIMER = Request((0xF0, 0x16), Repeat.ACTION, ACKED)
KEEP_ALIVE = Request((0xF0, 0x21), Repeat.SAFE, ACKED)
ECHO = Request((0xF1, 0x7F), Repeat.SAFE, frozenset({ECHO_REPLY}))

REQUESTS = {
    request.pid: request
    for request in (
        STATUS,
        SPECTRUM,
        SPECTRUM_CLEAR,
        SPECTRUM_STATUS,
        SPECTRUM_STATUS_CLEAR,
        LIST,
        CONFIGURE,
        READ_BACK,
        CLEAR,
        ENABLE,
        DISABLE,
        CLEAR_LIST_TIMER,
        KEEP_ALIVE,
        ECHO,
    )
}
_TEXT = range(1, LONGEST_TEXT + 1)
_LENGTHS: dict[Pid, Iterable[int]] = {
    **dict.fromkeys(REQUESTS, (0,)),
    **{pid: (n * CHANNEL_SIZE,) for pid, n in SPECTRUM_REPLIES.items()},
    **{pid: (n * CHANNEL_SIZE + STATUS_SIZE,) for pid, n in SPECTRUM_STATUS_REPLIES.items()},
    **{(0xFF, ack): range(LONGEST_TEXT + 1) if ack in _EXPLAINED else (0,) for ack in Ack},
    CONFIGURE.pid: _TEXT,
    READ_BACK.pid: _TEXT,
    TEXT_REPLY: _TEXT,
    ECHO.pid: range(LONGEST_TEXT + 1),
    ECHO_REPLY: range(LONGEST_TEXT + 1),
    STATUS_REPLY: (STATUS_SIZE,),
    LIST_REPLY: range(0, _LONGEST_DATA + 1, 4),
    LIST_FULL_REPLY: range(0, _LONGEST_DATA + 1, 4),
}


class Splitter:
    """Cuts the bytes of either direction into packets; datagrams of one packet are joined by its length."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a packet that is not whole yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take bytes in any portions."""
        if len(self._buffer) + len(data) > _BOUND:
            self._buffer.clear()
            raise BadPacket(f"more than {_BOUND} bytes came without a whole packet", Ack.LENGTH)
        self._buffer += data

    def next(self) -> Packet | None:
        """The next whole packet, or None until more bytes come; raises BadPacket."""
        head = bytes(self._buffer[:_HEADER])
        if not SYNC.startswith(head[:2]) and not head.startswith(SYNC):
            raise BadPacket(f"a packet starts with {head[:2].hex()}, not with {SYNC.hex()}", Ack.SYNC)
        if len(head) < _HEADER:
            return None
        pid, length = (head[2], head[3]), int.from_bytes(head[4:6], "big")
        if (fault := _fault(pid, length)) is not None:
            raise fault
        whole = _HEADER + length + _CHECKSUM
        if len(self._buffer) < whole:
            return None
        body, checksum = self._buffer[: whole - _CHECKSUM], self._buffer[whole - _CHECKSUM : whole]
        if (sum(body) + int.from_bytes(checksum, "big")) & 0xFFFF:
            raise BadPacket(f"the checksum of packet {_show(pid)} is wrong", Ack.CHECKSUM)
        follows = bytes(self._buffer[whole : whole + 2])
        if not SYNC.startswith(follows):
            # a length that noise made shorter could pass the sum; what follows it then is no packet
            raise BadPacket(f"packet {_show(pid)} is followed by {follows.hex()}", Ack.SYNC)
        del self._buffer[:whole]
        return Packet(pid, bytes(body[_HEADER:]))

    def reset(self) -> None:
        """Forget what is half read."""
        self._buffer.clear()


def datagrams(packet: bytes) -> list[bytes]:
    """An encoded packet as the box sends it over UDP: pieces of at most 520 bytes."""
    return [packet[at : at + DATAGRAM] for at in range(0, len(packet), DATAGRAM)]


def encode_text(values: Mapping[str, str]) -> list[bytes]:
    """`NAME=VALUE;` commands in as few packets of at most 512 bytes as hold them, in their order."""
    return _joined([_checked(f"{name}={value};") for name, value in values.items()])


def encode_names(names: Iterable[str]) -> list[bytes]:
    """`NAME;` read-back questions in as few packets of at most 512 bytes as hold them."""
    return _joined([_checked(f"{name};") for name in names])


def decode_text(data: bytes) -> dict[str, str]:
    """The `NAME=VALUE;` commands of a text packet, in their order; raises WireError on anything else."""
    found: dict[str, str] = {}
    for command in _commands(data):
        name, equals, value = command.partition("=")
        if not equals:
            raise WireError(f'text command "{command}" has no value')
        found[name] = value
    return found


def decode_names(data: bytes) -> list[str]:
    """The `NAME;` questions of a read-back packet; raises WireError on anything else."""
    names = _commands(data)
    if any("=" in name for name in names):
        raise WireError(f"read-back asks {names}, which are not all names")
    return names


def encode_spectrum(counts: NDArray[np.int64]) -> bytes:
    """Channel counters as 24-bit numbers, least significant byte first (the counters wrap at 2^24)."""
    return (counts & 0xFFFFFF).astype("<u4").view(np.uint8).reshape(-1, 4)[:, :CHANNEL_SIZE].tobytes()


def decode_spectrum(data: bytes) -> NDArray[np.int64]:
    """Counts per channel from 24-bit numbers, least significant byte first."""
    digits = np.frombuffer(data, dtype=np.uint8).reshape(-1, CHANNEL_SIZE).astype(np.int64)
    return digits[:, 0] | digits[:, 1] << 8 | digits[:, 2] << 16


_COMMAND = re.compile(r"[A-Z][A-Z0-9]{3}(=[A-Z0-9.+\-?]*)?;")  # no lower case, no white space


def _checked(command: str) -> str:
    if not _COMMAND.fullmatch(command):
        raise ValueError(f'"{command}" is no DP5 text command')
    return command


def _commands(data: bytes) -> list[str]:
    text = data.decode("latin-1")
    commands = [match[0] for match in _COMMAND.finditer(text)]
    if "".join(commands) != text or not commands:
        raise WireError(f'text "{text[:40]}" is no row of DP5 commands')
    return [command.rstrip(";") for command in commands]


def _joined(commands: list[str]) -> list[bytes]:
    packets = [""]
    for command in commands:
        if len(packets[-1]) + len(command) > LONGEST_TEXT:
            packets.append("")
        packets[-1] += command
    return [packet.encode("ascii") for packet in packets if packet]


def _fault(pid: Pid, length: int) -> BadPacket | None:
    if pid not in _LENGTHS:
        return BadPacket(f"there is no packet {_show(pid)}", Ack.PID)
    if length not in _LENGTHS[pid]:
        return BadPacket(f"packet {_show(pid)} cannot hold {length} bytes", Ack.LENGTH)
    return None


def _show(pid: Pid) -> str:
    return f"{pid[0]:02X}/{pid[1]:02X}"
