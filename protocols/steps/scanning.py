"""Steps that scan: move the scan field, check the focus beside the area, take a dark-field image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from acquisition.analysis.sharpness import sharpness
from acquisition.datafile import DataFile
from acquisition.engine import Result
from physics.dose import E_PER_A2, dwell_for
from physics.quantities import Fluence, Metres, Seconds
from protocols.bench import StepRun
from protocols.outlook import Exposure, Outlook, PostconditionError, StepError
from protocols.plan import Dwell, Framed, Plan
from protocols.steps.base import Positive, Step
from protocols.steps.shot import Pixels, Shot, dark_field, shoot, square

SETTLE = 5.0  # s a scan field rests after it was moved
SURE = 3.0  # standard errors from which detail is believed


class MoveStage(Step):
    """Move the scan field to a saved area; steps that name no area mean this one from then on."""

    do: Literal["move_stage"] = "move_stage"
    to: str

    def outlook(self, plan: Plan) -> Outlook:
        return Outlook(SETTLE, moves_to=plan.area(self.to))

    def run(self, run: StepRun) -> Result:
        area = run.area(self.to)
        run.wait(SETTLE)
        return {"to": area}


class StemImage(Step):
    """One dark-field image of an area."""

    do: Literal["stem_image"] = "stem_image"
    of: str | None = None
    pixels: Pixels = (512, 512)
    field: Annotated[Metres, Positive]
    dwell: Annotated[Seconds, Positive]

    @property
    def once(self) -> bool:
        return True

    def outlook(self, plan: Plan) -> Outlook:
        area = plan.area(self.of)
        frame = plan.frame(area, square(self.field, self.pixels), self.pixels, lambda _: self.dwell)
        return Outlook(frame.seconds, (Exposure(area, frame),))

    def run(self, run: StepRun) -> Result:
        area = run.area(self.of)
        frame = run.frame(area, square(self.field, self.pixels), self.pixels, lambda _: self.dwell)
        name, shot, facts = single_image(run, area, frame, f"dark field of {area}")
        return {"file": name, "mean_counts": round(float(shot.image.mean()), 2), **facts}


class Focus(Step):
    """Look, on an area given up for it, whether the beam is there and how sharp it is.

    on: the area.  dose: of the image.  The rig of this version drives no lens: the step measures, and stops the recipe
    when the frame shows nothing, so that a person can focus on the same area and `--redo` it.
    """

    do: Literal["focus"] = "focus"
    on: str
    dose: Annotated[Fluence, Positive]
    field: Annotated[Metres, Positive] = 200e-9
    pixels: Pixels = (256, 256)

    @property
    def once(self) -> bool:
        return True

    def outlook(self, plan: Plan) -> Outlook:
        area = plan.area(self.on)
        current = plan.books.belief.current
        frame = plan.frame(area, square(self.field, self.pixels), self.pixels, self._dwell(current))
        return Outlook(frame.seconds, (Exposure(area, frame),))

    def run(self, run: StepRun) -> Result:
        area = run.area(self.on)
        current = run.ledger.belief.current
        frame = run.frame(area, square(self.field, self.pixels), self.pixels, self._dwell(current))
        name, shot, facts = single_image(run, area, frame, f"focus on {area}")
        electrons = run.rig.scan.electrons(shot.image, frame.commanded.dwell)
        finest = 4.0 * max(frame.commanded.pitch)
        if not electrons.mean() > 0.0:
            raise PostconditionError(f'focus: the frame on area "{area}" is dark. Is the beam on, and the column open?')
        seen = sharpness(electrons, frame.commanded.pitch, counts_per_electron=1.0, detail=(finest, self.field / 2))
        if not seen.value > SURE * seen.error:
            raise PostconditionError(
                f'focus: nothing but noise is seen on area "{area}" (sharpness {seen.value:.2e} +- {seen.error:.1e}). '
                "Focus the probe by hand on that area, or choose one with structure, then `--redo` the step."
            )
        return {"file": name, "sharpness": seen.value, "sharpness_error": seen.error, **facts}

    def _dwell(self, current: float) -> Dwell:
        return lambda pitch: dwell_for(self.dose, current, *pitch)


def single_image(
    run: StepRun,
    area: str,
    frame: Framed,
    title: str,
    look: Callable[[DataFile, Shot], dict[str, Any]] = lambda file, shot: {},
) -> tuple[str, Shot, dict[str, Any]]:
    """Expose one frame into a file of its own; its name, the shot, and what it cost.

    look: may file more of the shot; what it gives is among the facts.  Raises StepError where only the remainder is
    asked for and the frame was begun: it counts as delivered.
    """
    ordinal = run.execution.ordinal
    if run.execution.remainder and run.passes_begun():
        raise StepError(
            f"{run.execution.step.do}: its only frame was begun, so nothing of it is left to deliver. "
            f"Say `--skip {ordinal}`, or `--redo {ordinal}` if the dose allows it."
        )
    ticket = run.reserve(area, frame.commanded, 0)
    name, file = run.new_file(title)
    with file:
        writer = dark_field(file, run, title, frame, passes=1)
        file.start()
        run.progress(0.0, title, area)
        shot = shoot(run, ticket, 0, writer)
        file.pass_done(shot.record)
        run.log_temperature(file)
        facts = {
            "area": area,
            "planned_e_per_A2": round(shot.record.fluence_planned / E_PER_A2, 4),
            "charged_e_per_A2": round(shot.record.fluence_charged / E_PER_A2, 4),
            **look(file, shot),
        }
        file.finish(status="complete", ended=run.rig.clock.utc(), results=facts)
    return name, shot, facts
