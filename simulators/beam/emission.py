"""What a lamella shines with under the beam: photons that the EDS detector counts from every place of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xraylib
from numpy.typing import NDArray

from drivers.rigfile import Optics
from physics.materials import atom_mass, material
from physics.xray_detector import efficiency
from physics.xrays import (
    Line,
    absorption_factor,
    bremsstrahlung,
    lines,
    mass_attenuation,
    silicon_escape_fraction,
    way_out,
)
from simulators.constants import constants
from simulators.sample.lamella import Exposed, Lamella

Array = NDArray[np.float64]

TOP = 40e3  # eV; above, the silicon is transparent and no pulse processor of this kind looks
CONTINUUM = np.geomspace(100.0, TOP, 600)  # eV
_HEAVIEST = 92
_MIDDLE = 1e3  # eV, of the continuum
_BLOCK = 512  # places worked out at a time


@dataclass(frozen=True)
class Response:
    """What a detector does that is not written on it.

    solid_angle: true over nominal.  yields: element -> counts of its lines over what the atomic data say, 1 where it
    is not named.  window_ice: m of ice on the cold detector.
    """

    solid_angle: float = 1.0
    yields: Mapping[str, float] = field(default_factory=dict)
    window_ice: float = 0.0

    @classmethod
    def drawn(cls, window_ice: float, random: np.random.Generator, *, hidden_errors: bool) -> Response:
        """One detector; with hidden errors it is off by as much as data/eds.yaml allows."""
        bounds = constants("eds")["hidden"]
        off = (random.uniform(-1.0, 1.0, _HEAVIEST + 1) * hidden_errors).tolist()
        yields = {}
        for z in range(1, _HEAVIEST + 1):
            element = xraylib.AtomicNumberToSymbol(z)
            yields[element] = 1.0 + off[z] * bounds["yields"].get(element, bounds["other_yields"])
        return cls(1.0 + off[0] * bounds["solid_angle"], yields, window_ice)


@dataclass(frozen=True)
class Family:
    """The lines of one element into one shell.

    energies: eV.  counts: photons counted per electron and atom in a m^2, without the sample's absorption.  reached:
    cumulated share of them.  escape: share that leaves the energy of silicon's line less in the detector.
    """

    element: str
    energies: Array
    counts: Array
    reached: Array
    escape: Array

    @classmethod
    def of(cls, element: str, members: list[Line], steradians: float, window_ice: float) -> Family:
        """From the atomic data and the detector's efficiency; steradians: of the detector, as it counts them."""
        energies = np.array([line.energy for line in members])
        emitted = np.array([line.cross_section for line in members])
        counts = emitted * efficiency(energies, window_ice) * (steradians / (4.0 * np.pi))
        escape = np.array([silicon_escape_fraction(energy) for energy in energies.tolist()])
        return cls(element, energies, counts, np.cumsum(counts) / counts.sum(), escape)


