"""What a rig file says about the beams of a FIB-SEM, and the limits that follow from it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from drivers.limits import Range
from drivers.rigfile import Strict
from physics.quantities import Amps, Fraction, Metres, PositiveSpan, Radians, Seconds, Volts


class BeamsLimits(Strict):
    """What the beams may be set to, lowest and highest.

    field: width of a frame.  dwell: s a pixel.  frame_time: s; a frame that the box has cannot be cut short.
    shift: of a beam along x or y, in each direction.  scan_rotation: in each direction.
    """

    electron_voltage: PositiveSpan[Volts]
    electron_current: PositiveSpan[Amps]
    ion_voltage: PositiveSpan[Volts]
    ion_current: PositiveSpan[Amps]
    field: PositiveSpan[Metres]
    dwell: PositiveSpan[Seconds] = (25e-9, 1e-3)
    frame_time: Annotated[Seconds, Field(gt=0.0)] = 60.0
    working_distance: PositiveSpan[Metres] = (1e-3, 40e-3)
    shift: Annotated[Metres, Field(ge=0.0)] = 20e-6
    scan_rotation: Annotated[Radians, Field(ge=0.0)] = 3.1415927


class BeamsSettings(Strict):
    """How near to what was asked for a beam must be.

    tolerance: relative, of voltage, current, working distance and the other numbers of a beam.
    """

    tolerance: Annotated[Fraction, Field(gt=0.0, lt=0.5)] = 0.05
    limits: BeamsLimits


ROUNDING = 1e-9  # relative; what floats lose


def ranges(settings: BeamsSettings) -> dict[str, Range]:
    """The rig's limits of the beams by quantity."""
    limits = settings.limits
    short, long = limits.dwell
    return {
        "electron_voltage": Range(*limits.electron_voltage, "kV"),
        "electron_current": Range(*limits.electron_current, "pA"),
        "ion_voltage": Range(*limits.ion_voltage, "kV"),
        "ion_current": Range(*limits.ion_current, "pA"),
        "field": Range(*limits.field, "um"),
        "dwell": Range(short * (1.0 - ROUNDING), long * (1.0 + ROUNDING), "us"),
        "frame_time": Range(0.0, limits.frame_time, "s"),
        "working_distance": Range(*limits.working_distance, "mm"),
        "shift": Range(-limits.shift, limits.shift, "um"),
        "scan_rotation": Range(-limits.scan_rotation, limits.scan_rotation, "deg"),
    }
