"""The beam behind a real port when its client comes, works, and goes: what the box lets go of, the sample receives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.constants import e

from drivers.links import TcpLink, open_link
from drivers.scan import Scan
from simulators.boxes.scan import ScanServer
from simulators.sample.dose import STEP
from simulators.serve import PacedClock, Port, Served, serve
from simulators.world import World
from tests.drivers.scan_bench import CURRENT, LONG, Office, a_driver, a_world
from tests.simulators.test_serve import until

PER_SECOND = CURRENT / e  # electrons
SPEED = 20.0


class Probe:
    """Told anything, says the time and the electrons received so far: in the thread in which the world moves."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._said = b""

    def connected(self) -> None:
        pass

    def disconnected(self) -> None:
        pass

    def receive(self, data: bytes) -> None:
        self._world.catch_up()
        electrons = self._world.truth.fluence().map.sum() * STEP**2
        self._said = np.array([self._world.clock.now(), electrons]).tobytes()

    def due(self) -> float | None:
        return 0.0 if self._said else None

    def send(self) -> bytes:
        said, self._said = self._said, b""
        return said


@dataclass
class Hall:
    """A served scan box, and a way to ask what is really there."""

    served: Served
    clock: PacedClock
    probe: TcpLink

    def scan(self) -> Scan:
        """A client that has just come."""
        return a_driver(open_link("scan", self.served["scan"], self.clock))

    def now(self) -> tuple[float, float]:
        """Clock time, s, and the electrons received by then."""
        self.probe.write(b"?")
        time, electrons = np.frombuffer(self.probe.read(0.5))
        return float(time), float(electrons)

    def rate(self, seconds: float) -> float:
        """Electrons a second of rig time that the sample receives in the next so many seconds."""
        (began, before), (time, after) = self.now(), (0.0, 0.0)
        while time < began + seconds:
            time, after = self.now()
        return (after - before) / (time - began)


@pytest.fixture
def hall() -> Iterator[Hall]:
    clock = PacedClock(SPEED)
    world = a_world(clock)
    ports = {"scan": Port(ScanServer(world)), "probe": Port(Probe(world))}
    with serve(clock, ports, tick=world.catch_up) as served:
        probe = TcpLink("probe", "127.0.0.1", int(served["probe"].rpartition(":")[2]), clock)
        yield Hall(served, clock, probe)
        probe.close()


def test_nobody_holds_the_beam_until_a_client_takes_the_blank_pins(hall: Hall) -> None:
    assert hall.rate(5.0) == pytest.approx(PER_SECOND, rel=1e-3)
    scan = hall.scan()
    scan.open()
    assert hall.rate(5.0) == 0.0
    scan.close()


def test_a_client_that_goes_in_the_middle_of_a_frame_leaves_the_beam_on(hall: Hall) -> None:
    scan = hall.scan()
    scan.open()
    frame = scan.commanded(LONG)
    scan.start(frame, Office().ticket(frame))
    while not scan.read(0.5).size:
        assert not scan.finished()
    scan.close()  # drops the line: the box was not asked to blank
    left, _ = hall.now()
    until(lambda: hall.now()[0] > left + LONG.seconds)  # nothing that it was sent is cut short
    assert hall.rate(5.0) == pytest.approx(PER_SECOND, rel=1e-3)  # and there it stands, not blanked
    again = hall.scan()
    again.open()
    assert hall.rate(2.0) == 0.0
    again.close()


def test_a_client_that_goes_after_its_frame_was_blanked_lets_go_of_the_beam_too(hall: Hall) -> None:
    scan = hall.scan()
    scan.open()
    scan.blank()
    assert hall.rate(2.0) == 0.0
    scan.close()
    until(lambda: hall.rate(1.0) > 0.0)
    assert hall.rate(5.0) == pytest.approx(PER_SECOND, rel=1e-3)
