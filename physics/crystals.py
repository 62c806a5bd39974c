"""Crystals: where their atoms are, how they contract in the cold, and what they diffract. Data in data/crystals.yaml.

Conventions: g = 1/d without 2 pi; the potential is V(r) = sum of V_g exp(2 pi i g.r), positive where atoms are. The
crystal's Cartesian frame has a along x and b in the plane of x and y.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.constants import Planck, electron_mass, elementary_charge
from scipy.integrate import quad

from physics.elastic import form_factor
from physics.tables import table
from physics.units import parse

Array = NDArray[np.float64]

_ANGSTROM = 1e-10
_POTENTIAL = Planck**2 / (2 * math.pi * electron_mass * elementary_charge)  # V m^2; 47.878 V A^2
_ABSENT = 1e-4  # of the strongest amplitude: what is weaker is a rule of extinction and a rounding
_SAME = 1e-6  # relative: spacings closer than this are one ring


@dataclass(frozen=True)
class Atom:
    """One atom of the cell: fractional position (in the cell) and how much of the place it fills."""

    element: str
    place: tuple[float, float, float]
    filling: float


@dataclass(frozen=True)
class Crystal:
    """A crystal: every atom of its cell, and the cell at any temperature."""

    name: str
    source: str
    atoms: tuple[Atom, ...]
    edges: tuple[float, float, float]
    angles: tuple[float, float, float]
    at: float
    debye: float
    contraction: tuple[float, float, float]
    b: float

    def cell(self, temperature: float) -> Array:
        """Return the edges a, b, c as rows, (3, 3), m, at a temperature in K; ValueError unless that is above 0."""
        alpha, beta, gamma = self.angles
        x = (math.cos(beta), (math.cos(alpha) - math.cos(beta) * math.cos(gamma)) / math.sin(gamma))
        directions = np.array(
            [
                [1, 0, 0],
                [math.cos(gamma), math.sin(gamma), 0],
                [*x, math.sqrt(1 - x[0] ** 2 - x[1] ** 2)],
            ]
        )
        length: Array = directions * np.array(self.edges)[:, None] * self._length(temperature)
        return length

    def volume(self, temperature: float) -> float:
        """Return the volume of the cell in m^3 at a temperature in K."""
        return float(np.linalg.det(self.cell(temperature)))

    def thermal(self, temperature: float) -> float:
        """Return the Debye-Waller B = 8 pi^2 <u^2> in m^2 at a temperature, K (Debye model through the table's)."""
        return self.b * _motion(temperature, self.debye) / _motion(self.at, self.debye)

    def _length(self, temperature: float) -> float:
        """Length over that at the temperature of the table: 1 plus what the Debye energy says."""
        if not temperature > 0:
            raise ValueError(f"{temperature!r} K is not a temperature of a crystal")
        warm, cold, share = self.contraction
        step = share / (_energy(warm, self.debye) - _energy(cold, self.debye))
        return 1 + step * (_energy(temperature, self.debye) - _energy(self.at, self.debye))


@dataclass(frozen=True)
class Reflections:
    """Reflections of one crystal, of both signs: indices (n, 3), g in 1/m (n, 3), potential V_g in V (n,)."""

    indices: NDArray[np.intp]
    g: Array
    potential: NDArray[np.complex128]

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class Spacing:
    """A ring of a powder: d in m, label such as "111", members (m, 3), strength: their |F|^2 times d, m^3."""

    d: float
    label: str
    members: NDArray[np.intp]
    strength: float


def names() -> tuple[str, ...]:
    """Return the names of all crystals."""
    return tuple(table("crystals"))


@cache
def crystal(name: str) -> Crystal:
    """Return the crystal of that name ("Li2O", "gamma-Li3PO4" ...); ValueError names them all if there is none."""
    if name not in table("crystals"):
        raise ValueError(f'no crystal "{name}" in crystals.yaml. There are: {", ".join(names())}')
    entry = table("crystals")[name]
    cell, shrinks = entry["cell"], entry["contraction"]
    a = parse(cell["a"], "length")
    return Crystal(
        name=name,
        source=entry["source"],
        atoms=tuple(_atoms(entry)),
        edges=(a, *(parse(cell[edge], "length") if edge in cell else a for edge in ("b", "c"))),  # type: ignore[arg-type]
        angles=tuple(parse(cell.get(angle, "90 deg"), "angle") for angle in ("alpha", "beta", "gamma")),  # type: ignore[arg-type]
        at=parse(entry["at"], "temperature"),
        debye=parse(entry["debye"], "temperature"),
        contraction=(
            parse(shrinks["from"], "temperature"),
            parse(shrinks["to"], "temperature"),
            parse(shrinks["length"], "fraction"),
        ),
        b=entry["b"] * _ANGSTROM**2,
    )


@lru_cache(maxsize=64)
def reflections(name: str, temperature: float, longest: float) -> Reflections:
    """Return all reflections of a crystal with 0 < |g| <= longest.

    temperature: K.  longest: 1/m. Absent reflections are left out. V_g = h^2/(2 pi m e) F_g / volume, with
    F_g = sum of f_e(g) exp(-B g^2/4) exp(-2 pi i g.r) over the atoms, f_e of physics.elastic (no relativistic factor).
    The arrays are shared: they are read-only. ValueError for an unknown name.
    """
    one = crystal(name)
    cell = one.cell(temperature)
    reach = np.floor(longest * np.linalg.norm(cell, axis=1)).astype(int)  # |h| = |g.a| <= |g| |a|
    axes = [np.arange(-limit, limit + 1) for limit in reach]
    indices = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    g = indices @ np.linalg.inv(cell).T
    length = np.linalg.norm(g, axis=1)
    within = (length > 0) & (length <= longest)
    indices, g, length = indices[within], g[within], length[within]
    factors = _structure_factors(one, indices, length) * np.exp(-one.thermal(temperature) * length**2 / 4)
    present = np.abs(factors) > _ABSENT * np.max(np.abs(factors), initial=0.0)
    potential = _POTENTIAL * factors[present] / one.volume(temperature)
    found = Reflections(indices[present], g[present], potential)
    for part in (found.indices, found.g, found.potential):
        part.flags.writeable = False
    return found


@lru_cache(maxsize=64)
def spacings(name: str, temperature: float, shortest: float) -> tuple[Spacing, ...]:
    """Return the rings of a crystal with d >= shortest, by descending d; arguments as reflections(), shortest in m."""
    found = reflections(name, temperature, 1 / shortest)
    length = np.linalg.norm(found.g, axis=1)
    order = np.argsort(length, kind="stable")
    strengths = np.abs(found.potential * crystal(name).volume(temperature) / _POTENTIAL) ** 2
    edges = np.flatnonzero(np.diff(length[order]) > _SAME * length[order][1:]) + 1
    rings = []
    for ring in np.split(order, edges):
        d = float(1 / np.mean(length[ring]))
        members = found.indices[np.sort(ring)]
        members.flags.writeable = False
        rings.append(Spacing(d, _label(members), members, float(np.sum(strengths[ring])) * d))
    return tuple(rings)


def _structure_factors(one: Crystal, indices: NDArray[np.intp], length: Array) -> NDArray[np.complex128]:
    """F_g in m without thermal motion."""
    rounded, where = np.unique(np.round(length * _ANGSTROM, 9), return_inverse=True)
    factors = np.zeros(len(indices), dtype=np.complex128)
    for element in sorted({atom.element for atom in one.atoms}):
        atoms = [atom for atom in one.atoms if atom.element == element]
        phases = np.exp(-2j * math.pi * (indices @ np.array([atom.place for atom in atoms]).T))
        amplitude = phases @ np.array([atom.filling for atom in atoms])
        factors += form_factor(element, rounded / _ANGSTROM)[where] * amplitude
    return factors


def _label(members: NDArray[np.intp]) -> str:
    """The member with the fewest minus signs, of those the greatest: "210"; apart where an index has two digits."""
    h, k, m = min(members.tolist(), key=lambda member: (sum(i < 0 for i in member), [-i for i in member]))
    return (" " if max(abs(h), abs(k), abs(m)) > 9 else "").join(str(i) for i in (h, k, m))


def _motion(temperature: float, debye: float) -> float:
    """What <u^2> goes with in the Debye model: zero-point motion and heat."""
    ratio = debye / temperature
    phi = quad(lambda x: x / math.expm1(x) if x else 1.0, 0, ratio)[0] / ratio
    return float(0.25 + phi / ratio)


def _energy(temperature: float, debye: float) -> float:
    """Heat in the lattice in the Debye model, in units of its own; thermal expansion goes with it (Grueneisen)."""
    whole = quad(lambda x: x**3 / math.expm1(x) if x else 0.0, 0, debye / temperature)[0]
    return float(whole * (temperature / debye) ** 4)


def _atoms(entry: Mapping[str, object]) -> Iterable[Atom]:
    """Every atom of the cell, from the listed ones and the generators."""
    operations = _group([_operation(text) for text in entry["generators"]])  # type: ignore[attr-defined]
    for element, *numbers in entry["sites"]:  # type: ignore[attr-defined]
        x, y, z, filling = (*(Fraction(str(number)) for number in numbers), Fraction(1))[:4]
        for place in sorted({_moved(operation, (x, y, z)) for operation in operations}):
            yield Atom(element, tuple(float(i) for i in place), float(filling))  # type: ignore[arg-type]


# An operation of symmetry: three rows of (factors of x, y, z; shift), exact.
_Row = tuple[int, int, int, Fraction]
_Operation = tuple[_Row, _Row, _Row]
_IDENTITY: _Operation = ((1, 0, 0, Fraction(0)), (0, 1, 0, Fraction(0)), (0, 0, 1, Fraction(0)))


def _operation(text: str) -> _Operation:
    """Read "-x+1/2,y,z"."""
    rows = []
    for part in text.split(","):
        terms = part.replace("-", "+-").split("+")
        factors = [terms.count(axis) - terms.count("-" + axis) for axis in "xyz"]
        shift = sum((Fraction(term) for term in terms if term and term[-1] not in "xyz"), Fraction(0))
        rows.append((*factors, shift % 1))
    return tuple(rows)  # type: ignore[return-value]


def _group(generators: list[_Operation]) -> set[_Operation]:
    """All operations that the generators make, translations of the lattice left out."""
    group, fresh = {_IDENTITY}, {_IDENTITY}
    while fresh:
        fresh = {_after(generator, operation) for generator in generators for operation in fresh} - group
        group |= fresh
    return group


def _after(second: _Operation, first: _Operation) -> _Operation:
    rows = []
    for *factors, shift in second:
        turned = [sum(f * row[axis] for f, row in zip(factors, first, strict=True)) for axis in range(3)]
        moved = sum((f * row[3] for f, row in zip(factors, first, strict=True)), shift)
        rows.append((*turned, moved % 1))
    return tuple(rows)  # type: ignore[return-value]


def _moved(operation: _Operation, place: tuple[Fraction, Fraction, Fraction]) -> tuple[Fraction, ...]:
    """Where the operation takes a place, inside the cell."""
    return tuple((sum(f * i for f, i in zip(row[:3], place, strict=True)) + row[3]) % 1 for row in operation)
