"""The goniometer that holds the lamella in the column: five axes of finite speed, and a sample that lands beside."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from physics.units import parse
from simulators.constants import constants

Array = NDArray[np.float64]
Way = Literal["GO", "MOVE"]

AXES = ("x", "y", "z", "a", "b")
# MOVE keeps clear of the pole piece: tilts to zero first, and back last (temscript docs, Stage.MoveTo)
ORDER = (("b",), ("a",), ("z",), ("x", "y"), ("a",), ("b",))


class Busy(Exception):
    """It moves already, and takes no other order before it stands."""


class OutOfRange(Exception):
    """A place it cannot go to."""


class Goniometer:
    """Where the holder stands at any time, m and rad, and how far that moves the lamella.

    random: of where the sample lands.  loose: False for a sample that lands where the axes read.  height: of the
    lamella above the axis of `a` while z reads 0, a share of the most there is: so it wanders along x when tilted.
    Tilting by `b` moves nothing.
    """

    def __init__(self, random: np.random.Generator, *, loose: bool, height: float = 0.0) -> None:
        numbers = constants("microscope")["goniometer"]
        kinds = {axis: "length" if axis in "xyz" else "angle" for axis in AXES}
        self.limits = {
            axis: (parse(numbers["limits"][axis][0], kind), parse(numbers["limits"][axis][1], kind))
            for axis, kind in kinds.items()
        }
        self._speed = {axis: parse(numbers["speed"][axis], kind) for axis, kind in kinds.items()}
        self._landing = parse(numbers["landing"], "length") * loose
        self._random, self._height = random, parse(numbers["height"], "length") * height
        # knots of the way: clock times, places of the axes then, and the sample's (x, y) beside them
        self._times = np.zeros(1)
        self._places = np.zeros((1, len(AXES)))
        self._beside = np.zeros((1, 2))
        self.way: Way = "GO"

    def go(self, target: dict[str, float], way: Way, now: float) -> None:
        """Set out for a place; axes that are not named stay. Raises Busy, OutOfRange."""
        if self.moving(now):
            raise Busy("Stage is not ready")
        for axis, value in target.items():
            low, high = self.limits[axis]
            if not low <= value <= high:
                raise OutOfRange(f"{axis} = {value:g} is out of range {low:g} to {high:g}")
        here = self.place(now)
        stops, times = [here], [now]
        for part, axes in enumerate([AXES] if way == "GO" else ORDER):
            stop = dict(stops[-1])
            clearing = way == "MOVE" and part < 2  # b, then a, to zero
            stop.update({axis: 0.0 if clearing else target.get(axis, here[axis]) for axis in axes})
            lasting = max(abs(stop[axis] - stops[-1][axis]) / self._speed[axis] for axis in AXES)
            if lasting > 0.0:
                stops.append(stop)
                times.append(times[-1] + lasting)
        beside = self._at(now, self._beside)[0]
        landed = self._landing * self._random.standard_normal(2) if {"x", "y"} & set(target) else beside
        share = np.linspace(0.0, 1.0, len(stops))[:, None]
        self._times = np.array(times)
        self._places = np.array([[stop[axis] for axis in AXES] for stop in stops])
        self._beside = beside + share * (landed - beside)
        self.way = way

    def moving(self, now: float) -> bool:
        """True while it has not arrived."""
        return bool(now < self._times[-1])

    def place(self, now: float) -> dict[str, float]:
        """What its axes read, m and rad."""
        return dict(zip(AXES, self._at(now, self._places)[0].tolist(), strict=True))

    def displacement(self, times: Array) -> tuple[Array, Array]:
        """How far it has carried the lamella along x and y, m, at clock times."""
        places = self._at(times, self._places)
        moved = places[:, :2] + self._at(times, self._beside)
        height, tilt = self._height + places[:, AXES.index("z")], places[:, AXES.index("a")]
        return moved[:, 0] - height * np.sin(tilt), moved[:, 1]

    def tilt(self, time: float) -> float:
        """How far the lamella is tilted about y, rad, at a clock time."""
        return float(self._at(time, self._places)[0, AXES.index("a")])

    def steady(self, time: float) -> tuple[float, float]:
        """Speed, m/s, at a clock time, and until when it stays the same."""
        later = np.flatnonzero(self._times > time)
        if len(later) == 0:
            return 0.0, np.inf
        end = float(self._times[later[0]])
        x, y = self.displacement(np.array([time, end]))
        return float(np.hypot(x[1] - x[0], y[1] - y[0]) / (end - time)), end

    def state(self) -> dict[str, Any]:
        """For `recall`: as JSON."""
        return {
            "times": self._times.tolist(),
            "places": self._places.tolist(),
            "beside": self._beside.tolist(),
            "way": self.way,
            "die": self._random.bit_generator.state,
        }

    def recall(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._times, self._places, self._beside = (np.array(state[key]) for key in ("times", "places", "beside"))
        self.way = state["way"]
        self._random.bit_generator.state = state["die"]

    def _at(self, times: float | Array, knots: Array) -> Array:
        """Values between the knots, shape (times, columns)."""
        wanted = np.atleast_1d(times)
        if wanted.min(initial=np.inf) >= self._times[-1]:  # it stands, nearly always
            return np.broadcast_to(knots[-1], (len(wanted), knots.shape[1]))
        return np.column_stack([np.interp(wanted, self._times, column) for column in knots.T])
