"""The models of the rig file: devices and their links, optics, calibrations with their age, wiring, saved positions."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from physics.quantities import Amps, ElectronVolts, Fraction, Kelvin, Metres, Radians, Seconds, Steradians


class Strict(BaseModel):
    """A model that knows all its keys and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Misplaced(ValueError):
    """A fault between several keys, with the place of the one to point at."""

    def __init__(self, what: str, *at: str | int) -> None:
        super().__init__(what)
        self.at = at


class DeviceEntry(Strict):
    """One device: its driver, its link, where it stands, and the settings its driver reads."""

    driver: str
    link: str
    station: Literal["fibsem", "stem"]
    settings: dict[str, Any] = Field(default_factory=dict)


class Optics(Strict):
    """The probe and the detectors, as the operator set them up (the rig of this version does not drive a column).

    dark_field: inner and outer collection half-angle.  elevation, azimuth: of the EDS detector seen from the sample.
    """

    beam_energy: Annotated[ElectronVolts, Field(gt=0.0)]
    convergence: Annotated[Radians, Field(gt=0.0)]
    probe_fwhm: Annotated[Metres, Field(gt=0.0)]
    dark_field: tuple[Radians, Radians]
    eds_solid_angle: Annotated[Steradians, Field(gt=0.0, le=4 * math.pi)]
    eds_elevation: Annotated[Radians, Field(ge=-math.pi / 2, le=math.pi / 2)]
    eds_azimuth: Radians
    eds_fwhm_mn: Annotated[ElectronVolts, Field(gt=0.0)]

    @model_validator(mode="after")
    def _ring(self) -> Optics:
        if not 0.0 <= self.dark_field[0] < self.dark_field[1]:
            raise Misplaced("the inner angle of the dark field comes first", "dark_field")
        return self


class Calibration(Strict):
    """A measured number with its uncertainty (relative, bound), its date and how long it may be believed.

    taken: when it was measured, with its zone; `at opening` is for simulated rigs, which are calibrated as they open.
    """

    uncertainty: Annotated[Fraction, Field(ge=0.0, lt=1.0)]
    taken: AwareDatetime | Literal["at opening"]
    valid_for: Annotated[Seconds, Field(gt=0.0)]


class CurrentCalibration(Calibration):
    """Beam current at the sample."""

    value: Annotated[Amps, Field(gt=0.0)]


class LengthCalibration(Calibration):
    """A length at the sample."""

    value: Annotated[Metres, Field(gt=0.0)]


class Calibrations(Strict):
    """What the dose is counted with.

    beam_current: at the sample.  scan_scale: of the scan field (its width is a setting of the scan device).
    position: how well a place is found again.  drift_per_hour: how far the sample may move unseen.
    flyback: time a row the beam is on while it runs back, at most.
    """

    beam_current: CurrentCalibration
    scan_scale: Calibration
    position: Annotated[Metres, Field(ge=0.0)]
    drift_per_hour: Annotated[Metres, Field(ge=0.0)]
    flyback: Annotated[Seconds, Field(ge=0.0)]


class Wire(Strict):
    """A trigger cable: from an output, to an input, and how late the edge arrives."""

    source: str = Field(alias="from")
    to: str
    latency: Annotated[Seconds, Field(ge=0.0)]


class Position(Strict):
    """A saved place in the scan field and how large it is: (x, y) and (width, height)."""

    at: tuple[Metres, Metres]
    size: tuple[Annotated[Metres, Field(gt=0.0)], Annotated[Metres, Field(gt=0.0)]]


class Simulation(Strict):
    """What stands behind `sim:` links: a sample, and whether the instrument's numbers are a little wrong."""

    sample: str
    hidden_errors: bool


class Pace(Strict):
    """How fast the rig's clock runs: 1 for instruments, more for simulated boxes served so (`serve --speed`)."""

    speed: Annotated[float, Field(ge=0.01, le=1000.0)] = 1.0


class RigFile(Strict):
    """A whole rig; it opens completely or not at all."""

    rig: Literal[1]
    name: str
    sample_stage: dict[Literal["fibsem", "stem"], str]
    devices: dict[str, DeviceEntry]
    optics: Optics
    calibrations: Calibrations
    sample_ceiling: Kelvin
    positions: dict[str, Position]
    wiring: tuple[Wire, ...] = ()
    blank_channel: str | None = None
    simulation: Simulation | None = None
    clock: Pace = Pace()

    @property
    def simulated(self) -> bool:
        """True when every device stands behind a `sim:` link."""
        return all(entry.link.startswith("sim:") for entry in self.devices.values())

    @property
    def practice(self) -> bool:
        """True when no instrument can be behind the links: they are `sim:`, or the clock runs as no instrument does."""
        return self.simulated or self.clock.speed != 1.0

    @model_validator(mode="after")
    def _consistent(self) -> RigFile:
        links = {name: entry.link for name, entry in self.devices.items()}
        real = [name for name, link in links.items() if not link.startswith("sim:")]
        if real and len(real) < len(links):
            raise Misplaced(
                "some links are sim: and some are real; one sample cannot be in both", "devices", real[0], "link"
            )
        if not real and self.simulation is None:
            raise ValueError("a rig of sim: links needs `simulation: {sample: ..., hidden_errors: ...}`")
        if real and self.simulation is not None:
            raise Misplaced("`simulation` belongs to a rig whose links are all sim:", "simulation")
        if not real and "clock" in self.model_fields_set:
            raise Misplaced("the clock of a rig of sim: links moves as it is waited for and has no speed", "clock")
        for station, stage in self.sample_stage.items():
            if stage not in self.devices:
                raise Misplaced(f'the rig has no device "{stage}"', "sample_stage", station)
            if self.devices[stage].station != station:
                raise Misplaced(f"{stage} stands at {self.devices[stage].station}", "sample_stage", station)
        for calibration in ("beam_current", "scan_scale"):
            if real and getattr(self.calibrations, calibration).taken == "at opening":
                raise Misplaced("of a real rig a calibration has a date", "calibrations", calibration, "taken")
        for number, wire in enumerate(self.wiring):
            for key, end in (("from", wire.source), ("to", wire.to)):
                if end.partition(".")[0] not in self.devices:
                    raise Misplaced(f'names "{end}", but the rig has no device of that name', "wiring", number, key)
        return self
