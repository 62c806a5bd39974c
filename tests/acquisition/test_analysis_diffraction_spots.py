"""Spots in diffraction patterns: found where they are, and not by chance more often than is said."""

from __future__ import annotations

import numpy as np
import pytest

from acquisition.analysis.diffraction_spots import FALSE, SpotTest, find_spots, spacings
from acquisition.analysis.virtual_detectors import central_disk, gather, radial
from tests.acquisition.known_patterns import NODATA, pattern, rows_of


def _test(radius: float = 3.0) -> SpotTest:
    gathered = gather(rows_of(pattern(radius=radius), 1e4), NODATA)
    disk = central_disk(gathered)
    return SpotTest(disk, gathered.blind, radial(gathered, disk, 0.5))


@pytest.mark.parametrize(("radius", "electrons"), [(3.0, 3e3), (6.0, 3e4)])
def test_without_a_spot_as_many_pass_as_is_said(radius: float, electrons: float) -> None:
    rows = rows_of(pattern(radius=radius), electrons, scan=(8, 24))
    found = find_spots(rows, _test(radius), seed=1, drawn=256)
    assert found.false_rate <= 4.0 * FALSE
    assert found.spotted.mean() <= 4.0 * FALSE


@pytest.mark.parametrize(
    ("radius", "spot", "share"),
    [(3.0, (-8.0, 10.0), 0.02), (6.0, (0.0, 5.0), 0.06)],  # apart from the central disk, and half in it
)
def test_a_spot_is_found_where_it_is(radius: float, spot: tuple[float, float], share: float) -> None:
    rows = rows_of(pattern(radius=radius, spot=spot, share=share), 2e4, lost=(2,))
    found = find_spots(rows, _test(radius), seed=1, drawn=64)
    assert found.spotted.sum() == 47
    assert np.isnan(found.score[0, 2])
    off = np.nanmedian(found.place, axis=(0, 1)) - spot
    assert np.hypot(*off) < 1.5 + 0.3 * radius * (radius > 4.0)  # a disk that is half hidden is placed less well
    (one, *_) = spacings(found, 1.6e-3, 2.508e-12)
    assert one == pytest.approx(np.hypot(*spot) * 1.6e-3 / 2.508e-12, rel=0.3)


def test_the_same_scan_gives_the_same_scores() -> None:
    rows, test = rows_of(pattern(radius=3.0), 3e3, scan=(2, 8)), _test()
    one, same = find_spots(rows, test, seed=1, drawn=32), find_spots(rows, test, seed=1, drawn=32)
    assert np.array_equal(one.score, same.score)
    assert one.threshold == same.threshold


def test_too_few_electrons_have_no_score() -> None:
    found = find_spots(rows_of(pattern(radius=3.0), 10.0), _test(), seed=1, drawn=32)
    assert not found.spotted.any()
