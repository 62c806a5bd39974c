"""The FIB-SEM against fibsem: its own client on our server, and our drivers on its own server (Demo)."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from drivers import beams, chamber_stage, milling
from drivers.beams import Beams
from drivers.chamber_stage import ChamberStage
from drivers.clock import RealClock, VirtualClock, wall_seconds, wall_sleep
from drivers.errors import DeviceError, LinkError
from drivers.limits import Limits, Range
from drivers.links import TcpLink
from drivers.links.http import HttpLink
from drivers.milling import Circle, Line, Milling, Polygon
from drivers.pose import Pose
from drivers.ticket import Cut
from drivers.wire import fibsem as wire
from drivers.wire.http import Request, Response
from simulators.boxes.fibsem import FibsemServer
from simulators.serve import PacedClock, Port, serve
from tests.drivers.fibsem_bench import BEAMS, BOX, DEG, FRAME, MILLING, STAGE, Office, SmallWorld, Watched
from tests.peers.other_python import answer, python_with

pytestmark = pytest.mark.peer
VARIABLE = "CRYOLIFT_FIBSEM_PYTHON"
SPEED = 60.0
STARTS = 90.0  # s; fibsem is large


@pytest.fixture(scope="module")
def python() -> str:
    return python_with("fibsem", VARIABLE)


# --- its client, our server


@pytest.fixture(scope="module")
def told(python: str) -> dict[str, Any]:
    """What fibsem's own client saw of our server, once through everything it can do."""
    clock = PacedClock(speed=SPEED)
    world = SmallWorld(clock)
    with serve(clock, {"fibsem": Port(FibsemServer(world), kind="http")}, tick=world.catch_up) as addresses:
        script = Path(__file__).with_name("fibsem_client.py")
        found: dict[str, Any] = answer([python, str(script), addresses["fibsem"].rpartition(":")[2]], seconds=110.0)
    return found


def test_its_client_knows_our_instrument(told: dict[str, Any]) -> None:
    assert told["system"] == {
        "health": {"status": "ok", "manufacturer": "SimulatedMicroscope"},
        "ion_column_tilt": pytest.approx(52.0),
        "electron": 2e3,
        "compustage": False,
    }


def test_its_client_moves_our_stage_within_its_range(told: dict[str, Any]) -> None:
    stage = told["stage"]
    assert stage["here"]["z"] == 4e-3
    assert (stage["there"]["x"], stage["there"]["t"]) == (1e-5, 0.1)
    assert stage["by"] == pytest.approx(1e-6)
    assert stage["stable"][0] == pytest.approx(stage["stable"][1])
    assert stage["vertical"] > 0.0
    assert stage["orientations"] == ["MILLING", "FIB", "SEM"]
    assert stage["refused"] == 500
    assert stage["still"] == 0.0
    assert stage["angles"] == pytest.approx([38.0, 30.0])
    assert stage["near"] is True


def test_its_client_sets_our_beams(told: dict[str, Any]) -> None:
    for beam in ("ELECTRON", "ION"):
        found = told["beams"][beam]
        assert found["read"] == [found["current"], found["voltage"], found["field"]] == [90e-12, 5e3, 80e-6]
        assert found["resolution"] == [384, 256]
        assert found["stigmation"] == {"x": 0.1, "y": 0.2}
        assert found["detector"] == ["TLD", "SecondaryElectrons"]
        assert len(found["choices"]["current"]) > 5
        assert found["choices"]["nothing"] == []
    assert "Si" in told["beams"]["files"]


def test_moving_the_stage_moves_the_image_that_its_client_gets(told: dict[str, Any]) -> None:
    images = told["images"]
    assert (images["shape"], images["dtype"], images["beam"]) == ([256, 384], "uint8", "ELECTRON")
    assert images["pixel"] == pytest.approx(60e-6 / 384)
    assert images["z"] == 4e-3
    assert images["same"] is True
    assert images["again"] > 0.7
    assert abs(images["moved"]) < 0.3
    assert images["moved_back"] > 0.7


