"""A DP5 in front of an X-ray source that does what a test says, and its driver, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock, VirtualClock
from drivers.eds import Eds, EdsSettings, ranges
from drivers.limits import Limits
from drivers.links import Link, MemoryLink
from drivers.wire import dp5
from drivers.wire.dp5 import Packet, Request, Splitter
from drivers.wire.dp5_status import Status
from simulators.boxes.eds import EdsServer
from tests.drivers.golden import Line
from tests.drivers.scripted import Scripted

LATENCY = 700e-9  # s of the sync wire
SETTINGS = EdsSettings(channels=2048, ev_per_channel=5.0, offset=0.0)


class Source:
    """Photons at given times, and a wire to the sync input: the part of the world a DP5 meets."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.eds = self
        self._times: NDArray[np.float64] = np.empty(0)
        self._energies: NDArray[np.float64] = np.empty(0)
        self._hear: list[Callable[[float, bool], None]] = []

    def shine(self, times: NDArray[np.float64], energies: NDArray[np.float64]) -> None:
        """More photons, later than those so far."""
        self._times = np.concatenate((self._times, times))
        self._energies = np.concatenate((self._energies, energies))

    def frame(self, begins: float, ends: float = np.inf) -> None:
        """The beam is unblanked, which the box hears one latency later; and blanked."""
        for hear in self._hear:
            hear(begins + LATENCY, True)
            if np.isfinite(ends):
                hear(ends + LATENCY, False)

    def photons(self, until: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        due = int(np.searchsorted(self._times, until, side="right"))
        given = self._times[:due], self._energies[:due]
        self._times, self._energies = self._times[due:], self._energies[due:]
        return given

    def catch_up(self) -> None:
        """Nothing else goes on here."""

    def listen(self, input: str, hear: Callable[[float, bool], None], /) -> None:
        assert input == "eds.sync"
        self._hear.append(hear)


def poisson(rate: float, begins: float, seconds: float, seed: int) -> NDArray[np.float64]:
    """Arrival times of a steady source, ascending, s."""
    random = np.random.default_rng(seed)
    return np.sort(begins + random.uniform(0.0, seconds, random.poisson(rate * seconds)))


def a_driver(link: Link, settings: EdsSettings = SETTINGS, guard: Callable[[str], None] = lambda command: None) -> Eds:
    return Eds(
        link, settings, sync_latency=LATENCY, limits=Limits(ranges(settings)), guard=guard, wait=link.clock.sleep
    )


class EdsBench:
    """Driver, line, server and source."""

    def __init__(self, settings: EdsSettings = SETTINGS) -> None:
        self.clock = VirtualClock()
        self.source = Source(self.clock)
        self.server = EdsServer(self.source)
        self.link = MemoryLink("eds", self.server, self.clock)
        self.eds = a_driver(self.link, settings)

    def armed(self) -> float:
        """Open and arm; the clock time, a little ahead, at which a frame may begin."""
        self.eds.open()
        self.eds.arm("e1")
        return self.clock.now() + 0.01

    def until(self, time: float) -> None:
        self.clock.sleep(time - self.clock.now())

    def ask(self, request: Request, data: bytes = b"") -> Packet:
        """One packet and its answer, by hand."""
        self.link.write(request.packet(data).encode())
        return self.answer()

    def answer(self) -> Packet:
        splitter = Splitter()
        while (packet := splitter.next()) is None:
            datagram = self.link.read(0.5)
            assert 0 < len(datagram) <= 520
            splitter.feed(datagram)
        return packet


def closed(request: bytes, reply: bytes, number: int) -> list[Line]:
    """A question, its answer, and the echo that closes it."""
    echo = f"cryolift {number}".encode()
    asked, echoed = dp5.ECHO.packet(echo), Packet(dp5.ECHO_REPLY, echo)
    answer: list[Line] = [("<", piece) for piece in dp5.datagrams(reply)]
    return [(">", request), *answer, (">", asked.encode()), ("<", echoed.encode())]


def talk(*exchanges: tuple[dp5.Request, bytes, Packet]) -> tuple[Eds, Scripted]:
    clock = VirtualClock()
    lines = [
        line
        for number, (request, data, reply) in enumerate(exchanges, 1)
        for line in closed(request.packet(data).encode(), reply.encode(), number)
    ]
    box = Scripted(clock, lines)
    return a_driver(MemoryLink("eds", box, clock)), box


def a_status(**values: object) -> Packet:
    return Packet(dp5.STATUS_REPLY, Status(**values).encode())  # type: ignore[arg-type]
