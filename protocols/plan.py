"""Looks through a recipe before anything moves: how long, how much dose where, and whether every budget holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from acquisition.budget import Aim, Books, BudgetError
from drivers.column_settings import ColumnSettings, TemSettings
from drivers.cryostat_settings import CryostatSettings
from drivers.errors import LimitError
from drivers.limits import Limits
from drivers.raster import raster
from drivers.rigfile import Calibrations, Position
from drivers.scan_settings import ScanSettings
from drivers.tem_imaging import see_flood
from drivers.ticket import Flood, Frame
from physics.units import show
from protocols.outlook import Outlook, StepError

Dwell = Callable[[tuple[float, float]], float]
"""The dwell, s, that a pitch (x, y), m, asks for."""


class Planned(Protocol):
    """A step as far as planning knows it."""

    do: str

    def outlook(self, plan: Plan) -> Outlook:
        """What it will take, without touching anything; raises StepError, LimitError for what cannot be."""


@dataclass(frozen=True)
class Finding:
    """One thing that speaks against running the recipe: at which step (1 is the first), and what."""

    step: int
    do: str
    what: str


@dataclass(frozen=True)
class StepPlan:
    """What one step is planned to take: s of rig time and, by area, the fluence it adds at most, m^-2."""

    do: str
    seconds: float
    dose: dict[str, float]


@dataclass(frozen=True)
class Bounds:
    """What the rig and the sample stand: settings and limits of scan, stage and column, and the sample's ceiling, K."""

    scan: ScanSettings
    scan_limits: Limits
    cryostat: CryostatSettings
    stage_limits: Limits
    ceiling: float
    column: ColumnSettings | None = None
    column_limits: Limits | None = None
    camera_limits: Limits | None = None


class Plan:
    """What steps may know when they are looked through: places, the dose of a frame, where the field stands."""

    def __init__(self, places: dict[str, Position], books: Books, bounds: Bounds) -> None:
        self.places = places
        self.cryostat = bounds.cryostat
        self._bounds = bounds
        self.books = books
        self.floods = False  # whether a step needs the parallel beam
        self.here: str | None = None
        self.done: set[str] = set()

    def area(self, name: str | None) -> str:
        """The area a step means: the one it names, or where the field was moved to; raises StepError."""
        area = name or self.here
        if area is None:
            raise StepError("names no area, and the scan field was not moved to one. Say `of: AREA`.")
        if area not in self.places:
            raise StepError(f'names area "{area}", which has no place. Known: {", ".join(sorted(self.places))}.')
        return area

    def see_stage(self, kelvin: float, ramp: float) -> None:
        """Refuse a temperature, K, or a ramp, K/s, that the rig or the sample does not stand; LimitError, StepError."""
        self._bounds.stage_limits.check("cryostat", "set_temperature", temperature=kelvin, ramp=ramp)
        if not kelvin <= self._bounds.ceiling:
            raise StepError(
                f"{show(kelvin, 'K')} is above the sample's ceiling of {show(self._bounds.ceiling, 'K')}, at which the "
                "run would latch. Choose a colder one, or raise `sample_ceiling` in the rig file if it stands that."
            )

    def tem(self) -> TemSettings:
        """What the rig file says of the parallel beam; raises StepError."""
        if self._bounds.column is None or self._bounds.column.tem is None:
            raise StepError("needs a column whose settings have `tem:`, and the rig has none.")
        self.floods = True
        return self._bounds.column.tem

    def see_tilts(self, within: float) -> None:
        """Refuse tilts to both sides of wherever the goniometer stands that can never be; raises StepError."""
        if self._bounds.column is None:
            raise StepError("needs a column, whose goniometer tilts the sample, and the rig has none.")
        low, high = self._bounds.column.limits.a
        if not 2.0 * within <= high - low:
            raise StepError(
                f"would tilt by {show(within, 'deg')} to both sides; the rig allows {show(low, 'deg')} to "
                f"{show(high, 'deg')} in all. Choose a smaller `within`."
            )

    def see_series(self, images: int, frame_time: float) -> None:
        """Refuse a series of the camera, s from image to image, that the rig does not allow; StepError, LimitError."""
        if self._bounds.camera_limits is None:
            raise StepError("needs a camera in the far field, and the rig has none.")
        self._bounds.camera_limits.check("camera", "configure", images=images, frame_time=frame_time)

    def see_flood(self, flood: Flood) -> None:
        """Refuse what the rig's limits of the column do not allow; raises LimitError."""
        if self._bounds.column_limits is not None:
            see_flood(self._bounds.column_limits, "column", flood)

    def frame(self, area: str, size: tuple[float, float], pixels: tuple[int, int], dwell: Dwell) -> Frame:
        """The frame the scan box will do in the middle of an area; raises LimitError."""
        frame = Frame(self.places[area].at, size, pixels, self._bounds.scan_limits.range("dwell").low)
        return settled(
            lambda f: raster(f, self._bounds.scan, self._bounds.scan_limits, "scan").frame, frame, dwell
        ).commanded


