"""The X-ray detector: events with their time in the frame, spectra, dead time (Amptek DP5 family)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.eds_line import Dp5Line
from drivers.eds_settings import EdsSettings, ranges
from drivers.errors import DeviceError, WireError
from drivers.interlocks import Guard
from drivers.limits import Limits
from drivers.links.base import Link, Wait
from drivers.wire import dp5
from drivers.wire.dp5 import Packet
from drivers.wire.dp5_list import Timeline, Words, decode_words
from drivers.wire.dp5_status import Device, ListSync, Status, decode_status

__all__ = ["Eds", "EdsSettings", "Events", "Tally", "ranges"]

TICK = 100e-9  # s of the list-mode timer (CLKL=100)
LIST_MODE_SINCE = (6, 6, 5)  # firmware that brought CLKL and SYNC (maker's command list)
FAMILY = (Device.DP5, Device.PX5, Device.DP5G, Device.DP5X)  # those with a fast and a slow channel
LAST_READS = 16  # list reads after the end; one empties the FIFO
NO_WORDS: Words = np.empty(0, dtype=np.uint32)
SAME = 1e-4  # relative; a number read back may be written with other digits, not be another number


@dataclass(frozen=True)
class Events:
    """X-rays of the armed frame, in order: times, s since the frame began, and channels; arrays (n,)."""

    times: NDArray[np.float64]
    channels: NDArray[np.uint16]


@dataclass(frozen=True)
class Tally:
    """What an armed exposure amounts to.

    fast, slow: pulses counted by the fast and by the slow channel.  full: events are missing, because the box's FIFO
    overflowed or an answer was lost; the pass is invalid.  synced: the frame's edge came; without it no event has a
    place.  rest: events still in the box at the end; they follow those already read.
    """

    exposure_id: str
    fast: int
    slow: int
    full: bool
    synced: bool
    rest: Events


class Eds:
    """A DP5 in list mode, whose timer starts at the edge that begins a frame (docs/decisions/0003-dp5-list-mode.md).

    sync_latency: s, of the wire that brings that edge to its sync input.
    """

    Settings = EdsSettings

    def __init__(
        self,
        link: Link,
        settings: EdsSettings,
        *,
        sync_latency: float,
        limits: Limits,
        guard: Guard,
        wait: Wait,
        name: str = "eds",
    ) -> None:
        self.name = name
        self._link = link
        self.settings = settings
        self._sync_latency = sync_latency
        self._limits = limits
        self._guard = guard
        self._wait = wait
        self._line = Dp5Line(link, name)
        self._peaking_time = settings.peaking_time
        self._exposure_id = ""
        self._timeline = Timeline()
        self._short = False

    def open(self) -> None:
        """See that a DP5 with list mode answers, stop it and bring it to the rig's settings.

        Raises LinkError, WireError, DeviceError.
        """
        status = self._status("open")
        if status.device not in FAMILY or status.version < LIST_MODE_SINCE:
            version = ".".join(map(str, status.version))
            raise self._no(
                "open", f"found a {status.device.name} with firmware {version}, which has no list mode we know"
            )
        self._line.ask("open", dp5.DISABLE)
        self._set_up("open", self.settings.peaking_time)

    def configure(self, peaking_time: float) -> None:
        """Bring the box to the rig's settings with another peaking time, and prove it by reading it back.

        peaking_time: s, within the rig's limits.  Raises LimitError, InterlockError, LinkError, WireError, DeviceError.
        """
        self._limits.check(self.name, "configure", peaking_time=peaking_time)
        self._guard(f"{self.name}.configure")
        self._line.ask("configure", dp5.DISABLE)
        self._set_up("configure", peaking_time)

    def arm(self, exposure_id: str) -> None:
        """Forget all counts and events and wait, counting, for the edge that begins the frame.

        Raises InterlockError, LinkError, WireError, DeviceError.
        """
        self._guard(f"{self.name}.arm")
        for request in (dp5.DISABLE, dp5.CLEAR, dp5.CLEAR_LIST_TIMER):
            self._line.ask("arm", request)
        self._short = False
        deque(self._drained("arm"), maxlen=0)  # of the frame before; what was lost of it does not matter
        self._exposure_id, self._timeline, self._short = exposure_id, Timeline(), False
        status = self._status("arm")
        if status.enabled or status.slow or status.list_sync is not ListSync.FRAME or status.list_tick != TICK:
            raise self._no("arm", f"is not clear and waiting for a frame (SYNC={status.list_sync.name})")
        self._line.ask("arm", dp5.ENABLE)

    def read(self) -> Events:
        """Events of the armed frame since the last read; none before its edge.

        Ask often: the FIFO holds about a thousand records, and what does not fit is lost (`Tally.full`). After a loss
        no more events are handed out, for their times cannot be told.  A lost answer is lost in the box too, so nothing
        is asked twice.  Raises LinkError, WireError, DeviceError.
        """
        return self._events(self._take("read"))

    def finish(self) -> Tally:
        """Stop counting and add up what the armed exposure gave. Raises LinkError, WireError, DeviceError."""
        self._line.ask("finish", dp5.DISABLE)
        parts = [self._events(words) for words in self._drained("finish")]
        status = self._status("finish")
        return Tally(
            exposure_id=self._exposure_id,
            fast=status.fast,
            slow=status.slow,
            full=self._short,
            synced=self._timeline.frame == 1,
            rest=Events(
                np.concatenate([part.times for part in parts]), np.concatenate([part.channels for part in parts])
            ),
        )

    def spectrum(self) -> NDArray[np.int64]:
        """Counts per channel since they were cleared, (channels,); they stay in the box."""
        return self._counts(self._line.ask("spectrum", dp5.SPECTRUM), dp5.SPECTRUM_REPLIES)

    def take_spectrum(self) -> tuple[NDArray[np.int64], float]:
        """Counts per channel, (channels,), with the dead fraction at the same instant; both start again from zero.

        An answer that is lost is lost in the box too: it is never asked twice.
        """
        reply = self._line.ask("take_spectrum", dp5.SPECTRUM_STATUS_CLEAR)
        status = decode_status(reply.data[-dp5.STATUS_SIZE :])
        counts = self._counts(Packet(reply.pid, reply.data[: -dp5.STATUS_SIZE]), dp5.SPECTRUM_STATUS_REPLIES)
        return counts, dead_fraction(status.fast, status.slow)

    def dead_fraction(self) -> float:
        """Part of the pulses that the slow channel lost, 0 to 1, since the counts were cleared."""
        status = self._status("dead_fraction")
        return dead_fraction(status.fast, status.slow)

    def energies(self) -> NDArray[np.float64]:
        """Energy of each channel, eV, by the rig's calibration; (channels,)."""
        channels = np.arange(self.settings.channels, dtype=np.float64)
        return self.settings.offset + self.settings.ev_per_channel * channels

    def status(self) -> dict[str, float | str | bool]:
        """Counts, times and health, for the record."""
        status = self._status("status")
        return {
            "exposure": self._exposure_id,
            "enabled": status.enabled,
            "fast": status.fast,
            "slow": status.slow,
            "dead_fraction": dead_fraction(status.fast, status.slow),
            "real_time": status.real * 1e-3,
            "accumulation_time": status.accumulation * 1e-3,
            "peaking_time": self._peaking_time,
            "detector_temperature": status.detector * 0.1,
        }

    def make_safe(self) -> None:
        """Stop counting; nothing here touches the sample."""
        self._line.ask("make_safe", dp5.DISABLE)

    def close(self) -> None:
        """Close the line; the box goes on as it is."""
        self._link.close()

    # ------------------------------------------------------------------------------------------------------------------

    def _set_up(self, action: str, peaking_time: float) -> None:
        asked = self._text(peaking_time)
        for data in dp5.encode_text(asked):
            self._line.ask(action, dp5.CONFIGURE, data)
        found: dict[str, str] = {}
        for data in dp5.encode_names(asked):
            found |= dp5.decode_text(self._line.ask(action, dp5.READ_BACK, data).data)
        for name, value in asked.items():
            if not _same(value, found.get(name, "nothing")):
                raise self._no(
                    action,
                    f"asked {name}={value}, but the box took {found.get(name, 'nothing')}",
                    "Choose a value the box has.",
                )
        self._peaking_time = peaking_time

    def _text(self, peaking_time: float) -> dict[str, str]:
        settings = self.settings
        return {
            "MCAC": f"{settings.channels}",
            "TPEA": f"{peaking_time * 1e6:.3f}",
            "GAIN": f"{settings.gain:.3f}",
            "TFLA": f"{settings.flat_top * 1e6:.3f}",
            "TPFA": f"{settings.fast_dead_time * 1e9:.0f}",
            "PURE": "ON",
            "MCAS": "NORM",
            "THSL": f"{100.0 * settings.slow_threshold / settings.full_scale:.3f}",  # % of full scale
            "THFA": f"{512.0 * settings.fast_threshold / settings.full_scale:.2f}",  # 512ths of full scale (assumed)
            "TLLD": "OFF",
            "PRET": "OFF",
            "PRER": "OFF",
            "PREC": "OFF",
            "GATE": "OFF",
            "SYNC": "FRAME",
            "CLKL": "100",
        }

    def _take(self, action: str) -> Words:
        complete = not self._short
        self._short = True  # until the answer is here
        reply = self._line.ask(action, dp5.LIST)
        self._short = not complete or reply.pid == dp5.LIST_FULL_REPLY
        return decode_words(reply.data) if complete else NO_WORDS

    def _drained(self, action: str) -> Iterator[Words]:
        for _ in range(LAST_READS):
            words = self._take(action)
            yield words
            if not words.size:
                return
        raise self._no(action, "list data keeps coming although counting is off")

    def _events(self, words: Words) -> Events:
        try:
            records = self._timeline.read(words)
            if np.any(records.channels >= self.settings.channels):
                raise WireError("an event lies beyond the last channel")
        except WireError as error:
            self._short = True
            raise error.at(self.name, "read") from None
        if self._timeline.frame > 1:
            raise self._no("read", "heard more than one frame begin since it was armed", "Arm it before each frame.")
        # a photon is recorded when its pulse has peaked; the middle of the tick is the best guess
        late = self._peaking_time + self.settings.flat_top - self._sync_latency
        times: NDArray[np.float64] = (records.ticks.astype(np.float64) + 0.5) * TICK - late
        return Events(times, records.channels)

    def _status(self, action: str) -> Status:
        try:
            return decode_status(self._line.ask(action, dp5.STATUS).data)
        except WireError as error:
            raise error.at(self.name, action) from None

    def _counts(self, reply: Packet, kinds: dict[dp5.Pid, int]) -> NDArray[np.int64]:
        if kinds[reply.pid] != self.settings.channels:
            raise WireError(
                f"sent {kinds[reply.pid]} channels; {self.settings.channels} are set",
                device=self.name,
                action="spectrum",
            )
        return dp5.decode_spectrum(reply.data)

    def _no(self, action: str, what: str, way_out: str = "") -> DeviceError:
        return DeviceError(what, device=self.name, action=action, way_out=way_out)


def dead_fraction(fast: int, slow: int) -> float:
    """Part of the pulses the slow channel lost, 1 - slow / fast, never below 0 (DP5 Programmer's Guide, status)."""
    return max(0.0, 1.0 - slow / fast) if fast else 0.0


def _same(asked: str, found: str) -> bool:
    try:
        return math.isclose(float(asked), float(found), rel_tol=SAME)
    except ValueError:
        return asked == found
