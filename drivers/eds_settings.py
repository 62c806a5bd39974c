"""What a rig file says about an X-ray pulse processor, and the limits that follow from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from drivers.limits import Range
from drivers.rigfile import Strict
from physics.quantities import ElectronVolts, PositiveSpan, Seconds


class EdsLimits(Strict):
    """What the shaper may be set to: peaking_time, s, shortest and longest."""

    peaking_time: PositiveSpan[Seconds] = (0.4e-6, 10e-6)


class EdsSettings(Strict):
    """How the pulse processor is set and calibrated.

    ev_per_channel, offset: measured calibration, energy = offset + channel * ev_per_channel at the given gain.
    peaking_time, flat_top: of the slow channel.  fast_dead_time: of the fast channel, which is its peaking time.
    slow_threshold: smallest pulse that is recorded.  fast_threshold: smallest pulse that the fast channel counts; where
    light elements lie below it the dead time reads too low.
    """

    channels: Literal[256, 512, 1024, 2048, 4096, 8192]
    ev_per_channel: ElectronVolts
    offset: ElectronVolts
    gain: float = Field(default=100.0, ge=0.75, le=500.0)
    peaking_time: Seconds = 2.4e-6
    flat_top: Seconds = 0.2e-6
    fast_dead_time: Seconds = 100e-9
    slow_threshold: ElectronVolts = 100.0
    fast_threshold: ElectronVolts = 150.0
    limits: EdsLimits = Field(default_factory=EdsLimits)

    @model_validator(mode="after")
    def _consistent(self) -> EdsSettings:
        if not self.ev_per_channel > 0.0:
            raise ValueError("ev_per_channel is more than 0")
        if round(self.fast_dead_time * 1e9) not in (50, 100, 200, 400):
            raise ValueError("fast_dead_time is 50, 100, 200 or 400 ns")
        return self

    @property
    def full_scale(self) -> float:
        """Energy at the upper end of the channels, eV."""
        return self.channels * self.ev_per_channel


def ranges(settings: EdsSettings) -> dict[str, Range]:
    """The rig's limits of a pulse processor by quantity."""
    return {"peaking_time": Range(*settings.limits.peaking_time, "us")}