def test_milling_by_its_client_changes_the_image_it_gets(told: dict[str, Any]) -> None:
    seen = told["milling"]
    assert seen["seconds"] > 100.0
    assert seen["states"] == ["RUNNING", "PAUSED", "RUNNING", "IDLE", "IDLE"]
    assert seen["current"] == 20e-12
    assert seen["brighter"] > 1.5
    assert seen["beside"] == pytest.approx(1.0, abs=0.1)
    assert seen["seen_by_electrons"] > 30.0


# --- our drivers, its server


@pytest.fixture(scope="module")
def port(python: str) -> Iterator[int]:
    """fibsem's own server in front of its Demo microscope, without the time that takes."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    command = [python, "-m", "fibsem.server.server", "--manufacturer", "Demo", "--host", "127.0.0.1"]
    environment = os.environ | {"FIBSEM_SIM_NO_DELAY": "1"}
    with subprocess.Popen(
        [*command, "--port", str(number)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as server:
        try:
            _until_it_answers(number, server)
            yield number
        finally:
            server.terminate()
            try:
                server.wait(15.0)
            except subprocess.TimeoutExpired:
                server.kill()


def _until_it_answers(number: int, server: subprocess.Popen[bytes]) -> None:
    began = wall_seconds()
    while wall_seconds() - began < STARTS:
        assert server.poll() is None, "fibsem's server ended by itself"
        try:
            link = HttpLink(TcpLink("fibsem", "127.0.0.1", number, RealClock()))
            link.exchange(wire.request(wire.HEALTH, wire.NOTHING), timeout=2.0)
            link.close()
            return
        except LinkError:
            wall_sleep(0.3)
    pytest.fail(f"fibsem's server did not answer within {STARTS} s")


class Rig:
    """Our three drivers on a line to its server; stops the Demo's milling, which never ends by itself."""

    def __init__(self, number: int) -> None:
        self.clock = RealClock(speed=20.0)
        self.number = number
        self.link = self._line()
        self.looks = 0
        self.stop_after = 0
        self.office = Office(Watched(None))  # type: ignore[arg-type]
        self.stage = ChamberStage(self.link, STAGE, **self._given(chamber_stage.ranges(STAGE)))
        self.beams = Beams(self.link, BEAMS, **self._given(beams.ranges(BEAMS)))
        self.milling = Milling(self.link, MILLING, **self._given(milling.ranges(MILLING)))

    def _line(self) -> HttpLink:
        return HttpLink(TcpLink("fibsem", "127.0.0.1", self.number, self.clock))

    def order(self, call: Any) -> None:
        """Somebody else at the microscope."""
        other = self._line()
        assert other.exchange(wire.request(call, wire.NOTHING)).status == 200
        other.close()

    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.looks += 1
        if self.looks == self.stop_after:
            self.order(wire.STOP)

    def _given(self, ranges: Mapping[str, Range]) -> dict[str, Any]:
        return {"limits": Limits(ranges), "guard": lambda command: None, "wait": self.wait}


@pytest.fixture
def rig(port: int) -> Iterator[Rig]:
    rig = Rig(port)
    yield rig
    rig.link.close()


def test_our_drivers_open_its_instrument(rig: Rig) -> None:
    for device in (rig.stage, rig.beams, rig.milling):
        device.open()
    assert rig.beams.column("ion") == (30e3, pytest.approx(20e-12))


def test_our_stage_moves_its_stage_and_speaks_rad(rig: Rig) -> None:
    there = Pose(1e-4, -5e-5, 4e-3, 0.2, 30 * DEG)
    assert rig.stage.move_to(there).axes() == pytest.approx(there.axes())
    # its own configuration: ion column at 52 degrees, holder at 35: 90 - 52 + 30 - 35 degrees
    assert rig.stage.milling_angle() == pytest.approx(33 * DEG, abs=1e-6)
    assert rig.stage.orientation() in ("SEM", "FIB", "MILLING", "FM", "NONE")
    rig.stage.move_to(Pose(0.0, 0.0, 4e-3, 0.0, 0.0))


