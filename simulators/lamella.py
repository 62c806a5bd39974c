"""The lamella: a slab cut across the film, as columns of atoms under the beam.

The frame of the lamella: x along the film normal, y along the interface, both in m; x = 0 as in the sample file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xraylib
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, uniform_filter1d

from drivers.rigfile import Optics
from physics.materials import Material, material
from simulators.constants import constants
from simulators.sample import Sample
from simulators.stack import Interphase

Array = NDArray[np.float64]

STEP = 0.25e-9  # m along x: finer than any probe that is not corrected
_BEYOND = 100e-9  # m of vacuum kept at either end of the stack
_RELIEF_STEP = 2e-9  # m along the interface and in depth
_RELIEF_LENGTH = 8192  # steps; the relief repeats after 16 um, more than any scan field
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # of a Gaussian, over its standard deviation


@dataclass(frozen=True)
class Relief:
    """How far the interface stands off its mean plane, m: `shift` along y, a mean over depth; `rest`, rms in depth."""

    shift: Array
    rest: float

    @classmethod
    def of(cls, interphase: Interphase | None, thickness: float, random: np.random.Generator) -> Relief:
        """A Gaussian surface with the rms of the interphase and the correlation exp(-r^2/l^2)."""
        if interphase is None or interphase.roughness == 0.0:
            return cls(np.zeros(1), 0.0)
        depth = max(round(thickness / _RELIEF_STEP), 1)
        spread = interphase.correlation / 2.0 / _RELIEF_STEP
        surface = gaussian_filter(random.standard_normal((_RELIEF_LENGTH, depth)), spread, mode=("wrap", "reflect"))
        surface *= interphase.roughness / surface.std()
        shift = surface.mean(axis=1)
        return cls(shift, float((surface - shift[:, None]).std()))


@dataclass(frozen=True)
class Exposed:
    """A run of pixels with the beam on, one after the other.

    places: of the lamella's grid, shape (n,).  electrons: expected, a pixel.  left: element -> share not yet lost,
    shape (n,).  ice: on both faces, m.  dwell: s.  start: clock time of the first pixel, s.
    """

    places: NDArray[np.intp]
    electrons: float
    left: Mapping[str, Array]
    ice: float
    dwell: float
    start: float


class Lamella:
    """Columns of atoms through the slab, on a fine grid along x that the relief of the interface shifts from y to y.

    reach: how far from the middle of the interphase the lamella is worked out, m; beyond, it goes on as it ends.
    middle: x where the scan field is centred at first light.  areal: element -> atoms per m^2 at each place of the
    grid, seen edge-on with the interface's inclination and roughness, without ice, before any loss.  inside: 1 in the
    lamella, 0 in the vacuum around it.  metal: metallic lithium, m.
    """

    def __init__(self, sample: Sample, optics: Optics, reach: float, random: np.random.Generator) -> None:
        bounds = sample.bounds()
        environment, interphase = sample.environment, sample.interphase
        self.middle = sample.middle
        self.thickness = environment.lamella_thickness
        self._origin = max(float(bounds[0]) - _BEYOND, self.middle - reach)
        x = np.arange(self._origin, min(float(bounds[-1]) + _BEYOND, self.middle + reach), STEP)
        self._last = len(x) - 1
        self._relief = Relief.of(interphase, self.thickness, random)
        self._slant = abs(float(np.tan(interphase.inclination))) * self.thickness if interphase else 0.0

        within = ((x >= bounds[0]) & (x < bounds[-1])).astype(np.float64)
        metallic = sample.metallic_lithium(x)
        shell = 2.0 * environment.lithium_shell * metallic
        columns = {element: atoms * (self.thickness - shell) for element, atoms in sample.atoms(x).items()}
        for film, depth in (
            (material("Li2O"), shell),
            (material("C"), environment.carbon * within),
            (material("Cu"), environment.copper * within),
        ):
            for element, density in film.number_densities.items():
                columns[element] = columns.get(element, 0.0) + density * depth
        self.areal = {element: self._through(column) for element, column in sorted(columns.items()) if np.any(column)}
        self.inside = self._through(within)
        self.metal = self._through(metallic * (self.thickness - shell))
        spread = broadening(material("LiPON"), optics.beam_energy, self.thickness)
        self._blur = float(np.hypot(optics.probe_fwhm, spread)) / FWHM / STEP

    def blurred(self, profile: Array) -> Array:
        """A profile along the grid as a focused beam sees it: probe and spread in the lamella added as squares."""
        return np.asarray(gaussian_filter1d(profile, self._blur, mode="nearest"), dtype=np.float64)

    def index(self, x: Array, y: Array) -> NDArray[np.intp]:
        """Places of the grid under points of the lamella frame, m; shapes as broadcast."""
        along = np.floor(y / _RELIEF_STEP).astype(np.intp) % len(self._relief.shift)
        place = (x - self._relief.shift[along] - self._origin) / STEP + 0.5
        return np.clip(place.astype(np.intp), 0, self._last)

    def _through(self, profile: Array) -> Array:
        """A profile smeared by the interface's slant through the slab and by its roughness in depth."""
        smeared = uniform_filter1d(profile, max(round(self._slant / STEP), 1), mode="nearest")
        if self._relief.rest > 0.0:
            smeared = gaussian_filter1d(smeared, self._relief.rest / STEP, mode="nearest")
        return np.asarray(smeared, dtype=np.float64)


def broadening(solid: Material, beam_energy: float, thickness: float) -> float:
    """Diameter, m, by which a beam (eV) spreads on its way through a foil (m); formula and source: data/column.yaml."""
    charge = (
        sum(atoms * xraylib.SymbolToAtomicNumber(element) for element, atoms in solid.number_densities.items())
        / solid.atoms
    )
    factor: float = constants("column")["broadening"]
    return float(factor * charge / (beam_energy / 1e3) * np.sqrt(solid.atoms) * thickness**1.5)
