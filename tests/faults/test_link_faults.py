"""Every fault a line can have ends, in time, in a named error or the right value; never in a wrong one or a hang."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock import VirtualClock
from drivers.errors import LinkClosed, LinkTimeout, WireError
from drivers.links import Fault, FaultKind, FaultyLink, MemoryLink, one_of_each
from tests.drivers.toy_box import TEMPERATURES, Toy, ToyBox

NAMED = (LinkTimeout, LinkClosed, WireError)
LONGEST = 4 * 0.5 + 1e-9  # s: a safe question, the resync before each of its tries, and both answers


class Bench:
    """A toy driver on a toy box over a faulty line, in virtual time."""

    def __init__(self, *faults: Fault, seed: int = 7) -> None:
        self.clock = VirtualClock()
        self.box = ToyBox(self.clock)
        self.link = FaultyLink(MemoryLink("toy", self.box, self.clock), faults, seed=seed)
        self.toy = Toy(self.link)

    def timed(self, ask: Callable[[], float]) -> float | None:
        """What was answered, or None where a named error was raised; fails when it took too long."""
        began = self.clock.now()
        try:
            answer = ask()
        except NAMED as error:
            assert error.device == "toy"
            assert error.action
            answer = None
        assert self.clock.now() - began <= LONGEST
        assert not self.link.in_transaction
        return answer


def name_of(fault: Fault) -> str:
    late = f"-{fault.seconds:g}s" if fault.seconds else ""
    return (
        f"{fault.kind}{late}{f'-after-{fault.after}' if fault.after else ''}-{'forever' if fault.forever else 'once'}"
    )


def faults(transfer: int = 1) -> list[Fault]:
    return one_of_each(transfer) + one_of_each(transfer, forever=True)


def test_one_of_each_holds_every_kind_there_is() -> None:
    assert {fault.kind for fault in one_of_each()} == set(FaultKind)


@pytest.mark.parametrize("transfer", range(1, 9))
@pytest.mark.parametrize("fault", faults(), ids=name_of)
def test_a_fault_ends_in_a_named_error_or_the_right_value_in_time(fault: Fault, transfer: int) -> None:
    struck = Fault(fault.kind, transfer, fault.forever, fault.after, fault.seconds, fault.longest)
    for seed in range(6):
        bench = Bench(struck, seed=seed)
        for node in "ABABAB":
            assert bench.timed(lambda node=node, bench=bench: bench.toy.temperature(node)) in (TEMPERATURES[node], None)


@pytest.mark.parametrize(
    "fault", [f for f in one_of_each(3) if f.kind not in (FaultKind.CLOSE, FaultKind.STALL)], ids=name_of
)
def test_a_single_fault_costs_a_safe_question_nothing_but_time(fault: Fault) -> None:
    bench = Bench(fault)
    for node in "ABABAB":
        assert bench.toy.temperature(node) == TEMPERATURES[node]


@pytest.mark.parametrize("fault", faults(), ids=name_of)
def test_no_fault_makes_the_box_hear_a_consuming_question_or_an_action_twice(fault: Fault) -> None:
    bench = Bench(fault)
    bench.timed(bench.toy.events)
    bench.timed(lambda: bench.toy.go(5) or 0.0)
    heard = Counter(bench.box.heard)
    assert heard["E?"] <= 1
    assert heard["GO 5"] <= 1


@pytest.mark.parametrize("fault", faults(), ids=name_of)
def test_no_fault_makes_the_box_hear_a_safe_question_more_than_twice(fault: Fault) -> None:
    bench = Bench(fault)
    bench.timed(lambda: bench.toy.temperature("A"))
    assert Counter(bench.box.heard)["T? A"] <= 2


@pytest.mark.parametrize("fault", faults(3), ids=name_of)
def test_the_same_seed_gives_the_same_faults(fault: Fault) -> None:
    def run(seed: int) -> list[object]:
        bench = Bench(fault, seed=seed)
        return [(bench.timed(lambda node=node: bench.toy.temperature(node)), bench.clock.now()) for node in "ABAB"]

    assert run(3) == run(3)


FAULTS = st.builds(
    Fault,
    st.sampled_from(FaultKind),
    st.integers(1, 8),
    st.booleans(),
    st.integers(0, 12),
    # an answer that comes twice, the second time after the next question, cannot be told on a wire without names
    st.just(0.0),
    st.integers(1, 10),
)


@settings(max_examples=80)
@given(st.lists(FAULTS, min_size=1, max_size=4), st.integers(0, 1000))
def test_several_faults_at_once_end_in_a_named_error_or_the_right_value_in_time(
    declared: list[Fault], seed: int
) -> None:
    bench = Bench(*declared, seed=seed)
    for node in "ABBA":
        assert bench.timed(lambda node=node: bench.toy.temperature(node)) in (TEMPERATURES[node], None)


def reply(fault: Fault, *, seed: int = 1) -> tuple[list[bytes], float]:
    """What comes of an answer of 15 bytes, read by read until half a second of silence, and when the last came."""
    bench = Bench(fault, seed=seed)
    bench.link.write(b"T? A\n")
    pieces, last = [], 0.0
    while piece := bench.link.read(0.5):
        pieces.append(piece)
        last = bench.clock.now()
    return pieces, last


ANSWER = b"T +77.350*0467\n"


def test_a_lost_request_never_reaches_the_box() -> None:
    bench = Bench(Fault(FaultKind.LOSS))
    with pytest.raises(LinkTimeout):
        bench.toy.go(5)
    assert bench.box.heard == []


def test_behind_a_lost_answer_the_box_has_acted() -> None:
    bench = Bench(Fault(FaultKind.SILENCE))
    with pytest.raises(LinkTimeout):
        bench.toy.events()
    assert bench.box.events == 0


def test_a_delayed_answer_is_whole_and_late() -> None:
    pieces, last = reply(Fault(FaultKind.DELAY, seconds=0.3))
    assert pieces == [ANSWER]
    assert last == pytest.approx(0.31)


def test_nothing_overtakes_a_delayed_answer() -> None:
    bench = Bench(Fault(FaultKind.DELAY, seconds=0.3))
    bench.link.write(b"T? A\n")
    assert bench.link.read(0.1) == b""
    bench.link.write(b"E?\n")
    assert [bench.link.read(0.5), bench.link.read(0.5)] == [ANSWER, b"E 3*0152\n"]
    assert bench.clock.now() == pytest.approx(0.31)


def test_a_truncated_answer_lacks_its_end() -> None:
    for seed in range(20):
        whole = b"".join(reply(Fault(FaultKind.TRUNCATION), seed=seed)[0])
        assert ANSWER.startswith(whole)
        assert whole != ANSWER


def test_a_garbled_answer_differs_in_one_bit() -> None:
    for seed in range(20):
        [garbled], _ = reply(Fault(FaultKind.GARBLE), seed=seed)
        assert sum((a ^ b).bit_count() for a, b in zip(garbled, ANSWER, strict=True)) == 1


def test_an_answer_may_come_twice() -> None:
    pieces, last = reply(Fault(FaultKind.TWICE, seconds=0.2))
    assert pieces == [ANSWER, ANSWER]
    assert last == pytest.approx(0.21)


def test_an_answer_in_slices_is_complete_and_spread_out() -> None:
    pieces, last = reply(Fault(FaultKind.SLICES, longest=4, seconds=0.01))
    assert b"".join(pieces) == ANSWER
    assert {len(piece) for piece in pieces} <= {1, 2, 3, 4}
    assert last == pytest.approx(0.01 + 0.01 * (len(pieces) - 1))


def test_garbage_comes_before_the_whole_answer() -> None:
    (garbage, whole), _ = reply(Fault(FaultKind.GARBAGE, longest=8))
    assert 1 <= len(garbage) <= 8
    assert whole == ANSWER


def test_a_stalled_answer_breaks_off_and_then_the_line_is_lost() -> None:
    bench = Bench(Fault(FaultKind.STALL, after=7, seconds=0.3))
    bench.link.write(b"T? A\n")
    assert bench.link.read(0.5) == ANSWER[:7]
    with pytest.raises(LinkClosed, match="the link toy was lost"):
        bench.link.read(0.5)
    assert bench.clock.now() == pytest.approx(0.31)


def test_jitter_makes_an_answer_late_by_no_more_than_told() -> None:
    lates = {reply(Fault(FaultKind.JITTER, seconds=0.2), seed=seed)[1] for seed in range(20)}
    assert len(lates) == 20
    assert 0.01 <= min(lates) < max(lates) <= 0.21


def test_a_datagram_may_come_after_the_one_behind_it() -> None:
    class Three:
        def __init__(self) -> None:
            self.coming: list[bytes] = []

        def connected(self) -> None: ...
        def receive(self, data: bytes) -> None:
            self.coming = [b"1", b"2", b"3"]

        def disconnected(self) -> None: ...
        def due(self) -> float | None:
            return 0.0

        def send(self) -> bytes:
            return self.coming.pop(0) if self.coming else b""

    link = FaultyLink(MemoryLink("three", Three(), VirtualClock()), [Fault(FaultKind.REORDER)], seed=1)
    link.write(b"?")
    assert [link.read(0.1) for _ in range(3)] == [b"2", b"1", b"3"]


@pytest.mark.parametrize("after", [0, 1, 7, 15])
def test_a_line_is_lost_after_exactly_so_many_bytes(after: int) -> None:
    bench = Bench(Fault(FaultKind.CLOSE, after=after))
    bench.link.write(b"T? A\n")
    heard = b""
    with pytest.raises(LinkClosed, match="the link toy was lost"):
        while True:
            heard += bench.link.read(0.5)
    assert heard == ANSWER[:after]
    assert bench.box.connections == 0


@pytest.mark.parametrize("kind", [FaultKind.SILENCE, FaultKind.GARBLE, FaultKind.TRUNCATION])
def test_a_long_answer_may_be_struck_in_its_middle(kind: FaultKind) -> None:
    heard = b"".join(reply(Fault(kind, after=9))[0])
    assert heard[:9] == ANSWER[:9]
    assert heard != ANSWER


def test_a_fault_strikes_once_or_for_ever_from_its_transfer_on() -> None:
    once, forever = Fault(FaultKind.LOSS, 3), Fault(FaultKind.LOSS, 3, forever=True)
    assert [once.strikes(n) for n in range(1, 6)] == [False, False, True, False, False]
    assert [forever.strikes(n) for n in range(1, 6)] == [False, False, True, True, True]


def test_a_faulty_link_counts_its_transfers() -> None:
    bench = Bench()
    bench.toy.temperature("A")
    bench.toy.go(1)
    assert bench.link.transfers == 2


@pytest.mark.parametrize(
    "wrong", [{"transfer": 0}, {"after": -1}, {"longest": 0}, {"seconds": -1.0}, {"seconds": float("nan")}]
)
def test_a_fault_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Fault(FaultKind.DELAY, **wrong)  # type: ignore[arg-type]