@dataclass(frozen=True)
class Framed:
    """A frame as a step asks for it, and as the scan box will do it."""

    requested: Frame
    commanded: Frame


def settled(command: Callable[[Frame], Frame], frame: Frame, dwell: Dwell) -> Framed:
    """The frame with the dwell that its commanded pitch asks for; `frame` says the rest."""
    requested = replace(frame, dwell=dwell(command(frame).pitch))
    return Framed(requested, command(requested))


def look_through(
    steps: Sequence[Planned], plan: Plan, calibrations: Calibrations
) -> tuple[list[StepPlan], list[Finding]]:
    """Book every exposure of every step in turn, as the ledger would; findings are empty when the recipe can run.

    From the first exposure on a place is the less sure the longer ago that is, as the run will assume it.
    """
    drift, since_light = calibrations.drift_per_hour / 3600.0, 0.0
    plans: list[StepPlan] = []
    findings: list[Finding] = []
    for number, step in enumerate(steps, start=1):
        try:
            outlook = step.outlook(plan)
            _book(outlook, plan.books, calibrations.position + drift * since_light, step.do)
        except (StepError, BudgetError, LimitError) as error:
            findings.append(Finding(number, step.do, str(error)))
            plan.done.add(step.do)  # what follows is judged as if it could be done
            continue
        if since_light > 0.0 or outlook.exposures:
            since_light += outlook.seconds
        plan.here = outlook.moves_to or plan.here
        plan.done.add(step.do)
        books = plan.books
        dose = {e.area: books.reckoning(e.work).highest_fluence(e.work) * e.passes for e in outlook.exposures}
        plans.append(StepPlan(step.do, outlook.seconds, dose))
    return plans, findings


def _book(outlook: Outlook, books: Books, margin: float, step: str) -> None:
    for exposure in outlook.exposures:
        aim = Aim((0.0, 0.0), margin + exposure.unsure)
        books.book(exposure.area, exposure.work, aim, passes=exposure.passes, step=step)


def summary(plans: Sequence[StepPlan], findings: Sequence[Finding], books: Books) -> dict[str, Any]:
    """The plan as JSON, for check.json."""
    return {
        "planned_seconds": sum(p.seconds for p in plans),
        "steps": [
            {
                "do": p.do,
                "seconds": round(p.seconds, 1),
                "dose_e_per_A2": {area: round(dose / 1e20, 3) for area, dose in p.dose.items()},
            }
            for p in plans
        ],
        "areas": [
            {
                "name": area.name,
                "budget_e_per_A2": area.limit / 1e20,
                "planned_max_e_per_A2": round(books.spent(area.name)[0] / 1e20, 3),
            }
            for area in books.areas
        ],
        "findings": [{"step": f.step, "do": f.do, "what": f.what} for f in findings],
    }
