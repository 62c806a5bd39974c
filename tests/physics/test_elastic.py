"""Elastic scattering has the magnitude and the dependence on Z that experiments show."""

import numpy as np
import pytest
import xraylib

from physics import elastic
from physics.materials import material

ELEMENTS = ["Li", "C", "N", "O", "Si", "P", "Cu", "Ga", "Pt"]
RINGS = {"25-100": (0.025, 0.1), "50-200": (0.05, 0.2), "68-280": (0.068, 0.28), "all": (0.0, 0.8)}  # mrad: rad


def exponent(inner: float, outer: float) -> float:
    numbers = [xraylib.SymbolToAtomicNumber(element) for element in ELEMENTS]
    sections = [elastic.cross_section(element, 200e3, inner, outer) for element in ELEMENTS]
    return float(np.polyfit(np.log(numbers), np.log(sections), 1)[0])


def on_detector(name: str, thickness: float, ring: str = "25-100") -> float:
    densities = material(name).number_densities
    depth = sum(n * elastic.cross_section(e, 200e3, *RINGS[ring]) for e, n in densities.items()) * thickness
    return float(1 - np.exp(-depth))


@pytest.mark.parametrize(("inner", "outer"), [(0.025, 0.1), (0.05, 0.2), (0.068, 0.28)])
def test_dark_field_goes_as_z_to_the_1_6_to_1_9(inner: float, outer: float) -> None:
    assert 1.6 <= exponent(inner, outer) <= 1.905  # Krivanek et al., Nature 464 (2010) 571: 1.64; Pennycook: about 1.7


@pytest.mark.parametrize(("ring", "power"), [("25-100", 1.77), ("50-200", 1.87), ("68-280", 1.90), ("all", 1.38)])
def test_the_power_of_z_is_that_of_other_form_factors_and_least_for_all_angles(ring: str, power: float) -> None:
    # I. Lobato and D. Van Dyck, Acta Cryst. A 70 (2014) 636, lithium to platinum at 200 kV
    assert exponent(*RINGS[ring]) == pytest.approx(power, abs=0.03)


@pytest.mark.parametrize(
    ("name", "ring", "share"),
    [
        ("Li", "25-100", 0.0087),
        ("LiPON", "25-100", 0.106),
        ("Li2O", "25-100", 0.067),
        ("Li3N", "25-100", 0.035),
        ("Li3PO4", "25-100", 0.114),
        ("Cu", "25-100", 0.65),
        ("ice", "25-100", 0.040),
        ("Li", "68-280", 0.0018),
        ("LiPON", "68-280", 0.023),
        ("Cu", "68-280", 0.21),
    ],
)
def test_as_much_of_the_beam_reaches_the_detector_as_with_other_form_factors(
    name: str, ring: str, share: float
) -> None:
    # Lobato and Van Dyck (2014), 100 nm at 200 kV
    assert on_detector(name, 100e-9, ring) == pytest.approx(share, rel=0.07)


def test_carbon_at_200_kv_has_the_tabulated_total_cross_section() -> None:
    # 5.05e-3 A^2: NIST Electron Elastic-Scattering Cross-Section Database, SRD 64
    assert elastic.cross_section("C", 200e3, 0.0, 0.8) == pytest.approx(5.05e-23, rel=0.03)


# Doyle and Turner, Acta Cryst. A 24 (1968) 390
@pytest.mark.parametrize(
    ("element", "angstroms"), [("Li", 3.286), ("C", 2.509), ("O", 1.983), ("P", 5.488), ("Cu", 5.600)]
)
def test_forward_scattering_is_that_of_the_tables(element: str, angstroms: float) -> None:
    assert float(elastic.form_factor(element, 0.0)) * 1e10 == pytest.approx(angstroms, rel=0.03)


def test_the_form_factor_falls_smoothly_through_the_place_where_it_is_continued() -> None:
    k = np.linspace(0, 4e10, 400)
    for element in ELEMENTS:
        factors = elastic.form_factor(element, k)
        assert factors.shape == k.shape
        assert np.all(np.diff(factors) < 0)
        assert np.max(np.abs(np.diff(factors, 2))) < 0.01 * factors[0]


def test_lipon_is_twelve_times_brighter_than_lithium() -> None:
    # physics of 100 nm at 200 kV, 25-100 mrad: .106 and .0087 of the beam
    assert on_detector("LiPON", 100e-9) == pytest.approx(0.106, rel=0.05)
    assert on_detector("LiPON", 100e-9) / on_detector("Li", 100e-9) == pytest.approx(12, rel=0.05)


def test_a_film_of_ice_is_brighter_than_as_much_lithium() -> None:
    assert 4 < on_detector("ice", 100e-9) / on_detector("Li", 100e-9) < 5.5


def test_the_ring_of_two_rings_is_their_sum() -> None:
    parts = elastic.cross_section("P", 3e5, 0.02, 0.05) + elastic.cross_section("P", 3e5, 0.05, 0.2)
    assert elastic.cross_section("P", 3e5, 0.02, 0.2) == pytest.approx(parts, rel=1e-3)


def test_angles_that_are_no_ring_are_refused() -> None:
    for inner, outer in [(0.1, 0.1), (-0.1, 0.1), (0.1, float("nan"))]:
        with pytest.raises(ValueError, match="not a ring"):
            elastic.cross_section("C", 2e5, inner, outer)
