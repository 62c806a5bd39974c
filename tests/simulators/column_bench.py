"""A column in front of the shipped sample on a virtual clock, over HTTP in memory, for tests of driver and server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drivers.clock import VirtualClock
from drivers.column import Column, ColumnSettings, ranges
from drivers.column_settings import ColumnLimits
from drivers.limits import Limits
from drivers.links import AbortFlag, Fault, FaultyLink, HttpLink, MemoryLink
from drivers.ticket import Frame
from drivers.wire.http import Request, Response
from simulators.boxes.column import ColumnServer
from simulators.boxes.http import HttpBox, HttpPeer, Later
from simulators.world import World
from tests.drivers.scan_bench import OPTICS, Office, a_world

UM, DEG = 1e-6, 0.017453292519943295
SETTINGS = ColumnSettings(
    field_times_magnification=0.1,
    full_frame=1024,
    limits=ColumnLimits(
        x=(-500 * UM, 500 * UM), y=(-500 * UM, 500 * UM), z=(-200 * UM, 200 * UM), a=(-60 * DEG, 60 * DEG)
    ),
)
# 128 x 128 pixels at a magnification of 320000, binning 8, and 16 us: 0.262 s without the way back
IMAGE = Frame((0.0, 0.0), (312.5e-9, 312.5e-9), (128, 128), 16e-6)


class Noting:
    """A box that keeps what it is asked; `instead` may answer first, None lets the box answer."""

    closes = True

    def __init__(self, box: HttpBox) -> None:
        self.box = box
        self.asked: list[Request] = []
        self.instead: Callable[[Request], Response | Later | None] = lambda request: None

    def answer(self, request: Request) -> Response | Later:
        self.asked.append(request)
        return self.instead(request) or self.box.answer(request)

    def orders(self) -> list[tuple[str, bytes]]:
        """What was set so far: names and bodies."""
        return [(r.path.removeprefix("/v1/"), r.body) for r in self.asked if r.method == "PUT"]


@dataclass
class ColumnBench:
    """Driver, lines, server and world."""

    clock: VirtualClock
    world: World
    server: ColumnServer
    box: Noting
    bytes: FaultyLink
    link: HttpLink
    column: Column
    office: Office

    def answer(self, name: str, answer: Response | Later, *, method: str = "GET") -> None:
        """From now on the box answers so to one name."""

        def instead(request: Request) -> Response | Later | None:
            return answer if (request.method, request.path) == (method, f"/v1/{name}") else None

        self.box.instead = instead

    def electrons(self) -> float:
        """Electrons that hit the lamella so far, from the truth."""
        self.world.catch_up()
        fluence = self.world.truth.fluence()
        return float(fluence.map.sum()) * fluence.step**2


def a_driver(
    link: HttpLink,
    settings: ColumnSettings = SETTINGS,
    *,
    guard: Callable[[str], None] = lambda command: None,
    wait: Callable[[float], None] | None = None,
) -> Column:
    return Column(
        link,
        settings,
        beam_energy=OPTICS.beam_energy,
        limits=Limits(ranges(settings)),
        guard=guard,
        wait=wait or link.clock.sleep,
    )


def column_bench(
    *faults: Fault,
    seed: int = 1,
    opened: bool = True,
    guard: Callable[[str], None] = lambda command: None,
    world: World | None = None,
) -> ColumnBench:
    """Everything from driver to sample; faults are on the line of bytes."""
    clock = VirtualClock() if world is None else world.clock
    assert isinstance(clock, VirtualClock)
    world = world or a_world(clock)
    server = ColumnServer(world)
    box = Noting(server)
    bytes_ = FaultyLink(MemoryLink("column", HttpPeer(box, clock), clock, AbortFlag()), faults, seed=seed)
    link = HttpLink(bytes_)
    bench = ColumnBench(clock, world, server, box, bytes_, link, a_driver(link, guard=guard), Office())
    if opened:
        bench.column.open()
    return bench
