"""The drivers a rig file may name: ours, and those of third parties."""

from __future__ import annotations

from collections.abc import Mapping

from drivers import cryostat, eds, scan
from drivers.cryostat import Cryostat
from drivers.eds import Eds
from drivers.kind import Kind
from drivers.scan import Scan
from simulators.cryostat_server import CryostatServer
from simulators.eds_server import EdsServer
from simulators.scan_server import ScanServer

KINDS: dict[str, Kind] = {
    "lakeshore": Kind(Cryostat, cryostat.ranges, CryostatServer),
    "open-beam-interface": Kind(Scan, scan.ranges, ScanServer, outputs=("unblanked",)),
    "amptek-dp5": Kind(Eds, eds.ranges, EdsServer, port="udp", input="sync"),
}


def known_kinds() -> Mapping[str, Kind]:
    """Every driver by the name that rig files use."""
    return KINDS