class Emission:
    """Photons counted per electron at the places of a lamella: a row a family of lines, the last the continuum.

    Lines: columns of atoms x emission cross-section x solid angle / 4 pi x efficiency x absorption on the way out
    through the slab as it is there (physics/xrays.py, physics/xray_detector.py). The continuum is given without that
    absorption; `leaving` says what is left of it. Worked out block by block, when somebody looks there.
    """

    def __init__(self, lamella: Lamella, optics: Optics, response: Response) -> None:
        self._way_out = way_out(optics.eds_elevation, optics.eds_azimuth, lamella.tilt)
        self._inside = lamella.inside
        self._elements = tuple(sorted({*lamella.areal, "C", "O"}))  # carbon grows, and ice
        # what the probe blurs is atoms; that their absorption is blurred with them is no matter
        columns = [lamella.blurred(lamella.areal.get(el, np.zeros_like(lamella.inside))) for el in self._elements]
        self._areal = np.column_stack(columns).astype(np.float32)
        self.families = self._found(optics, response)
        self._owner = [self._elements.index(family.element) for family in self.families]
        self._carbon, self._oxygen = ([f.element for f in self.families].index(element) for element in ("C", "O"))
        energies = np.concatenate([family.energies for family in self.families])
        self._counts = np.concatenate([family.counts for family in self.families])
        self._first = np.cumsum([0, *(len(family.energies) for family in self.families)])[:-1]
        self._of_line = np.repeat(self._owner, [len(family.energies) for family in self.families])
        self._line_absorbed = self._absorbed(energies).T

        shining = efficiency(CONTINUUM, response.window_ice) * optics.eds_solid_angle * response.solid_angle
        per_charge = bremsstrahlung({"H": 1.0}, optics.beam_energy, CONTINUUM) * shining
        cumulated = np.cumsum((per_charge[1:] + per_charge[:-1]) / 2.0 * np.diff(CONTINUUM))
        charges = np.array([xraylib.SymbolToAtomicNumber(element) for element in self._elements])
        self._braking = cumulated[-1] * charges.astype(np.float64) ** 2
        self.continuum = np.concatenate([[0.0], cumulated / cumulated[-1]])
        self._continuum_absorbed = self._absorbed(CONTINUUM)

        water = material("ice")
        middle = [float(np.average(family.energies, weights=family.counts)) for family in self.families]
        per_metre = mass_attenuation(water.mass_fractions, [*middle, _MIDDLE]) * water.density
        self._ice_takes = per_metre / 2.0 * self._way_out  # the face towards the detector has half of it
        self._ice_gives = water.number_densities["O"] * float(self.families[self._oxygen].counts.sum())
        self._carbon_gives = material("C").number_densities["C"] * float(self.families[self._carbon].counts.sum())
        self._known = np.zeros(len(self._areal) // _BLOCK + 1, dtype=bool)
        self._table = np.empty((len(self.families) + 3, len(self._areal)), dtype=np.float32)

    def of(self, run: Exposed) -> list[Array]:
        """Photons per electron from each pixel of a run, (families + 1, pixels), ice and what was lost and grown in."""
        *found, through_oxygen, through_carbon = self._at(run.places)
        for each, family in zip(found, self.families, strict=False):
            if family.element in run.left:
                each *= run.left[family.element]
        for each, attenuation in zip(found, self._ice_takes, strict=True):
            each *= np.exp(-attenuation * run.ice)
        found[self._oxygen] += through_oxygen * self._inside[run.places] * (run.ice * self._ice_gives)
        found[self._carbon] += through_carbon * run.carbon * self._carbon_gives
        return found

    def _at(self, places: NDArray[np.intp]) -> Array:
        """What the table has at places; where nobody has looked yet, it is worked out.

        A row a family, the continuum, and what of the lines of oxygen and of carbon leaves from the faces.
        """
        asked = np.bincount(places // _BLOCK, minlength=len(self._known)) > 0
        for block in np.flatnonzero(asked & ~self._known).tolist():
            rows = slice(block * _BLOCK, (block + 1) * _BLOCK)
            areal = self._areal[rows].astype(np.float64)
            depth = areal @ self._line_absorbed * self._way_out
            counted = areal[:, self._of_line] * self._counts * absorption_factor(depth)
            self._table[:-3, rows] = np.add.reduceat(counted, self._first, axis=1).T
            self._table[-3, rows] = areal @ self._braking
            faces = depth[:, self._first[[self._oxygen, self._carbon]]]
            self._table[-2:, rows] = (1.0 + np.exp(-faces.T)) / 2.0  # of one through the slab, of the other freely
            self._known[block] = True
        return np.take(self._table, places, axis=1).astype(np.float64)

    def leaving(self, places: NDArray[np.intp], energy: NDArray[np.intp]) -> Array:
        """Share of photons of the continuum that the slab lets out, (n,); energy: which of CONTINUUM."""
        depth = np.einsum("ne,ne->n", self._areal[places], self._continuum_absorbed[energy])
        return absorption_factor(depth * self._way_out)

    def _found(self, optics: Optics, response: Response) -> list[Family]:
        """The families of lines, element by element."""
        families = []
        for element in self._elements:
            shells: dict[str, list[Line]] = {}
            for line in lines(element, optics.beam_energy):
                if line.energy < TOP:
                    shells.setdefault(line.name[0], []).append(line)
            steradians = optics.eds_solid_angle * response.solid_angle * response.yields.get(element, 1.0)
            families += [Family.of(element, found, steradians, response.window_ice) for found in shells.values()]
        return families

    def _absorbed(self, energies: Array) -> Array:
        """Attenuation by an atom in a m^2, (energies, elements)."""
        return np.column_stack([atom_mass(el) * mass_attenuation({el: 1.0}, energies) for el in self._elements])
