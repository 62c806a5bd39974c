"""A simulated FIB-SEM on a virtual clock, its three drivers on one line, and an office for their tickets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from drivers import beams, chamber_stage, milling
from drivers.beams import Beams, BeamsSettings
from drivers.beams_settings import BeamsLimits
from drivers.chamber_stage import ChamberStage, ChamberStageSettings
from drivers.chamber_stage_settings import ChamberStageLimits
from drivers.clock import Clock, VirtualClock
from drivers.errors import Aborted, TicketError
from drivers.limits import Limits, Range
from drivers.links import AbortFlag, Link, MemoryLink
from drivers.links.http import HttpLink
from drivers.milling import Milling, MillingSettings, Rectangle
from drivers.milling_settings import MillingLimits
from drivers.ticket import Beam, Cut, Frame, Ticket
from drivers.wire.http import Request, Response
from simulators.boxes.fibsem import FibsemServer
from simulators.boxes.http import HttpPeer, Later
from simulators.fibsem.chamber import Chamber
from simulators.sample.file import Sample, load_sample

DEG = float(np.pi / 180.0)
STAGE = ChamberStageSettings(
    limits=ChamberStageLimits(x=(-2e-3, 2e-3), y=(-2e-3, 2e-3), z=(3e-3, 5e-3), tilt=(-10.0 * DEG, 60.0 * DEG))
)
BEAMS = BeamsSettings(
    limits=BeamsLimits(
        electron_voltage=(1e3, 30e3),
        electron_current=(1e-12, 1e-9),
        ion_voltage=(500.0, 30e3),
        ion_current=(1e-12, 4e-9),
        field=(2e-6, 500e-6),
        frame_time=20.0,
    )
)
MILLING = MillingSettings(limits=MillingLimits(current=(1e-12, 4e-9), voltage=(500.0, 30e3), field=(5e-6, 200e-6)))
FRAME = Frame(centre=(0.0, 0.0), size=(60e-6, 40e-6), pixels=(96, 64), dwell=1e-6)
BOX = Rectangle(width=6e-6, height=4e-6, depth=0.5e-6)
CUT = Cut((BOX,), field=60e-6, current=2e-9, voltage=30e3, seconds=60.0)


@cache
def shipped() -> Sample:
    """The shipped sample; it is never changed."""
    return load_sample("li-lipon")


class SmallWorld:
    """Only the chamber of a world."""

    def __init__(self, clock: Clock, *, seed: int = 1, hidden_errors: bool = False) -> None:
        self.clock = clock
        random = np.random.default_rng([seed, 12])
        self.chamber = Chamber.of(shipped(), clock, random, hidden_errors=hidden_errors)
        self.processes: list[Callable[[float], None]] = []

    def catch_up(self) -> None:
        for advance in self.processes:
            advance(self.clock.now())


class Watched:
    """A box that notes what it is asked, and whose answers a test may change."""

    def __init__(self, box: FibsemServer) -> None:
        self._box = box
        self.asked: list[Request] = []
        self.instead: dict[str, Callable[[Request], Response | Later]] = {}

    def answer(self, request: Request) -> Response | Later:
        self.asked.append(request)
        return self.instead.get(request.path, self._box.answer)(request)

    @property
    def paths(self) -> list[str]:
        """What was asked, in order."""
        return [request.path for request in self.asked]


@dataclass
class Office:
    """Issues tickets and takes each back once, noting what had been asked of the box by then."""

    box: Watched
    issued: int = 0
    spent: list[Ticket] = field(default_factory=list)
    before: list[str] = field(default_factory=list)

    def ticket(self, work: Frame | Cut, beam: Beam = "electron") -> Ticket:
        self.issued += 1
        return Ticket(f"exposure {self.issued}", "area", work, self, beam)

    def cut(self, cut: Cut) -> Ticket:
        return self.ticket(cut, "ion")

    def spend(self, ticket: Ticket) -> None:
        if ticket in self.spent:
            raise TicketError("the ticket is spent")
        self.spent.append(ticket)
        self.before = self.box.paths


class FibsemBench:
    """The three drivers as a rig makes them.

    waited: called in each control wait, before time passes.
    """

    def __init__(
        self, *, wrap: Callable[[Link], Link] = lambda link: link, seed: int = 1, hidden_errors: bool = False
    ) -> None:
        self.clock = VirtualClock()
        self.world = SmallWorld(self.clock, seed=seed, hidden_errors=hidden_errors)
        self.chamber = self.world.chamber
        self.box = Watched(FibsemServer(self.world))
        self.abort = AbortFlag()
        self.line = wrap(MemoryLink("fibsem", HttpPeer(self.box, self.clock), self.clock, self.abort))
        self.link = HttpLink(self.line)
        self.office = Office(self.box)
        self.guarded: list[str] = []
        self.waited: Callable[[], None] = lambda: None
        self.stage = ChamberStage(self.link, STAGE, **self._given(chamber_stage.ranges(STAGE)))
        self.beams = Beams(self.link, BEAMS, **self._given(beams.ranges(BEAMS)))
        self.milling = self.a_milling(MILLING)

    def a_milling(self, settings: MillingSettings) -> Milling:
        return Milling(self.link, settings, **self._given(milling.ranges(settings)))

    def ready(self) -> FibsemBench:
        """Beams confirmed, and nothing noted yet."""
        self.beams.set_beam("electron", 2e3, 50e-12)
        self.beams.set_beam("ion", 30e3, 20e-12)
        self.box.asked.clear()
        self.guarded.clear()
        return self

    def wait(self, seconds: float) -> None:
        assert not self.link.in_transaction
        self.waited()
        if self.abort.is_set():
            raise Aborted("stopped")
        self.clock.sleep(seconds)

    def depth(self, u: float = 0.0, v: float = 0.0) -> float:
        """How deep the piece is milled at a place, m."""
        return float(self.chamber.surface.at(np.array([u]), np.array([v]))[0][0])

    def _given(self, ranges: Mapping[str, Range]) -> dict[str, Any]:
        return {"limits": Limits(ranges), "guard": self.guarded.append, "wait": self.wait}
