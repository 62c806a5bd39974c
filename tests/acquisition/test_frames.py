"""A passport read in another run's frame: whatever moved between them, no place is believed to have received less."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.budget import BudgetError
from acquisition.chain import Entry
from acquisition.dosemap import CELL, FARTHEST, DoseMap, Rectangle
from acquisition.frames import Wander, received
from tests.acquisition.dose_bench import BELIEF, FRAME, HERE, INTERFACE, NM, NOON, WANDER, of_dose, opened

HOUR = timedelta(hours=1)
WINDOW = Rectangle(-1000 * NM, -1000 * NM, 1000 * NM, 1000 * NM)
edge = st.floats(-300, 300).map(lambda nm: nm * NM)
share = st.floats(-1, 1)


def booked(where: Rectangle, fluence: float, *, frame: str | None = "old", utc: datetime | None = NOON) -> Entry:
    """A reservation as a passport holds it."""
    entry: Entry = {
        "kind": "reserve",
        "where": [where.left, where.top, where.right, where.bottom],
        "fluence": fluence,
        "frame": frame,
        "utc": utc.isoformat() if utc is not None else None,
    }
    return {key: value for key, value in entry.items() if value is not None}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(edge, edge, edge, edge, st.sampled_from(["older", "old"])), min_size=1, max_size=4),
    st.floats(0, 3),
    st.floats(0, 3),
    st.lists(st.tuples(share, share), min_size=2, max_size=2),
    st.lists(st.tuples(edge, edge), min_size=1, max_size=8),
)
def test_no_place_is_believed_to_have_received_less_however_it_moved_within_the_bound(
    rectangles: list[tuple[float, float, float, float, str]],
    hours_before: float,
    hours_after: float,
    ways: list[tuple[float, float]],
    places: list[tuple[float, float]],
) -> None:
    """Two runs before this one; the sample moved between each and this one by a share of the bound along x and y."""
    lit = {"older": NOON, "old": NOON + hours_before * HOUR}
    now = lit["old"] + hours_after * HOUR
    entries = [
        booked(Rectangle(min(a, c), min(b, d), max(a, c), max(b, d)), 1e20, frame=frame, utc=lit[frame])
        for a, b, c, d, frame in sorted(rectangles, key=lambda each: each[4], reverse=True)
    ]
    map_now = received(entries, "new", WANDER, now)
    for x, y in places:  # of the sample, where it stands now
        truth = 0.0
        for entry in entries:
            bound = WANDER.between(lit[entry["frame"]], now)
            along, across = ways[entry["frame"] == "old"]
            then = x - along * bound, y - across * bound
            left, top, right, bottom = entry["where"]
            truth += entry["fluence"] * (left < then[0] < right and top < then[1] < bottom)
        assert map_now.highest(Rectangle(x, y, x, y).grown(1e-15)) >= truth


def test_what_the_run_itself_booked_is_where_it_was_booked() -> None:
    where = Rectangle(0.0, 0.0, 40 * NM, 40 * NM)
    map_now = received([booked(where, 1e20, frame="new")], "new", WANDER, NOON + 24 * HOUR)
    assert map_now.within(WINDOW).sum() == 100 * 1e20  # 10 x 10 cells


def test_another_runs_dose_reaches_as_far_as_the_sample_may_have_moved_between_the_first_lights() -> None:
    where = Rectangle(0.0, 0.0, 40 * NM, 40 * NM)
    lit = NOON + 0.1 * HOUR
    entries = [booked(where, 1e20), booked(where, 1e20, frame="new", utc=lit)]
    off = 40 * NM  # 4 nm and a tenth of an hour at 360 nm/h
    for later in (lit, lit + 5 * HOUR):  # the bound does not grow any more once the frame has its origin
        map_now = received(entries, "new", WANDER, later)
        assert map_now.highest(Rectangle(-off + 1e-12, 0.0, -off + CELL, CELL)) == 1e20
        assert map_now.highest(Rectangle(-off - 2 * CELL, 0.0, -off - CELL - 1e-12, CELL)) == 0.0
        assert map_now.highest(where) == 2e20


def test_two_frames_of_one_run_are_not_added_up_for_having_moved() -> None:
    """Two frames side by side: the sample moved as one, so nothing can have received both."""
    entries = [
        booked(Rectangle(0.0, 0.0, 40 * NM, 40 * NM), 1e20),
        booked(Rectangle(80 * NM, 0.0, 120 * NM, 40 * NM), 3e20),
    ]
    assert received(entries, "new", WANDER, NOON + 0.1 * HOUR).highest(WINDOW) == 3e20


@pytest.mark.parametrize(
    ("entry", "now"),
    [
        (booked(Rectangle(0.0, 0.0, NM, NM), 1e20, utc=None), NOON),
        (booked(Rectangle(0.0, 0.0, NM, NM), 1e20, frame=None, utc=None), NOON),
        (booked(Rectangle(0.0, 0.0, NM, NM), 1e20), NOON - HOUR),
        (booked(Rectangle(0.0, 0.0, NM, NM), 1e20), NOON + 24 * HOUR),
    ],
    ids=["no time", "no frame", "a clock set back", "a day later"],
)
def test_where_nobody_can_know_how_far_it_moved_every_place_has_received_it(entry: Entry, now: datetime) -> None:
    assert np.all(received([entry], "new", WANDER, now).within(WINDOW) == 1e20)


@pytest.mark.parametrize("margin", [FARTHEST * 1.01, float("inf"), float("nan")])
def test_a_map_moved_too_far_is_everywhere_and_adds_to_what_is_booked(margin: float) -> None:
    one = DoseMap()
    one.add(Rectangle(0.0, 0.0, 40 * NM, 40 * NM), 2e20)
    moved = one.dilated(margin)
    moved.add(Rectangle(0.0, 0.0, 40 * NM, 40 * NM), 1e20)
    twin = moved.copy()
    assert twin.highest(Rectangle(500 * NM, 0.0, 540 * NM, 40 * NM)) == 2e20
    assert twin.highest(WINDOW) == 3e20


def test_a_ledger_books_an_earlier_run_as_far_off_as_it_may_be_at_first_light_and_keeps_it_so(tmp_path: Path) -> None:
    passport = tmp_path / "passport.jsonl"
    with opened(passport, frame="old") as ledger:
        ledger.reserve("interface", FRAME, HERE, "old-1", step="stem_image")
    clock = [NOON + 0.25 * HOUR]
    with opened(passport, frame="new", utc=lambda: clock[0]) as ledger:
        clock[0] += 0.25 * HOUR  # cooling down
        ledger.reserve("interface", FRAME, HERE, "new-1", step="stem_image")
        clock[0] += HOUR
        ledger.reserve("interface", FRAME, HERE, "new-2", step="stem_image")
        beside = ledger.footprint(FRAME, HERE).grown((4 + 180) * NM - CELL)
        rim = Rectangle(beside.left, 0.0, beside.left + CELL / 2, CELL)
        assert ledger.map.highest(rim) == BELIEF.highest_fluence(FRAME)
        highest = ledger.map.within(WINDOW)
    with opened(passport, frame="new", utc=lambda: clock[0]) as again:
        assert np.array_equal(again.map.within(WINDOW), highest)


def test_a_frame_is_refused_where_an_earlier_runs_dose_may_lie_now(tmp_path: Path) -> None:
    passport = tmp_path / "passport.jsonl"
    with opened(passport, frame="old") as ledger:
        ledger.reserve("interface", of_dose(0.5 * INTERFACE.limit), HERE, "old-1", step="stem_image")
    with (
        opened(passport, frame="new", utc=lambda: NOON + 48 * HOUR) as ledger,
        pytest.raises(BudgetError, match="interface"),
    ):
        ledger.reserve("interface", of_dose(0.5 * INTERFACE.limit), HERE, "new-1", step="stem_image")


def test_a_place_never_moves_backwards_in_time() -> None:
    assert Wander(0.0, 1e-9).between(datetime(2026, 1, 1, tzinfo=UTC), NOON) == pytest.approx(12 * 3600e-9)
    assert Wander(0.0, 1e-9).between(NOON, datetime(2026, 1, 1, tzinfo=UTC)) == float("inf")
