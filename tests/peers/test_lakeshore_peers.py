"""The cryostat against programs nobody here wrote: the maker's client, and another project's simulator."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from drivers.clock import RealClock, VirtualClock
from drivers.cryostat import Cryostat
from drivers.cryostat_settings import CryostatLimits, CryostatSettings
from drivers.errors import DeviceError
from drivers.links import TcpLink
from simulators.serve import Port, serve
from tests.simulators.cold_bench import a_driver, a_server, a_world

pytestmark = pytest.mark.peer
SPEED = 60.0  # a minute of the cryostat a second


@pytest.fixture
def lakeshore() -> ModuleType:
    return pytest.importorskip("lakeshore", reason="the maker's client is not installed (pip install lakeshore)")


@pytest.fixture
def client(lakeshore: ModuleType) -> Iterator[Any]:
    """The maker's client, connected over TCP to our server in front of a whole world."""
    clock = RealClock(speed=SPEED)
    box = a_server(a_world(clock), spacing=0.0)
    with serve(clock, {"cryostat": Port(box)}) as addresses:
        number = int(addresses["cryostat"].rpartition(":")[2])
        instrument = lakeshore.Model336(ip_address="127.0.0.1", tcp_port=number)
        yield instrument
        instrument.disconnect_tcp()


def test_the_makers_client_recognises_our_box(client: Any) -> None:
    assert client.model_number == "MODEL336"
    assert client.get_self_test() is False


def test_the_makers_client_reads_our_temperatures(client: Any, lakeshore: ModuleType) -> None:
    assert client.get_kelvin_reading("A") == pytest.approx(295.0, abs=2.0)
    assert client.get_celsius_reading("A") == pytest.approx(21.85, abs=2.0)
    assert client.get_sensor_reading("A") == pytest.approx(108.5, abs=1.0)
    assert len(client.get_all_kelvin_reading()) == 4
    assert len(client.get_all_sensor_reading()) == 4
    assert not client.get_input_reading_status("A").invalid_reading
    assert client.get_input_sensor("A").sensor_type == client.InputSensorType.PLATINUM_RTD


def test_the_makers_client_runs_our_loop(client: Any) -> None:
    client.set_heater_pid(1, 40, 15, 0)
    assert client.get_heater_pid(1) == {"gain": 40.0, "integral": 15.0, "derivative": 0.0}
    client.set_control_setpoint(1, 300.0)
    client.set_setpoint_ramp_parameter(1, True, 5.0)
    assert client.get_setpoint_ramp_parameter(1) == {"ramp_enable": True, "rate_value": 5.0}
    client.set_control_setpoint(1, 310.0)
    assert client.get_setpoint_ramp_status(1)
    assert 300.0 <= client.get_control_setpoint(1) <= 310.0
    client.set_heater_range(1, client.HeaterRange.HIGH)
    assert client.get_heater_range(1) == client.HeaterRange.HIGH
    assert client.get_heater_status(1) == client.HeaterError.NO_ERROR
    assert client.get_heater_output_mode(1)["mode"] == client.HeaterOutputMode.CLOSED_LOOP
    outputs = [client.get_heater_output(1) for _ in range(20)]
    assert max(outputs) > 0.0
    client.all_heaters_off()
    assert client.get_heater_range(1) == client.HeaterRange.OFF


def test_the_makers_client_sets_alarms_names_and_limits(client: Any, lakeshore: ModuleType) -> None:
    alarm = lakeshore.model_336.Model336AlarmSettings(290.0, 0.0, 0.0, latch_enable=True, audible=False, visible=True)
    client.set_alarm_parameters("A", True, alarm)
    assert client.get_alarm_parameters("A").high_value == 290.0
    assert client.get_alarm_status("A")["high_state_enabled"]
    client.set_alarm_parameters("A", False)
    client.set_sensor_name("A", "lamella")
    assert client.get_sensor_name("A").strip() == "lamella"
    client.set_temperature_limit("A", 320.0)
    assert client.get_temperature_limit("A") == 320.0
    client.set_manual_output(2, 12.5)
    assert client.get_manual_output(2) == 12.5


