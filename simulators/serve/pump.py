"""Bytes between ports and boxes, in real time; one thread serves them all, so they never meet in the world."""

from __future__ import annotations

import hmac
import selectors
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, cast

from drivers.clock import RealClock
from drivers.links.memory import Peer
from simulators.boxes.http import HttpPeer
from simulators.serve.lines import DatagramLine, Line, StreamLine, listen_tcp, listen_udp
from simulators.serve.messages import MessageLine
from simulators.serve.pace import PacedClock
from simulators.serve.serial_line import serial_line

LOOPBACK = "127.0.0.1"
MOST_CONNECTIONS = 64  # to one HTTP box at a time
LONGEST_NAP = 0.05  # wall s; a peer may come to have something to say by another peer's doing
SHORTEST_NAP = 0.0005  # wall s; a peer that promised bytes and has none yet is not asked in a rush


@dataclass(frozen=True)
class Port:
    """Where a box is to be reached; number 0 takes a free one.

    box: a Peer; for "http" an HttpBox, which takes many connections at once; for "stream" a MessagePeer (ZeroMQ PUSH).
    host: any but the loopback is for "http" only, and needs a token.
    token: what an HTTP request must carry as `Authorization: Bearer TOKEN`; none where empty.
    """

    box: Any
    kind: Literal["tcp", "udp", "serial", "http", "stream"] = "tcp"
    number: int = 0
    host: str = LOOPBACK
    token: str = ""

    def __post_init__(self) -> None:
        if self.host != LOOPBACK and not (self.kind == "http" and self.token):
            raise ValueError(f"a {self.kind} box on {self.host}: only HTTP with a token leaves this computer")


class Served(dict[str, str]):
    """The address of each box by its name, such as "tcp://127.0.0.1:7777", while they are served."""

    def __init__(self, addresses: Mapping[str, str], serving: Future[None]) -> None:
        super().__init__(addresses)
        self._serving = serving

    def wait(self, seconds: float) -> None:
        """Let wall time pass; raises what a box raised meanwhile."""
        with suppress(TimeoutError):
            self._serving.result(seconds)


@contextmanager
def serve(clock: RealClock, ports: Mapping[str, Port], *, tick: Callable[[], None] = lambda: None) -> Iterator[Served]:
    """Serve boxes by name until the block ends; gives the address of each.

    One thread serves them all, so boxes in front of one world never meet in it.  A box on TCP has one host at a time:
    while it is there another is turned away.  tick: called in that thread whenever time has passed, such as a world's
    `catch_up`.  Raises OSError when a port cannot be had, and at the end whatever a box raised.
    """
    with ExitStack() as opened:
        lines: dict[str, Line] = {}
        for name, port in ports.items():
            try:
                lines[name] = _open(port, clock)
            except OSError as error:
                place = f"port {port.number}" if port.number else "a port"
                why = (error.strerror or str(error)).partition(" (")[0]
                raise OSError(
                    error.errno,
                    f"{name}: {place} of {port.host} cannot be had ({why}). Is that an address of this computer, and "
                    "the port free?",
                ) from None
            opened.callback(lines[name].close)
        bell, ringer = socket.socketpair()
        opened.enter_context(bell)
        opened.enter_context(ringer)
        addresses = {name: line.address for name, line in lines.items()}
        with ThreadPoolExecutor(1, "serve") as thread:
            serving = thread.submit(_pump, clock, list(lines.values()), bell, tick)
            try:
                yield Served(addresses, serving)
            finally:
                ringer.send(b"\0")
                serving.result()


def _pump(clock: RealClock, lines: list[Line], bell: socket.socket, tick: Callable[[], None]) -> None:
    with selectors.DefaultSelector() as selector, ExitStack() as started:
        selector.register(bell, selectors.EVENT_READ)
        for line in lines:
            line.start(selector)
            started.callback(line.stop)
        nap, until = 0.0, None
        while True:
            called = selector.select(nap)
            if isinstance(clock, PacedClock):
                clock.let_pass(until)
            tick()
            for key, mask in called:
                if key.fileobj is bell:
                    return
                if selector.get_map().get(key.fd) is key:  # of a host that has been parted with nothing is heard
                    key.data.ready(key.fileobj, mask)
            for line in lines:
                line.speak(clock.now())
            dues = [due for line in lines if (due := line.due()) is not None]
            nap, until = _next(clock, min(dues, default=None))


def _next(clock: RealClock, due: float | None) -> tuple[float, float | None]:
    """How long to sleep, wall s, and up to which clock time the world may go then (None: it may go on)."""
    if due is None:
        return LONGEST_NAP, None
    if due <= clock.now():  # promised and not given, or more than fits at a time: the world does not stop for it
        return SHORTEST_NAP, None
    left = clock.wall_until(due) if isinstance(clock, PacedClock) else (due - clock.now()) / clock.speed
    return min(max(left, 0.0), LONGEST_NAP), due


def _open(port: Port, clock: RealClock) -> Line:
    match port.kind:
        case "tcp":
            return StreamLine("tcp", listen_tcp(port.host, port.number), 1, lambda: cast(Peer, port.box))
        case "udp":
            return DatagramLine(listen_udp(port.host, port.number), port.box)
        case "serial":
            return serial_line(port.host, port.number, port.box)
        case "stream":
            return MessageLine(port.host, port.number, port.box)
        case "http":
            return StreamLine(
                "http",
                listen_tcp(port.host, port.number),
                MOST_CONNECTIONS,
                lambda: HttpPeer(port.box, clock, _admitted(port.token)),
                lambda peer: cast(HttpPeer, peer).finished,
            )


def _admitted(token: str) -> Callable[[bytes], bool]:
    wanted = f"Bearer {token}".encode()
    return lambda said: not token or hmac.compare_digest(said, wanted)
