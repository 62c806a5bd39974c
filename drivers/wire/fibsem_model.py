"""What the fibsem API says of beams, detectors, frames and the state of the instrument, in m, rad, V, A, s.

Source: fibsem 0.5.3, fibsem/server/models.py and to_dict/from_dict in fibsem/structures.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from drivers.wire.fibsem_json import Beam, Closed, Open

V = TypeVar("V")
Pixels = tuple[int, int]
"""Columns and rows."""


@dataclass(frozen=True)
class Nothing(Open):
    """A body that says nothing."""


@dataclass(frozen=True)
class Done(Open):
    """It was done."""

    status: Literal["ok"] = "ok"


@dataclass(frozen=True)
class Health(Open):
    """The server lives; `manufacturer` is the name of the class that drives the instrument."""

    manufacturer: str
    status: Literal["ok"] = "ok"


@dataclass(frozen=True)
class Point(Closed):
    """x and y: m of a beam shift, no unit of a stigmator."""

    x: float
    y: float


@dataclass(frozen=True)
class OfBeam(Closed):
    """Asks about a beam."""

    beam_type: Beam


@dataclass(frozen=True)
class Told(Closed, Generic[V]):
    """A setting as told."""

    value: V


@dataclass(frozen=True)
class SetTo(Closed, Generic[V]):
    """Sets a setting of a beam."""

    value: V
    beam_type: Beam


@dataclass(frozen=True)
class Position(Closed):
    """Where the stage is or is to go; an axis that is None stays."""

    x: float | None = None
    y: float | None = None
    z: float | None = None
    r: float | None = None
    t: float | None = None
    name: str | None = None
    coordinate_system: str | None = None


@dataclass(frozen=True)
class Detector(Open):
    """A detector; brightness and contrast from 0 to 1."""

    type: str | None = None
    mode: str | None = None
    brightness: float | None = None
    contrast: float | None = None


@dataclass(frozen=True)
class Column(Open):
    """One beam: what it is set to."""

    beam_type: Beam
    working_distance: float | None = None
    beam_current: float | None = None
    voltage: float | None = None
    hfw: float | None = None
    resolution: Pixels | None = None
    dwell_time: float | None = None
    stigmation: Point | None = None
    shift: Point | None = None
    scan_rotation: float | None = None
    preset: str | None = None


@dataclass(frozen=True)
class ColumnSettings(Closed):
    """A beam, asked for or set."""

    beam_settings: Column


@dataclass(frozen=True)
class DetectorTold(Closed):
    """A detector as told."""

    detector_settings: Detector


@dataclass(frozen=True)
class DetectorOfBeam(Closed):
    """Sets the detector of a beam."""

    detector_settings: Detector
    beam_type: Beam


@dataclass(frozen=True)
class ReducedArea(Open):
    """Part of a frame, in fractions from its top left."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class ImageSettings(Open):
    """How a frame is or was taken."""

    beam_type: Beam | None = "electron"
    resolution: Pixels | None = (1536, 1024)
    dwell_time: float | None = 1e-6
    hfw: float | None = 150e-6
    autocontrast: bool | None = False
    save: bool | None = False
    path: str | None = None
    filename: str | None = "image"
    reduced_area: ReducedArea | None = None
    line_integration: int | None = None
    scan_interlacing: int | None = None
    frame_integration: int | None = None
    drift_correction: bool | None = False


@dataclass(frozen=True)
class ImagingSettings(Closed):
    """Frame settings, asked for or set."""

    image_settings: ImageSettings


@dataclass(frozen=True)
class Acquire(Closed):
    """Takes a frame; without settings with those the beam has.

    A Thermo Fisher server ignores the settings, others obey their `beam_type` rather than this one.
    """

    beam_type: Beam
    image_settings: ImageSettings | None = None


@dataclass(frozen=True)
class State(Open):
    """Stage, beams and detectors at a time, s since 1970."""

    timestamp: float
    stage_position: Position | None = None
    electron_beam: Column | None = None
    ion_beam: Column | None = None
    electron_detector: Detector | None = None
    ion_detector: Detector | None = None
    objective_position: float | None = None


@dataclass(frozen=True)
class StateTold(Closed):
    """The state, asked for or set."""

    microscope_state: State


@dataclass(frozen=True)
class Choices(Closed):
    """Asks what a setting can be."""

    key: str
    beam_type: Beam | None = None


@dataclass(frozen=True)
class Chosen(Closed):
    """What it can be."""

    values: tuple[float | str, ...]
