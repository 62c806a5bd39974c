"""Queries a second of a driver's conversation: the memory link against TCP on the loopback.

A query is one `KRDG? A` of the cryostat, encoded, sent, answered by the simulated controller and parsed.  Both sides go
through the same Conversation and Exchange with a spacing of 0, to the same server, in front of a cryostat in which
nothing happens: what differs is the link and its clock.  The server's 10 ms to think cost nothing in virtual time and
0.1 us on the real clock, which runs 100000 times as fast; over TCP the server is a thread of this process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from benchmarks.figure import Figure, side_by_side
from drivers.clock import Clock, RealClock, VirtualClock
from drivers.conversation import Conversation
from drivers.links import Link, MemoryLink, open_link
from drivers.wire import lakeshore
from simulators import thermal
from simulators.cryostat_server import CryostatServer
from simulators.serve import Port, serve
from simulators.world import World

SPEED = 1e5  # of the real clock
KELVIN = lakeshore.KELVIN(input="A")
IDENTITY = (lakeshore.IDENTITY(),)


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


def asking(link: Link, queries: int) -> Callable[[], None]:
    """The work: so many readings over a link, each seen to be a temperature."""
    conversation = Conversation(link, "cryostat", IDENTITY, spacing=0.0)

    def ask() -> None:
        for _ in range(queries):
            (reading,) = conversation.ask("temperature", KELVIN)
            if not 250.0 < reading["kelvin"] < 350.0:
                raise RuntimeError(f"the warm cryostat read {reading['kelvin']} K")

    return ask


def main(queries: int = 2000, rounds: int = 9) -> None:
    """Print the queries a second over memory against those over TCP loopback."""
    virtual, real = VirtualClock(), RealClock(SPEED)
    with serve(real, {"cryostat": Port(controller(real))}) as addresses:
        memory = MemoryLink("cryostat", controller(virtual), virtual)
        tcp = open_link("cryostat", addresses["cryostat"], real)
        over_memory, over_tcp = side_by_side(rounds, asking(memory, queries), asking(tcp, queries))
        tcp.close()
    Figure.beside(
        "driver queries over memory", queries / over_memory, "1/s", "the same over TCP loopback", queries / over_tcp
    ).show()


if __name__ == "__main__":
    main()
