"""Temperature and time: cool the stage down and hold it, wait."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from acquisition.engine import Result
from physics.quantities import Kelvin, KelvinPerSecond, Seconds
from protocols.bench import StepRun
from protocols.outlook import Outlook, PostconditionError
from protocols.plan import Plan
from protocols.steps.base import Positive, Step

ROOM = 295.0  # K; where a stage stands before it is cooled, for the time estimate
LOOK = 30.0  # s between the temperatures that are kept


class CoolDown(Step):
    """Ramp the stage to a temperature and hold it there; from then on the run watches that the sample stays cold."""

    do: Literal["cool_down"] = "cool_down"
    to: Kelvin
    ramp: Annotated[KelvinPerSecond, Positive]
    hold: Annotated[Seconds, Field(ge=0.0)] = 0.0
    tolerance: Annotated[Kelvin, Positive] = 1.0

    def outlook(self, plan: Plan) -> Outlook:
        plan.see_stage(self.to, self.ramp)
        fastest = plan.cryostat.natural_cooling
        rate = self.ramp if fastest is None else min(self.ramp, fastest)
        return Outlook(abs(ROOM - self.to) / rate + self.hold)

    def run(self, run: StepRun) -> Result:
        cryostat, clock = run.rig.cryostat, run.rig.clock
        began = clock.now()
        started_at = cryostat.temperature()
        run.progress(0.0, f"ramping to {self.to:g} K")
        run.allow_warming(self.to)
        cryostat.set_temperature(self.to, self.ramp)
        reached_after = clock.now() - began
        seen = [[round(clock.now() - began, 1), round(cryostat.temperature(), 3)]]
        end = clock.now() + self.hold
        while (left := end - clock.now()) > 0.0:
            run.progress(1.0 - left / self.hold, f"holding {self.to:g} K")
            run.wait(min(left, LOOK))
            seen.append([round(clock.now() - began, 1), round(cryostat.temperature(), 3)])
        worst = max(abs(kelvin - self.to) for _, kelvin in seen)
        if not worst <= self.tolerance:
            raise PostconditionError(
                f"cool_down: while held the stage was {worst:.2f} K off {self.to:g} K, more than {self.tolerance:g} K. "
                "Check the coolant and the heater range, or allow a wider tolerance."
            )
        run.keep_cold(self.to)
        return {
            "started_at_K": round(started_at, 3),
            "kept_at_K": self.to,
            "ramp_K_per_s": self.ramp,
            "worst_deviation_K": round(worst, 3),
            "ramp_seconds": round(reached_after, 1),
            "held": seen,
        }


class Wait(Step):
    """Let time pass, with the beam blanked."""

    do: Literal["wait"] = "wait"
    for_: Annotated[Seconds, Field(ge=0.0)] = Field(alias="for")

    def outlook(self, plan: Plan) -> Outlook:
        return Outlook(self.for_)

    def run(self, run: StepRun) -> Result:
        end = run.rig.clock.now() + self.for_
        while (left := end - run.rig.clock.now()) > 0.0:
            run.progress(1.0 - left / self.for_, "waiting")
            run.wait(min(left, LOOK))
        return {"waited_seconds": self.for_}
