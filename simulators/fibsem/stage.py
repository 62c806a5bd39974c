"""The stage in the chamber: it takes its time, says where it should be, and stands a little beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from drivers.clock import Clock
from drivers.pose import AXES, Pose
from physics.units import parse
from simulators.constants import constants

_DIMENSION = {"x": "length", "y": "length", "z": "length", "rotation": "angle", "tilt": "angle"}


class _Leg(NamedTuple):
    start: Pose
    end: Pose
    began: float  # clock times, s
    arrives: float


class Stage:
    """Five axes that move together, each at its speed; one move at a time."""

    def __init__(self, pose: Pose, clock: Clock, random: np.random.Generator) -> None:
        numbers = constants("chamber")["stage"]
        self._clock, self._random = clock, random
        self._speed = {axis: parse(numbers["speed"][axis], _DIMENSION[axis]) for axis in AXES}
        self._settle = parse(numbers["settle"], "time")
        self._repeat = parse(numbers["repeat"], "length")
        self.range = {axis: tuple(parse(end, _DIMENSION[axis]) for end in numbers["range"][axis]) for axis in AXES}
        self._legs = [_Leg(pose, pose, 0.0, 0.0)]
        self._beside = 0.0, 0.0

    @property
    def moving(self) -> bool:
        """True until the last move has come to rest."""
        return self._clock.now() < self._legs[-1].arrives

    def within(self, pose: Pose) -> bool:
        """Whether the stage can go there; NaN is nowhere."""
        return all(self.range[axis][0] <= value <= self.range[axis][1] for axis, value in pose.axes().items())

    def go(self, *way: Pose) -> float:
        """Set off along a way of poses, and return the clock time of arrival at the last.

        ValueError where the stage moves already or a pose is out of its range.
        """
        if self.moving or not all(self.within(pose) for pose in way):
            raise ValueError("the stage moves, or cannot go there")
        legs, start, now = [], self.read(), self._clock.now()
        for pose in way:
            far = {axis: abs(value - start.axes()[axis]) for axis, value in pose.axes().items()}
            arrives = now + self._settle + max(way / self._speed[axis] for axis, way in far.items())
            legs.append(_Leg(start, pose, now, arrives))
            start, now = pose, arrives
        if any(leg.start != leg.end for leg in legs):
            x, y = self._random.normal(0.0, self._repeat, 2)
            self._beside = float(x), float(y)
        self._legs = legs
        return now

    def read(self) -> Pose:
        """Where it says it is: on its way in straight lines."""
        now = self._clock.now()
        leg = next((leg for leg in self._legs if now < leg.arrives), self._legs[-1])
        if now >= leg.arrives:
            return leg.end
        share = (now - leg.began) / (leg.arrives - leg.began)
        start, end = leg.start.axes(), leg.end.axes()
        return Pose(**{axis: start[axis] + share * (end[axis] - start[axis]) for axis in AXES})

    def true(self) -> Pose:
        """Where it is."""
        said = self.read()
        return replace(said, x=said.x + self._beside[0], y=said.y + self._beside[1])

    def state(self) -> dict[str, Any]:
        """What another process needs to go on, at rest."""
        return {"pose": list(self._legs[-1].end.axes().values()), "beside": list(self._beside)}

    def recall(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        pose = Pose(*state["pose"])
        self._legs = [_Leg(pose, pose, 0.0, 0.0)]
        self._beside = state["beside"][0], state["beside"][1]
