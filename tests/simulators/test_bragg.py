"""What crystals diffract under a probe: where spots stand, how strong they are, and how they turn, tilt and fade."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from physics.crystals import reflections, spacings
from physics.electrons import interaction_constant, wavelength
from physics.materials import material
from simulators.beam.bragg import FOLLOWED, LONGEST, Bragg, Spots, together
from simulators.beam.scattering import Scattering, ring_share
from simulators.sample.scene import Crystals
from tests.simulators.bench import grid, make_world, optics, sample_with, still

NM, ANGLE, KELVIN = 1e-9, 1.6e-3, 100.0
NARROW = optics().model_copy(update={"convergence": 1e-3})
LENGTH = wavelength(200e3)
Array = NDArray[np.float64]


def _crystals(turn: Array, *, left: float = 1.0, radius: float = 3 * NM, phase: str = "Li2O") -> Crystals:
    """One sphere in the middle."""
    one = np.ones(1)
    return Crystals((phase,), np.zeros(1, np.intp), np.zeros((1, 3)), one * radius, turn[None], one * left)


def _in_bragg(indices: tuple[int, int, int], phase: str = "Li2O") -> Array:
    """A turn that brings a reflection exactly into Bragg's condition, along +x."""
    found = reflections(phase, KELVIN, 1e10)
    g = found.g[np.flatnonzero((found.indices == indices).all(axis=1))[0]]
    bragg = LENGTH * np.linalg.norm(g) / 2.0
    aim = np.array([np.cos(bragg), 0.0, -np.sin(bragg)])
    return Rotation.align_vectors(aim[None], g[None])[0].as_matrix()


def _under(crystals: Crystals, x: float = 0.0, y: float = 0.0) -> Spots:
    spots, _ = Bragg(NARROW, ANGLE).under(crystals, np.array([x]), np.array([y]), KELVIN)
    return spots


def _strongest(spots: Spots) -> tuple[Array, float]:
    best = int(np.argmax(spots.share))
    return np.asarray(spots.shift[best], np.float64), float(spots.share[best])


@pytest.mark.parametrize(("indices", "label"), [((1, 1, 1), "111"), ((2, 2, 0), "220")])
def test_a_spot_stands_at_the_spacing_of_its_planes(indices: tuple[int, int, int], label: str) -> None:
    d = next(ring.d for ring in spacings("Li2O", KELVIN, 1e-10) if ring.label == label)
    shift, _ = _strongest(_under(_crystals(_in_bragg(indices))))
    assert shift == pytest.approx((0.0, LENGTH / d / ANGLE), abs=0.05)  # pixels, down and across


def test_in_bragg_s_condition_its_share_is_that_of_two_beams() -> None:
    found = reflections("Li2O", KELVIN, 1e10)
    volts = abs(found.potential[np.flatnonzero((found.indices == (1, 1, 1)).all(axis=1))[0]])
    inverse = interaction_constant(200e3) * volts / np.pi  # of the extinction distance
    for away in (0.0, 2 * NM):
        path = 2.0 * np.sqrt((3 * NM) ** 2 - away**2)
        _, share = _strongest(_under(_crystals(_in_bragg((1, 1, 1))), y=away))
        assert share == pytest.approx(np.sin(np.pi * path * inverse) ** 2, rel=0.01)


def test_beside_the_crystal_nothing_is_diffracted() -> None:
    assert len(_under(_crystals(_in_bragg((1, 1, 1))), y=3.01 * NM).share) == 0


def test_turning_the_crystal_by_ten_degrees_turns_its_spots_by_ten() -> None:
    turn = _in_bragg((1, 1, 1))
    turned = Rotation.from_euler("z", 10, degrees=True).as_matrix() @ turn
    spots, after = _under(_crystals(turn)), _under(_crystals(turned))
    angle = np.radians(10.0)
    right = spots.shift[:, 1] * np.cos(angle) - spots.shift[:, 0] * np.sin(angle)
    down = spots.shift[:, 1] * np.sin(angle) + spots.shift[:, 0] * np.cos(angle)
    assert after.share == pytest.approx(spots.share, rel=1e-4)
    assert after.shift == pytest.approx(np.column_stack([down, right]), abs=1e-3)


def test_tilting_by_five_degrees_removes_what_leaves_bragg_s_condition() -> None:
    turn = _in_bragg((2, 2, 0))
    tilted = Rotation.from_euler("y", 5, degrees=True).as_matrix() @ turn  # about the axis across the reflection
    thick = {"radius": 10 * NM}  # s t = sin(5 deg)/d t > 10
    before, after = (_under(_crystals(each, **thick)) for each in (turn, tilted))
    shift, share = _strongest(before)
    here = np.hypot(*(after.shift - shift).T) < 1.0
    assert after.share[here].sum() < 0.05 * share
    about_it = Rotation.from_euler("x", 5, degrees=True).as_matrix() @ turn  # along it: it stays
    assert _strongest(_under(_crystals(about_it, **thick)))[1] == pytest.approx(share, rel=0.05)


