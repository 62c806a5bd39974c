"""An Open Beam Interface in front of the world's column: bytes in, bytes out, the beam where they put it.

Behaves as the project's gateware does in its own simulator (github nanographs/Open-Beam-Interface, 0f6e62c), its traps
included: nothing is cut short, an idle box leaves the beam as and where it is, a pixel too many hangs it, an inline
Blank waits for a pixel, and the forwarder lets go of the blank pins whenever a connection is made or lost.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import WireError
from drivers.wire import obi
from drivers.wire.obi_reply import ADC_BITS, PIXEL_BYTES, encode_pixels, encode_synchronized
from physics.units import parse
from simulators.beam.column import Beam
from simulators.constants import constants
from simulators.world import World

BLOCK = 1 << 16  # pixels given to the column at a time
AHEAD = 0.1  # s of a finite run given to the column before they are over
SAME = 1e-9  # s; what clocks may round, far less than a sample
BEAMS: dict[obi.Beam, Beam] = {obi.Beam.NONE: "none", obi.Beam.ELECTRON: "electron", obi.Beam.ION: "ion"}


@dataclass
class _Region:
    """A raster and the number of its next pixel."""

    raster: obi.RasterRegion
    next: int = 0

    @property
    def size(self) -> int:
        return self.raster.x_count * self.raster.y_count

    def positions(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """DAC codes (x, y) of the next n pixels; after the last comes the first."""
        index = (self.next + np.arange(n)) % self.size
        self.next += n
        row, column = np.divmod(index, self.raster.x_count)
        return (
            (self.raster.x_start * obi.STEP + column * self.raster.x_step) // obi.STEP % obi.DAC_STEPS,
            (self.raster.y_start * obi.STEP + row * self.raster.y_step) // obi.STEP % obi.DAC_STEPS,
        )


@dataclass
class _Run:
    """Pixels of one command: `exposed` of `count` were given to the column, `out` of them are over.

    The column is given whole rows of `row` pixels, of which `into` are over as the run begins: it charges the way back
    along the row it is given, and a row cannot be cut short anyway.
    """

    start: float
    samples: int
    count: float  # infinite in a free run
    positions: Callable[[int], tuple[NDArray[np.int64], NDArray[np.int64]]]
    cell: tuple[float, float]
    row: int = 1
    into: int = 0
    exposed: int = 0
    out: int = 0
    codes: NDArray[np.uint16] = field(default_factory=lambda: np.empty(0, np.uint16))  # of pixels not yet over

    @property
    def dwell(self) -> float:
        return self.samples * obi.SAMPLE

    def begun(self, now: float) -> float:
        """Pixels of the rows that have begun by `now`."""
        pixels = math.ceil((now - self.start - SAME) / self.dwell)
        return min(self.count, math.ceil((self.into + pixels) / self.row) * self.row - self.into)


class ScanServer:
    """A `Peer`: the box and its TCP forwarder."""

    def __init__(self, world: World) -> None:
        numbers = constants("scan")
        self._offset, self._gain = float(numbers["adc_offset"]), float(numbers["codes_per_electron"])
        self._noise, self._packet = float(numbers["read_noise"]), int(numbers["packet"])
        self._update = parse(numbers["update"], "time")
        self._clock_low = parse(numbers["clock_low"], "time")
        self._world = world
        self._random = np.random.default_rng(0)  # read noise only: nothing physical hangs on it
        self._splitter = obi.CommandSplitter()
        self._queue: deque[obi.Command] = deque()
        self._time = world.clock.now()  # everything up to here is done
        self._run: _Run | None = None
        self._region: _Region | None = None
        self._hung = False
        self._position = 0, 0  # DAC codes
        self._output = obi.Output.SIXTEEN_BIT
        self._external = False
        self._beam = obi.Beam.NONE
        self._blank = False  # as the gateware comes up, before its first Blank
        self._inline: bool | None = None  # a Blank that waits for the next pixel
        self._unblanked: bool | None = None  # level of the pin
        self._bytes = bytearray()
        self._ready = 0  # of those bytes may leave
        self._ready_since = 0.0
        self._set_pins()
        world.processes.append(self._advance)

    def connected(self) -> None:
        self._reset_pipe()

    def disconnected(self) -> None:
        self._reset_pipe()

    def receive(self, data: bytes) -> None:
        self._world.catch_up()
        self._take(data)

    def due(self) -> float | None:
        self._world.catch_up()
        if self._ready:
            return self._ready_since
        run = self._run
        if run is None:
            return self._time if self._queue and not self._hung else None
        return run.start + min(run.out + self._portion(run), run.count) * run.dwell

    def send(self) -> bytes:
        self._world.catch_up()
        ready = bytes(self._bytes[: self._ready])
        del self._bytes[: self._ready]
        self._ready = 0
        return ready

    def _portion(self, run: _Run) -> int:
        """Pixels until whole packets are full again, about `update` apart."""
        pixels = max(1, round(self._update / run.dwell))
        size = PIXEL_BYTES[self._output]
        if not size:
            return pixels
        packets = max(1, round(pixels * size / self._packet))
        return math.ceil((packets * self._packet - len(self._bytes)) / size)

    # --- the forwarder

    def _reset_pipe(self) -> None:
        self._world.catch_up()
        self._queue.clear()
        self._bytes.clear()
        self._ready = 0
        # what the box had half heard it still has (assumed: only the pipe is reset), and this byte ends up in it
        self._take(obi.encode(obi.ExternalCtrl(enable=False)))

    def _take(self, data: bytes) -> None:
        self._splitter.feed(data)
        while True:
            try:
                command = self._splitter.next()
            except WireError:  # the box has no word for an error: it passes over what it does not know
                continue
            if command is None:
                break
            self._queue.append(command)
        self._advance(self._world.clock.now())

    # --- time

    def _advance(self, now: float) -> None:
        while True:
            if self._run is not None:
                if not self._scan(self._run, now):
                    return
            elif self._time > now + SAME:  # in a Delay
                return
            elif self._queue and not self._hung:
                self._execute(self._queue.popleft())
            else:
                self._stand(now - self._time)
                return

    def _stand(self, seconds: float) -> None:
        """No pixel for so long: the beam stays where and as it is."""
        if seconds > 0.0:
            if self._unblanked:
                x, y = self._position
                self._world.column.park(x / obi.DAC_STEPS, y / obi.DAC_STEPS, self._time, seconds)
            self._time += seconds

    def _scan(self, run: _Run, now: float) -> bool:
        """Bring a run to `now`; True when it is over."""
        if math.isinf(run.count) and self._queue:  # a free run ends with the pixel it is in
            run.count = run.exposed
        begun = run.begun(now)
        if run.exposed < begun and not math.isinf(run.count):
            # nothing that the box has is cut short, so what it will scan next is certain: in blocks, for speed
            begun = run.begun(now + AHEAD)
        while run.exposed < begun:
            self._expose(run, int(min(begun - run.exposed, BLOCK)))
        over = min(run.exposed, math.floor((now - run.start + SAME) / run.dwell))
        if over > run.out:
            self._bytes += encode_pixels(run.codes[: over - run.out], self._output)
            run.codes = run.codes[over - run.out :]
            run.out = over
            self._release(len(self._bytes) // self._packet * self._packet, run.start + over * run.dwell)
        if run.out < run.count:
            return False
        self._time = run.start + run.out * run.dwell
        self._run = None
        return True

    def _expose(self, run: _Run, n: int) -> None:
        """The next n pixels, from the moment the first of them begins."""
        start = run.start + run.exposed * run.dwell
        if self._inline is not None:
            self._blank, self._inline = self._inline, None
            self._set_pins(start)
        x, y = run.positions(n)
        self._position = int(x[-1]), int(y[-1])
        if self._unblanked:
            electrons = self._world.column.raster(x / obi.DAC_STEPS, y / obi.DAC_STEPS, run.cell, run.dwell, start)
        else:
            electrons = self._world.column.dark(n)
        if (high := run.dwell - self._clock_low) > 0.0:
            self._world.pulses("scan.pixel_clock", start, run.dwell, high, n)
        run.exposed += n
        run.codes = np.concatenate([run.codes, self._converted(electrons, run.samples)])

    def _release(self, size: int, time: float) -> None:
        """Let so many bytes leave from a clock time."""
        if size > self._ready:
            self._ready_since = time if not self._ready else self._ready_since
            self._ready = size

    def _converted(self, electrons: NDArray[np.float64], samples: int) -> NDArray[np.uint16]:
        """ADC codes: the mean of the first 2^k samples, as many as fit; the box averages no others."""
        averaged = 1 << samples.bit_length() - 1
        if averaged < samples:
            electrons = self._random.binomial(electrons.astype(np.int64), averaged / samples).astype(np.float64)
        noise = self._random.normal(0.0, self._noise / math.sqrt(averaged), electrons.size)
        codes = np.floor(self._offset + self._gain * electrons / averaged + noise)
        return np.clip(codes, 0, (1 << ADC_BITS) - 1).astype(np.uint16)

    # --- commands

    def _execute(self, command: obi.Command) -> None:
        execute: Callable[[ScanServer, Any], None] = _EXECUTE[type(command)]
        execute(self, command)

    def _synchronize(self, command: obi.Synchronize) -> None:
        self._bytes += encode_synchronized(command.cookie)
        self._output = command.output
        self._flush(command)

    def _flush(self, command: obi.Command) -> None:
        self._release(len(self._bytes), self._time)

    def _abort(self, command: obi.Abort) -> None:
        self._region = None
        self._flush(command)

    def _external_ctrl(self, command: obi.ExternalCtrl) -> None:
        self._external = command.enable
        self._set_pins()

    def _beam_select(self, command: obi.BeamSelect) -> None:
        self._beam = command.beam
        self._set_pins()

    def _blanker(self, command: obi.Blank) -> None:
        if command.inline:
            self._inline = command.enable
        else:
            self._blank = command.enable
            self._set_pins()

    def _delay(self, command: obi.Delay) -> None:
        self._stand(command.ticks * obi.TICK)

    def _array(self, command: obi.Array) -> None:
        """The commands in it follow one by one."""

    def _raster_region(self, command: obi.RasterRegion) -> None:
        self._region = _Region(command)

    def _raster_pixel(self, command: obi.RasterPixel) -> None:
        self._raster(1, command.samples)

    def _raster_pixel_run(self, command: obi.RasterPixelRun) -> None:
        self._raster(command.pixels, command.samples)

    def _raster_pixel_fill(self, command: obi.RasterPixelFill) -> None:
        if self._region is not None:
            self._raster(self._region.size - self._region.next, command.samples)

    def _raster_pixel_free_run(self, command: obi.RasterPixelFreeRun) -> None:
        self._raster(math.inf, command.samples)
        self._region = None  # what follows needs a region of its own

    def _raster(self, count: float, samples: int) -> None:
        region = self._region
        if region is None:
            self._hung = True  # the scanner waits for a region that the queue behind this command can never bring
            return
        raster = region.raster
        cell = raster.x_step / obi.STEP / obi.DAC_STEPS, raster.y_step / obi.STEP / obi.DAC_STEPS
        left = region.size - region.next
        if count >= left:
            self._region = None
            if not math.isinf(count):
                self._hung = count > left
                count = left
        run = _Run(self._time, samples, count, region.positions, cell)
        if not math.isinf(count):
            run.row, run.into = raster.x_count, region.next % raster.x_count
        self._run = run

    def _vector_pixel(self, command: obi.VectorPixel | obi.VectorPixelMinDwell) -> None:
        here = np.array([command.x]), np.array([command.y])
        samples = command.samples if isinstance(command, obi.VectorPixel) else 1
        cell = 1 / obi.DAC_STEPS, 1 / obi.DAC_STEPS
        self._run = _Run(self._time, samples, 1, lambda n: here, cell)

    def _set_pins(self, time: float | None = None) -> None:
        """Levels that follow from control, beam and blanking; nobody blanks while the pins are let go."""
        self._world.column.select(BEAMS[self._beam] if self._external else "electron")
        unblanked = not self._external or (self._beam is obi.Beam.ELECTRON and not self._blank)
        self._world.column.steer(external=self._external, held=not unblanked)
        if unblanked is not self._unblanked:
            self._unblanked = unblanked
            self._world.signal("scan.unblanked", self._time if time is None else time, unblanked)


_EXECUTE: dict[type[obi.Command], Callable[[ScanServer, Any], None]] = {
    obi.Synchronize: ScanServer._synchronize,
    obi.Abort: ScanServer._abort,
    obi.Flush: ScanServer._flush,
    obi.ExternalCtrl: ScanServer._external_ctrl,
    obi.BeamSelect: ScanServer._beam_select,
    obi.Blank: ScanServer._blanker,
    obi.Delay: ScanServer._delay,
    obi.Array: ScanServer._array,
    obi.RasterPixelFill: ScanServer._raster_pixel_fill,
    obi.RasterRegion: ScanServer._raster_region,
    obi.RasterPixel: ScanServer._raster_pixel,
    obi.RasterPixelRun: ScanServer._raster_pixel_run,
    obi.RasterPixelFreeRun: ScanServer._raster_pixel_free_run,
    obi.VectorPixel: ScanServer._vector_pixel,
    obi.VectorPixelMinDwell: ScanServer._vector_pixel,
}
