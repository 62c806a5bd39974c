"""Composition from counts: Cliff-Lorimer factors calibrated on a film of known composition, absorption taken back.

G. Cliff and G. Lorimer, J. Microsc. 103 (1975) 203; absorption of a layer: physics.xrays.absorption_factor. Lithium has
no line that is ever seen: every composition is that of the seen atoms alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.spectra import SpectrumFit
from physics import xrays
from physics.materials import Material, atom_mass

_ROUNDS = 6  # absorption hangs on the composition, and the other way round
_NUDGE = 1e-3  # relative, for derivatives
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Net counts of some elements, (elements,), with their covariance, in spectra of so many visits of a pixel."""

    elements: tuple[str, ...]
    values: Array
    covariance: Array
    visits: float = 1.0

    @classmethod
    def of(cls, fit: SpectrumFit, elements: Sequence[str], visits: float = 1.0) -> Counts:
        """Counts of all line families of each element in a fitted spectrum."""
        rows = np.array([[name.split()[0] == element for name in fit.shapes.names] for element in elements], float)
        return cls(tuple(elements), rows @ fit.counts, rows @ fit.covariance @ rows.T, visits)

    def less(self, element: str, share: float, error: float) -> Counts:
        """Without the share of an element's counts, +- error, that is no part of the film, such as oxygen of ice."""
        row = self.elements.index(element)
        scale = np.ones(len(self.elements))
        scale[row] = 1 - share
        covariance = self.covariance * np.outer(scale, scale)
        covariance[row, row] += (self.values[row] * error) ** 2
        return replace(self, values=self.values * scale, covariance=covariance)


@dataclass(frozen=True)
class Standard:
    """A film of known composition in the same lamella: what its counts say of the detector.

    material: as the operator states it; taken as exact.  path: of X-rays through the lamella there, m, with its
    relative standard uncertainty, which is that of the lamella everywhere.
    """

    counts: Counts
    material: Material
    path: float
    path_uncertainty: float = 0.0

    def factors(self, reference: str, thicker: float = 1.0) -> Array:
        """Cliff-Lorimer factors by number of atoms, (elements,): n_A/n_ref = k_A (I_A/a_A) / (I_ref/a_ref), a absorbed.

        thicker: by what factor the path is really longer than believed.
        """
        densities = self.material.number_densities
        stated = np.array([densities[e] for e in self.counts.elements])
        leaves = _leaving(self.counts.elements, densities, self.path * thicker)
        atoms_a_count = stated / (self.counts.values / leaves)
        return np.asarray(atoms_a_count / atoms_a_count[self.counts.elements.index(reference)])


@dataclass(frozen=True)
class Factors:
    """Cliff-Lorimer factors to a reference element (whose own is 1) and their standard uncertainties."""

    reference: str
    values: Mapping[str, float]
    errors: Mapping[str, float]


@dataclass(frozen=True)
class Composition:
    """Share of each element among the atoms that are seen (lithium never is), in at%, and standard uncertainties."""

    percent: Mapping[str, float]
    errors: Mapping[str, float]


def factors(standard: Standard, reference: str) -> Factors:
    """Return the factors that a standard gives, with counting errors and those of its thickness."""
    names = standard.counts.elements
    values = standard.factors(reference)

    def of(counts: Array, thicker: float) -> Array:
        return replace(standard, counts=replace(standard.counts, values=counts)).factors(reference, thicker)

    by_counts = _derivative(lambda c: of(c, 1.0), standard.counts.values)
    by_path = (of(standard.counts.values, 1 + _NUDGE) - values) / _NUDGE * standard.path_uncertainty
    covariance = by_counts @ standard.counts.covariance @ by_counts.T + np.outer(by_path, by_path)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return Factors(reference, dict(zip(names, values.tolist(), strict=True)), dict(zip(names, errors, strict=True)))


