"""What a simulated camera exposes, keeps and streams: a message is made when the host takes it, not before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock
from drivers.links.messages import Message
from drivers.wire import simplon_legacy, simplon_stream
from drivers.wire.packed import Codec, Dtype, nodata, pack
from drivers.wire.simplon_frames import CHANNEL, Streamed, StreamEnd, StreamImage, StreamStart
from physics.units import parse
from simulators.beam.patterns import Array, Seen
from simulators.constants import constants

SAME = 1e-9  # s; what clocks may round
_ENCODE = {"cbor": simplon_stream.encode, "legacy": simplon_legacy.encode}


class Watched(Protocol):
    """What can be seen in the far field; see simulators/beam/diffraction.py."""

    def watch(self) -> None: ...

    def rest(self) -> None: ...

    def forget(self, before: float) -> None: ...

    def seen(self, starts: Array, stops: Array) -> Seen: ...

    def counts(self, seen: Seen, window: int) -> NDArray[np.int64]: ...


class CameraWorld(Protocol):
    """What a camera needs of the world."""

    @property
    def clock(self) -> Clock: ...

    @property
    def diffraction(self) -> Watched: ...

    @property
    def beam_energy(self) -> float: ...

    @property
    def processes(self) -> list[Callable[[float], None]]: ...

    def catch_up(self) -> None: ...

    def listen_pulses(self, input: str, hear: Callable[[float, float, float, int], None], /) -> None: ...


@dataclass(frozen=True)
class Series:
    """A series as it was armed.

    armed: clock time, s.  fastest, readout: s, from the start and from the end of an image to the next.  merged: pixels
    of the detector along a side of one of the image.  format: "" where the stream was off.
    """

    start: StreamStart
    armed: float
    fastest: float
    readout: float
    dtype: Dtype
    codec: Codec
    format: str
    gated: bool
    merged: int
    mask_to_zero: bool


@dataclass
class _Images:
    """Images that were exposed and, but for the first `taken`, not yet taken; ready: from when on they go out, s."""

    series: Series
    numbers: NDArray[np.intp]
    starts: Array
    stops: Array
    seen: Seen
    zero: float
    ready: float
    taken: int = 0


class CameraStream:
    """A `MessagePeer`: the detector's buffer and its PUSH socket.

    Images go out in bursts, a few ms after the first of them was over.  missed: gates that came while the detector
    could not take an image.  dropped: images lost for want of room, since it was armed.  waiting: images in the buffer.
    """

    def __init__(self, world: CameraWorld) -> None:
        numbers = constants("camera")
        self.room = int(numbers["buffer"])  # bytes
        self.missed = self.dropped = 0
        self._delivery = parse(numbers["delivery"], "time")
        self._timebase = int(numbers["timebase"])
        self._dead = np.array(numbers["dead_pixels"]).T
        self._world = world
        self._series: Series | None = None
        self._starts = self._stops = np.empty(0)  # images under way or to come
        self._given = 0  # images that were begun, or are to be
        self._numbered = 0  # of those, that are over
        self._last = -np.inf, -np.inf  # start and stop of the last one given
        self._zero = 0.0  # clock time of the first image, from which a series counts
        self._queue: deque[tuple[float, Message] | _Images] = deque()
        self.waiting = 0  # images in it
        self._caught = -np.inf
        world.processes.append(self._advance)

    # --- what the box does with it

    @property
    def series(self) -> Series | None:
        """The one that is armed."""
        return self._series

    @property
    def free(self) -> float:
        """Clock time from which nothing that was begun is under way."""
        return self._last[1]

    def begun(self, now: float) -> bool:
        """True once the first image of the series is under way."""
        return self._numbered > 0 or bool(np.any(self._starts <= now))

    def begin(self, series: Series) -> None:
        """A series is armed."""
        self._series, self._given, self._numbered, self._last = series, 0, 0, (-np.inf, -np.inf)
        self.missed = self.dropped = 0
        self._world.diffraction.watch()
        self._say(series, series.start, series.armed)

    def end(self, now: float) -> None:
        """The series is over: what was wholly exposed is still sent."""
        self._advance(now, burst=False)
        series, self._series = self._series, None
        self._starts = self._stops = np.empty(0)
        self._world.diffraction.rest()
        if series is not None:
            self._say(series, StreamEnd(series.start.series, series.start.unique_id), now)

    def gates(self, start: float, period: float, width: float, count: int) -> None:
        """The trigger input is high for `width` s, so many times."""
        starts = start + period * np.arange(count, dtype=np.float64)
        if self._series is None or not self._series.gated:
            return
        self.expose(starts[starts >= self._series.armed], width)

    def expose(self, starts: Array, width: float) -> None:
        """Take images from clock times on, each `width` s long, as many as the series still wants."""
        series = self._series
        if series is None:
            return
        fit = self._fitting(starts, width, series)
        self.missed += len(starts) - int(np.count_nonzero(fit))
        taken = starts[fit][: series.start.images - self._given]
        if len(taken):
            self._zero = self._zero if self._given else float(taken[0])
            self._starts = np.concatenate([self._starts, taken])
            self._stops = np.concatenate([self._stops, taken + width])
            self._given += len(taken)
            self._last = float(taken[-1]), float(taken[-1]) + width

    def _fitting(self, starts: Array, width: float, series: Series) -> NDArray[np.bool_]:
        """Which of them the detector is ready for."""
        since = np.diff(starts, prepend=self._last[0])
        low = starts - np.concatenate([[self._last[1]], starts[:-1] + width])[: len(starts)]
        ready: NDArray[np.bool_] = (since >= series.fastest - SAME) & (low >= series.readout - SAME)
        if ready.all():
            return ready
        begun, over = self._last
        for place, start in enumerate(starts.tolist()):
            ready[place] = start - begun >= series.fastest - SAME and start - over >= series.readout - SAME
            if ready[place]:
                begun, over = start, start + width
        return ready

    def _advance(self, now: float, *, burst: bool = True) -> None:
        series = self._series
        if series is None:
            return
        if len(self._stops) and self._stops[0] + self._delivery * burst <= now + SAME:
            self._keep(series, int(np.searchsorted(self._stops, now + SAME, side="right")), now)
        self._world.diffraction.forget(float(self._starts[0]) if len(self._starts) else now)
        if self._given == series.start.images and not len(self._stops):
            self._series = None
            self._world.diffraction.rest()
            self._say(series, StreamEnd(series.start.series, series.start.unique_id), self._last[1])

    def _keep(self, series: Series, over: int, now: float) -> None:
        """So many images are over: those for which there is room are kept."""
        rows, columns = series.start.shape
        room = max(self.room // (rows * columns * series.dtype.itemsize) - self.waiting, 0)
        kept = min(over, room) if series.format else 0
        self.dropped += over - kept if series.format else 0
        if kept:
            starts, stops = self._starts[:kept], self._stops[:kept]
            numbers = self._numbered + np.arange(kept)
            seen = self._world.diffraction.seen(starts, stops)
            self.waiting += kept
            self._queue.append(_Images(series, numbers, starts, stops, seen, self._zero, now))
        self._numbered += over
        self._starts, self._stops = self._starts[over:], self._stops[over:]

    def _say(self, series: Series, streamed: Streamed, time: float) -> None:
        if series.format:
            self._queue.append((time + self._delivery, _ENCODE[series.format](streamed)))

    # --- the socket

    def connected(self) -> None:
        """A host takes what waits, whatever series it is of."""

    def disconnected(self) -> None:
        """What nobody takes stays."""

    def due(self) -> float | None:
        self._catch_up()
        if not self._queue:
            return float(self._stops[0]) + self._delivery if len(self._stops) else None
        head = self._queue[0]
        return head.ready if isinstance(head, _Images) else head[0]

    def send(self) -> Message | None:
        due = self.due()
        if not self._queue or due is None or due > self._world.clock.now() + SAME:
            return None
        head = self._queue[0]
        if not isinstance(head, _Images):
            self._queue.popleft()
            return head[1]
        message = self._image(head)
        head.taken += 1
        self.waiting -= 1
        if head.taken == len(head.numbers):
            self._queue.popleft()
        return message

    def _catch_up(self) -> None:
        now = self._world.clock.now()
        if now > self._caught:
            self._world.catch_up()
            self._caught = now
        self._advance(now)

    def _image(self, images: _Images) -> Message:
        series, place = images.series, images.taken
        counts = self._world.diffraction.counts(images.seen, place)
        (rows, columns), by = series.start.shape, series.merged
        counts = counts.reshape(rows, by, columns, by).sum(axis=(1, 3)) if by > 1 else counts
        pixels = np.minimum(counts, nodata(series.dtype) - 1)
        pixels[self._dead[0] // by, self._dead[1] // by] = 0 if series.mask_to_zero else nodata(series.dtype)
        begun = datetime.fromisoformat(series.start.armed) + timedelta(seconds=images.zero - series.armed)
        start, stop = (
            (round((float(times[place]) - images.zero) * self._timebase), self._timebase)
            for times in (images.starts, images.stops)
        )
        return _ENCODE[series.format](
            StreamImage(
                series=series.start.series,
                unique_id=series.start.unique_id,
                image=int(images.numbers[place]),
                start=start,
                stop=stop,
                real=(stop[0] - start[0], self._timebase),
                channels={CHANNEL: pack(pixels.astype(series.dtype), series.codec)},
                date=begun.isoformat(),
            )
        )
