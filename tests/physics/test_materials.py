"""Materials have the atoms that their cells and formulas say."""

import pytest

from physics.materials import mass_fractions, material, names


@pytest.mark.parametrize(
    ("name", "per_cubic_nanometre"),
    [("Li", 46.3), ("LiPON", 96.2), ("Li2O", 122.0), ("Li3N", 89.6), ("Li3PO4", 102.8), ("Cu", 84.7), ("Si", 49.94)],
)
def test_number_densities_are_those_of_the_cells(name: str, per_cubic_nanometre: float) -> None:
    assert material(name).atoms * 1e-27 == pytest.approx(per_cubic_nanometre, rel=5e-3)


def test_lipon_has_12_6_formula_units_in_a_cubic_nanometre() -> None:
    assert material("LiPON").number_densities["P"] * 1e-27 == pytest.approx(12.6, abs=0.06)


def test_lithium_nitride_holds_four_times_the_nitrogen_of_lipon() -> None:
    assert material("Li3N").number_densities["N"] * 1e-27 == pytest.approx(22.4, abs=0.05)
    assert material("LiPON").number_densities["N"] * 1e-27 == pytest.approx(5.8, abs=0.05)


def test_the_composition_of_lipon_balances_its_charges() -> None:
    # Li_x P O_y N_z with x = 2y + 3z - 5: Y. Du and N. Holzwarth, Phys. Rev. B 81 (2010) 184106
    atoms = material("LiPON").number_densities
    x, y, z = (atoms[element] / atoms["P"] for element in ("Li", "O", "N"))
    assert abs(x - (2 * y + 3 * z - 5)) < 0.1


def test_every_material_has_a_source_and_a_density() -> None:
    for name in names():
        assert material(name).source
        assert 500 < material(name).density < 22000
        assert sum(material(name).mass_fractions.values()) == pytest.approx(1)


def test_water_is_eleven_percent_hydrogen_by_mass() -> None:
    assert mass_fractions({"H": 2, "O": 1})["H"] == pytest.approx(0.1119, abs=2e-4)


def test_an_unknown_material_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="LiPON"):
        material("unobtainium")


def test_a_mixture_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no atoms"):
        mass_fractions({})
