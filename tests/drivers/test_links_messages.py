"""Message links: in memory, with faults, over ZeroMQ, and on a transcript."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from drivers.clock import RealClock, VirtualClock
from drivers.errors import Aborted, LinkClosed, LinkError
from drivers.links import (
    AbortFlag,
    Fault,
    FaultKind,
    FaultyMessages,
    MemoryMessages,
    Message,
    MessageLink,
    ReplayedMessages,
    TapMessages,
    ZmqLink,
    one_of_each,
    read_transcript,
)


class Ten:
    """Ten messages of two parts, a tenth of a second apart."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.sent = 0
        self.hosts = 0

    def connected(self) -> None:
        self.hosts += 1

    def disconnected(self) -> None:
        self.hosts -= 1

    def due(self) -> float | None:
        return (self.sent + 1) * 0.1 if self.sent < 10 else None

    def send(self) -> Message | None:
        self.sent += 1
        return ten()[self.sent - 1]


def ten() -> list[Message]:
    return [(b"head %d" % number, bytes([number]) * 20) for number in range(1, 11)]


def line(*faults: Fault, seed: int = 1) -> tuple[VirtualClock, MessageLink]:
    clock = VirtualClock()
    link: MessageLink = MemoryMessages("ten", Ten(clock), clock)
    return clock, FaultyMessages(link, faults, seed=seed) if faults else link


def all_of(link: MessageLink) -> list[Message]:
    """Every message until a second of silence, or until the line is lost."""
    came: list[Message] = []
    silent = 0
    while silent < 2:
        try:
            message = link.receive(0.5)
        except LinkClosed:
            break
        silent = 0 if message else silent + 1
        came += [message] if message else []
    return came


def test_messages_come_when_they_are_due_and_none_is_made_before() -> None:
    clock, peer = VirtualClock(), None
    peer = Ten(clock)
    link = MemoryMessages("ten", peer, clock)
    assert link.receive(0.05) is None
    assert (peer.sent, clock.now()) == (0, pytest.approx(0.05))
    assert link.receive(0.5) == ten()[0]
    assert (peer.sent, clock.now()) == (1, pytest.approx(0.1))
    link.close()
    link.close()
    assert peer.hosts == 0
    with pytest.raises(LinkClosed):
        link.receive(0.0)


def test_an_abort_ends_the_wait() -> None:
    clock, abort = VirtualClock(), AbortFlag()
    link = MemoryMessages("ten", Ten(clock), clock, abort)
    abort.set()
    with pytest.raises(Aborted):
        link.receive(0.5)
    with pytest.raises(ValueError, match=r"at most 0\.5 s"):
        link.receive(0.6)


def test_without_a_fault_everything_comes() -> None:
    assert all_of(line()[1]) == ten()


@pytest.mark.parametrize("kind", [FaultKind.LOSS, FaultKind.SILENCE])
def test_a_message_may_be_lost(kind: FaultKind) -> None:
    assert all_of(line(Fault(kind, 3))[1]) == ten()[:2] + ten()[3:]
    assert all_of(line(Fault(kind, 3, forever=True))[1]) == ten()[:2]


def test_a_message_may_come_twice() -> None:
    assert all_of(line(Fault(FaultKind.TWICE, 3))[1]) == ten()[:3] + ten()[2:]


def test_a_late_message_comes_after_those_behind_it() -> None:
    came = all_of(line(Fault(FaultKind.DELAY, 3, seconds=0.25))[1])
    assert came == [*ten()[:2], *ten()[3:5], ten()[2], *ten()[5:]]


def test_a_message_may_be_overtaken_by_the_next() -> None:
    assert all_of(line(Fault(FaultKind.REORDER, 3))[1]) == [*ten()[:2], ten()[3], ten()[2], *ten()[4:]]


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATION, FaultKind.GARBLE])
def test_a_message_may_be_harmed_in_one_part(kind: FaultKind) -> None:
    for seed in range(20):
        came = all_of(line(Fault(kind, 3), seed=seed)[1])
        assert came[:2] + came[3:] == ten()[:2] + ten()[3:]
        whole, harmed = ten()[2], came[2]
        assert sum(a != b for a, b in zip(whole, harmed, strict=True)) == 1
        for a, b in zip(whole, harmed, strict=True):
            if kind is FaultKind.TRUNCATION:
                assert a.startswith(b)
            else:
                assert sum((x ^ y).bit_count() for x, y in zip(a, b, strict=True)) <= 1


def test_garbage_may_come_as_a_message_and_parts_as_messages_of_their_own() -> None:
    came = all_of(line(Fault(FaultKind.GARBAGE, 3, longest=8))[1])
    assert came[:2] + came[3:] == ten()
    assert 1 <= len(came[2][0]) <= 8
    head, body = ten()[2]
    assert all_of(line(Fault(FaultKind.SLICES, 3))[1]) == [*ten()[:2], (head,), (body,), *ten()[3:]]


@pytest.mark.parametrize(("after", "left"), [(0, 2), (1, 3), (2, 4)])
def test_the_line_may_be_lost_after_so_many_messages(after: int, left: int) -> None:
    assert all_of(line(Fault(FaultKind.CLOSE, 3, after=after))[1]) == ten()[:left]


def test_a_stalled_line_is_lost_later() -> None:
    clock, link = line(Fault(FaultKind.STALL, 3, seconds=0.4))
    assert [link.receive(0.5), link.receive(0.5)] == ten()[:2]
    with pytest.raises(LinkClosed):
        while True:
            assert link.receive(0.1) is None
    assert clock.now() == pytest.approx(0.7)


@pytest.mark.parametrize("fault", one_of_each(3) + one_of_each(3, forever=True), ids=str)
def test_no_fault_keeps_a_wait_longer_than_it_may_last(fault: Fault) -> None:
    clock, link = line(fault)
    for _ in range(30):
        began = clock.now()
        try:
            link.receive(0.3)
        except LinkClosed:
            break
        assert clock.now() - began <= 0.3 + 1e-9


def test_a_session_is_written_down_and_played_again(tmp_path: Path) -> None:
    _, inner = line()
    tapped = TapMessages(inner, tmp_path / "ten.txt")
    assert all_of(tapped) == ten()
    tapped.close()
    again = VirtualClock()
    replayed = MemoryMessages("ten", ReplayedMessages(read_transcript(tmp_path / "ten.txt"), again), again)
    assert replayed.receive(0.5) == ten()[0]
    assert again.now() == pytest.approx(0.1)
    assert all_of(replayed) == ten()[1:]


@contextmanager
def pushing(messages: list[Message]) -> Iterator[str]:
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        thread = threading.Thread(target=lambda: [socket.send_multipart(message) for message in messages])
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{port}"
        finally:
            thread.join(5.0)


def test_messages_come_over_zeromq() -> None:
    with pushing(ten()) as address:
        link = ZmqLink("ten", address, RealClock())
        assert all_of(link) == ten()
        link.close()


def test_zeromq_without_a_box_is_silent_and_an_abort_ends_the_wait() -> None:
    abort = AbortFlag()
    link = ZmqLink("nobody", "tcp://127.0.0.1:9", RealClock(), abort)
    assert link.receive(0.01) is None
    threading.Timer(0.05, abort.set).start()
    with pytest.raises(Aborted):
        link.receive(0.5)
    link.close()


def test_an_address_that_names_nothing_is_an_error() -> None:
    with pytest.raises(LinkError, match="cannot pull from tcp://"):
        ZmqLink("bad", "tcp://not an address", RealClock())
