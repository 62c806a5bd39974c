"""The far field behind the lamella: nothing is lost or made, the halo is the electrolyte's, the spots the lithium's."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.rigfile import Wire
from physics.electrons import wavelength
from physics.units import parse
from simulators.constants import constants
from simulators.far_field import FarField
from simulators.lamella import Lamella
from simulators.patterns import Pattern, merged
from simulators.sample import Sample
from simulators.world import World
from tests.simulators.bench import CURRENT, FIELD, grid, make_world, optics, sample_with, still, undamaged

NM = 1e-9
LITHIUM, LIPON, VACUUM = (-0.8e-6, 0.0), (0.8e-6, 0.0), (-2.3e-6, 0.0)  # m from the middle of the field
NARROW = optics().model_copy(update={"convergence": 4e-3})
ANGLE = parse(constants("camera")["pixel_size"], "length") / parse(constants("camera")["camera_length"], "length")
Array = NDArray[np.float64]


def _bare() -> Sample:
    return sample_with(lithium_shell=0.0, carbon=0.0, copper=0.0, drift=still())


@cache
def _far_field(convergence: float) -> tuple[Lamella, FarField]:
    seen = optics().model_copy(update={"convergence": convergence})
    lamella = Lamella(_bare(), seen, FIELD, np.random.default_rng(7))
    return lamella, FarField(lamella, seen, (128, 128), ANGLE, np.random.default_rng([7, 13, 0]), hidden_errors=False)


def _pattern(place: tuple[float, float], convergence: float = 4e-3, ice: float = 0.0) -> Array:
    """Share of the electrons that each pixel gets at a place, m from the middle of the field."""
    lamella, far_field = _far_field(convergence)
    where = lamella.index(np.array([place[0] + lamella.middle]), np.array([place[1]]))
    return far_field.expected(far_field.depths(where, {}, ice)[0])


def _ring(inner: float, outer: float) -> NDArray[np.bool_]:
    y, x = (np.indices((128, 128)) - 63.5) * ANGLE
    angles = np.hypot(y, x)
    return np.asarray((angles >= inner) & (angles < outer))


def test_in_vacuum_there_is_the_disk_of_the_probe_and_nothing_else() -> None:
    pattern = _pattern(VACUUM, 20e-3)
    assert pattern.sum() == pytest.approx(1.0, abs=1e-6)
    assert pattern[_ring(0.0, 20e-3 - 2 * ANGLE)].std() / pattern.max() < 0.02
    assert pattern[_ring(20e-3 + 2 * ANGLE, 1.0)].sum() < 1e-3


@pytest.mark.parametrize("place", [LITHIUM, (0.0, 0.0), LIPON])
def test_every_electron_lands_on_the_detector_or_leaves_it_at_high_angles(place: tuple[float, float]) -> None:
    assert 0.97 < _pattern(place).sum() <= 1.0 + 1e-9


def test_the_halo_of_lipon_peaks_where_its_structure_factor_does() -> None:
    pattern = _pattern(LIPON, 0.5e-3)
    rings = [(k - 0.5 * ANGLE, k + 0.5 * ANGLE) for k in np.arange(4e-3, 20e-3, ANGLE)]
    profile = [pattern[_ring(*ring)].mean() for ring in rings]
    first_peak = wavelength(200e3) / 3.7e-10  # 6.8 mrad
    assert np.mean(rings[int(np.argmax(profile))]) == pytest.approx(first_peak, abs=ANGLE)


def test_lipon_has_the_brighter_halo_and_only_lithium_has_spots() -> None:
    lithium, lipon = _pattern(LITHIUM, 0.5e-3), _pattern(LIPON, 0.5e-3)
    halo = _ring(15e-3, 60e-3)
    assert np.median(lipon[halo]) > 5.0 * np.median(lithium[halo])
    spots = _ring(6e-3, 60e-3)
    assert lithium[spots].max() > 20.0 * np.median(lithium[spots])  # a spot is a pixel or two of thousands
    turned = np.rot90(lipon)
    assert lipon[spots] == pytest.approx(turned[spots], rel=0.02)


def test_the_spots_of_lithium_stand_at_its_spacings() -> None:
    pattern = _pattern(LITHIUM, 0.5e-3)
    y, x = (np.indices((128, 128)) - 63.5) * ANGLE
    allowed = wavelength(200e3) / 3.482e-10 * np.sqrt([2.0, 4.0, 8.0, 10.0, 16.0, 18.0, 20.0])  # 110, 200, 220, 310 ...
    outside = np.where(_ring(6e-3, 60e-3), pattern, 0.0)
    for place in np.argsort(outside.ravel())[-4:]:
        assert np.abs(allowed - np.hypot(y.flat[place], x.flat[place])).min() < 1.5 * ANGLE


def test_a_ring_over_the_camera_counts_what_the_dark_field_counts() -> None:
    # the dark field's model knows no cone: a narrow one
    for place, tolerance in ((LIPON, 0.1), ((0.0, 0.0), 0.15)):  # some of the lattice's electrons reach the ring, too
        world = make_world(undamaged(_bare()), seen=NARROW)
        u, v, cell = grid(place, 2 * NM, 30)
        dark_field = world.column.raster(u, v, cell, 1e-4, 0.0).mean() / (CURRENT * 1e-4 / 1.602e-19)
        assert _pattern(place)[_ring(25e-3, 100e-3)].sum() == pytest.approx(dark_field, rel=tolerance)


def test_ice_scatters_too() -> None:
    halo = _ring(10e-3, 60e-3)
    assert _pattern(LITHIUM, ice=100 * NM)[halo].sum() > 1.5 * _pattern(LITHIUM)[halo].sum()


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
    electrons = CURRENT / 1.602176634e-19 * np.array([10e-6, 5e-6, 5e-6, 10e-6])
    assert seen.electrons == pytest.approx(electrons, rel=1e-4)


def test_without_light_the_frame_is_dark() -> None:
    world = _lit_world()
    nothing = world.diffraction.seen(np.array([3.0]), np.array([4.0]))
    assert not world.diffraction.counts(nothing.electrons, nothing.depths).any()


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
        return world.diffraction.counts(seen.electrons, seen.depths)

    assert np.array_equal(drawn(), drawn())


@pytest.mark.parametrize("electrons", [30.0, 3e3, 4e5])  # few, many, and so many that every pixel is drawn by itself
def test_drawn_electrons_are_those_expected_and_vary_as_poisson(electrons: float) -> None:
    shares = _pattern(LIPON).ravel()
    pattern, random = Pattern(shares), np.random.default_rng(3)
    drawn = np.stack([pattern.draw(electrons, random) for _ in range(200)])
    totals = drawn.sum(axis=1)
    assert totals.mean() == pytest.approx(electrons * shares.sum(), rel=5.0 / np.sqrt(200 * electrons))
    assert totals.var() / totals.mean() == pytest.approx(1.0, abs=0.5)
    expected = 200.0 * electrons * shares
    off = (drawn.sum(axis=0) - expected) / np.sqrt(expected)
    assert (off**2).mean() == pytest.approx(1.0, abs=0.15)  # tails too: no pixel gets what it is not due


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.floats(0.1, 10.0)), max_size=60))
def test_putting_parts_together_changes_no_sum(parts: list[tuple[int, int, float]]) -> None:
    which = np.array([window for window, _, _ in parts], dtype=np.intp)
    depths = np.array([[depth, 0] for _, depth, _ in parts], dtype=np.int16).reshape(-1, 2)
    electrons = np.array([number for _, _, number in parts])
    seen = merged(4, which, electrons, depths)
    for window in range(4):
        mine = slice(seen.first[window], seen.first[window + 1])
        for depth in range(3):
            whole = sum(number for w, d, number in parts if (w, d) == (window, depth))
            assert seen.electrons[mine][seen.depths[mine][:, 0] == depth].sum() == pytest.approx(whole)


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
