"""One exposure from ticket to settlement, and where the sample is believed to stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from acquisition.budget import Aim
from acquisition.chain import read_chain
from acquisition.control import State, Trip
from acquisition.exposure import LISTEN, Sighting, Tracker, expose
from acquisition.ledger import Ledger
from drivers.clock import Clock, VirtualClock
from drivers.errors import Aborted, DeviceError, InterlockError, LinkTimeout, TicketError
from drivers.ticket import Frame, Ticket
from tests.acquisition.dose_bench import BELIEF, FRAME, HERE, NM, Notes, opened
from tests.acquisition.run_bench import Desk

SMALL = replace(FRAME, pixels=(20, 10), dwell=1e-2)  # 2 s
IMAGE = np.arange(SMALL.count, dtype=np.uint16)


class Box:
    """A scan box: the frame runs while time passes, and each read brings what came, in pieces of `piece` pixels.

    late: how many pixels are still in the line when the box says that it is done.
    """

    def __init__(self, clock: Clock, *, piece: int = 7, late: int = 0, lost: int = 0) -> None:
        self._clock = clock
        self._piece = piece
        self._late = late
        self._count = SMALL.count - lost
        self._sent = 0
        self._began = 0.0
        self.reads: list[float] = []

    def start(self, frame: Frame, ticket: Ticket) -> None:
        ticket.spend(frame)
        self._began = self._clock.now()

    def read(self, timeout: float) -> NDArray[np.uint16]:
        self.reads.append(timeout)
        self._clock.sleep(timeout)
        due = min(int((self._clock.now() - self._began) / SMALL.dwell), self._count)
        if due < self._count:
            due -= due % self._piece
        if timeout > 0.0:
            due = min(due, self._count - self._late)
        piece = IMAGE[self._sent : due]
        self._sent = due
        return piece

    def finished(self) -> bool:
        return self._sent == self._count - self._late


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path / "control")
    desk.running()
    return desk


@pytest.fixture
def passport(tmp_path: Path) -> Path:
    return tmp_path / "passport.jsonl"


@pytest.fixture
def ledger(passport: Path) -> Iterator[Ledger]:
    with opened(passport) as ledger:
        yield ledger


@pytest.fixture
def ticket(ledger: Ledger) -> Ticket:
    return ledger.reserve("interface", SMALL, HERE, "r-1", step="stem_image")


class Image:
    """The pixels of a frame, as they came."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, NDArray[np.uint16]]] = []

    def __call__(self, first: int, values: NDArray[np.uint16]) -> None:
        self.pieces.append((first, values))

    @property
    def whole(self) -> NDArray[np.uint16]:
        return np.concatenate([values for _, values in self.pieces])


@pytest.mark.parametrize(("piece", "late"), [(1, 0), (7, 0), (200, 0), (7, 3)])
def test_every_pixel_arrives_once_and_in_order(
    desk: Desk, ledger: Ledger, ticket: Ticket, piece: int, late: int
) -> None:
    image = Image()
    expose(Box(desk.clock, piece=piece, late=late), ledger, ticket, desk.control, pixels=image)
    assert image.whole.tolist() == IMAGE.tolist()
    starts = [first for first, _ in image.pieces]
    assert starts[0] == 0
    assert np.diff([*starts, SMALL.count]).tolist() == [len(values) for _, values in image.pieces]


def test_a_whole_frame_is_settled_at_its_upper_bound(
    desk: Desk, ledger: Ledger, ticket: Ticket, passport: Path
) -> None:
    delivered = expose(Box(desk.clock), ledger, ticket, desk.control, pixels=Image())
    assert delivered.charged == BELIEF.highest_fluence(SMALL)
    assert delivered.seconds == pytest.approx(2.0, abs=2 * LISTEN)
    assert [entry["kind"] for entry in read_chain(passport)] == ["reserve", "settle"]


def test_listeners_are_read_in_turn_with_the_pixels(desk: Desk, ledger: Ledger, ticket: Ticket) -> None:
    heard: list[str] = []
    box = Box(desk.clock)
    listeners = [lambda: heard.append("eds"), lambda: heard.append("camera")]
    expose(box, ledger, ticket, desk.control, pixels=Image(), listeners=listeners)
    rounds = len(box.reads) - 1  # the last read asks only for what is left over
    assert rounds == pytest.approx(2.0 / LISTEN, abs=2)
    assert heard == ["eds", "camera"] * rounds
    assert set(box.reads) == {LISTEN, 0.0}


def test_an_abort_in_the_middle_counts_in_full(desk: Desk, ledger: Ledger, ticket: Ticket, passport: Path) -> None:
    def listen() -> None:
        if desk.clock.now() > 1.0:
            desk.control.ask_abort("Ctrl-C twice")

    image = Image()
    with pytest.raises(Aborted):
        expose(Box(desk.clock), ledger, ticket, desk.control, pixels=image, listeners=[listen])
    assert 0 < len(image.whole) < SMALL.count
    assert desk.clock.now() < 1.0 + 2 * LISTEN
    assert [entry["kind"] for entry in read_chain(passport)] == ["reserve"]
    assert ledger.spent("interface")[0] == BELIEF.highest_fluence(SMALL)
    with pytest.raises(TicketError):
        ticket.spend(SMALL)


def test_a_pause_waits_for_the_end_of_the_frame(desk: Desk, ledger: Ledger, ticket: Ticket) -> None:
    desk.control.interrupt()
    expose(Box(desk.clock), ledger, ticket, desk.control, pixels=Image())
    assert desk.states == [State.RUNNING]
    assert desk.control.pause_asked


