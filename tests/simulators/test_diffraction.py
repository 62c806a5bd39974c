"""The far field behind the lamella: nothing is lost or made, the halo is LiPON's, the ring that of the dark field."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.constants import e

from drivers.rigfile import Wire
from physics.electrons import wavelength
from physics.units import parse
from simulators.beam.bragg import Spots
from simulators.beam.far_field import FarField
from simulators.beam.patterns import Pattern, merged
from simulators.beam.scattering import ring_share
from simulators.constants import constants
from simulators.sample.file import Sample
from simulators.sample.lamella import Exposed, Lamella
from simulators.world import World
from tests.simulators.bench import CURRENT, FIELD, a_slab, grid, make_world, optics, sample_with, still, undamaged

NM = 1e-9
LITHIUM, LIPON, VACUUM = (-0.8e-6, 0.0), (0.8e-6, 0.0), (-2.3e-6, 0.0)  # m from the middle of the field
NARROW = optics().model_copy(update={"convergence": 4e-3})
ANGLE = parse(constants("camera")["pixel_size"], "length") / parse(constants("camera")["camera_length"], "length")
Array = NDArray[np.float64]


def _bare(**environment: object) -> Sample:
    return sample_with(lithium_shell=0.0, carbon=0.0, copper=0.0, drift=still(), **environment)


@cache
def _far_field(convergence: float) -> tuple[Lamella, FarField]:
    seen = optics().model_copy(update={"convergence": convergence})
    sample = _bare()
    lamella = Lamella(sample, seen, FIELD, a_slab(sample))
    return lamella, FarField(lamella, seen, (128, 128), ANGLE, np.random.default_rng([7, 13, 0]), hidden_errors=False)


def _pattern(place: tuple[float, float], convergence: float = 4e-3, ice: float = 0.0) -> Array:
    """Share of the electrons that each pixel gets at a place, m from the middle of the field, without reflections."""
    lamella, far_field = _far_field(convergence)
    x, y, none = np.array([place[0] + lamella.middle]), np.array([place[1]]), np.zeros(1)
    run = Exposed(lamella.index(x, y), 1.0, {}, ice, 1e-6, 0.0, none, x, y, none)
    return far_field.expected(far_field.depths(run, {})[0])


def _ring(inner: float, outer: float) -> NDArray[np.bool_]:
    y, x = (np.indices((128, 128)) - 63.5) * ANGLE
    angles = np.hypot(y, x)
    return np.asarray((angles >= inner) & (angles < outer))


def test_in_vacuum_there_is_the_disk_of_the_probe_and_nothing_else() -> None:
    pattern = _pattern(VACUUM, 20e-3)
    assert pattern.sum() == pytest.approx(1.0, abs=1e-4)
    assert pattern[_ring(0.0, 20e-3 - 2 * ANGLE)].std() / pattern.max() < 0.02
    assert pattern[_ring(20e-3 + 2 * ANGLE, 1.0)].sum() < 1e-3


@pytest.mark.parametrize("place", [LITHIUM, (0.0, 0.0), LIPON])
def test_every_electron_lands_on_the_detector_or_leaves_it_at_high_angles(place: tuple[float, float]) -> None:
    assert 0.97 < _pattern(place).sum() <= 1.001


def test_the_halo_of_lipon_peaks_where_its_structure_factor_does() -> None:
    pattern = _pattern(LIPON, 0.5e-3)
    rings = [(k - 0.5 * ANGLE, k + 0.5 * ANGLE) for k in np.arange(4e-3, 20e-3, ANGLE)]
    profile = [pattern[_ring(*ring)].mean() for ring in rings]
    first_peak = wavelength(200e3) / 3.7e-10  # 6.8 mrad
    assert np.mean(rings[int(np.argmax(profile))]) == pytest.approx(first_peak, abs=ANGLE)


def test_lipon_has_the_brighter_halo() -> None:
    halo = _ring(15e-3, 60e-3)
    assert np.median(_pattern(LIPON, 0.5e-3)[halo]) > 5.0 * np.median(_pattern(LITHIUM, 0.5e-3)[halo])


def test_ice_scatters_too() -> None:
    halo = _ring(10e-3, 60e-3)
    assert _pattern(LITHIUM, ice=100 * NM)[halo].sum() > 1.5 * _pattern(LITHIUM)[halo].sum()


@pytest.mark.parametrize("deflection", [0.0, 5e-3, 30e-3, 90e-3, 200e-3])
def test_the_share_of_a_deflected_cone_in_a_ring_is_that_of_points_strewn_over_it(deflection: float) -> None:
    random = np.random.default_rng(3)
    radius, turn = 20e-3 * np.sqrt(random.random(200_000)), 2.0 * np.pi * random.random(200_000)
    angle = np.hypot(radius * np.cos(turn) + deflection, radius * np.sin(turn))
    strewn = np.mean((angle >= 25e-3) & (angle < 100e-3))
    assert ring_share(np.array([deflection]), 20e-3, (25e-3, 100e-3))[0] == pytest.approx(strewn, abs=5e-3)


@pytest.mark.parametrize(("thickness", "cone"), [(50, 20e-3), (100, 20e-3), (150, 20e-3), (100, 4e-3)])
def test_a_ring_over_the_camera_counts_what_the_dark_field_counts(thickness: int, cone: float) -> None:
    sample = undamaged(sample_with(lamella_thickness=thickness * NM, drift=still()))
    world = make_world(sample, seen=optics().model_copy(update={"convergence": cone}))
    world.diffraction.watch()
    weights = np.mean([_ring_at(a, b) for a in (-0.25, 0.25) for b in (-0.25, 0.25)], axis=0)
    for number, place in enumerate((LITHIUM, (-0.8e-6, 0.6e-6), (0.0, 0.0), LIPON)):
        u, v, cell = grid(place, 30 * NM, 12)
        start = 1.0 + number
        dark_field = world.column.raster(u, v, cell, 1e-3, start).sum()
        seen = world.diffraction.seen(np.array([start]), np.array([start + 0.144]))
        assert (world.diffraction.counts(seen, 0) * weights).sum() == pytest.approx(dark_field, rel=0.05)


def _ring_at(down: float, across: float) -> NDArray[np.bool_]:
    """Pixels whose places so much beside their middles lie in the ring of the dark field."""
    y, x = np.indices((128, 128)) - 63.5
    angle = np.hypot(y + down, x + across) * ANGLE
    return np.asarray((angle >= 25e-3) & (angle < 100e-3))


def _lit_world(dwell: float = 1e-5) -> World:
    """Four pixels on lithium, vacuum and LiPON in turn, from 1 s on."""
    world = make_world(_bare(), seen=NARROW)
    world.diffraction.watch()
    u = 0.5 + np.array([LITHIUM[0], VACUUM[0], LIPON[0], LIPON[0]]) / FIELD
    world.column.raster(u, np.full(4, 0.5), (1e-4, 1e-4), dwell, 1.0)
    return world


def test_windows_of_time_see_the_pixels_they_overlap() -> None:
    world = _lit_world()
    starts, stops = np.array([0.5, 1.0, 1.000005, 1.00002, 2.0]), np.array([0.6, 1.00001, 1.000015, 1.00003, 2.1])
    seen = world.diffraction.seen(starts, stops)
    assert np.diff(seen.first).tolist() == [0, 1, 2, 1, 0]
    electrons = CURRENT / e * np.array([10e-6, 5e-6, 5e-6, 10e-6])
    assert seen.electrons == pytest.approx(electrons, rel=1e-4)


def test_without_light_the_frame_is_dark() -> None:
    world = _lit_world()
    nothing = world.diffraction.seen(np.array([3.0]), np.array([4.0]))
    assert not world.diffraction.counts(nothing, 0).any()


def test_nothing_is_kept_while_nobody_watches_or_when_it_is_over() -> None:
    world = make_world(_bare(), seen=NARROW)
    u = np.full(4, 0.5)
    world.column.raster(u, u, (1e-4, 1e-4), 1e-5, 1.0)
    assert not world.diffraction._lights
    world = _lit_world()
    world.diffraction.forget(1.00001)
    assert world.diffraction._lights
    world.diffraction.forget(1.1)
    assert not world.diffraction._lights


def test_with_the_screen_down_nothing_reaches_the_camera() -> None:
    world = make_world(_bare(), seen=NARROW)
    world.column.screen_down = True
    world.diffraction.watch()
    u = np.full(4, 0.5)
    world.column.raster(u, u, (1e-4, 1e-4), 1e-5, 1.0)
    assert not world.diffraction._lights


def test_the_same_seed_gives_the_same_electrons() -> None:
    def drawn() -> NDArray[np.int64]:
        world = _lit_world()
        seen = world.diffraction.seen(np.array([1.0]), np.array([1.00004]))
        return world.diffraction.counts(seen, 0)

    assert np.array_equal(drawn(), drawn())


@pytest.mark.parametrize("electrons", [30.0, 3e3, 4e5])  # few, many, and so many that every pixel is drawn by itself
def test_drawn_electrons_are_those_expected_and_vary_as_poisson(electrons: float) -> None:
    shares = _pattern(LIPON)
    pattern, random = Pattern(shares), np.random.default_rng(3)
    drawn = np.stack([pattern.draw(electrons, random) for _ in range(200)])
    totals = drawn.sum(axis=(1, 2))
    assert totals.mean() == pytest.approx(electrons * shares.sum(), rel=5.0 / np.sqrt(200 * electrons))
    assert totals.var() / totals.mean() == pytest.approx(1.0, abs=0.5)
    expected = 200.0 * electrons * shares
    off = (drawn.sum(axis=0) - expected) / np.sqrt(expected)
    assert (off**2).mean() == pytest.approx(1.0, abs=0.15)  # tails too: no pixel gets what it is not due


def test_electrons_of_reflections_land_further_and_vary_as_poisson_too() -> None:
    shares, random = _pattern(LIPON), np.random.default_rng(3)
    shift, share = np.array([[10.0, -7.5], [0.0, 200.0]], np.float32), np.array([0.2, 0.1], np.float32)
    drawn = np.stack([Pattern(shares).draw(3e4, random, shift, share) for _ in range(200)])
    moved = np.roll(shares, 10, axis=0)
    moved = (np.roll(moved, -8, axis=1) + np.roll(moved, -7, axis=1)) / 2.0  # half way between two columns
    expected = 200.0 * 3e4 * (0.7 * shares + 0.2 * moved)  # what is 200 pixels off is lost
    sure = np.zeros(shares.shape, np.bool_)
    sure[12:, :118] = True  # where the rolled pattern did not come in from the other side
    off = ((drawn.sum(axis=0) - expected) / np.sqrt(expected))[sure]
    assert (off**2).mean() == pytest.approx(1.0, abs=0.15)
    totals = drawn.sum(axis=(1, 2))
    assert totals.var() / totals.mean() == pytest.approx(1.0, abs=0.5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.floats(0.1, 10.0)), max_size=60))
def test_putting_parts_together_changes_no_sum(parts: list[tuple[int, int, float]]) -> None:
    which = np.array([window for window, _, _ in parts], dtype=np.intp)
    depths = np.array([[depth, 0] for _, depth, _ in parts], dtype=np.int16).reshape(-1, 2)
    electrons = np.array([number for _, _, number in parts])
    spots = Spots.of(
        len(parts), np.arange(len(parts)), np.array([[d, 0] for _, d, _ in parts]).reshape(-1, 2), 0.04 * electrons
    )
    seen = merged(4, which, electrons, depths, spots)
    for window in range(4):
        mine = slice(seen.first[window], seen.first[window + 1])
        for depth in range(3):
            of = [(number, min(0.04 * number, 0.5)) for w, d, number in parts if (w, d) == (window, depth)]
            at = np.arange(len(seen.electrons))[mine][seen.depths[mine][:, 0] == depth]
            assert seen.electrons[at].sum() == pytest.approx(sum(number for number, _ in of))
            bent = sum(seen.electrons[part] * seen.spots.at(part)[1].sum() for part in at)
            assert bent == pytest.approx(sum(number * share for number, share in of), rel=1e-5)
            assert all(np.all(seen.spots.at(part)[0][:, 0] == depth) for part in at)


def test_a_train_of_pulses_reaches_whoever_hears_trains_or_edges() -> None:
    wire = Wire.model_validate({"from": "scan.pixel_clock", "to": "camera.gate", "latency": 2e-7})
    world = make_world(wiring=(wire,))
    trains: list[tuple[float, ...]] = []
    edges: list[tuple[float, bool]] = []
    world.listen_pulses("camera.gate", lambda *train: trains.append(train))
    world.listen("camera.gate", lambda time, level: edges.append((time, level)))
    world.pulses("scan.pixel_clock", 1.0, 1e-5, 9e-6, 2)
    world.pulses("scan.line_clock", 1.0, 1e-5, 9e-6, 2)
    assert trains == [(1.0 + 2e-7, 1e-5, 9e-6, 2)]
    assert [level for _, level in edges] == [True, False, True, False]
    assert [time for time, _ in edges] == pytest.approx([1.0000002, 1.0000092, 1.0000102, 1.0000192])
