"""The defocus is read from the rings of what is amorphous, and no defocus from an image without rings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from acquisition.analysis.thon import Defocus, find_defocus, radial_power
from physics.electrons import wavelength

PITCH, SPHERICAL, SIDE = 40e-12, 1e-6, 512


def image(defocus: float, thickness: float, dose: float, seed: int, spots: float = 0.0) -> NDArray[np.int64]:
    """A glass of independent slices under a lens; dose: electrons a pixel; spots: contrast of a crystal's fringes."""
    random = np.random.default_rng(seed)
    k = np.hypot(np.fft.fftfreq(SIDE, PITCH)[:, None], np.fft.rfftfreq(SIDE, PITCH)[None, :])
    length = wavelength(200e3)
    structure = 1 / (1 + (k / 4e9) ** 2) * np.sqrt(1 + 0.6 * np.exp(-(((k - 2.7e9) / 0.4e9) ** 2)))
    waves = np.zeros(k.shape, dtype=np.complex128)
    for depth in (np.arange(8) - 3.5) / 8 * thickness:
        chi = math.pi * length * k**2 * (defocus + depth - SPHERICAL * (length * k) ** 2 / 2)
        waves += np.fft.rfft2(random.standard_normal((SIDE, SIDE))) * np.sin(chi) * structure
    contrast = np.fft.irfft2(waves * np.exp(-((math.pi * length * 4e-9 * k**2) ** 2) / 2), (SIDE, SIDE))
    contrast *= 0.06 / contrast.std()
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    contrast += spots * np.cos(2 * math.pi * (0.11 * rows + 0.07 * columns))
    return random.poisson(np.maximum(1 + contrast, 0) * dose)


def found(counts: NDArray[np.int64], nominal: float, reach: float = 60e-9) -> Defocus:
    return find_defocus(
        counts, PITCH, beam_energy=200e3, spherical=SPHERICAL, nominal=nominal, reach=reach, thickest=120e-9
    )


@settings(max_examples=3, deadline=None)
@given(defocus=st.floats(120e-9, 320e-9), off=st.floats(-30e-9, 30e-9))
def test_a_defocus_is_found_from_a_wrong_start(defocus: float, off: float) -> None:
    seen = found(image(defocus, 40e-9, 60, seed=2), defocus + off)
    assert seen.value == pytest.approx(defocus, abs=4 * seen.error)
    assert seen.error < 4e-9
    assert seen.score > 0.3


def test_the_thickness_of_the_foil_damps_the_rings_and_is_found() -> None:
    thin, thick = (found(image(250e-9, t, 200, seed=4), 250e-9) for t in (20e-9, 90e-9))
    assert thin.thickness < 35e-9
    assert thick.thickness == pytest.approx(90e-9, abs=20e-9)


def test_overfocus_is_told_where_it_was_set() -> None:
    assert found(image(-200e-9, 30e-9, 100, seed=5), -190e-9).value == pytest.approx(-200e-9, abs=8e-9)


def test_spots_of_a_crystal_do_not_move_it() -> None:
    plain, spotted = (found(image(200e-9, 40e-9, 100, seed=6, spots=s), 200e-9) for s in (0.0, 0.05))
    assert spotted.value == pytest.approx(plain.value, abs=2 * plain.error)


def test_noise_has_no_rings() -> None:
    seen = found(np.random.default_rng(1).poisson(50, (SIDE, SIDE)), 200e-9)
    assert seen.score < 0.2 or seen.other_worse < 9


def test_the_error_of_the_spectrum_is_that_of_counting() -> None:
    noise = np.random.default_rng(7).poisson(40, (SIDE, SIDE)).astype(np.float64)
    _, power, error = radial_power(noise, PITCH)
    assert np.std(power[20:] / np.mean(power[20:])) == pytest.approx(
        np.sqrt(np.mean((error / power)[20:] ** 2)), rel=0.3
    )


def test_an_image_of_a_few_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        found(np.ones((64, 64), dtype=np.int64), 100e-9)
