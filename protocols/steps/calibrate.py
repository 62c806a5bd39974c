"""Measures on the sample itself what everything else is measured with, each number with its date and uncertainty."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from acquisition.analysis.edge_on import edge_profile
from acquisition.analysis.lattice_standard import Scale, find_scale
from acquisition.analysis.thon import Defocus, find_defocus
from acquisition.datafile import Column, DataFile, Recorded, open_record
from acquisition.engine import Result
from physics.crystals import names, spacings
from physics.dose import dwell_for
from physics.quantities import Fluence, Fraction, Metres
from protocols.bench import StepRun
from protocols.outlook import Exposure, Outlook, PostconditionError, StepError
from protocols.plan import Dwell, Plan
from protocols.steps.base import Positive, Step
from protocols.steps.interface import BIN, file_profile, see_interface
from protocols.steps.scanning import single_image
from protocols.steps.shot import Pixels, Shot, square

SURE = 1.96  # standard errors of a 95 % uncertainty
FWHM_OF_BOX = math.sqrt(8.0 * math.log(2.0) / 12.0)  # of the Gaussian with the variance of a smear over a length
SHORTEST = 1.2e-10  # m, of the spacings of a standard that are looked for
RINGS = 0.2  # share of the variance of a spectrum that Thon rings must explain
APART = 9.0  # variances by which another defocus must fit worse
ON_RINGS = 0.3  # share of the weight of all spots that must lie on rings of the standard
ALONE = 0.7  # of the weight of the best scale, that another one may explain
SOURCES = {"pixel": "hrtem", "defocus": "hrtem", "camera": "diffraction_map"}


class Calibrate(Step):
    """Measure `probe` (the blur of a sharp edge), `pixel` or `defocus` (of lattice images), or `camera` (its angles).

    on: the area.  dose, field, pixels: of the dark-field image for `probe`.  from: the step whose latest image of the
    area is evaluated, without a beam, for all else.  standard: the crystal whose spacings give `pixel`.  thickness: of
    the foil there, at most.  within: how wrong the pixel may be.  defocus_within: how far the defocus may be off.
    required: whether what the image does not tell fails the step; else the result says it under `failed`.
    """

    do: Literal["calibrate"] = "calibrate"
    what: Literal["probe", "pixel", "defocus", "camera"]
    on: str
    from_: Literal["hrtem", "diffraction_map"] | None = Field(default=None, alias="from")
    dose: Annotated[Fluence, Positive] | None = None
    field: Annotated[Metres, Positive] = 60e-9
    pixels: Pixels = (256, 256)
    standard: str = "Cu"
    thickness: Annotated[Metres, Positive] = 120e-9
    within: Annotated[Fraction, Field(gt=0.0, lt=0.08)] = 0.05
    defocus_within: Annotated[Metres, Positive] = 80e-9
    required: bool = True

    @model_validator(mode="after")
    def _one_source(self) -> Calibrate:
        source = SOURCES.get(self.what)
        if source is None and (self.dose is None or self.from_ is not None):
            raise ValueError(f"`what: {self.what}` takes an image of its own: say its `dose`, and no `from`")
        if source is not None and (self.dose is not None or self.from_ != source):
            raise ValueError(f"`what: {self.what}` is evaluated without a beam: say `from: {source}`, and no `dose`")
        if self.standard not in names():
            raise ValueError(f'"{self.standard}" is not a known crystal: {", ".join(names())}')
        return self

    @property
    def once(self) -> bool:
        return self.dose is not None

    def outlook(self, plan: Plan) -> Outlook:
        area = plan.area(self.on)
        if self.dose is None:
            if self.from_ not in plan.done:
                raise StepError(f"evaluates an image, but no {self.from_} comes before it.")
            return Outlook(0.0)
        frame = plan.frame(area, square(self.field, self.pixels), self.pixels, self._dwell(plan.books.belief.current))
        return Outlook(frame.seconds, (Exposure(area, frame),))

    def run(self, run: StepRun) -> Result:
        area = run.area(self.on)
        try:
            name, found = self._measured(run, area)
        except PostconditionError as error:
            if self.required:
                raise
            run.progress(1.0, f"note: {error} What follows does without.", area)
            return {"area": area, "failed": str(error), "calibrations": run.calibrations()}
        calibrations = run.calibrations()
        for what, calibration in found.pop("calibrations").items():
            calibrations[what] = {**calibration, "taken": run.rig.clock.utc().isoformat(), "from": name}
        return {
            "file": name,
            "area": area,
            **found,
            "calibrations": calibrations,
            "report": {"calibrations": calibrations},
        }

    def _measured(self, run: StepRun, area: str) -> tuple[str, dict[str, Any]]:
        """The file and what stands in it."""
        if self.dose is not None:
            return self._probe(run, area)
        return self._camera(run, area) if self.what == "camera" else self._evaluated(run, area)

    def _dwell(self, current: float) -> Dwell:
        return lambda pitch: dwell_for(self.dose or 0.0, current, *pitch)

    def _probe(self, run: StepRun, area: str) -> tuple[str, dict[str, Any]]:
        """The blur of a sharp edge in an image of its own."""
        dwell = self._dwell(run.ledger.belief.current)
        frame = run.frame(area, square(self.field, self.pixels), self.pixels, dwell)
        pitch, scale = frame.commanded.pitch, run.rig.file.calibrations.scan_scale.uncertainty
        lean = math.radians((run.latest("make_edge_on") or {}).get("lean_bound_deg", math.inf))

        def look(file: DataFile, shot: Shot) -> dict[str, Any]:
            electrons = run.rig.scan.electrons(shot.image, frame.commanded.dwell)
            found = see_interface(electrons, pitch, area, self.do, block=1)
            if not found.fwhm > 2.0 * max(pitch):
                raise PostconditionError(
                    f"calibrate: the edge on {area} is {found.fwhm * 1e9:.2f} nm wide, less than two pixels. "
                    "Take a smaller field."
                )
            file_profile(file, edge_profile(electrons, pitch, found, BIN * max(pitch)))
            # what a lean may have added at most; without a make_edge_on it may be all of it
            smear = min(FWHM_OF_BOX * self.thickness * math.sin(min(lean, math.pi / 2)), found.fwhm)
            beyond = found.fwhm - math.sqrt(found.fwhm**2 - smear**2)
            error = SURE * found.width_error / found.width
            return {
                "score": round(found.score, 4),
                "least_nm": round((found.fwhm - beyond) * 1e9, 3),
                "calibrations": {
                    "probe_fwhm": _calibration(
                        found.fwhm * 1e9, "nm", math.hypot(found.fwhm * math.hypot(error, scale), beyond) * 1e9
                    )
                },
            }

        name, _, facts = single_image(run, area, frame, f"sharp edge on {area}", look)
        return name, facts

    def _camera(self, run: StepRun, area: str) -> tuple[str, dict[str, Any]]:
        """The angle a pixel of the camera sees: the central disk is as wide as the probe's cone."""
        mapped = _latest(run, self.from_ or "", area)
        disk, cone, angle = mapped["disk"], run.rig.file.optics.convergence, run.rig.camera.settings.angle_per_pixel
        radius, error = disk["radius_mrad"] * 1e-3, disk["radius_error_mrad"] * 1e-3
        measured = angle * cone / radius * 1e3
        return str(mapped["file"]), {
            "of_believed": round(cone / radius, 5),
            "taken_as_right": "the convergence of the rig file",
            "calibrations": {"camera_angle": _calibration(measured, "mrad", SURE * error / radius * measured)},
        }

    def _evaluated(self, run: StepRun, area: str) -> tuple[str, dict[str, Any]]:
        """What the latest image of the area says."""
        source = run.path(_latest(run, self.from_ or "", area)["files"][0])
        run.progress(0.2, f"{self.what} of {area}", area)
        name, file = run.new_file(f"{self.what} from {source.name}")
        with file, open_record(source) as record:
            file.start()
            image = _first_frame(record)
            found = (self._pixel if self.what == "pixel" else self._defocus)(run, file, record, image)
            file.finish(status="complete", ended=run.rig.clock.utc(), results={"evaluated": source.name, **found})
        return name, {"evaluated": source.name, **found}

    def _pixel(self, run: StepRun, file: DataFile, record: Recorded, image: NDArray[np.float64]) -> dict[str, Any]:
        kelvin, flood = run.rig.cryostat.temperature(), record.flood()
        try:
            found = find_scale(image, flood.pitch[0], spacings(self.standard, kelvin, SHORTEST), within=self.within)
        except ValueError as error:
            raise PostconditionError(f"calibrate: {error}. Take more dose, or another place of {self.on}.") from error
        _see_scale(found, self.standard, self.within)
        order = np.argsort(found.lengths)
        file.table(
            "lattice_spots",
            {
                "frequency": Column(found.lengths[order] * 1e-9, "1/nm"),
                "ring": Column(found.ring_lengths[order] * 1e-9, "1/nm"),
            },
            title=f"spots, and the rings of {self.standard} they lie on",
        )
        pixel = flood.pitch[0] * found.value
        return {
            "spots": found.spots,
            "spots_seen": found.seen,
            "rings": list(found.rings),
            "of_believed": round(found.value, 5),
            "kelvin": round(kelvin, 2),
            "calibrations": {
                "lattice_pixel": _calibration(pixel * 1e12, "pm", SURE * found.error * flood.pitch[0] * 1e12),
                "lattice_scale": _calibration(found.value, "1", SURE * found.error),
            },
        }

    def _defocus(self, run: StepRun, file: DataFile, record: Recorded, image: NDArray[np.float64]) -> dict[str, Any]:
        flood, beam = record.flood(), record.parallel_beam()
        scale = run.calibrations().get("lattice_scale", {"value": 1.0, "uncertainty": beam.pixel_uncertainty})
        found = find_defocus(
            image,
            flood.pitch[0] * scale["value"],
            beam_energy=record.about.optics.beam_energy,
            spherical=beam.spherical,
            nominal=flood.defocus,
            reach=self.defocus_within,
            thickest=self.thickness,
        )
        _see_defocus(found)
        # the rings tell the product of defocus and the square of a frequency
        uncertainty = math.hypot(SURE * found.error, 2.0 * scale["uncertainty"] / scale["value"] * found.value) * 1e9
        file.table(
            "thon_rings",
            {
                "frequency": Column(found.frequency * 1e-9, "1/nm"),
                "power": Column(found.power, "1"),
                "fit": Column(found.fit, "1"),
                "without_rings": Column(found.smooth, "1"),
            },
            title="power spectrum and Thon rings",
        )
        return {
            "score": round(found.score, 4),
            "foil_nm": round(found.thickness * 1e9, 1),
            "calibrations": {
                "defocus": _calibration(found.value * 1e9, "nm", uncertainty),
                "defocus_offset": _calibration((found.value - flood.defocus) * 1e9, "nm", uncertainty),
            },
        }


