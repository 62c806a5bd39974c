"""Virtual detectors: what a disk, a halo and a ring are known to be is found, with the stated errors, row by row."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from acquisition.analysis.virtual_detectors import central_disk, covered, detect, gather, halo, radial, ring
from tests.acquisition.known_patterns import BLIND, NODATA, SIDE, pattern, rows_of, single


def test_the_mean_and_the_most_of_all_patterns_leave_out_what_never_came() -> None:
    rows = rows_of(pattern(), 1e4, lost=(0, 3))
    gathered = gather(rows, NODATA)
    came = np.concatenate([block[kept] for block, kept in rows])
    assert (gathered.patterns, gathered.due) == (46, 48)
    assert np.argwhere(gathered.blind).tolist() == [list(BLIND)]
    assert gathered.maximum[BLIND] == 0
    seen = ~gathered.blind
    assert gathered.mean[seen] == pytest.approx(came.mean(axis=0)[seen])
    assert np.array_equal(gathered.maximum[seen], came.max(axis=0)[seen])


def test_without_a_pattern_there_is_nothing_to_gather() -> None:
    with pytest.raises(ValueError, match="no pattern came"):
        gather([(np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.bool_))], 255)


@pytest.mark.parametrize(("radius", "electrons"), [(6.0, 300.0), (6.0, 1e5), (12.5, 3e3), (3.0, 1e4)])
def test_the_disk_is_found_to_a_fraction_of_a_pixel(radius: float, electrons: float) -> None:
    found = central_disk(gather(rows_of(pattern(radius=radius), electrons), NODATA))
    assert np.subtract(found.middle, (31.3, 32.1)) == pytest.approx((0.0, 0.0), abs=0.1)
    assert found.radius == pytest.approx(radius, abs=0.2)  # noise makes it a little smaller
    assert 0.0 < found.radius_error < 0.1


def test_a_dark_scan_has_no_disk() -> None:
    with pytest.raises(ValueError, match="dark"):
        central_disk(gather(rows_of(pattern(), 0.0), NODATA))


def test_detectors_count_what_lies_under_them() -> None:
    expected = pattern()
    rows = rows_of(expected, 2e4, lost=(5,))
    gathered = gather(rows, NODATA)
    disk = central_disk(gathered)
    inside, outside = ring(disk, (SIDE, SIDE), 0.0, 8.0), ring(disk, (SIDE, SIDE), 8.0, 25.0)
    bright, dark = detect(rows, [inside, outside], gathered.blind)
    assert np.argwhere(np.isnan(bright)).tolist() == [[0, 5]]
    for image, weights in ((bright, inside), (dark, outside)):
        mean = 2e4 * (expected * weights).sum()
        assert np.nanmean(image) == pytest.approx(mean, abs=5.0 * np.sqrt(mean / 47))
        assert np.nanvar(image) / mean == pytest.approx(1.0, abs=0.6)


def test_a_ring_that_leaves_the_detector_is_told() -> None:
    disk = central_disk(gather(rows_of(pattern(), 1e4), NODATA))
    assert covered(disk, (SIDE, SIDE), 8.0, 25.0) == pytest.approx(1.0, abs=0.01)
    assert covered(disk, (SIDE, SIDE), 20.0, 45.0) < 0.9


def test_rings_have_the_counts_and_the_errors_of_what_fell_on_them() -> None:
    expected = pattern()
    rows = rows_of(expected, 1e4)
    gathered = gather(rows, NODATA)
    profile = radial(gathered, central_disk(gathered))
    exact = np.interp(profile.distance, np.arange(SIDE) - 31.3, expected[:, 32] * 1e4)
    outside = profile.distance > 8.0
    off = (profile.counts - exact)[outside] / profile.errors[outside]
    assert np.mean(off**2) < 4.0
    assert np.all(profile.errors > 0.0)


@pytest.mark.parametrize("at", [9.0, 10.4])
def test_a_halo_beyond_the_disk_is_found_where_it_stands(at: float) -> None:
    gathered = gather(rows_of(pattern(radius=3.0, halo=(at, 1.0)), 2e4), NODATA)
    disk = central_disk(gathered)
    profile = radial(gathered, disk, 0.5)
    found = halo(profile, disk, single(profile.distance))
    assert found is not None
    assert found[0] == pytest.approx(at, abs=max(5.0 * found[1], 0.2))


@pytest.mark.parametrize(("radius", "higher"), [(3.0, 0.0), (6.0, 1.0)])  # there is none; the disk would smear it
def test_no_halo_is_claimed_where_none_can_be_seen(radius: float, higher: float) -> None:
    gathered = gather(rows_of(pattern(radius=radius, halo=(9.0, higher)), 2e4), NODATA)
    disk = central_disk(gathered)
    profile = radial(gathered, disk, 0.5)
    assert halo(profile, disk, single(profile.distance)) is None


def test_no_more_than_a_row_of_the_scan_is_in_memory() -> None:
    block, came = np.ones((64, 128, 128), np.uint8), np.ones(64, np.bool_)

    def rows() -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
        for _ in range(16):  # 17 MB in all
            yield block, came

    weights = [np.ones((128, 128))] * 2
    tracemalloc.start()
    gather(rows(), 255)
    detect(rows(), weights, np.zeros((128, 128), np.bool_))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * block.nbytes
