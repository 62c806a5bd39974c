"""A whole synthetic map of lithium on LiPON gives back what was put into it."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from acquisition.analysis.eds_map import EdsMap, Measured, measure
from acquisition.analysis.interphase import Doubts
from drivers.rigfile import Optics
from drivers.ticket import Frame
from physics.materials import material
from tests.acquisition.synthetic_map import (
    BEAM_ENERGY,
    DOSE,
    ENERGIES,
    FWHM_MN,
    SOLID_ANGLE,
    TAKE_OFF,
    Scene,
    dark_field,
    events,
)

NM = 1e-9
FRAME = Frame(centre=(0.0, 0.0), size=(400 * NM, 400 * NM), pixels=(128, 128), dwell=1e-4)
OPTICS = Optics(
    beam_energy=BEAM_ENERGY,
    convergence=10e-3,
    probe_fwhm=2.2 * NM,
    dark_field=(20e-3, 100e-3),
    eds_solid_angle=SOLID_ANGLE,
    eds_elevation=TAKE_OFF,
    eds_azimuth=0.0,
    eds_fwhm_mn=FWHM_MN,
)
SHIFTS = ((0.0, 0.0), (2.5 * NM, -1.5 * NM))


def taken(scene: Scene, seed: int) -> Measured:
    """The measurement of one map of 1e4 e/A^2 in two passes, the sample drifting."""
    passes, pixels, channels = events(scene, FRAME, fluence=DOSE, shifts=list(SHIFTS), seed=seed)
    recorded = EdsMap(
        passes=passes,
        pixels=pixels,
        channels=channels,
        energies=ENERGIES,
        elements=("P", "N", "O"),
        frame=FRAME,
        pixels_done=(FRAME.count,) * 2,
        shifts=SHIFTS,
        dark_field=dark_field(scene, FRAME, 1000, seed).astype(np.float64),
        electrons=DOSE / 2 * FRAME.pitch[0] * FRAME.pitch[1],
    )
    return measure(
        recorded,
        OPTICS,
        Doubts(probe_fwhm=2.2 * NM, probe_uncertainty=0.3, lean=math.radians(5), roughness=3 * NM, scale=0.0),
        dark=material("Li"),
        bright=material("LiPON"),
        bin_width=2 * NM,
        rng=np.random.default_rng(seed),
    )


@cache
def usual() -> Measured:
    return taken(Scene(), 1)


@pytest.mark.parametrize(("element", "extent"), [("P", 76), ("N", 76), ("O", 30)])
def test_the_interval_of_each_ramp_holds_the_truth(element: str, extent: float) -> None:
    ramp = usual().ramps[element]
    assert ramp.resolved
    assert ramp.ci95[0] <= extent * NM <= ramp.ci95[1]


def test_the_width_of_the_interphase_is_found() -> None:
    width = usual().width
    assert width is not None
    assert width.upper_bound is None
    assert width.ci95[0] <= 76 * NM <= width.ci95[1]


def test_the_spectrum_is_understood_to_its_noise() -> None:
    assert usual().fit.chi2 == pytest.approx(1, abs=0.15)


def test_phosphorus_weighs_the_lamella() -> None:
    assert usual().thickness == pytest.approx(100 * NM, rel=0.05)


def test_a_rough_but_abrupt_contact_is_bounded_and_not_given_a_width() -> None:
    found = taken(Scene(ramps={"P": (0.0, 0.0), "N": (0.0, 0.0), "O": (0.0, 0.0)}), 2)
    assert found.width is not None
    assert found.width.upper_bound is not None
    assert 4 * NM < found.width.upper_bound < 12 * NM


@pytest.mark.slow
def test_over_twenty_maps_the_intervals_hold_and_nothing_is_biased() -> None:
    maps = [taken(Scene(), seed) for seed in range(100, 120)]
    for element, extent in {"P": 76, "N": 76, "O": 30}.items():
        ramps = [m.ramps[element] for m in maps]
        assert np.mean([r.ci95[0] <= extent * NM <= r.ci95[1] for r in ramps]) >= 0.85, element
        assert np.mean([r.extent for r in ramps]) == pytest.approx(extent * NM, abs=2 * NM), element
