"""The truth of the dose: against sums over points, and nothing lost or made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.constants import e

from physics.dose import fluence
from simulators.sample.dose import STEP, FluenceMap
from tests.simulators.bench import CURRENT, grid, make_world

NM = 1e-9


def test_a_raster_gives_what_summing_a_cloud_of_points_gives() -> None:
    centres = np.array([[1.3, -7.9, 20.2, 9.0], [0.4, 3.3, -14.1, 3.3]]) * NM
    electrons, width, probe = np.array([100.0, 250.0, 40.0, 10.0]), (7.0 * NM, 5.0 * NM), 1.1 * NM
    received = FluenceMap()
    received.deposit(centres[0], centres[1], electrons, width, probe)
    truth, x0, y0, step = received.whole()

    random = np.random.default_rng(3)
    n = 400_000
    cloud = random.uniform(-0.5, 0.5, (2, n)) * np.array(width)[:, None] + probe * random.standard_normal((2, n))
    edges = [y0 + step * np.arange(truth.shape[0] + 1), x0 + step * np.arange(truth.shape[1] + 1)]
    summed = np.zeros_like(truth)
    for (x, y), share in zip(centres.T, electrons / n, strict=True):
        summed += np.histogram2d(y + cloud[1], x + cloud[0], bins=edges)[0] * share / step**2
    assert np.abs(truth - summed).max() < 0.005 * truth.max()


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(-3e-6, 3e-6),
    y=st.floats(-3e-6, 3e-6),
    width=st.floats(0.0, 60e-9),
    height=st.floats(0.0, 60e-9),
    probe=st.floats(0.05e-9, 5e-9),
)
def test_no_electron_is_lost_wherever_it_lands(x: float, y: float, width: float, height: float, probe: float) -> None:
    received = FluenceMap()
    received.deposit(np.array([x]), np.array([y]), np.array([1e3]), (width, height), probe)
    truth = received.whole()
    assert truth.map.sum() * STEP**2 == pytest.approx(1e3, rel=1e-9)
    assert truth.map.min() >= 0.0


def test_the_map_has_its_moment_where_the_beam_was() -> None:
    received = FluenceMap()
    received.deposit(np.array([-511.3 * NM]), np.array([512.7 * NM]), np.array([1.0]), (10 * NM, 6 * NM), 1 * NM)
    truth, x0, y0, step = received.whole()
    total = truth.sum()
    x = (truth.sum(axis=0) * (x0 + (np.arange(truth.shape[1]) + 0.5) * step)).sum() / total
    y = (truth.sum(axis=1) * (y0 + (np.arange(truth.shape[0]) + 0.5) * step)).sum() / total
    assert (x, y) == (pytest.approx(-511.3 * NM, abs=0.6 * NM), pytest.approx(512.7 * NM, abs=0.6 * NM))


def test_inside_a_field_the_fluence_is_current_times_time_over_area() -> None:
    world = make_world()
    u, v, cell = grid((0.0, 0.0), 400 * NM, 100)
    world.column.raster(u, v, cell, 20e-6, 0.0)
    truth = world.truth.fluence()
    x = truth.x0 + (np.arange(truth.map.shape[1]) + 0.5) * STEP - 38 * NM
    y = truth.y0 + (np.arange(truth.map.shape[0]) + 0.5) * STEP
    within = truth.map[np.ix_(np.abs(y) < 190 * NM, np.abs(x) < 190 * NM)]
    planned = fluence(CURRENT, 20e-6, 4 * NM, 4 * NM)
    assert within.min() >= planned * (1 - 1e-6)
    assert within.max() <= planned * 1.01  # the way back adds 2 us to each row of 2 ms


def test_the_way_back_is_charged_along_each_row_but_the_first() -> None:
    world = make_world()
    u, v, cell = grid((0.0, 0.0), 400 * NM, 50)
    world.column.raster(u, v, cell, 1e-6, 0.0)
    truth = world.truth.fluence()
    extra = truth.map.sum() * STEP**2 - 2500 * CURRENT * 1e-6 / e
    assert extra == pytest.approx(49 * CURRENT * 2e-6 / e, rel=1e-6)


def test_a_raster_in_pieces_gives_the_dose_of_the_whole() -> None:
    whole, pieces = make_world(), make_world()
    u, v, cell = grid((0.0, 0.0), 200 * NM, 40)
    whole.column.raster(u, v, cell, 2e-6, 0.0)
    for first in range(0, 1600, 320):
        pieces.column.raster(u[first : first + 320], v[first : first + 320], cell, 2e-6, first * 2e-6)
    assert pieces.truth.fluence().map == pytest.approx(whole.truth.fluence().map, rel=1e-3)  # less drift a piece


def test_a_parked_beam_burns_one_spot() -> None:
    world = make_world(current=1e-12)
    world.column.park(0.5, 0.5, 0.0, 1.0)
    truth = world.truth.fluence()
    assert truth.map.sum() * STEP**2 == pytest.approx(1e-12 / e, rel=1e-9)
    assert np.count_nonzero(truth.map > 1e-6 * truth.map.max()) <= 4


def test_without_the_electron_beam_nothing_is_received() -> None:
    world = make_world()
    world.column.select("none")
    u, v, cell = grid((0.0, 0.0), 400 * NM, 50)
    counts = world.column.raster(u, v, cell, 1e-5, 0.0)
    assert world.truth.fluence().map.size == 0
    assert counts.mean() < 0.1
    assert len(world.eds.photons(1e9)[0]) == 0


def test_hidden_errors_change_the_truth_within_their_bounds_and_never_without_leave() -> None:
    honest = make_world()
    assert (honest.truth.beam_current, honest.truth.scan_scale) == (CURRENT, 1.0)
    worlds = [make_world(seed=seed, hidden_errors=True) for seed in range(8)]
    currents = np.array([world.truth.beam_current for world in worlds]) / CURRENT - 1.0
    scales = np.array([world.truth.scan_scale for world in worlds]) - 1.0
    assert 0.0 < np.abs(currents).max() <= 0.05
    assert 0.0 < np.abs(scales).max() <= 0.02
    assert len(set(currents)) == 8


def test_a_drop_of_the_beam_is_a_drop_of_the_truth() -> None:
    world = make_world()
    world.faults.beam_drop(0.4)
    assert world.truth.beam_current == pytest.approx(0.6 * CURRENT)