def quantify(counts: Counts, standard: Standard, path: float, host: Material | None = None) -> Composition:
    """Return the composition of what some counts come from, in the lamella that holds the standard.

    path: of X-rays through it, m, as uncertain as that of the standard.  host: what the standard's film becomes where
    it has vanished (metallic lithium), as far as the counts of a visit say that it has; None where it is whole.
    Counting errors, those of the factors and that of the thickness are carried through. ValueError for elements that
    the standard has not, or without counts.
    """
    if counts.elements != standard.counts.elements:
        raise ValueError(f"counts of {counts.elements} do not match the standard's {standard.counts.elements}")
    if not counts.values.sum() > 0:
        raise ValueError("no counts to quantify")
    reference = counts.elements[0]

    def shares(here: Array, there: Array, thicker: float) -> Array:
        known = replace(standard, counts=replace(standard.counts, values=there))
        weigh = known.factors(reference, thicker)
        whole = _atoms(there, known, weigh, thicker) / standard.counts.visits
        films = standard.material.number_densities
        stated = sum(films[e] for e in counts.elements)
        mix = weigh * np.maximum(here, 0.0)
        atoms = np.maximum(mix, 0.0)
        for _ in range(_ROUNDS):
            share = atoms / atoms.sum()
            filled = min(atoms.sum() / counts.visits / whole, 1.0) if host is not None else 1.0
            densities = {e: stated * filled * s for e, s in zip(counts.elements, share.tolist(), strict=True)}
            for e in {*films, *(host.number_densities if host else {})} - {*counts.elements}:
                gone = host.number_densities.get(e, 0.0) * (1 - filled) if host else 0.0
                densities[e] = films.get(e, 0.0) * filled + gone
            atoms = mix / _leaving(counts.elements, densities, path * thicker)
        atoms = weigh * here / _leaving(counts.elements, densities, path * thicker)
        return np.asarray(atoms / atoms.sum())

    here, there = counts.values, standard.counts.values
    found = shares(here, there, 1.0)
    by_here = _derivative(lambda c: shares(c, there, 1.0), here)
    by_there = _derivative(lambda c: shares(here, c, 1.0), there)
    by_path = (shares(here, there, 1 + _NUDGE) - found) / _NUDGE * standard.path_uncertainty
    covariance = by_here @ counts.covariance @ by_here.T + by_there @ standard.counts.covariance @ by_there.T
    errors = np.sqrt(np.maximum(np.diag(covariance) + by_path**2, 0.0))
    return Composition(
        dict(zip(counts.elements, (100 * found).tolist(), strict=True)),
        dict(zip(counts.elements, (100 * errors).tolist(), strict=True)),
    )


def _atoms(counts: Array, standard: Standard, weigh: Array, thicker: float) -> float:
    leaves = _leaving(standard.counts.elements, standard.material.number_densities, standard.path * thicker)
    return float((weigh * counts / leaves).sum())


def _leaving(elements: Sequence[str], densities: Mapping[str, float], path: float) -> Array:
    """Share of each element's K X-rays that leaves a layer of some atoms per m^3."""
    energies = np.array([_energy(e) for e in elements])
    attenuation = sum(n * atom_mass(e) * xrays.mass_attenuation({e: 1.0}, energies) for e, n in densities.items())
    return xrays.absorption_factor(np.asarray(attenuation) * path)


def _energy(element: str) -> float:
    """Of an element's K line, eV; which one it has does not hang on the energy of the beam."""
    return next(line.energy for line in xrays.lines(element, 200e3) if line.name.startswith("K"))


def _derivative(function: Callable[[Array], Array], at: Array) -> Array:
    """Jacobian (results, arguments), by small steps of each argument."""
    steps = _NUDGE * np.maximum(np.abs(at), 1e-3 * np.abs(at).max())
    columns = [(function(at + step) - function(at - step)) / (2 * step.sum()) for step in np.diag(steps)]
    return np.stack(columns, axis=1)
