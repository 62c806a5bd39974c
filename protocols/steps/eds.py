"""EDS maps: many passes, each its own exposure, following the drift, until the dose or the counts are reached."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from acquisition.engine import Result
from physics.quantities import Fluence, Metres
from protocols.bench import StepRun
from protocols.outlook import Exposure, Outlook
from protocols.plan import Plan
from protocols.steps.base import Positive, Step
from protocols.steps.mapping import Elements, Mapping, MapTaker
from protocols.steps.shot import Pixels, square
from protocols.steps.target import Target


class EdsMap(Step):
    """Map elements over an area in `passes` passes that add up to `dose`.

    counts: stop earlier, once the main line of every element has that many counts in its window.  target: or once the
    ramps of these elements are known as well, by half of their 95 % interval.  drift: `correct` registers each pass's
    dark field to the first and moves the field along with the sample.
    """

    do: Literal["eds_map"] = "eds_map"
    of: str | None = None
    elements: Elements
    dose: Annotated[Fluence, Positive]
    passes: int = Field(ge=1, le=4096)
    field: Annotated[Metres, Positive] = 400e-9
    pixels: Pixels = (256, 256)
    counts: int | None = Field(default=None, ge=1)
    target: Target = Field(default_factory=dict)
    drift: Literal["correct", "leave"] = "correct"

    @model_validator(mode="after")
    def _of_the_elements(self) -> EdsMap:
        if strange := set(self.target) - set(self.elements):
            raise ValueError(f"`target` names {', '.join(sorted(strange))}, not among the elements that are mapped")
        if not all(wanted > 0.0 for wanted in self.target.values()):
            raise ValueError("a half-width of the target is more than 0 nm")
        return self

    @property
    def once(self) -> bool:
        return True

    def outlook(self, plan: Plan) -> Outlook:
        area = plan.area(self.of)
        mapping = self._mapping(area)
        frame = plan.frame(area, mapping.size, mapping.pixels, mapping.dwell(plan.books.belief.current))
        return Outlook(frame.seconds * self.passes, (Exposure(area, frame, self.passes),))

    def run(self, run: StepRun) -> Result:
        area = run.area(self.of)
        return MapTaker(run, self._mapping(area)).take(f"EDS map of {area}")

    def _mapping(self, area: str) -> Mapping:
        return Mapping(
            area=area,
            size=square(self.field, self.pixels),
            pixels=self.pixels,
            dose=self.dose,
            passes=self.passes,
            elements=self.elements,
            counts=self.counts,
            target=self.target,
            follow=self.drift == "correct",
        )
