"""Lattice images of glass, of what is dark and bright, and of what the camera counts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from physics.elastic import cross_section
from physics.glass import structure_factor
from physics.materials import material
from simulators.lattice.fringes import Grid
from simulators.lattice.glass import glass as contrast_of_glass
from simulators.lattice.image import Detector, counted, intensity
from simulators.lattice.lens import Lens, pictures
from simulators.sample.scene import CrystalFilm
from tests.simulators.atoms import gas, slices
from tests.simulators.lattice_bench import PITCH, SIDE, Array, glass, lens, scene, zone

WHOLE = (SIDE, SIDE)
BOX = SIDE * PITCH


def test_a_glass_has_dark_rings_at_the_zeros_of_the_transfer_function() -> None:
    # Thon, Z. Naturforsch. 21a (1966) 476: zeros at sin chi = 0
    aim = replace(lens(150e-9), spread=1e-9)
    side = 512
    seen = intensity(scene(amorphous=glass("C", 4e-9), thickness=4e-9, side=side * PITCH), aim, (side, side), PITCH)
    k, power = _radial(seen)
    chi = aim.aberration(k)
    for order in (1, 2, 3):
        zero = k[np.argmin(np.abs(chi + order * np.pi))]
        before = k[np.argmin(np.abs(chi + (order - 0.5) * np.pi))]
        assert power[np.argmin(np.abs(k - zero))] < 0.15 * power[np.argmin(np.abs(k - before))]


def test_a_glass_is_as_rough_as_the_atoms_in_it() -> None:
    thickness, random = 20e-9, np.random.default_rng(4)
    grid = Grid((0.0, 0.0), WHOLE, PITCH)
    ours = contrast_of_glass(glass("LiPON", thickness), BOX / 16, thickness, lens(), grid, (3,))
    potentials, depths = slices(gas("LiPON", (BOX, BOX, thickness), random), BOX, SIDE, thickness, 16)
    theirs = pictures(potentials.astype(np.complex64), depths, lens(), PITCH).sum(axis=0)
    k, power = _radial(ours)
    expected = _radial(theirs)[1] * structure_factor(k)  # atoms that keep no distance, and then do
    for low in (0.2e10, 0.3e10, 0.45e10, 0.6e10):
        ring = (k > low) & (k < low + 0.1e10)
        assert power[ring].mean() == pytest.approx(expected[ring].mean(), rel=0.12)


def test_more_atoms_are_rougher_as_the_root() -> None:
    areal = glass("LiPON", 20e-9)
    areal = {element: np.where(np.arange(16) < 8, n / 4.0, n) for element, n in areal.items()}
    seen = intensity(scene(amorphous=areal, thickness=20e-9), lens(), WHOLE, PITCH)
    assert seen[:, 180:].std() / seen[:, :140].std() == pytest.approx(2.0, rel=0.1)


def test_the_same_place_looks_the_same_again() -> None:
    areal = glass("LiPON", 20e-9, cells=32)
    one, other = (
        intensity(scene(amorphous=areal, thickness=20e-9, side=32 * 0.4e-9, corner=(corner, 0.0)), lens(), WHOLE, PITCH)
        for corner in (-1e-9, -1e-9 + 40.5 * PITCH)
    )
    moved = np.fft.irfft2(np.fft.rfft2(one) * np.exp(2j * np.pi * 0.5 * np.fft.rfftfreq(SIDE)), WHOLE)
    assert np.corrcoef(moved[:, 45:-10].ravel(), other[:, 5:-50].ravel())[0, 1] > 0.99


def test_another_key_is_another_structure() -> None:
    one, other = (
        intensity(scene(amorphous=glass("C", 20e-9), thickness=20e-9, key=key), lens(), WHOLE, PITCH) for key in (1, 2)
    )
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05


def test_nothing_under_the_beam_is_white() -> None:
    assert np.all(intensity(scene(), lens(), WHOLE, PITCH) == 1.0)


def test_lithium_is_brighter_than_lipon_and_both_than_copper() -> None:
    # fractions beyond the aperture as integrals of the Born approximation (Kirkland, table of form factors)
    aim, thickness = replace(lens(), aperture=30e-3), 40e-9
    means = {}
    for name in ("Li", "LiPON", "Cu"):
        if name == "LiPON":
            one = scene(amorphous=glass(name, thickness), thickness=thickness)
        else:
            film = CrystalFilm(name, zone(name, (1, 2, 3)), np.full((16, 16), thickness), np.zeros((16, 16)))
            one = scene(films=(film,), thickness=thickness)
        means[name] = float(intensity(one, aim, WHOLE, PITCH).mean())
    assert 1.0 > means["Li"] > means["LiPON"] > means["Cu"]
    depth = sum(
        n * thickness * cross_section(element, 200e3, 30e-3, 0.3)
        for element, n in material("LiPON").number_densities.items()
    )
    assert means["LiPON"] == pytest.approx(math.exp(-depth), rel=2e-3)
    assert 0.93 < means["LiPON"] < 0.98 and means["Li"] > 0.99


def test_the_column_s_lens_and_camera_come_from_their_data_file() -> None:
    aim = Lens.of_column(200e3, 60e-9)
    assert (aim.defocus, aim.beam_energy) == (60e-9, 200e3)
    assert 0.0 < aim.aperture < 0.1
    assert Detector.of_column().mtf[0] == 1.0


def test_a_camera_counts_electrons_with_their_noise() -> None:
    detector = Detector(mtf=(1.0, 1.0), gain=8.0, read_noise=4.0, depth=16)
    counts = counted(np.ones((256, 256), np.float32), 50.0, detector, np.random.default_rng(3))
    assert counts.mean() == pytest.approx(8.0 * 50.0, rel=2e-3)
    assert counts.var() == pytest.approx(8.0**2 * 50.0 + 4.0**2, rel=0.03)


def test_the_mtf_takes_what_it_says_from_a_fringe() -> None:
    detector = Detector(mtf=(1.0, 0.6, 0.2), gain=1.0, read_noise=0.0, depth=30)
    fringe = 1.0 + 0.5 * np.cos(np.pi / 2.0 * np.arange(256))  # half the Nyquist frequency
    image = np.tile(fringe, (256, 1)).astype(np.float32)
    counts = counted(image, 1e4, detector, np.random.default_rng(3))
    amplitude = 2.0 * np.abs(np.fft.rfft(counts.mean(axis=0))[64]) / 256 / 1e4
    assert amplitude == pytest.approx(0.5 * 0.6, rel=0.01)


def test_a_full_pixel_counts_no_more() -> None:
    detector = Detector(mtf=(1.0, 1.0), gain=8.0, read_noise=4.0, depth=8)
    assert counted(np.ones((8, 8), np.float32), 1e6, detector, np.random.default_rng(3)).max() == 255


def _radial(picture: Array) -> tuple[Array, Array]:
    """Mean power over rings, and their k, 1/m."""
    side = len(picture)
    power = np.abs(np.fft.rfft2(picture - picture.mean())) ** 2
    ring = np.rint(np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) * side).astype(int)
    mean = np.bincount(ring.ravel(), power.ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
    count = side // 2
    return np.arange(count) / (side * PITCH), mean[:count]
