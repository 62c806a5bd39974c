"""Lattice images: a parallel beam on fresh places along the interface, frame after frame, each on its own ticket."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from acquisition.analysis.registration import register
from acquisition.budget import Books
from acquisition.datafile import DataFile, DataFileError, ImageWriter, ParallelBeam, PassRecord, open_record, rescue
from acquisition.dosemap import Rectangle
from acquisition.engine import Result
from drivers.column_settings import TemSettings
from drivers.rigfile import Position
from drivers.ticket import Flood
from physics.dose import E_PER_A2, electrons
from physics.quantities import Fluence, Metres
from physics.units import show
from protocols.bench import StepRun
from protocols.outlook import Exposure, Outlook, StepError
from protocols.plan import Plan
from protocols.steps.base import Positive, Step
from protocols.steps.shot import Side

MILLISECOND = 1e-3  # s; cameras are exposed for whole ones
READING = 2.0  # s besides its exposure that a frame takes
COARSE = 1024  # pixels a side of what is registered
MOST_COUNTS = (1 << 16) - 1
FULL = 0.7  # of them, beyond which bright spots of an image would be lost
IMAGE = "lattice"


class Hrtem(Step):
    """Take `frames` lattice images on each of `places` fresh places along the interface.

    of: the area.  dose: of each frame.  at: middle of the places from that of the area.  pixels: a side.  fresh: what a
    place may have received before its first frame.  Of a pass that was begun a resume delivers nothing more.
    """

    do: Literal["hrtem"] = "hrtem"
    of: str | None = None
    dose: Annotated[Fluence, Positive]
    frames: int = Field(default=1, ge=1, le=256)
    places: int = Field(default=1, ge=1, le=64)
    at: tuple[Metres, Metres] = (0.0, 0.0)
    defocus: Metres = 60e-9
    pixels: Side = 4096
    fresh: Annotated[Fluence, Field(ge=0.0)] = 50.0 * E_PER_A2

    @property
    def once(self) -> bool:
        return True

    def outlook(self, plan: Plan) -> Outlook:
        area, tem = plan.area(self.of), plan.tem()
        place = plan.places[area]
        floods = [self.flood(tem, middle) for middle in self.middles(tem, place, place.at)]
        for flood in floods:
            plan.see_flood(flood)
            self.see_fresh(plan.books, tem, flood, (0.0, 0.0), 0.0)
        lasting = sum(self.frames * (flood.seconds + READING) for flood in floods) + 2.0 * tem.settle
        return Outlook(lasting, tuple(Exposure(area, flood, self.frames) for flood in floods))

    def run(self, run: StepRun) -> Result:
        area = run.area(self.of)
        if (tem := run.rig.column.settings.tem) is None:
            raise StepError("hrtem: the rig file says nothing of a parallel beam.")
        return _Taker(self, run, area, tem).take()

    def flood(self, tem: TemSettings, middle: tuple[float, float]) -> Flood:
        """One frame around a place in scan coordinates, m."""
        side = tem.pixel.value * tem.full_frame
        if tem.full_frame % self.pixels:
            raise StepError(
                f"hrtem: {self.pixels} pixels are no binning of the {tem.full_frame} that {tem.camera} has."
            )
        counts = self.dose * (side / self.pixels) ** 2 * tem.counts_per_electron
        if not counts <= FULL * MOST_COUNTS:
            raise StepError(
                f"hrtem: pixels of {show(side / self.pixels, 'pm')} would count {counts:.0f} each of {MOST_COUNTS} at "
                "most. Choose more pixels or a smaller dose."
            )
        disc = math.pi / 4.0 * tem.diameter.value**2
        seconds = round(self.dose * disc / electrons(tem.current.value, 1.0) / MILLISECOND) * MILLISECOND
        return Flood(
            middle,
            (side, side),
            (self.pixels, self.pixels),
            tem.diameter.value,
            max(seconds, MILLISECOND),
            self.defocus,
        )

    def middles(self, tem: TemSettings, place: Position, middle: tuple[float, float]) -> list[tuple[float, float]]:
        """Middles of the places, m in scan coordinates, evenly along the interface (y); raises StepError.

        place: the area as it is saved.  middle: where its middle is now.
        """
        side = tem.pixel.value * tem.full_frame
        (width, height), (x, y) = place.size, self.at
        room = height - side - 2.0 * abs(y)
        apart = room / (self.places - 1) if self.places > 1 else math.inf
        if room < 0.0 or side + 2.0 * abs(x) > width:
            raise StepError(
                f"hrtem: an image of {show(side, 'nm')} does not lie within an area of {show(width, 'nm')} x "
                f"{show(height, 'nm')} there. Choose a larger area, or `at` nearer its middle."
            )
        if apart < tem.diameter.value:
            raise StepError(
                f"hrtem: discs of {show(tem.diameter.value, 'nm')} on {self.places} places would overlap: they lie "
                f"{show(apart, 'nm')} apart. There is room for {1 + math.floor(room / tem.diameter.value)}."
            )
        first = -room / 2.0 if self.places > 1 else 0.0
        return [
            (middle[0] + x, middle[1] + y + first + (number * apart if number else 0.0))
            for number in range(self.places)
        ]

    def see_fresh(
        self, books: Books, tem: TemSettings, flood: Flood, offset: tuple[float, float], margin: float
    ) -> float:
        """What a place has received at most where it is imaged, m^-2; raises StepError for more than is fresh.

        offset: of the sample in the scan field, and margin: how far off that may be, m.
        """
        beside = tem.placement + tem.shift_uncertainty * math.hypot(*flood.centre)
        seen = Rectangle.around(flood.centre, flood.size).moved(-offset[0], -offset[1]).grown(margin + beside)
        received = books.map.highest(seen)
        if not received <= self.fresh:
            raise StepError(
                f"hrtem: the place at ({show(flood.centre[0], 'nm')}, {show(flood.centre[1], 'nm')}) may have received "
                f"{show(received / E_PER_A2 * 1e20, 'e/A^2')}, more than {show(self.fresh, 'e/A^2')}. Take lattice "
                "images before everything else on a place, or choose another one."
            )
        return received


@dataclass
class _Place:
    """One place: its number, its flood, and the frames that are still to be taken there."""

    number: int
    flood: Flood
    first: int


class _Taker:
    """Takes the frames of one step, a file a place; after a crash only those that were never begun."""

    def __init__(self, step: Hrtem, run: StepRun, area: str, tem: TemSettings) -> None:
        self._step, self._run, self._area, self._tem = step, run, area, tem
        self._begun = run.passes_begun() if run.execution.remainder else 0
        self._told: list[dict[str, Any]] = []
        self._records: list[PassRecord] = []
        self._mean_counts: list[float] = []

    def take(self) -> Result:
        """Deliver, file and sum up; the scan has the beam again afterwards, whatever happened."""
        run, step = self._run, self._step
        files = [path.relative_to(run.path(".")).as_posix() for path in run.earlier_files() if _holds_passes(path)]
        try:
            for number in range(step.places):
                first = min(max(self._begun - number * step.frames, 0), step.frames)
                if first < step.frames:
                    files.append(self._place(_Place(number, self._flood(number), first)))
        finally:
            run.rig.give_beam_back()
        return self._result(files)

    def _flood(self, number: int) -> Flood:
        """Where the place is now: the sample drifts."""
        run, step = self._run, self._step
        (x, y), offset = run.middle(self._area), run.tracker.aim(run.rig.clock.now()).offset
        middle = x + offset[0], y + offset[1]
        return step.flood(self._tem, step.middles(self._tem, run.place(self._area), middle)[number])

    def _place(self, place: _Place) -> str:
        run, step, flood, tem = self._run, self._step, place.flood, self._tem
        run.require(self._area, flood, step.frames - place.first)
        before = 0.0
        if place.first == 0:
            aim = run.tracker.aim(run.rig.clock.now())
            before = step.see_fresh(run.ledger, tem, flood, aim.offset, aim.margin)
        title = f"lattice image of {self._area}"
        name, file = run.new_file(title, f"{place.number + 1}" if step.places > 1 else "")
        with file:
            writer = file.lattice(
                IMAGE,
                title=title,
                flood=flood,
                frames=step.frames,
                camera="camera",
                counts_per_electron=tem.counts_per_electron,
                beam=ParallelBeam(tem.current.value, tem.spherical, tem.pixel.uncertainty),
            )
            file.start()
            reference: NDArray[np.float64] | None = None
            for frame in range(place.first, step.frames):
                run.wait(0.0)  # between frames nothing is exposed: here a run pauses
                reference = self._frame(place, frame, file, writer, reference)
            told = {
                "file": name,
                "at_nm": [round(metres * 1e9, 2) for metres in flood.centre],
                "dose_before_e_per_A2": round(before / E_PER_A2, 3),
            }
            self._told.append(told)
            file.finish(status="complete", ended=run.rig.clock.utc(), results={**told, "area": self._area})
        return name

    def _frame(
        self,
        place: _Place,
        frame: int,
        file: DataFile,
        writer: ImageWriter,
        reference: NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        """One frame on its ticket; the first one of a place is what the others are registered to."""
        run, flood, number = self._run, place.flood, place.number * self._step.frames + frame
        all_ = self._step.frames * self._step.places
        run.progress(number / all_, f"frame {number + 1} of {all_}", self._area)
        run.rig.take_beam_from_scan()
        ticket = run.reserve(self._area, flood, number, besides=READING)
        footprint = run.ledger.footprint(flood, run.tracker.aim(run.rig.clock.now()))
        after = run.ledger.map.highest(footprint)
        start: datetime = run.rig.clock.utc()
        taken = run.rig.column.acquire(flood, ticket)
        charged = run.ledger.settle(ticket)
        counts = np.clip(taken.values, 0, MOST_COUNTS).astype(np.uint16)
        writer.write(frame, 0, counts.reshape(-1))
        coarse, pitch = _coarse(counts, flood)
        moved: dict[str, Any] = {}
        if reference is not None:
            shift = register(reference, coarse, pitch)
            moved = {"drift": (shift.dx, shift.dy), "drift_score": shift.score}
        beam = run.ledger.reckoning(flood)
        record = PassRecord(
            index=frame,
            exposure_id=ticket.exposure_id,
            start=start,
            seconds=flood.seconds,
            pixels_done=flood.count,
            fluence_planned=beam.fluence(flood),
            fluence_charged=charged,
            dose_before=max(after - beam.highest_fluence(flood), 0.0),
            dose_after=run.ledger.map.highest(footprint),
            **moved,
        )
        file.pass_done(record)
        run.log_temperature(file)
        self._records.append(record)
        self._mean_counts.append(round(float(counts.mean()), 2))
        run.note("pass", index=number, exposure_id=ticket.exposure_id, open_for=round(taken.open_for, 3))
        return coarse if reference is None else reference

    def _result(self, files: list[str]) -> Result:
        step = self._step
        return {
            "files": files,
            "area": self._area,
            "places": self._told,
            "frames": len(self._records),
            "planned_e_per_A2": round(sum(r.fluence_planned for r in self._records) / E_PER_A2, 3),
            "charged_e_per_A2": round(sum(r.fluence_charged for r in self._records) / E_PER_A2, 3),
            "mean_counts": self._mean_counts,
            "report": {
                "lattice_images": {
                    "files": files,
                    "defocus_nm": round(step.defocus * 1e9, 3),
                    "frame_e_per_A2": round(step.dose / E_PER_A2, 3),
                }
            },
        }


def _coarse(counts: NDArray[np.uint16], flood: Flood) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """The image in at most COARSE pixels a side, and their pitch, m."""
    by = math.gcd(max(len(counts) // COARSE, 1), len(counts))
    side = len(counts) // by
    binned = counts.reshape(side, by, side, by).sum(axis=(1, 3), dtype=np.float64)
    return binned, (flood.pitch[0] * by, flood.pitch[1] * by)


def _holds_passes(path: Any) -> bool:
    """Whether a torn execution left frames in a file, which is finished for that."""
    try:
        rescue(path)
        with open_record(path) as record:
            return len(record.passes()) > 0
    except DataFileError:  # killed before anything was in it
        return False
