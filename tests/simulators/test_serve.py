"""Boxes on real loopback ports."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Literal

import pytest

from drivers.clock import RealClock, wall_seconds, wall_sleep
from simulators.serve import Port, serve


class Echo:
    """Answers every message with itself, `latency` s of rig time later."""

    def __init__(self, clock: RealClock, latency: float = 0.0) -> None:
        self._clock, self._latency = clock, latency
        self._replies: deque[tuple[float, bytes]] = deque()
        self.hosts = 0
        self.farewells = 0

    def connected(self) -> None:
        self.hosts += 1

    def disconnected(self) -> None:
        self.farewells += 1

    def receive(self, data: bytes) -> None:
        if data == b"break":
            raise ValueError("the box broke")
        self._replies.append((self._clock.now() + self._latency, data))

    def due(self) -> float | None:
        return self._replies[0][0] if self._replies else None

    def send(self) -> bytes:
        return self._replies.popleft()[1]


def connect(address: str) -> socket.socket:
    kind, _, rest = address.partition("://")
    host, _, port = rest.partition(":")
    if kind == "tcp":
        return socket.create_connection((host, int(port)), timeout=5.0)
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.settimeout(5.0)
    line.connect((host, int(port)))
    return line


def until(true: Callable[[], bool]) -> None:
    deadline = wall_seconds() + 5.0
    while not true() and wall_seconds() < deadline:
        wall_sleep(0.005)
    assert true()


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_what_a_host_sends_reaches_the_box_and_its_answer_the_host(kind: Literal["tcp", "udp"]) -> None:
    clock = RealClock()
    with serve(clock, {"box": Port(Echo(clock), kind)}) as addresses, connect(addresses["box"]) as host:
        assert addresses["box"].startswith(f"{kind}://127.0.0.1:")
        for message in (b"one", b"two"):
            host.send(message)
            assert host.recv(100) == message


def test_several_boxes_are_served_at_once_each_with_its_own_answers() -> None:
    clock = RealClock()
    ports = {name: Port(Echo(clock)) for name in ("a", "b", "c")}
    with serve(clock, ports) as addresses:
        hosts = {name: connect(address) for name, address in addresses.items()}
        for name, host in hosts.items():
            host.sendall(name.encode())
        assert {name: host.recv(10).decode() for name, host in hosts.items()} == {"a": "a", "b": "b", "c": "c"}
        for host in hosts.values():
            host.close()


def test_an_answer_comes_when_it_is_due_on_a_clock_that_runs_faster() -> None:
    clock = RealClock(speed=100.0)
    with serve(clock, {"box": Port(Echo(clock, latency=10.0))}) as addresses, connect(addresses["box"]) as host:
        started = wall_seconds()
        host.sendall(b"x")
        assert host.recv(10) == b"x"
        assert 0.1 <= wall_seconds() - started < 2.0


def test_a_large_answer_arrives_whole_at_a_slow_host() -> None:
    clock = RealClock()
    box = Echo(clock)
    data = bytes(range(256)) * 40000
    with serve(clock, {"box": Port(box)}) as addresses, connect(addresses["box"]) as host:
        host.sendall(b"go")
        assert host.recv(2) == b"go"
        box._replies.append((0.0, data))
        wall_sleep(0.1)
        found = bytearray()
        while len(found) < len(data):
            found += host.recv(65536)
        assert found == data


def test_a_box_has_one_host_and_greets_the_next_when_it_has_gone() -> None:
    clock = RealClock()
    box = Echo(clock)
    with serve(clock, {"box": Port(box)}) as addresses:
        with connect(addresses["box"]) as first:
            until(lambda: box.hosts == 1)
            with connect(addresses["box"]) as second:
                assert second.recv(1) == b""  # turned away
            first.sendall(b"still here")
            assert first.recv(100) == b"still here"
        until(lambda: box.farewells == 1)
        with connect(addresses["box"]) as third:
            third.sendall(b"next")
            assert third.recv(100) == b"next"
    assert (box.hosts, box.farewells) == (2, 2)


def test_what_a_box_raises_is_raised_at_the_end() -> None:
    clock = RealClock()
    with (
        pytest.raises(ValueError, match="the box broke"),
        serve(clock, {"box": Port(Echo(clock))}) as addresses,
        connect(addresses["box"]) as host,
    ):
        host.sendall(b"break")
        assert host.recv(1) == b""


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    clock = RealClock()
    with serve(clock, {"box": Port(Echo(clock))}) as addresses:
        number = int(addresses["box"].rpartition(":")[2])
        ports = {"free": Port(Echo(clock)), "taken": Port(Echo(clock), number=number)}
        with pytest.raises(OSError), serve(clock, ports):
            pass
