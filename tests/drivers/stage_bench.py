"""A stage of the world on a virtual clock, for tests of its mechanics, server and driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from drivers.clock import Clock, VirtualClock
from drivers.limits import Limits
from drivers.links import AbortFlag, Link, MemoryLink, Peer
from drivers.pose import Pose
from drivers.stage import Stage, StageSettings, ranges
from simulators.boxes.stage import NAMES, StageServer
from simulators.stages.axes import Stage as Mechanics
from simulators.world import World

SETTINGS = StageSettings.model_validate(
    {
        "axes": {axis: {"name": name} for axis, name in NAMES.items()},
        "limits": {
            "x": ["-5 mm", "5 mm"],
            "y": ["-5 mm", "5 mm"],
            "z": ["-3 mm", "3 mm"],
            "rotation": ["-180 deg", "180 deg"],
            "tilt": ["-60 deg", "60 deg"],
        },
    }
)
ORIGIN = Pose(0.0, 0.0, 0.0, 0.0, 0.0)
THERE = Pose(1e-3, -2e-3, 0.5e-3, 0.3, -0.2)


class StageWorld:
    """The part of the world a stage's server needs, made in no time."""

    def __init__(self, clock: Clock, seed: int = 1) -> None:
        self.clock = clock
        self.stage = Mechanics(np.random.default_rng([seed, 10]))

    def catch_up(self) -> None:
        self.stage.advance(self.clock.now())


def a_server(world: StageWorld, *, names: Mapping[str, str] = NAMES, knows_units: bool = True) -> StageServer:
    return StageServer(cast(World, world), names=names, knows_units=knows_units)


def a_driver(
    link: Link,
    settings: StageSettings = SETTINGS,
    *,
    guard: Callable[[str], None] = lambda command: None,
    wait: Callable[[float], None] | None = None,
) -> Stage:
    """The driver, with a control wait that only lets the clock go on."""
    return Stage(link, settings, limits=Limits(ranges(settings)), guard=guard, wait=wait or link.clock.sleep)


@dataclass
class StageBench:
    """Driver, line, server and mechanics."""

    clock: VirtualClock
    world: StageWorld
    server: StageServer
    link: Link
    stage: Stage

    def truth(self) -> Pose:
        """Where the stage really is."""
        self.world.catch_up()
        return self.world.stage.pose(self.clock.now())

    def referenced(self) -> StageBench:
        """Opened and referenced."""
        self.stage.open()
        self.stage.reference()
        return self


def stage_bench(
    *,
    settings: StageSettings = SETTINGS,
    seed: int = 1,
    between: Callable[[Peer], Peer] = lambda server: server,
    around: Callable[[Link], Link] = lambda link: link,
    guard: Callable[[str], None] = lambda command: None,
    wait: Callable[[VirtualClock, float], None] = VirtualClock.sleep,
    knows_units: bool = True,
) -> StageBench:
    """All of them; `between` puts something before the box, `around` something on the line."""
    clock = VirtualClock()
    world = StageWorld(clock, seed)
    server = a_server(world, knows_units=knows_units)
    link = around(MemoryLink("stage", between(server), clock, AbortFlag()))
    stage = a_driver(link, settings, guard=guard, wait=lambda seconds: wait(clock, seconds))
    return StageBench(clock, world, server, link, stage)


def apart(one: Pose, other: Pose) -> tuple[float, float]:
    """Largest difference of two poses: m, and rad."""
    ways = {axis: abs(value - other.axes()[axis]) for axis, value in one.axes().items()}
    return max(ways[axis] for axis in "xyz"), max(ways["rotation"], ways["tilt"])
