"""Element profiles across an interface: from a recorded map without a beam, or from a strip scanned on tickets."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from acquisition.analysis.eds_map import EdsMap, Measured, measure
from acquisition.analysis.interphase import Doubts
from acquisition.analysis.regions import chemistry, losses, regions, spectra
from acquisition.analysis.stacking import stacked
from acquisition.datafile import Column, PassRecord, Recorded, open_record
from acquisition.engine import Result
from drivers.rigfile import Strict
from physics.dose import E_PER_A2, electrons
from physics.materials import material, names
from physics.quantities import Fluence, Metres, Radians
from physics.units import parse
from protocols.bench import StepRun
from protocols.outlook import Exposure, Outlook, PostconditionError, StepError
from protocols.plan import Plan
from protocols.steps.base import Positive, Step
from protocols.steps.line_report import along, calibrations, report
from protocols.steps.mapping import Elements, Mapping, MapTaker
from protocols.steps.shot import Pixels

SEEN = 0.3  # share of the dark field's variance that the step of an interface must explain
PIXELS_A_BIN = 1.5  # at least, so that no point of a profile is without a pixel
ENOUGH = 380e-9  # m of the interface, a little below the 400 nm of a usual map
LEAN = 5.0  # deg; how far off edge-on a cut is believed to be where nobody tilted it: assumed
PROBE_UNSURE = 0.3  # of the probe's width that the rig file says: assumed
DRAWS = 20210803  # seed of the bootstrap: the same record gives the same intervals


class Strip(Strict):
    """A strip scanned instead of a map: `length` across the interface, `width` along it."""

    dose: Annotated[Fluence, Positive]
    length: Annotated[Metres, Positive]
    width: Annotated[Metres, Positive]
    pixels: Pixels
    passes: int = Field(ge=1, le=4096)
    elements: Elements

    def mapping(self, area: str) -> Mapping:
        """The strip as a map that is followed along with the drift."""
        return Mapping(
            area=area,
            size=(self.length, self.width),
            pixels=self.pixels,
            dose=self.dose,
            passes=self.passes,
            elements=self.elements,
            counts=None,
            follow=True,
        )


class EdsLine(Step):
    """Counts of each element across the interface, and the ramps that fit them.

    from: the step whose map is integrated (no beam).  scan: or a strip to expose first.  across: the area.
    bin: width of a point of the profile, at least one and a half pixels.  film, metal: materials on the bright and on
    the dark side, for the continuum and for absorption.  edge_on_within: how far the interface may lean out of the
    beam, which no map can tell; left out, it is what make_edge_on said, or 5 degrees.  roughness: of the interface,
    rms, at most.
    """

    do: Literal["eds_line"] = "eds_line"
    from_: Literal["eds_map"] | None = Field(default=None, alias="from")
    scan: Strip | None = None
    across: str
    bin: Annotated[Metres, Positive] = 4e-9
    film: str = "LiPON"
    metal: str = "Li"
    edge_on_within: Annotated[Radians, Field(ge=0.0, lt=0.5)] | None = None
    roughness: Annotated[Metres, Field(ge=0.0)] = 3e-9

    @model_validator(mode="after")
    def _one_source(self) -> EdsLine:
        if (self.from_ is None) == (self.scan is None):
            raise ValueError("say either `from: eds_map` (no beam) or `scan: {...}` (a strip on tickets)")
        for named in (self.film, self.metal):
            if named not in names():
                raise ValueError(f'"{named}" is not a known material: {", ".join(names())}')
        return self

    @property
    def once(self) -> bool:
        return self.scan is not None

    def outlook(self, plan: Plan) -> Outlook:
        area = plan.area(self.across)
        if self.scan is None:
            if "eds_map" not in plan.done:
                raise StepError("integrates a map, but no eds_map comes before it. Add one, or say `scan: {...}`.")
            return Outlook(0.0)
        mapping = self.scan.mapping(area)
        frame = plan.frame(area, mapping.size, mapping.pixels, mapping.dwell(plan.books.belief.current))
        return Outlook(frame.seconds * mapping.passes, (Exposure(area, frame, mapping.passes),))

    def run(self, run: StepRun) -> Result:
        area = run.area(self.across)
        if self.scan is not None:
            recorded = MapTaker(run, self.scan.mapping(area)).take(f"EDS strip of {area}", part="strip")
        else:
            latest = run.latest("eds_map")
            if latest is None:
                raise StepError("eds_line: there is no finished eds_map to integrate.")
            recorded = latest
        run.progress(0.2, "fitting", area)
        with open_record(run.path(recorded["file"])) as record:
            events = _recorded(record, run)
            dose = _dose(record)
        doubts = _doubts(run, self)
        found = _measure(events, run, self, doubts)
        if (averaged := along(events, found)) < ENOUGH:
            short = f"note: averaged along {averaged * 1e9:.0f} nm of the interface; 400 nm or more are advised"
            run.progress(0.9, short, area)
        run.progress(0.9, "filing", area)
        return _file(events, found, doubts, dose, run, area)


def _recorded(record: Recorded, run: StepRun) -> EdsMap:
    """What the valid passes of a map hold; raises PostconditionError when there is none."""
    valid = [p for p in record.passes() if p.live_time > 0.0]
    if not valid:
        raise PostconditionError("eds_line: the map has no valid pass.")
    of_pass, pixels, channels = record.events()
    order = {p.index: place for place, p in enumerate(valid)}
    kept = np.isin(of_pass, list(order))
    frame = record.frame()
    live = sum(p.live_time for p in valid) / len(valid) / frame.count
    return EdsMap(
        passes=np.array([order[int(p)] for p in of_pass[kept]], dtype=np.int64),
        pixels=pixels[kept].astype(np.int64),
        channels=channels[kept].astype(np.int64),
        energies=record.energies(),
        elements=record.elements(),
        frame=frame,
        pixels_done=tuple(p.pixels_done for p in valid),
        shifts=tuple(p.drift for p in valid),
        dark_field=_dark_field(record, run, valid),
        electrons=electrons(run.ledger.belief.current, live),
        tilt=_tilt(record),
    )


def _tilt(record: Recorded) -> float:
    """Tilt of the lamella while a map was taken, rad; 0 where no goniometer said so."""
    stood = record.about.state.get("column", {}).get("a", 0.0)
    return float(stood) if isinstance(stood, int | float) else 0.0


def _dose(record: Recorded) -> dict[str, float]:
    """What the map gave, and the most that a place in it can have received in all, e/A^2."""
    passes = record.passes()
    return {
        "planned_e_per_A2": round(sum(p.fluence_planned for p in passes) / E_PER_A2, 3),
        "at_most_e_per_A2": round(max(p.dose_after for p in passes) / E_PER_A2, 3),
    }


def _dark_field(record: Recorded, run: StepRun, valid: list[PassRecord]) -> NDArray[np.float64]:
    """Electrons that the dark field counted in a visit of each pixel, mean of the passes, drift taken back."""
    frame, stack = record.frame(), record.image("dark_field")
    frames = stack.reshape(-1, frame.count)
    mean = stacked(((frames[p.index], p.drift, p.pixels_done) for p in valid), frame.pixels, frame.pitch)
    return run.rig.scan.electrons(mean, frame.dwell)


def _measure(recorded: EdsMap, run: StepRun, step: EdsLine, doubts: Doubts) -> Measured:
    rig = run.rig.file
    try:
        found = measure(
            recorded,
            rig.optics,
            doubts,
            dark=material(step.metal),
            bright=material(step.film),
            bin_width=max(step.bin, PIXELS_A_BIN * max(recorded.frame.pitch)),
            rng=np.random.default_rng(DRAWS),
        )
    except ValueError as error:
        raise PostconditionError(f"eds_line: the map cannot be measured: {error}.") from error
    if not found.interface.score >= SEEN:
        raise PostconditionError(
            f"eds_line: no interface is seen in the dark field of the map (score {found.interface.score:.2f}, {SEEN} "
            "needed). Look at the image; map an area that holds the interface."
        )
    return found


def _doubts(run: StepRun, step: EdsLine) -> Doubts:
    """What the map cannot tell: from this run's own calibrations where it has them, else from the rig file."""
    rig, lean = run.rig.file, step.edge_on_within
    if lean is None:
        tilted = run.latest("make_edge_on") or {}
        lean = math.radians(tilted.get("lean_bound_deg", LEAN))
    narrowest, widest = (rig.optics.probe_fwhm * (1 + off) for off in (-PROBE_UNSURE, PROBE_UNSURE))
    measured = run.calibrations().get("probe_fwhm")
    if measured is not None:
        # an edge is as wide as the probe and whatever else blurs it: its own lean and roughness, the beam's spread
        widest = parse(f"{measured['value']} {measured['unit']}", "length")
        narrowest = min(narrowest, widest)
    probe = (narrowest + widest) / 2
    return Doubts(probe, widest / probe - 1, lean, step.roughness, rig.calibrations.scan_scale.uncertainty)


