"""Every fault on the line of a stage or a needle ends, in time, in a named error or the right value.

Never in a wrong value, a hang, or a motion that the box was told twice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock import VirtualClock
from drivers.errors import DeviceError, LinkError, Refused, RigError, WireError
from drivers.links import Fault, FaultKind, FaultyLink, Link, Peer, one_of_each
from drivers.pose import Pose
from tests.drivers.needle_bench import NeedleBench, needle_bench
from tests.drivers.stage_bench import ORIGIN, THERE, StageBench, apart, stage_bench

NAMED = (LinkError, WireError, DeviceError, Refused)
ASKED = 2.1  # s: a question, its resync and its second try, at most
STOPPED = 5 * ASKED  # a motion stops when it fails
NEAR = replace(ORIGIN, x=0.2e-3, tilt=-0.01)


class Heard:
    """Keeps what reaches a box."""

    def __init__(self, box: Peer) -> None:
        self._box = box
        self.data = b""

    def connected(self) -> None:
        self._box.connected()

    def disconnected(self) -> None:
        self._box.disconnected()

    def receive(self, data: bytes) -> None:
        self.data += data
        self._box.receive(data)

    def due(self) -> float | None:
        return self._box.due()

    def send(self) -> bytes:
        return self._box.send()


class Session:
    """What is asked of a device over a broken line, each within its time."""

    def __init__(self, clock: VirtualClock, device: str) -> None:
        self.clock = clock
        self.device = device
        self.failed = 0

    def asks(self, act: Callable[[], object], seconds: float) -> object:
        """What came of it; None where a named error was raised. Fails when it took too long."""
        began = self.clock.now()
        try:
            found = act()
        except NAMED as error:
            assert error.device == self.device
            assert error.action
            self.failed += 1
            found = None
        assert self.clock.now() - began <= seconds
        return found


def name_of(fault: Fault) -> str:
    late = f"-{fault.seconds:g}s" if fault.seconds else ""
    return f"{fault.kind}{late}-{'forever' if fault.forever else 'once'}"


LATER = Fault(FaultKind.TWICE, seconds=0.2)  # the second time while something else is asked
ONCE = [*one_of_each(), LATER]
FAULTS = [*ONCE, *one_of_each(forever=True), replace(LATER, forever=True)]
# a line that is not lost by it
PASSING = [fault for fault in ONCE if fault.kind not in (FaultKind.CLOSE, FaultKind.STALL)]


def at(fault: Fault, transfer: int) -> Fault:
    return replace(fault, transfer=transfer)


def broken_stage(*faults: Fault, seed: int = 1, referenced: bool = True) -> tuple[StageBench, Heard]:
    """A stage on such a line; its axes found their references before the line broke."""
    boxes: list[Heard] = []
    lines: list[FaultyLink] = []

    def between(server: Peer) -> Heard:
        boxes.append(Heard(server))
        return boxes[0]

    def around(link: Link) -> Link:
        lines.append(FaultyLink(link, faults, seed=seed))
        return lines[0]

    bench = stage_bench(between=between, around=around)
    for axis in bench.world.stage.axes.values() if referenced else ():
        axis.switch(True, 0.0)
        axis.find_reference(0.0)
    bench.clock.sleep(60.0)
    bench.world.catch_up()
    return bench, boxes[0]


def encoder(bench: StageBench) -> Pose:
    """Where the controller would say the stage is, without the jitter."""
    bench.world.catch_up()
    now = bench.clock.now()
    return Pose(**{name: axis.true(now) - axis._offset for name, axis in bench.world.stage.axes.items()})


def use_stage(bench: StageBench) -> Session:
    """Open, move, look, move again, stop; every value that is told must be the true one."""
    session = Session(bench.clock, "stage")
    session.asks(bench.stage.open, 9 * ASKED)
    for pose in (NEAR, ORIGIN, NEAR):
        done = session.failed
        session.asks(lambda pose=pose: bench.stage.move_to(pose), 20.0 + STOPPED)  # type: ignore[misc]
        if session.failed == done:
            assert apart(encoder(bench), pose) < (2e-6, 2e-4)
        told = session.asks(bench.stage.position, 2 * ASKED)
        if isinstance(told, Pose):
            assert apart(told, encoder(bench)) < (2e-6, 2e-4)
    session.asks(bench.stage.status, ASKED)
    session.asks(bench.stage.stop, STOPPED)
    assert not bench.link.in_transaction
    return session


@pytest.mark.parametrize("fault", FAULTS, ids=name_of)
def test_a_fault_on_the_line_of_a_stage_is_a_named_error_or_nothing(fault: Fault) -> None:
    for transfer, seed in product((1, 2, 5, 8, 9, 10, 11, 15, 20), range(2)):
        bench, box = broken_stage(at(fault, transfer), seed=seed)
        use_stage(bench)
        moves = Counter(line for line in box.data.split(b"\n") if b"MOV " in line)
        assert sum(moves.values()) <= 3
        assert max(moves.values(), default=0) <= 2  # the same pose is asked for twice


@pytest.mark.parametrize("fault", PASSING, ids=name_of)
def test_after_a_single_fault_a_stage_works_again(fault: Fault) -> None:
    for transfer in range(8, 20, 2):
        bench, _ = broken_stage(at(fault, transfer))
        bench.stage.open()
        session = Session(bench.clock, "stage")
        session.asks(lambda bench=bench: bench.stage.move_to(NEAR), 30.0)  # type: ignore[misc]
        bench.stage.make_safe()
        bench.stage.move_to(ORIGIN)
        assert apart(bench.stage.position(), ORIGIN) < (2e-6, 2e-4)


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.kind in (FaultKind.LOSS, FaultKind.SILENCE)], ids=name_of)
def test_whatever_is_lost_a_stage_that_failed_was_told_to_stop(fault: Fault) -> None:
    for transfer in range(9, 16):
        bench, box = broken_stage(at(fault, transfer))
        bench.stage.open()
        try:
            bench.stage.move_to(THERE)
        except RigError:
            if b"MOV 1" in box.data and not (fault.kind is FaultKind.LOSS and fault.forever):
                assert box.data.index(b"\x18") > box.data.index(b"MOV 1")


@pytest.mark.parametrize("transfer", [12, 13, 14, 30])
@pytest.mark.parametrize("fault", FAULTS, ids=name_of)
def test_a_fault_while_a_stage_seeks_its_references_is_a_named_error_or_nothing(fault: Fault, transfer: int) -> None:
    bench, box = broken_stage(at(fault, transfer), referenced=False)
    session = Session(bench.clock, "stage")
    session.asks(bench.stage.open, 9 * ASKED)
    session.asks(bench.stage.reference, 200.0)
    sought = Counter(line for line in box.data.split(b"\n") if b"FRF " in line and b"?" not in line)
    assert max(sought.values(), default=0) <= 1
    if not session.failed:
        assert all(axis.referenced for axis in bench.world.stage.axes.values())
        assert apart(bench.stage.position(), ORIGIN) < (2e-6, 2e-4)


def broken_needle(*faults: Fault, seed: int = 1) -> tuple[NeedleBench, Heard]:
    """A needle on such a line."""
    boxes: list[Heard] = []

    def between(server: Peer) -> Heard:
        boxes.append(Heard(server))
        return boxes[0]

    return needle_bench(between=between, around=lambda link: FaultyLink(link, faults, seed=seed), seed=seed), boxes[0]


def use_needle(bench: NeedleBench) -> Session:
    """Open, fix, move, look, stop; the tip is always where it is thought to be, or it is said that nobody knows."""
    needle = bench.needle
    session = Session(bench.clock, "needle")

    def moves(axis: str, distance: float) -> None:
        session.asks(lambda: needle.move_by(axis, distance, clearance=1e-4), 3.0 + 5 * ASKED)
        if needle.uncertainty() < math.inf:
            bench.clock.sleep(1.0)  # whatever the box still does
            assert bench.error() <= needle.uncertainty()

    session.asks(needle.open, 4 * ASKED)
    session.asks(lambda: needle.fix(bench.truth(), 0.1e-6), 3 * ASKED)
    moves("x", 101 * 210e-9)
    moves("z", -302 * 200e-9)
    moves("y", 13 * 220e-9)
    session.asks(needle.status, 3 * ASKED)
    session.asks(needle.stop, 4 * ASKED)
    session.asks(lambda: needle.fix(bench.truth(), 0.1e-6), 3 * ASKED)
    moves("z", 17 * 180e-9)
    assert not bench.link.in_transaction
    return session


@pytest.mark.parametrize("fault", FAULTS, ids=name_of)
def test_a_fault_on_the_line_of_a_needle_is_a_named_error_or_nothing(fault: Fault) -> None:
    for transfer, seed in product(range(1, 27, 2), range(2)):
        bench, box = broken_needle(at(fault, transfer), seed=seed)
        use_needle(bench)
        steps = Counter(line for line in box.data.split(b"\r") if line.startswith(b"coarse ") and b"?" not in line)
        assert set(steps) <= {b"coarse A 101", b"coarse C -250", b"coarse C -52", b"coarse B 13", b"coarse C 17"}
        assert max(steps.values(), default=0) <= 1


@pytest.mark.parametrize("fault", PASSING, ids=name_of)
def test_after_a_single_fault_and_a_new_image_a_needle_works_again(fault: Fault) -> None:
    for transfer in range(8, 20, 2):
        bench, _ = broken_needle(at(fault, transfer))
        use_needle(bench)
        bench.needle.fix(bench.truth(), 0.1e-6)
        bench.needle.move_by("y", -10e-6, clearance=1e-4)
        assert bench.error() <= bench.needle.uncertainty()


SEVERAL = st.lists(
    # an answer that comes twice, the second time after a next question of the same form, cannot be told from its answer
    st.builds(Fault, st.sampled_from(FaultKind), st.integers(1, 24), st.booleans(), st.just(0), st.just(0.0)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(SEVERAL, st.integers(0, 1000))
def test_several_faults_at_once_on_the_line_of_a_needle(faults: list[Fault], seed: int) -> None:
    bench, _ = broken_needle(*faults, seed=seed)
    use_needle(bench)


@settings(max_examples=30, deadline=None)
@given(SEVERAL, st.integers(0, 1000))
def test_several_faults_at_once_on_the_line_of_a_stage(faults: list[Fault], seed: int) -> None:
    bench, _ = broken_stage(*faults, seed=seed)
    use_stage(bench)


def test_whatever_breaks_a_walk_of_the_needle_off_stops_it() -> None:
    bench, box = broken_needle()
    bench.needle.open()
    bench.needle.fix(bench.truth(), 0.1e-6)

    def wait(seconds: float) -> None:
        raise KeyboardInterrupt

    bench.needle._wait = wait
    with pytest.raises(KeyboardInterrupt):
        bench.needle.move_by("x", 900 * 210e-9, clearance=1e-3)
    assert box.data.rpartition(b"coarse A")[2].count(b"stopnack\r") == 1
    assert bench.error() <= bench.needle.uncertainty() < math.inf
