"""The detector resolves, counts and saturates as silicon drift detectors do."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physics import xray_detector as detector


@pytest.mark.parametrize(
    ("energy", "width"),  # 130 eV at Mn Ka; ISO 15632 style figures
    [(277, 58.6), (392.4, 60.9), (524.9, 63.5), (929.7, 70.7), (2010, 87.1), (5898.8, 130.0), (8047.8, 148.5)],
)
def test_the_resolution_follows_fano(energy: float, width: float) -> None:
    assert float(detector.fwhm(energy)) == pytest.approx(width, abs=0.1)


def test_a_resolution_below_the_fano_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="Fano"):
        detector.fwhm(277.0, fwhm_mn=100.0)


@pytest.mark.parametrize(("energy", "share"), [(277.4, 0.693), (392.4, 0.845), (524.9, 0.920), (2010.0, 0.970)])
def test_the_efficiency_of_a_windowless_detector_is_that_of_the_design(energy: float, share: float) -> None:
    # the SDD curve of espm 1.1.3 has .719 .853 .918 .956
    assert float(detector.efficiency(energy)) == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize(
    ("energy", "least", "most"), [(277.4, 0.60, 0.75), (392.4, 0.75, 0.87), (524.9, 0.85, 0.95), (2010.0, 0.94, 0.99)]
)
def test_the_efficiency_is_within_what_makers_of_windowless_detectors_state(
    energy: float, least: float, most: float
) -> None:
    """Curves of windowless silicon drift detectors, as in the tables of espm 1.1.3 and EPQ (NIST)."""
    assert least < float(detector.efficiency(energy)) < most


def test_carbon_is_as_sharp_as_iso_15632_asks_of_a_130_ev_detector() -> None:
    assert float(detector.fwhm(277.0)) <= 60.0


def test_ice_on_the_detector_takes_carbon_first() -> None:
    kept = detector.efficiency(np.array([277.4, 392.4, 524.9]), ice=200e-9) / detector.efficiency([277.4, 392.4, 524.9])
    assert kept == pytest.approx([0.90, 0.96, 0.98], abs=0.01)


def test_most_counts_come_at_63_percent_dead_time() -> None:
    tau = 5e-6
    arriving = np.linspace(0, 1e6, 100001)
    counted = detector.observed_rate(arriving, tau)
    best = int(np.argmax(counted))
    assert arriving[best] == pytest.approx(1 / tau, rel=1e-3)
    assert counted[best] == pytest.approx(1 / (math.e * tau), rel=1e-6)
    assert 1 - counted[best] / arriving[best] == pytest.approx(0.632, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0.0, 0.99), tau=st.floats(1e-7, 1e-4))
def test_dead_time_is_undone_up_to_the_maximum(share: float, tau: float) -> None:
    arriving = share / tau
    assert float(detector.input_rate(detector.observed_rate(arriving, tau), tau)) == pytest.approx(arriving, rel=1e-6)


def test_without_dead_time_every_photon_counts() -> None:
    assert float(detector.input_rate(1234.0, 0.0)) == 1234.0


def test_a_rate_beyond_the_largest_possible_is_refused() -> None:
    for counted in (8e4, math.nan):
        with pytest.raises(ValueError, match="no input rate"):
            detector.input_rate(counted, 5e-6)
