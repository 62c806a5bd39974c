"""A scan box in front of the shipped sample on a virtual clock, for tests of driver and server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock, VirtualClock
from drivers.errors import LinkTimeout, RigError, TicketError
from drivers.limits import Limits
from drivers.links import AbortFlag, Link, MemoryLink, Peer
from drivers.rigfile import Optics, Wire
from drivers.scan import Scan, ScanSettings, ranges
from drivers.scan_settings import ScanLimits
from drivers.ticket import Exposed, Frame, Ticket
from simulators.boxes.scan import ScanServer
from simulators.sample.file import load_sample
from simulators.world import World
from tests.drivers.golden import Line, golden

STEP = 0.1e-9  # m, of the converters
FIELD = 16384 * STEP
CURRENT = 1e-11  # A
SETTINGS = ScanSettings(
    full_field=FIELD,
    counts_per_electron=400.0,
    dark_level=256.0,
    limits=ScanLimits(dwell=(125e-9, 1e-3), field=(1e-9, FIELD), frame_time=20.0),
)
OPTICS = Optics(
    beam_energy=200e3,
    convergence=25e-3,
    probe_fwhm=0.5e-9,
    dark_field=(25e-3, 100e-3),
    eds_solid_angle=0.9,
    eds_elevation=0.35,
    eds_azimuth=0.0,
    eds_fwhm_mn=130.0,
)
SMALL = Frame(centre=(0.0, 0.0), size=(64e-9, 32e-9), pixels=(64, 32), dwell=10e-6)  # 20.48 ms
LONG = Frame(centre=(0.0, 0.0), size=(64e-9, 64e-9), pixels=(64, 64), dwell=500e-6)  # 2.048 s

# the scan field of the gateware's transcript
GATEWARE = ScanSettings(
    full_field=16384e-9,
    counts_per_electron=1.0,
    dark_level=0.0,
    limits=ScanLimits(field=(1e-9, 16384e-9)),
)
SIX_PIXELS = Frame(centre=(-100e-9, 50e-9), size=(6.3e-9, 4e-9), pixels=(3, 2), dwell=500e-9)


def a_world(clock: Clock, *, wiring: Sequence[Wire] = ()) -> World:
    """The shipped Li/LiPON sample under a beam that is what it is said to be."""
    return World(
        load_sample("li-lipon"),
        seed=1,
        clock=clock,
        optics=OPTICS,
        beam_current=CURRENT,
        hidden_errors=False,
        full_field=FIELD,
        wiring=wiring,
    )


@dataclass
class Office:
    """Issues tickets and takes each back once, noting what had been sent by then."""

    on_spend: Callable[[], None] = lambda: None
    issued: int = 0
    spent: list[Ticket] = field(default_factory=list)

    def ticket(self, work: Exposed) -> Ticket:
        self.issued += 1
        return Ticket(f"exposure {self.issued}", "area", work, self)

    def spend(self, ticket: Ticket) -> None:
        if ticket in self.spent:
            raise TicketError("the ticket is spent")
        self.on_spend()
        self.spent.append(ticket)


def a_driver(
    link: Link, settings: ScanSettings = SETTINGS, *, guard: Callable[[str], None] = lambda command: None
) -> Scan:
    return Scan(link, settings, limits=Limits(ranges(settings)), guard=guard, wait=link.clock.sleep)


class Listening:
    """A line to a box that keeps what was sent, can hold answers back, and can garble what comes."""

    def __init__(self, peer: Peer) -> None:
        self.sent: list[bytes] = []
        self.silent = False
        self.garble: Callable[[bytes], bytes] = lambda data: data
        self._peer = peer

    def connected(self) -> None:
        self._peer.connected()

    def disconnected(self) -> None:
        self._peer.disconnected()

    def receive(self, data: bytes) -> None:
        self.sent.append(data)
        self._peer.receive(data)

    def due(self) -> float | None:
        return None if self.silent else self._peer.due()

    def send(self) -> bytes:
        return self.garble(self._peer.send())


class CutLink(MemoryLink):
    """A line of which the next message may be cut: only its first `taken` bytes leave, then `failure` is raised."""

    taken: int | None = None
    failure: type[RigError] = LinkTimeout

    def _write(self, data: bytes) -> None:
        part, cut = data[: self.taken], self.taken is not None
        self.taken = None
        super()._write(part)
        if cut:
            raise self.failure(f"took no more than {len(part)} bytes")


@dataclass
class ScanBench:
    """Driver, line, server and world."""

    clock: VirtualClock
    world: World
    server: ScanServer
    line: Listening
    link: CutLink
    scan: Scan
    office: Office

    def start(self, frame: Frame = SMALL) -> Frame:
        """Start a frame on its ticket; returns it as commanded."""
        commanded = self.scan.commanded(frame)
        self.scan.start(commanded, self.office.ticket(commanded))
        return commanded

    def run(self, frame: Frame = SMALL) -> NDArray[np.uint16]:
        """Start a frame and read it to its end."""
        self.start(frame)
        return self.rest()

    def rest(self) -> NDArray[np.uint16]:
        parts = [np.empty(0, np.uint16)]
        while not self.scan.finished():
            parts.append(self.scan.read(0.1))
        return np.concatenate(parts)

    def electrons(self) -> float:
        """Electrons that hit the lamella so far, from the truth."""
        self.world.catch_up()
        fluence = self.world.truth.fluence()
        return float(fluence.map.sum()) * fluence.step**2


def scan_bench(*, opened: bool = True, wiring: Sequence[Wire] = ()) -> ScanBench:
    clock = VirtualClock()
    world = a_world(clock, wiring=wiring)
    server = ScanServer(world)
    line = Listening(server)
    link = CutLink("scan", line, clock, AbortFlag())
    bench = ScanBench(clock, world, server, line, link, a_driver(link), Office())
    if opened:
        bench.scan.open()
    return bench


def transcript(*conversations: str) -> list[Line]:
    return [line for name in conversations for line in golden("obi", name, binary=True)]