def test_a_watch_that_latches_ends_the_exposure_unsettled(
    desk: Desk, ledger: Ledger, ticket: Ticket, passport: Path
) -> None:
    desk.control.watch("cryostat", 1.0, lambda: Trip("140.0 K", latch=True) if desk.clock.now() > 1.0 else None)
    with pytest.raises(InterlockError):
        expose(Box(desk.clock), ledger, ticket, desk.control, pixels=Image())
    assert desk.blanked == [State.RUNNING]
    assert [entry["kind"] for entry in read_chain(passport)] == ["reserve"]


def test_a_listener_that_fails_leaves_the_ticket_unsettled(
    desk: Desk, ledger: Ledger, ticket: Ticket, passport: Path
) -> None:
    def deaf() -> None:
        raise LinkTimeout("no complete answer", device="eds")

    with pytest.raises(LinkTimeout):
        expose(Box(desk.clock), ledger, ticket, desk.control, pixels=Image(), listeners=[deaf])
    assert [entry["kind"] for entry in read_chain(passport)] == ["reserve"]


def test_a_frame_with_missing_pixels_is_never_settled(
    desk: Desk, ledger: Ledger, ticket: Ticket, passport: Path
) -> None:
    with pytest.raises(DeviceError, match="brought 197 pixels of the 200 of exposure r-1"):
        expose(Box(desk.clock, lost=3), ledger, ticket, desk.control, pixels=Image())
    assert [entry["kind"] for entry in read_chain(passport)] == ["reserve"]


def test_a_used_ticket_opens_no_beam(desk: Desk, passport: Path) -> None:
    notes = Notes()
    with opened(passport, notes=notes) as ledger:
        ticket = ledger.reserve("interface", SMALL, HERE, "r-1", step="stem_image")
        expose(Box(desk.clock), ledger, ticket, desk.control, pixels=Image())
        box, image = Box(desk.clock), Image()
        with pytest.raises(TicketError):
            expose(box, ledger, ticket, desk.control, pixels=image)
    assert (box.reads, image.pieces) == ([], [])
    assert notes.kinds == ["reserve", "begin", "settle"]


# --- where the sample is believed to stand

DRIFT = 300 * NM / 3600.0


def tracker(now: float = 0.0) -> Tracker:
    return Tracker(position=4 * NM, drift=DRIFT, now=now)


def test_the_sample_is_less_and_less_surely_where_it_was_seen() -> None:
    followed = tracker()
    assert followed.aim(0.0) == Aim((0.0, 0.0), 4 * NM)
    assert followed.aim(3600.0).margin == pytest.approx(304 * NM)


def test_a_sighting_moves_the_aim_and_makes_it_sure_again() -> None:
    followed = tracker()
    followed.sighted((3 * NM, -1 * NM), 600.0, unsure=5 * NM)
    followed.sighted((1 * NM, 1 * NM), 1200.0, unsure=4 * NM)
    assert followed.aim(1200.0).offset == pytest.approx((4 * NM, 0.0))
    assert followed.aim(1200.0).margin == 4 * NM


def test_a_registration_makes_no_surer_than_the_image_it_was_made_against() -> None:
    followed = tracker()
    reference = followed.aim(360.0).margin  # the first pass of a map, six minutes after first light
    followed.sighted((2 * NM, 0.0), 400.0, unsure=reference)
    assert followed.aim(400.0).margin == pytest.approx(34 * NM)


def test_a_direction_that_no_registration_told_stays_as_unsure_as_it_was() -> None:
    followed = tracker()
    followed.sighted((2 * NM, 0.0), 3600.0, unsure=None)
    assert followed.aim(3600.0) == Aim((2 * NM, 0.0), followed.aim(0.0).margin + 300 * NM)


def test_first_light_is_the_origin() -> None:
    followed = tracker()
    followed.sighted((3 * NM, -1 * NM), 600.0, unsure=4 * NM)
    followed.first_light(7200.0)
    assert followed.aim(7200.0) == Aim((0.0, 0.0), 4 * NM)


def test_what_was_known_before_a_crash_is_as_old_as_it_is() -> None:
    followed = tracker(now=9000.0)
    followed.last = Sighting((5 * NM, 0.0), 5400.0, 4 * NM)
    assert followed.aim(9000.0).offset == (5 * NM, 0.0)
    assert followed.aim(9000.0).margin == pytest.approx(304 * NM)


def test_a_clock_that_stepped_back_makes_nothing_surer() -> None:
    assert tracker(now=100.0).aim(50.0).margin == 4 * NM


@settings(max_examples=40)
@given(
    sightings=st.lists(st.tuples(st.floats(1.0, 600.0), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)), max_size=8),
    later=st.floats(0.0, 3600.0),
)
def test_a_sample_that_drifts_within_the_bound_is_within_the_margin(
    sightings: list[tuple[float, float, float]], later: float
) -> None:
    clock, followed = VirtualClock(), tracker()
    place = [0.0, 0.0]
    for seconds, x, y in (*sightings, (later, 1.0, -1.0)):
        aim = followed.aim(clock.now())
        clock.sleep(seconds)
        place = [p + speed * DRIFT * seconds for p, speed in zip(place, (x, y), strict=True)]
        off = [p - believed for p, believed in zip(place, aim.offset, strict=True)]
        assert max(map(abs, off)) <= followed.aim(clock.now()).margin * (1 + 1e-9)
        followed.sighted((off[0], off[1]), clock.now(), unsure=0.0)
