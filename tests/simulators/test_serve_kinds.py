"""Boxes on HTTP, ZeroMQ and serial ports, and the time of the world behind them."""

from __future__ import annotations

import http.client
import socket
import sys
from collections import deque
from urllib.parse import urlsplit

import pytest

from drivers.clock import RealClock, wall_seconds, wall_sleep
from drivers.links import HttpLink, SerialLink, ZmqLink, open_link
from drivers.links.messages import Message
from drivers.wire.http import Request, Response
from simulators.boxes.http import Later
from simulators.serve import PacedClock, Port, serial_line, serve
from tests.simulators.test_serve import Echo, connect, until


class Shop:
    """Answers a path with itself; `/slow` after 10 s of rig time."""

    def __init__(self, clock: RealClock) -> None:
        self._clock = clock

    def answer(self, request: Request) -> Response | Later:
        made = Response(200, request.path.encode() + request.body, "text/plain")
        return Later(self._clock.now() + 10.0, lambda: made) if request.path == "/slow" else made


class Reel:
    """Messages at clock times, kept until somebody takes them."""

    def __init__(self, messages: list[tuple[float, Message]]) -> None:
        self.waiting = deque(messages)

    def connected(self) -> None:
        pass

    def disconnected(self) -> None:
        pass

    def due(self) -> float | None:
        return self.waiting[0][0] if self.waiting else None

    def send(self) -> Message | None:
        return self.waiting.popleft()[1] if self.waiting else None


def called(address: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(address).netloc, timeout=5.0)


def told(host: http.client.HTTPConnection, path: str, **headers: str) -> tuple[int, bytes]:
    host.request("GET", path, headers=headers)
    answer = host.getresponse()
    return answer.status, answer.read()


def test_an_http_box_answers_several_connections_at_once_and_each_again() -> None:
    clock = RealClock()
    with serve(clock, {"box": Port(Shop(clock), "http")}) as addresses:
        hosts = [called(addresses["box"]) for _ in range(5)]
        for host in hosts:
            host.request("GET", "/a")  # all asked before any answer is read
        assert [host.getresponse().read() for host in hosts] == [b"/a"] * 5
        assert [told(host, f"/{n}") for n, host in enumerate(hosts)] == [(200, f"/{n}".encode()) for n in range(5)]
        for host in hosts:
            host.close()


def test_a_slow_answer_of_an_http_box_keeps_nobody_else_waiting() -> None:
    clock = RealClock(speed=20.0)
    with serve(clock, {"box": Port(Shop(clock), "http")}) as addresses:
        slow, quick = called(addresses["box"]), called(addresses["box"])
        began = wall_seconds()
        slow.request("GET", "/slow")
        assert told(quick, "/quick") == (200, b"/quick")
        assert wall_seconds() - began < 0.4
        assert slow.getresponse().read() == b"/slow"
        assert wall_seconds() - began >= 0.5
        slow.close()
        quick.close()


def test_a_connection_that_is_to_be_closed_is_closed_and_the_box_goes_on() -> None:
    clock = RealClock()
    with serve(clock, {"box": Port(Shop(clock), "http")}) as addresses:
        for path in ("/a", "/b"):
            with socket.create_connection(
                (urlsplit(addresses["box"]).hostname, urlsplit(addresses["box"]).port), 5.0
            ) as line:
                line.sendall(f"GET {path} HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n".encode())
                assert line.makefile("rb").read().endswith(path.encode())  # up to the end of the line


def test_our_own_http_link_reaches_an_http_box() -> None:
    clock = RealClock()
    with serve(clock, {"box": Port(Shop(clock), "http")}) as addresses:
        link = HttpLink(open_link("box", addresses["box"], clock))
        assert link.exchange(Request("PUT", "/p", body=b"x")).body == b"/px"
        link.close()


def test_with_a_token_only_requests_that_carry_it_reach_the_box() -> None:
    clock = RealClock()
    with serve(clock, {"box": Port(Shop(clock), "http", token="sesame")}) as addresses:
        host = called(addresses["box"])
        for said in ({}, {"Authorization": "Bearer simsim"}, {"Authorization": "sesame"}):
            assert told(host, "/a", **said)[0] == 401
        assert told(host, "/a", Authorization="Bearer sesame") == (200, b"/a")
        host.close()


@pytest.mark.parametrize("port", [{"kind": "tcp", "token": "t"}, {"kind": "http"}, {"kind": "stream", "token": "t"}])
def test_only_http_with_a_token_leaves_this_computer(port: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="only HTTP with a token"):
        Port(Shop(RealClock()), host="0.0.0.0", **port)  # type: ignore[arg-type]


