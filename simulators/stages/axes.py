"""The axes of a motorised stage: trajectories, following error, servo, reference switches and what stops them."""

from __future__ import annotations

from math import copysign, sqrt
from typing import Any

import numpy as np

from drivers.pose import Pose
from simulators.constants import constants

KEPT = ("velocity", "servo", "referenced", "referencing", "tripped")
MOTION = ("_offset", "_from", "_to", "_began", "_speed", "_blocked")


class Axis:
    """One servo axis, in m or rad.

    Its trajectory is a trapezoid in velocity, and it runs `lag` s behind it; there is no hysteresis.  A position is
    counted from where the reference switch was last found, or from where the axis was switched on.
    tripped: the following error became too large and the servo went off; whoever reads it clears it.
    """

    def __init__(self, data: dict[str, Any], random: np.random.Generator) -> None:
        self._data = data
        self._random = random
        low, high = data["travel"]
        self.lowest, self.highest = float(low), float(high)
        self.fastest = self.velocity = float(data["velocity"])
        self.servo = False
        self.referenced = False
        self.referencing = False
        self.tripped = False
        self._blocked: float | None = None
        # true coordinates: 0 is where the reference switch is on average
        self._from = self._to = self._offset = float(random.uniform(low, high)) / 2.0
        self._began = 0.0
        self._speed = self.velocity

    @property
    def target(self) -> float:
        """Where the trajectory ends, as the controller counts."""
        return self._to - self._offset

    def true(self, now: float) -> float:
        """Where the axis really is, counted from the mean place of its reference switch."""
        if self._blocked is not None:
            return self._blocked
        return self._trajectory(now - float(self._data["lag"]))

    def read(self, now: float) -> float:
        """What the encoder says, with the jitter of the servo."""
        return self.true(now) - self._offset + float(self._random.normal(0.0, self._data["jitter"]))

    def moving(self, now: float) -> bool:
        """True while the axis is on its trajectory."""
        return now < self._arrival()

    def on_target(self, now: float) -> bool:
        """True when a servo that is on has held the axis within the window for the settling time."""
        settled = now >= self._arrival() + float(self._data["settling"])
        there = abs(self.true(now) - self._to) <= float(self._data["window"])
        return self.servo and not self.referencing and settled and there

    def switch(self, servo: bool, now: float) -> None:
        """Servo on, where the axis stands, or off; either ends a motion."""
        self.stop(now)
        self.servo = servo

    def go(self, target: float, now: float) -> None:
        """Head for a target from where the axis is."""
        self._start(target + self._offset, self.velocity, now)

    def find_reference(self, now: float) -> None:
        """Look for the reference switch and count from it."""
        self.referenced = False
        self.referencing = True
        found = float(self._random.normal(0.0, self._data["repeatability"]))
        self._start(found, self.velocity * float(constants("stage")["reference_speed"]), now)

    def stop(self, now: float) -> None:
        """Stay here; a reference not yet found stays unknown."""
        here = self.true(now)
        self.referencing = False
        self._from = self._to = here
        self._began = now

    def block(self, now: float) -> None:
        """Something is in the way from now on."""
        self._blocked = self.true(now)

    def release(self, now: float) -> None:
        """Nothing is in the way any more; the axis is where it was held."""
        self.stop(now)
        self._blocked = None

    def advance(self, now: float) -> None:
        """See what became of the motion by a clock time."""
        if self._from == self._to:
            return
        if abs(self._trajectory(now) - self.true(now)) > self._data["largest_error"]:
            self.stop(now)
            self.servo = False
            self.tripped = True
        elif self._blocked is None and not self.moving(now):
            self._began, self._from = self._arrival(), self._to
            if self.referencing:
                self._offset = self._to
                self.referencing = False
                self.referenced = True

    def state(self) -> dict[str, Any]:
        """For `recall`: what lasts of an axis that stands, as JSON."""
        return {name: getattr(self, name) for name in (*KEPT, *MOTION)}

    def recall(self, state: dict[str, Any]) -> None:
        """Go on from what `state` said."""
        for name in (*KEPT, *MOTION):
            setattr(self, name, state[name])

    def _start(self, to: float, speed: float, now: float) -> None:
        self._from, self._to = self.true(now), to
        self._began, self._speed = now, speed

    def _arrival(self) -> float:
        lag = float(self._data["lag"]) if self._to != self._from else 0.0
        return self._began + self._ramps()[1] + lag

    def _ramps(self) -> tuple[float, float]:
        """Duration of one ramp of the trajectory, and of all of it, s."""
        distance, acceleration = abs(self._to - self._from), float(self._data["acceleration"])
        ramp = min(self._speed / acceleration, sqrt(distance / acceleration))
        return ramp, (distance / (acceleration * ramp) + ramp if ramp else 0.0)

    def _trajectory(self, time: float) -> float:
        ramp, whole = self._ramps()
        since = time - self._began
        if since <= 0.0:
            return self._from
        if since >= whole:
            return self._to
        acceleration = float(self._data["acceleration"])
        left = whole - since
        if since < ramp:
            gone = 0.5 * acceleration * since**2
        elif left < ramp:
            gone = abs(self._to - self._from) - 0.5 * acceleration * left**2
        else:
            gone = acceleration * ramp * (since - 0.5 * ramp)
        return self._from + copysign(gone, self._to - self._from)


class Stage:
    """The axes x, y, z, rotation and tilt of data/stage.yaml."""

    def __init__(self, random: np.random.Generator) -> None:
        data = constants("stage")
        self.axes = {name: Axis(axis | data[axis["kind"]], random) for name, axis in data["axes"].items()}

    def pose(self, now: float) -> Pose:
        """Where the stage really is: what a wire tells differs from it by where the reference switches were found."""
        return Pose(**{name: axis.true(now) for name, axis in self.axes.items()})

    def referencing(self) -> bool:
        """True while an axis looks for its reference switch."""
        return any(axis.referencing for axis in self.axes.values())

    def advance(self, now: float) -> None:
        """See what became of every motion by a clock time."""
        for axis in self.axes.values():
            axis.advance(now)

    def state(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {name: axis.state() for name, axis in self.axes.items()}

    def recall(self, state: dict[str, Any]) -> None:
        """Go on from what `state` said."""
        for name, axis in self.axes.items():
            axis.recall(state[name])
