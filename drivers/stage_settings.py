"""What a rig file says about a stage, and the limits that follow from it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from drivers.limits import Range
from drivers.pose import AXES, StageLimits
from drivers.rigfile import Misplaced, Strict
from physics.quantities import Metres, Radians, Seconds
from physics.units import parse

AxisName = Literal["x", "y", "z", "rotation", "tilt"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,16}$")]


class LinearAxis(Strict):
    """How the controller calls an axis and what it counts in.

    deviation: how far from its target the axis may stand or pass, m, before a move counts as failed.
    """

    name: Name
    unit: Literal["mm", "um"] = "mm"
    deviation: Annotated[Metres, Field(gt=0.0)] = 2e-6

    @property
    def scale(self) -> float:
        """Metres that one of the controller's units is."""
        return parse(f"1 {self.unit}", "length")


class RotaryAxis(Strict):
    """As a LinearAxis. deviation: rad."""

    name: Name
    unit: Literal["deg", "mrad"] = "deg"
    deviation: Annotated[Radians, Field(gt=0.0)] = 2e-4

    @property
    def scale(self) -> float:
        """Radians that one of the controller's units is."""
        return parse(f"1 {self.unit}", "angle")


class StageAxes(Strict):
    """The five axes of the stage on its controller."""

    x: LinearAxis
    y: LinearAxis
    z: LinearAxis
    rotation: RotaryAxis
    tilt: RotaryAxis

    def of(self, axis: str) -> LinearAxis | RotaryAxis:
        """The axis of that name."""
        found: LinearAxis | RotaryAxis = getattr(self, axis)
        return found

    @model_validator(mode="after")
    def _apart(self) -> StageAxes:
        names = [self.of(axis).name for axis in AXES]
        for axis, name in zip(AXES, names, strict=True):
            if names.count(name) > 1:
                raise Misplaced(f'two axes cannot both be "{name}" of the controller', axis, "name")
        return self


class StageSettings(Strict):
    """How the stage hangs on its controller.

    reference_order: in which order the axes look for their reference switches, one after the other; what gets out of
    the way goes first.  tells_units: the controller has the query PUN?, so that its units can be seen; without it they
    are assumed to be as written here.  patience: how much longer than twice the reckoned time a motion may take.
    """

    axes: StageAxes
    limits: StageLimits
    reference_order: tuple[AxisName, ...] = ("z", "tilt", "rotation", "x", "y")
    tells_units: bool = True
    patience: Annotated[Seconds, Field(gt=0.0)] = 10.0

    @model_validator(mode="after")
    def _each_once(self) -> StageSettings:
        if sorted(self.reference_order) != sorted(AXES):
            raise Misplaced(f"each of {', '.join(AXES)} is referenced once", "reference_order")
        return self


def ranges(settings: StageSettings) -> dict[str, Range]:
    """The rig's limits of a stage by axis."""
    return settings.limits.ranges()
