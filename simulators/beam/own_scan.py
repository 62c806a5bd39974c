"""The microscope's own scan and meters: an image when it is asked for one, otherwise a beam that stands where it is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physics.units import parse
from simulators.beam.column import Column
from simulators.constants import constants

MICROSECOND = 1e-6


@dataclass(frozen=True)
class StemSettings:
    """How the microscope scans and what its annular detector makes of electrons; dwell in s, rotation in rad."""

    magnification: float = 320000.0
    rotation: float = 0.0
    binning: int = 4
    dwell: float = 1e-6
    brightness: float = 0.5
    contrast: float = 0.5


@dataclass
class _Frame:
    """An image under way: `row` lines of it have been scanned."""

    settings: StemSettings
    start: float
    line: float  # s, with the way back
    counts: NDArray[np.float64]
    row: int = 0

    @property
    def end(self) -> float:
        return self.start + self.line * len(self.counts)


class OwnScan:
    """The scan of the microscope itself in front of the column.

    While nothing is scanned and the beam is on it stands on the first pixel of the field (assumed), and burns it.
    """

    def __init__(self, column: Column, random: np.random.Generator, *, hidden_errors: bool) -> None:
        self._numbers = numbers = constants("microscope")
        scale, gain = random.uniform(-1.0, 1.0, 2) * hidden_errors
        self._column, self._random = column, random
        self._width = parse(numbers["field_times_magnification"], "length") * (1.0 + numbers["hidden_scan"] * scale)
        self._screen_gain = 1.0 + numbers["screen"]["gain"] * gain
        self._screen_noise = parse(numbers["screen"]["noise"], "current")
        self.settings = StemSettings()
        self._time: float | None = None  # everything up to here is done
        self._frame: _Frame | None = None

    def set(self, **changed: Any) -> None:
        """Change what the next image is taken with."""
        self.settings = replace(self.settings, **changed)

    @property
    def lasting(self) -> float:
        """Time, s, that an image takes now."""
        pixels = self._numbers["full_frame"] // self.settings.binning
        return float(pixels**2 * self.settings.dwell * (1.0 + self._numbers["way_back"]))

    def begin(self, now: float) -> None:
        """Begin an image."""
        pixels = self._numbers["full_frame"] // self.settings.binning
        self._frame = _Frame(self.settings, now, self.lasting / pixels, np.zeros((pixels, pixels)))

    def image(self) -> NDArray[np.int16]:
        """The image that is over, (rows, columns), as the detector's converter gives it."""
        frame, self._frame = self._frame, None
        assert frame is not None
        self._scan(frame, len(frame.counts))
        gain = self._numbers["counts_per_electron"] * frame.settings.contrast * MICROSECOND / frame.settings.dwell
        noise = self._random.normal(0.0, self._numbers["read_noise"], frame.counts.shape)
        values = np.round(self._numbers["dark_level"] * frame.settings.brightness + gain * frame.counts + noise)
        return np.asarray(np.clip(values, -(1 << 15), (1 << 15) - 1), dtype=np.int16)

    def screen_current(self) -> float:
        """What the meter of the fluorescent screen reads, A; it reads the beam only while the screen is down."""
        column = self._column
        there = column.screen_down and column.lit and not column.held
        return float(column.current * self._screen_gain * there + self._random.normal(0.0, self._screen_noise))

    def advance(self, now: float) -> None:
        """Bring the beam to a clock time: the lines that have begun by then are scanned, or it stands."""
        frame = self._frame
        if frame is not None:
            self._scan(frame, min(math.ceil((now - frame.start) / frame.line), len(frame.counts)))
            if now < frame.end:
                self._time = now
                return
            self._time = max(frame.end, self._time or 0.0)
        if self._time is not None and now > self._time and self._column.steering == "own" and self._column.lit:
            u, v = self._places(self.settings, np.zeros(1), np.zeros(1))
            self._column.park(float(u[0]), float(v[0]), self._time, now - self._time, by="own")
        self._time = now

    def state(self) -> dict[str, Any]:
        """For `recall`: as JSON."""
        return {"settings": asdict(self.settings), "die": self._random.bit_generator.state}

    def recall(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.settings = StemSettings(**state["settings"])
        self._random.bit_generator.state = state["die"]

    def _scan(self, frame: _Frame, until: int) -> None:
        """The lines before number `until`; the beam on its way back is charged along the line it has drawn."""
        if until <= frame.row:
            return
        pixels, back = len(frame.counts), 1.0 + self._numbers["way_back"]
        row, column = np.divmod(np.arange(frame.row * pixels, until * pixels), pixels)
        u, v = self._places(frame.settings, column / pixels, row / pixels)
        start = frame.start + frame.row * frame.line
        cell = self._column.fraction(self._width / frame.settings.magnification / pixels)
        counted = self._column.raster(u, v, (cell, cell), frame.settings.dwell * back, start, by="own")
        kept = self._random.binomial(counted.astype(np.int64), 1.0 / back)  # on the way back nothing is counted
        frame.counts[frame.row : until] = kept.reshape(-1, pixels)
        frame.row = until

    def _places(
        self, settings: StemSettings, along: NDArray[np.float64], down: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fractions of the scan box's full scale of places in the own field, given as fractions of that."""
        width = self._column.fraction(self._width / settings.magnification)
        half = 0.5 - 0.5 / (self._numbers["full_frame"] // settings.binning)  # from the first pixel's middle
        x, y = (along - half) * width, (down - half) * width
        cos, sin = np.cos(settings.rotation), np.sin(settings.rotation)
        return 0.5 + x * cos - y * sin, 0.5 + x * sin + y * cos
