"""List-mode records of an Amptek DP5, both ways, and the time axis they tell.

A record is 32 bits, most significant byte first.
Event: bit 31 = 0, bits 29-16 amplitude, bits 15-0 low part of the timer.
Time (SYNC=INT): bits 31-30 = 10, then bits 45-16 of the timer.
Frame (SYNC=FRAME): bits 31-30 = 11, bits 29-14 frame number, bits 13-0 bits 29-16 of the timer.
Source: the layout as a client nobody here wrote reads it from real boxes (docs/decisions/0003-dp5-list-mode.md).
`assumed`: bit 30 of an event is 0; an edge adds one to the frame number, sets the timer to 0 and leaves a frame record;
a frame record comes each time the low part overflows; the amplitude is the channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import WireError

LOW_BITS = 16  # of the timer, in an event record
UPPER_BITS = 14  # of the timer, in a frame record
FRAME_BITS = 16

_LOW = (1 << LOW_BITS) - 1
_UPPER = (1 << UPPER_BITS) - 1
_FRAME = (1 << FRAME_BITS) - 1
_AMPLITUDE = (1 << 14) - 1
_TIMER = (1 << 30) - 1

Words = NDArray[np.uint32]


@dataclass(frozen=True)
class Records:
    """Events on their time axis: number of their frame (from 1), ticks since its edge, channel; arrays (n,)."""

    frames: NDArray[np.int64]
    ticks: NDArray[np.int64]
    channels: NDArray[np.uint16]


def encode_words(words: Words) -> bytes:
    """Records as the box sends them: big-endian words of 32 bits."""
    return words.astype(">u4").tobytes()


def decode_words(data: bytes) -> Words:
    """The records in an answer, (n,); raises WireError where bytes are missing."""
    if len(data) % 4:
        raise WireError(f"list data of {len(data)} bytes is no row of 32-bit records")
    return np.frombuffer(data, dtype=">u4").astype(np.uint32)


def event_words(ticks: NDArray[np.int64], channels: NDArray[np.int64]) -> Words:
    """Event records; only the low 16 bits of the ticks fit."""
    return ((channels & _AMPLITUDE) << LOW_BITS | (ticks & _LOW)).astype(np.uint32)


def time_words(overflows: NDArray[np.int64]) -> Words:
    """Time records of SYNC=INT: how often the low 16 bits have overflowed."""
    return (0b10 << 30 | (overflows & _TIMER)).astype(np.uint32)


def frame_words(frame: int, overflows: NDArray[np.int64]) -> Words:
    """Frame records of SYNC=FRAME: frame number, and how often the low 16 bits have overflowed in it (modulo 2^14)."""
    return (0b11 << 30 | (frame & _FRAME) << UPPER_BITS | (overflows & _UPPER)).astype(np.uint32)


class Timeline:
    """Reads the records of SYNC=FRAME in the order they came and gives every event its frame and its full time.

    Starts at frame 0, as a cleared list timer does. What comes before the first edge has no place and is left out. The
    timer's wrap at 2^30 ticks is unfolded.
    """

    def __init__(self) -> None:
        self._frame = 0
        self._upper = 0
        self._wraps = 0
        self._latest = -1

    @property
    def frame(self) -> int:
        """Edges seen since the list timer was cleared."""
        return self._frame

    def read(self, words: Words) -> Records:
        """The events among the records; raises WireError when they contradict each other (some were lost)."""
        timed = words >> 31 == 1
        if np.any(words >> 30 == 0b10) or np.any(words >> 30 == 0b01):
            raise WireError("list data holds records that SYNC=FRAME does not make")
        marks = words[timed].astype(np.int64)
        frames = np.concatenate(([self._frame], marks >> UPPER_BITS & _FRAME))
        upper = np.concatenate(([self._upper], marks & _UPPER))
        step = np.diff(frames) & _FRAME
        if np.any(step > 1):
            raise WireError("list data skips a frame")
        if np.any(upper[1:][step == 1] != 0):
            raise WireError("a frame in the list data does not start at its sync edge")
        if np.any(np.diff(upper)[(step == 0) & (frames[1:] > 0)] & _UPPER != 1):
            raise WireError("list data repeats or lacks an overflow of its timer")
        wraps = self._unfold(step, upper)
        which = np.cumsum(timed)[~timed]  # the mark each event stands after
        ticks = (wraps[which] << UPPER_BITS | upper[which]) << LOW_BITS | (words[~timed].astype(np.int64) & _LOW)
        channels = (words[~timed] >> LOW_BITS & _AMPLITUDE).astype(np.uint16)
        placed = frames[which] > 0
        records = Records(frames[which][placed], ticks[placed], channels[placed])
        self._check_order(records)
        self._frame, self._upper, self._wraps = int(frames[-1]), int(upper[-1]), int(wraps[-1])
        return records

    def _unfold(self, step: NDArray[np.int64], upper: NDArray[np.int64]) -> NDArray[np.int64]:
        wrapped = np.concatenate(([self._wraps], (np.diff(upper) < 0) & (step == 0))).cumsum()
        at_edge = np.where(np.concatenate(([0], step)) == 1, wrapped, 0)
        return np.asarray(wrapped - np.maximum.accumulate(at_edge), dtype=np.int64)

    def _check_order(self, records: Records) -> None:
        if not len(records.ticks):
            return
        # no two events share a tick: the slow channel is busy for many of them
        before = np.concatenate(([self._latest if records.frames[0] == self._frame else -1], records.ticks))
        same = np.concatenate(([True], np.diff(records.frames) == 0))
        if np.any((np.diff(before) <= 0) & same):
            raise WireError("list data repeats or runs backwards in time")
        self._latest = int(records.ticks[-1])
