"""X-rays one by one: rates and energies as published, each photon once, in the pixel and the time it belongs to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import kstest

from drivers.clock import wall_seconds
from physics.xray_detector import fwhm
from simulators.world import World
from tests.simulators.bench import Array, grid, make_world, optics, sample_with, still, undamaged

NM = 1e-9
LITHIUM, LIPON = (-0.8e-6, 0.0), (0.8e-6, 0.0)  # m from the middle of the field
FIELD = 4e-6


def _shine(world: World, place: tuple[float, float], seconds: float) -> tuple[Array, Array]:
    world.column.park(0.5 + place[0] / FIELD, 0.5, 0.0, seconds)
    return world.eds.photons(seconds)


def _counts(energies: Array, *more: float) -> dict[float, float]:
    """Counts in each line: known peaks on a smooth continuum, by linear least squares."""
    edges = np.arange(200.0, 2500.0, 10.0)
    centres = (edges[1:] + edges[:-1]) / 2.0
    counts, _ = np.histogram(energies, edges)
    lines = sorted({392.4, 524.9, 929.5, 949.6, 2010.2, 2139.0, *more})
    shapes = [np.diff(ndtr((edges - line) / (fwhm(line, 130.0) / 2.3548))) for line in lines]
    smooth = [(centres / 1e3) ** power * np.exp(-((300.0 / centres) ** 2)) for power in (-1, 0, 1, 2)]
    design, weight = np.column_stack(shapes + smooth), 1.0 / np.sqrt(counts + 10.0)
    found = np.linalg.lstsq(design * weight[:, None], counts * weight, rcond=None)[0]
    return dict(zip(lines, found, strict=False))


@pytest.mark.parametrize(("line", "published"), [(392.4, 8.7), (524.9, 85.0), (2010.2, 55.0)])
def test_lipon_gives_the_published_counts_at_100_pa_and_a_tenth_of_a_steradian(line: float, published: float) -> None:
    world = make_world(undamaged(sample_with(drift=still())), seen=optics(solid_angle=0.1), current=1e-9)
    _, energies = _shine(world, LIPON, 60.0)  # physics.md section 4.2: 100 nm, 200 kV
    assert _counts(energies, 277.4)[line] / 600.0 == pytest.approx(published, rel=0.2)


def test_the_continuum_is_one_or_two_hundred_counts_a_second_at_100_pa() -> None:  # 0.9 sr, physics.md section 4.2
    _, energies = _shine(make_world(), LIPON, 20.0)
    lines = np.zeros(len(energies), dtype=bool)
    for line in (277.4, 392.4, 524.9, 929.5, 2013.0, 2139.0, 8047.8, 8905.0):
        lines |= np.abs(energies - line) < 1.5 * fwhm(line, 130.0)
    assert 50.0 < np.count_nonzero(~lines & (energies > 150.0)) / 20.0 < 300.0


def test_lithium_itself_has_no_line() -> None:
    sample = undamaged(sample_with(lithium_shell=0.0, carbon=0.0, copper=0.0, gallium=0.0, drift=still()))
    _, energies = _shine(make_world(sample, current=1e-9), LITHIUM, 20.0)
    counts, _ = np.histogram(energies, np.arange(150.0, 10_000.0, 200.0))
    assert counts.max() < 0.25 * len(energies)
    assert np.all(np.diff(counts[:10].astype(float)) < 5.0 * np.sqrt(counts[:9] + 1.0))  # only ever falls


def test_the_grid_gives_copper_k_and_l_even_on_lithium() -> None:
    _, energies = _shine(make_world(current=1e-9), LITHIUM, 20.0)
    for line in (929.5, 8047.8):
        peak, beside = (np.count_nonzero(np.abs(energies - place) < 80.0) for place in (line, line - 250.0))
        assert peak > 2.0 * beside


def test_a_line_is_as_wide_as_the_detector_resolves() -> None:  # P K at 130 eV: 87 eV, physics.md section 4.1
    world = make_world(undamaged(sample_with(drift=still())), current=1e-9)
    _, energies = _shine(world, LIPON, 20.0)
    counts, edges = np.histogram(energies, np.arange(1950.0, 2071.0, 10.0))
    centres = (edges[1:] + edges[:-1]) / 2.0
    curvature = np.polyfit(centres - 2010.0, np.log(counts), 2, w=np.sqrt(counts))[0]
    assert np.sqrt(-np.log(2.0) / curvature) * 2.0 == pytest.approx(87.0, rel=0.06)


def test_phosphorus_leaves_an_escape_peak_where_carbon_would_be() -> None:  # 1.66 % of P K at 270 eV, section 4.1
    world = make_world(undamaged(sample_with(carbon=0.0, drift=still())), current=1e-9)
    _, energies = _shine(world, LIPON, 60.0)
    found = _counts(energies, 270.2)
    assert found[270.2] / found[2010.2] == pytest.approx(0.0166, rel=0.3)


def test_counts_of_equal_exposures_vary_as_poisson() -> None:
    world = make_world(undamaged(sample_with(drift=still())))
    counts = []
    for start in range(300):
        world.column.park(0.5 + LIPON[0] / FIELD, 0.5, float(start), 0.1)
        counts.append(len(world.eds.photons(start + 0.5)[0]))
    assert np.var(counts) / np.mean(counts) == pytest.approx(1.0, abs=0.25)


def test_photons_come_evenly_through_the_dwell_of_their_pixel() -> None:
    world = make_world(current=1e-9)
    u, v, cell = grid(LIPON, 100 * NM, 20)
    world.column.raster(u, v, cell, 5e-3, 10.0)
    times, _ = world.eds.photons(100.0)
    assert times.min() >= 10.0
    assert times.max() < 12.0
    assert kstest(((times - 10.0) / 5e-3) % 1.0, "uniform").pvalue > 1e-3


def test_each_photon_is_handed_out_once_in_order_of_time() -> None:
    world, same = make_world(current=1e-9), make_world(current=1e-9)
    for each in (world, same):
        u, v, cell = grid(LIPON, 100 * NM, 20)
        each.column.raster(u, v, cell, 1e-3, 0.0)
    whole = same.eds.photons(1.0)[0]
    pieces = np.concatenate([world.eds.photons(until)[0] for until in np.linspace(0.0, 0.4, 50)])
    assert np.array_equal(pieces, whole)
    assert np.all(np.diff(whole) >= 0.0)
    assert len(world.eds.photons(1e9)[0]) == 0


def test_phosphorus_photons_come_from_the_pixels_that_hold_phosphorus() -> None:
    world = make_world(current=1e-9)
    u, v, cell = grid((0.0, 0.0), 400 * NM, 20)
    world.column.raster(u, v, cell, 1e-2, 0.0)
    times, energies = world.eds.photons(100.0)
    column = (times[np.abs(energies - 2010.0) < 80.0] / 1e-2).astype(int) % 20
    counts = np.bincount(column, minlength=20)
    assert counts[:9].mean() < 0.05 * counts[12:].mean()


def test_without_a_reader_old_photons_are_forgotten_and_new_ones_kept() -> None:
    world = make_world(undamaged(sample_with(drift=still())), current=20e-9)
    for start in range(0, 15, 5):
        world.column.park(0.5 + LIPON[0] / FIELD, 0.5, float(start), 5.0)
    times, _ = world.eds.photons(1e9)
    assert len(times) < 4.1e6
    assert times[-1] > 14.9


def test_a_million_photons_take_about_a_second_and_a_frame_less_than_50_ms() -> None:
    world = make_world(undamaged(sample_with(drift=still())), current=10e-9)
    begun = wall_seconds()
    assert len(_shine(world, LIPON, 10.0)[0]) > 900_000
    assert wall_seconds() - begun < 3.0  # 0.2 s alone on the machine
    u, v, cell = grid((0.0, 0.0), 400 * NM, 256)
    frames = []
    for start in range(5):
        begun = wall_seconds()
        world.column.raster(u, v, cell, 4e-6, 20.0 + start)
        frames.append(wall_seconds() - begun)
    assert min(frames) < 0.15  # 15 ms alone on the machine
