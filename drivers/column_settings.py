"""What a rig file says about a microscope column, and the limits that follow from it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from drivers.limits import Range
from drivers.rigfile import Misplaced, Strict
from physics.quantities import Fraction, Metres, Radians, Seconds


class ColumnLimits(Strict):
    """Where the goniometer may go, and what the microscope's own scan may take.

    x, y, z: m.  a, b: tilts, rad; b stays where it is with a single-tilt holder.  dwell: s a pixel.  field: m, width.
    frame_time: s; an image cannot be cut short, and until it is over the microscope hears nothing, not even `blank`.
    """

    x: tuple[Metres, Metres]
    y: tuple[Metres, Metres]
    z: tuple[Metres, Metres]
    a: tuple[Radians, Radians]
    b: tuple[Radians, Radians] = (0.0, 0.0)
    dwell: tuple[Seconds, Seconds] = (1e-7, 1e-3)
    field: tuple[Metres, Metres] = (1e-9, 1e-4)
    frame_time: Seconds = 30.0

    @model_validator(mode="after")
    def _ordered(self) -> ColumnLimits:
        for name in ("x", "y", "z", "a", "b", "dwell", "field"):
            low, high = getattr(self, name)
            if not low <= high:
                raise Misplaced(f"the lower limit of {name} comes first", name)
        if not (self.dwell[0] > 0.0 and self.field[0] > 0.0 and self.frame_time > 0.0):
            raise ValueError("dwell, field and frame_time are positive")
        return self


class ColumnSettings(Strict):
    """How the microscope is set up.

    detector: of its own images, by the name it has there.  full_frame: pixels a side of its FULL image at binning 1.
    field_times_magnification: width of its scan field times the STEM magnification (a calibration), m.
    scan_rotation: its STEM rotation at which x and y of its images are those of the scan box.
    flyback: share of a line's time that the beam needs to get back, at most.
    landing, landing_angle: how near a goniometer that reads READY is to its target, m and rad.
    move_time: s a move of the goniometer may take.
    """

    detector: Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._-]{1,64}$")] = "HAADF"
    full_frame: Annotated[int, Field(ge=16, le=8192)] = 1024
    field_times_magnification: Annotated[Metres, Field(gt=0.0)]
    scan_rotation: Radians = 0.0
    flyback: Annotated[Fraction, Field(ge=0.0, le=2.0)] = 0.3
    landing: Annotated[Metres, Field(gt=0.0)] = 100e-9
    landing_angle: Annotated[Radians, Field(gt=0.0)] = 1e-3
    move_time: Annotated[Seconds, Field(gt=0.0)] = 120.0
    limits: ColumnLimits


def ranges(settings: ColumnSettings) -> dict[str, Range]:
    """The rig's limits of a column by quantity."""
    limits = settings.limits
    return {
        "x": Range(*limits.x, "um"),
        "y": Range(*limits.y, "um"),
        "z": Range(*limits.z, "um"),
        "a": Range(*limits.a, "deg"),
        "b": Range(*limits.b, "deg"),
        "dwell": Range(*limits.dwell, "us"),
        "field": Range(*limits.field, "nm"),
        "frame_time": Range(0.0, limits.frame_time, "s"),
    }
