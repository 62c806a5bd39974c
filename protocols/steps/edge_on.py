"""Tilts the lamella until a contact in it stands along the beam: where its dark-field edge is least wide."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from acquisition.analysis.edge_on import EdgeOn, EdgeProfile, edge_profile, find_edge_on
from acquisition.analysis.interface import Interface, find_interface
from acquisition.datafile import Column, DataFile, ImageWriter, PassRecord
from acquisition.engine import Result
from acquisition.exposure import Sighting
from physics.dose import E_PER_A2, dwell_for
from physics.quantities import Fluence, Metres, Radians, Seconds
from protocols.bench import StepRun
from protocols.outlook import Exposure, Outlook, PostconditionError, StepError
from protocols.plan import Dwell, Framed, Plan
from protocols.steps.base import Positive, Step
from protocols.steps.following import Follower
from protocols.steps.interface import BIN, in_degrees, in_nm, see_interface
from protocols.steps.line import SEEN
from protocols.steps.shot import Pixels, dark_field, shoot, square

BLOCK = 2  # px that are binned to fit an edge whose width matters
MOVE = 5.0  # s a tilt takes, about
THICKER = 1.5  # how wrong the given thickness may be, as a factor (95 %)
SAME_WIDTH = 4.0  # standard errors, and scatters, by which the edge may be wider where it was made edge-on
FEWEST = 5  # tilts at which the edge must be seen


class MakeEdgeOn(Step):
    """Tilt the lamella to where the dark-field edge of a contact is least wide.

    on: where to look; a sharp contact of the same stack, parallel to the interface, tells more than the interface.
    dose: of all images together.  within, tilts: to both sides of where the goniometer stands, and how many.
    thickness: of the foil there, about.  edge_on_within: how far the interface may lean as it was cut; where the images
    do not tell more the goniometer goes back.  off_eucentric: how far from the axis of the tilt the lamella may be.
    """

    do: Literal["make_edge_on"] = "make_edge_on"
    on: str | None = None
    dose: Annotated[Fluence, Positive]
    field: Annotated[Metres, Positive] = 400e-9
    pixels: Pixels = (256, 256)
    within: Annotated[Radians, Field(gt=0.0, le=math.radians(30.0))] = math.radians(6.0)
    tilts: int = Field(default=13, ge=FEWEST, le=41)
    thickness: Annotated[Metres, Positive] = 100e-9
    edge_on_within: Annotated[Radians, Field(gt=0.0, lt=0.5)] = math.radians(5.0)
    off_eucentric: Annotated[Metres, Field(ge=0.0)] = 500e-9
    settle: Annotated[Seconds, Field(ge=0.0)] = 10.0

    @model_validator(mode="after")
    def _through_zero(self) -> MakeEdgeOn:
        if self.tilts % 2 == 0:
            raise ValueError("`tilts` is odd: as many to each side, and one where the goniometer stands")
        return self

    @property
    def once(self) -> bool:
        return True

    def outlook(self, plan: Plan) -> Outlook:
        area = plan.area(self.on)
        plan.see_tilts(self.within)
        frame = plan.frame(area, square(self.field, self.pixels), self.pixels, self.dwell(plan.books.belief.current))
        unsure = self.off_eucentric * math.tan(2.0 * self.within / (self.tilts - 1))
        shots = self.tilts + 1
        return Outlook(
            shots * (frame.seconds + self.settle + MOVE), (Exposure(area, frame, passes=shots, unsure=unsure),)
        )

    def run(self, run: StepRun) -> Result:
        area = run.area(self.on)
        if run.execution.remainder:
            raise StepError(
                f"make_edge_on: a series of tilts is not gone on with. Say `--redo {run.execution.ordinal}` if the "
                f"dose allows it, or `--skip {run.execution.ordinal}`; the goniometer stands where it was left."
            )
        run.require(area, self.frame(run, area).commanded, self.tilts + 1)
        name, file = run.new_file(f"interface edge-on, seen on {area}")
        with file:
            series = _Series(run, self, area, file)
            file.start()
            result = {"file": name, **series.go()}
            file.finish(status="complete", ended=run.rig.clock.utc(), results=result)
        return result

    def dwell(self, current: float) -> Dwell:
        """The dwell of one image of the series."""
        return lambda pitch: dwell_for(self.dose, current, *pitch, passes=self.tilts + 1)

    def frame(self, run: StepRun, area: str) -> Framed:
        """The frame as the sample stands now."""
        return run.frame(area, square(self.field, self.pixels), self.pixels, self.dwell(run.ledger.belief.current))


@dataclass(frozen=True)
class _Look:
    """One image of the series: at which tilt, rad, where the sample stood along the normal, m, and its profile."""

    tilt: float
    moved: float
    followed: bool
    profile: EdgeProfile | None


class _Series:
    """The images of one make_edge_on."""

    def __init__(self, run: StepRun, step: MakeEdgeOn, area: str, file: DataFile) -> None:
        self._run, self._step, self._area, self._file = run, step, area, file
        self._writer: ImageWriter = dark_field(
            file, run, f"dark field of {area} at several tilts", step.frame(run, area), passes=step.tilts + 1
        )
        self._records: list[PassRecord] = []
        self._looks: list[_Look] = []
        self._start, home = self._begun()
        self._follower = Follower(run, self._start, home, run.middle(area), step.off_eucentric)

    def go(self) -> dict[str, Any]:
        """Take the images, tilt to where the edge is sharpest, look again; the goniometer goes back where not."""
        step, run = self._step, self._run
        low, high = run.rig.column.settings.limits.a
        if not low <= self._start - step.within <= self._start + step.within <= high:  # found before any dose
            raise StepError(
                f"make_edge_on: {in_degrees(step.within)} deg to both sides of {in_degrees(self._start)} deg, where "
                f"the goniometer stands, are beyond the rig's {in_degrees(low)} to {in_degrees(high)} deg. "
                "Choose a smaller `within`."
            )
        offsets = np.linspace(-step.within, step.within, step.tilts)
        try:
            for tilt in self._start + offsets[np.argsort(np.abs(offsets), kind="stable")]:
                self._look(float(tilt))
            found = self._judge()
            why = self._why_not(found)
            self._look(self._start if why else found.tilt)
            if not why and (why := self._unconfirmed(found)):
                self._go_to(self._start)
        except StepError:
            self._go_to(self._start)
            raise
        stands = run.rig.column.pose().a
        bound = found.bound + abs(stands - found.tilt) if not why else step.edge_on_within + abs(stands - self._start)
        self._follower.leave(stands)
        report = {
            "tilt_deg": in_degrees(stands),
            "lean_bound_deg": in_degrees(bound),
            "decided": not why,
            **({"why": why} if why else {}),
            "least_width_nm": in_nm(found.least),
            "scatter": round(found.scatter, 4),
            "seen_on": self._area,
        }
        self._file_curve(found)
        return {
            "area": self._area,
            **report,
            "widths": [
                {"tilt_deg": in_degrees(look.tilt), "width_nm": in_nm(width), "error_nm": in_nm(error)}
                for look, width, error in zip(self._seen(), found.widths, found.errors, strict=False)
            ],
            "moved": [
                {"tilt_deg": in_degrees(look.tilt), "across_nm": in_nm(look.moved), "followed": look.followed}
                for look in self._looks
            ],
            "shifts_refused": sum(not look.followed for look in self._looks),
            "planned_e_per_A2": round(sum(r.fluence_planned for r in self._records) / E_PER_A2, 4),
            "charged_e_per_A2": round(sum(r.fluence_charged for r in self._records) / E_PER_A2, 4),
            "report": {"edge_on": report},
        }

    def _begun(self) -> tuple[float, Sighting]:
        """The tilt that the first execution of this very step found, and where the sample stood then."""
        begun = [e for e in self._run.entries("tilting") if e["ordinal"] == self._run.execution.ordinal]
        if begun:
            home = begun[0]["home"]
            return float(begun[0]["start"]), Sighting(tuple(home["offset"]), home["time"], home["unsure"])
        start, now = self._run.rig.column.pose().a, self._run.tracker.last
        self._run.note("tilting", start=start, home=asdict(now))
        return start, now

    def _go_to(self, tilt: float) -> None:
        column = self._run.rig.column
        pose = column.pose()
        self._follower.going(pose.a, tilt)
        column.move_to(replace(pose, a=tilt))
        self._follower.arrived()
        self._run.wait(self._step.settle)

    def _look(self, tilt: float) -> None:
        """Go to a tilt, take an image there, follow the sample, and measure its edge."""
        run, index = self._run, len(self._looks)
        run.wait(0.0)  # between images nothing is exposed: here a run pauses
        run.progress(index / (self._step.tilts + 1), f"tilt {math.degrees(tilt):.1f} deg", self._area)
        self._go_to(tilt)
        frame = self._step.frame(run, self._area).commanded
        ticket = run.reserve(self._area, frame, index)
        began, margin = run.rig.clock.now(), run.margin()
        shot = shoot(run, ticket, index, self._writer)
        electrons = run.rig.scan.electrons(shot.image, frame.dwell)
        found = _edge(electrons, frame.pitch)
        if index == 0:
            found = see_interface(electrons, frame.pitch, self._area, self._step.do, block=BLOCK)
            self._follower.begin(shot.image, found.normal, frame.pitch, margin)
            followed = {}
        else:
            followed = self._follower.follow(shot.image, began)
        record = replace(shot.record, **followed)
        self._file.pass_done(record)
        run.log_temperature(self._file)
        self._records.append(record)
        profile = _profile(electrons, frame.pitch, found) if found is not None else None
        self._looks.append(_Look(tilt, self._follower.across, self._follower.sure, profile))

    def _seen(self) -> list[_Look]:
        return [look for look in self._looks if look.profile is not None]

    def _judge(self) -> EdgeOn:
        seen = self._seen()
        if len(seen) < FEWEST:
            raise PostconditionError(
                f'make_edge_on: an edge was seen on area "{self._area}" at {len(seen)} tilts only, 5 are needed. '
                "Take a larger field, more dose, or another area."
            )
        profiles = [look.profile for look in seen if look.profile is not None]
        return find_edge_on(
            profiles,
            [look.tilt for look in seen],
            thickness=self._step.thickness,
            thickness_factor=math.sqrt(THICKER),
            alike=2.0 * self._run.rig.file.optics.convergence,
        )

    def _why_not(self, found: EdgeOn) -> str:
        """Why the goniometer had better go back; "" where the images tell where the interface is edge-on."""
        step = self._step
        if not found.bound < step.edge_on_within:
            return f"the widths tell no more than the {math.degrees(step.edge_on_within):.1f} deg known before"
        if not abs(found.tilt - self._start) <= step.within:
            beyond = math.degrees(found.tilt - self._start)
            return f"edge-on is beyond the tilts that were looked at, about {beyond:.1f} deg away; raise `within`"
        return ""

    def _unconfirmed(self, found: EdgeOn) -> str:
        """What is wrong with the edge at the tilt that was found; "" where it is as sharp there as it should be."""
        profile, least = self._looks[-1].profile, found.least
        width, error = profile.width() if profile is not None else (math.inf, 0.0)
        slack = math.hypot(SAME_WIDTH * error, SAME_WIDTH * found.scatter * least, found.smear * found.bound)
        if width <= least + slack:
            return ""
        seen = f"it is {width * 1e9:.1f} nm wide" if profile is not None else "it was not seen"
        return f"at {math.degrees(found.tilt):.2f} deg the edge should be {least * 1e9:.1f} nm wide, but {seen}"

    def _file_curve(self, found: EdgeOn) -> None:
        seen = self._seen()[: found.widths.size]
        tilts = np.degrees([look.tilt for look in seen])
        order = np.argsort(tilts)
        self._file.table(
            "edge_widths",
            {
                "tilt": Column(tilts[order], "deg"),
                "width": Column(found.widths[order] * 1e9, "nm", found.errors[order] * 1e9),
            },
            title=f"width of the edge on {self._area}",
        )
        self._file.table(
            "edge_width_fit",
            {"tilt": Column(np.degrees(found.curve[0]), "deg"), "width": Column(found.curve[1] * 1e9, "nm")},
            title="the same as fitted",
        )


def _edge(electrons: NDArray[np.float64], pitch: tuple[float, float]) -> Interface | None:
    try:
        found = find_interface(electrons, pitch, block=BLOCK)
    except ValueError:
        return None
    return found if found.score >= SEEN else None


def _profile(electrons: NDArray[np.float64], pitch: tuple[float, float], found: Interface) -> EdgeProfile | None:
    try:
        return edge_profile(electrons, pitch, found, BIN * max(pitch))
    except ValueError:
        return None
