"""What a rig file says about a cryostat, and the limits that follow from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from drivers.limits import Range
from drivers.rigfile import Misplaced, Strict
from physics.quantities import Kelvin, KelvinPerSecond, Seconds, Span

Node = Literal["stage", "shield", "needle"]


class CryostatLimits(Strict):
    """What the stage may be set to.

    temperature: K.  ramp: K/s, within the 0.1 to 100 K/min of the controller.
    """

    temperature: Span[Kelvin]
    ramp: Span[KelvinPerSecond]

    @model_validator(mode="after")
    def _within_the_controller(self) -> CryostatLimits:
        if not (self.ramp[0] >= 0.1 / 60 - 1e-9 and self.ramp[1] <= 100 / 60 + 1e-9):
            raise Misplaced("ramps lie between 0.1 K/min and 100 K/min", "ramp")
        return self


class CryostatSettings(Strict):
    """How the controller is wired to the cryostat.

    inputs: where each sensor is plugged in.  output: of the stage's heater.  heater_range: 1 low, 2 medium, 3 high.
    natural_cooling: how fast the cold alone takes the stage down, on average; for estimates of time.
    settle: how long the stage stays within tolerance before it counts as held.  patience: how much longer than twice
    the ramp it may take.  plausible: temperatures the sensors can have; a reading outside is a broken answer.
    """

    inputs: dict[Node, Literal["A", "B", "C", "D"]]
    output: Literal[1, 2] = 1
    heater_range: Literal[1, 2, 3] = 3
    natural_cooling: KelvinPerSecond | None = Field(default=None, gt=0.0)
    settle: Seconds = 60.0
    patience: Seconds = 3600.0
    plausible: Span[Kelvin] = (4.0, 400.0)
    limits: CryostatLimits = Field(
        default_factory=lambda: CryostatLimits(temperature=(80.0, 310.0), ramp=(0.1 / 60, 20 / 60))
    )

    @model_validator(mode="after")
    def _has_stage(self) -> CryostatSettings:
        if "stage" not in self.inputs:
            raise ValueError("inputs must say where the sensor of the stage is plugged in")
        if len(set(self.inputs.values())) != len(self.inputs):
            raise ValueError("two sensors cannot share an input")
        return self


def ranges(settings: CryostatSettings) -> dict[str, Range]:
    """The rig's limits of a cryostat by quantity."""
    limits = settings.limits
    return {
        "temperature": Range(*limits.temperature, "K"),
        "ramp": Range(*limits.ramp, "K/min"),
    }
