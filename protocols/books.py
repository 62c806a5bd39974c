"""The dose books of a job: which budgets lie where, what the sample has received, and whether the recipe fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from acquisition.budget import Area, BeamBelief, Books, FloodBelief
from acquisition.chain import Chain, Entry
from acquisition.dosemap import Rectangle
from acquisition.frames import Wander, received
from acquisition.ledger import Ledger
from drivers.camera import Camera
from drivers.clock import VirtualClock
from drivers.column import Column
from drivers.cryostat import Cryostat
from drivers.rigfile import Calibration, Calibrations, Position, RigFile
from drivers.scan import Scan
from drivers.wire.obi import DAC_STEPS
from protocols.heading import Recipe
from protocols.job import Job, RunError, journal_of
from protocols.passports import passport_entries
from protocols.plan import Bounds, Finding, Plan, StepPlan, look_through
from protocols.rigtext import RigText, column_settings, cryostat_settings, has, limits_of, scan_settings

TAIL = 3.0  # probe widths beyond a pixel that still count as touched


class Preview(NamedTuple):
    """What a job will take, what speaks against it, and the books as they would stand afterwards."""

    plans: list[StepPlan]
    findings: list[Finding]
    books: Books


def look(job: Job) -> Preview:
    """Look through the recipe on the books of the sample's passport, which is only read; the rig stays closed."""
    entries, now = passport_entries(job), VirtualClock().utc()
    preview, floods = _look(job, [], now)
    light = now + timedelta(seconds=_before_light(preview.plans))
    if entries:
        preview, floods = _look(job, entries, light)
    counted = _counted_with(job.rig, floods)
    return preview._replace(findings=[*_stale(counted, light), *preview.findings])


def planned(job: Job) -> list[StepPlan]:
    """What each step is planned to take; empty for a Python recipe, whose steps show only as it runs."""
    return _look(job, [], VirtualClock().utc())[0].plans


def books_now(job: Job) -> Books:
    """What a run's sample has received so far, from its passport, which is only read."""
    places, entries = places_of(job.recipe, job.rig.model), passport_entries(job)
    books = Books(ledger_areas(job.recipe, places), belief_of(job.rig), flood_of(job.rig))
    frame = next((str(e["run_id"]) for e in journal_of(job.folder) if e["kind"] == "run"), "")
    books.map = received(entries, frame, _wander(job.rig.model.calibrations), VirtualClock().utc())
    return books


def open_ledger(
    job: Job, passport: Chain, frame: str, utc: Callable[[], datetime], note: Callable[[str, Entry], None]
) -> Ledger:
    """The ledger of a run, on the sample's passport; frame: the run's own."""
    areas, wander = ledger_areas(job.recipe, places_of(job.recipe, job.rig.model)), _wander(job.rig.model.calibrations)
    belief, flood = belief_of(job.rig), flood_of(job.rig)
    return Ledger(passport, areas, belief, note, frame=frame, wander=wander, utc=utc, flood=flood)


def places_of(recipe: Recipe, rig: RigFile) -> dict[str, Position]:
    """Saved positions of the rig, with those the recipe gives in their stead."""
    return {**rig.positions, **recipe.heading.areas}


def ledger_areas(recipe: Recipe, places: dict[str, Position]) -> dict[str, Area]:
    """The recipe's budgets on the places they are for; raises RunError for a budget without a place."""
    areas = {}
    for name, budget in recipe.heading.budgets.items():
        if name not in places:
            raise RunError(
                f'recipe {recipe.file_name}: area "{name}" has a budget but no place. Give it under `areas:` '
                f"or save a position in the rig file. Known: {', '.join(sorted(places))}."
            )
        where = Rectangle.around(places[name].at, places[name].size)
        areas[name] = Area(name, where, budget.limit, budget.notify)
    return areas


def belief_of(rig: RigText) -> BeamBelief:
    """What the rig file says of the beam, as the ledger counts with it."""
    calibrations, scan = rig.model.calibrations, scan_settings(rig)
    return BeamBelief(
        current=calibrations.beam_current.value,
        current_bound=calibrations.beam_current.uncertainty,
        scale_bound=calibrations.scan_scale.uncertainty,
        flyback=calibrations.flyback,
        tail=TAIL * rig.model.optics.probe_fwhm,
        grain=scan.full_field / DAC_STEPS,
    )


def flood_of(rig: RigText) -> FloodBelief | None:
    """What the rig file says of the parallel beam, as the ledger counts with it; None where it says nothing."""
    column = column_settings(rig)
    if column is None or (tem := column.tem) is None:
        return None
    return FloodBelief(
        current=tem.current.value,
        current_bound=tem.current.uncertainty,
        diameter_bound=tem.diameter.uncertainty,
        uneven=tem.uneven,
        shutter=tem.shutter,
        placement=tem.placement,
        shift_bound=tem.shift_uncertainty,
    )


def _look(job: Job, entries: Sequence[Entry], light: datetime) -> tuple[Preview, bool]:
    """Plan on what a passport will tell at first light; also whether a step needs the parallel beam."""
    places, calibrations = places_of(job.recipe, job.rig.model), job.rig.model.calibrations
    books = Books(ledger_areas(job.recipe, places), belief_of(job.rig), flood_of(job.rig))
    books.map = received(entries, "", _wander(calibrations), light)
    bounds = Bounds(
        scan=scan_settings(job.rig),
        scan_limits=limits_of(job.rig, Scan),
        cryostat=cryostat_settings(job.rig),
        stage_limits=limits_of(job.rig, Cryostat),
        ceiling=job.rig.model.sample_ceiling,
        column=(column := column_settings(job.rig)),
        column_limits=limits_of(job.rig, Column) if column is not None else None,
        camera_limits=limits_of(job.rig, Camera) if has(job.rig, Camera) else None,
    )
    plan = Plan(places, books, bounds)
    plans, findings = look_through(job.recipe.steps or (), plan, calibrations)
    return Preview(plans, findings, books), plan.floods


def _counted_with(rig: RigText, floods: bool) -> dict[str, Calibration]:
    """What the doses of a job are counted with, by name."""
    calibrations, column = rig.model.calibrations, column_settings(rig)
    found: dict[str, Calibration] = {
        "beam current": calibrations.beam_current,
        "scan scale": calibrations.scan_scale,
    }
    if floods and column is not None and (tem := column.tem) is not None:
        found |= {"current of the parallel beam": tem.current, "diameter of its disc": tem.diameter}
    return found


def _stale(calibrations: Mapping[str, Calibration], light: datetime) -> list[Finding]:
    """Calibrations that will be too old at first light: no dose could be counted, so no beam would open."""
    findings = []
    for what, calibration in calibrations.items():
        if isinstance(calibration.taken, datetime):
            age = (light - calibration.taken).total_seconds()
            if not 0.0 <= age <= calibration.valid_for:
                said = f"at first light the {what} will be {age / 3600:.1f} h old; it is valid for"
                way_out = "Measure it and write it, with its date, into the rig file."
                findings.append(Finding(0, "rig", f"{said} {calibration.valid_for / 3600:.1f} h. {way_out}"))
    return findings


def _before_light(plans: Sequence[StepPlan]) -> float:
    """Seconds from the beginning to the first exposure."""
    seconds = 0.0
    for plan in plans:
        if plan.dose:
            break
        seconds += plan.seconds
    return seconds


def _wander(calibrations: Calibrations) -> Wander:
    return Wander(calibrations.position, calibrations.drift_per_hour / 3600.0)
