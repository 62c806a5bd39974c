"""A needle of the world on a virtual clock, for tests of its motors, server and driver."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from drivers.clock import Clock, VirtualClock
from drivers.limits import Limits
from drivers.links import AbortFlag, Link, MemoryLink, Peer
from drivers.needle import Needle, NeedlePosition, NeedleSettings, ranges
from simulators.boxes.needle import NeedleServer
from simulators.stages.manipulator import Manipulator
from simulators.world import World

CALIBRATED = {"uncertainty": "10 %", "scatter": "20 %", "taken": "at opening", "valid_for": "720 h"}
SETTINGS = NeedleSettings.model_validate(
    {
        "axes": {
            "x": {"channel": "A", "forward": "210 nm", "back": "190 nm", **CALIBRATED},
            "y": {"channel": "B", "forward": "220 nm", "back": "200 nm", **CALIBRATED},
            "z": {"channel": "C", "forward": "180 nm", "back": "200 nm", **CALIBRATED},
            "rotation": {
                "channel": "D",
                "forward": "0.0206 deg",
                "back": "0.0195 deg",
                "runout": "300 nm",
                **CALIBRATED,
            },
        },
        "limits": {
            "x": ["-200 um", "200 um"],
            "y": ["-200 um", "200 um"],
            "z": ["-50 um", "600 um"],
            "rotation": ["-180 deg", "180 deg"],
        },
        "parked": {"x": "0 um", "y": "0 um", "z": "500 um", "within": "100 um"},
    }
)
PARKED = NeedlePosition(0.0, 0.0, 500e-6)
HERE = NeedlePosition(0.0, 0.0, 100e-6)


class NeedleWorld:
    """The part of the world a needle's server needs, made in no time."""

    def __init__(self, clock: Clock, seed: int = 1) -> None:
        self.clock = clock
        self.needle = Manipulator(np.random.default_rng([seed, 11]), hidden_errors=True)

    def catch_up(self) -> None:
        self.needle.advance(self.clock.now())


def a_server(world: NeedleWorld) -> NeedleServer:
    return NeedleServer(cast(World, world))


def a_driver(
    link: Link,
    settings: NeedleSettings = SETTINGS,
    *,
    guard: Callable[[str], None] = lambda command: None,
    wait: Callable[[float], None] | None = None,
) -> Needle:
    """The driver, with a control wait that only lets the clock go on."""
    return Needle(link, settings, limits=Limits(ranges(settings)), guard=guard, wait=wait or link.clock.sleep)


@dataclass
class NeedleBench:
    """Driver, line, server and motors; the tip stood at `began` when the bench was made."""

    clock: VirtualClock
    world: NeedleWorld
    server: NeedleServer
    link: Link
    needle: Needle
    began: NeedlePosition = HERE

    def truth(self) -> NeedlePosition:
        """Where the tip really is, in the needle's own axes."""
        self.world.catch_up()
        moved = self.world.needle.tip()
        return NeedlePosition(**{axis: value + moved[axis] for axis, value in self.began.axes().items()})

    def fixed(self, uncertainty: float = 1e-6) -> NeedleBench:
        """Opened, and an image has just shown where the tip is."""
        self.needle.open()
        self.needle.fix(self.truth(), uncertainty)
        return self

    def error(self) -> float:
        """How far the tip really is from where it is thought to be, m."""
        true, thought = self.truth(), self.needle.position()
        return math.dist((true.x, true.y, true.z), (thought.x, thought.y, thought.z))


def needle_bench(
    *,
    settings: NeedleSettings = SETTINGS,
    seed: int = 1,
    between: Callable[[Peer], Peer] = lambda server: server,
    around: Callable[[Link], Link] = lambda link: link,
    guard: Callable[[str], None] = lambda command: None,
    wait: Callable[[VirtualClock, float], None] = VirtualClock.sleep,
    began: NeedlePosition = HERE,
) -> NeedleBench:
    """All of them; `between` puts something before the box, `around` something on the line."""
    clock = VirtualClock()
    world = NeedleWorld(clock, seed)
    server = a_server(world)
    link = around(MemoryLink("needle", between(server), clock, AbortFlag()))
    needle = a_driver(link, settings, guard=guard, wait=lambda seconds: wait(clock, seconds))
    return NeedleBench(clock, world, server, link, needle, began)
