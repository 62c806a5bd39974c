"""Ionisation of inner shells by electrons.

Source: D. Bote and F. Salvat, Phys. Rev. A 77 (2008) 042701; D. Bote et al., At. Data Nucl. Data Tables 95 (2009) 871;
coefficients in data/bote_salvat.csv.
"""

import csv
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import physical_constants

from physics.electrons import REST_ENERGY
from physics.tables import text

_AREA = 4 * np.pi * physical_constants["Bohr radius"][0] ** 2  # m^2
_OVERVOLTAGE = 16.0  # where the two forms of the fit meet


@dataclass(frozen=True)
class Shell:
    """Coefficients of one shell; edge in eV, the others in the notation of the paper."""

    edge: float
    be: float
    anlj: float
    g: tuple[float, float, float, float]
    a: tuple[float, float, float, float, float]

    def cross_section(self, energy: ArrayLike) -> NDArray[np.float64]:
        """Return the cross-section in m^2 for electrons of these energies (eV, any shape); 0 at and below the edge."""
        given = np.asarray(energy, dtype=np.float64)
        u = np.maximum(given / self.edge, 1.0)
        area: NDArray[np.float64] = _AREA * np.where(u <= _OVERVOLTAGE, self._near(u), self._far(u))
        return area

    def _near(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        a1, a2, a3, a4, a5 = self.a
        o = 1 / (1 + u)
        f = a1 + a2 * u + o * (a3 + o**2 * (a4 + o**2 * a5))
        return (u - 1) * (f / u) ** 2

    def _far(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        g1, g2, g3, g4 = self.g
        total = u * self.edge + REST_ENERGY
        momentum = np.sqrt(total**2 - REST_ENERGY**2) / REST_ENERGY
        beta2 = 1 - (REST_ENERGY / total) ** 2
        f = (
            (2 * np.log(momentum) - beta2) * (1 + g1 / momentum)
            + g2
            + g3 * np.sqrt(REST_ENERGY / total)
            + g4 / momentum
        )
        return self.anlj / beta2 * u / (u + self.be) * f


def cross_section(element: str, shell: str, energy: float) -> float:
    """Return the cross-section in m^2 for ionisation of a shell ("K", "L1" ... "M5") by an electron of an energy in eV.

    ValueError for an element or shell that the table lacks, or an energy that is not positive.
    """
    if not energy > 0:
        raise ValueError(f"electron energy {energy!r} eV is not positive")
    found = shells(element).get(shell)
    if found is None:
        raise ValueError(f"no ionisation cross-section of {element} {shell} in bote_salvat.csv")
    return float(found.cross_section(energy))


def shells(element: str) -> dict[str, Shell]:
    """Return the shells of an element by name; empty for an element that the table lacks."""
    return dict(_coefficients().get(element, {}))


@cache
def _coefficients() -> dict[str, dict[str, Shell]]:
    elements: dict[str, dict[str, Shell]] = {}
    lines = [line for line in text("bote_salvat.csv").splitlines() if not line.startswith("#")]
    for row in csv.DictReader(lines):
        g1, g2, g3, g4 = (float(row[name]) for name in ("g1", "g2", "g3", "g4"))
        a1, a2, a3, a4, a5 = (float(row[name]) for name in ("a1", "a2", "a3", "a4", "a5"))
        shell = Shell(
            edge=float(row["edge_eV"]),
            be=float(row["be"]),
            anlj=float(row["anlj"]),
            g=(g1, g2, g3, g4),
            a=(a1, a2, a3, a4, a5),
        )
        elements.setdefault(row["element"], {})[row["shell"]] = shell
    return elements
