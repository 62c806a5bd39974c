"""The ledger: no beam without a reservation, nothing forgotten, never below the truth."""

from __future__ import annotations

import errno
import math
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from pytest_mock import MockerFixture

from acquisition.budget import Aim, BeamBelief, Books, BudgetError
from acquisition.chain import ChainError, Entry, read_chain
from acquisition.dosemap import CELL, Rectangle
from drivers.errors import LimitError, TicketError
from drivers.ticket import Frame, Ticket
from physics.dose import E_PER_A2, electrons
from tests.acquisition.dose_bench import BELIEF, FRAME, HERE, INTERFACE, NM, SURE, Notes, areas, of_dose, opened

WINDOW = Rectangle(-1024 * NM, -1024 * NM, 1024 * NM, 1024 * NM)


@pytest.fixture
def passport(tmp_path: Path) -> Path:
    return tmp_path / "wafer-7.passport.jsonl"


def test_a_reservation_is_on_the_disk_before_the_ticket_is_handed_out(passport: Path) -> None:
    with opened(passport) as ledger:
        ticket = ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
        (entry,) = read_chain(passport)
    assert (ticket.exposure_id, ticket.area, ticket.frame) == ("r-1", "interface", FRAME)
    assert (entry["kind"], entry["exposure_id"], entry["area"]) == ("reserve", "r-1", "interface")
    assert entry["fluence"] == BELIEF.highest_fluence(FRAME)


def test_an_exposure_is_noted_from_reservation_to_settlement(passport: Path) -> None:
    notes = Notes()
    with opened(passport, notes=notes) as ledger:
        ticket = ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
        ticket.spend(FRAME)
        charged = ledger.settle(ticket)
    assert notes.kinds == ["reserve", "begin", "settle"]
    assert [entry["exposure_id"] for _, entry in notes] == ["r-1"] * 3
    assert charged == BELIEF.highest_fluence(FRAME) == notes[-1][1]["fluence"]


def test_what_passes_the_budget_is_refused_and_leaves_no_trace(passport: Path) -> None:
    notes = Notes()
    with opened(passport, notes=notes) as ledger:
        with pytest.raises(BudgetError, match=r'^eds_map would give area "interface"'):
            ledger.reserve("interface", of_dose(12000 * E_PER_A2), HERE, "r-1", step="eds_map")
        assert ledger.map.highest(WINDOW) == 0.0
    assert read_chain(passport) == []
    assert notes.kinds == []


def test_a_reservation_that_a_full_disk_refused_hands_out_no_ticket(passport: Path, mocker: MockerFixture) -> None:
    with opened(passport) as ledger:
        mocker.patch("os.fsync", side_effect=[OSError(errno.ENOSPC, "No space left on device"), None])
        with pytest.raises(ChainError, match="No space left"):
            ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
        assert ledger.map.highest(WINDOW) == 0.0
        ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image").spend(FRAME)
    assert len(read_chain(passport)) == 1


def test_a_reservation_that_the_journal_could_not_note_still_counts(passport: Path) -> None:
    def full(_kind: str, _entry: Entry) -> None:
        raise ChainError("journal.jsonl: No space left on device")

    with opened(passport, notes=full) as ledger:
        with pytest.raises(ChainError):
            ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
        assert ledger.map.highest(WINDOW) == BELIEF.highest_fluence(FRAME)
        with pytest.raises(TicketError, match="not open"):
            Ticket("r-1", "interface", FRAME, ledger).spend(FRAME)


@pytest.mark.parametrize("current", [math.nan, math.inf])
def test_a_fluence_that_is_no_number_is_never_reserved(passport: Path, current: float) -> None:
    with opened(passport) as ledger:
        with pytest.raises(LimitError):
            ledger.belief = replace(BELIEF, current=current)
        with pytest.raises(LimitError):
            ledger.reserve("interface", replace(FRAME, dwell=current), HERE, "r-1", step="stem_image")
    assert read_chain(passport) == []


def test_a_ticket_is_spent_once(passport: Path) -> None:
    with opened(passport) as ledger:
        ticket = ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
        ticket.spend(FRAME)
        with pytest.raises(TicketError, match="r-1 is not open"):
            ticket.spend(FRAME)
        ledger.settle(ticket)
        with pytest.raises(TicketError, match="r-1 is not open"):
            ticket.spend(FRAME)


def test_another_frame_than_reserved_is_refused_and_the_ticket_stays_good(passport: Path) -> None:
    with opened(passport) as ledger:
        ticket = ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
        with pytest.raises(TicketError, match="is for"):
            ticket.spend(replace(FRAME, dwell=2 * FRAME.dwell))
        ticket.spend(FRAME)


