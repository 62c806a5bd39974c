"""The drivers a rig file may name: ours, and those of third parties."""

from __future__ import annotations

from drivers import beams, camera, chamber_stage, column, cryostat, eds, milling, needle, scan, stage
from drivers.beams import Beams
from drivers.camera import Camera
from drivers.chamber_stage import ChamberStage
from drivers.column import Column
from drivers.cryostat import Cryostat
from drivers.eds import Eds
from drivers.kind import Kind
from drivers.milling import Milling
from drivers.needle import Needle
from drivers.scan import Scan
from drivers.stage import Stage
from protocols.plugins import Kinds
from simulators.boxes.camera import CameraServer
from simulators.boxes.column import ColumnServer
from simulators.boxes.cryostat import CryostatServer
from simulators.boxes.eds import EdsServer
from simulators.boxes.fibsem import FibsemServer
from simulators.boxes.needle import NeedleServer
from simulators.boxes.scan import ScanServer
from simulators.boxes.stage import StageServer

KINDS: dict[str, Kind] = {
    "lakeshore": Kind(
        Cryostat,
        cryostat.ranges,
        CryostatServer,
        served=lambda world: CryostatServer(world, spacing=0.0),
        called="cryostat",
    ),
    "open-beam-interface": Kind(Scan, scan.ranges, ScanServer, called="scan", outputs=("unblanked", "pixel_clock")),
    "amptek-dp5": Kind(Eds, eds.ranges, EdsServer, port="udp", called="eds", input="sync"),
    "fibsem-stage": Kind(ChamberStage, chamber_stage.ranges, FibsemServer, port="http", called="chamber_stage"),
    "fibsem-beams": Kind(Beams, beams.ranges, FibsemServer, port="http", called="beams"),
    "fibsem-milling": Kind(Milling, milling.ranges, FibsemServer, port="http", called="milling"),
    "pi-gcs2": Kind(Stage, stage.ranges, StageServer),
    "kleindiek-nanocontrol": Kind(Needle, needle.ranges, NeedleServer, port="serial", called="needle"),
    "temscript": Kind(Column, column.ranges, ColumnServer, port="http", called="column", optics=("beam_energy",)),
    "dectris-simplon": Kind(
        Camera, camera.ranges, CameraServer, port="http", stream=True, called="camera", input="gate"
    ),
}


def known_kinds() -> Kinds:
    """Every driver by the name that rig files use."""
    return Kinds(KINDS)
