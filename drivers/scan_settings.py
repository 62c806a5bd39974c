"""What a rig file says about a scan box, and the limits that follow from it."""

from __future__ import annotations

from pydantic import Field, model_validator

from drivers.limits import Range
from drivers.rigfile import Misplaced, Strict
from drivers.wire.obi import DAC_STEPS, LONGEST_DWELL, SAMPLE
from physics.quantities import Metres, PositiveSpan, Seconds

ROUNDING = 1e-9  # relative; what floats lose, far less than a DAC step


class ScanLimits(Strict):
    """What a frame may be.

    dwell: s a pixel, within the 125 ns to 8.192 ms of the box.  field: m, width and height of a frame.
    frame_time: s; a frame that the box has cannot be cut short, so this is how long it may take to blank.
    """

    dwell: PositiveSpan[Seconds] = (SAMPLE, LONGEST_DWELL * SAMPLE)
    field: PositiveSpan[Metres]
    frame_time: Seconds = 60.0

    @model_validator(mode="after")
    def _within_the_box(self) -> ScanLimits:
        shortest, longest = SAMPLE * (1.0 - ROUNDING), LONGEST_DWELL * SAMPLE * (1.0 + ROUNDING)
        if not (shortest <= self.dwell[0] and self.dwell[1] <= longest):
            raise Misplaced("dwells lie between 125 ns and 8.192 ms", "dwell")
        if not self.frame_time > 0.0:
            raise Misplaced("a frame takes time", "frame_time")
        return self


class ScanSettings(Strict):
    """How the box is set up on the column.

    full_field: what 16384 steps of its converters scan, m.  counts_per_electron: what one electron counted by the
    detector adds to a pixel of one 125 ns sample.  dark_level: mean of a pixel with the beam blanked.
    """

    full_field: Metres
    counts_per_electron: float = Field(gt=0.0, allow_inf_nan=False)
    dark_level: float = Field(ge=0.0, allow_inf_nan=False)
    limits: ScanLimits

    @model_validator(mode="after")
    def _fits(self) -> ScanSettings:
        if not self.limits.field[1] <= self.full_field:
            raise ValueError("no field is larger than full_field")
        return self


def ranges(settings: ScanSettings) -> dict[str, Range]:
    """The rig's limits of a scan by quantity; position is where an edge of a frame may lie."""
    limits = settings.limits
    edge = settings.full_field * (0.5 + 0.5 / DAC_STEPS)  # rounding may move a full frame by half a step
    return {
        "dwell": Range(limits.dwell[0] * (1.0 - ROUNDING), limits.dwell[1] * (1.0 + ROUNDING), "us"),
        "field": Range(limits.field[0] * (1.0 - ROUNDING), limits.field[1] * (1.0 + ROUNDING), "nm"),
        "frame_time": Range(0.0, limits.frame_time, "s"),
        "position": Range(-edge, edge, "nm"),
    }
