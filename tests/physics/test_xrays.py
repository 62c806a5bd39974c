"""X-ray lines, bremsstrahlung and absorption have the energies and strengths that detectors see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.constants import e, pi
from xraylib import K_SHELL, FluorYield, SymbolToAtomicNumber

from physics import ionisation, xray_detector, xrays
from physics.dose import E_PER_A2
from physics.materials import atom_mass, mass_fractions, material

LIPON = material("LiPON")
TAKE_OFF = np.radians(20)


def leaving(energy: float, thickness: float) -> float:
    depth = xrays.mass_attenuation(LIPON.mass_fractions, energy) * LIPON.density * thickness / np.sin(TAKE_OFF)
    return float(xrays.absorption_factor(depth))


def counts_per_second(element: str, beam_energy: float, solid_angle: float) -> float:
    """100 pA on 100 nm of LiPON."""
    per_electron = sum(
        line.cross_section * float(xray_detector.efficiency(line.energy)) * leaving(line.energy, 100e-9)
        for line in xrays.lines(element, beam_energy)
    )
    return float(per_electron * LIPON.number_densities[element] * 100e-9 * solid_angle / (4 * pi) * 100e-12 / e)


@pytest.mark.parametrize(
    ("element", "name", "energy"),  # X-ray Data Booklet
    [
        ("C", "Ka1", 277.0),
        ("N", "Ka1", 392.4),
        ("O", "Ka1", 524.9),
        ("Cu", "La1", 929.7),
        ("Ga", "La1", 1097.9),
        ("Si", "Ka1", 1740.0),
        ("W", "Ma1", 1775.0),
        ("P", "Ka1", 2010.1),
        ("Pt", "Ma1", 2050.5),
        ("Cu", "Ka1", 8047.8),
        ("Ga", "Ka1", 9251.7),
    ],
)
def test_lines_stand_where_the_tables_have_them(element: str, name: str, energy: float) -> None:
    found = {line.name: line.energy for line in xrays.lines(element, 200e3)}
    assert found[name] == pytest.approx(energy, abs=2)


def test_lithium_has_no_line() -> None:
    assert xrays.lines("Li", 200e3) == ()


def test_a_slow_beam_excites_no_line_above_its_energy() -> None:
    assert {line.name[0] for line in xrays.lines("Cu", 5e3)} == {"L"}


def test_an_unknown_element_is_refused() -> None:
    with pytest.raises(ValueError):
        xrays.lines("Xx", 200e3)


@pytest.mark.parametrize(
    ("beam_energy", "rates"),
    [
        (80e3, {"P": 90, "O": 145, "N": 15}),
        (200e3, {"P": 55, "O": 85, "N": 8.7}),
        (300e3, {"P": 47, "O": 72, "N": 7.3}),
    ],
)
def test_count_rates_of_lipon_are_those_of_the_design(beam_energy: float, rates: dict[str, float]) -> None:
    for element, rate in rates.items():
        assert counts_per_second(element, beam_energy, 0.1) == pytest.approx(rate, rel=0.1)


def test_the_solid_angle_of_a_large_detector_brings_nine_times_the_counts() -> None:
    for element, rate in {"P": 499, "O": 768, "N": 78}.items():
        assert counts_per_second(element, 200e3, 0.9) == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize(("element", "counts"), [("P", 0.08), ("O", 0.12), ("N", 0.013)])
def test_a_thousand_electrons_a_square_angstrom_bring_less_than_a_count_a_square_nanometre(
    element: str, counts: float
) -> None:
    """What a dose gives, not a current: 100 nm of LiPON, 200 kV, 0.9 sr; nitrogen needs 1e4 e/A^2."""
    a_second = 100e-12 / e  # electrons that counts_per_second stands for
    per_electron = counts_per_second(element, 200e3, 0.9) / a_second
    assert per_electron * 1e3 * E_PER_A2 * 1e-18 == pytest.approx(counts, rel=0.1)


@pytest.mark.parametrize(
    ("element", "yield_"),
    [("C", 0.00258), ("N", 0.00435), ("O", 0.00691), ("Si", 0.0504), ("P", 0.0642), ("Cu", 0.454), ("Ga", 0.517)],
)
def test_fluorescence_yields_are_those_of_the_eadl_within_what_krause_and_elam_differ_by(
    element: str, yield_: float
) -> None:
    """EADL (Perkins et al., 1991) by xraylib; Krause (1979) and Elam (2002) have N at 0.0052 and 0.0031."""
    emitted = sum(line.cross_section for line in xrays.lines(element, 200e3) if line.name[0] == "K")
    found = emitted / ionisation.cross_section(element, "K", 200e3)
    assert found == pytest.approx(yield_, rel=0.03)
    assert pytest.approx(yield_, rel=0.01) == FluorYield(SymbolToAtomicNumber(element), K_SHELL)


@pytest.mark.parametrize(("element", "k"), [("O", 0.910), ("P", 0.978)])
def test_k_factors_to_nitrogen_are_those_that_exspy_quantifies_lipon_with(element: str, k: float) -> None:
    """By mass, from sigma omega eps at 200 kV: a round trip with exSpy 0.3.1 gave the composition back to 0.7 at%."""

    def counts_per_mass(symbol: str) -> float:
        lines = [line for line in xrays.lines(symbol, 200e3) if line.name.startswith("Ka")]
        seen = sum(line.cross_section * float(xray_detector.efficiency(line.energy)) for line in lines)
        return seen / atom_mass(symbol)

    assert counts_per_mass("N") / counts_per_mass(element) == pytest.approx(k, rel=0.03)


@pytest.mark.parametrize(
    ("thickness", "nitrogen", "oxygen", "phosphorus"),
    [(50e-9, 0.89, 0.93, 0.99), (100e-9, 0.795, 0.865, 0.985), (200e-9, 0.65, 0.75, 0.97)],
)
def test_absorption_in_lipon_is_that_of_the_design(
    thickness: float, nitrogen: float, oxygen: float, phosphorus: float
) -> None:
    assert [leaving(energy, thickness) for energy in (392.4, 524.9, 2010.0)] == pytest.approx(
        [nitrogen, oxygen, phosphorus], abs=0.006
    )


def test_a_layer_of_no_depth_absorbs_nothing() -> None:
    assert float(xrays.absorption_factor(0.0)) == 1.0


@settings(max_examples=50, deadline=None)
@given(chi=st.floats(1e-9, 1e3))
def test_absorption_takes_some_and_never_all(chi: float) -> None:
    factor = float(xrays.absorption_factor(chi))
    assert 0 < factor <= 1
    assert factor >= float(xrays.absorption_factor(2 * chi))


def test_attenuation_of_a_mixture_is_the_mass_weighted_mean() -> None:
    water = mass_fractions({"H": 2, "O": 1})
    mixed = sum(share * xrays.mass_attenuation({element: 1.0}, 1000.0) for element, share in water.items())
    assert xrays.mass_attenuation(water, 1000.0) == pytest.approx(mixed)


def test_attenuation_of_silicon_agrees_with_nist() -> None:
    # 33.89 cm^2/g at 10 keV: NIST, J. Hubbell and S. Seltzer, NISTIR 5632
    assert float(xrays.mass_attenuation({"Si": 1.0}, 10e3)) == pytest.approx(3.389, rel=0.02)


def test_attenuation_keeps_its_value_below_the_lowest_energy_of_the_data() -> None:
    few = xrays.mass_attenuation({"O": 1.0}, np.array([1.0, 50.0, 100.0]))
    assert np.all(few == few[0])


def test_bremsstrahlung_ends_at_the_beam_energy_and_falls_towards_it() -> None:
    spectrum = xrays.bremsstrahlung({"Cu": 1e20}, 5e3, np.array([0.0, 500.0, 1e3, 4e3, 5e3, 6e3]))
    assert spectrum[0] == spectrum[4] == spectrum[5] == 0
    assert spectrum[1] > spectrum[2] > spectrum[3] > 0


def test_bremsstrahlung_of_lipon_is_that_of_the_design() -> None:
    # 100-190 counts/s in 0.9 sr with 100 pA at 200 kV, for a P/B of NiO of 8500 down to 4800
    energies = np.arange(105.0, 20000.0, 10.0)
    areal = {element: density * 100e-9 for element, density in LIPON.number_densities.items()}
    shares = xray_detector.efficiency(energies) * [leaving(energy, 100e-9) for energy in energies]
    photons = xrays.bremsstrahlung(areal, 200e3, energies, peak_to_background=8530.0) * shares
    assert photons.sum() * 10 * 0.9 * 100e-12 / e == pytest.approx(105, rel=0.1)


def test_the_peak_to_background_of_nickel_oxide_is_that_of_instruments() -> None:
    # Fiori P/B at 200 kV, 10 eV channels: 3000 to 5000 is usual
    areal = {"Ni": 1e21, "O": 1e21}
    peak = sum(line.cross_section for line in xrays.lines("Ni", 200e3) if line.name.startswith("Ka")) * 1e21 / (4 * pi)
    background = 10 * float(xrays.bremsstrahlung(areal, 200e3, 7470.0))
    assert 3000 < peak / background < 5000
    assert peak / (10 * float(xrays.bremsstrahlung(areal, 200e3, 7478.0, 3500.0))) == pytest.approx(3500, rel=0.01)


def test_the_way_out_is_that_to_a_detector_that_the_slab_turns_to_or_away_from() -> None:
    """Plane geometry: thickness along the normal over the cosine to the detector, per thickness along the beam."""
    assert xrays.way_out(TAKE_OFF, 0.3) == pytest.approx(1 / np.sin(TAKE_OFF))
    for tilt in (-0.2, 0.1, 0.3):
        detector = [np.cos(TAKE_OFF) * np.cos(0.8), np.cos(TAKE_OFF) * np.sin(0.8), np.sin(TAKE_OFF)]
        normal = [np.sin(tilt), 0.0, np.cos(tilt)]
        assert xrays.way_out(TAKE_OFF, 0.8, tilt) == pytest.approx(np.cos(tilt) / np.dot(detector, normal))
    with pytest.raises(ValueError, match="behind"):
        xrays.way_out(TAKE_OFF, 0.0, -0.4)


def test_phosphorus_escapes_onto_carbon() -> None:
    assert xrays.silicon_escape_fraction(2010.0) == pytest.approx(0.0166, rel=0.03)
    assert xrays.silicon_escape_energy(2010.0) == pytest.approx(270, abs=1)


def test_nothing_escapes_below_the_silicon_edge() -> None:
    assert xrays.silicon_escape_fraction(1830.0) == 0.0
