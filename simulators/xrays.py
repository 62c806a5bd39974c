"""X-rays: photons the EDS detector absorbs, one by one, with their arrival time and the energy they leave in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.rigfile import Optics
from physics.materials import atom_mass, material
from physics.xray_detector import efficiency, fwhm
from physics.xrays import (
    Line,
    absorption_factor,
    bremsstrahlung,
    lines,
    mass_attenuation,
    silicon_escape_energy,
    silicon_escape_fraction,
)
from simulators.lamella import FWHM, Exposed, Lamella

Array = NDArray[np.float64]

_TOP = 40e3  # eV; above, the silicon is transparent and no pulse processor of this kind looks
_CONTINUUM = np.geomspace(100.0, _TOP, 600)
_UNHEARD = 2_000_000  # photons kept while nobody reads them


@dataclass(frozen=True)
class Family:
    """Lines of one element into one shell: photons counted per electron along the grid, energies in eV, shares."""

    element: str
    yields: Array
    energies: Array
    shares: Array


class Eds:
    """The detector crystal: photons in, (time, energy) out; dead time and channels are the pulse processor's.

    Counts: columns of atoms x emission cross-sections x solid angle / 4 pi x efficiency x absorption on the way out
    through the slab (physics/xrays.py, physics/xray_detector.py). The continuum has one shape, that of the electrolyte.
    """

    def __init__(self, lamella: Lamella, optics: Optics, random: np.random.Generator) -> None:
        self._random = random
        self._optics = optics
        self._caught = optics.eds_solid_angle / (4.0 * np.pi)
        self._way_out = 1.0 / float(np.sin(optics.eds_elevation))
        self._escape = np.array([silicon_escape_fraction(energy) for energy in _CONTINUUM])
        self._families = self._characteristic(lamella)
        per_electron, continuum = self._braking(lamella)
        table = np.column_stack(
            [lamella.blurred(family.yields) for family in self._families] + [lamella.blurred(per_electron)]
        )
        self._yields = np.ascontiguousarray(table)
        self._pools = [(family.energies, np.cumsum(family.shares)) for family in self._families] + [continuum]
        (oxygen,) = (line for line in lines("O", optics.beam_energy) if line.name == "Ka1")
        self._ice_yield = lamella.inside * self._bare(oxygen) * material("ice").number_densities["O"]
        self._oxygen = next(i for i, family in enumerate(self._families) if family.element == "O")
        self._waiting: list[tuple[Array, Array]] = []

    def photons(self, until: float) -> tuple[Array, Array]:
        """Clock times, s, and deposited energies, eV, of photons up to a time; each once, in order of time."""
        if not self._waiting:
            return np.empty(0), np.empty(0)
        times, energies = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        if len(self._waiting) > 1:
            order = np.argsort(times, kind="stable")
            times, energies = times[order], energies[order]
        ready = int(np.searchsorted(times, until, side="right"))
        self._waiting = [(times[ready:], energies[ready:])] if ready < len(times) else []
        return times[:ready], energies[:ready]

    def expose(self, run: Exposed) -> None:
        """Make the photons of a run of pixels."""
        expected = self._yields[run.places]
        for column, family in enumerate(self._families):
            if family.element in run.left:
                expected[:, column] *= run.left[family.element]
        expected[:, self._oxygen] += run.ice * self._ice_yield[run.places]
        edges = np.cumsum(expected, axis=1)
        counts = self._random.poisson(edges[:, -1] * run.electrons)
        pixel = np.repeat(np.arange(len(run.places)), counts)
        if len(pixel) == 0:
            return
        drawn = self._random.random(len(pixel)) * edges[pixel, -1]
        origin = (edges[pixel] <= drawn[:, None]).sum(axis=1)
        times = np.sort(pixel + self._random.random(len(pixel))) * run.dwell + run.start  # never leaves its pixel
        self._waiting.append((times, self._measured(self._energies(origin))))
        while len(self._waiting) > 1 and sum(len(part[0]) for part in self._waiting) > _UNHEARD:
            del self._waiting[0]

    def _bare(self, line: Line) -> float:
        """Photons counted per electron and per atom in a m^2, without absorption in the sample."""
        return line.cross_section * self._caught * float(efficiency(line.energy))

    def _absorption(self, areal: Mapping[str, Any], energies: Array | float) -> Array:
        """Share of photons that leaves columns of atoms towards the detector."""
        depth = sum(atoms * atom_mass(el) * mass_attenuation({el: 1.0}, energies) for el, atoms in areal.items())
        return absorption_factor(np.asarray(depth) * self._way_out)

    def _characteristic(self, lamella: Lamella) -> list[Family]:
        families = []
        for element, atoms in lamella.areal.items():
            shells: dict[str, list[Line]] = {}
            for line in lines(element, self._optics.beam_energy):
                if line.energy < _TOP:
                    shells.setdefault(line.name[0], []).append(line)
            for members in shells.values():
                yields = [atoms * self._bare(line) * self._absorption(lamella.areal, line.energy) for line in members]
                shares = np.array([each.sum() for each in yields])
                energies = np.array([line.energy for line in members])
                families.append(Family(element, np.sum(yields, axis=0), energies, shares / shares.sum()))
        return families

    def _braking(self, lamella: Lamella) -> tuple[Array, tuple[Array, Array]]:
        """Continuum photons counted per electron along the grid; energies and cumulated number in the electrolyte."""
        energy = self._optics.beam_energy
        column = {el: density * lamella.thickness for el, density in material("LiPON").number_densities.items()}
        spectrum = bremsstrahlung(column, energy, _CONTINUUM) * self._optics.eds_solid_angle * efficiency(_CONTINUUM)
        spectrum = spectrum * self._absorption(column, _CONTINUUM)
        cumulated = np.concatenate([[0.0], np.cumsum((spectrum[1:] + spectrum[:-1]) / 2.0 * np.diff(_CONTINUUM))])
        weights = {el: float(bremsstrahlung({el: 1.0}, energy, 1e3)) for el in sorted({*lamella.areal, *column})}
        here = sum(atoms * weights[el] for el, atoms in lamella.areal.items())
        there = sum(atoms * weights[el] for el, atoms in column.items())
        return np.asarray(cumulated[-1] * here / there), (_CONTINUUM, cumulated)

    def _energies(self, origin: NDArray[np.intp]) -> Array:
        """Energy of each photon, eV, from where it comes."""
        energies = np.empty(len(origin))
        for index, (values, cumulated) in enumerate(self._pools):
            mine = np.flatnonzero(origin == index)
            drawn = self._random.random(len(mine)) * cumulated[-1]
            if index < len(self._families):
                energies[mine] = values[np.searchsorted(cumulated, drawn, side="right").clip(max=len(values) - 1)]
            else:
                energies[mine] = np.interp(drawn, cumulated, values)
        return energies

    def _measured(self, energies: Array) -> Array:
        """What the crystal makes of photons: some silicon X-rays escape from it, and charge comes in whole pairs."""
        escape = np.interp(energies, _CONTINUUM, self._escape)
        lost = self._random.random(len(energies)) < escape
        kept = np.where(lost, energies + silicon_escape_energy(0.0), energies)
        spread = fwhm(kept, self._optics.eds_fwhm_mn) / FWHM
        return np.asarray(kept + spread * self._random.standard_normal(len(kept)))
