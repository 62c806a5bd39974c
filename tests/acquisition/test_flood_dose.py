"""The dose of a parallel beam: counted by its upper bound, and never below what the lamella received."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.constants import e

from acquisition.budget import Aim, Books, BudgetError, FloodBelief
from acquisition.chain import read_chain
from acquisition.dosemap import CELL, Rectangle
from drivers.errors import LimitError, TicketError
from drivers.ticket import Cut, Flood, Frame, Ticket
from physics.dose import E_PER_A2
from tests.acquisition.dose_bench import BELIEF, FRAME, HERE, NM, areas, opened

FLOODS = FloodBelief(
    current=1e-9,
    current_bound=0.05,
    diameter_bound=0.02,
    uneven=0.03,
    shutter=0.025,
    placement=15 * NM,
    shift_bound=0.02,
)
FLOOD = Flood((0.0, -400e-9), (163.84e-9, 163.84e-9), (4096, 4096), 300e-9, 0.34, 60e-9)


def books() -> Books:
    return Books(areas(), BELIEF, FLOODS)


def test_a_flood_gives_its_current_on_its_disc() -> None:
    assert FLOODS.fluence(FLOOD) == pytest.approx(1e-9 * 0.34 / e / FLOOD.area)
    assert FLOODS.fluence(FLOOD) / E_PER_A2 == pytest.approx(300.2, abs=0.1)
    highest = 1e-9 * 1.05 * 0.365 / e / (FLOOD.area * 0.98**2) * 1.03
    assert FLOODS.highest_fluence(FLOOD) == pytest.approx(highest)
    assert FLOODS.highest_fluence(FLOOD) / FLOODS.fluence(FLOOD) == pytest.approx(1.209, abs=0.001)


@given(st.floats(0.02, 5.0))
def test_what_fits_is_the_way_back_from_the_bound(seconds: float) -> None:
    flood = replace(FLOOD, seconds=seconds)
    assert FLOODS.fluence_for(FLOODS.highest_fluence(flood), flood) == pytest.approx(FLOODS.fluence(flood))


def test_its_footprint_is_the_disc_and_how_far_off_it_may_be() -> None:
    found = books().footprint(FLOOD, Aim((10 * NM, 0.0), 4 * NM))
    off = 15 * NM + 0.02 * 400 * NM + 0.02 * 150 * NM + 4 * NM
    wanted = Rectangle.around((-10 * NM, -400 * NM), (300 * NM, 300 * NM)).grown(off)
    assert (found.left, found.bottom) == pytest.approx((wanted.left, wanted.bottom))


def test_a_flood_that_passes_a_budget_is_refused_with_what_fits(tmp_path: Path) -> None:
    with opened(tmp_path / "p.jsonl") as ledger:
        ledger.flood = FLOODS
        too_much = replace(FLOOD, seconds=15.0)
        told = r"hrtem would give .* 13245 e/A\^2 .up to 14940 e.*Largest fluence that fits: 10600 e"
        with pytest.raises(BudgetError, match=told):
            ledger.reserve("interface", too_much, HERE, "f-1", step="hrtem")
    assert read_chain(tmp_path / "p.jsonl") == []


def test_a_flood_is_reserved_spent_and_settled_like_a_frame(tmp_path: Path) -> None:
    with opened(tmp_path / "p.jsonl") as ledger:
        ledger.flood = FLOODS
        ticket = ledger.reserve("interface", FLOOD, HERE, "f-1", step="hrtem")
        with pytest.raises(TicketError, match="is for a flood, not for a frame"):
            _ = ticket.frame
        with pytest.raises(TicketError, match="Reserve the frame"):
            ticket.spend(FRAME)
        ticket.spend(FLOOD)
        assert ledger.settle(ticket) == FLOODS.highest_fluence(FLOOD)
        assert ledger.map.highest(Rectangle.around(FLOOD.centre, (1e-9, 1e-9))) == FLOODS.highest_fluence(FLOOD)
    reserved, settled = read_chain(tmp_path / "p.jsonl")
    assert (reserved["pixels"], reserved["seconds"], reserved["current"]) == (4096**2, 0.34, 1e-9)
    assert settled["kind"] == "settle"


def test_one_that_was_never_settled_counts_in_full_for_ever(tmp_path: Path) -> None:
    with opened(tmp_path / "p.jsonl") as ledger:
        ledger.flood = FLOODS
        ledger.reserve("interface", FLOOD, HERE, "f-1", step="hrtem").spend(FLOOD)
    with opened(tmp_path / "p.jsonl") as again:
        assert again.map.highest(Rectangle.around(FLOOD.centre, (1e-9, 1e-9))) == FLOODS.highest_fluence(FLOOD)


def test_without_a_calibration_there_is_nothing_to_count_with(tmp_path: Path) -> None:
    with opened(tmp_path / "p.jsonl") as ledger, pytest.raises(BudgetError, match="nothing to count a parallel beam"):
        ledger.reserve("interface", FLOOD, HERE, "f-1", step="hrtem")
    for wrong in ({"current": 0.0}, {"diameter_bound": 1.0}, {"shutter": -1.0}, {"placement": np.nan}):
        with pytest.raises(LimitError):
            replace(FLOODS, **wrong)


def test_a_flood_is_of_electrons() -> None:
    with pytest.raises(TicketError, match="takes the electron beam"):
        Ticket("f-1", "interface", FLOOD, None, "ion")  # type: ignore[arg-type]
    assert not isinstance(FLOOD, Frame | Cut)


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(-600e-9, 600e-9),
    y=st.floats(-600e-9, 600e-9),
    seconds=st.floats(0.01, 2.0),
    current=st.floats(-1.0, 1.0),
    wider=st.floats(-1.0, 1.0),
    uneven=st.floats(0.0, 1.0),
    late=st.floats(0.0, 1.0),
    turn=st.floats(0.0, 2 * np.pi),
    far=st.floats(0.0, 1.0),
    drift=st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)),
)
def test_whatever_the_hidden_errors_the_books_are_never_below_the_truth(
    x: float,
    y: float,
    seconds: float,
    current: float,
    wider: float,
    uneven: float,
    late: float,
    turn: float,
    far: float,
    drift: tuple[float, float],
) -> None:
    """The truth: a disc within all bounds, worked out here on points of its own, not on the books' cells."""
    flood, aim = replace(FLOOD, centre=(x, y), seconds=seconds), Aim((5 * NM, -7 * NM), 4 * NM)
    kept = books()
    kept.map.add(kept.footprint(flood, aim), kept.reckoning(flood).highest_fluence(flood))
    off = far * (FLOODS.placement + FLOODS.shift_bound * np.hypot(x, y))
    middle = (
        x + off * np.cos(turn) - aim.offset[0] - drift[0] * aim.margin,
        y + off * np.sin(turn) - aim.offset[1] - drift[1] * aim.margin,
    )
    radius = flood.diameter / 2 * (1 + FLOODS.diameter_bound * wider)
    lit = seconds + late * FLOODS.shutter
    mean = 1e-9 * (1 + FLOODS.current_bound * current) * lit / e / (np.pi * radius**2)
    everything = Rectangle.around((0.0, 0.0), (2e-6, 2e-6))
    cells, (left, top, _, _) = kept.map.within(everything), everything.cells()
    angle, share = np.linspace(0, 2 * np.pi, 61)[None, :], np.linspace(0.0, 1.0, 7)[:, None]
    truth = mean * (1 + uneven * FLOODS.uneven * (1 - 2 * share**2)) * np.ones_like(angle)
    column = np.floor((middle[0] + share * radius * np.cos(angle)) / CELL).astype(int) - left
    row = np.floor((middle[1] + share * radius * np.sin(angle)) / CELL).astype(int) - top
    assert np.all(truth <= cells[row, column] * (1 + 1e-9))
