"""What a rig file says about milling with the ion beam of a FIB-SEM, and the limits that follow from it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from drivers.limits import Range
from drivers.rigfile import Strict
from physics.quantities import Amps, Fraction, Metres, PositiveSpan, Seconds, Volts


class MillingLimits(Strict):
    """What a cut may be, lowest and highest.

    field: width of the ion image in which it is drawn.  seconds: the beam is on at most.  imaging_current: more than
    this is no current to go back to after a cut.
    """

    current: PositiveSpan[Amps]
    voltage: PositiveSpan[Volts]
    field: PositiveSpan[Metres]
    seconds: Annotated[Seconds, Field(gt=0.0)] = 7200.0
    imaging_current: Annotated[Amps, Field(gt=0.0)] = 100e-12


class MillingSettings(Strict):
    """How the ion beam mills.

    tolerance: relative, of current, voltage and field as they are read back.  believable: of the time the box works out
    for a cut, the least after which it can be over.  application_file: of a Thermo Fisher column.  preset: of a TESCAN
    one, whose preset decides on current and voltage.  patience: how long a cut may be held at the microscope.
    """

    tolerance: Annotated[Fraction, Field(gt=0.0, lt=0.5)] = 0.05
    believable: Annotated[Fraction, Field(ge=0.0, le=1.0)] = 0.5
    application_file: str = "Si"
    patterning_mode: Literal["Serial", "Parallel"] = "Serial"
    preset: str = ""
    patience: Annotated[Seconds, Field(gt=0.0)] = 3600.0
    limits: MillingLimits


def ranges(settings: MillingSettings) -> dict[str, Range]:
    """The rig's limits of a cut by quantity."""
    limits = settings.limits
    return {
        "current": Range(*limits.current, "pA"),
        "voltage": Range(*limits.voltage, "kV"),
        "field": Range(*limits.field, "um"),
        "seconds": Range(0.0, limits.seconds, "s"),
        "imaging_current": Range(0.0, limits.imaging_current, "pA"),
    }
