"""Diffraction: what a camera far behind the lamella could see, in any stretch of time."""

from __future__ import annotations

from collections import deque
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from drivers.rigfile import Optics
from physics.units import parse
from simulators.constants import constants
from simulators.far_field import FarField
from simulators.lamella import Exposed, Lamella
from simulators.patterns import Array, Light, Seen, merged

NEGLIGIBLE = 1e-9  # of a pixel's dwell that rounding may give to a neighbour


class Diffraction:
    """What a camera in the far field of the lamella could see; while nobody watches, nothing is kept.

    shape: (rows, columns) of the detector.  angle: that a pixel spans at the sample, rad.  fixed: decides what stays as
    it is (where the optical axis lies, how the lithium is turned); shots: which electron goes where.
    """

    def __init__(
        self,
        lamella: Lamella,
        optics: Optics,
        *,
        fixed: np.random.Generator,
        shots: np.random.Generator,
        hidden_errors: bool,
    ) -> None:
        numbers = constants("camera")
        rows, columns = numbers["pixels"]
        self.shape: tuple[int, int] = (rows, columns)
        self.angle = parse(numbers["pixel_size"], "length") / parse(numbers["camera_length"], "length")
        self._made = lamella, optics, fixed
        self._shots, self._hidden_errors = shots, hidden_errors
        self._watched = False
        self._lights: deque[Light] = deque()

    @cached_property
    def _field(self) -> FarField:
        """Worked out for the first who watches."""
        lamella, optics, fixed = self._made
        return FarField(lamella, optics, self.shape, self.angle, fixed, hidden_errors=self._hidden_errors)

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
        if self._watched:
            depths = self._field.depths(run.places, run.left, run.ice)
            self._lights.append(Light(run.start, run.dwell, run.electrons / run.dwell, depths))

    def seen(self, starts: Array, stops: Array) -> Seen:
        """What windows of time saw, from start to stop, both ascending, (windows,); nothing where there was no beam."""
        windows, electrons, depths = (
            [np.empty(0, np.intp)],
            [np.empty(0)],
            [np.empty((0, self._field.processes), np.int16)],
        )
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
        return merged(len(starts), np.concatenate(windows), np.concatenate(electrons), np.concatenate(depths))

    def counts(self, electrons: Array, depths: NDArray[np.int16]) -> NDArray[np.int64]:
        """Electrons counted by every pixel, (rows, columns), of parts with so many expected, each of its depth."""
        if len(electrons) == 0:
            return np.zeros(self.shape, np.int64)
        parts = zip(electrons.tolist(), depths, strict=True)
        drawn = [self._field.pattern(depth).draw(expected, self._shots) for expected, depth in parts]
        return (drawn[0] if len(drawn) == 1 else np.sum(drawn, axis=0)).reshape(self.shape)
