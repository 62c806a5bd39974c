"""The lift-out needle: four stick-slip motors that know steps and no position, and the tip they move."""

from __future__ import annotations

from math import cos, sin, sqrt
from typing import Any

import numpy as np

from simulators.constants import constants

CHANNELS = "ABCD"


class Manipulator:
    """Four motors as data/needle.yaml describes them; `counters` are the coarse steps done so far, by channel.

    What a step really moves differs from its nominal length by channel and direction, and from step to step.
    """

    def __init__(self, random: np.random.Generator, *, hidden_errors: bool) -> None:
        self._data = constants("needle")
        self._random = random
        spread = float(self._data["hidden"]) * hidden_errors
        self._lengths = {
            (channel, way): float(self._data["channels"][channel][way] * (1.0 + random.uniform(-spread, spread)))
            for channel in CHANNELS
            for way in ("forward", "back")
        }
        self._moved = dict.fromkeys(("x", "y", "z", "rotation"), 0.0)
        self.counters = dict.fromkeys(CHANNELS, 0)
        self._running: tuple[str, int, float] | None = None  # channel, steps, since when
        self._done = 0

    def tip(self) -> dict[str, float]:
        """How far the tip has moved since it was parked: x, y, z in m and rotation in rad."""
        turn, runout = self._moved["rotation"], float(self._data["runout"])
        return self._moved | {
            "x": self._moved["x"] + runout * (cos(turn) - 1.0),
            "y": self._moved["y"] + runout * sin(turn),
        }

    def start(self, channel: str, steps: int, now: float) -> float:
        """Begin to do steps (negative ones back); the clock time at which they are done."""
        self.stop(now)
        self._running = (channel, steps, now)
        return now + abs(steps) / float(self._data["rate"])

    def busy(self, now: float) -> bool:
        """True while steps are being done."""
        self.advance(now)
        return self._running is not None

    def stop(self, now: float) -> None:
        """Do no more steps."""
        self.advance(now)
        self._running = None
        self._done = 0

    def advance(self, now: float) -> None:
        """Do the steps that are due by a clock time."""
        if self._running is None:
            return
        channel, steps, began = self._running
        # a hair more: clocks round, and the step that ends the motion is due just then
        due = min(abs(steps), int((now - began) * float(self._data["rate"]) + 1e-6))
        fresh, self._done = due - self._done, due
        if fresh > 0:
            way, sign = ("forward", 1) if steps > 0 else ("back", -1)
            scatter = float(self._data["scatter"]) * sqrt(fresh) * float(self._random.normal())
            axis = self._data["channels"][channel]["axis"]
            self._moved[axis] += sign * self._lengths[channel, way] * (fresh + scatter)
            self.counters[channel] += sign * fresh
        if due == abs(steps):
            self._running, self._done = None, 0

    def state(self) -> dict[str, Any]:
        """For `recall`: what lasts of a needle that stands, as JSON."""
        return {"moved": self._moved, "counters": self.counters}

    def recall(self, state: dict[str, Any]) -> None:
        """Go on from what `state` said."""
        self._moved, self.counters = dict(state["moved"]), dict(state["counters"])
