"""Diffraction maps: a pattern of the far field at every position of a scan, the dark field beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from acquisition.analysis.diffraction_spots import DRAWN, SpotTest, find_spots, spacings
from acquisition.analysis.virtual_detectors import (
    Gathered,
    central_disk,
    covered,
    detect,
    gather,
    halo,
    radial,
    ring,
)
from acquisition.camera import CameraListener, form_of, told
from acquisition.datafile import Column, DataFile, open_record
from acquisition.engine import Result
from physics.dose import E_PER_A2, dwell_for
from physics.elastic import form_factor
from physics.electrons import wavelength
from physics.quantities import Fluence, Metres, Seconds
from protocols.bench import StepRun
from protocols.outlook import Exposure, Outlook, StepError
from protocols.plan import Dwell, Framed, Plan
from protocols.steps.base import Positive, Step
from protocols.steps.shot import Pixels, Shot, dark_field, shoot, square

FRAMES = "diffraction"
DRAWS = 20210803  # seed of the patterns without a spot: the same record gives the same threshold
FINE = 0.5  # pixels; rings of the radial profile
EDGE = 1.0  # pixels beyond the edge of the disk that belong to the bright field
PER_NM = 1e-9


class DiffractionMap(Step):
    """A diffraction pattern at each pixel of one frame, and the dark field.

    of: the area.  Either `dwell` or `dose` says how long a position is looked at.
    """

    do: Literal["diffraction_map"] = "diffraction_map"
    of: str | None = None
    field: Annotated[Metres, Positive]
    pixels: Pixels = (128, 128)
    dwell: Annotated[Seconds, Positive] | None = None
    dose: Annotated[Fluence, Positive] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> DiffractionMap:
        if (self.dwell is None) == (self.dose is None):
            raise ValueError("say either `dwell: ...` (time a position) or `dose: ...` (fluence of the map)")
        return self

    @property
    def once(self) -> bool:
        return True

    def outlook(self, plan: Plan) -> Outlook:
        area = plan.area(self.of)
        frame = plan.frame(area, square(self.field, self.pixels), self.pixels, self._dwell(plan.books.belief.current))
        plan.see_series(frame.count, frame.dwell)
        return Outlook(frame.seconds, (Exposure(area, frame),))

    def run(self, run: StepRun) -> Result:
        if run.execution.remainder and run.passes_begun():
            ordinal = run.execution.ordinal
            raise StepError(
                f"{self.do}: its only frame was begun, so nothing of it is left to deliver. "
                f"Say `--skip {ordinal}`, or `--redo {ordinal}` if the dose allows it."
            )
        area, title = run.area(self.of), "diffraction map of"
        frame = run.frame(area, square(self.field, self.pixels), self.pixels, self._dwell(run.ledger.belief.current))
        camera = run.rig.camera
        # before the ticket: what the camera refuses costs no dose
        prepared = camera.configure(frame.commanded.count, frame.commanded.dwell, gated=True)
        ticket = run.reserve(area, frame.commanded, 0)
        name, file = run.new_file(f"{title} {area}")
        with file:
            image = dark_field(file, run, f"dark field during the {title} {area}", frame, passes=1)
            frames = file.frames(
                FRAMES,
                title=f"diffraction over {area}",
                frame=frame.commanded,
                requested=frame.requested,
                passes=1,
                form=form_of(camera.settings, prepared),
            )
            file.start()
            run.progress(0.0, f"{title} {area}", area)
            camera.arm(ticket.exposure_id)
            listener = CameraListener(camera, frames, 0, every=prepared.frame_time)
            shot = shoot(run, ticket, 0, image, [listener])
            tally = listener.finish()
            file.pass_done(shot.record)
            run.log_temperature(file)
            run.progress(0.5, "evaluating the patterns", area)
            facts = {
                "area": area,
                "planned_e_per_A2": round(shot.record.fluence_planned / E_PER_A2, 4),
                "charged_e_per_A2": round(shot.record.fluence_charged / E_PER_A2, 4),
                "frames": told(tally),
                **_evaluated(run, file, shot, frame, area),
            }
            file.finish(status="complete", ended=run.rig.clock.utc(), results={"file": name, **facts})
        return {"file": name, **facts}

    def _dwell(self, current: float) -> Dwell:
        dwell, dose = self.dwell, self.dose
        if dwell is not None:
            return lambda _: dwell
        assert dose is not None
        return lambda pitch: dwell_for(dose, current, *pitch)


def _evaluated(run: StepRun, file: DataFile, shot: Shot, frame: Framed, area: str) -> dict[str, Any]:
    """What the patterns amount to, read from the disk row by row; images, patterns and profile become tables."""
    optics = run.rig.file.optics
    length = wavelength(optics.beam_energy)
    with open_record(file.path) as record:
        camera = record.camera(FRAMES)
        shape, angle = camera.form.shape, camera.form.pixel_angle
        try:
            gathered = gather(camera.rows(), camera.nodata)
            disk = central_disk(gathered)
        except ValueError as why:  # the dose is spent all the same: what came is kept, and this is said
            return {"not_evaluated": str(why)}
        run.progress(0.6, "virtual detectors", area)
        inner, outer = (edge / angle for edge in optics.dark_field)
        weights = [ring(disk, shape, 0.0, disk.radius + EDGE), ring(disk, shape, inner, outer)]
        bright, dark = detect(camera.rows(), weights, gathered.blind)
        run.progress(0.8, "spots", area)
        test = SpotTest(disk, gathered.blind, profile := radial(gathered, disk, FINE))
        spots = find_spots(camera.rows(), test, seed=DRAWS, drawn=DRAWN)
    reciprocal = 2.0 * np.sin(profile.distance * angle / 2.0) / length
    alone = np.sum([form_factor(element, reciprocal) ** 2 for element in run.elements], axis=0)
    _file(file, gathered, {"bright_field": bright, "dark_field": dark, "spot_score": spots.score})
    counts = Column(profile.counts, "counts", profile.errors)
    columns = {"reciprocal": Column(reciprocal * PER_NM, "1/nm"), "counts": counts}
    file.table("radial_profile", columns, title="mean counts a pixel and pattern over 1/d")
    peak, per_nm = halo(profile, disk, alone), angle / length * PER_NM
    spotted = int(spots.spotted.sum())
    return {
        "patterns": {
            "came": gathered.patterns,
            "due": gathered.due,
            "blind_pixels": int(gathered.blind.sum()),
            "saturated_pixels": int((gathered.maximum >= camera.nodata - 1).sum()),  # counted all they can, somewhere
        },
        "disk": {
            "middle_pixels": [round(at, 3) for at in disk.middle],
            "radius_mrad": round(disk.radius * angle * 1e3, 4),
            "radius_error_mrad": round(disk.radius_error * angle * 1e3, 4),
        },
        "bright_field_electrons": round(float(np.nanmean(bright)), 3),
        **_beside(dark, run.rig.scan.electrons(shot.image, frame.commanded.dwell)),
        "ring_on_camera": round(covered(disk, shape, inner, outer), 4),
        "halo": None
        if peak is None
        else {"per_nm": round(peak[0] * per_nm, 4), "error_per_nm": round(peak[1] * per_nm, 4)},
        "spots": {
            "positions": spotted,
            "by_chance": round(spots.false_rate * gathered.patterns, 1),
            "threshold": round(spots.threshold, 3),
            "false_rate": spots.false_rate,
            "false_rate_drawn": spots.drawn,
            "median_per_nm": round(float(np.median(spacings(spots, angle, length))) * PER_NM, 3) if spotted else None,
        },
    }


def _beside(dark: NDArray[np.float64], counted: NDArray[np.float64]) -> dict[str, Any]:
    """The ring of the dark field on the camera beside what its own detector counted, electrons a position."""
    came = ~np.isnan(dark)
    virtual, recorded = float(dark[came].sum()), float(counted[came].sum())
    ratio = virtual / recorded if recorded > 0.0 else math.nan
    error = ratio * math.sqrt(1.0 / max(virtual, 1.0) + 1.0 / max(recorded, 1.0))
    varies = came.sum() > 2 and dark[came].std() > 0.0 and counted[came].std() > 0.0
    alike = float(np.corrcoef(dark[came], counted[came])[0, 1]) if varies else math.nan
    return {
        "virtual_dark_field_electrons": round(virtual / int(came.sum()), 3),
        "dark_field_electrons": round(recorded / int(came.sum()), 3),
        "virtual_over_recorded": {"value": _told(ratio), "counting_error": _told(error), "correlation": _told(alike)},
    }


def _file(file: DataFile, gathered: Gathered, images: Mapping[str, NDArray[np.float64]]) -> None:
    """Tables of what was found at every position, and of the mean and the maximum of all patterns; row by row."""
    (first, *_) = images.values()
    columns = {"position": Column(np.arange(first.size, dtype=np.float64), "")}
    units = {"spot_score": ""}
    columns |= {name: Column(image.ravel(), units.get(name, "counts")) for name, image in images.items()}
    file.table("positions", columns, title="virtual detectors and spots at every position of the scan, row by row")
    patterns = {
        "pixel": Column(np.arange(gathered.mean.size, dtype=np.float64), ""),
        "mean": Column(gathered.mean.ravel(), "counts"),
        "maximum": Column(gathered.maximum.ravel().astype(np.float64), "counts"),
    }
    file.table("patterns", patterns, title="mean and maximum of all patterns, row by row")


def _told(value: float) -> float | None:
    """A number as JSON has it."""
    return round(value, 4) if math.isfinite(value) else None
