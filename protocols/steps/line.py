"""Element profiles across an interface: from a recorded map without a beam, or from a strip scanned on tickets."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from acquisition.analysis.interface import Interface, coordinates, find_interface
from acquisition.analysis.interphase import interphase_width
from acquisition.analysis.profile import profile
from acquisition.analysis.ramps import NoStep, Ramp, fit_ramp, resample
from acquisition.analysis.spectra import fit, line_shapes
from acquisition.datafile import Column, Recorded, open_record
from acquisition.engine import Result
from drivers.rigfile import Strict
from physics.materials import material, names
from physics.quantities import Fluence, Metres
from protocols.bench import StepRun
from protocols.outlook import Exposure, Outlook, PostconditionError, StepError
from protocols.plan import Plan
from protocols.steps.base import Positive, Step
from protocols.steps.mapping import Elements, Mapping, MapTaker
from protocols.steps.shot import Pixels

SEEN = 0.3  # share of the dark field's variance that the step of an interface must explain
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
    bin: width of a point of the profile.  film: material on the bright side, for the shape of the continuum.
    """

    do: Literal["eds_line"] = "eds_line"
    once: ClassVar[bool] = True
    from_: Literal["eds_map"] | None = Field(default=None, alias="from")
    scan: Strip | None = None
    across: str
    bin: Annotated[Metres, Positive] = 4e-9
    film: str = "LiPON"

    @model_validator(mode="after")
    def _one_source(self) -> EdsLine:
        if (self.from_ is None) == (self.scan is None):
            raise ValueError("say either `from: eds_map` (no beam) or `scan: {...}` (a strip on tickets)")
        if self.film not in names():
            raise ValueError(f'film "{self.film}" is not a known material: {", ".join(names())}')
        return self

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
            recorded = MapTaker(run, self.scan.mapping(area)).take(f"EDS strip of {area}")
        else:
            latest = run.latest("eds_map")
            if latest is None:
                raise StepError("eds_line: there is no finished eds_map to integrate.")
            recorded = latest
        run.progress(0.2, "fitting", area)
        with open_record(run.path(recorded["file"])) as record:
            measured = _Measured(record, run, self)
        run.progress(0.9, "filing", area)
        return measured.file(run, area)


