"""The round trip of a query over each kind of link, against the same over memory.

A query is one `KRDG? A` of the cryostat, encoded, sent, answered by the simulated controller and parsed.  All of them
go through the same Conversation and Exchange with a spacing of 0, to the same server, in front of a cryostat in which
nothing happens: what differs is the link and its clock.  The server's 10 ms to think cost nothing in virtual time and
0.1 us on the real clock, which runs 100000 times as fast; on a port the server is a thread of this process.  A query by
HTTP is a GET that is answered by a reading as JSON.  ZeroMQ brings messages unasked: there it is one short message
received.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Literal, cast

import numpy as np

from benchmarks.figure import Figure, side_by_side
from drivers.clock import Clock, RealClock, VirtualClock
from drivers.conversation import Conversation
from drivers.links import (
    HttpExchange,
    HttpLink,
    Link,
    MemoryLink,
    MemoryMessages,
    Message,
    MessageLink,
    ZmqLink,
    open_link,
)
from drivers.wire import lakeshore
from drivers.wire.http import JSON, Request, Response, json_bytes, read_json
from simulators.boxes.cryostat import CryostatServer
from simulators.boxes.http import HttpPeer
from simulators.serve import Port, serve
from simulators.stages import thermal
from simulators.world import World

SPEED = 1e5  # of the real clock
KELVIN = lakeshore.KELVIN(input="A")
IDENTITY = (lakeshore.IDENTITY(),)
LINES: dict[str, Literal["tcp", "udp", "serial"]] = {
    "TCP loopback": "tcp",
    "UDP loopback": "udp",
    "a serial line (pty)": "serial",
}


class StillWorld:
    """The part of the world that the controller's server needs, at a standstill."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.cryostat = thermal.Cryostat(np.random.default_rng(1))
        self.processes: list[Callable[[float], None]] = []

    def catch_up(self) -> None:
        """Nothing goes on."""


def controller(clock: Clock) -> CryostatServer:
    """A controller that is ready for the next question at once."""
    return CryostatServer(cast(World, StillWorld(clock)), spacing=0.0)


class Thermometer:
    """The same behind HTTP: a reading as JSON."""

    def answer(self, request: Request) -> Response:
        """Always warm."""
        return Response(200, json_bytes({"kelvin": 295.0}), JSON)


class Ticker:
    """A box that always has one more message, as short as a reading."""

    def connected(self) -> None:
        """It does not mind."""

    def due(self) -> float:
        """At once."""
        return 0.0

    def send(self) -> Message:
        """The same again."""
        return (b"295.000",)

    def disconnected(self) -> None:
        """It does not mind."""


def _see(kelvin: float) -> None:
    if not 250.0 < kelvin < 350.0:
        raise RuntimeError(f"the warm cryostat read {kelvin} K")


def asking(link: Link, queries: int) -> Callable[[], None]:
    """The work: so many readings over a link, each seen to be a temperature."""
    conversation = Conversation(link, "cryostat", IDENTITY, spacing=0.0)

    def ask() -> None:
        for _ in range(queries):
            (reading,) = conversation.ask("temperature", KELVIN)
            _see(reading["kelvin"])

    return ask


def asking_http(link: Link, queries: int) -> Callable[[], None]:
    """The same by HTTP."""
    exchange = HttpExchange(HttpLink(link), "cryostat")

    def kelvin(response: Response) -> float:
        return float(read_json(response.body)["kelvin"])

    def ask() -> None:
        for _ in range(queries):
            _see(exchange.ask_for("temperature", Request("GET", "/kelvin"), kelvin, safe=True))

    return ask


def listening(link: MessageLink, messages: int) -> Callable[[], None]:
    """The work: so many messages that come unasked."""

    def listen() -> None:
        for _ in range(messages):
            message = link.receive(0.5)
            if message is None:
                raise RuntimeError("the box fell silent")
            _see(float(message[0]))

    return listen


def main(queries: int = 1000, rounds: int = 9) -> None:
    """Print how long a query, or a message, takes over each kind of link, and over memory."""
    virtual, real = VirtualClock(), RealClock(SPEED)

    def compare(what: str, way: str, over_it: Callable[[], None], over_memory: Callable[[], None]) -> None:
        took, least = (seconds / queries * 1e6 for seconds in side_by_side(rounds, over_it, over_memory))
        Figure.beside(f"{what} over {way}", took, "us", f"{what} over memory", least).show()
        if way not in list(LINES)[1:]:
            Figure.beside(f"{what} over memory", least, "us", f"{what} over {way}", took).show()

    in_memory = asking(MemoryLink("cryostat", controller(virtual), virtual), queries)
    for way, kind in LINES.items():
        with served(Port(controller(real), kind), real) as address, closing(open_link("box", address, real)) as link:
            compare("a query", way, asking(link, queries), in_memory)
    in_memory = asking_http(MemoryLink("cryostat", HttpPeer(Thermometer(), virtual), virtual), queries)
    with served(Port(Thermometer(), "http"), real) as address, closing(open_link("box", address, real)) as link:
        compare("an HTTP query", "TCP loopback", asking_http(link, queries), in_memory)
    in_memory = listening(MemoryMessages("camera", Ticker(), virtual), queries)
    with served(Port(Ticker(), "stream"), real) as address, closing(ZmqLink("box", address, real)) as stream:
        compare("a message", "ZeroMQ loopback", listening(stream, queries), in_memory)


@contextmanager
def served(port: Port, clock: RealClock) -> Iterator[str]:
    """The address of a box that is served alone, so that it waits for no other's turn."""
    with serve(clock, {"box": port}) as addresses:
        yield addresses["box"]


if __name__ == "__main__":
    main()
