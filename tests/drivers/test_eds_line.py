"""The X-ray driver on a bad line: a value is the right one or none."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.clock import VirtualClock
from drivers.eds import Eds
from drivers.errors import (
    DeviceError,
    LinkError,
    LinkTimeout,
    RigError,
    WireError,
)
from drivers.links import MemoryLink
from drivers.links.faults import Fault, FaultKind, FaultyLink
from drivers.wire import dp5
from drivers.wire.dp5 import Ack, Packet
from tests.drivers.golden import Line
from tests.drivers.scripted import Scripted
from tests.simulators.eds_bench import EdsBench, a_driver, a_status, closed, talk


def test_a_request_the_box_received_broken_is_sent_again() -> None:
    eds, box = talk(
        (dp5.DISABLE, b"", Packet((0xFF, Ack.CHECKSUM))),
        (dp5.DISABLE, b"", Packet((0xFF, Ack.OK))),
    )
    eds.make_safe()
    box.finish()


def test_a_busy_box_is_an_error() -> None:
    eds, _ = talk((dp5.SPECTRUM, b"", Packet((0xFF, Ack.BUSY))))
    with pytest.raises(DeviceError, match="busy"):
        eds.spectrum()


def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    clock = VirtualClock()
    stale, fresh = a_status(fast=1, slow=1).encode(), a_status(fast=200, slow=100).encode()
    status, (first, second) = dp5.STATUS.packet().encode(), (f"cryolift {number}".encode() for number in (1, 2))
    script: list[Line] = [
        (">", status),
        ("~", b"0.51"),  # after the time-out
        ("<", stale),
        (">", dp5.ECHO.packet(first).encode()),  # resync: the late answer comes first
        ("<", Packet(dp5.ECHO_REPLY, first).encode()),
        (">", status),
        ("<", fresh),
        (">", dp5.ECHO.packet(second).encode()),
        ("<", Packet(dp5.ECHO_REPLY, second).encode()),
    ]
    box = Scripted(clock, script)
    assert a_driver(MemoryLink("eds", box, clock)).dead_fraction() == 0.5
    box.finish()


def running(faults: list[Fault], seed: int = 0) -> tuple[EdsBench, Eds, float]:
    """An armed frame with three X-rays, read over a line on which faults strike from then on."""
    bench = EdsBench()
    begins = bench.armed()
    bench.source.frame(begins)
    bench.source.shine(begins + np.array([1e-3, 2e-3, 3e-3]), np.full(3, 2013.0))
    bench.until(begins + 0.01)
    eds = bench.eds
    eds._line = type(eds._line)(FaultyLink(bench.link, faults, seed=seed), "eds")
    return bench, eds, begins


@pytest.mark.parametrize("kind", [FaultKind.SILENCE, FaultKind.GARBLE, FaultKind.TRUNCATION, FaultKind.GARBAGE])
def test_a_lost_list_is_never_asked_again_and_told_at_the_end(kind: FaultKind) -> None:
    _, eds, _ = running([Fault(kind, 1)])
    with pytest.raises((WireError, LinkTimeout)):
        eds.read()
    tally = eds.finish()
    assert tally.full and not tally.rest.times.size and tally.slow == 3


@pytest.mark.parametrize("transfer", [1, 2, 3, 4])
def test_a_list_that_comes_twice_is_counted_once_or_not_at_all(transfer: int) -> None:
    bench, eds, _ = running([Fault(FaultKind.TWICE, transfer, seconds=0.02)])
    times = []
    for _ in range(3):
        try:
            times.append(eds.read().times)
        except WireError:
            break
        bench.clock.sleep(0.015)
    whole = np.concatenate([*times, np.empty(0)])
    try:
        tally = eds.finish()
    except RigError:
        return
    assert tally.full or np.concatenate((whole, tally.rest.times)) == pytest.approx([1e-3, 2e-3, 3e-3], abs=101e-9)


@pytest.mark.parametrize("kind", list(FaultKind))
@pytest.mark.parametrize("transfer", [1, 2, 3])
def test_a_fault_on_the_line_never_changes_a_value(kind: FaultKind, transfer: int) -> None:
    for seed in range(6):
        _, eds, _ = running([Fault(kind, transfer, seconds=0.3, longest=7)], seed)
        try:
            assert eds.spectrum()[403] == 3
            assert eds.status()["slow"] == 3
        except LinkError:
            assert kind in (FaultKind.CLOSE, FaultKind.STALL, FaultKind.SLICES)
        except WireError:
            assert kind in (FaultKind.TWICE, FaultKind.SLICES)  # twice in doubt is not believed


def test_a_flipped_bit_of_an_answer_is_asked_again_or_told() -> None:
    for bit in range(8 * 72):
        reply = bytearray(a_status(fast=200, slow=100).encode())
        good = bytes(reply)
        reply[bit // 8] ^= 1 << bit % 8
        clock = VirtualClock()
        status, (first, second) = dp5.STATUS.packet().encode(), (f"cryolift {number}".encode() for number in (1, 2))
        script: list[Line] = [
            (">", status),
            ("<", bytes(reply)),
            (">", dp5.ECHO.packet(first).encode()),
            ("<", Packet(dp5.ECHO_REPLY, first).encode()),
            *closed(status, good, 2),
        ]
        box = Scripted(clock, script)
        assert a_driver(MemoryLink("eds", box, clock)).dead_fraction() == 0.5
        box.finish()
        assert second in box.requests[-1][1]


def test_a_taken_spectrum_that_is_lost_is_not_taken_again() -> None:
    bench, eds, _ = running([Fault(FaultKind.SILENCE, 1)])
    with pytest.raises(LinkTimeout):
        eds.take_spectrum()
    assert not bench.eds.spectrum().any()  # it was cleared once; nothing asked for it again
