"""Which crystals stand where across the interface: evaluates lattice images that were taken, without a beam."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from acquisition.analysis.bands import MARGIN, Composition, bands, locate
from acquisition.analysis.fading import align
from acquisition.analysis.lattices import POLYMORPHS
from acquisition.analysis.layers import Phase, Seen, distinct
from acquisition.analysis.looks import Looked
from acquisition.analysis.phase_map import (
    Divided,
    PhaseMap,
    Region,
    evaluate,
    has_halo,
    looks_at,
    own_scale,
    rescaled,
)
from acquisition.datafile import Column, PassRecord, Recorded, open_record
from acquisition.engine import Result
from physics.dose import E_PER_A2
from physics.materials import material, names
from physics.quantities import Fluence, Metres
from protocols.bench import StepRun
from protocols.outlook import Outlook, PostconditionError, StepError
from protocols.plan import Plan
from protocols.steps.base import Positive, Step

IMAGE = "lattice"
SCALE = "lattice_scale"
SHOWN = ("lithium", "lithium-side", "middle", "lipon-side", "lipon")  # a square of each stands in the pictures


class PhaseMapStep(Step):
    """Say from the Fourier transforms of small patches which crystals stand in five bands across the interface.

    from: the step whose images are evaluated.  up_to: frames of a place are summed as long as it had received no more.
    patch: side.  metal, film: materials on both sides. The bands are those of the line-scan that came before, if any;
    where they lie is journalled before any spot is looked at.
    """

    do: Literal["phase_map"] = "phase_map"
    from_: Literal["hrtem"] = Field(default="hrtem", alias="from")
    up_to: Annotated[Fluence, Positive] = 1e3 * E_PER_A2
    patch: Annotated[Metres, Field(ge=12e-9, le=40e-9)] = 12.8e-9
    metal: str = "Li"
    film: str = "LiPON"

    @model_validator(mode="after")
    def _known(self) -> PhaseMapStep:
        for named in (self.film, self.metal):
            if named not in names():
                raise ValueError(f'"{named}" is not a known material: {", ".join(names())}')
        return self

    def outlook(self, plan: Plan) -> Outlook:
        if self.from_ not in plan.done:
            raise StepError(f"evaluates lattice images, but no {self.from_} comes before it. Add one.")
        return Outlook(0.0)

    def run(self, run: StepRun) -> Result:
        latest = run.latest(self.from_)
        if latest is None:
            raise StepError(f"phase_map: there is no finished {self.from_} to evaluate.")
        return _Evaluation(self, run, latest["files"], str(latest["area"])).done()


@dataclass(frozen=True)
class _Image:
    """A file of lattice frames.

    place, disc: where it was taken, (x, y), m, and diameter of the light there, m.  pitch: m a pixel, to `within`.
    kept: frames that are summed.  kelvin: of the stage.
    """

    file: str
    frames: NDArray[Any]
    passes: tuple[PassRecord, ...]
    place: tuple[float, float]
    disc: float
    pitch: float
    kept: int
    within: float
    kelvin: float


class _Evaluation:
    """One evaluation of all files of a step."""

    def __init__(self, step: PhaseMapStep, run: StepRun, files: list[str], area: str) -> None:
        self._step, self._run, self._area = step, run, area
        self._composition = Composition(material(step.metal), material(step.film), _ramps(run))
        self._notes: list[str] = []
        calibrated = run.calibrations().get(SCALE)
        self._scale = None if calibrated is None else float(calibrated["value"])
        with_scale = self._scale or 1.0
        self._images = self._alone([image for file in files if (image := self._read(file, with_scale)) is not None])
        if not self._images:
            raise StepError(f"phase_map: the files of {step.from_} hold no finished frame.")
        self._kelvin = float(np.mean([image.kelvin for image in self._images]))

    def done(self) -> Result:
        """Fix the bands, look, judge, file."""
        run = self._run
        divided: list[Divided] = []
        used: list[_Image] = []
        for number, image in enumerate(self._images):
            run.progress(0.05 + 0.25 * number / len(self._images), "where the bands lie", self._area)
            found = self._divided(image)
            if found is not None:
                divided.append(found)
                used.append(image)
        if not divided:
            raise PostconditionError("phase_map: " + " ".join(self._notes) + " Image an area that holds the interface.")
        run.progress(0.3, "looking for spots", self._area)
        looks = looks_at(divided)
        if self._scale is None:
            middle = [each for name in SHOWN[1:4] for each in looks[name]]
            self._scale = own_scale(middle, self._kelvin, max(image.within for image in used))
            looks = {name: rescaled(members, self._scale) for name, members in looks.items()}
            divided = [replace(each, pitch=each.pitch * self._scale) for each in divided]
            self._notes.append(
                f"no calibration of the pixel: the lattices found fit best when it is {self._scale:.4f} times as large "
                "as believed"
            )
        run.progress(0.6, "judging", self._area)
        return self._file(evaluate(divided, looks, self._composition, self._kelvin), divided, used)

    def _alone(self, images: list[_Image]) -> list[_Image]:
        """One image a place: after a crash a place has two, whose crystals would be counted twice."""
        kept: list[_Image] = []
        for image in images:
            if any(math.dist(image.place, other.place) < image.disc for other in kept):
                self._notes.append(f"{image.file} goes on with a place that another file holds, and is left out.")
            else:
                kept.append(image)
        return kept

    def _read(self, file: str, scale: float) -> _Image | None:
        with open_record(self._run.path(file)) as record:
            passes = tuple(sorted(record.passes(), key=lambda one: one.index))
            if not passes:
                return None
            stack, flood = record.image(IMAGE), record.flood(IMAGE)
            frames = stack.reshape(-1, *stack.shape[-2:])[[one.index for one in passes]]
            # of a place that was gone on with after a crash the earlier frames stand in another file, or in none
            received = np.array([(one.index + 1) * one.fluence_planned for one in passes])
            return _Image(
                file,
                frames,
                passes,
                flood.centre,
                flood.diameter,
                flood.pitch[0] * scale,
                max(int((received <= 1.001 * self._step.up_to).sum()), 1),
                record.parallel_beam(IMAGE).pixel_uncertainty,
                _kelvin(record),
            )

    def _divided(self, image: _Image) -> Divided | None:
        frames = list(image.frames)
        summed = align(frames, image.pitch, image.kept)
        total, lost = summed.total, sum(shift is None for shift in summed.shifts)
        if lost:
            self._notes.append(f"{lost} frames of {image.file} could not be laid upon the first and are left out")
        try:
            placed = locate(total, image.pitch, self._composition)
        except ValueError as error:
            self._notes.append(f"{image.file} is left out: {error}.")
            return None
        ends = self._composition.extent() if self._composition.ramps else (-placed.extent / 2, placed.extent / 2)
        shape = (total.shape[0], total.shape[1])
        # a step of mass alone tells little of the shallow end of an interphase: controls keep well away from it
        margin = MARGIN if self._composition.ramps else MARGIN + placed.extent
        found = bands(shape, image.pitch, placed, ends, self._step.patch, margin)
        self._run.note(
            "bands",
            file=image.file,
            of="the line-scan" if self._composition.ramps else "the image alone",
            interface_nm=_nm(placed.position),
            interface_error_nm=_nm(placed.error),
            angle_deg=round(float(np.degrees(placed.angle)), 2),
            interphase_nm=[_nm(end) for end in ends],
            patches={band.name: len(band.patches) for band in found},
        )
        return Divided(total, frames, summed.shifts, image.kept, image.pitch, placed, found)

    def _file(self, found: PhaseMap, divided: list[Divided], used: list[_Image]) -> Result:
        run = self._run
        if not self._composition.ramps:
            self._notes.append(
                "no line-scan came before: the bands are those of the image's own step of mass, 0 nm its middle"
            )
        report = {
            "regions": [_region(region) for region in found.regions],
            "controls": {
                "patches": found.control.patches,
                "decided": dict(found.control.decided),
                "at_most_95": round(found.control.at_most, 4),
            },
            "false_positive_rate": round(found.control.false_positives, 4),
            "undecided_rate": round(found.undecided, 4),
            "flags": list(found.flags),
            "phase_map": {
                "patch_nm": _nm(self._step.patch),
                "images": [image.file for image in used],
                "summed_e_per_A2": [
                    round(sum(one.fluence_planned for one in image.passes[: image.kept]) / E_PER_A2, 2)
                    for image in used
                ],
                "pixel_of_believed": round(self._scale or 1.0, 5),
                "kelvin": round(self._kelvin, 2),
                "fading": None
                if found.fading is None
                else {
                    "amplitude_lost": round(found.fading.lost, 4),
                    "ci95": [round(found.fading.low, 4), round(found.fading.high, 4)],
                    "spots": found.fading.spots,
                },
                "li2o_in_lipon_first_last": None if found.grown is None else list(found.grown),
                "notes": self._notes,
            },
        }
        name, file = run.new_file(f"phases in {self._area}")
        with file:
            file.start()
            distances, profiles = found.profile
            columns = {"frequency": Column(distances * 1e-9, "1/nm")}
            for region, profile in zip(found.regions, profiles, strict=True):
                columns[region.layer.name.replace("-", "_")] = Column(profile, "1")
            file.table("radial_profile", columns, title="power in rings over that of shot noise")
            squares = _squares(found, divided, used)
            file.finish(status="complete", ended=run.rig.clock.utc(), results={**report, "squares": squares})
        return {"file": name, "area": self._area, "report": report}


def _ramps(run: StepRun) -> Mapping[str, tuple[float, float]] | None:
    """Where elements begin and end to rise in the latest line-scan, m; None without one."""
    profiles = (run.latest("eds_line") or {}).get("report", {}).get("profiles", {})
    ramps = {element: (one["from_nm"] * 1e-9, one["to_nm"] * 1e-9) for element, one in profiles.items()}
    return ramps or None


def _kelvin(record: Recorded) -> float:
    """Temperature of the stage while the frames were taken."""
    kelvins = record.temperatures()[1]
    stage = record.about.stage_temperature
    if kelvins.size:
        return float(kelvins.mean())
    if stage is None:
        raise StepError(f"phase_map: {record.path.name} says nothing of the temperature, on which lattices hang.")
    return stage


def _region(region: Region) -> dict[str, Any]:
    layer, (middle, first, last) = region.layer, region.across
    told: dict[str, Any] = {
        "name": layer.name,
        "position_nm": _nm(middle) if layer.patches else None,
        "from_nm": _nm(first) if layer.patches else None,
        "to_nm": _nm(last) if layer.patches else None,
        "patches": layer.patches,
        "independent_patches": region.apart,
        "phases": [_phase(phase) for phase in layer.phases if phase.reported],
        "undecided": [_phase(phase) for phase in layer.phases if not phase.reported],
        "amorphous_halo": has_halo(region.halo),
        "halo_over_noise": round(region.halo, 2),
        "notes": list(region.notes),
    }
    forms = {
        each.verdict.crystal.phase for each in layer.seen if each.verdict.decided and each.verdict.phase == "Li3PO4"
    }
    if forms and any(phase["phase"] == "Li3PO4" for phase in told["phases"]):
        said = " and ".join(sorted("gamma" if form in POLYMORPHS else "beta" for form in forms))
        told["notes"].append(f"Li3PO4: lattices of {said} fit; both forms have nearly the same spacings")
    return told


def _phase(phase: Phase) -> dict[str, Any]:
    return {
        "phase": phase.phase,
        "patches": phase.patches,
        "crystals": phase.crystals,
        "spots": phase.spots,
        "confidence": round(phase.confidence, 4),
    }


def _squares(found: PhaseMap, divided: list[Divided], used: list[_Image]) -> list[dict[str, Any]]:
    """For the pictures: one patch of each band, of one image, that shows most of what was found in it."""
    squares = []
    for region in found.regions:
        reported = {phase.phase for phase in region.layer.phases if phase.reported}
        decided = distinct([one for one in region.layer.seen if one.verdict.decided and one.verdict.phase in reported])
        of_look: dict[int, list[Seen]] = {}
        for each in region.layer.seen:
            if each.verdict.decided and each.verdict.phase in reported:
                of_look.setdefault(id(each.looked), []).append(each)
        best: Looked | None = None
        if decided:
            best = max(of_look.values(), key=lambda seen: (len(seen), seen[0].verdict.confidence))[0].looked
        elif region.looked:
            best = min(region.looked, key=lambda each: abs(each.across - region.across[0]))
        if best is None:
            continue
        labels = {
            tuple(np.round(best.spots.k[spot], 3)): f"{each.verdict.phase} {label}"
            for each in of_look.get(id(best), [])
            for spot, label in zip(each.verdict.crystal.spots, each.verdict.crystal.labels, strict=True)
        }
        squares.append(
            {
                "region": region.layer.name,
                "file": used[best.image].file,
                "row": best.square.row,
                "column": best.square.column,
                "side": best.square.side,
                "pixel_nm": divided[best.image].pitch * 1e9,
                "spots": [
                    {
                        "k_per_nm": [round(float(one) * 1e-9, 4) for one in k],
                        "label": labels.get(tuple(np.round(k, 3)), ""),
                    }
                    for k in best.spots.k
                ],
            }
        )
    return squares


def _nm(metres: float) -> float:
    return round(float(metres) * 1e9, 3)
