"""What the fibsem API says of the stage and of how the instrument is built.

Source: fibsem 0.5.3, fibsem/server/models.py and fibsem/structures.py.  Positions are in m and rad.  The milling angle
and the angles of the system settings are in degrees on the wire (but in rad in `ToMillingAngle`) and in rad here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from drivers.wire.fibsem_json import Beam, Closed, FromDegrees, Open
from drivers.wire.fibsem_model import Pixels, Point, Position

Orientation = Literal["SEM", "FIB", "MILLING", "FM", "NONE"]


@dataclass(frozen=True)
class StagePosition(Closed):
    """A position as it is asked for and told."""

    position: Position


@dataclass(frozen=True)
class StageOrientation(Closed):
    """Which beam the stage faces."""

    orientation: Orientation


@dataclass(frozen=True)
class StableMove(Closed):
    """Along the sample by (dx, dy) in the image of a beam, m."""

    dx: float
    dy: float
    beam_type: Beam


@dataclass(frozen=True)
class ProjectStableMove(Closed):
    """Where a stable move would end."""

    dx: float
    dy: float
    beam_type: Beam
    base_position: Position


@dataclass(frozen=True)
class VerticalMove(Closed):
    """Along the electron beam, until what is seen in the ion image has moved by dy, m."""

    dy: float
    dx: float = 0.0


@dataclass(frozen=True)
class MillingAngle(Closed):
    """Between ion beam and sample surface; degrees on the wire."""

    angle: Annotated[FromDegrees, Field(alias="milling_angle")]


@dataclass(frozen=True)
class MillingAngleAt(Closed):
    """Asks for the milling angle there, or here."""

    stage_position: Position | None = None


@dataclass(frozen=True)
class ToMillingAngle(Closed):
    """Tilts the stage; of all milling angles this one is in rad on the wire."""

    milling_angle: float
    rotation: float | None = None


@dataclass(frozen=True)
class AtMillingAngle(Closed):
    """Where a tilt ended; `success` compares degrees with rad (fibsem 0.5.3) and says nothing."""

    success: bool
    angle: Annotated[FromDegrees, Field(alias="milling_angle")]


@dataclass(frozen=True)
class NearMillingAngle(Closed):
    """Asks whether the milling angle is near; degrees on the wire."""

    angle: Annotated[FromDegrees, Field(alias="milling_angle")]
    tolerance: Annotated[FromDegrees, Field(alias="atol")] = 0.034906585  # 2 degrees


@dataclass(frozen=True)
class Near(Closed):
    """Whether it is."""

    is_close: bool


@dataclass(frozen=True)
class StageSystem(Open):
    """How the stage is built."""

    rotation_reference: FromDegrees
    rotation_180: FromDegrees
    shuttle_pre_tilt: FromDegrees
    manipulator_height_limit: float
    enabled: bool = True
    rotation: bool = True
    tilt: bool = True
    milling_angle: FromDegrees = 0.2617993878  # 15 degrees


@dataclass(frozen=True)
class BeamSystem(Open):
    """How a column is built, and what it is set to at start."""

    beam_type: Any  # its name or its number
    enabled: bool
    eucentric_height: float
    column_tilt: FromDegrees
    plasma: bool = False
    plasma_gas: str | None = None
    working_distance: float | None = None
    current: float | None = None
    voltage: float | None = None
    hfw: float | None = None
    resolution: Pixels | None = None
    dwell_time: float | None = None
    stigmation: Point | None = None
    shift: Point | None = None
    scan_rotation: float | None = None
    preset: str | None = None
    detector_mode: str | None = None
    detector_type: str | None = None
    detector_brightness: float | None = None
    detector_contrast: float | None = None


@dataclass(frozen=True)
class BeamSystemTold(Closed):
    """A column's system settings, asked for or set."""

    beam_system_settings: BeamSystem


@dataclass(frozen=True)
class Manipulator(Open):
    """Whether there is one; the API does not move it."""

    enabled: bool = False
    rotation: bool = False
    tilt: bool = False


@dataclass(frozen=True)
class Gas(Open):
    """Whether there is gas; the API does not open it."""

    enabled: bool = False
    multichem: bool = False
    sputter_coater: bool = False


@dataclass(frozen=True)
class Info(Open):
    """Which instrument, which software."""

    name: str = "Unknown"
    ip_address: str = "Unknown"
    manufacturer: str = "Unknown"
    model: str = "Unknown"
    serial_number: str = "Unknown"
    hardware_version: str = "Unknown"
    software_version: str = "Unknown"
    fibsem_version: str = "Unknown"
    application: str | None = None
    fibsem_revision: str | None = None


@dataclass(frozen=True)
class System(Open):
    """The whole instrument."""

    stage: StageSystem
    electron: BeamSystem
    ion: BeamSystem
    manipulator: Manipulator
    gis: Gas
    info: Info
    sim: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SystemTold(Open):
    """The system, and whether its stage is one that flips the grid."""

    system: System
    stage_is_compustage: bool