def _calibration(value: float, unit: str, uncertainty: float) -> dict[str, Any]:
    """A measured number and its 95 % uncertainty in the same unit."""
    return {"value": float(f"{value:.6g}"), "unit": unit, "uncertainty": float(f"{uncertainty:.3g}")}


def _latest(run: StepRun, do: str, area: str) -> Result:
    """The result of the latest finished step of a name on an area; raises StepError."""
    named = {e["ordinal"] for e in run.entries("step") if e["do"] == do}
    results = [e["result"] for e in run.entries("result") if e["ordinal"] in named and e["result"].get("area") == area]
    if not results:
        raise StepError(f'calibrate: there is no finished {do} of area "{area}" to evaluate.')
    return dict(results[-1])


def _first_frame(record: Recorded) -> NDArray[np.float64]:
    """The first frame there is of a lattice image: what the beam does to the sample shows least in it."""
    image, first = record.image("lattice"), min(one.index for one in record.passes())
    return np.asarray(image if image.ndim == 2 else image[first], dtype=np.float64)


def _see_scale(found: Scale, standard: str, within: float) -> None:
    what = ""
    if found.score < ON_RINGS:
        what = f"of {found.seen} spots only {found.spots}, and faint ones, lie on rings of {standard}"
    elif found.other_share > ALONE:
        what = f"a pixel {found.other:.3f} times as large as believed explains the spots nearly as well"
    elif abs(math.log(found.value)) > 0.98 * math.log1p(within):
        what = f"the pixel would be {found.value:.3f} times as large as believed, at the end of what was tried"
    if what:
        raise PostconditionError(f"calibrate: {what}. Look at the image: is the standard in it?")


def _see_defocus(found: Defocus) -> None:
    what = ""
    if found.score < RINGS:
        what = f"Thon rings explain only {found.score:.2f} of the spectrum, {RINGS} are needed"
    elif found.other_worse < APART:
        what = f"{found.value * 1e9:.0f} and {found.other * 1e9:.0f} nm fit the rings alike"
    if what:
        raise PostconditionError(
            f"calibrate: {what}. Take an image of an amorphous, thinner place, farther out of focus."
        )