@pytest.mark.parametrize("other", [{"work": replace(FRAME, dwell=1.0)}, {"area": "beside"}, {"exposure_id": "r-2"}])
def test_a_ticket_that_the_ledger_did_not_issue_opens_nothing(passport: Path, other: dict[str, Frame]) -> None:
    with opened(passport) as ledger:
        forged = replace(ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image"), **other)
        with pytest.raises(TicketError, match="is not open"):
            forged.spend(forged.frame)


@pytest.mark.parametrize("settled", [True, False])
def test_an_exposure_is_reserved_once_and_for_all_runs(passport: Path, settled: bool) -> None:
    with opened(passport) as ledger:
        ticket = ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
        if settled:
            ticket.spend(FRAME)
            ledger.settle(ticket)
        with pytest.raises(TicketError, match="reserved before"):
            ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
    with opened(passport) as ledger, pytest.raises(TicketError, match="reserved before"):
        ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")


def test_only_what_was_spent_can_be_settled_and_only_once(passport: Path) -> None:
    with opened(passport) as ledger:
        ticket = ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
        with pytest.raises(TicketError, match="was not spent"):
            ledger.settle(ticket)
        ticket.spend(FRAME)
        ledger.settle(ticket)
        with pytest.raises(TicketError, match="settled"):
            ledger.settle(ticket)


def test_a_ticket_from_before_the_passport_was_opened_again_is_stale(passport: Path) -> None:
    with opened(passport) as ledger:
        ticket = ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
    with opened(passport) as ledger:
        stale = replace(ticket, issuer=ledger)
        with pytest.raises(TicketError, match="not open"):
            stale.spend(FRAME)
        with pytest.raises(TicketError):
            ledger.settle(stale)


@pytest.mark.parametrize("begun", [True, False])
def test_a_reservation_without_settlement_counts_in_full_for_ever(passport: Path, begun: bool) -> None:
    with opened(passport) as ledger:
        ticket = ledger.reserve("interface", of_dose(7000 * E_PER_A2), HERE, "r-1", step="eds_map")
        if begun:
            ticket.spend(ticket.frame)
        spent = ledger.spent("interface")
    for _ in range(2):
        with opened(passport) as ledger:
            assert ledger.spent("interface") == spent
            with pytest.raises(BudgetError, match="are spent"):
                ledger.reserve("interface", of_dose(7000 * E_PER_A2), HERE, "r-2", step="eds_map")


def test_what_was_received_keeps_its_charge_when_the_calibration_changes(passport: Path) -> None:
    with opened(passport) as ledger:
        ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
    with opened(passport, belief=replace(BELIEF, current=1e-12, current_bound=0.0)) as ledger:
        assert ledger.spent("interface")[0] == BELIEF.highest_fluence(FRAME)


def test_the_passports_hash_changes_with_every_exposure(passport: Path) -> None:
    with opened(passport) as ledger:
        before = ledger.passport_sha256
        ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
        after = ledger.passport_sha256
    assert before != after
    with opened(passport) as ledger:
        assert ledger.passport_sha256 == after


def test_a_rehearsal_reaches_neither_the_books_nor_the_passport(passport: Path) -> None:
    with opened(passport) as ledger:
        ledger.reserve("interface", FRAME, HERE, "r-1", step="stem_image")
        spent = ledger.spent("interface")
        rehearsal = ledger.rehearsal()
        rehearsal.book("interface", FRAME, HERE, step="eds_map")
        assert rehearsal.spent("interface")[0] == 2 * spent[0]
        assert ledger.spent("interface") == spent
    assert len(read_chain(passport)) == 1


# --- against the truth


def overlaps(centres: NDArray[np.float64], width: float, cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each pixel's width that falls on each cell (left edges `cells`); shape (pixels, cells)."""
    left, right = centres[:, None] - width / 2, centres[:, None] + width / 2
    return np.clip(np.minimum(right, cells + CELL) - np.maximum(left, cells), 0.0, None) / width


def truth(
    frame: Frame, current: float, scale: float, flyback: float, drift: tuple[float, float]
) -> NDArray[np.float64]:
    """Fluence of each cell of WINDOW, pixel by pixel: true current, true width of the field, sample moved by drift."""
    edges = np.arange(-256, 256) * CELL
    on_axis = []
    for centre, pitch, count, moved in zip(frame.centre, frame.pitch, frame.pixels, drift, strict=True):
        pixels = (centre + (np.arange(count) - (count - 1) / 2) * pitch) * scale - moved
        on_axis.append(overlaps(pixels, pitch * scale, edges).sum(axis=0))
    per_pixel = electrons(current, frame.dwell + flyback / frame.pixels[0])
    return per_pixel * np.outer(on_axis[1], on_axis[0]) / CELL**2


errors = st.floats(-1.0, 1.0)


@settings(max_examples=40, deadline=None)
@given(
    belief=st.builds(
        BeamBelief,
        current=st.just(200e-12),
        current_bound=st.floats(0.0, 0.1),
        scale_bound=st.floats(0.0, 0.05),
        flyback=st.floats(0.0, 5e-6),
        tail=st.just(0.0),
        grain=st.just(0.195 * NM),
    ),
    centre=st.tuples(st.floats(-400, 400), st.floats(-400, 400)),
    size=st.tuples(st.floats(20, 400), st.floats(20, 400)),
    pixels=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    offset=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    off=st.tuples(errors, errors, errors, errors, st.floats(0.0, 1.0)),
)
def test_the_charge_is_never_below_any_truth_within_the_bounds_and_inside_not_far_above(
    belief: BeamBelief,
    centre: tuple[float, float],
    size: tuple[float, float],
    pixels: tuple[int, int],
    offset: tuple[float, float],
    off: tuple[float, float, float, float, float],
) -> None:
    frame = Frame((centre[0] * NM, centre[1] * NM), (size[0] * NM, size[1] * NM), pixels, 4e-6)
    aim = Aim((offset[0] * NM, offset[1] * NM), 6 * NM)
    current = belief.current * (1 + belief.current_bound * off[0])
    scale = 1 + belief.scale_bound * off[1]
    drift = aim.offset[0] + aim.margin * off[2], aim.offset[1] + aim.margin * off[3]
    received = truth(frame, current, scale, belief.flyback * off[4], drift)

    books = Books(areas(replace(INTERFACE, limit=math.inf)), belief)
    books.book("interface", frame, aim, step="eds_map")
    charged = books.map.within(WINDOW)
    assert (charged >= received * (1 - 1e-9)).all()

    exact = truth(frame, belief.current, 1.0, belief.flyback, aim.offset)
    inside = exact > exact.max() * (1 - 1e-9)
    most = (1 + belief.current_bound) / (1 - belief.scale_bound) ** 2
    assert (charged[inside] <= exact[inside] * most * (1 + 1e-9)).all()


# --- the ledger and its passport, in any order of events


class LedgerAndPassport(RuleBasedStateMachine):
    """Reserve, spend, settle, forget and reopen at will: books and passport always tell the same."""

    def __init__(self) -> None:
        super().__init__()
        self._end = ExitStack()
        folder = self._end.enter_context(tempfile.TemporaryDirectory())
        self.passport = Path(folder) / "passport.jsonl"
        self.expected = Books(areas(), SURE)
        self.reserved: list[Ticket] = []
        self.spent: list[Ticket] = []
        self.number = 0
        self._open()

    def _open(self) -> None:
        self._session = ExitStack()
        self.ledger = self._session.enter_context(opened(self.passport, belief=SURE))

    @rule(x=st.integers(-100, 100), dose=st.floats(100, 5000))
    def reserve(self, x: int, dose: float) -> None:
        self.number += 1
        frame = of_dose(dose * E_PER_A2, SURE, replace(FRAME, centre=(x * NM, 0.0), size=(200 * NM, 100 * NM)))
        try:
            self.expected.book("interface", frame, HERE, step="eds_map")
        except BudgetError as refused:
            with pytest.raises(BudgetError) as same:
                self.ledger.reserve("interface", frame, HERE, f"r-{self.number}", step="eds_map")
            assert str(same.value) == str(refused)
        else:
            ticket = self.ledger.reserve("interface", frame, HERE, f"r-{self.number}", step="eds_map")
            self.reserved.append(ticket)

    @precondition(lambda self: self.reserved)
    @rule()
    def spend(self) -> None:
        ticket = self.reserved.pop(0)
        ticket.spend(ticket.frame)
        self.spent.append(ticket)

    @precondition(lambda self: self.spent)
    @rule()
    def settle(self) -> None:
        ticket = self.spent.pop()
        assert self.ledger.settle(ticket) == SURE.highest_fluence(ticket.frame)

    @rule()
    def reopen(self) -> None:
        self._session.close()
        self._open()
        for ticket in (*self.reserved, *self.spent):
            with pytest.raises(TicketError):
                replace(ticket, issuer=self.ledger).spend(ticket.frame)
        self.reserved, self.spent = [], []

    @invariant()
    def the_books_hold_every_reservation_in_full(self) -> None:
        assert_array_equal(self.ledger.map.within(WINDOW), self.expected.map.within(WINDOW))

    @invariant()
    def the_passport_rebuilds_the_books(self) -> None:
        with opened(self.passport, belief=SURE) as again:
            assert_array_equal(again.map.within(WINDOW), self.ledger.map.within(WINDOW))
            assert again.passport_sha256 == self.ledger.passport_sha256

    def teardown(self) -> None:
        self._session.close()
        self._end.close()


TestLedgerAndPassport = LedgerAndPassport.TestCase
TestLedgerAndPassport.settings = settings(max_examples=10, stateful_step_count=15, deadline=None)
