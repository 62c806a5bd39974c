"""A cryostat of the shipped sample's world on a virtual clock, for tests of driver and server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drivers.clock import Clock, VirtualClock
from drivers.cryostat import Cryostat, CryostatSettings, ranges
from drivers.limits import Limits
from drivers.links import AbortFlag, Link, MemoryLink, Peer
from drivers.rigfile import Optics
from simulators.cryostat_server import CryostatServer
from simulators.sample import load_sample
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
    """The shipped Li/LiPON sample in a warm cryostat."""
    return World(
        load_sample("li-lipon"),
        seed=seed,
        clock=clock,
        optics=OPTICS,
        beam_current=1e-11,
        hidden_errors=True,
        full_field=1e-6,
    )


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
    """Driver, line, server and world."""

    clock: VirtualClock
    world: World
    server: CryostatServer
    link: MemoryLink
    cryostat: Cryostat


def cold_bench(
    *,
    settings: CryostatSettings = SETTINGS,
    between: Callable[[CryostatServer], Peer] = lambda server: server,
    wait: Callable[[float], None] | None = None,
) -> ColdBench:
    """All of them; `between` puts something on the line."""
    clock = VirtualClock()
    world = a_world(clock)
    server = CryostatServer(world)
    link = MemoryLink("cryostat", between(server), clock, AbortFlag())
    return ColdBench(clock, world, server, link, a_driver(link, settings, wait=wait))
