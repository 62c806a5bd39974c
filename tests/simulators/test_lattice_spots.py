"""Lattice images of crystals: spots where the crystal, its turn, its depth and the lens say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from physics.crystals import crystal
from simulators.lattice.image import intensity
from simulators.lattice.lens import Lens, pictures
from simulators.sample.scene import CrystalFilm
from tests.simulators.atoms import Atoms, slices, sphere
from tests.simulators.lattice_bench import (
    COLD,
    CONTRAST,
    MIDDLE,
    PITCH,
    SIDE,
    Array,
    about,
    glass,
    lens,
    scene,
    spectrum,
    spheres,
    spots,
    zone,
)

WARM = 293.0
BOX = SIDE * PITCH
WHOLE = (SIDE, SIDE)
# d in A, seen along a zone: Nadler and Kempter (1959); Zintl (1934); Rabenau and Schulz (1976); Keffer (1967)
RINGS = [
    ("Li", (0, 0, 1), [2.481]),
    ("Li2O", (1, -1, 0), [2.662, 1.630]),
    ("Li3N", (1, 0, 0), [3.875, 3.159]),
    ("Li3PO4", (0, 0, 1), [3.978, 2.641, 2.619]),
]


def image(one: object, aim: Lens | None = None, pitch: float = PITCH, pixels: int = SIDE) -> Array:
    return intensity(one, aim or lens(), (pixels, pixels), pitch).astype(np.float64)  # type: ignore[arg-type]


@pytest.mark.parametrize(("phase", "along", "published"), RINGS, ids=[ring[0] for ring in RINGS])
def test_spacings_in_the_fft_are_the_published_ones_within_1_percent(
    phase: str, along: tuple[int, int, int], published: list[float]
) -> None:
    one = scene(
        spheres(phase, [zone(phase, along, WARM)], radius=4e-9),
        glass("LiPON", 20e-9),
        thickness=20e-9,
        temperature=WARM,
    )
    series = [
        spots(image(one, lens(defocus)), over=0.3) for defocus in (32e-9, 42e-9, 52e-9)
    ]  # one may have a zero there
    found = 1e10 / np.linalg.norm(np.concatenate(series), axis=1)
    for d in published:
        assert np.min(np.abs(found / d - 1.0)) < 0.01, (d, found)


def test_turning_the_sample_by_10_degrees_turns_the_spots_by_10_degrees() -> None:
    turn = zone("Li2O", (1, -1, 0))
    before, after = (
        spots(image(scene(spheres("Li2O", [about((0, 0, 1), angle) @ turn])))) for angle in (0.0, math.radians(10.0))
    )
    moved = before @ about((0, 0, 1), math.radians(10.0))[:2, :2].T
    assert len(before) == len(after) >= 3
    for place in moved:
        apart = min(np.linalg.norm(after - place, axis=1).min(), np.linalg.norm(after + place, axis=1).min())
        assert apart < 0.01 * np.linalg.norm(place)  # half a degree


def test_tilting_by_5_degrees_takes_the_spots_whose_excitation_error_says_so() -> None:
    # a sphere gives nothing where |s| is beyond 0.715 / radius: first zero of its shape transform (Guinier (1963))
    radius, turn = 4e-9, zone("Li2O", (1, -1, 0))
    before = image(scene(spheres("Li2O", [turn], radius)))
    axis = np.array([*spots(before)[0], 0.0])
    after = image(scene(spheres("Li2O", [about(axis, math.radians(5.0)) @ turn], radius)))
    amplitude, kx, ky = spectrum(after)
    whole = spectrum(before)[0]
    axis /= np.linalg.norm(axis)
    kept = gone = 0
    for place in spots(before, over=0.3):
        error = math.sin(math.radians(5.0)) * abs(axis[0] * place[1] - axis[1] * place[0])
        near = np.hypot(kx - place[0], ky - place[1]) < 0.03e10
        left = amplitude[near].max() / whole[near].max()
        if error * radius > 0.9:
            assert left < 0.25, place
            gone += 1
        elif error * radius < 0.25:
            assert left > 0.5, place
            kept += 1
    assert kept and gone


def test_a_spot_vanishes_where_the_transfer_function_is_zero() -> None:
    turn = zone("Li2O", (1, -1, 0))
    g = 1.0 / (crystal("Li2O").cell(COLD)[0, 0] / math.sqrt(3.0))
    length = lens().wavelength
    strength = {}
    for sine in (1.0, 0.0):  # chi(g) = -3 pi / 2 and -2 pi
        chi = -1.5 * np.pi if sine else -2.0 * np.pi
        defocus = 1e-6 * (length * g) ** 2 / 2.0 - chi / (np.pi * length * g**2)
        amplitude, kx, ky = spectrum(image(scene(spheres("Li2O", [turn], 6e-9)), lens(defocus)))
        strength[sine] = amplitude[np.abs(np.hypot(kx, ky) - g) < 0.01e10].max()
    assert strength[0.0] < 0.1 * strength[1.0]


def test_a_spacing_finer_than_two_pixels_leaves_no_false_one() -> None:
    turn, pitch = zone("Li2O", (1, -1, 0)), 1e-10  # 1.63 A is beyond 2 A, and would fold to 3.3 A
    one = scene(spheres("Li2O", [turn]))
    d = 1e10 / np.linalg.norm(spots(image(one, pitch=pitch, pixels=128), pitch), axis=1)
    assert np.allclose(d, 2.655, rtol=0.01)


def test_pixels_too_large_for_a_lattice_show_none() -> None:
    assert np.ptp(image(scene(spheres("Li2O", [zone("Li2O", (1, -1, 0))])), pitch=4e-10, pixels=32)) == 0.0


def test_half_the_lattice_gives_half_the_fringes() -> None:
    turn = [zone("Li2O", (1, -1, 0))]
    whole, half = (image(scene(spheres("Li2O", turn, left=left))) - 1.0 for left in (1.0, 0.5))
    assert np.allclose(half, whole / 2.0, atol=0.02 * np.abs(whole).max())


def test_what_lies_beside_a_picture_is_cut_off_and_not_folded_in() -> None:
    turn = [zone("Li2O", (1, -1, 0))]
    whole = image(scene(spheres("Li2O", turn)))
    part = image(scene(spheres("Li2O", turn), corner=(0.0, 200 * PITCH)))
    assert np.allclose(part[: SIDE - 200], whole[200:], atol=1e-4)
    assert np.allclose(part[SIDE - 200 :], 1.0)


@pytest.mark.parametrize("phase", ["Li2O", "Li3PO4", "Cu"])
def test_reflections_make_the_picture_that_the_atoms_make(phase: str) -> None:
    along = {"Li3PO4": (0, 0, 1)}.get(phase, (1, -1, 0))
    turn = about((1, 1, 0), 0.02) @ zone(phase, along)
    one = spheres(phase, [turn], radius=2.5e-9, z=8e-9)
    ours = _lattice(image(scene(one)) - 1.0) / CONTRAST
    potentials, depths = slices(
        sphere(phase, 2.5e-9, one.centre[0], turn, COLD), BOX, SIDE, 40e-9, 80, crystal(phase).thermal(COLD)
    )
    full = np.abs(potentials).max(axis=(1, 2)) > 0.0
    theirs = _lattice(pictures(potentials[full].astype(np.complex64), depths[full], lens(), PITCH).sum(axis=0))
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.97
    assert ours.std() == pytest.approx(theirs.std(), rel=0.08)


def test_a_film_makes_the_picture_that_its_atoms_make() -> None:
    depth, turn = 5e-9, zone("Li", (0, 0, 1))
    film = CrystalFilm("Li", turn, np.full((16, 16), depth), np.full((16, 16), 1.0))
    ours = _lattice(image(scene(films=(film,), thickness=depth)) - 1.0) / CONTRAST
    atoms = sphere("Li", 11e-9, np.zeros(3), turn, COLD)
    inside = (np.abs(atoms.places[:, 2]) < depth / 2.0) & np.all(atoms.places[:, :2] > 0.0, axis=1)
    inside &= np.all(atoms.places[:, :2] < BOX, axis=1)
    potentials, depths = slices(
        Atoms(atoms.places[inside], atoms.elements[inside]), BOX, SIDE, depth, 16, crystal("Li").thermal(COLD)
    )
    theirs = _lattice(pictures(potentials.astype(np.complex64), depths, lens(), PITCH).sum(axis=0))
    middle = slice(50, 170), slice(50, 170)  # the atoms end within the box
    assert np.corrcoef(ours[middle].ravel(), theirs[middle].ravel())[0, 1] > 0.97
    assert ours[middle].std() == pytest.approx(theirs[middle].std(), rel=0.1)


def test_a_film_is_where_its_map_says() -> None:
    depth = np.where(np.arange(16) < 8, 30e-9, 0.0) * np.ones((16, 1))
    film = CrystalFilm("Li", zone("Li", (0, 0, 1)), depth, np.ones((16, 16)))
    seen = image(scene(films=(film,), thickness=30e-9))
    assert seen[:, :140].std() > 0.05
    assert np.allclose(seen[:, 180:], 1.0)
    assert math.isclose(MIDDLE, 160 * PITCH)


def _lattice(picture: Array) -> Array:
    """What is finer than 5 A and coarser than the lens lets through: no mean inner potential."""
    waves = np.fft.rfft2(picture)
    k = np.hypot(np.fft.fftfreq(len(picture), PITCH)[:, None], np.fft.rfftfreq(len(picture), PITCH))
    return np.asarray(np.fft.irfft2(waves * ((k > 0.2e10) & (k < 0.95e10)), picture.shape))
