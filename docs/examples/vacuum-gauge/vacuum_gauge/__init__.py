"""A cryolift driver for the example gauge EG-1."""

from drivers.kind import Kind
from vacuum_gauge.driver import VacuumGauge, ranges
from vacuum_gauge.server import GaugeServer

KIND = Kind(VacuumGauge, ranges, GaugeServer, port="serial")