class _Measured:
    """The profile that a recorded map holds."""

    def __init__(self, record: Recorded, run: StepRun, step: EdsLine) -> None:
        optics = run.rig.file.optics
        self.frame = record.frame("eds")
        self.passes = [p for p in record.passes() if p.live_time > 0.0]
        if not self.passes:
            raise PostconditionError("eds_line: the map has no valid pass.")
        self.elements = record.elements()
        self.interface = _interface(record.image("dark_field_sum"), self.frame.pitch)
        of_pass, self.pixels, self.channels = record.events()
        order = {p.index: place for place, p in enumerate(self.passes)}
        valid = np.isin(of_pass, list(order))
        self.pixels, self.channels = self.pixels[valid], self.channels[valid]
        self.of_pass = np.array([order[int(p)] for p in of_pass[valid]], dtype=np.int64)
        self.energies = run.rig.eds.energies()
        spectrum = np.bincount(self.channels, minlength=self.energies.size)
        shapes = line_shapes(
            self.elements,
            self.energies,
            beam_energy=optics.beam_energy,
            fwhm_mn=optics.eds_fwhm_mn,
            film=material(step.film),
        )
        self.shifts = [p.drift for p in self.passes]
        self.live = sum(p.live_time for p in self.passes) / len(self.passes) / self.frame.count
        self.profile = profile(
            self.of_pass,
            self.pixels,
            self.channels,
            frame=self.frame,
            pixels_done=[p.pixels_done for p in self.passes],
            shifts=self.shifts,
            interface=self.interface,
            fit=fit(spectrum, shapes),
            elements=self.elements,
            bin_width=step.bin,
        )
        self.ramps = self._ramps(optics.probe_fwhm)

    def _ramps(self, probe: float) -> dict[str, Ramp]:
        draws = resample(self.profile, np.random.default_rng(DRAWS))
        ramps = {}
        for element in self.elements:
            try:
                ramps[element] = fit_ramp(self.profile, element, probe, draws)
            except NoStep:
                continue  # an element without a ramp is not in the results; its counts are in the table
        return ramps

    def file(self, run: StepRun, area: str) -> Result:
        """Write the profile's own file and give the result."""
        title = f"profile across {area}"
        name, file = run.new_file(title)
        with file:
            file.start()
            file.spectrum_line(
                "profile",
                title=title,
                positions=self.profile.position,
                spectra=self._spectra(),
                ev_per_channel=run.rig.eds.settings.ev_per_channel,
                offset_ev=run.rig.eds.settings.offset,
                elements=self.elements,
                live_time=self.live * len(self.passes),
                real_time=sum(p.real_time for p in self.passes) / self.frame.count,
                frame=self.frame,
            )
            file.table("profile_table", self._columns(), title=title)
            report = self._report()
            file.finish(status="complete", ended=run.rig.clock.utc(), results=report)
        return {"file": name, "area": area, "report": report}

    def _columns(self) -> dict[str, Column]:
        """Counts per second of live beam on each place, as a line-scan shows them."""
        columns = {"position": Column(self.profile.position, "m")}
        for element in self.elements:
            counts, errors = self.profile.rate(element)
            columns[element] = Column(counts / self.live, "1/s", errors / self.live)
        return columns

    def _spectra(self) -> NDArray[np.uint32]:
        """Spectra (bins, channels) of the same bins as the profile."""
        columns, rows = self.frame.pixels
        x, y = coordinates((rows, columns), self.frame.pitch)
        across = (x[None, :] * self.interface.normal[0] + y[:, None] * self.interface.normal[1]).ravel()
        moved = np.array(self.shifts).reshape(-1, 2) @ np.array(self.interface.normal)
        place = across[self.pixels.astype(np.int64)] - self.interface.position - moved[self.of_pass]
        first = self.profile.position[0] - self.profile.bin_width / 2
        number = np.floor((place - first) / self.profile.bin_width).astype(np.int64)
        bins, channels = self.profile.position.size, self.energies.size
        kept = (number >= 0) & (number < bins)
        flat = np.bincount(number[kept] * channels + self.channels[kept], minlength=bins * channels)
        return flat.reshape(bins, channels).astype(np.uint32)

    def _report(self) -> dict[str, Any]:
        """What goes into results.json."""
        report: dict[str, Any] = {"profiles": {element: _ramp_facts(ramp) for element, ramp in self.ramps.items()}}
        if self.ramps:
            width = interphase_width(self.ramps)
            report["interphase"] = {"width_nm": _nm(width.value), "ci95_nm": [_nm(edge) for edge in width.ci95]}
            if width.upper_bound is not None:
                report["interphase"]["upper_bound_nm"] = _nm(width.upper_bound)
        report["interface"] = {
            "angle_deg": round(float(np.degrees(self.interface.angle)), 3),
            "position_nm": _nm(self.interface.position),
        }
        return report


def _interface(image: NDArray[np.float64], pitch: tuple[float, float]) -> Interface:
    found = find_interface(image, pitch)
    if not found.score >= SEEN:
        raise PostconditionError(
            f"eds_line: no interface is seen in the dark field of the map (score {found.score:.2f}, {SEEN} needed). "
            "Look at the image; map an area that holds the interface."
        )
    return found


def _ramp_facts(ramp: Ramp) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "ramp_nm": _nm(ramp.extent),
        "ci95_nm": [_nm(edge) for edge in ramp.ci95],
        "counts": round(ramp.counts, 1),
        "from_nm": _nm(ramp.start),
        "to_nm": _nm(ramp.end),
    }
    if ramp.upper_bound is not None:
        facts["upper_bound_nm"] = _nm(ramp.upper_bound)
    return facts


def _nm(metres: float) -> float:
    return round(metres * 1e9, 3)