def test_messages_come_over_zeromq_whole_in_order_and_when_they_are_due() -> None:
    clock = RealClock(speed=10.0)
    messages: list[tuple[float, Message]] = [(0.0, (b"head", bytes(100_000))), (5.0, (b"tail",))]
    with serve(clock, {"stream": Port(Reel(messages), "stream")}) as addresses:
        link = ZmqLink("stream", addresses["stream"], clock)
        assert link.receive(0.5) == messages[0][1]
        assert link.receive(0.5) == messages[1][1]
        assert clock.now() >= 5.0
        link.close()


def test_messages_that_nobody_takes_stay_in_the_box() -> None:
    clock = RealClock()
    reel = Reel([(0.0, (bytes(200_000),))] * 2000)
    with serve(clock, {"stream": Port(reel, "stream")}) as addresses:
        wall_sleep(0.1)
        assert len(reel.waiting) == 2000  # no host, nothing made
        link = ZmqLink("stream", addresses["stream"], clock, high_water=10)
        until(lambda: len(reel.waiting) < 2000)
        wall_sleep(0.2)
        assert len(reel.waiting) > 1000  # a host that does not read takes no more than what ZeroMQ keeps
        for _ in range(2000):
            assert link.receive(0.5) is not None
        assert not reel.waiting
        link.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals here")
def test_a_serial_box_has_a_pseudo_terminal_that_changes_no_byte() -> None:
    clock = RealClock()
    everything = bytes(range(256))
    with serve(clock, {"box": Port(Echo(clock), "serial")}) as addresses:
        for _ in range(2):  # a host may come again
            link = open_link("box", addresses["box"] + "?baudrate=115200", clock)
            assert isinstance(link, SerialLink)
            link.write(everything)
            assert heard(link, 256) == everything
            link.close()


def test_without_pseudo_terminals_a_serial_box_is_a_port_that_pyserial_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_line, "find_spec", lambda name: None)
    clock = RealClock()
    with serve(clock, {"box": Port(Echo(clock), "serial")}) as addresses:
        assert addresses["box"].startswith("serial:socket://127.0.0.1:")
        link = open_link("box", addresses["box"], clock)
        link.write(b"hello")
        assert heard(link, 5) == b"hello"
        link.close()


def heard(link: SerialLink, size: int) -> bytes:
    found, deadline = b"", wall_seconds() + 5.0
    while len(found) < size and wall_seconds() < deadline:
        found += link.read(0.1)
    return found


def test_whoever_waits_hears_of_a_box_that_broke() -> None:
    clock = RealClock()
    with pytest.raises(ValueError, match="the box broke"), serve(clock, {"box": Port(Echo(clock))}) as served:
        served.wait(0.01)  # all is well
        with connect(served["box"]) as host:
            host.sendall(b"break")
            served.wait(5.0)


def test_a_paced_world_runs_at_its_speed_while_it_can() -> None:
    clock = PacedClock(speed=100.0)
    times: list[float] = []
    with serve(clock, {"box": Port(Echo(clock))}, tick=lambda: times.append(clock.now())):
        began = wall_seconds()
        wall_sleep(0.5)
        passed = (wall_seconds() - began) * 100.0
    assert times == sorted(times)
    assert 0.5 * passed < times[-1] <= passed + 10.0


def test_a_paced_world_waits_for_what_is_due() -> None:
    clock = PacedClock(speed=1000.0)
    moments: deque[float] = deque()
    found: list[float] = []

    class Box(Echo):
        def receive(self, data: bytes) -> None:
            moments.extend(clock.now() + later for later in (0.1, 0.2, 2.5, 40.0))

        def due(self) -> float | None:
            return moments[0] if moments else None

        def send(self) -> bytes:
            found.append(clock.now() - moments.popleft())
            return b"."

    with serve(clock, {"box": Port(Box(clock))}) as addresses:
        link = open_link("box", addresses["box"], clock)
        link.write(b"go")
        until(lambda: len(found) == 4)
        link.close()
    assert found == [0.0] * 4


def test_what_a_computer_is_too_slow_for_is_left_out() -> None:
    clock = PacedClock(speed=10.0)
    clock.let_pass(None)
    began = clock.now()
    wall_sleep(0.4)
    clock.let_pass(None)
    assert clock.now() - began <= 1.0 + 1e-9  # of the 4 s: a tenth of a second of real time is made up for
    clock.let_pass(clock.now() - 1.0)
    assert clock.now() >= began  # never back
