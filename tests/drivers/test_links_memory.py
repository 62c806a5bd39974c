"""The rules every link obeys, tried on the link to a simulated box."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock import VirtualClock
from drivers.errors import Aborted, LinkClosed, WireError
from drivers.links import LONGEST_WAIT, AbortFlag, MemoryLink
from tests.drivers.toy_box import ToyBox


class Kettle:
    """A peer that sends `data` at `moment`, or only promises to."""

    def __init__(self, moment: float | None, data: bytes = b"steam") -> None:
        self.moment = moment
        self.data = data

    def connected(self) -> None: ...

    def receive(self, data: bytes) -> None: ...

    def due(self) -> float | None:
        return self.moment

    def send(self) -> bytes:
        if self.data:
            self.moment = None
        return self.data

    def disconnected(self) -> None: ...


class StopPressed(VirtualClock):
    """Somebody presses stop at `moment` of the wait."""

    def __init__(self, flag: AbortFlag, moment: float) -> None:
        super().__init__()
        self._flag = flag
        self._moment = moment

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.now() >= self._moment:
            self._flag.set()


@pytest.mark.parametrize("seconds", [0.5000001, 5.0, -0.1, math.nan, math.inf])
def test_a_link_never_waits_longer_than_half_a_second(seconds: float) -> None:
    clock = VirtualClock()
    link = MemoryLink("kettle", Kettle(None), clock)
    with pytest.raises(ValueError, match=r"at most 0\.5 s"):
        link.read(seconds)
    with pytest.raises(ValueError, match=r"at most 0\.5 s"):
        link.rest(seconds)
    assert clock.now() == 0.0


@settings(max_examples=60)
@given(start=st.floats(0, 1e6), wait=st.floats(0, LONGEST_WAIT))
def test_waiting_moves_the_clock_to_the_next_byte_due_and_no_further(start: float, wait: float) -> None:
    clock = VirtualClock()
    clock.sleep(start)
    due = start + wait
    link = MemoryLink("kettle", Kettle(due), clock)
    assert link.read(LONGEST_WAIT) == b"steam"
    assert due <= clock.now() <= math.nextafter(due, math.inf)


@settings(max_examples=60)
@given(start=st.floats(0, 1e6), timeout=st.floats(0, LONGEST_WAIT))
def test_waiting_in_vain_moves_the_clock_to_the_time_out_and_no_further(start: float, timeout: float) -> None:
    clock = VirtualClock()
    clock.sleep(start)
    link = MemoryLink("kettle", Kettle(start + 1.0), clock)
    assert link.read(timeout) == b""
    assert start + timeout <= clock.now() <= math.nextafter(start + timeout, math.inf)


def test_bytes_that_are_already_there_cost_no_time() -> None:
    clock = VirtualClock()
    link = MemoryLink("kettle", Kettle(0.0), clock)
    assert link.read(LONGEST_WAIT) == b"steam"
    assert clock.now() == 0.0


def test_a_box_that_promises_bytes_and_sends_none_is_waited_for_until_the_time_out() -> None:
    clock = VirtualClock()
    link = MemoryLink("kettle", Kettle(0.1, b""), clock)
    assert link.read(0.3) == b""
    assert clock.now() == pytest.approx(0.3)


@pytest.mark.parametrize("what", ["read", "write", "rest", "drain"])
def test_a_link_does_nothing_once_abort_is_set(what: str) -> None:
    flag, clock = AbortFlag(), VirtualClock()
    box = ToyBox(clock)
    link = MemoryLink("toy", box, clock, flag)
    flag.set()
    do = {"read": lambda: link.read(0.1), "write": lambda: link.write(b"GO 1\n"), "rest": lambda: link.rest(0.1)}
    with pytest.raises(Aborted, match="toy"):
        do.get(what, link.drain)()
    assert box.heard == []
    assert clock.now() == 0.0


@pytest.mark.parametrize("wait", [lambda link: link.read(0.5), lambda link: link.rest(0.5)])
def test_an_abort_is_seen_within_50_ms_by_a_waiting_link(wait) -> None:  # type: ignore[no-untyped-def]
    flag = AbortFlag()
    clock = StopPressed(flag, 0.12)
    link = MemoryLink("kettle", Kettle(None), clock, flag)
    with pytest.raises(Aborted):
        wait(link)
    assert clock.now() <= 0.12 + 0.05


def test_the_rig_can_be_made_safe_although_an_abort_is_due() -> None:
    flag, clock = AbortFlag(), VirtualClock()
    box = ToyBox(clock)
    link = MemoryLink("toy", box, clock, flag)
    flag.set()
    with flag.ignored(), flag.ignored():
        link.write(b"GO 0\n")
    assert box.heard == ["GO 0"]
    assert flag.is_set()


def test_transactions_never_nest() -> None:
    link = MemoryLink("kettle", Kettle(None), VirtualClock())
    with link.transaction(), pytest.raises(RuntimeError, match="inside another"), link.transaction():
        pass
    assert not link.in_transaction


def test_a_transaction_that_failed_is_over() -> None:
    link = MemoryLink("kettle", Kettle(None), VirtualClock())
    with pytest.raises(ZeroDivisionError), link.transaction():
        assert link.in_transaction
        raise ZeroDivisionError
    assert not link.in_transaction


def test_a_closed_link_says_so_and_lets_go_of_the_box_once() -> None:
    clock = VirtualClock()
    box = ToyBox(clock)
    link = MemoryLink("toy", box, clock)
    link.close()
    link.close()
    assert box.connections == 0
    for do in (lambda: link.read(0.0), lambda: link.write(b"GO 1\n"), lambda: link.rest(0.0)):
        with pytest.raises(LinkClosed, match="the link toy is closed"):
            do()


def test_draining_takes_all_that_arrived_and_does_not_wait() -> None:
    clock = VirtualClock()
    box = ToyBox(clock)
    link = MemoryLink("toy", box, clock)
    for data in (b"a", b"b"):
        box.say(data)
    box.say(b"c", later=0.01)
    assert link.drain() == b"ab"
    assert clock.now() == 0.0


def test_a_box_that_never_stops_talking_is_an_error_and_not_a_hang() -> None:
    class Babbler(Kettle):
        def send(self) -> bytes:
            return bytes(65536)

    link = MemoryLink("babbler", Babbler(0.0), VirtualClock())
    with pytest.raises(WireError, match="nobody asked for"):
        link.drain()
