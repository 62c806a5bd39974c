"""EDS maps: many passes, each its own exposure, following the drift, until the dose or the counts are reached."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from acquisition.engine import Result
from physics.dose import dwell_for
from physics.quantities import Fluence, Metres
from protocols.bench import StepRun
from protocols.plan import Plan
from protocols.steps.base import Exposure, Outlook, Step
from protocols.steps.mapping import Mapping, MapTaker
from protocols.steps.shot import Pixels, square


class EdsMap(Step):
    """Map elements over an area in `passes` passes that add up to `dose`.

    counts: stop earlier, once the main line of every element has that many counts in its window.  drift: `correct`
    registers each pass's dark field to the first and moves the field along with the sample.
    """

    do: Literal["eds_map"] = "eds_map"
    once: ClassVar[bool] = True
    of: str | None = None
    elements: tuple[str, ...] = Field(min_length=1)
    dose: Fluence
    passes: int = Field(ge=1, le=4096)
    field: Metres = 400e-9
    pixels: Pixels = (256, 256)
    counts: int | None = Field(default=None, ge=1)
    drift: Literal["correct", "leave"] = "correct"

    def outlook(self, plan: Plan) -> Outlook:
        area = plan.area(self.of)
        size = square(self.field, self.pixels)
        frame = plan.frame(area, size, self.pixels, self._dwell(plan.books.belief.current, size))
        return Outlook(frame.seconds * self.passes, (Exposure(area, frame, self.passes),))

    def run(self, run: StepRun) -> Result:
        size = square(self.field, self.pixels)
        mapping = Mapping(
            area=run.area(self.of),
            size=size,
            pixels=self.pixels,
            dwell=self._dwell(run.ledger.belief.current, size),
            passes=self.passes,
            elements=self.elements,
            counts=self.counts,
            follow=self.drift == "correct",
        )
        return MapTaker(run, mapping).take(f"EDS map of {mapping.area}")

    def _dwell(self, current: float, size: tuple[float, float]) -> float:
        pitch = size[0] / self.pixels[0], size[1] / self.pixels[1]
        return dwell_for(self.dose, current, *pitch, passes=self.passes)
