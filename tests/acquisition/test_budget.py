"""Budgets: what is refused, in which words, and that the figure in the words holds."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from acquisition.budget import Aim, Area, BeamBelief, Books, BudgetError
from acquisition.dosemap import CELL, Rectangle
from drivers.errors import LimitError
from drivers.ticket import Frame
from physics.dose import E_PER_A2, fluence
from physics.units import parse
from tests.acquisition.dose_bench import BELIEF, BESIDE, FRAME, HERE, INTERFACE, NM, SURE, areas, of_dose

beliefs = st.builds(
    BeamBelief,
    current=st.floats(1e-12, 1e-9),
    current_bound=st.floats(0.0, 0.2),
    scale_bound=st.floats(0.0, 0.1),
    flyback=st.floats(0.0, 5e-6),
    tail=st.floats(0.0, 5 * NM),
    grain=st.just(0.195 * NM),
)


def offer(refusal: BudgetError) -> float:
    """The fluence, m^-2, that a refusal says would fit."""
    found = re.search(r"Largest fluence that fits: (.*)\.$", str(refusal))
    assert found
    return parse(found[1], "fluence")


def test_the_fluence_is_current_times_dwell_over_the_pixel() -> None:
    # 50 pA, 2 us, 5 A pixels: 25 e/A^2 (reliability notes C2: I t / (e p^2))
    frame = Frame(centre=(0.0, 0.0), size=(50 * NM, 50 * NM), pixels=(100, 100), dwell=2e-6)
    assert replace(SURE, current=50e-12).fluence(frame) == pytest.approx(24.97 * E_PER_A2, rel=1e-3)


def test_the_upper_bound_takes_current_scale_and_flyback_at_their_worst() -> None:
    flown = 2.5e-6 / (128 * 1e-5)
    assert BELIEF.highest_fluence(FRAME) / BELIEF.fluence(FRAME) == pytest.approx(1.05 * (1 + flown) / 0.98**2)


def test_pixels_closer_than_a_step_of_the_scan_may_crowd_on_a_cell() -> None:
    crowded = replace(FRAME, size=(12.8 * NM, 12.8 * NM))
    assert SURE.highest_fluence(crowded) == pytest.approx(SURE.fluence(crowded) * (1 + 0.195 / 4) ** 2)


@settings(max_examples=50)
@given(belief=beliefs, share=st.floats(0.05, 1.0))
def test_the_fluence_for_an_upper_bound_has_that_upper_bound(belief: BeamBelief, share: float) -> None:
    planned = belief.fluence_for(highest := share * belief.highest_fluence(FRAME), FRAME)
    assume(planned > 0.0)
    assert belief.highest_fluence(of_dose(planned, belief)) == pytest.approx(highest)


def test_the_footprint_lies_where_the_sample_stands() -> None:
    where = Books(areas(), SURE).footprint(FRAME, Aim((30 * NM, -10 * NM), 0.0))
    assert (where.left, where.top) == (pytest.approx(-230 * NM), pytest.approx(-190 * NM))
    assert (where.right, where.bottom) == (pytest.approx(170 * NM), pytest.approx(210 * NM))


def test_the_footprint_holds_margin_scale_error_and_tail() -> None:
    where = Books(areas(), BELIEF).footprint(replace(FRAME, centre=(0.0, 1000 * NM)), HERE)
    grown = 4 + 0.02 * 1200 + 1.5
    assert (where.right, where.bottom) == (pytest.approx((200 + grown) * NM), pytest.approx((1200 + grown) * NM))


def test_a_refusal_names_step_area_planned_spent_and_left() -> None:
    books = Books(areas(), SURE)
    books.book("interface", of_dose(9850 * E_PER_A2, SURE), HERE, step="eds_map")
    with pytest.raises(BudgetError) as refused:
        books.require("interface", of_dose(2600 * E_PER_A2, SURE), HERE, passes=4, step="eds_map")
    assert str(refused.value) == (
        'eds_map would give area "interface" 10400 e/A^2 (up to 10400 e/A^2 within the calibration\'s bounds); '
        "9850 e/A^2 of 12000 e/A^2 are spent, 2150 e/A^2 are left. Largest fluence that fits: 2150 e/A^2."
    )


@settings(max_examples=60, deadline=None)
@given(
    belief=beliefs,
    limit=st.floats(1.0, 1e5),
    spent=st.floats(0.0, 1.0),
    wanted=st.floats(1e-3, 1e3),
    passes=st.integers(1, 40),
    columns=st.sampled_from([8, 64, 512]),
)
def test_the_fluence_a_refusal_offers_fits_to_the_last_pass(
    belief: BeamBelief, limit: float, spent: float, wanted: float, passes: int, columns: int
) -> None:
    frame = replace(FRAME, pixels=(columns, 64))
    limit *= E_PER_A2
    books = Books(areas(replace(INTERFACE, limit=limit)), belief)
    books.map.add(INTERFACE.where, spent * limit)
    asked = of_dose(wanted * limit / passes, belief, frame)
    try:
        books.require("interface", asked, HERE, passes=passes, step="eds_map")
    except BudgetError as refused:
        offered = offer(refused)
    else:
        return
    assume(offered > 0.0)
    fitting = of_dose(offered / passes, belief, frame)
    books.require("interface", fitting, HERE, passes=passes, step="eds_map")
    with pytest.raises(BudgetError):
        more = of_dose(1.02 * offered / passes, belief, frame)
        books.require("interface", more, HERE, passes=passes, step="eds_map")
    for _ in range(passes):
        books.book("interface", fitting, HERE, step="eds_map")


def test_no_fluence_is_offered_where_the_way_back_alone_is_too_much() -> None:
    books = Books(areas(replace(INTERFACE, limit=1e-3 * E_PER_A2)), BELIEF)
    with pytest.raises(BudgetError, match=r"Largest fluence that fits: 0 e/A\^2"):
        books.require("interface", FRAME, HERE, step="stem_image")


def test_a_cell_of_another_area_is_held_to_that_areas_budget() -> None:
    books = Books(areas(), SURE)
    over_both = replace(FRAME, centre=(0.0, 600 * NM), size=(400 * NM, 700 * NM))
    with pytest.raises(BudgetError, match='area "interface"'):
        books.require("beside", of_dose(2e4 * E_PER_A2, SURE, over_both), HERE, step="focus")
    beside = replace(FRAME, centre=(0.0, 1200 * NM))
    books.require("beside", of_dose(2e4 * E_PER_A2, SURE, beside), HERE, step="focus")


def test_the_tightest_budget_is_the_one_that_is_named_and_offered() -> None:
    shell = Area("shell", Rectangle.around((150 * NM, 0.0), (100 * NM, 100 * NM)), 100 * E_PER_A2)
    books = Books(areas(replace(INTERFACE, limit=1000 * E_PER_A2), shell), SURE)
    with pytest.raises(BudgetError, match='area "shell"') as refused:
        books.require("interface", of_dose(5000 * E_PER_A2, SURE), HERE, step="eds_map")
    assert offer(refused.value) == 100 * E_PER_A2


def test_a_cell_shared_with_an_area_whose_edge_was_missed_is_held_to_its_budget() -> None:
    near = Area("near", Rectangle(202 * NM, -50 * NM, 300 * NM, 50 * NM), 10 * E_PER_A2)
    books = Books(areas(INTERFACE, near), SURE)
    frame = of_dose(100 * E_PER_A2, SURE, replace(FRAME, size=(402 * NM, 400 * NM)))  # ends at 201 nm, in that cell
    with pytest.raises(BudgetError, match='area "near"'):
        books.require("interface", frame, Aim((0.0, 0.0), 0.0), step="stem_image")


@settings(max_examples=40, deadline=None)
@given(
    shots=st.lists(
        st.tuples(
            st.sampled_from(["interface", "beside"]),
            st.floats(-800, 800),
            st.floats(-800, 1600),
            st.floats(20, 900),
            st.floats(10, 8000),
        ),
        max_size=12,
    )
)
def test_no_cell_of_an_area_is_ever_booked_past_its_budget(shots: list[tuple[str, float, float, float, float]]) -> None:
    books = Books(areas(), BELIEF)
    for area, x, y, size, dose in shots:
        frame = replace(FRAME, centre=(x * NM, y * NM), size=(size * NM, size * NM))
        try:
            books.book(area, of_dose(dose * E_PER_A2, frame=frame), HERE, step="stem_image")
        except BudgetError:
            continue
    for known in books.areas:
        assert books.spent(known.name)[0] <= known.limit * (1 + 1e-8)


def test_a_budget_that_is_used_to_the_last_electron_is_not_refused_for_rounding() -> None:
    books = Books(areas(replace(INTERFACE, limit=7 * E_PER_A2)), SURE)
    for _ in range(70):
        books.book("interface", of_dose(0.1 * E_PER_A2, SURE), HERE, step="eds_map")
    with pytest.raises(BudgetError):
        books.book("interface", of_dose(1e-4 * E_PER_A2, SURE), HERE, step="eds_map")


def test_an_area_without_a_budget_is_refused_by_name() -> None:
    with pytest.raises(BudgetError, match=r'no budget for area "lipon"\. Areas with budgets: beside, interface'):
        Books(areas(), BELIEF).require("lipon", FRAME, HERE, step="stem_image")


def test_no_passes_need_no_budget() -> None:
    books = Books(areas(replace(INTERFACE, limit=0.0)), BELIEF)
    books.require("interface", FRAME, HERE, passes=0, step="eds_map")


def test_spent_and_left_are_of_the_most_exposed_cell() -> None:
    books = Books(areas(), SURE)
    books.map.add(Rectangle(0.0, 0.0, 8 * CELL, CELL), 100.0)
    books.map.add(Rectangle(0.0, 0.0, 4 * CELL, CELL), 50.0)
    assert books.spent("interface") == (150.0, 125.0)
    assert books.left("interface") == 12000 * E_PER_A2 - 150.0
    assert books.spent("beside") == (0.0, 0.0)


def test_the_operator_is_told_from_the_notify_level_on() -> None:
    books = Books(areas(replace(INTERFACE, notify=9000 * E_PER_A2), BESIDE), SURE)
    books.map.add(INTERFACE.where, 8999 * E_PER_A2)
    assert books.notices() == []
    books.map.add(INTERFACE.where, 2 * E_PER_A2)
    assert books.notices() == ['area "interface" has received 9001 e/A^2 of 12000 e/A^2']


@pytest.mark.parametrize(
    "wrong",
    [{"current": math.nan}, {"current": 0.0}, {"current_bound": -0.1}, {"scale_bound": 1.0}, {"flyback": math.inf}],
    ids=str,
)
def test_a_beam_that_cannot_be_counted_with_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(LimitError, match="nothing to count a dose with"):
        replace(BELIEF, **wrong)


@pytest.mark.parametrize("wrong", [{"limit": math.nan}, {"limit": -1.0}, {"notify": math.nan}], ids=str)
def test_a_budget_that_is_no_number_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(LimitError, match='area "interface"'):
        replace(INTERFACE, **wrong)


@pytest.mark.parametrize("margin", [math.nan, -1e-9])
def test_a_margin_that_is_no_number_is_refused(margin: float) -> None:
    with pytest.raises(LimitError, match="off its place"):
        Aim((0.0, 0.0), margin)


def test_an_aim_that_is_nowhere_is_refused() -> None:
    with pytest.raises(LimitError, match="no rectangle"):
        Books(areas(), BELIEF).require("interface", FRAME, Aim((math.nan, 0.0), 0.0), step="stem_image")


def test_the_planned_fluence_is_the_one_of_the_dose_formula() -> None:
    assert BELIEF.fluence(FRAME) == fluence(200e-12, 1e-5, 400 * NM / 128, 400 * NM / 128)
