"""Tickets: one frame, once."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Any

import pytest

from drivers.errors import LimitError, Refused, TicketError
from drivers.ticket import Cut, Frame, Ticket

FRAME = Frame(centre=(0.0, 1e-7), size=(4e-7, 2e-7), pixels=(512, 256), dwell=4e-6)


@dataclass(frozen=True)
class Box:
    """A pattern, as a wire draws it."""

    bounds: tuple[float, float, float, float]

    def __str__(self) -> str:
        return "box"


BOX = Box((-5e-6, -2e-6, 5e-6, 2e-6))
CUT = Cut((BOX,), field=50e-6, current=0.74e-9, voltage=30e3, seconds=60.0)


class Book:
    """An issuer that lets every ticket be spent once."""

    def __init__(self) -> None:
        self.spent: list[str] = []

    def spend(self, ticket: Ticket) -> None:
        if ticket.exposure_id in self.spent:
            raise TicketError(f"ticket {ticket.exposure_id} is used up")
        self.spent.append(ticket.exposure_id)


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def ticket(book: Book) -> Ticket:
    return Ticket("0007", "interface", FRAME, book)


def test_a_ticket_is_spent_with_its_issuer(ticket: Ticket, book: Book) -> None:
    ticket.spend(FRAME)
    assert book.spent == ["0007"]


def test_a_ticket_opens_the_beam_once(ticket: Ticket, book: Book) -> None:
    ticket.spend(FRAME)
    with pytest.raises(TicketError, match="used up"):
        ticket.spend(FRAME)
    assert book.spent == ["0007"]


@pytest.mark.parametrize(
    "other",
    [
        replace(FRAME, centre=(1e-9, 1e-7)),
        replace(FRAME, size=(2e-7, 2e-7)),
        replace(FRAME, pixels=(512, 257)),
        replace(FRAME, dwell=math.nextafter(4e-6, 1.0)),
    ],
    ids=["elsewhere", "smaller", "a line more", "a bit longer"],
)
def test_a_ticket_is_good_for_no_other_frame(ticket: Ticket, book: Book, other: Frame) -> None:
    with pytest.raises(TicketError, match=r"ticket 0007 is for .*Reserve the frame that will be exposed"):
        ticket.spend(other)
    assert book.spent == []


@pytest.mark.parametrize(
    "wrong",
    [{"dwell": math.nan}, {"dwell": 0.0}, {"size": (math.inf, 1e-7)}, {"centre": (0.0, math.nan)}, {"pixels": (0, 1)}],
    ids=str,
)
def test_a_frame_that_is_not_finite_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(LimitError, match="no finite raster"):
        replace(FRAME, **wrong)


def test_a_frame_is_told_in_the_units_people_read() -> None:
    assert str(FRAME) == "512 x 256 pixels of 4 us over 400 nm x 200 nm at (0 nm, 100 nm)"


def test_a_refusal_tells_both_frames_in_the_units_people_read(ticket: Ticket) -> None:
    with pytest.raises(TicketError) as refusal:
        ticket.spend(replace(FRAME, pixels=(512, 257), dwell=4.125e-6))
    assert str(refusal.value) == (
        "ticket 0007 is for 512 x 256 pixels of 4 us over 400 nm x 200 nm at (0 nm, 100 nm), but to be exposed is "
        "512 x 257 pixels of 4.125 us over 400 nm x 200 nm at (0 nm, 100 nm). Reserve the frame that will be exposed."
    )


def test_frames_that_differ_in_a_last_digit_are_not_told_as_two_equal_ones(ticket: Ticket) -> None:
    with pytest.raises(TicketError, match="one that differs from it by less than is shown here"):
        ticket.spend(replace(FRAME, dwell=math.nextafter(4e-6, 1.0)))


def test_a_refused_ticket_is_our_refusal_before_any_byte() -> None:
    assert issubclass(TicketError, Refused)


def test_a_ticket_cannot_be_altered(ticket: Ticket) -> None:
    with pytest.raises(FrozenInstanceError):
        ticket.work = replace(FRAME, dwell=1.0)  # type: ignore[misc]


def test_a_frame_knows_its_pitch_its_pixels_and_how_long_the_beam_is_on() -> None:
    assert FRAME.pitch == pytest.approx((4e-7 / 512, 2e-7 / 256))
    assert FRAME.count == 131072
    assert FRAME.seconds == pytest.approx(0.524288)


def test_a_ticket_for_electrons_never_opens_the_ion_beam(ticket: Ticket, book: Book) -> None:
    with pytest.raises(TicketError, match=r"for the electron beam, but to be opened is the ion beam\. Reserve it for"):
        ticket.spend(FRAME, "ion")
    assert book.spent == []


def test_a_ticket_for_ions_never_opens_the_electron_beam(book: Book) -> None:
    with pytest.raises(TicketError, match="for the ion beam, but to be opened is the electron beam"):
        Ticket("0008", "interface", FRAME, book, "ion").spend(FRAME)
    assert book.spent == []


def test_a_ticket_for_a_cut_is_good_for_that_cut_once(book: Book) -> None:
    ticket = Ticket("0009", "trench", CUT, book, "ion")
    for other in (replace(CUT, seconds=61.0), replace(CUT, current=2e-9), replace(CUT, voltage=5e3), FRAME):
        with pytest.raises(TicketError, match="ticket 0009 is for box in a field of 50 um with 740 pA at 30 kV"):
            ticket.spend(other, "ion")
    ticket.spend(CUT, "ion")
    with pytest.raises(TicketError, match="used up"):
        ticket.spend(CUT, "ion")
    assert book.spent == ["0009"]


def test_electrons_cut_nothing(book: Book) -> None:
    with pytest.raises(TicketError, match="a cut, which takes the ion beam"):
        Ticket("0010", "trench", CUT, book)


def test_a_ticket_for_a_cut_has_no_frame(book: Book) -> None:
    with pytest.raises(TicketError, match="for a cut, not for a frame"):
        _ = Ticket("0011", "trench", CUT, book, "ion").frame


@pytest.mark.parametrize(
    "wrong",
    [
        {"field": math.nan},
        {"current": 0.0},
        {"voltage": math.inf},
        {"seconds": -1.0},
        {"patterns": ()},
        {"field": 9e-6},
        {"patterns": (Box((math.nan, 0.0, 0.0, 0.0)),)},
    ],
    ids=str,
)
def test_a_cut_that_is_not_finite_or_leaves_its_field_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(LimitError):
        replace(CUT, **wrong)


def test_a_cut_is_told_in_the_units_people_read() -> None:
    assert str(CUT) == "box in a field of 50 um with 740 pA at 30 kV for 60 s at most"
