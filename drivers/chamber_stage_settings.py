"""What a rig file says about the stage in the chamber of a FIB-SEM, and the limits that follow from it."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from drivers.limits import Range
from drivers.pose import StageLimits
from drivers.rigfile import Misplaced, Strict
from physics.quantities import Metres, Radians, Seconds, Span


class ChamberStageLimits(StageLimits):
    """Where the stage may go, within what its own software allows; it turns all the way round if nothing is said."""

    rotation: Span[Radians] = (-math.pi, math.pi)

    @model_validator(mode="after")
    def _tilts(self) -> ChamberStageLimits:
        if not (-math.pi / 2 <= self.tilt[0] and self.tilt[1] <= math.pi / 2):
            raise Misplaced("a stage tilts by 90 deg at most", "tilt")
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
    return settings.limits.ranges()
