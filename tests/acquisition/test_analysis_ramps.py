"""Ramps come out without bias and with intervals that hold; what is not resolved is bounded."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.analysis.interphase import Doubts, Films, interphase_width, measure_ramps
from acquisition.analysis.profile import Profile
from acquisition.analysis.ramps import Baseline, NoStep, Ramp, View, blurred_ramp, fit_ramp, resample
from physics.materials import material

POSITION = np.arange(-160e-9, 240e-9, 4e-9)
STRIPS = 32
VISITS = np.full((STRIPS, POSITION.size), 800.0)
PROBE = 2.2e-9
NM = 1e-9
SHARP = View(PROBE / 2.355, np.ones(POSITION.size))
SURE = Doubts(probe_fwhm=PROBE, probe_uncertainty=0.0, lean=0.0, roughness=0.0, scale=0.0)
# counts a visit in LiPON, and counts of others under the line: 100 nm, 200 kV, 0.9 sr, 1e4 e/A^2 in 40 passes, 1.6 nm
# pixels
LEVEL = {"P": (0.19, 0.01), "N": (0.030, 0.004), "O": (0.29, 0.01)}


def drawn(ramps: dict[str, tuple[float, float]], seed: int, *, floor: float = 0.0, dose: float = 1.0) -> Profile:
    """A profile with the true ramps (start, end) in nm; floor: of oxygen on the dark side, share of its level."""
    rng = np.random.default_rng(seed)
    counts, variance = [], []
    for element, (start, end) in ramps.items():
        level, under = LEVEL[element]
        rise = blurred_ramp(POSITION, np.array([(start + end) / 2 * NM]), np.array([(end - start) * NM]), PROBE / 2.35)[
            0
        ]
        if element == "O":
            rise = rise + floor
        signal = rng.poisson(dose * level * rise * VISITS)
        noise = rng.poisson(dose * under * VISITS)
        counts.append(signal + noise - dose * under * VISITS)
        variance.append(signal + noise)
    return Profile(tuple(ramps), POSITION, VISITS, np.array(counts, float), np.array(variance, float))


def one(element: str, start: float, end: float, seed: int, **other: float) -> Ramp:
    profile = drawn({element: (start, end)}, seed, **other)
    return fit_ramp(profile, element, [SHARP], resample(profile, np.random.default_rng(seed), times=200))


@pytest.mark.parametrize(
    ("element", "extent", "half_width"),
    # computed for a strip of 400 nm by 100 nm at 1e4 e/A^2, 200 kV, 0.9 sr
    [("P", 76.0, 3.7), ("N", 76.0, 7.6)],
)
def test_intervals_hold_the_truth_and_there_is_no_bias(element: str, extent: float, half_width: float) -> None:
    ramps = [one(element, 0.0, extent, seed) for seed in range(20)]
    inside = [r.ci95[0] <= extent * NM <= r.ci95[1] for r in ramps]
    assert np.mean(inside) >= 0.85
    assert np.mean([r.extent for r in ramps]) == pytest.approx(extent * NM, abs=2 * NM)
    assert np.mean([(r.ci95[1] - r.ci95[0]) / 2 for r in ramps]) < half_width * NM
    assert all(r.resolved for r in ramps)


def test_a_tenth_of_the_dose_makes_intervals_three_times_as_wide() -> None:
    rich, poor = (one("P", 0.0, 76.0, 3, dose=dose).ci95 for dose in (1.0, 0.1))
    assert (poor[1] - poor[0]) / (rich[1] - rich[0]) == pytest.approx(math.sqrt(10), rel=0.4)


def test_an_abrupt_contact_has_an_upper_bound_and_no_resolved_ramp() -> None:
    ramp = one("P", 0.0, 0.0, 1)
    assert not ramp.resolved
    assert ramp.upper_bound is not None
    assert ramp.upper_bound < 5 * NM


def test_a_ramp_that_a_leaning_or_rough_contact_could_show_is_not_resolved() -> None:
    profile = drawn({"P": (0.0, 8.0)}, 2)
    draws = resample(profile, np.random.default_rng(2))
    assert fit_ramp(profile, "P", [SHARP], draws).resolved
    leaning = 100 * NM * math.tan(math.radians(5)) / math.sqrt(12)
    doubted = fit_ramp(profile, "P", [SHARP, SHARP, View(leaning, SHARP.transmission)], draws)
    assert not doubted.resolved
    assert doubted.upper_bound is not None
    assert 6 * NM < doubted.upper_bound < 11 * NM


def test_what_may_blur_a_ramp_is_in_its_interval() -> None:
    profile = drawn({"P": (0.0, 20.0)}, 2)
    films = Films(material("Li"), material("LiPON"), 100 * NM, 1 / math.sin(math.radians(20)))
    sure, unsure = (
        measure_ramps(profile, replace(SURE, lean=lean, roughness=rough), np.random.default_rng(8), films)["P"].ci95
        for lean, rough in ((0.0, 0.0), (math.radians(5), 3 * NM))
    )
    assert sure[0] - unsure[0] > 1 * NM
    assert unsure[1] == pytest.approx(sure[1], abs=0.5 * NM)


def test_a_wedge_across_the_interface_is_taken_back() -> None:
    wedge = 85e-9 / 1e-6 / 100e-9  # of its thickness in a metre
    level, _ = LEVEL["P"]
    rise = blurred_ramp(POSITION, np.array([38 * NM]), np.array([76 * NM]), PROBE / 2.35)[0] * (1 + wedge * POSITION)
    counts = np.random.default_rng(3).poisson(level * rise * VISITS)[None].astype(float)
    profile = Profile(("P",), POSITION, VISITS, counts, np.maximum(counts, 1.0))
    films = Films(material("Li"), material("LiPON"), 100 * NM, 1 / math.sin(math.radians(20)), slope=wedge)
    plain, corrected = (measure_ramps(profile, SURE, np.random.default_rng(1), f)["P"] for f in (None, films))
    assert plain.extent > 79 * NM
    assert corrected.extent == pytest.approx(76 * NM, abs=2 * NM)


def test_an_element_that_is_everywhere_has_no_ramp() -> None:
    profile = drawn({"O": (500.0, 600.0)}, 1, floor=0.5)
    with pytest.raises(NoStep, match="does not rise"):
        fit_ramp(
            profile,
            "O",
            [SHARP],
            resample(profile, np.random.default_rng(1)),
            baselines=[Baseline(np.ones(POSITION.size))],
        )


def test_oxygen_of_ice_does_not_widen_its_ramp() -> None:
    iced = measure_ramps(drawn({"P": (0, 76), "O": (0, 30)}, 4, floor=0.3), SURE, np.random.default_rng(4))
    assert iced["O"].ci95[0] <= 30 * NM <= iced["O"].ci95[1]
    assert iced["O"].extent == pytest.approx(30 * NM, abs=3 * NM)


def test_the_same_seed_gives_the_same_interval() -> None:
    profile = drawn({"P": (0, 76), "N": (0, 76)}, 5)
    first, again = (measure_ramps(profile, SURE, np.random.default_rng(8)) for _ in range(2))
    assert first["N"].ci95 == again["N"].ci95


def test_an_uncertain_scan_scale_widens_the_interval() -> None:
    profile = drawn({"P": (0, 76)}, 5)
    sure, unsure = (
        measure_ramps(profile, replace(SURE, scale=u), np.random.default_rng(8))["P"].ci95 for u in (0.0, 0.05)
    )
    assert unsure[1] - unsure[0] > 1.2 * (sure[1] - sure[0])


@pytest.mark.parametrize(
    "true",
    [
        {"P": (0, 76), "N": (0, 76), "O": (0, 30)},
        {"P": (0, 76), "N": (25, 76), "O": (-5, 30)},
    ],
)
def test_the_interphase_is_as_wide_as_its_ramps_together(true: dict[str, tuple[float, float]]) -> None:
    truth = (max(end for _, end in true.values()) - min(start for start, _ in true.values())) * NM
    rng = np.random.default_rng(11)
    widths = [interphase_width(measure_ramps(drawn(true, seed), SURE, rng)) for seed in range(5)]
    assert np.mean([w.ci95[0] <= truth <= w.ci95[1] for w in widths]) >= 0.85
    assert np.mean([w.value for w in widths]) == pytest.approx(truth, abs=2 * NM)


def test_an_interphase_that_is_not_resolved_is_bounded() -> None:
    found = interphase_width(measure_ramps(drawn({"P": (0, 0), "O": (0, 0)}, 6), SURE, np.random.default_rng(6)))
    assert found.upper_bound is not None
    assert found.upper_bound < 6 * NM


def test_no_ramps_are_no_interphase() -> None:
    with pytest.raises(ValueError, match="no interphase"):
        interphase_width({})


@settings(max_examples=30, deadline=None)
@given(middle=st.floats(-50, 50), extent=st.floats(0, 150), sigma=st.floats(0.3, 10))
def test_a_blurred_ramp_rises_from_none_to_all(middle: float, extent: float, sigma: float) -> None:
    far = np.array([-400.0, middle, 400.0])
    low, half, high = blurred_ramp(far, np.array([middle]), np.array([extent]), sigma)[0]
    assert (low, half, high) == pytest.approx((0, 0.5, 1), abs=1e-6)