def test_a_lattice_of_half_its_amplitude_diffracts_a_quarter() -> None:
    turn = _in_bragg((1, 1, 1))
    (_, fresh), (_, faded) = (_strongest(_under(_crystals(turn, left=left))) for left in (1.0, 0.5))
    assert faded / fresh == pytest.approx(0.25, rel=0.02)


def test_never_more_than_half_of_the_electrons_is_diffracted() -> None:
    one = _crystals(_in_bragg((2, 2, 0)), radius=15 * NM)
    many = replace(
        one,
        phase=np.zeros(6, np.intp),
        centre=np.zeros((6, 3)),
        radius=np.repeat(one.radius, 6),
        turn=np.repeat(one.turn, 6, axis=0),
        left=np.ones(6),
    )
    spots = _under(many)
    assert spots.share.sum() == pytest.approx(0.5, rel=1e-5)
    assert together(spots, spots).share.sum() == pytest.approx(0.5, rel=1e-5)


def test_grains_of_lithium_turned_at_random_send_into_the_ring_what_their_atoms_would_one_by_one() -> None:
    seen = optics().model_copy(update={"convergence": 20e-3})
    bragg, scattering = Bragg(seen, ANGLE), Scattering(seen)
    depth, density = 50 * NM, material("Li").number_densities["Li"]
    shares = []
    for turn in Rotation.random(150, random_state=2).as_matrix():
        g, share = bragg.film("Li", turn, depth, 1.0, KELVIN)
        shares.append((share * ring_share(np.hypot(*g.T) * LENGTH, 20e-3, seen.dark_field)).sum())
    together_ = np.mean(shares) + depth * scattering.into_dark_field(scattering.shaken("Li"))
    alone = density * depth * scattering.into_dark_field(scattering.glass("Li"))
    assert together_ == pytest.approx(alone, rel=0.2)


@pytest.mark.parametrize("phase", ["Li2O", "Li3N", "Li3PO4"])
def test_small_crystals_turned_at_random_send_into_the_ring_what_their_atoms_would_one_by_one(phase: str) -> None:
    seen = optics().model_copy(update={"convergence": 20e-3})
    scattering, bragg = Scattering(seen), Bragg(seen, ANGLE)
    turns = Rotation.random(300, random_state=4).as_matrix()
    centres = np.column_stack([np.arange(300) * 20 * NM, np.zeros(300), np.zeros(300)])
    many = Crystals((phase,), np.zeros(300, np.intp), centres, np.full(300, 3 * NM), turns, np.ones(300))
    spots, paths = bragg.under(many, centres[:, 0], np.zeros(300), KELVIN)
    assert paths[phase] == pytest.approx(6 * NM)
    gained = ring_share(np.hypot(*np.asarray(spots.shift, np.float64).T) * ANGLE, 20e-3, seen.dark_field)
    atoms = material(phase).number_densities.items()
    alone = 6 * NM * sum(number * scattering.into_dark_field(scattering.glass(element)) for element, number in atoms)
    beside = 6 * NM * scattering.into_dark_field(scattering.shaken(phase, FOLLOWED, LONGEST))
    assert (spots.share * gained).sum() / 300 + beside == pytest.approx(alone, rel=0.15)


def test_the_lithium_of_the_lamella_has_the_spots_of_its_grain_and_lipon_has_none() -> None:
    world = make_world(sample_with(lithium_shell=0.0, drift=still()), seen=NARROW)
    world.diffraction.watch()
    u, v, cell = grid((-0.8e-6, 0.0), 20 * NM, 4)
    world.column.raster(u, v, cell, 1e-5, 1.0)
    u, v, cell = grid((0.8e-6, 0.0), 20 * NM, 4)
    world.column.raster(u, v, cell, 1e-5, 2.0)
    seen = world.diffraction.seen(np.array([1.0, 2.0]), np.array([1.1, 2.1]))
    lithium, lipon = (seen.spots.at(part)[0] for part in (seen.first[0], seen.first[1]))
    assert len(lipon) == 0
    rings = [LENGTH / ring.d / ANGLE for ring in spacings("Li", 295.0, 0.6e-10)]
    away = np.hypot(*np.asarray(lithium, np.float64).T)
    assert len(away) > 0
    assert np.abs(away[:, None] - rings).min(axis=1).max() < 0.3


def test_the_crystals_of_the_interphase_fade_under_the_beam() -> None:
    world = make_world(sample_with(drift=still()), seen=NARROW, current=2e-9)
    world.diffraction.watch()
    u, v, cell = grid((0.0, 0.0), 30 * NM, 20)
    bent = []
    for frame in range(4):  # 1.4e3 e/A^2 each
        start = 1.0 + frame
        world.column.raster(u, v, cell, 2.5e-5, start)
        seen = world.diffraction.seen(np.array([start]), np.array([start + 0.5]))
        bent.append(sum(seen.electrons[part] * seen.spots.at(part)[1].sum() for part in range(len(seen.electrons))))
    assert bent[0] > 0.0
    assert all(after < before for before, after in pairwise(bent))
    assert bent[-1] < 0.8 * bent[0]
