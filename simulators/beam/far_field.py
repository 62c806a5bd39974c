"""The far field of what is not crystalline: disk and halo, for every depth of what the beam goes through.

Electrons start somewhere in the cone of the probe and are deflected as often as chance has it. Deflections add up
(plural scattering); what leaves the detector is lost. All of it is round about the optical axis; what lattices diffract
(simulators/beam/bragg.py) is this pattern, moved.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import j0, j1

from drivers.rigfile import Optics
from physics.materials import material
from simulators.beam.bragg import FOLLOWED, LONGEST
from simulators.beam.patterns import STEP, Array, Pattern
from simulators.beam.scattering import ANGLES, Scattering, whole
from simulators.constants import constants
from simulators.sample.lamella import Exposed, Lamella

FILMS = "ice", "C"  # that grow under the beam
_KEPT = 256  # patterns; half a megabyte each
# 1/rad; the tails of the atoms' scattering need close ones at the low end, and beyond the last a pixel shows nothing
_FREQUENCIES = 36.0 * np.sinh(np.arange(0.0, 3.92, 0.003))
_PIXEL = 1.0 / 12.0  # variance of where in its pixel an electron falls, in pixels
_FINENESS = 0.125  # pixels from one radius to the next


class FarField:
    """The far field of one lamella, as a pattern for every depth.

    shape: (rows, columns) of the detector.  angle: that a pixel spans, rad.  random: decides where the optical axis
    lies.  phases: of the nanocrystals.  processes: ways of being scattered; an element, a film that grows, the shaken
    atoms of a crystal.
    """

    def __init__(
        self,
        lamella: Lamella,
        optics: Optics,
        shape: tuple[int, int],
        angle: float,
        random: np.random.Generator,
        *,
        phases: tuple[str, ...] = (),
        hidden_errors: bool,
    ) -> None:
        numbers = constants("camera")
        self._shape, self._phases, self._scattering = shape, phases, Scattering(optics)
        off = random.uniform(-1.0, 1.0, 2) * float(numbers["off_centre"]) * hidden_errors
        down, across = (np.arange(n) - (n - 1) / 2.0 - o for n, o in zip(shape, off, strict=True))
        radii = np.hypot(down[:, None], across[None, :]) / _FINENESS
        self._inner = radii.astype(np.intp)
        self._further = radii - self._inner
        rings = np.arange(self._inner.max() + 2) * _FINENESS * angle
        spread = (float(numbers["spread"]) ** 2 + _PIXEL) * angle**2
        blurred = np.exp(-2.0 * np.pi**2 * spread * _FREQUENCIES**2) * _disk(optics.convergence)
        per_pixel = 2.0 * np.pi * _FREQUENCIES * _widths(_FREQUENCIES) * angle**2
        self._to_rings = j0(2.0 * np.pi * np.outer(rings, _FREQUENCIES)) * (blurred * per_pixel)
        self._patterns: OrderedDict[bytes, Pattern] = OrderedDict()
        self._waves = j0(2.0 * np.pi * np.outer(_FREQUENCIES, ANGLES))
        self.look_at(lamella)

    def look_at(self, lamella: Lamella) -> None:
        """The lamella is another, such as one that was tilted."""
        glass = self._scattering.glass
        self._instead: dict[str, tuple[float, dict[str, float]]] = {}
        depths: dict[str, Array] = {}
        spectra: dict[str, Array] = {}

        def scatters(process: str, per_steradian: Array, areal: Array) -> None:
            depths[process] = lamella.blurred(areal * whole(per_steradian))
            spectra[process] = self._spectrum(per_steradian) - 1.0

        metal = {phase: depth * material(phase).number_densities[phase] for phase, depth in lamella.grained.items()}
        for element, areal in lamella.areal.items():
            scatters(element, glass(element), np.maximum(areal - metal.get(element, 0.0), 0.0))
        for film in FILMS:  # a metre of it
            numbers = material(film).number_densities
            each = np.sum([number * glass(element) for element, number in numbers.items()], axis=0)
            scatters(f"{film}, grown", each, lamella.inside / np.cos(lamella.tilt))
        for phase in sorted({*metal, *self._phases}):  # a metre of it, of what is not a film
            shaken = self._scattering.shaken(phase, *(() if phase in metal else (FOLLOWED, LONGEST)))
            scatters(f"{phase}, shaken", shaken, lamella.grained.get(phase, np.zeros_like(lamella.inside)))
            atoms = material(phase).number_densities
            self._instead[phase] = whole(shaken), {el: number * whole(glass(el)) for el, number in atoms.items()}
        self._depths = np.ascontiguousarray(np.column_stack(list(depths.values())))
        self._spectra = np.stack(list(spectra.values()))
        self.processes = tuple(depths)
        self._column = {name: column for column, name in enumerate(depths)}
        self._patterns.clear()

    def depths(self, run: Exposed, crystals: Mapping[str, Array]) -> NDArray[np.int16]:
        """Mean scatterings at the pixels of a run, in steps of 0.0005, (pixels, processes).

        crystals: phase -> metres of nanocrystals; their atoms scatter what they do together into reflections instead.
        """
        depths = self._depths[run.places]
        for element, share in run.left.items():
            depths[:, self._column[element]] *= share
        depths[:, self._column["ice, grown"]] *= run.ice
        depths[:, self._column["C, grown"]] *= run.carbon
        for phase, path in crystals.items():
            shaken, alone = self._instead[phase]
            depths[:, self._column[f"{phase}, shaken"]] += path * shaken
            for element, each in alone.items():
                depths[:, self._column[element]] -= path * each
        return np.rint(np.maximum(depths, 0.0) / STEP).astype(np.int16)

    def expected(self, depths: NDArray[np.int16]) -> Array:
        """Share of the electrons that each pixel gets, (rows, columns), at a depth as in `Light`, (processes,)."""
        waves = np.exp(np.einsum("p,pq->q", depths * STEP, self._spectra))
        # not by BLAS, whose threads wait for each other longer than this takes
        rings = np.einsum("ij,j->i", self._to_rings, waves)
        rings = np.maximum(rings, 0.0)  # the edge of the disk rings a little
        shares = rings[self._inner]
        shares += self._further * (rings[self._inner + 1] - shares)
        return np.asarray(shares)

    def pattern(self, depth: NDArray[np.int16]) -> Pattern:
        """Where electrons land at a depth; the last 256 are kept."""
        key = depth.tobytes()
        if key in self._patterns:
            self._patterns.move_to_end(key)
        else:
            self._patterns[key] = Pattern(self.expected(depth))
            if len(self._patterns) > _KEPT:
                self._patterns.popitem(last=False)
        return self._patterns[key]

    def _spectrum(self, per_steradian: Array) -> Array:
        """The spectrum of one deflection along `_FREQUENCIES`, 1 at the lowest."""
        spectrum = self._waves @ (per_steradian * ANGLES * _widths(ANGLES))
        return np.asarray(spectrum / spectrum[0])


def _widths(points: Array) -> Array:
    """How much of the way each of some points stands for, as the trapezium rule has it."""
    steps = np.diff(points, prepend=points[0], append=points[-1])
    return np.asarray((steps[1:] + steps[:-1]) / 2.0)


def _disk(convergence: float) -> Array:
    """The spectrum of an evenly filled disk, of whole 1."""
    x = 2.0 * np.pi * _FREQUENCIES[1:] * convergence
    return np.concatenate([[1.0], 2.0 * j1(x) / x])
