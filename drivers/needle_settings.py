"""What a rig file says about a lift-out needle, and the limits that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from pydantic import Field, model_validator

from drivers.limits import Range
from drivers.pose import Place
from drivers.rigfile import Calibration, Misplaced, Strict
from physics.quantities import Fraction, Hertz, Metres, Radians, Span
from physics.units import show


@dataclass(frozen=True)
class NeedlePosition(Place):
    """Where the tip is thought to be, in the needle's own axes: x, y, z in m; rotation in rad."""

    x: float
    y: float
    z: float
    rotation: float = 0.0


AXES: tuple[str, ...] = tuple(field.name for field in fields(NeedlePosition))


class LinearSteps(Calibration):
    """Which channel moves the axis, and how far one coarse step takes the tip, m.

    uncertainty: of the mean step, relative, bound.  scatter: of a single step, relative, rms.
    """

    channel: Literal["A", "B", "C", "D"]
    forward: Annotated[Metres, Field(gt=0.0)]
    back: Annotated[Metres, Field(gt=0.0)]
    scatter: Annotated[Fraction, Field(ge=0.0, lt=1.0)]


class RotarySteps(Calibration):
    """As LinearSteps, in rad. runout: how far off the axis of rotation the tip may stand, m."""

    channel: Literal["A", "B", "C", "D"]
    forward: Annotated[Radians, Field(gt=0.0)]
    back: Annotated[Radians, Field(gt=0.0)]
    scatter: Annotated[Fraction, Field(ge=0.0, lt=1.0)]
    runout: Annotated[Metres, Field(ge=0.0)]


class NeedleAxes(Strict):
    """The four axes of the needle on its box."""

    x: LinearSteps
    y: LinearSteps
    z: LinearSteps
    rotation: RotarySteps

    def of(self, axis: str) -> LinearSteps | RotarySteps:
        """The axis of that name."""
        found: LinearSteps | RotarySteps = getattr(self, axis)
        return found

    @model_validator(mode="after")
    def _apart(self) -> NeedleAxes:
        channels = [self.of(axis).channel for axis in AXES]
        for axis, channel in zip(AXES, channels, strict=True):
            if channels.count(channel) > 1:
                raise Misplaced(f"two axes cannot both be channel {channel}", axis, "channel")
        return self


class NeedleLimits(Strict):
    """Where the tip may be sent: lowest and highest, m and rad, in the needle's own axes."""

    x: Span[Metres]
    y: Span[Metres]
    z: Span[Metres]
    rotation: Span[Radians]

    def of(self, axis: str) -> tuple[float, float]:
        """The limits of the axis of that name."""
        found: tuple[float, float] = getattr(self, axis)
        return found


class Parked(Strict):
    """Where the tip is out of everybody's way. within: how near to it counts as there, m."""

    x: Metres
    y: Metres
    z: Metres
    within: Annotated[Metres, Field(gt=0.0)]

    def distance(self, tip: NeedlePosition) -> float:
        """How far a tip is from here, m."""
        return math.dist((self.x, self.y, self.z), (tip.x, tip.y, tip.z))


class NeedleSettings(Strict):
    """How the needle hangs on its box.

    step_rate: at which the box does coarse steps.  blind_steps: how many at most may be done at once while nobody knows
    where the tip is.
    """

    axes: NeedleAxes
    limits: NeedleLimits
    parked: Parked
    step_rate: Annotated[Hertz, Field(ge=10.0, le=20e3)] = 1e3
    blind_steps: int = Field(default=10, ge=0)

    @model_validator(mode="after")
    def _can_be_parked(self) -> NeedleSettings:
        for axis, place in (("x", self.parked.x), ("y", self.parked.y), ("z", self.parked.z)):
            low, high = self.limits.of(axis)
            if not low <= place <= high:
                raise Misplaced(
                    f"{show(place, 'um')} is outside the limits of {axis}, {show(low, 'um')} to {show(high, 'um')}, "
                    "so the needle could never be parked",
                    "parked",
                    axis,
                )
        return self


def ranges(settings: NeedleSettings) -> dict[str, Range]:
    """The rig's limits of a needle by axis."""
    return {axis: Range(*settings.limits.of(axis), "um" if axis in "xyz" else "deg") for axis in AXES}
