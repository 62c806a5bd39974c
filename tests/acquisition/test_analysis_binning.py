"""Maps are as fine as their error allows, and lose no count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from acquisition.analysis.binning import bin_map


def step(
    counts: float, seed: int = 1, shape: tuple[int, int] = (96, 128)
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nothing on the left, `counts` a pixel on the right; and one visit each."""
    mean = np.where(np.arange(shape[1]) < shape[1] // 2, 0.0, counts) * np.ones((shape[0], 1))
    return np.random.default_rng(seed).poisson(mean), np.ones(shape)


@pytest.mark.parametrize(("counts", "side"), [(400.0, 1), (25.0, 2), (7.0, 4), (0.5, 16)])
def test_squares_are_as_small_as_the_error_allows(counts: float, side: int) -> None:
    seen, visits = step(counts)
    found = bin_map(seen, seen, visits, error=0.12)
    right = found.sides[:, 70:]
    assert np.median(right) == side
    assert np.nanmedian(found.errors[:, 70:]) <= 0.12 * found.level


def test_places_without_the_element_are_no_coarser_than_those_with_it() -> None:
    seen, visits = step(25.0)
    found = bin_map(seen, seen, visits, error=0.12)
    assert found.sides[:, :60].max() <= 2


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(3, 70), columns=st.integers(3, 70), counts=st.floats(0.05, 50), error=st.floats(0.02, 0.5))
def test_no_count_is_lost(rows: int, columns: int, counts: float, error: float) -> None:
    seen = np.random.default_rng(3).poisson(counts, (rows, columns))
    found = bin_map(seen, seen, np.ones((rows, columns)), error)
    assert np.nansum(found.values) == pytest.approx(seen.sum())


def test_what_was_not_exposed_has_no_value() -> None:
    seen, visits = step(400.0)
    visits[:64, :64] = 0
    found = bin_map(seen * visits, seen * visits, visits, error=0.1)
    assert np.isnan(found.values[:64, :64]).all()
    assert np.isfinite(found.values[64:]).all()


def test_arrays_that_do_not_match_are_an_error() -> None:
    with pytest.raises(ValueError, match="same rows and columns"):
        bin_map(np.ones((4, 4)), np.ones((4, 5)), np.ones((4, 4)), 0.1)
