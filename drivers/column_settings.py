"""What a rig file says about a microscope column, and the limits that follow from it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from drivers.limits import Range
from drivers.rigfile import CurrentCalibration, LengthCalibration, Misplaced, Strict
from physics.quantities import Fraction, Metres, Radians, Seconds


class ColumnLimits(Strict):
    """Where the goniometer may go, and what the microscope's own scan may take.

    x, y, z: m.  a, b: tilts, rad; b stays where it is with a single-tilt holder.  dwell: s a pixel.  field: m, width.
    frame_time: s; an image cannot be cut short, and until it is over the microscope hears nothing, not even `blank`.
    exposure: s of a camera's image.  shift: m that beam and image may be shifted to either side.  defocus: m, of an
    image, to either side.
    """

    x: tuple[Metres, Metres]
    y: tuple[Metres, Metres]
    z: tuple[Metres, Metres]
    a: tuple[Radians, Radians]
    b: tuple[Radians, Radians] = (0.0, 0.0)
    dwell: tuple[Seconds, Seconds] = (1e-7, 1e-3)
    field: tuple[Metres, Metres] = (1e-9, 1e-4)
    frame_time: Seconds = 30.0
    exposure: tuple[Seconds, Seconds] = (0.01, 10.0)
    shift: Metres = 2e-6
    defocus: Metres = 1e-6

    @model_validator(mode="after")
    def _ordered(self) -> ColumnLimits:
        for name in ("x", "y", "z", "a", "b", "dwell", "field", "exposure"):
            low, high = getattr(self, name)
            if not low <= high:
                raise Misplaced(f"the lower limit of {name} comes first", name)
        if not (self.dwell[0] > 0.0 and self.field[0] > 0.0 and self.frame_time > 0.0 and self.exposure[0] > 0.0):
            raise ValueError("dwell, field, frame_time and exposure are positive")
        return self


class TemSettings(Strict):
    """The TEM mode: a parallel beam as it was set up and measured once, and the camera that sees it.

    camera: by the name it has on the microscope.  full_frame: pixels a side of its FULL image at binning 1.
    magnification: index of the one that is used.  pixel: of the image at binning 1, at the sample.
    illuminated_area: what the microscope calls the disc (Titan) whose diameter is `diameter`.  current: in the disc.
    uneven: how much brighter than its mean the disc is anywhere, at most.  shutter: s for which the sample is lit
    besides the exposure, at most.  placement: m by which disc and image land beside where they were sent, at most;
    shift_uncertainty: what is added to that, a metre of shift.  spherical: aberration of the objective lens, m.
    counts_per_electron: of the camera.  settle: s that the lenses rest after a change of mode.  readout: s after the
    exposure until an image is here, at most.
    """

    camera: Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._-]{1,64}$")]
    full_frame: Annotated[int, Field(ge=16, le=8192)] = 4096
    magnification: Annotated[int, Field(ge=0, le=1000)]
    pixel: LengthCalibration
    illuminated_area: Annotated[Metres, Field(gt=0.0)]
    diameter: LengthCalibration
    current: CurrentCalibration
    uneven: Annotated[Fraction, Field(ge=0.0, le=1.0)]
    shutter: Annotated[Seconds, Field(ge=0.0)]
    placement: Annotated[Metres, Field(ge=0.0)]
    shift_uncertainty: Annotated[Fraction, Field(ge=0.0, lt=1.0)]
    spherical: Metres
    counts_per_electron: Annotated[float, Field(gt=0.0)]
    settle: Annotated[Seconds, Field(ge=0.0)] = 5.0
    readout: Annotated[Seconds, Field(gt=0.0)] = 20.0


class ColumnSettings(Strict):
    """How the microscope is set up.

    detector: of its own images, by the name it has there.  full_frame: pixels a side of its FULL image at binning 1.
    field_times_magnification: width of its scan field times the STEM magnification (a calibration), m.
    scan_rotation: its STEM rotation at which x and y of its images are those of the scan box.
    flyback: share of a line's time that the beam needs to get back, at most.
    landing, landing_angle: how near a goniometer that reads READY is to its target, m and rad.
    move_time: s a move of the goniometer may take.  tem: for images with a parallel beam; none without it.
    """

    detector: Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._-]{1,64}$")] = "HAADF"
    full_frame: Annotated[int, Field(ge=16, le=8192)] = 1024
    field_times_magnification: Annotated[Metres, Field(gt=0.0)]
    scan_rotation: Radians = 0.0
    flyback: Annotated[Fraction, Field(ge=0.0, le=2.0)] = 0.3
    landing: Annotated[Metres, Field(gt=0.0)] = 100e-9
    landing_angle: Annotated[Radians, Field(gt=0.0)] = 1e-3
    move_time: Annotated[Seconds, Field(gt=0.0)] = 120.0
    tem: TemSettings | None = None
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
        "exposure": Range(*limits.exposure, "s"),
        "shift": Range(0.0, limits.shift, "um"),
        "defocus": Range(-limits.defocus, limits.defocus, "nm"),
    }
