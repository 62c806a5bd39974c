"""The objective lens: wavelengths, zeros and envelopes as the textbooks have them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from simulators.lattice.lens import Lens, pictures
from tests.simulators.lattice_bench import lens

IDEAL = Lens(300e3, 25e-9, spherical=0.0, spread=0.0, source=0.0)


def test_electrons_of_300_kv_have_the_published_wavelength() -> None:
    # Reimer and Kohl, Transmission Electron Microscopy (2008), table 2.2
    assert IDEAL.wavelength == pytest.approx(0.01969e-10, rel=1e-3)


def test_an_underfocused_lens_without_aberrations_has_its_first_zero_where_the_formula_says() -> None:
    first = 1.0 / math.sqrt(IDEAL.wavelength * IDEAL.defocus)  # Reimer and Kohl, section 6.4: sin(pi lambda df k^2)
    assert first == pytest.approx(0.451e10, rel=1e-3)
    assert abs(float(IDEAL.aberration(np.array([first]))[0])) == pytest.approx(math.pi)
    assert np.all(IDEAL.transfer(np.linspace(0.02, 0.98, 99) * first) < 0.0)  # atoms are dark


def test_at_scherzer_s_defocus_one_band_reaches_to_the_published_resolution() -> None:
    # Scherzer (1949): df = 1.2 sqrt(C3 lambda), d = 0.66 (C3 lambda^3)^(1/4); Reimer and Kohl, section 6.4
    spherical = 1.2e-3
    length = IDEAL.wavelength
    scherzer = replace(IDEAL, spherical=spherical, defocus=1.2 * math.sqrt(spherical * length))
    zero = 1.0 / (0.66 * (spherical * length**3) ** 0.25)
    k = np.linspace(0.3, 1.3, 2001) * zero
    found = k[np.flatnonzero(np.diff(np.sign(scherzer.transfer(k))))[0]]
    assert found == pytest.approx(zero, rel=0.03)


def test_what_lies_deeper_is_more_out_of_focus() -> None:
    k = np.linspace(0.0, 1e10, 101)
    assert np.allclose(lens(50e-9).aberration(k, 7e-9), lens(57e-9).aberration(k))


def test_focal_spread_leaves_1_e_where_the_formula_says() -> None:
    # Reimer and Kohl, section 6.4: exp(-(pi lambda spread k^2)^2 / 2)
    one = replace(IDEAL, spread=3e-9)
    k = math.sqrt(math.sqrt(2.0) / (math.pi * one.wavelength * one.spread))
    assert one.envelope(np.array([k])) == pytest.approx([math.exp(-1.0)])


def test_a_source_blurs_nothing_where_chi_is_flat() -> None:
    one = replace(IDEAL, spherical=1e-6, source=1e-3)
    flat = math.sqrt(one.defocus / one.spherical) / one.wavelength
    assert one.envelope(np.array([flat])) == pytest.approx([1.0])
    assert one.envelope(np.array([flat / 2.0])) < 0.9


def test_a_lens_forgets_what_is_beyond_its_aperture() -> None:
    one = replace(IDEAL, aperture=10e-3)
    edge = 10e-3 / one.wavelength
    assert one.envelope(np.array([0.999, 1.001]) * edge).tolist() == [1.0, 0.0]
    assert one.limit(0.4e-10) == pytest.approx(edge, rel=2e-3)


def test_a_slice_at_a_depth_gives_the_contrast_of_the_transfer_function() -> None:
    pitch, side, k = 0.5e-10, 64, 5.0 / (64 * 0.5e-10)
    wave = np.cos(2.0 * np.pi * k * np.arange(side) * pitch)
    slices = np.tile(wave, (2, side, 1)).astype(np.complex64)
    depths = np.array([0.0, 12e-9])
    seen = pictures(slices, depths, lens(), pitch)
    for picture, depth in zip(seen, depths.tolist(), strict=True):
        expected = lens().transfer(np.array([k]), depth)[0] * wave
        assert np.allclose(picture, expected, atol=0.02 * np.abs(expected).max())
