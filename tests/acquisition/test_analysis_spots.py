"""Spots of lattice images: chance as said, spacings within 1 %, places within the crystal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.analysis.fading import align, appeared
from acquisition.analysis.patches import Patch, false_peaks, spectrum, threshold, tile
from acquisition.analysis.spots import find_spots
from tests.acquisition.known_lattices import PITCH, SIDE, fringes


def test_noise_gives_as_many_spots_as_said() -> None:
    random = np.random.default_rng(1)
    found = sum(len(find_spots(spectrum(random.poisson(40.0, (320, 320)), PITCH), 2.0)) for _ in range(12))
    assert 12 * 2.0 * 0.5 < found < 12 * 2.0 * 1.4


@given(st.floats(0.01, 50.0))
def test_the_threshold_is_where_chance_gives_what_was_asked(false: float) -> None:
    assert math.isclose(false_peaks(threshold(false, SIDE), SIDE), false, rel_tol=1e-6)


@settings(max_examples=8, deadline=None)
@given(st.floats(2.4, 7.6), st.floats(0.0, math.pi), st.floats(-2.0, 2.0), st.floats(-2.0, 2.0))
def test_a_spacing_is_right_within_1_per_cent_and_fringes_stand_where_they_are(
    length: float, angle: float, x: float, y: float
) -> None:
    k = length * 1e9 * math.cos(angle), length * 1e9 * math.sin(angle)
    image = fringes(320, [(*k, 0.12)], (x * 1e-9, y * 1e-9), 3e-9, 80.0, 7)
    strongest = find_spots(spectrum(image, PITCH)).only(np.array([0]))
    assert strongest.length[0] == pytest.approx(length * 1e9, rel=0.01)
    off = min(np.hypot(*(strongest.k[0] - k)), np.hypot(*(strongest.k[0] + k)))
    assert off < 4 * strongest.along[0]
    assert np.hypot(*(strongest.place[0] - np.array([x, y]) * 1e-9)) < 4 * strongest.place_error[0]


def test_the_background_follows_a_film_and_not_the_crystals_in_it() -> None:
    random = np.random.default_rng(3)
    film = random.standard_normal((320, 320))
    k = np.hypot(np.fft.fftfreq(320, PITCH)[:, None], np.fft.fftfreq(320, PITCH)[None, :])
    film = np.fft.ifft2(np.fft.fft2(film) * (1 + 6 * np.exp(-(((k - 3e9) / 1e9) ** 2)))).real
    image = 100 + 3 * film + fringes(320, [(3.7e9, 0.0, 0.4)], (0.0, 0.0), 4e-9, 100.0, 1) - 100
    seen = spectrum(image, PITCH)
    at_halo, beyond = np.interp([3e9, 7e9], seen.rings, seen.background)
    assert at_halo > 4 * beyond
    assert len(find_spots(seen)) == 1


def test_patches_lie_inside_and_overlap_by_half() -> None:
    patches = list(tile((1024, 800), PITCH))
    assert {patch.side for patch in patches} == {320}
    assert sorted({patch.column for patch in patches}) == [0, 160, 320, 480]
    assert all(patch.row + patch.side <= 1024 for patch in patches)
    assert Patch(352, 240, 320).centre((1024, 800), PITCH) == (0.0, 0.0)


def test_too_coarse_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="too coarse"):
        spectrum(np.ones((200, 200)), 64e-12)


def test_frames_are_laid_upon_one_another_and_one_of_noise_is_left_out() -> None:
    random = np.random.default_rng(5)
    scene = random.standard_normal((256, 256))
    k = np.hypot(np.fft.fftfreq(256, PITCH)[:, None], np.fft.fftfreq(256, PITCH)[None, :])
    wave = np.fft.fft2(scene) * (k < 4e9)
    shift = 0.31e-9, -0.52e-9
    turn = np.fft.fftfreq(256, PITCH)[None, :] * shift[0] + np.fft.fftfreq(256, PITCH)[:, None] * shift[1]
    moved = np.fft.ifft2(wave * np.exp(-2j * np.pi * turn)).real
    still = np.fft.ifft2(wave).real
    frames = [random.poisson(40 * (1 + 0.2 * one)) for one in (still, moved, 0 * still)]
    found = align(frames, PITCH, 3)
    assert found.shifts[1] == pytest.approx(shift, abs=0.02e-9)
    assert found.shifts[2] is None
    assert (
        np.corrcoef(found.total.ravel(), still.ravel())[0, 1]
        > 1.2 * np.corrcoef(frames[0].ravel(), still.ravel())[0, 1]
    )


def test_more_of_a_phase_than_before_is_told_from_chance() -> None:
    assert appeared(0, 6)
    assert not appeared(4, 6)
