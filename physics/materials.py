"""What things are made of: densities and numbers of atoms, from data/materials.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import xraylib
from scipy.constants import atomic_mass

from physics.tables import table
from physics.units import parse


@dataclass(frozen=True)
class Material:
    """A homogeneous solid; density in kg/m^3, number_densities: element -> atoms per m^3."""

    name: str
    density: float
    number_densities: Mapping[str, float]
    source: str

    @property
    def atoms(self) -> float:
        """All atoms per m^3."""
        return sum(self.number_densities.values())

    @property
    def mass_fractions(self) -> dict[str, float]:
        """Element -> share of the mass; they sum to 1."""
        return mass_fractions(self.number_densities)


@cache
def material(name: str) -> Material:
    """Return the material of that name ("LiPON", "Cu" ...); ValueError names them all if there is none."""
    if name not in table("materials"):
        raise ValueError(f'no material "{name}" in materials.yaml. There are: {", ".join(names())}')
    entry = table("materials")[name]
    density = parse(entry["density"], "density")
    unit = sum(count * atom_mass(element) for element, count in entry["atoms"].items())
    numbers = {element: count * density / unit for element, count in entry["atoms"].items()}
    return Material(name=name, density=density, number_densities=numbers, source=entry["source"])


def names() -> tuple[str, ...]:
    """Return the names of all materials."""
    return tuple(table("materials"))


def atom_mass(element: str) -> float:
    """Return the mean mass of an atom in kg (standard atomic weights of xraylib); ValueError for an unknown symbol."""
    return float(xraylib.AtomicWeight(xraylib.SymbolToAtomicNumber(element)) * atomic_mass)


def mass_fractions(atoms: Mapping[str, float]) -> dict[str, float]:
    """Return element -> share of the mass for element -> atoms, in any common measure (per m^3, m^2, formula)."""
    masses = {element: count * atom_mass(element) for element, count in atoms.items()}
    whole = sum(masses.values())
    if not whole > 0:
        raise ValueError("there are no atoms to take mass fractions of")
    return {element: mass / whole for element, mass in masses.items()}
