"""Diffraction: what a camera far behind the lamella could see, in any stretch of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from drivers.rigfile import Optics
from physics.units import parse
from simulators.beam.bragg import Bragg, Spots, joined, together
from simulators.beam.far_field import FarField
from simulators.beam.film_spots import FilmSpots
from simulators.beam.patterns import Array, Light, Seen, merged
from simulators.constants import constants
from simulators.sample.lamella import Exposed, Lamella
from simulators.sample.matter import Matter, Received
from simulators.sample.scene import Window

NEGLIGIBLE = 1e-9  # of a pixel's dwell that rounding may give to a neighbour


class Diffraction:
    """What a camera in the far field of the lamella could see; while nobody watches, nothing is kept.

    shape: (rows, columns) of the detector.  angle: that a pixel spans at the sample, rad.  fixed: decides what stays as
    it is (where the optical axis lies); shots: which electron goes where.  received: m^-2 at places of the lamella's
    frame.  temperature: of the lamella, K.
    """

    def __init__(
        self,
        lamella: Lamella,
        optics: Optics,
        matter: Matter,
        *,
        received: Received,
        temperature: Callable[[], float],
        fixed: np.random.Generator,
        shots: np.random.Generator,
        hidden_errors: bool,
    ) -> None:
        numbers = constants("camera")
        rows, columns = numbers["pixels"]
        self.shape: tuple[int, int] = (rows, columns)
        self.angle = parse(numbers["pixel_size"], "length") / parse(numbers["camera_length"], "length")
        self._lamella, self._optics, self._matter = lamella, optics, matter
        self._received, self._temperature = received, temperature
        self._fixed, self._shots, self._hidden_errors = fixed, shots, hidden_errors
        self._bragg = Bragg(optics, self.angle)
        self._watched = False
        self._lights: deque[Light] = deque()

    @cached_property
    def _field(self) -> FarField:
        """Worked out for the first who watches."""
        made = self._lamella, self._optics, self.shape, self.angle, self._fixed
        return FarField(*made, phases=self._matter.phases, hidden_errors=self._hidden_errors)

    @cached_property
    def _films(self) -> FilmSpots:
        return FilmSpots(self._lamella, self._optics, self._bragg, self._matter)

    def look_at(self, lamella: Lamella) -> None:
        """The lamella is another, such as one that was tilted."""
        self._lamella = lamella
        for made in (self.__dict__.get("_field"), self.__dict__.get("_films")):
            if made is not None:
                made.look_at(lamella)

    def watch(self) -> None:
        """Keep from now on what the beam goes through."""
        self._watched = True

    def rest(self) -> None:
        """Nobody watches any more."""
        self._watched = False
        self._lights.clear()

    def forget(self, before: float) -> None:
        """Forget what was over before a clock time, s."""
        while self._lights and self._lights[0].end < before:
            self._lights.popleft()

    def expose(self, run: Exposed) -> None:
        """Remember a run of pixels, if somebody watches."""
        if not self._watched:
            return
        kelvin = float(round(self._temperature()))
        corner = float(run.x.min()), float(run.y.min())
        window = Window(corner, (float(np.ptp(run.x)), float(np.ptp(run.y))))
        crystals = self._matter.crystals(window, self._lamella.tilt, self._received, kelvin)
        spots, paths = self._bragg.under(crystals, run.x, run.y, kelvin)
        spots = together(spots, self._films.under(run, kelvin))
        depths = self._field.depths(run, paths)
        self._lights.append(Light(run.start, run.dwell, run.electrons / run.dwell, depths, spots))

    def into_dark_field(self, run: Exposed) -> Array:
        """Mean scatterings into the dark field's ring that films diffract more than a glass would scatter, (n,)."""
        return self._films.into_dark_field(run, self._temperature())

    def seen(self, starts: Array, stops: Array) -> Seen:
        """What windows of time saw, from start to stop, both ascending, (windows,); nothing where there was no beam."""
        windows, electrons = [np.empty(0, np.intp)], [np.empty(0)]
        depths, spots = [np.empty((0, len(self._field.processes)), np.int16)], [Spots.none(0)]
        for light in self._lights:
            at, upto = np.searchsorted(stops, light.start, side="right"), np.searchsorted(starts, light.end)
            begin, end = (starts[at:upto] - light.start) / light.dwell, (stops[at:upto] - light.start) / light.dwell
            low = np.clip(np.floor(begin), 0, len(light.depths)).astype(np.intp)
            counts = np.clip(np.ceil(end), 0, len(light.depths)).astype(np.intp) - low
            which = np.repeat(np.arange(len(counts)), counts)
            pixel = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts - low, counts)
            lit = np.minimum(end[which], pixel + 1.0) - np.maximum(begin[which], pixel)
            kept = lit > NEGLIGIBLE
            windows.append(which[kept] + at)
            electrons.append(lit[kept] * light.dwell * light.rate)
            depths.append(light.depths[pixel[kept]])
            spots.append(light.spots.taken(pixel[kept]))
        parts = np.concatenate(windows), np.concatenate(electrons), np.concatenate(depths)
        return merged(len(starts), *parts, joined(spots))

    def counts(self, seen: Seen, window: int) -> NDArray[np.int64]:
        """Electrons counted by every pixel, (rows, columns), in one of the windows; drawn anew by every call."""
        drawn = np.zeros(self.shape, np.int64)
        for part in range(seen.first[window], seen.first[window + 1]):
            pattern = self._field.pattern(seen.depths[part])
            drawn += pattern.draw(float(seen.electrons[part]), self._shots, *seen.spots.at(part))
        return drawn
