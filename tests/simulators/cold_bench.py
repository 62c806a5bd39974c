"""A cryostat of the shipped sample's world on a virtual clock, for tests of driver and server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from drivers.clock import Clock, VirtualClock
from drivers.cryostat import Cryostat, CryostatSettings, ranges
from drivers.limits import Limits
from drivers.links import AbortFlag, Link, MemoryLink, Peer
from drivers.rigfile import Optics
from drivers.wire.lakeshore import SPACING
from simulators.boxes.cryostat import CryostatServer
from simulators.sample.file import load_sample
from simulators.stages import thermal
from simulators.world import World

OPTICS = Optics(
    beam_energy=300e3,
    convergence=0.02,
    probe_fwhm=2e-10,
    dark_field=(0.06, 0.2),
    eds_solid_angle=0.9,
    eds_elevation=0.3,
    eds_azimuth=0.0,
    eds_fwhm_mn=130.0,
)
SETTINGS = CryostatSettings(inputs={"stage": "A", "shield": "B"})


def a_world(clock: Clock, seed: int = 1) -> World:
    """The whole world of the shipped Li/LiPON sample, in a warm cryostat."""
    return World(
        load_sample("li-lipon"),
        seed=seed,
        clock=clock,
        optics=OPTICS,
        beam_current=1e-11,
        hidden_errors=True,
        full_field=1e-6,
    )


class ColdWorld:
    """The part of the world a cryostat's server needs, made in no time: the world's own cryostat, and no sample."""

    def __init__(self, clock: Clock, seed: int = 1) -> None:
        self.clock = clock
        self.cryostat = thermal.Cryostat(np.random.default_rng(seed))
        self.processes: list[Callable[[float], None]] = [self.cryostat.advance]

    def catch_up(self) -> None:
        for advance in self.processes:
            advance(self.clock.now())


def a_server(world: World | ColdWorld, *, spacing: float = SPACING) -> CryostatServer:
    """The box in front of either world."""
    return CryostatServer(cast(World, world), spacing=spacing)


def a_driver(
    link: Link,
    settings: CryostatSettings = SETTINGS,
    *,
    guard: Callable[[str], None] = lambda command: None,
    wait: Callable[[float], None] | None = None,
) -> Cryostat:
    """The driver, with a control wait that only lets the clock go on."""
    return Cryostat(link, settings, limits=Limits(ranges(settings)), guard=guard, wait=wait or link.clock.sleep)


@dataclass
class ColdBench:
    """Driver, line, server and world, opened."""

    clock: VirtualClock
    world: ColdWorld
    server: CryostatServer
    link: Link
    cryostat: Cryostat

    @property
    def stage(self) -> float:
        """True temperature of the stage, K."""
        return self.world.cryostat.temperature("stage")


def cold_bench(
    *,
    settings: CryostatSettings = SETTINGS,
    between: Callable[[CryostatServer], Peer] = lambda server: server,
    around: Callable[[Link], Link] = lambda link: link,
    wait: Callable[[float], None] | None = None,
) -> ColdBench:
    """All of them; `between` puts something before the box, `around` something on the line."""
    clock = VirtualClock()
    world = ColdWorld(clock)
    server = a_server(world)
    link = around(MemoryLink("cryostat", between(server), clock, AbortFlag()))
    cryostat = a_driver(link, settings, wait=wait)
    cryostat.open()
    return ColdBench(clock, world, server, link, cryostat)
