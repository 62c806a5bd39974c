"""Ionisation cross-sections are those that the authors' program prints."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physics import ionisation
from physics.ionisation import Shell

# Three shells outside our table, to test the formula: public-domain coefficients of usnistgov/BoteSalvatICX.jl.
MG_L3 = Shell(56.2345, 1.01, 2.77e-5, (0.00753, 9.28, -0.0401, 0.0289), (0.654, 0.00392, -1.1, 0.92, -2.25))
V_L1 = Shell(623.769, 1.09, 7.79e-7, (0.0359, 8.89, -0.134, 0.0721), (0.0414, 0.000185, -0.048, 0.0276, 0.0247))
HO_K = Shell(55707.0, -0.499, 8.06e-9, (2.21, 5.98, -7.34, 4.33), (0.000464, 3.06e-5, -0.00064, 0.0017, -0.00373))


@pytest.mark.parametrize(
    ("shell", "energy", "square_centimetres"),  # printed by the authors' xion.f
    [
        (MG_L3, 77.1792, 3.85315e-18),
        (MG_L3, 12956.9, 1.24124e-18),
        (V_L1, 15399.3, 2.63509e-20),
        (HO_K, 163117.0, 1.36404e-23),
        (ionisation.shells("Pt")["M5"], 2985.38, 2.02808e-20),
    ],
)
def test_the_formula_gives_the_upstream_values_within_one_percent(
    shell: Shell, energy: float, square_centimetres: float
) -> None:
    assert float(shell.cross_section(energy)) == pytest.approx(square_centimetres * 1e-4, rel=0.01)


@pytest.mark.parametrize(
    ("element", "barns"),  # at 80, 200, 300 kV
    [
        ("N", (17789, 10396, 8738)),
        ("O", (12833, 7546, 6356)),
        ("P", (2361, 1450, 1237)),
        ("C", (26116, 15174, 12729)),
        ("Si", (2861, 1745, 1487)),
        ("Cu", (336, 235, 207)),
        ("Ga", (272, 194, 172)),
    ],
)
def test_the_k_shells_at_microscope_energies_are_known(element: str, barns: tuple[float, float, float]) -> None:
    for energy, expected in zip((80e3, 200e3, 300e3), barns, strict=True):
        assert ionisation.cross_section(element, "K", energy) / 1e-28 == pytest.approx(expected, rel=3e-3)


@settings(max_examples=60, deadline=None)
@given(
    shell=st.sampled_from(
        [shell for element in ("C", "P", "Cu", "W") for shell in ionisation.shells(element).values()]
    ),
    share=st.floats(0.01, 1.0),
)
def test_nothing_is_ionised_at_or_below_the_edge(shell: Shell, share: float) -> None:
    assert float(shell.cross_section(share * shell.edge)) == 0.0
    assert float(shell.cross_section(1.01 * shell.edge)) > 0.0


def test_the_two_forms_of_the_fit_meet() -> None:
    for element in ("C", "N", "O", "P", "Cu", "Ga", "Pt"):
        for shell in ionisation.shells(element).values():
            below, above = shell.cross_section(shell.edge * np.array([15.999, 16.001]))
            assert above == pytest.approx(below, rel=0.03)


def test_a_shell_that_the_table_lacks_is_refused() -> None:
    for element, shell in [("Xx", "K"), ("C", "L3")]:
        with pytest.raises(ValueError, match="no ionisation cross-section"):
            ionisation.cross_section(element, shell, 200e3)


def test_a_beam_without_energy_is_refused() -> None:
    with pytest.raises(ValueError, match="not positive"):
        ionisation.cross_section("C", "K", float("nan"))