def _file(recorded: EdsMap, found: Measured, doubts: Doubts, dose: dict[str, float], run: StepRun, area: str) -> Result:
    """Write the profile's own file and give the result."""
    title = f"profile across {area}"
    name, file = run.new_file(title)
    settings, visits = run.rig.eds.settings, len(recorded.pixels_done)
    live = recorded.electrons / electrons(run.ledger.belief.current, 1.0)  # s a pixel is seen in one visit
    in_bins = spectra(recorded, found)
    by_name = regions(recorded, found, run.rig.file.optics, in_bins)
    composition = chemistry(found, by_name)
    with file:
        file.start()
        file.spectrum_line(
            "profile",
            title=title,
            positions=found.profile.position,
            spectra=in_bins,
            ev_per_channel=settings.ev_per_channel,
            offset_ev=settings.offset,
            elements=recorded.elements,
            live_time=live * visits,
            real_time=recorded.frame.dwell * visits,
            frame=recorded.frame,
        )
        columns = {"position": Column(found.profile.position, "m")}
        for element in recorded.elements:
            counts, errors = found.profile.rate(element)
            columns[element] = Column(counts / live, "1/s", errors / live)
        file.table("profile_table", columns, title=title)
        taken = run.rig.clock.utc()
        found_factors = calibrations(composition, taken=taken.isoformat(), file=name)
        told = report(recorded, found, doubts, by_name, composition, losses(recorded, found))
        told |= {"calibrations": found_factors, "dose_of_map": dose}
        file.finish(status="complete", ended=taken, results=told)
    return {"file": name, "area": area, "calibrations": found_factors, "report": told}
