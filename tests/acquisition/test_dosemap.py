"""The dose map against sums over points: never below them, on any rectangle, tile border or side of zero."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from acquisition.dosemap import CELL, TILE, DoseMap, Rectangle
from drivers.errors import LimitError

NM = 1e-9
SPAN = TILE * CELL
REACH = 2 * TILE  # cells around the origin that are looked at
WINDOW = Rectangle(-REACH * CELL, -REACH * CELL, REACH * CELL, REACH * CELL)

places = st.one_of(
    st.floats(-1.9 * SPAN, 1.9 * SPAN),
    st.integers(-2 * TILE + 4, 2 * TILE - 4).map(lambda cells: cells * CELL),
    st.sampled_from([-SPAN, 0.0, SPAN]).flatmap(lambda at: st.sampled_from([at, at + 1e-13, at - 1e-13])),
)


@st.composite
def rectangles(draw: st.DrawFn) -> Rectangle:
    left, right = sorted((draw(places), draw(places)))
    top, bottom = sorted((draw(places), draw(places)))
    return Rectangle(left, top, right, bottom)


doses = st.lists(st.tuples(rectangles(), st.floats(0.0, 1e24)), max_size=5)


def seen(received: DoseMap, x: float, y: float) -> float:
    cells = received.within(WINDOW)
    x0, y0, _, _ = WINDOW.cells()
    return float(cells[math.floor(y / CELL) - y0, math.floor(x / CELL) - x0])


@settings(max_examples=60, deadline=None)
@given(given_doses=doses, points=st.lists(st.tuples(places, places), min_size=1, max_size=20))
def test_no_point_has_less_than_the_sum_of_what_hit_it(
    given_doses: list[tuple[Rectangle, float]], points: list[tuple[float, float]]
) -> None:
    received = DoseMap()
    for where, fluence in given_doses:
        received.add(where, fluence)
        points.append(((where.left + where.right) / 2, (where.top + where.bottom) / 2))
    for x, y in points:
        hit = sum(f for r, f in given_doses if r.left < x < r.right and r.top < y < r.bottom)
        assert seen(received, x, y) >= hit * (1 - 1e-12)


@settings(max_examples=60, deadline=None)
@given(where=rectangles())
def test_nothing_a_cell_or_more_outside_is_charged(where: Rectangle) -> None:
    received = DoseMap()
    received.add(where, 1.0)
    edges = np.arange(-REACH, REACH) * CELL
    slack = 1e-6 * CELL
    across = (edges + CELL > where.left - slack) & (edges < where.right + slack)
    down = (edges + CELL > where.top - slack) & (edges < where.bottom + slack)
    charged = received.within(WINDOW) > 0.0
    assert not charged[~down].any()
    assert not charged[:, ~across].any()


def test_a_rectangle_over_the_corner_of_four_tiles_hits_all_of_them() -> None:
    received = DoseMap()
    received.add(Rectangle(-4 * NM, -8 * NM, 4 * NM, 8 * NM), 3.0)
    assert_array_equal(
        received.within(Rectangle(-8 * NM, -8 * NM, 8 * NM, 8 * NM)), np.tile([0.0, 3.0, 3.0, 0.0], (4, 1))
    )


def test_a_cell_that_is_touched_counts_as_hit_in_full() -> None:
    received = DoseMap()
    received.add(Rectangle(3.9 * NM, 0.1 * NM, 4.1 * NM, 0.2 * NM), 5.0)
    assert received.within(Rectangle(0.0, 0.0, 8 * NM, 4 * NM)).tolist() == [[5.0, 5.0]]


def test_overlapping_doses_add_up() -> None:
    received = DoseMap()
    received.add(Rectangle(0.0, 0.0, 8 * NM, 4 * NM), 5.0)
    received.add(Rectangle(4 * NM, 0.0, 12 * NM, 4 * NM), 7.0)
    assert received.within(Rectangle(0.0, 0.0, 12 * NM, 4 * NM)).tolist() == [[5.0, 12.0, 7.0]]
    assert received.highest(Rectangle(0.0, 0.0, 3 * NM, 3 * NM)) == 5.0
    assert received.highest(Rectangle(0.0, 0.0, 5 * NM, 3 * NM)) == 12.0


def test_an_untouched_place_has_received_nothing() -> None:
    assert DoseMap().highest(WINDOW) == 0.0


def test_cells_that_two_rectangles_touch_are_shared_though_the_rectangles_are_apart() -> None:
    received = DoseMap()
    received.add(Rectangle(4 * NM, 0.0, 8 * NM, 4 * NM), 9.0)
    one, near, far = (Rectangle(x * NM, 0.0, (x + 1) * NM, NM) for x in (4, 6, 8))
    assert received.highest_in_both(one, near) == 9.0
    assert received.highest_in_both(one, far) is None


def test_a_copy_goes_its_own_way() -> None:
    received = DoseMap()
    received.add(WINDOW, 1.0)
    copy = received.copy()
    copy.add(WINDOW, 2.0)
    received.add(Rectangle(0.0, 0.0, NM, NM), 4.0)
    assert received.highest(WINDOW) == 5.0
    assert_array_equal(copy.within(WINDOW), np.full((2 * REACH, 2 * REACH), 3.0))


def test_what_is_read_is_not_the_map_itself() -> None:
    received = DoseMap()
    received.add(WINDOW, 1.0)
    received.within(WINDOW)[:] = 0.0
    assert received.highest(WINDOW) == 1.0


@pytest.mark.parametrize("fluence", [math.nan, math.inf, -1.0])
def test_a_fluence_that_cannot_be_is_refused_and_changes_nothing(fluence: float) -> None:
    received = DoseMap()
    received.add(WINDOW, 1.0)
    with pytest.raises(LimitError, match="cannot be counted"):
        received.add(WINDOW, fluence)
    assert received.highest(WINDOW) == 1.0


@pytest.mark.parametrize(
    "edges",
    [(math.nan, 0.0, 1.0, 1.0), (0.0, 0.0, math.inf, 1.0), (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 1.0, 0.0)],
    ids=["nan", "endless", "right of itself", "below itself"],
)
def test_a_rectangle_has_finite_edges_in_order(edges: tuple[float, float, float, float]) -> None:
    with pytest.raises(LimitError, match="no rectangle"):
        Rectangle(*edges)
