"""The parallel beam: what a disc of light gives the lamella, and what the microscope's camera sees of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.constants import e

from physics.units import parse
from simulators.beam.column import Column
from simulators.constants import constants
from simulators.lattice.image import Detector, counted, intensity
from simulators.lattice.lens import Lens
from simulators.sample.dose import FluenceMap
from simulators.sample.scene import Scene, Window
from simulators.stages.drift import Drift
from simulators.stages.goniometer import Goniometer

Array = NDArray[np.float64]
Sees = Callable[[Window], Scene]
"""What stands in a window now, with what it has received so far."""

_SMEAR = 1e-9  # m that the lamella may move under the disc within one deposit
_MOST_PIECES = 2000
_STILL = 0.1  # pixels; moving less than that within an exposure blurs nothing


@dataclass(frozen=True)
class TemSettings:
    """How the microscope images in TEM: lengths in m, shifts (x, y), as they are set; defocus positive underfocus."""

    magnification: int
    illuminated: float
    shutter: str = "POST_SPECIMEN"
    binning: int = 1
    exposure: float = 1.0
    defocus: float = 0.0
    image_shift: tuple[float, float] = (0.0, 0.0)
    beam_shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Sight:
    """What a camera image really showed: a window of the lamella under a tilt, rad, through a lens; m a pixel."""

    window: Window
    tilt: float
    lens: Lens
    pitch: float


@dataclass
class _Shot:
    """An exposure under way: from `start` for settings.exposure s, then read out until `end`."""

    settings: TemSettings
    start: float
    end: float
    image: NDArray[np.float32] | None = None  # of its middle: electrons over those without a sample
    lit: float = 0.0  # s of the exposure in which there was light

    @property
    def middle(self) -> float:
        return self.start + self.settings.exposure / 2.0

    @property
    def closes(self) -> float:
        return self.start + self.settings.exposure


class _Steering:
    """Where a shift really brings what it shifts: a little too far, a little turned, from a little beside."""

    def __init__(self, numbers: Any, random: np.random.Generator, hidden_errors: bool) -> None:
        scale, turn, *beside = random.uniform(-1.0, 1.0, 4) * hidden_errors
        self._by = 1.0 + numbers["hidden_shift"] * scale
        self._turn = parse(numbers["hidden_turn"], "angle") * turn
        self._beside = parse(numbers["hidden_place"], "length") * np.array(beside)

    def to(self, shift: tuple[float, float]) -> Array:
        """(x, y), m from the middle of the scan field."""
        (x, y), cos, sin = shift, math.cos(self._turn), math.sin(self._turn)
        return np.asarray(self._by * np.array([x * cos - y * sin, x * sin + y * cos]) + self._beside)

    def moved(self, shift: tuple[float, float]) -> tuple[float, float]:
        """How far a shift moves what stood at no shift, (x, y), m."""
        x, y = self.to(shift) - self._beside
        return float(x), float(y)


class Flooding:
    """The microscope in TEM: a disc on the lamella as long as the column lets light through, and a camera below.

    met: where the lamella, under a tilt, is met at x in the frame of the beam.  sees: what stands in a window of the
    lamella now.  hidden: errors of its calibrations (stream 50).  shots: what the camera counts (stream 51).

    With a shutter after the specimen the lamella is lit as long as the column is open; with one before it only while
    the camera is exposed, and a little longer.
    """

    def __init__(
        self,
        column: Column,
        sees: Sees,
        met: Callable[[Array, float], Array],
        *,
        received: FluenceMap,
        drift: Drift,
        goniometer: Goniometer,
        middle: float,
        hidden: np.random.Generator,
        shots: np.random.Generator,
        hidden_errors: bool,
    ) -> None:
        self._numbers = numbers = constants("microscope")["tem"]
        self._column, self.sees, self._met, self._received = column, sees, met, received
        self._drift, self._goniometer, self._middle = drift, goniometer, middle
        self._shots, self._detector = shots, Detector.of_column()
        current, diameter, pixel, defocus, uneven = hidden.uniform(-1.0, 1.0, 5) * hidden_errors
        self._beam, self._image = (_Steering(numbers, hidden, hidden_errors) for _ in range(2))
        self._current = parse(numbers["current"], "current") * (1.0 + numbers["hidden_current"] * current)
        self._nominal = column.current  # of the focused beam: what it loses this one loses
        self._wider = 1.0 + numbers["hidden_diameter"] * diameter
        self._uneven = numbers["hidden_uneven"] * abs(uneven)
        self.pixel_scale = 1.0 + numbers["hidden_pixel"] * float(pixel)
        self.defocus_offset = parse(numbers["hidden_defocus"], "length") * float(defocus)
        self._shutter, self._readout = (parse(numbers[name], "time") for name in ("shutter", "readout"))
        self.settings = TemSettings(
            magnification=max(numbers["magnifications"]), illuminated=parse(numbers["illuminated"], "length")
        )
        self.sights: list[Sight] = []  # of the images that were taken, for whoever compares them with the truth
        self._time: float | None = None  # everything up to here is done
        self._shot: _Shot | None = None

    def set(self, **changed: Any) -> None:
        """Change what the next image is taken with; a shift of the beam moves the focused one, too."""
        self.settings = replace(self.settings, **changed)
        self._column.shift = self._beam.moved(self.settings.beam_shift)

    @property
    def current(self) -> float:
        """True current in the disc, A."""
        return float(self._current * self._column.current / self._nominal)

    @property
    def diameter(self) -> float:
        """True diameter of the disc, m."""
        return float(self.settings.illuminated * self._wider)

    @property
    def lasting(self) -> float:
        """Time, s, until an image that is begun now has been read out."""
        return self.settings.exposure + self._readout

    def begin(self, now: float) -> None:
        """Begin an image."""
        self._shot = _Shot(self.settings, now, now + self.lasting)

    def image(self) -> NDArray[np.int32]:
        """The image that is over, (rows, columns)."""
        shot, self._shot = self._shot, None
        assert shot is not None
        side = self._numbers["full_frame"] // shot.settings.binning
        pitch = self._pitch(shot.settings)
        electrons = self.current * shot.lit / e / (math.pi / 4.0 * self.diameter**2) * pitch**2
        seen = np.zeros((side, side), np.float32) if shot.image is None else shot.image
        return counted(seen, electrons, self._detector, self._shots)

    def advance(self, now: float) -> None:
        """Bring the light to a clock time."""
        shot, begun = self._shot, self._time
        if begun is None or not self._column.parallel:
            self._time = now
            return
        stops = [now] if shot is None else [shot.start, shot.middle, shot.closes, shot.closes + self._shutter, now]
        for stop in sorted(stop for stop in stops if begun < stop <= now):
            self._shine(begun, stop)
            begun = stop
            if shot is not None and stop == shot.middle and shot.lit > 0.0:
                shot.image = self._seen(shot)
        self._time = now

    def state(self) -> dict[str, Any]:
        """For `recall`: as JSON."""
        return asdict(self.settings)

    def recall(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        shifts = {name: tuple(state[name]) for name in ("image_shift", "beam_shift")}
        self.set(**{**state, **shifts})

    def _shine(self, start: float, end: float) -> None:
        """Light, or none, from one clock time to another between which nothing changes."""
        shot, column = self._shot, self._column
        exposing = shot is not None and shot.start <= start and end <= shot.closes
        open_ = self.settings.shutter == "POST_SPECIMEN" or (
            shot is not None and shot.start <= start and end <= shot.closes + self._shutter
        )
        if end <= start or not open_ or not column.lit or (column.external and column.held):
            return
        if shot is not None and exposing:
            shot.lit += (end - start) * (not column.screen_down)
            self._drift.light(start)
        x, y = self._displaced(np.array([start, end]))
        pieces = min(max(int(np.ceil(math.hypot(x[1] - x[0], y[1] - y[0]) / _SMEAR)), 1), _MOST_PIECES)
        times = start + (np.arange(pieces) + 0.5) * (end - start) / pieces
        fluence = self.current * (end - start) / pieces / e / (math.pi / 4.0 * self.diameter**2)
        centre = self._beam.to(self.settings.beam_shift)
        tilt, radius = self._goniometer.place(start)["a"], self.diameter / 2.0
        x_moved, y_moved = self._displaced(times)
        met = self._met(self._middle + centre[0] - x_moved, tilt)
        for place in zip(met.tolist(), (centre[1] - y_moved).tolist(), strict=True):
            self._received.disc(place, (radius / math.cos(tilt), radius), fluence, self._uneven)

    def _displaced(self, times: Array) -> tuple[Array, Array]:
        """How far the lamella stands from where it was at first light, along x and y, m."""
        drifted, carried = self._drift.displacement(times), self._goniometer.displacement(times)
        return drifted[0] + carried[0], drifted[1] + carried[1]

    def _pitch(self, settings: TemSettings) -> float:
        """True size of a pixel at the lamella, m."""
        nominal = parse(self._numbers["magnifications"][settings.magnification], "length")
        return float(nominal * self.pixel_scale * settings.binning)

    def _seen(self, shot: _Shot) -> NDArray[np.float32]:
        """Electrons over those that would come without a sample, at the middle of an exposure."""
        pitch, side = self._pitch(shot.settings), self._numbers["full_frame"] // shot.settings.binning
        x, y = (float(one[0]) for one in self._displaced(np.array([shot.middle])))
        middle = self._image.to(shot.settings.image_shift)
        corner = (self._middle + middle[0] - x - side * pitch / 2.0, middle[1] - y - side * pitch / 2.0)
        window = Window(corner, (side * pitch, side * pitch))
        scene = self.sees(window)
        lens = Lens.of_column(self._column.beam_energy, shot.settings.defocus + self.defocus_offset)
        self.sights.append(Sight(window, self._goniometer.place(shot.middle)["a"], lens, pitch))
        image = intensity(scene, lens, (side, side), pitch)
        disc = self._beam.to(shot.settings.beam_shift)
        image *= self._lit_up(corner, pitch, side, self._middle + disc[0] - x, disc[1] - y)
        ends = self._displaced(np.array([shot.start, shot.closes]))
        return _blurred(image, [float(one[1] - one[0]) / pitch for one in ends])

    def _lit_up(self, corner: tuple[float, float], pitch: float, side: int, x: float, y: float) -> NDArray[np.float32]:
        """Light in each pixel over its mean in the disc around (x, y), m."""
        along = (np.arange(side, dtype=np.float32) + 0.5) * np.float32(pitch)
        squares = np.add.outer(
            (along + np.float32(corner[1] - y)) ** 2, (along + np.float32(corner[0] - x)) ** 2
        ) / np.float32((self.diameter / 2.0) ** 2)
        return np.asarray((1.0 + self._uneven * (1.0 - 2.0 * squares)) * (squares <= 1.0), np.float32)


def _blurred(image: NDArray[np.float32], moved: list[float]) -> NDArray[np.float32]:
    """An image whose object moves evenly by (columns, rows) pixels while it is exposed."""
    if math.hypot(*moved) < _STILL:
        return image
    rows, columns = scipy.fft.fftfreq(image.shape[0]), scipy.fft.rfftfreq(image.shape[1])
    spectrum = scipy.fft.rfft2(image, workers=2)
    for row, down in zip(spectrum, rows, strict=True):
        row *= np.sinc(columns * moved[0] + down * moved[1]).astype(np.float32)
    return np.asarray(scipy.fft.irfft2(spectrum, image.shape, workers=2), np.float32)
