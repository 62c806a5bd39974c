"""The tilt at which an interface is edge-on is found, and where the images cannot tell it the bound says so."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from acquisition.analysis.edge_on import EdgeOn, EdgeProfile, edge_profile, find_edge_on
from acquisition.analysis.interface import coordinates, find_interface

TILTS = np.radians(np.linspace(-6, 6, 9))
FOIL = 95e-9
OVER = 8  # points a pixel


def frame(
    profile: NDArray[np.float64], tilt: float, edge_on: float, electrons: float, *, seed: int, pitch: float, pixels: int
) -> NDArray[np.int64]:
    """An image of a profile, (points,), OVER a pixel, in a foil that gets thicker along the interface."""
    smear = FOIL * abs(math.sin(edge_on - tilt)) / math.cos(edge_on)
    points = np.arange(profile.size, dtype=np.float64) - profile.size / 2
    seen = np.interp(points / math.cos(tilt), points, profile)
    seen = ndimage.gaussian_filter1d(seen, 1.5e-9 / pitch * OVER, mode="nearest")
    seen = ndimage.uniform_filter1d(seen, max(round(smear / pitch * OVER), 1), mode="nearest")
    x, y = coordinates((pixels, pixels), (pitch, pitch))
    across = x[None, :] + 0.03 * y[:, None] - 2e-9
    share = np.interp(across / pitch * OVER, points, seen)
    thicker = 1 + 0.3 * y[:, None] / y.max()
    return np.random.default_rng(seed).poisson(electrons * share * thicker)


def series(kind: str, edge_on: float, electrons: float, seed: int = 1) -> list[EdgeProfile]:
    """Profiles of a sharp contact of LiPON and copper, or of an interphase 76 nm wide, at all tilts."""
    pitch, pixels = (1e-9, 96) if kind == "copper" else (3.2e-9, 96)
    points = (np.arange(2 * pixels * OVER, dtype=np.float64) - pixels * OVER) * pitch / OVER
    ramp = 0.05 + 0.55 * np.clip(points / 76e-9 + 0.5, 0, 1) + 0.4 * np.clip((points + 38e-9) / 30e-9, 0, 1)
    profile = np.where(points < 0, 0.16, 1.0) if kind == "copper" else ramp
    profiles = []
    for number, tilt in enumerate(TILTS):
        image = frame(profile, tilt, edge_on, electrons, seed=seed * 100 + number, pitch=pitch, pixels=pixels)
        found = find_interface(image, (pitch, pitch), block=2)
        profiles.append(edge_profile(image, (pitch, pitch), found, 1.5 * pitch))
    return profiles


def judged(kind: str, edge_on: float, electrons: float, *, thickness: float = 105e-9, seed: int = 1) -> EdgeOn:
    return find_edge_on(
        series(kind, edge_on, electrons, seed), TILTS, thickness=thickness, thickness_factor=1.2, alike=0.04
    )


@settings(max_examples=3, deadline=None)
@given(degrees=st.floats(-5, 5))
def test_a_sharp_contact_tells_the_tilt_to_half_a_degree(degrees: float) -> None:
    found = judged("copper", math.radians(degrees), 200)
    assert found.bound < math.radians(0.7)
    assert found.tilt == pytest.approx(math.radians(degrees), abs=1.3 * found.bound)
    assert found.low < found.tilt < found.high


def test_a_wide_ramp_hides_a_small_lean_and_the_bound_says_so() -> None:
    wide, sharp = judged("interphase", math.radians(2), 60), judged("copper", math.radians(2), 60)
    assert wide.low < math.radians(2) < wide.high
    assert wide.bound > 4 * sharp.bound


def test_widths_that_differ_from_tilt_to_tilt_by_chance_make_the_bound_wider() -> None:
    profiles = series("copper", math.radians(-2), 100)
    smooth = find_edge_on(profiles, TILTS, thickness=FOIL, thickness_factor=1.2, alike=0.04)
    grained = [
        EdgeProfile(p.position * factor, p.level, p.error, p.interface)
        for p, factor in zip(profiles, np.random.default_rng(3).normal(1, 0.1, len(profiles)), strict=True)
    ]
    found = find_edge_on(grained, TILTS, thickness=FOIL, thickness_factor=1.2, alike=0.04)
    assert found.scatter > 2 * smooth.scatter
    assert found.bound > 1.5 * smooth.bound
    assert found.low < math.radians(-2) < found.high


def test_one_frame_that_went_wrong_moves_little() -> None:
    profiles = series("copper", math.radians(1), 100)
    bad = profiles[0]
    profiles[0] = EdgeProfile(bad.position * 3, bad.level, bad.error, bad.interface)
    found = find_edge_on(profiles, TILTS, thickness=FOIL, thickness_factor=1.2, alike=0.04)
    assert found.tilt == pytest.approx(math.radians(1), abs=found.bound)


def test_what_was_believed_of_the_thickness_does_not_move_the_tilt() -> None:
    thin, thick = (judged("copper", math.radians(-3), 100, thickness=t) for t in (75e-9, 120e-9))
    assert thin.tilt == pytest.approx(thick.tilt, abs=thin.bound / 2)


def test_the_curve_of_widths_passes_through_what_was_measured() -> None:
    found = judged("copper", math.radians(1), 300)
    fitted = np.interp(TILTS, *found.curve)
    assert np.abs(found.widths - fitted).max() < 0.6e-9
    assert found.curve[0][np.argmin(found.curve[1])] == pytest.approx(found.tilt, abs=math.radians(0.3))


def test_mirrored_tilts_give_the_mirrored_answer() -> None:
    profiles = series("copper", math.radians(2), 100)
    one = find_edge_on(profiles, TILTS, thickness=FOIL, thickness_factor=1.2, alike=0.04)
    other = find_edge_on(profiles, -TILTS, thickness=FOIL, thickness_factor=1.2, alike=0.04)
    assert other.tilt == pytest.approx(-one.tilt, abs=0.1 * one.bound)


def test_errors_of_a_profile_are_those_of_the_counts() -> None:
    profile = series("copper", 0.0, 200)[3]
    bright = profile.position > 20e-9
    # every bin is 1.5 pixels wide and averaged along nearly all of 96 rows
    expected = np.sqrt(profile.level[bright] / (1.5 * 96))
    assert np.median(profile.error[bright] / expected) == pytest.approx(1, abs=0.15)


def test_three_tilts_are_too_few() -> None:
    profiles = series("copper", 0.0, 50)
    with pytest.raises(ValueError, match="four tilts"):
        find_edge_on(profiles[:3], TILTS[:3], thickness=FOIL, thickness_factor=1.2, alike=0.04)
