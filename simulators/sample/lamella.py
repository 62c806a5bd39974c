"""The lamella: a slab cut across the film, as columns of atoms under the beam.

The frame of the lamella: x along the film normal, y along the interface, both in m; x = 0 as in the sample file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xraylib
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from drivers.rigfile import Optics
from physics.materials import Material, material
from simulators.constants import constants
from simulators.sample.file import Sample
from simulators.sample.slab import STEP as ROW
from simulators.sample.slab import Slab
from simulators.sample.stack import Film, Interphase

Array = NDArray[np.float64]

STEP = 0.25e-9  # m along x: finer than any probe that is not corrected
_LEVEL = 2e-9  # m of thickness from one level to the next, at most
_BEYOND = 100e-9  # m of vacuum kept at either end of the stack
_BESIDE = 40e-9  # m kept on each side of a contact, besides what slant and relief smear
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # of a Gaussian, over its standard deviation


@dataclass(frozen=True)
class Exposed:
    """A run of pixels with the beam on, one after the other.

    places: of the lamella's table, shape (n,).  electrons: expected, a pixel.  left: element -> share not yet lost,
    shape (n,).  ice: on both faces, m.  dwell: s.  start: clock time of the first pixel, s.  carbon: grown under the
    beam, m, (n,).  x, y: in the frame of the beam, m, (n,).  fluence: received there by the middle of the run, m^-2.
    """

    places: NDArray[np.intp]
    electrons: float
    left: Mapping[str, Array]
    ice: float
    dwell: float
    start: float
    carbon: Array
    x: Array
    y: Array
    fluence: Array


class Lamella:
    """Columns of atoms through the slab: a table by level of thickness and by place along x, one level after the other.

    Places along x lie a quarter of a nanometre apart about every contact; the even stretches between are left out. The
    relief of the interface shifts them from y to y.

    reach: how far from the middle of the interphase the lamella is worked out, m; beyond, it goes on as it ends.
    tilt: of the goniometer, rad.  middle: x where the scan field is centred at first light, and about which it turns.
    """

    def __init__(self, sample: Sample, optics: Optics, reach: float, slab: Slab, tilt: float = 0.0) -> None:
        self._sample, self._optics, self._reach, self.slab, self.tilt = sample, optics, reach, slab, tilt
        self.middle = slab.pivot
        cut = slab.cut
        count = int(np.ceil((cut.thick - cut.thin) / _LEVEL - 1e-6)) + 1
        self._levels = np.linspace(cut.thin, cut.thick, count)
        self._slope = abs(float(np.tan(slab.inclination) - np.tan(tilt)))
        self._shift = slab.relief.shift(cut)

        self._x, self._knots = _grid(self._stretches())

    def tilted(self, tilt: float) -> Lamella:
        """The same lamella under another tilt, rad."""
        return Lamella(self._sample, self._optics, self._reach, self.slab, tilt)

    @property
    def elements(self) -> tuple[str, ...]:
        """All that its columns hold, sorted."""
        return tuple(sorted({*self._sample.elements(), *self._films}))

    @cached_property
    def areal(self) -> dict[str, Array]:
        """Element -> atoms per m^2 at each place of the table, along the beam, without ice, before any loss."""
        return dict(zip(self.elements, self._columns[2:], strict=True))

    @property
    def inside(self) -> Array:
        """1 in the lamella, 0 in the vacuum around it, at each place of the table."""
        return np.asarray(self._columns[0])

    @property
    def metal(self) -> Array:
        """Metallic lithium along the beam, m, at each place of the table."""
        return np.asarray(self._columns[1])

    @cached_property
    def grained(self) -> dict[str, Array]:
        """Film of grains, such as "Li" -> metres of it along the beam, at each place of the table."""
        found, secant = {"Li": np.maximum(self.metal, 0.0)}, 1.0 / np.cos(self.tilt)
        on_faces = {"Cu": self._sample.environment.copper * secant * self.inside}
        for phase in {layer.material for layer in self._sample.stack if isinstance(layer, Film)} & {"Cu", "Si"}:
            depth = self.areal[phase] / material(phase).number_densities[phase]
            found[phase] = np.maximum(depth - on_faces.get(phase, 0.0), 0.0)
        return found

    @cached_property
    def thickness(self) -> Array:
        """Of the slab along the beam, m, at each place of the table."""
        return np.asarray(np.repeat(self._levels, len(self._x)) / np.cos(self.tilt))

    def blurred(self, profile: Array) -> Array:
        """A profile along the table as a focused beam sees it: probe and spread in the lamella added as squares."""
        lipon, secant = material("LiPON"), 1.0 / np.cos(self.tilt)
        rows = np.empty((len(self._levels), len(self._x)))
        for row, level, thickness in zip(rows, profile.reshape(rows.shape), self._levels, strict=True):
            spread = broadening(lipon, self._optics.beam_energy, thickness * secant)
            blur = float(np.hypot(self._optics.probe_fwhm, spread)) * secant / FWHM / STEP
            gaussian_filter1d(level, blur, output=row, mode="nearest")
        return np.asarray(rows.ravel())

    def index(self, x: Array, y: Array) -> NDArray[np.intp]:
        """Places of the table under points of the lamella frame, m; shapes as broadcast."""
        along = np.floor(y / ROW).astype(np.intp) % len(self._shift)
        place = np.interp(x - self._shift[along], *self._knots) + 0.5
        step = self._levels[1] - self._levels[0] if len(self._levels) > 1 else np.inf
        level = ((self.slab.cut.at(y) - self._levels[0]) / step + 0.5).astype(np.intp)
        return np.asarray(level * len(self._x) + place.astype(np.intp))

    def _stretches(self) -> list[tuple[float, float]]:
        """Stretches of x about every contact, m; two neighbours are of the same stuff where they are cut."""
        bounds, middle = self._sample.bounds().tolist(), self.middle
        first, last = max(bounds[0] - _BEYOND, middle - self._reach), min(bounds[-1] + _BEYOND, middle + self._reach)
        smeared = self._slope * self.slab.cut.thick / 2.0 + 4.0 * self._sample.interface.roughness
        beside = _BESIDE + smeared
        wanted = [(first, first + STEP), (last - STEP, last)]
        wanted += [(contact - beside, contact + beside) for contact in bounds]
        for layer, low, high in zip(self._sample.stack, bounds, bounds[1:], strict=False):
            wanted += [(low, high)] if isinstance(layer, Interphase) else []
        found: list[tuple[float, float]] = []
        for low, high in sorted((max(low, first), min(high, last)) for low, high in wanted):
            if found and low <= found[-1][1] + 2.0 * STEP:
                found[-1] = found[-1][0], max(high, found[-1][1])
            elif high - low > STEP / 2.0:
                found.append((low, high))
        return found

    @cached_property
    def _films(self) -> dict[str, Array]:
        """Element -> atoms per m^3 of the lithium's shell and of what lies on the faces; of the ions, per m^2."""
        found: dict[str, Array] = {}
        there = ("Li2O", "C", "Cu", "Pt") if self._sample.environment.platinum > 0.0 else ("Li2O", "C", "Cu")
        for column, name in enumerate(there):
            for element, density in material(name).number_densities.items():
                found.setdefault(element, np.zeros(5))[column] = density
        found["Ga"] = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
        return found

    @cached_property
    def _columns(self) -> Array:
        """(what, places of the table): inside, metal, then the elements."""
        sample, x, secant = self._sample, self._x, 1.0 / np.cos(self.tilt)
        environment, bounds = sample.environment, sample.bounds()
        within = ((x >= bounds[0]) & (x < bounds[-1])).astype(np.float64)
        metallic, atoms = sample.metallic_lithium(x), sample.atoms(x)
        shell = 2.0 * environment.shell * metallic
        on_them = environment.carbon, environment.copper, environment.platinum, environment.gallium
        films = np.stack([shell, *(each * within for each in on_them)])
        none = np.zeros_like(x)
        whole = np.stack([none, metallic, *(atoms.get(element, none) for element in self.elements)])
        on_faces = [self._films.get(element, np.zeros(5)) @ films for element in self.elements]
        fixed = np.stack([within, -metallic * shell, *on_faces])
        fixed[2:] -= np.stack([atoms.get(element, none) * shell for element in self.elements])
        fixed[1:] *= secant
        table = np.empty((len(whole), len(self._levels), len(x)))
        for level, thickness in enumerate(self._levels):
            columns = fixed + whole * (thickness * secant)
            smear = max(round(self._slope * thickness / STEP), 1)
            rest = self.slab.relief.rest(thickness) / STEP
            columns = uniform_filter1d(columns, smear, axis=1, mode="nearest")
            table[:, level] = gaussian_filter1d(columns, rest, axis=1, mode="nearest") if rest > 0.0 else columns
        return table.reshape(len(whole), -1)


def _grid(stretches: list[tuple[float, float]]) -> tuple[Array, tuple[Array, Array]]:
    """Places along x in stretches, m; and for looking up: x at the ends of the stretches, m, and the places there."""
    parts = [np.arange(low, high, STEP) for low, high in stretches]
    ends = np.cumsum([len(part) for part in parts])
    x = np.array([part[[0, -1]] for part in parts]).ravel()
    place = np.column_stack([np.concatenate([[0], ends[:-1]]), ends - 1]).ravel().astype(np.float64)
    return np.concatenate(parts), (x, place)


def broadening(solid: Material, beam_energy: float, thickness: float) -> float:
    """Diameter, m, by which a beam (eV) spreads on its way through a foil (m); formula and source: data/column.yaml."""
    charge = (
        sum(atoms * xraylib.SymbolToAtomicNumber(element) for element, atoms in solid.number_densities.items())
        / solid.atoms
    )
    factor: float = constants("column")["broadening"]
    return float(factor * charge / (beam_energy / 1e3) * np.sqrt(solid.atoms) * thickness**1.5)
