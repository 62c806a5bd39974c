"""The stage in the chamber: it takes its time, says where it should be, and stands a little beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from drivers.clock import Clock
from drivers.pose import AXES, Pose
from physics.units import parse
from simulators.constants import constants

_DIMENSION = {"x": "length", "y": "length", "z": "length", "rotation": "angle", "tilt": "angle"}


class Stage:
    """Five axes that move together, each at its speed; one move at a time."""

    def __init__(self, pose: Pose, clock: Clock, random: np.random.Generator) -> None:
        numbers = constants("chamber")["stage"]
        self._clock, self._random = clock, random
        self._speed = {axis: parse(numbers["speed"][axis], _DIMENSION[axis]) for axis in AXES}
        self._settle = parse(numbers["settle"], "time")
        self._repeat = parse(numbers["repeat"], "length")
        self.range = {axis: tuple(parse(end, _DIMENSION[axis]) for end in numbers["range"][axis]) for axis in AXES}
        self._from, self._to = pose, pose
        self._began, self._arrives = 0.0, 0.0
        self._beside = 0.0, 0.0

    @property
    def moving(self) -> bool:
        """True until the last move has come to rest."""
        return self._clock.now() < self._arrives

    def within(self, pose: Pose) -> bool:
        """Whether the stage can go there; NaN is nowhere."""
        return all(self.range[axis][0] <= value <= self.range[axis][1] for axis, value in pose.axes().items())

    def go(self, pose: Pose) -> float:
        """Set off, and return the clock time of arrival; only where the stage is at rest and the pose within range."""
        if self.moving or not self.within(pose):
            raise ValueError("the stage moves, or cannot go there")
        self._from, self._to, self._began = self.read(), pose, self._clock.now()
        ways = {axis: abs(value - self._from.axes()[axis]) for axis, value in pose.axes().items()}
        self._arrives = self._began + self._settle + max(way / self._speed[axis] for axis, way in ways.items())
        if any(ways.values()):
            x, y = self._random.normal(0.0, self._repeat, 2)
            self._beside = float(x), float(y)
        return self._arrives

    def read(self) -> Pose:
        """Where it says it is: on its way in a straight line."""
        if not self.moving:
            return self._to
        share = (self._clock.now() - self._began) / (self._arrives - self._began)
        start, end = self._from.axes(), self._to.axes()
        return Pose(**{axis: start[axis] + share * (end[axis] - start[axis]) for axis in AXES})

    def true(self) -> Pose:
        """Where it is."""
        said = self.read()
        return replace(said, x=said.x + self._beside[0], y=said.y + self._beside[1])

    def state(self) -> dict[str, Any]:
        """What another process needs to go on, at rest."""
        return {"pose": list(self._to.axes().values()), "beside": list(self._beside)}

    def recall(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._from = self._to = Pose(*state["pose"])
        self._arrives, self._beside = 0.0, (state["beside"][0], state["beside"][1])
