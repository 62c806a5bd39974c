"""Wavelength, speed and dose agree with the figures in the books."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physics import dose, electrons


@pytest.mark.parametrize(("energy", "angstroms"), [(200e3, 0.02508), (300e3, 0.01969)])  # Reimer and Kohl, table 2.2
def test_the_wavelength_is_that_of_the_tables(energy: float, angstroms: float) -> None:
    assert electrons.wavelength(energy) * 1e10 == pytest.approx(angstroms, abs=5e-6)


def test_the_interaction_constant_at_300_kv_is_that_of_the_tables() -> None:
    # 6.526e-4 rad/(V A): E. Kirkland, Advanced Computing in Electron Microscopy
    assert electrons.interaction_constant(300e3) == pytest.approx(6.526e6, rel=1e-3)


def test_the_speed_ratio_from_300_to_200_kv_is_0_80() -> None:
    assert electrons.beta_squared(200e3) == pytest.approx(0.4835, abs=1e-4)
    assert electrons.beta_squared(200e3) / electrons.beta_squared(300e3) == pytest.approx(0.80, abs=0.005)


@pytest.mark.parametrize("energy", [0.0, -1.0, math.nan])
def test_an_electron_without_energy_is_refused(energy: float) -> None:
    with pytest.raises(ValueError, match="not positive"):
        electrons.wavelength(energy)


def test_a_picoampere_is_6_2415_electrons_a_microsecond() -> None:
    assert dose.electrons(1e-12, 1e-6) == pytest.approx(6.2415, rel=1e-5)


@pytest.mark.parametrize(
    ("current", "dwell", "pitch", "expected"),  # pA, us, A, e/A^2
    [(1, 1, 0.6, 17.3), (10, 2, 1, 125), (50, 10, 10, 31.2), (50, 10, 5, 125), (200, 1000, 10, 1.25e4)],
)
def test_the_fluence_of_a_scan_is_current_times_dwell_per_pixel(
    current: float, dwell: float, pitch: float, expected: float
) -> None:
    given = dose.fluence(current * 1e-12, dwell * 1e-6, pitch * 1e-10, pitch * 1e-10)
    assert given / dose.E_PER_A2 == pytest.approx(expected, rel=5e-3)


def test_a_hundred_passes_give_a_hundred_times_the_fluence() -> None:
    assert dose.fluence(50e-12, 10e-6, 1e-9, 1e-9, passes=100) / dose.E_PER_A2 == pytest.approx(3121, abs=0.5)


@settings(max_examples=50, deadline=None)
@given(
    current=st.floats(1e-13, 1e-7),
    dwell=st.floats(1e-8, 1e-1),
    pitch_x=st.floats(1e-11, 1e-6),
    pitch_y=st.floats(1e-11, 1e-6),
    passes=st.integers(1, 1000),
)
def test_dwell_for_undoes_fluence(current: float, dwell: float, pitch_x: float, pitch_y: float, passes: int) -> None:
    given = dose.fluence(current, dwell, pitch_x, pitch_y, passes)
    assert dose.dwell_for(given, current, pitch_x, pitch_y, passes) == pytest.approx(dwell)


def test_no_dwell_delivers_a_fluence_without_current() -> None:
    for current in (0.0, math.nan):
        with pytest.raises(ValueError, match="no dwell"):
            dose.dwell_for(1e24, current, 1e-9, 1e-9)


def test_a_pixel_without_area_is_refused() -> None:
    for pitch in (0.0, math.nan):
        with pytest.raises(ValueError, match="pixel pitch"):
            dose.fluence(1e-12, 1e-6, pitch, 1e-9)