def test_the_makers_client_sees_our_refusals(client: Any, lakeshore: ModuleType) -> None:
    refused = lakeshore.generic_instrument.InstrumentException
    with pytest.raises(refused, match="Command Error"):
        client.command("NOSUCH 1")
    with pytest.raises(refused, match="Execution Error"):
        client.set_setpoint_ramp_parameter(1, True, 1000.0)


@contextmanager
def their_box(clock: RealClock, settings: CryostatSettings) -> Iterator[Cryostat]:
    """The other project's Model 336 behind a small TCP server, and our driver connected to it."""
    simulator = pytest.importorskip(
        "labmcp_lakeshore.simulator",
        reason="the other simulator is not installed (pip install labmcp-lakeshore)",
    ).LakeShoreSimulator(seed=1, clock=clock.now)

    class Line(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                reply = simulator.handle(line.decode("ascii").strip())
                if reply is not None:
                    self.wfile.write(str(reply).encode("ascii") + b"\r\n")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Line) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        cryostat = a_driver(TcpLink("cryostat", "127.0.0.1", server.server_address[1], clock), settings)
        try:
            yield cryostat
        finally:
            cryostat.close()
            server.shutdown()
            thread.join()


SETTINGS = CryostatSettings(
    inputs={"stage": "A", "shield": "C"},
    settle=5.0,
    plausible=(1.0, 400.0),
    limits=CryostatLimits(temperature=(3.0, 310.0), ramp=(0.1 / 60.0, 100.0 / 60.0)),
)


def test_our_driver_opens_and_reads_another_projects_box() -> None:
    clock = RealClock()
    with their_box(clock, SETTINGS) as cryostat:
        cryostat.open()
        # their cryostat starts at the 4.2 K of its bath
        assert cryostat.temperatures() == pytest.approx({"stage": 4.2, "shield": 4.2}, abs=0.05)


def test_our_driver_believes_no_reading_that_another_projects_box_marks() -> None:
    clock = RealClock()
    # their input B is a Pt-100, which cannot read the 4.2 K it is at
    with their_box(clock, SETTINGS.model_copy(update={"inputs": {"stage": "A", "shield": "B"}})) as cryostat:
        cryostat.open()
        with pytest.raises(DeviceError, match="TOO_COLD"):
            cryostat.temperatures()


def test_our_driver_ramps_and_switches_off_another_projects_box() -> None:
    clock = RealClock(speed=20.0)
    with their_box(clock, SETTINGS) as cryostat:
        cryostat.open()
        cryostat.set_temperature(8.0, 20.0 / 60.0, tolerance=0.5)
        assert cryostat.temperature() == pytest.approx(8.0, abs=0.6)
        assert cryostat.heater() > 0.0
        assert cryostat.set_point() == pytest.approx(8.0, abs=0.6)
        cryostat.heater_off()
        assert cryostat.status()["heater_range"] == 0


def test_our_driver_refuses_an_output_of_theirs_that_does_not_control_the_stage() -> None:
    clock = RealClock()
    wrong = SETTINGS.model_copy(update={"output": 2})
    with their_box(clock, wrong) as cryostat, pytest.raises(DeviceError, match="does not control the stage"):
        cryostat.open()


def test_our_server_and_theirs_answer_the_driver_in_the_same_form() -> None:
    simulator = pytest.importorskip(
        "labmcp_lakeshore.simulator",
        reason="the other simulator is not installed (pip install labmcp-lakeshore)",
    ).LakeShoreSimulator(seed=1)
    clock = VirtualClock()
    ours = a_server(a_world(clock), spacing=0.0)
    for line in (
        "RANGE? 1",
        "RAMPST? 1",
        "HTRST? 1",
        "OUTMODE? 1",
        "SETP 1,50.0;*ESR?",
        "RANGE 1,9;*ESR?",
        "BAD 1;*ESR?",
    ):
        simulator.handle("*CLS")
        ours.receive(b"*CLS\n")
        ours.receive(line.encode() + b"\n")
        clock.sleep(0.1)
        assert ours.send().decode().strip() == simulator.handle(line), line
