"""One question, one answer."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock import VirtualClock
from drivers.errors import Aborted, LinkClosed, LinkTimeout, WireError
from drivers.links import AbortFlag, Exchange, MemoryLink
from tests.drivers.toy_box import TEMPERATURES, Toy, ToyBox, ToySplitter, signed


class Bench:
    """A toy driver on a toy box in virtual time."""

    def __init__(self, *, spacing: float = 0.0, timeout: float = 0.5) -> None:
        self.clock = VirtualClock()
        self.flag = AbortFlag()
        self.box = ToyBox(self.clock)
        self.link = MemoryLink("toy", self.box, self.clock, self.flag)
        self.toy = Toy(self.link, spacing=spacing, timeout=timeout)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_answer_comes_as_soon_as_the_box_gives_it(bench: Bench) -> None:
    assert bench.toy.temperature("A") == 77.350
    assert bench.clock.now() == pytest.approx(bench.box.latency)


def test_an_answer_in_single_bytes_is_the_same_answer(bench: Bench) -> None:
    bench.box.slow.append(1.0)  # its own answer would come too late
    for place, byte in enumerate(signed("T +77.350")):
        bench.box.say(bytes([byte]), 0.001 * (place + 1))
    assert bench.toy.temperature("B") == 77.350


def test_a_silent_box_is_a_time_out_that_names_device_and_action(bench: Bench) -> None:
    bench.box.slow.append(10.0)
    with pytest.raises(LinkTimeout, match=r"^toy: events got no answer in 0\.5 s\. Is the box on"):
        bench.toy.events()
    assert bench.clock.now() == pytest.approx(0.5)


@pytest.mark.parametrize("timeout", [0.0, -1.0, 0.51, float("nan")])
def test_an_exchange_waits_at_most_half_a_second_for_an_answer(bench: Bench, timeout: float) -> None:
    with pytest.raises(ValueError, match=r"at most 0\.5 s"):
        Exchange(bench.link, ToySplitter(), device="toy", timeout=timeout)


def test_a_safe_question_is_asked_once_more_and_then_answered(bench: Bench) -> None:
    bench.box.slow.append(0.7)
    assert bench.toy.temperature("A") == 77.350
    assert bench.box.heard == ["T? A", "ID? 1", "T? A"]


def test_a_safe_question_is_asked_twice_at_most(bench: Bench) -> None:
    bench.box.slow.extend([0.6, 0.0, 0.6])
    with pytest.raises(LinkTimeout):
        bench.toy.temperature("A")
    assert bench.box.heard == ["T? A", "ID? 1", "T? A"]


def test_a_consuming_question_is_never_asked_again(bench: Bench) -> None:
    bench.box.slow.append(0.7)
    with pytest.raises(LinkTimeout):
        bench.toy.events()
    assert bench.box.heard == ["E?"]


def test_a_consuming_question_with_a_broken_answer_is_never_asked_again(bench: Bench) -> None:
    bench.box.slow.append(1.0)
    bench.box.say(b"E 3*0000\n", 0.01)
    with pytest.raises(WireError, match="toy: events"):
        bench.toy.events()
    assert bench.box.heard == ["E?"]


def test_a_broken_answer_to_a_safe_question_is_asked_for_again(bench: Bench) -> None:
    bench.box.slow.append(0.02)
    bench.box.say(b"T +99.999*0000\n", 0.01)
    assert bench.toy.temperature("A") == 77.350


def test_a_late_answer_is_not_taken_for_the_next_one(bench: Bench) -> None:
    bench.box.slow.append(0.55)
    with pytest.raises(LinkTimeout):
        bench.toy.events()
    assert bench.toy.temperature("A") == 77.350
    assert bench.toy.temperature("B") == 192.100


@settings(max_examples=40)
@given(delays=st.lists(st.floats(0.0, 1.4), min_size=1, max_size=12), nodes=st.lists(st.sampled_from("AB"), min_size=6))
def test_however_late_the_answers_no_node_gets_the_temperature_of_the_other(
    delays: list[float], nodes: list[str]
) -> None:
    bench = Bench()
    bench.box.slow.extend(delays)
    for node in nodes:
        before = bench.clock.now()
        with suppress(LinkTimeout):
            assert bench.toy.temperature(node) == TEMPERATURES[node]
        assert bench.clock.now() - before <= 4 * 0.5 + 1e-9  # the question and the resync, twice each


def test_an_answer_nobody_waited_for_is_thrown_away(bench: Bench) -> None:
    bench.box.say(signed("T +99.999"))
    assert bench.toy.temperature("A") == 77.350


def test_the_answer_to_a_question_broken_off_by_an_abort_is_not_taken_for_the_next_one(bench: Bench) -> None:
    class Press(ToyBox):
        def receive(self, data: bytes) -> None:
            super().receive(data)
            bench.flag.set()

    box = Press(bench.clock, latency=0.2)
    toy = Toy(MemoryLink("toy", box, bench.clock, bench.flag))
    with pytest.raises(Aborted, match="toy: temperature"):
        toy.temperature("B")
    with bench.flag.ignored():  # as when the rig is made safe
        assert toy.temperature("A") == 77.350


def test_a_line_that_cannot_be_brought_in_step_takes_no_action(bench: Bench) -> None:
    bench.box.slow.extend([5.0])
    with pytest.raises(LinkTimeout):
        bench.toy.events()
    with pytest.raises(LinkTimeout, match="toy: "):
        bench.toy.go(5)
    assert "GO 5" not in bench.box.heard


def test_a_lost_line_names_device_and_action_and_is_not_tried_again(bench: Bench) -> None:
    bench.link.close()
    with pytest.raises(LinkClosed, match="toy: temperature"):
        bench.toy.temperature("A")
    assert bench.box.heard == []


def test_messages_keep_the_spacing_the_box_needs() -> None:
    bench = Bench(spacing=0.05)
    bench.toy.go(1)
    bench.toy.temperature("A")
    assert bench.box.heard_at == pytest.approx([0.0, bench.box.latency + 0.05])


def test_the_link_is_in_a_transaction_from_question_to_answer_and_not_between(bench: Bench) -> None:
    seen = []

    class Watching(ToyBox):
        def receive(self, data: bytes) -> None:
            seen.append(link.in_transaction)
            super().receive(data)

        def send(self) -> bytes:
            seen.append(link.in_transaction)
            return super().send()

    link = MemoryLink("toy", Watching(bench.clock), bench.clock)
    toy = Toy(link)
    toy.temperature("A")
    assert seen
    assert all(seen)
    assert not link.in_transaction


def test_no_transaction_stays_open_after_a_failure(bench: Bench) -> None:
    bench.box.slow.append(0.7)
    with pytest.raises(LinkTimeout):
        bench.toy.events()
    assert not bench.link.in_transaction


def test_a_control_wait_inside_a_transaction_is_refused(bench: Bench) -> None:
    def wait(seconds: float) -> None:  # as the rig wraps it
        if bench.link.in_transaction:
            raise RuntimeError("a control wait inside a transaction")
        bench.clock.sleep(seconds)

    wait(1.0)
    bench.toy.temperature("A")
    wait(1.0)
    with bench.link.transaction(), pytest.raises(RuntimeError, match="control wait"):
        wait(1.0)


def test_a_box_that_keeps_talking_cannot_hold_up_the_resync_for_ever(bench: Bench) -> None:
    bench.box.slow.append(100.0)
    for tick in range(200):
        bench.box.say(signed(f"T +{tick}"), 0.6 + 0.1 * tick)
    with pytest.raises(LinkTimeout):
        bench.toy.events()
    with pytest.raises(LinkTimeout):
        bench.toy.events()
    assert bench.clock.now() == pytest.approx(1.0)
