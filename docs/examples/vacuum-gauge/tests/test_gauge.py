"""The example gauge: both ends of its wire held to the manual, the driver to its promises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from vacuum_gauge import wire
from vacuum_gauge.driver import GaugeSettings, VacuumGauge, ranges
from vacuum_gauge.server import BASE, GaugeServer

from drivers.clock import VirtualClock
from drivers.errors import DeviceError, RigError, WireError
from drivers.limits import Limits
from drivers.links import FaultyLink, MemoryLink, one_of_each

ANSWERS = {
    "EG-1,0042,1.04": wire.Identity("EG-1", "0042", "1.04"),
    "1.300E-05,0": wire.Pressure(1.3e-5, wire.Status.VALID),
    "0.000E+00,3": wire.Pressure(0.0, wire.Status.FILAMENT_OFF),
    "FI 1": wire.Filament(on=True),
    "OK": wire.Done(),
    "ERR 2": wire.Refused(wire.Fault.PRESSURE_TOO_HIGH),
}


@dataclass
class Still:
    """A world in which time passes and nothing else."""

    clock: VirtualClock

    def catch_up(self) -> None:
        pass


def golden() -> list[tuple[str, str]]:
    """Direction and line of each message in the transcript."""
    lines = Path(__file__).with_name("golden.txt").read_text(encoding="utf-8").splitlines()
    return [(line[0], line[2:].removesuffix("\\r")) for line in lines if line[0] in "<>"]


def gauge(link: MemoryLink | FaultyLink) -> VacuumGauge:
    settings = GaugeSettings()
    limits = Limits(ranges(settings))
    return VacuumGauge(link, settings, limits=limits, guard=lambda command: None, wait=link.clock.sleep)


def line_to_a_gauge() -> MemoryLink:
    clock = VirtualClock()
    return MemoryLink("gauge", GaugeServer(Still(clock)), clock)


@pytest.mark.parametrize(("direction", "line"), golden())
def test_both_ends_write_and_read_what_the_manual_shows(direction: str, line: str) -> None:
    message = wire.request(line) if direction == ">" else wire.reply(line)
    assert message is not None
    assert wire.encode(message) == line.encode() + b"\r"
    if direction == "<":
        assert message == ANSWERS[line]


@pytest.mark.parametrize(
    "line", ["", "1.3E-5,0", "1.300E-05,4", "1.300E-05", "-1.300E-05,0", "FI 2", "ERR 3", "EG-2,1,1"]
)
def test_anything_else_is_an_error_and_never_a_pressure(line: str) -> None:
    with pytest.raises(WireError):
        wire.reply(line)


def test_the_filament_burns_when_the_chamber_is_pumped_and_tells_the_pressure() -> None:
    driver = gauge(line_to_a_gauge())
    driver.open()
    with pytest.raises(DeviceError, match="FILAMENT_OFF"):
        driver.pressure()
    driver.switch_on()
    assert BASE < driver.pressure() <= 1.0
    driver.make_safe()
    assert driver.status()["filament"] is False


@pytest.mark.parametrize("transfer", range(1, 6))
@pytest.mark.parametrize("kind", range(len(one_of_each())))
def test_a_broken_line_is_a_named_error_or_the_right_pressure(kind: int, transfer: int) -> None:
    inner = line_to_a_gauge()
    inner.clock.sleep(1000.0)  # pumped: identity, filament on, is it on, and two readings follow
    driver = gauge(FaultyLink(inner, [one_of_each(transfer)[kind]], seed=transfer))
    try:
        driver.open()
        driver.switch_on()
        found = driver.pressure()
    except RigError as error:
        assert error.device == driver.name
        return
    assert found == pytest.approx(BASE, rel=1e-3)