@pytest.mark.parametrize("beam", ["electron", "ion"])
def test_our_beams_take_its_images_with_what_they_are(rig: Rig, beam: Any) -> None:
    rig.beams.set_beam(beam, 5e3, 90e-12)
    rig.beams.set_optics(beam, working_distance=5e-3, shift=(1e-6, 0.0), stigmation=(0.1, 0.0), scan_rotation=0.1)
    rig.beams.set_detector(beam, kind="ETD", contrast=0.4, brightness=0.6)
    image = rig.beams.acquire(FRAME, beam, rig.office.ticket(FRAME, beam))
    assert image.pixels.shape == (64, 96)
    assert image.pixels.std() > 10.0
    assert (image.voltage, image.current) == (5e3, 90e-12)
    assert image.metadata.image.filename is not None


def test_our_milling_sets_up_confirms_starts_sees_the_end_and_gives_back(rig: Rig) -> None:
    rig.beams.set_beam("ion", 30e3, 20e-12)
    cut = Cut((BOX, Line(0.0, 5e-6, 0.0, 0.0, 1e-7)), 60e-6, 2e-9, 30e3, 60.0)
    assert rig.milling.estimate(cut) == 10.0  # its Demo: five seconds a pattern
    rig.stop_after = rig.looks + 9  # its Demo mills until somebody stops it
    milled = rig.milling.run(cut, rig.office.cut(cut))
    assert 5.0 <= milled.seconds < 60.0
    assert rig.beams.column("ion") == (30e3, 20e-12)


def test_a_demo_that_never_ends_is_stopped_when_the_ticket_is_used_up(rig: Rig) -> None:
    shapes = (Circle(2e-6, 1e-7), Polygon(((0.0, 0.0), (1e-6, 0.0), (0.0, 1e-6)), 1e-7))
    cut = Cut(shapes, 60e-6, 2e-9, 30e3, 12.0)
    with pytest.raises(DeviceError, match="still mills after the 12 s of its ticket"):
        rig.milling.run(cut, rig.office.cut(cut))
    assert rig.milling.status()["state"] == "IDLE"
    assert rig.beams.column("ion") == (30e3, 20e-12)


def test_our_milling_pauses_and_goes_on(rig: Rig) -> None:
    cut = Cut((BOX,), 60e-6, 2e-9, 30e3, 60.0)
    states: list[Any] = []
    plain = rig.milling._wait

    def wait(seconds: float) -> None:
        if not states:
            rig.milling.pause()
            states.append(rig.milling.status()["state"])
        plain(seconds)

    rig.milling._wait = wait
    rig.stop_after = rig.looks + 6
    rig.milling.run(cut, rig.office.cut(cut))
    assert states == ["PAUSED"]


def test_what_its_server_refuses_is_told_as_ours_tells_it(rig: Rig) -> None:
    ours = FibsemServer(SmallWorld(VirtualClock()))
    for request in (
        Request("POST", "/beam_current/get", body=b'{"beam_type": "LIGHT"}'),
        Request("POST", "/beam_current/set", body=b'{"beam_type": "ION"}'),
        Request("POST", "/draw_patterns", body=b'{"patterns": [{"type": "Spiral"}]}'),
        Request("GET", "/nothing"),
        Request("GET", "/acquire_image"),
    ):
        theirs, mine = rig.link.exchange(request), ours.answer(request)
        assert isinstance(mine, Response)
        assert wire.said_no(theirs)
        assert (theirs.status, theirs.content_type) == (mine.status, mine.content_type), request.path


def test_a_body_that_does_not_fit_is_a_named_error_of_the_driver(rig: Rig) -> None:
    with pytest.raises(DeviceError, match=r"beams: test /draw_patterns was refused by the server \(422 .*Spiral"):
        rig.beams._api._exchange.ask_for(
            "test",
            Request("POST", "/draw_patterns", body=b'{"patterns": [{"type": "Spiral"}]}'),
            lambda response: rig.beams._api._told(wire.DRAW, response),
            safe=False,
        )
