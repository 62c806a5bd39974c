"""From photons to counts inside a DP5: fast and slow channel, pile-up, dead time, and the list-mode FIFO."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.wire.dp5_list import FRAME_BITS, LOW_BITS, Words, event_words, frame_words, time_words

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Shaping:
    """How pulses are shaped and selected: peaking, flat, fast in s; thresholds and channel width in eV."""

    peaking: float
    flat: float
    fast: float
    slow_threshold: float
    fast_threshold: float
    channel_width: float
    channels: int
    lowest_channel: int

    @property
    def delay(self) -> float:
        """From the photon to its peak, when it is recorded, s."""
        return self.peaking + self.flat

    @property
    def dead_time(self) -> float:
        """How long a pulse keeps the slow channel busy, s: the width of a trapezoid."""
        return 2.0 * self.peaking + self.flat


@dataclass(frozen=True)
class Pulses:
    """What came out of the shapers: times the fast channel fired, and time and channel of each recorded event."""

    fast: Times
    times: Times
    channels: NDArray[np.int64]


class PulseProcessor:
    """Shapes photons in portions; how they are portioned changes nothing.

    Photons closer than the fast pulse width are one pulse of the summed energy (pile-up). The slow channel is
    paralyzable: a pulse is recorded when none came within the dead time before it, so the output rate is
    rate * exp(-rate * dead time) (Knoll, Radiation Detection and Measurement, 4th ed., section 4.VII).
    """

    def __init__(self) -> None:
        self._times: Times = np.empty(0)
        self._energies: Times = np.empty(0)
        self._busy_since = -np.inf

    def process(self, times: Times, energies: Times, now: float, shaping: Shaping) -> Pulses:
        """What is recorded until `now`.

        times: s, ascending, later than those given before, up to `now`.  energies: eV deposited.
        """
        times = np.concatenate((self._times, times))
        energies = np.concatenate((self._energies, energies))
        starts = np.flatnonzero(np.diff(times, prepend=-np.inf) > shaping.fast)
        if not len(starts):
            return Pulses(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64))
        ends = np.append(starts[1:], len(times))
        ready = int(np.searchsorted(times[ends - 1], now - max(shaping.delay, shaping.fast), side="right"))
        begin, energy = times[starts[:ready]], np.add.reduceat(energies, starts)[:ready]
        kept = int(starts[ready]) if ready < len(starts) else len(times)
        self._times, self._energies = times[kept:], energies[kept:]
        seen = energy >= min(shaping.slow_threshold, shaping.fast_threshold)
        begin, energy = begin[seen], energy[seen]
        free = np.diff(begin, prepend=self._busy_since) > shaping.dead_time
        if len(begin):
            self._busy_since = float(begin[-1])
        channel = np.rint(energy / shaping.channel_width).astype(np.int64)
        recorded = free & (energy >= shaping.slow_threshold)
        recorded &= (channel >= shaping.lowest_channel) & (channel < shaping.channels)
        return Pulses(begin[energy >= shaping.fast_threshold], begin[recorded] + shaping.delay, channel[recorded])


class ListFifo:
    """The list-mode timer, which never stands still, and the FIFO behind it."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._words: list[Words] = []
        self._held = 0
        self._lost = False
        self._zero = 0.0
        self._frame = 0
        self.tick = 100e-9  # s
        self.framed = False  # SYNC=FRAME

    def edge(self, time: float) -> None:
        """The sync input rose: the next frame begins."""
        self._frame = (self._frame + 1) % (1 << FRAME_BITS)
        self._restart(time)

    def clear_timer(self, time: float) -> None:
        """Set timer and frame number to 0, which leaves a record of it."""
        self._frame = 0
        self._restart(time)

    def record(self, since: float, until: float, times: Times, channels: NDArray[np.int64]) -> None:
        """Put the events later than `since` up to `until`, and the timer's overflows between them, in order."""
        overflows = np.arange(self._overflows(since) + 1, self._overflows(until) + 1)
        if len(overflows) + len(times) == 0:
            return
        ticks = np.floor((times - self._zero) / self.tick).astype(np.int64)
        marks = frame_words(self._frame, overflows) if self.framed else time_words(overflows)
        words = np.concatenate((marks, event_words(ticks, channels)))
        order = np.argsort(np.concatenate((overflows << LOW_BITS, ticks)), kind="stable")
        self._put(words[order])

    def take(self) -> tuple[Words, bool]:
        """All that is held, and whether something was lost since the last time."""
        words = np.concatenate((*self._words, np.empty(0, dtype=np.uint32)))
        lost = self._lost
        self._words, self._held, self._lost = [], 0, False
        return words, lost

    def _restart(self, time: float) -> None:
        self._zero = time
        zero = np.zeros(1, dtype=np.int64)
        self._put(frame_words(self._frame, zero) if self.framed else time_words(zero))

    def _overflows(self, time: float) -> int:
        return int(np.floor((time - self._zero) / self.tick)) >> LOW_BITS

    def _put(self, words: Words) -> None:
        room = self._depth - self._held
        self._lost = self._lost or len(words) > room
        if room > 0:
            self._words.append(words[:room])
            self._held += min(len(words), room)
