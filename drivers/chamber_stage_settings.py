"""What a rig file says about the stage in the chamber of a FIB-SEM, and the limits that follow from it."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from drivers.limits import Range
from drivers.pose import AXES
from drivers.rigfile import Strict
from physics.quantities import Metres, Radians, Seconds


class ChamberStageLimits(Strict):
    """Where the stage may go, within what its own software allows; lowest and highest of each axis."""

    x: tuple[Metres, Metres]
    y: tuple[Metres, Metres]
    z: tuple[Metres, Metres]
    rotation: tuple[Radians, Radians] = (-math.pi, math.pi)
    tilt: tuple[Radians, Radians]

    @model_validator(mode="after")
    def _ordered(self) -> ChamberStageLimits:
        if not all(getattr(self, axis)[0] < getattr(self, axis)[1] for axis in AXES):
            raise ValueError("of each axis the lower end comes first")
        if not (-math.pi / 2 <= self.tilt[0] and self.tilt[1] <= math.pi / 2):
            raise ValueError("a stage tilts by 90 deg at most")
        return self


class ChamberStageSettings(Strict):
    """How well the stage of a FIB-SEM is to arrive, and how long it may take.

    tolerance: along x, y, z.  angle_tolerance: of rotation and tilt.  move_time: of the longest move there is.
    """

    tolerance: Annotated[Metres, Field(gt=0.0)] = 1e-6
    angle_tolerance: Annotated[Radians, Field(gt=0.0, lt=0.1)] = math.radians(0.1)
    move_time: Annotated[Seconds, Field(gt=0.0)] = 180.0
    limits: ChamberStageLimits


def ranges(settings: ChamberStageSettings) -> dict[str, Range]:
    """The rig's limits of the stage by axis."""
    limits = settings.limits
    return {
        "x": Range(*limits.x, "mm"),
        "y": Range(*limits.y, "mm"),
        "z": Range(*limits.z, "mm"),
        "rotation": Range(*limits.rotation, "deg"),
        "tilt": Range(*limits.tilt, "deg"),
    }
