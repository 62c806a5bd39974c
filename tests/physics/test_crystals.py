"""Crystals have the bonds, densities, rings and potentials that the literature gives them, warm and cold."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.constants import e, electron_mass, h

from physics import materials
from physics.crystals import Spacing, crystal, names, reflections, spacings
from physics.electrons import gamma, wavelength
from physics.materials import atom_mass

A = 1e-10
WARM = {"ice": 100.0}  # K, where the cell was measured; the others at 293 K

# physics of the powder rings: d in A, index, m |F|^2 d as a percentage of the strongest where it is known.
# Cells: Nadler and Kempter (1959); Zintl (1934), Hull (1988); Rabenau and Schulz (1976); Keffer (1967); Zemann (1960);
# Dong and DiSalvo (2007); Effenberger and Zemann (1979); Roettger (1994); NIST
RINGS: dict[str, str] = {
    "Li": "2.481 110 100, 1.755 200 11, 1.433 211 18, 1.241 220 5",
    "Li2O": "2.662 111 83, 1.630 220 100, 1.390 311 37",
    "Li3N": "3.875 001 100, 3.159 100 65, 1.938 002 31, 1.824 110 74, 1.651 111 62, 1.580 200 9, 1.328 112 40",
    "Li3PO4": "3.978 110 76, 3.802 101 83, 3.561 011 50, 2.641 210 100, 2.619 020 58, 2.428 002 93, 2.320 211 56,"
    "1.787 212 31, 1.529 400 -, 1.516 230 51",
    "gamma-Li3PO4": "3.982 210 78, 3.838 011 68, 3.591 201 42, 2.643 220 100, 2.623 400 49, 2.585 311 44, 2.463 002 87,"
    "1.802 222 29, 1.530 040 -, 1.518 620 -",
    "Li3P": "3.789 002 -, 3.693 100 -, 3.320 101 -, 2.132 110 -, 2.085 103 -",
    "LiOH": "4.334 001 -, 2.746 101 -, 2.510 110 -, 1.774 200 -",
    "Li2CO3": "4.162 110 -, 3.030 111 -, 2.918 20-2 -, 2.813 002 -, 2.627 11-2 -, 2.488 020 -, 2.430 31-1 -",
    "ice": "3.894 100 -, 3.661 002 -, 3.438 101 -, 2.667 102 -, 2.248 110 -, 2.068 103 -",
    "Cu": "2.087 111 -, 1.808 200 -, 1.278 220 -",
    "Au": "2.355 111 -, 2.039 200 -, 1.442 220 -",
    "Si": "3.135 111 -, 1.920 220 -, 1.637 311 -",
}


def rings(name: str) -> list[tuple[float, str, float | None]]:
    parts = (text.split() for text in RINGS[name].split(","))
    return [(float(d) * A, label, None if share == "-" else float(share)) for d, label, share in parts]


def warm(name: str, shortest: float = 1.2 * A) -> tuple[Spacing, ...]:
    return spacings(name, WARM.get(name, 293.0), shortest)


def bonds(name: str, one: str, other: str, longest: float) -> list[float]:
    """Lengths from every atom of an element to all of another up to a longest, A."""
    found, atoms = crystal(name), crystal(name).atoms
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3)
    starts = np.array([atom.place for atom in atoms if atom.element == one])
    ends = (np.array([atom.place for atom in atoms if atom.element == other])[:, None] + shifts).reshape(-1, 3)
    way = (ends[None, :] - starts[:, None]) @ found.cell(WARM.get(name, 293.0)) / A
    lengths = np.linalg.norm(way, axis=-1).ravel()
    return sorted(length for length in lengths.tolist() if 0.01 < length <= longest)


@pytest.mark.parametrize("name", list(RINGS))
def test_rings_lie_where_the_powder_files_have_them(name: str) -> None:
    found = {ring.label: ring for ring in warm(name)}
    strongest = max(ring.strength for ring in found.values())
    for d, label, _ in rings(name):
        assert found[label].d == pytest.approx(d, rel=3e-3)
        assert found[label].strength > 0.02 * strongest


@pytest.mark.parametrize("name", ["Li", "Li2O", "Li3N", "Li3PO4", "gamma-Li3PO4"])
def test_rings_are_as_strong_relative_to_each_other_as_other_form_factors_make_them(name: str) -> None:
    # Lobato and Van Dyck, Acta Cryst. A 70 (2014) 636, with B of 0.8 A^2 for all; the B of warm lithium is larger
    def near(d: float) -> float:  # a ring that no powder camera would split is one
        return sum(ring.strength for ring in warm(name) if abs(ring.d / d - 1) < 1e-3)

    known = [(near(d), share) for d, _, share in rings(name) if share is not None]
    for (one, first), (other, second) in combinations(known, 2):
        if abs(first - second) > 5:
            assert (one > other) == (first > second)
    if name != "Li":
        strongest = max(one for one, _ in known)
        for one, share in known:
            assert 100 * one / strongest == pytest.approx(share, abs=3)


def test_lithium_at_77_k_has_the_spacings_that_barrett_measured() -> None:
    # C. Barrett, Acta Cryst. 9 (1956) 671: a 3.482 A at 78 K
    assert [ring.d / A for ring in spacings("Li", 77.5, 1.4 * A)] == pytest.approx([2.462, 1.741, 1.421], rel=4e-4)


@pytest.mark.parametrize(
    ("first", "second", "percent"),
    [
        ("Li2O 111", "Li3PO4 210", 0.8),
        ("Li2O 111", "gamma-Li3PO4 220", 0.7),
        ("Li2O 220", "Li3N 102", 1.3),
        ("Li 110", "gamma-Li3PO4 002", 0.7),
        ("Li3N 001", "gamma-Li3PO4 011", 1.0),
        ("Li3PO4 110", "gamma-Li3PO4 210", 0.1),
    ],
)
def test_phases_share_spacings_to_a_percent_so_one_spot_decides_nothing(
    first: str, second: str, percent: float
) -> None:
    (one, here), (other, there) = first.split(), second.split()
    d = [next(ring.d for ring in warm(name) if ring.label == label) for name, label in ((one, here), (other, there))]
    assert 100 * abs(d[0] / d[1] - 1) == pytest.approx(percent, abs=0.1)


def test_in_the_cold_lithium_comes_closer_to_other_phases_than_a_fft_can_tell() -> None:
    lithium = spacings("Li", 77.5, 2 * A)[0]
    phosphate = next(ring for ring in spacings("gamma-Li3PO4", 293.0, 2 * A) if ring.label == "002")
    assert lithium.d == pytest.approx(phosphate.d, rel=1e-3)


@pytest.mark.parametrize("name", ["Li3PO4", "gamma-Li3PO4"])
def test_phosphorus_stands_in_a_tetrahedron_of_oxygen(name: str) -> None:
    # Keffer (1967); Zemann (1960)
    lengths = bonds(name, "P", "O", 2.2)
    assert len(lengths) == 4 * sum(atom.element == "P" for atom in crystal(name).atoms)
    assert lengths[0] > 1.535 and lengths[-1] < 1.565
    around = bonds(name, "Li", "O", 2.1)
    assert len(around) == 4 * sum(atom.element == "Li" for atom in crystal(name).atoms)
    assert around[0] >= 1.89 and around[-1] <= 2.05
    assert bonds(name, "O", "O", 3.0)[0] >= 2.5


@pytest.mark.parametrize(
    ("name", "one", "other", "length", "around"),
    [
        ("Li", "Li", "Li", 3.039, 8),
        ("Li2O", "O", "Li", 1.997, 8),  # Hull et al., J. Phys. C 21 (1988) L257
        ("Li3N", "N", "Li", 1.938, 2),  # Rabenau and Schulz, J. Less-Common Met. 50 (1976) 155: 1.94 along c
        ("Li3N", "Li", "N", 1.938, None),
        ("Li3P", "P", "Li", 2.462, 3),
        ("LiOH", "O", "Li", 1.964, 4),  # Dachs, Z. Krist. 112 (1959) 60: 1.96
        ("Li2CO3", "C", "O", 1.28, 3),  # Effenberger and Zemann, Z. Krist. 150 (1979) 133: 1.274 and 1.283
        ("ice", "O", "O", 2.75, 4),
        ("Cu", "Cu", "Cu", 2.556, 12),
        ("Au", "Au", "Au", 2.884, 12),
        ("Si", "Si", "Si", 2.352, 4),
    ],
)
def test_nearest_neighbours_are_as_far_as_they_are_known_to_be(
    name: str, one: str, other: str, length: float, around: int | None
) -> None:
    centres = sum(atom.element == one for atom in crystal(name).atoms)
    lengths = bonds(name, one, other, 1.02 * length)
    assert lengths[0] == pytest.approx(length, abs=0.015)
    assert around is None or len(lengths) == around * centres


def test_lithium_in_the_layers_of_its_nitride_is_2_1_from_nitrogen() -> None:
    assert bonds("Li3N", "N", "Li", 2.2)[-1] == pytest.approx(3.648 / math.sqrt(3), abs=1e-3)


@pytest.mark.parametrize("name", names())
def test_the_cell_holds_whole_formulas_and_weighs_what_the_table_of_materials_says(name: str) -> None:
    found = crystal(name)
    count = Counter[str]()
    for atom in found.atoms:
        count[atom.element] += atom.filling  # type: ignore[assignment]
    mass = sum(atom_mass(element) * number for element, number in count.items())
    assert found.source
    if name == "Au":
        assert mass / found.volume(293.0) == pytest.approx(19.30e3, rel=2e-3)  # CRC Handbook
        return
    density = materials.material(name).density
    # the table's ice is amorphous, which nobody knows better than to a percent
    assert mass / found.volume(WARM.get(name, 293.0)) == pytest.approx(density, rel=1e-2 if name == "ice" else 1e-3)
    formula = materials.material(name).number_densities
    units = {number / formula[element] for element, number in count.items()}
    assert max(units) == pytest.approx(min(units), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "percent"), [("Li", 0.72), ("Li2O", 0.36), ("Li3PO4", 0.2), ("Cu", 0.282), ("Au", 0.26), ("Si", 0.024)]
)
def test_crystals_shrink_to_100_k_by_what_dilatometers_saw(name: str, percent: float) -> None:
    # Barrett (1956); Hull (1988); assumed; Touloukian et al. (1975); Lyon et al. (1977)
    found = crystal(name)
    shrunk = 1 - (found.volume(100.0) / found.volume(293.0)) ** (1 / 3)
    assert 100 * shrunk == pytest.approx(percent, rel=0.02)


@pytest.mark.parametrize("name", names())
def test_all_crystals_are_smaller_and_quieter_in_the_cold(name: str) -> None:
    found = crystal(name)
    volumes = [found.volume(kelvin) for kelvin in (20.0, 90.0, 150.0, 220.0, 293.0)]
    assert volumes == sorted(volumes) and volumes[0] < volumes[-1]
    assert 0.1 < found.thermal(100.0) / found.thermal(293.0) < 0.7


def test_metals_vibrate_as_the_debye_model_says() -> None:
    # L.-M. Peng et al., Acta Cryst. A 52 (1996) 456, at 100 K: Cu 0.22 to 0.25, Au 0.22 to 0.25 A^2
    for name in ("Cu", "Au"):
        assert 0.2 < crystal(name).thermal(100.0) / A**2 < 0.26


@pytest.mark.parametrize(
    ("reflection", "nanometres"),
    [("Si 111", 60.2), ("Cu 111", 28.6), ("Cu 200", 32.6), ("Au 111", 18.3), ("Au 200", 20.2)],
)
def test_potentials_give_the_extinction_distances_of_the_textbook(reflection: str, nanometres: float) -> None:
    # D. Williams and C. Carter, Transmission Electron Microscopy, table 13.2, 100 kV
    name, _, label = reflection.partition(" ")
    found, index = reflections(name, 293.0, 1 / (1.2 * A)), [int(digit) for digit in label]
    (here,) = np.flatnonzero((found.indices == index).all(axis=1))
    strength = gamma(100e3) * abs(found.potential[here]) * 2 * electron_mass * e / h**2
    assert 1e9 / (wavelength(100e3) * strength) == pytest.approx(nanometres, rel=0.05)


def test_the_constant_between_form_factor_and_potential_is_the_known_one() -> None:
    assert h**2 / (2 * math.pi * electron_mass * e) / A**2 == pytest.approx(47.878, abs=1e-3)


@given(name=st.sampled_from(names()), kelvin=st.floats(80.0, 300.0))
def test_reflections_fit_their_cell_and_come_in_pairs(name: str, kelvin: float) -> None:
    found = reflections(name, kelvin, 1 / (2 * A))
    cell = crystal(name).cell(kelvin)
    np.testing.assert_allclose(found.g @ cell.T, found.indices, atol=1e-9)
    mates = dict(zip(map(tuple, found.indices.tolist()), found.potential.tolist(), strict=True))
    for index, potential in mates.items():
        assert mates[tuple(-i for i in index)] == pytest.approx(potential.conjugate(), rel=1e-9)
    assert np.all(np.linalg.norm(found.g, axis=1) <= 1 / (2 * A))


@pytest.mark.parametrize("name", ["Li2CO3", "Li3P", "Li3PO4"])
def test_the_potential_is_high_where_the_atoms_are(name: str) -> None:
    found, waves = crystal(name), reflections(name, 293.0, 1 / (0.5 * A))
    at = np.array([atom.place for atom in found.atoms if atom.element in "CPO"])
    nowhere = np.random.default_rng(1).random((200, 3))
    there, elsewhere = (
        np.real(np.exp(2j * np.pi * (places @ waves.indices.T)) @ waves.potential) for places in (at, nowhere)
    )
    assert there.min() > np.quantile(elsewhere, 0.95)


def test_absent_reflections_are_absent() -> None:
    labels = {name: {ring.label for ring in spacings(name, 293.0, 1 * A)} for name in ("Cu", "Li", "Si", "Li2CO3")}
    assert labels["Cu"] == {"111", "200", "220", "311", "222"}
    assert labels["Li"].isdisjoint({"100", "111", "210"})
    assert "222" not in labels["Si"] and "200" not in labels["Si"]
    assert labels["Li2CO3"].isdisjoint({"100", "010", "001", "101"})


def test_what_is_no_crystal_is_refused() -> None:
    with pytest.raises(ValueError, match="gamma-Li3PO4"):
        crystal("LiPON")
    with pytest.raises(ValueError, match="temperature"):
        crystal("Li").cell(0.0)
