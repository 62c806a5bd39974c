"""Takes the passes of a map: one exposure each, the field following the sample, spectra and dark field together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from acquisition.analysis.registration import register
from acquisition.datafile import DataFile, DataFileError, EventWriter, ImageWriter, PassRecord, open_record, rescue
from acquisition.engine import Result
from drivers.eds import Events, dead_fraction
from physics.dose import E_PER_A2, dwell_for
from physics.xray_detector import fwhm
from physics.xrays import lines
from protocols.bench import StepRun
from protocols.outlook import StepError
from protocols.plan import Dwell, Framed
from protocols.steps.shot import Pixels, Shot, dark_field, shoot
from protocols.steps.target import Aim

ANY_BEAM = 200e3  # eV; which elements have lines does not hang on the energy of the beam


def _measurable(elements: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(elements)) != len(elements):
        raise ValueError("names an element twice")
    for element in elements:
        if not lines(element, ANY_BEAM):
            raise ValueError(f"{element} has no X-ray line that could be seen; leave it out")
    return elements


Elements = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_measurable)]
"""Elements to map, each with a line to see it by."""


@dataclass(frozen=True)
class Mapping:
    """What to map: where, how large (m), to what fluence (m^-2) in how many passes.

    counts: of each element's main line, at which to stop early.  target: or how sure the ramps are to be, m by element.
    follow: move along with the sample.
    """

    area: str
    size: tuple[float, float]
    pixels: Pixels
    dose: float
    passes: int
    elements: tuple[str, ...]
    counts: int | None
    follow: bool
    target: dict[str, float] = field(default_factory=dict)

    def dwell(self, current: float) -> Dwell:
        """The dwell of one pass at a beam current, A."""
        return lambda pitch: dwell_for(self.dose, current, *pitch, passes=self.passes)


@dataclass(frozen=True)
class _Reference:
    """The image that later ones are registered to, and how far off the sample may have been in it, m."""

    image: NDArray[np.uint16]
    margin: float


class MapTaker:
    """Delivers the passes of one mapping into one file; after a crash only those that were never begun."""

    def __init__(self, run: StepRun, mapping: Mapping) -> None:
        self._run = run
        self._mapping = mapping
        self._eds = run.rig.eds
        self._first = run.passes_begun() if run.execution.remainder else 0
        self._reference: _Reference | None = None
        self._in_windows = np.zeros(len(mapping.elements), dtype=np.int64)
        self._windows = [self._window(element) for element in mapping.elements]
        self._records: list[PassRecord] = []
        self._why = "all passes were taken"
        self._refused = 0
        eds = self._eds.settings
        energies = eds.offset + eds.ev_per_channel * np.arange(eds.channels, dtype=np.float64)
        optics = run.rig.file.optics
        self._aim = Aim(mapping.target, optics, mapping.elements, energies, mapping.passes)

    def take(self, title: str, part: str = "") -> Result:
        """Deliver, file and sum up; raises BudgetError before the first pass when the whole map does not fit."""
        run, mapping = self._run, self._mapping
        frame = self._frame()
        run.require(mapping.area, frame.commanded, mapping.passes - self._first)
        earlier = _fullest(run.earlier_files()) if self._first else None
        name, file = run.new_file(title, part)
        with file:
            image = dark_field(file, run, f"dark field during the {title}", frame, passes=mapping.passes)
            events = file.events(
                frame=frame.commanded,
                requested=frame.requested,
                passes=mapping.passes,
                channels=self._eds.settings.channels,
                ev_per_channel=self._eds.settings.ev_per_channel,
                offset_ev=self._eds.settings.offset,
                elements=mapping.elements,
            )
            file.start()
            if earlier is not None:
                self._bring_over(earlier, file, image, events)
            for index in range(self._first, mapping.passes):
                run.wait(0.0)  # between passes nothing is exposed: here a run pauses
                if self._enough():
                    break
                self._pass(index, file, image, events)
            result = self._result(name)
            file.finish(status="complete", ended=run.rig.clock.utc(), results=result)
        return result

    def _pass(self, index: int, file: DataFile, image: ImageWriter, events: EventWriter) -> None:
        run, mapping, eds = self._run, self._mapping, self._eds
        frame = self._frame().commanded
        ticket = run.reserve(mapping.area, frame, index)
        run.progress(index / mapping.passes, f"pass {index + 1} of {mapping.passes}", mapping.area)
        eds.arm(ticket.exposure_id)
        began, margin = run.rig.clock.now(), run.margin()

        def hear(heard: Events) -> None:
            pixel = np.floor(heard.times / frame.dwell).astype(np.int64)
            inside = (pixel >= 0) & (pixel < frame.count)
            events.append(index, pixel[inside].astype(np.uint32), heard.channels[inside])
            self._count(heard.channels[inside])
            self._aim.hear(index, pixel[inside], heard.channels[inside])

        shot = shoot(run, ticket, index, image, [lambda: hear(eds.read())])
        tally = eds.finish()
        hear(tally.rest)
        valid = tally.synced and not tally.full
        live = shot.record.seconds * (1.0 - dead_fraction(tally.fast, tally.slow)) if valid else 0.0
        record = replace(
            shot.record,
            live_time=live,
            real_time=shot.record.seconds,
            fast_counts=tally.fast,
            slow_counts=tally.slow,
            **self._follow(shot, began, margin),
        )
        file.pass_done(record)
        run.log_temperature(file)
        self._records.append(record)
        self._aim.see(record, shot.image, frame)
        run.note("pass", index=index, exposure_id=ticket.exposure_id, valid=valid, margin=margin)

    def _follow(self, shot: Shot, began: float, margin: float) -> dict[str, Any]:
        """Register the pass to the first one and move the field along; a doubtful shift moves nothing.

        began: clock time of the pass, s.  margin: how far off the sample may have been then, m.
        """
        if self._reference is None:
            self._reference = _Reference(shot.image, margin)
            return {}
        shift = register(self._reference.image, shot.image, self._frame().commanded.pitch)
        self._refused += not shift.accepted
        if shift.accepted and self._mapping.follow:
            unsure = self._reference.margin + shift.error if shift.unmeasured is None else None
            self._run.sighted((shift.dx, shift.dy), began, unsure=unsure)
        return {"drift": (shift.dx, shift.dy), "drift_score": shift.score}

    def _frame(self) -> Framed:
        mapping = self._mapping
        dwell = mapping.dwell(self._run.ledger.belief.current)
        return self._run.frame(mapping.area, mapping.size, mapping.pixels, dwell)

    def _enough(self) -> bool:
        wanted = self._mapping.counts
        if wanted is not None and bool((self._in_windows >= wanted).all()):
            self._why = "every element has its counts"
        elif self._aim.met():
            self._why = "the ramps are as sure as they were meant to be"
        else:
            return False
        return True

    def _count(self, channels: NDArray[np.uint16]) -> None:
        for number, (low, high) in enumerate(self._windows):
            self._in_windows[number] += int(((channels >= low) & (channels <= high)).sum())

    def _window(self, element: str) -> tuple[int, int]:
        """Channels within one FWHM around the element's strongest line."""
        optics, settings = self._run.rig.file.optics, self._eds.settings
        seen = [line for line in lines(element, optics.beam_energy) if line.energy < self._highest_energy()]
        if not seen:
            raise StepError(f"eds_map: {element} has no X-ray line that the detector sees. Leave it out of `elements`.")
        line = max(seen, key=lambda candidate: candidate.cross_section)
        width = float(fwhm(line.energy, optics.eds_fwhm_mn))
        low, high = (
            round((e - settings.offset) / settings.ev_per_channel) for e in (line.energy - width, line.energy + width)
        )
        return low, high

    def _highest_energy(self) -> float:
        settings = self._eds.settings
        return settings.offset + settings.full_scale

    def _bring_over(self, earlier: Path, file: DataFile, image: ImageWriter, events: EventWriter) -> None:
        """Copy what the torn execution had delivered; the pass it was torn in stays a gap, though its dose counts."""
        margins = {e["exposure_id"]: e["margin"] for e in self._run.entries("pass")}
        with open_record(earlier) as torn:
            stack = torn.image("dark_field").reshape(self._mapping.passes, -1)
            of_pass, pixels, channels = torn.events()
            for record in torn.passes():
                image.write(record.index, 0, stack[record.index])
                mine = of_pass == record.index
                events.append(record.index, pixels[mine].astype(np.uint32), channels[mine].astype(np.uint16))
                self._count(channels[mine].astype(np.uint16))
                self._aim.hear(record.index, pixels[mine], channels[mine])
                file.pass_done(record)
                self._records.append(record)
                self._aim.see(record, stack[record.index].reshape(self._mapping.pixels[::-1]), torn.frame())
                if self._reference is None and record.live_time > 0.0 and record.exposure_id in margins:
                    first = stack[record.index].reshape(self._mapping.pixels[::-1])
                    self._reference = _Reference(first, margins[record.exposure_id])

    def _result(self, name: str) -> Result:
        valid = [r for r in self._records if r.live_time > 0.0]
        fast, slow = sum(r.fast_counts for r in valid), sum(r.slow_counts for r in valid)
        ended = {
            "stopped": self._why,
            **({"half_widths_nm": _nanometres(self._aim.found)} if self._mapping.target else {}),
        }
        return {
            "file": name,
            "area": self._mapping.area,
            "passes": len(self._records),
            **ended,
            "valid_passes": len(valid),
            "shifts_refused": self._refused,
            "planned_e_per_A2": round(sum(r.fluence_planned for r in self._records) / E_PER_A2, 3),
            "charged_e_per_A2": round(sum(r.fluence_charged for r in self._records) / E_PER_A2, 3),
            "counts": {e: int(n) for e, n in zip(self._mapping.elements, self._in_windows, strict=True)},
            "live_seconds": round(sum(r.live_time for r in valid), 4),
            "dead_fraction": round(dead_fraction(fast, slow), 4),
            "report": {"map": ended},
        }


def _nanometres(found: dict[str, float]) -> dict[str, float]:
    return {element: round(metres * 1e9, 3) for element, metres in found.items()}


def _fullest(files: list[Path]) -> Path | None:
    """Of the files that torn executions left, the one that holds most passes; None when none holds any."""

    def passes(path: Path) -> int:
        try:
            rescue(path)
            with open_record(path) as record:
                return len(record.passes())
        except DataFileError:  # killed before anything was in it
            return 0

    fullest = max(files, key=passes, default=None)
    return fullest if fullest is not None and passes(fullest) > 0 else None
