"""The column against temscript, which nobody here wrote: its server under our driver, its client on our server."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from drivers.clock import RealClock, wall_seconds, wall_sleep
from drivers.column import Column, GoniometerPose
from drivers.column_settings import ColumnLimits, ColumnSettings
from drivers.errors import DeviceError, LimitError, LinkError
from drivers.links import HttpLink, TcpLink
from drivers.ticket import Flood, Frame
from drivers.wire import temscript as wire
from drivers.wire.http import JSON, Request
from drivers.wire.temscript_image import acquire, image
from simulators.boxes.column import ColumnServer
from simulators.serve import Port, serve
from tests.drivers.scan_bench import Office, a_world
from tests.simulators.column_bench import UM, a_driver
from tests.simulators.flood_bench import TEM

pytestmark = pytest.mark.peer
MM, DEG = 1e-3, 0.017453292519943295
WIDE = ColumnSettings(
    field_times_magnification=0.1,
    full_frame=256,
    limits=ColumnLimits(x=(-2 * MM, 2 * MM), y=(-2 * MM, 2 * MM), z=(-MM, MM), a=(-1.2, 1.2), b=(-1.2, 1.2)),
)
FRAME = Frame((0.0, 0.0), (1e-6, 1e-6), (128, 128), 1e-6)  # what their microscope comes up with: 100000 times, 1 us


@pytest.fixture
def temscript() -> ModuleType:
    module: ModuleType = pytest.importorskip("temscript", reason="not installed (pip install temscript)")
    return module


def connected(port: int) -> HttpLink:
    return HttpLink(TcpLink("column", "127.0.0.1", port, RealClock()), "127.0.0.1")


@pytest.fixture
def null(temscript: ModuleType) -> Iterator[int]:
    """The port of their server with their microscope of nothing, in a process of its own."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = int(free.getsockname()[1])
    run = "from temscript.server import run_server; run_server()"
    server = subprocess.Popen(
        [sys.executable, "-c", run, "--null", "-p", str(port), "--host", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        given_up = wall_seconds() + 20.0
        while True:
            try:
                connected(port).close()
                break
            except LinkError:
                assert server.poll() is None and wall_seconds() < given_up, "their server did not come up"
                wall_sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(10.0)


@contextmanager
def with_stem(temscript: ModuleType, settings: ColumnSettings = WIDE) -> Iterator[tuple[Any, Column]]:
    """Their server and their microscope of nothing in a thread, with a STEM detector; and our driver."""
    server_module = pytest.importorskip("temscript.server", reason="not installed (pip install temscript)")

    class WithStem(temscript.NullMicroscope):  # type: ignore[name-defined,misc]
        """Sees a ramp with a detector HAADF, and says what came between un-blanking and blanking."""

        def __init__(self) -> None:
            super().__init__()
            self.seen: list[str] = []
            self.binning = 1
            self.set_column_valves_open(True)

        mode = "STEM"

        def get_instrument_mode(self) -> str:
            return self.mode

        def set_instrument_mode(self, mode: str) -> None:
            self.mode = mode

        def get_cameras(self) -> dict[str, Any]:
            theirs = super().get_cameras()["CCD"]
            return {"BM-Ceta": {**theirs, "width": 256, "height": 256, "shutter_modes": ["PRE_SPECIMEN"]}}

        def get_camera_param(self, name: str) -> dict[str, Any]:
            return {"correction": "DEFAULT", "pre_exposure(s)": 0.0, **self.param}

        def set_camera_param(self, name: str, values: dict[str, Any], ignore_errors: bool = False) -> None:
            self.param = dict(values)
            self.binning = values["binning"]

        def is_stem_available(self) -> bool:
            return True

        def get_stem_detectors(self) -> dict[str, Any]:
            return {"HAADF": {"type": "STEM_DETECTOR", "binnings": [1, 2, 4]}}

        def get_stem_acquisition_param(self) -> dict[str, Any]:
            return {"image_size": "FULL", "binning": self.binning, "dwell_time(s)": self.dwell}

        dwell = 1e-6

        def set_stem_acquisition_param(self, values: dict[str, Any], ignore_errors: bool = False) -> None:
            self.binning, self.dwell = values["binning"], values["dwell_time(s)"]

        def set_beam_blanked(self, mode: bool) -> None:
            super().set_beam_blanked(mode)
            self.seen.append("blanked" if mode else "open")

        def acquire(self, *detectors: str) -> dict[str, Any]:
            self.seen.append("image")
            side = 256 // self.binning
            return {name: np.arange(side**2, dtype=">i2").reshape(side, side) for name in detectors}

    server = server_module.MicroscopeServer(("127.0.0.1", 0), WithStem)
    server.RequestHandlerClass.log_message = lambda *args: None
    with closing(server.socket):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        column = a_driver(connected(server.server_address[1]), settings)
        try:
            yield server.microscope, column
        finally:
            column.close()
            server.shutdown()
            thread.join()


# --- their server under our driver


def test_our_driver_opens_blanks_and_records_their_microscope(null: int) -> None:
    column = a_driver(connected(null), WIDE)
    column.open()
    assert column.blanked()  # it comes up open
    assert column.beam_energy() == 200e3
    assert column.screen_current() == 1e-9
    found = column.status()
    assert (found["mode"], found["vacuum"], found["goniometer"]) == ("TEM", "READY", "READY")
    assert (found["stem_magnification"], found["convergence"]) == (100000.0, 0.01)
    column.make_safe()
    column.close_valves()
    column.close()


def test_our_driver_moves_their_goniometer_within_its_limits_only(null: int) -> None:
    column = a_driver(connected(null), WIDE)
    there = GoniometerPose(100 * UM, -50 * UM, 20 * UM, 20 * DEG, -5 * DEG)
    column.move_to(there)
    assert column.pose().axes() == pytest.approx(there.axes())
    column.move_to(replace(there, x=0.0))
    assert column.pose().axes() == pytest.approx({**there.axes(), "x": 0.0})
    # theirs would go to its end and say nothing
    with pytest.raises(LimitError, match=r"x 1500 um is beyond .* 1000 um \(the goniometer's own\)"):
        column.move_to(replace(there, x=1.5 * MM))
    assert column.pose().x == 0.0
    column.close()


def test_our_driver_gives_no_beam_of_a_microscope_that_is_shut_or_no_stem(null: int) -> None:
    link = connected(null)
    column = a_driver(link, WIDE)
    column.open()
    with pytest.raises(DeviceError, match="has its column valves closed"):
        column.release()
    link.exchange(Request("PUT", "/v1/column_valves_open", (), b"true", JSON))  # as a person would at the microscope
    with pytest.raises(DeviceError, match="is in TEM mode"):
        column.release()
    office = Office()
    with pytest.raises(DeviceError, match="is in TEM mode"):
        column.acquire(FRAME, office.ticket(FRAME))
    assert office.spent == []
    assert column.blanked()
    column.close()


def test_our_codec_reads_their_image_and_their_refusals(null: int) -> None:
    link = connected(null)
    link.exchange(Request("PUT", "/v1/camera_param/CCD", (), b'{"exposure(s)": 0.01, "binning": 8}', JSON))
    taken = image(link.exchange(acquire("CCD"), largest=1 << 20), "CCD", (256, 256))
    assert taken.dtype == np.int16
    assert not taken.any()
    with pytest.raises(DeviceError, match="Unknown endpoint: 'nothing'"):
        wire.see_done(link.exchange(Request("GET", "/v1/nothing")))
    with pytest.raises(DeviceError, match="STEM not available"):
        wire.see_done(link.exchange(wire.MODE.put("STEM")))
    link.close()


def test_their_server_takes_every_value_that_our_codec_writes(null: int) -> None:
    link = connected(null)
    for endpoint, value in [
        (wire.BEAM_BLANKED, True),
        (wire.VALVES, False),
        (wire.STEM_MAGNIFICATION, 50e3),
        (wire.STEM_ROTATION, 0.5),
        (wire.SCREEN_POSITION, "UP"),
    ]:
        wire.see_done(link.exchange(endpoint.put(value)))  # type: ignore[attr-defined]
        assert endpoint.value(link.exchange(endpoint.get())) == value  # type: ignore[attr-defined]
    link.close()


def test_our_driver_takes_an_image_through_their_server(temscript: ModuleType) -> None:
    with with_stem(temscript) as (microscope, column):
        column.open()
        office = Office()
        taken = column.acquire(FRAME, office.ticket(FRAME))
        assert taken.values.tolist() == np.arange(128**2).reshape(128, 128).tolist()
        assert microscope.seen == ["blanked", "open", "image", "blanked"]
        assert microscope.get_stem_acquisition_param() == {"image_size": "FULL", "binning": 2, "dwell_time(s)": 1e-6}
        column.release()
        column.make_safe()
        assert microscope.seen[4:] == ["open", "blanked"]


def test_our_driver_takes_a_lattice_image_through_their_server(temscript: ModuleType) -> None:
    settings = WIDE.model_copy(update={"tem": TEM.model_copy(update={"full_frame": 256, "settle": 0.1})})
    with with_stem(temscript, settings) as (microscope, column):
        flood = Flood((0.0, -400e-9), (256 * 40e-12,) * 2, (128, 128), 300e-9, 0.05, 60e-9)
        column.open()
        office = Office()
        taken = column.acquire(flood, office.ticket(flood))
        assert taken.values.tolist() == np.arange(128**2).reshape(128, 128).tolist()
        assert microscope.seen == ["blanked", "open", "image", "blanked"]
        assert microscope.param == {
            "image_size": "FULL",
            "binning": 2,
            "exposure(s)": 0.05,
            "shutter_mode": "PRE_SPECIMEN",
        }
        assert microscope.get_beam_shift() == microscope.get_image_shift() == (0.0, -400e-9)
        assert (microscope.get_defocus(), microscope.get_magnification_index()) == (-60e-9, 31)
        assert microscope.mode == "TEM"
        column.release()
        assert microscope.get_beam_shift() == microscope.get_image_shift() == (0.0, 0.0)
        assert (microscope.mode, microscope.seen[4:]) == ("STEM", ["blanked", "open"])


# --- their client on our server


@pytest.fixture
def client(temscript: ModuleType) -> Iterator[Any]:
    """Their remote microscope, connected over TCP to our server in front of a whole world."""
    clock = RealClock(speed=20.0)
    world = a_world(clock)
    with serve(clock, {"column": Port(ColumnServer(world), "http")}) as addresses:
        host, _, port = addresses["column"].removeprefix("http://").partition(":")
        microscope = temscript.RemoteMicroscope((host, int(port)), timeout=10.0)
        yield microscope
        microscope._conn.close()


def test_their_client_recognises_our_microscope(client: Any) -> None:
    assert client.get_version() == "2.1.0"
    assert client.get_family() == "TITAN"
    assert client.get_voltage() == 200.0
    assert client.get_stage_holder() == "SINGLE_TILT"
    vacuum = client.get_vacuum()
    assert (vacuum["status"], vacuum["column_valves_open"], vacuum["pvp_running"]) == ("READY", True, False)
    assert client.is_stem_available()
    assert client.get_instrument_mode() == "STEM"
    assert client.get_convergence_angle() == 0.025


def test_their_client_blanks_opens_and_meets_our_refusals(client: Any) -> None:
    assert client.get_beam_blanked() is True
    client.set_beam_blanked(False)
    assert client.get_beam_blanked() is False
    client.set_column_valves_open(False)
    assert client.get_column_valves_open() is False
    with pytest.raises(RuntimeError, match="500"):
        client.set_column_valves_open(True)
    with pytest.raises(KeyError):
        client.get_beam_tilt()
    client.set_screen_position("DOWN")
    assert client.get_screen_position() == "DOWN"
    assert abs(client.get_screen_current()) < 20e-12


def test_their_client_moves_our_goniometer(client: Any) -> None:
    client.set_stage_position(x=20e-6, y=-10e-6)
    assert client.get_stage_status() == "GOING"
    with pytest.raises(RuntimeError, match="500"):
        client.set_stage_position(x=0.0)
    wall_sleep(0.3)  # 6 s of the microscope
    assert client.get_stage_status() == "READY"
    assert client.get_stage_position() == pytest.approx({"x": 20e-6, "y": -10e-6, "z": 0.0, "a": 0.0, "b": 0.0})
    client.set_stage_position({"a": 0.1}, method="MOVE")
    assert client.get_stage_status() == "MOVING"
    assert client.get_stage_limits()["x"] == [-1e-3, 1e-3]
    with pytest.raises(RuntimeError, match="500"):
        client.set_stage_position(x=5e-3)


def test_their_client_takes_our_images(client: Any) -> None:
    assert client.get_stem_detectors() == {"HAADF": {"type": "STEM_DETECTOR", "binnings": [1, 2, 4, 8]}}
    client.set_stem_acquisition_param({"binning": 8, "dwell_time(s)": 4e-6})
    assert client.get_stem_acquisition_param() == {"image_size": "FULL", "binning": 8, "dwell_time(s)": 4e-6}
    client.set_stem_detector_param("HAADF", {"contrast": 0.25})
    assert client.get_stem_detector_param("HAADF") == {"brightness": 0.5, "contrast": 0.25}
    client.set_stem_magnification(100e3)
    assert client.get_stem_magnification() == 110e3
    client.set_stem_rotation(0.5)
    assert client.get_stem_rotation() == 0.5
    dark = client.acquire("HAADF")["HAADF"]
    assert dark.shape == (128, 128)
    assert dark.mean() == pytest.approx(400.0, abs=2.0)
    client.set_beam_blanked(False)
    assert client.acquire("HAADF")["HAADF"].mean() > dark.mean() + 10.0


def test_their_client_takes_our_lattice_images(client: Any) -> None:
    camera = client.get_cameras()["BM-Ceta"]
    assert (camera["width"], camera["height"], camera["shutter_modes"][0]) == (4096, 4096, "PRE_SPECIMEN")
    client.set_instrument_mode("TEM")
    assert client.get_instrument_mode() == "TEM"
    client.set_camera_param("BM-Ceta", {"binning": 16, "exposure(s)": 0.1, "shutter_mode": "PRE_SPECIMEN"})
    assert client.get_camera_param("BM-Ceta")["exposure(s)"] == pytest.approx(0.1)
    client.set_image_shift((0.0, -300e-9))
    client.set_beam_shift((0.0, -300e-9))
    assert client.get_beam_shift() == [0.0, -300e-9]
    client.set_defocus(-60e-9)
    assert client.get_defocus() == pytest.approx(-60e-9)
    assert client.get_projection_mode() == "IMAGING"
    assert client.acquire("BM-Ceta")["BM-Ceta"].mean() < 10.0
    client.set_beam_blanked(False)
    bright = client.acquire("BM-Ceta")["BM-Ceta"]
    assert bright.shape == (256, 256)
    assert bright.mean() > 1000.0
