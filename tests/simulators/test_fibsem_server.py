"""The simulated fibsem server: the API's own conversations, its moves in its own images, its refusals and its traps."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock import VirtualClock
from drivers.links import MemoryLink
from drivers.links.http import HttpLink
from drivers.wire import fibsem as wire
from drivers.wire.fibsem import Call
from drivers.wire.fibsem_image import Tiff, decode_tiff
from drivers.wire.fibsem_milling import FinishMilling, MillSettings, RunMilling, SetUpMilling
from drivers.wire.fibsem_model import Acquire, ImageSettings, OfBeam, Position, ReducedArea, SetTo
from drivers.wire.fibsem_pattern import Patterns, Rectangle
from drivers.wire.fibsem_stage import StableMove, StagePosition, VerticalMove
from drivers.wire.http import JSON, Request, Response
from simulators.boxes.fibsem import FibsemServer
from simulators.boxes.http import HttpPeer, Later
from tests.drivers.fibsem_bench import DEG, SmallWorld
from tests.drivers.golden import golden, pairs
from tests.simulators.test_chamber import shift
from tests.simulators.waited import answered

BOX = Rectangle(6e-6, 4e-6, 0.5e-6)


class Host:
    """Asks the server and waits for what comes later."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.world = SmallWorld(self.clock)
        self.server = FibsemServer(self.world)

    def send(self, request: Request) -> Response:
        return answered(self.server, request, self.clock)

    def ask(self, call: Call[Any, Any], asked: Any = wire.NOTHING) -> Any:
        response = self.send(wire.request(call, asked))
        assert response.status == 200, (call.path, response)
        return wire.told(call, response)

    def refused(self, call: Call[Any, Any], asked: Any = wire.NOTHING) -> int:
        response = self.send(wire.request(call, asked))
        assert response.status != 200, call.path
        return response.status

    def post(self, path: str, **body: Any) -> Response:
        return self.send(Request("POST", path, body=json.dumps(body).encode(), content_type=JSON))

    def image(self, beam: Any, dwell: float = 1e-4) -> Any:
        settings = ImageSettings(beam, (192, 128), dwell, 40e-6)
        response = self.send(wire.request(wire.ACQUIRE, Acquire(beam, settings)))
        assert (response.status, response.content_type) == (200, wire.TIFF)
        return decode_tiff(response.body)

    def tilt(self, radians: float) -> None:
        self.ask(wire.MOVE_ABSOLUTE, StagePosition(Position(t=radians)))

    def ready_to_mill(self) -> None:
        self.tilt(52 * DEG)
        self.ask(wire.SET_UP_MILLING, SetUpMilling(MillSettings(2e-9, 30e3, 60e-6)))
        self.ask(wire.DRAW, Patterns((BOX,)))


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.mark.parametrize("name", ["system", "stage", "angles", "beams", "milling"])
def test_the_api_s_own_conversations_are_answered_in_their_form(host: Host, name: str) -> None:
    if name == "milling":
        host.tilt(52 * DEG)
    for said, reply in pairs(golden("fibsem", name)):
        method, path, body = (said + b"  ").split(b" ", 2)
        found = host.send(Request(method.decode(), path.decode(), body=body.strip(), content_type=JSON))
        status, _, expected = reply.partition(b" ")
        if path == b"/milling_angle/move":  # 15 degrees need a tilt of -23, which this stage does not have
            assert found.status == 500
            continue
        assert (found.status, found.content_type) == (int(status), JSON), path
        assert shape(json.loads(found.body)) == shape(json.loads(expected)), path


def shape(value: Any) -> Any:
    """Keys and kinds of a JSON value; numbers are numbers, and what may be null is anything."""
    if isinstance(value, dict):
        open_ = {"sim", "path", "name", "fibsem_revision", "application", "preset", "plasma_gas", "filename"}
        return {key: shape(each) for key, each in value.items() if key not in open_}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_the_golden_refusals_are_refused_with_their_status(host: Host) -> None:
    for said, reply in pairs(golden("fibsem", "refusals")):
        method, path, body = (said + b"  ").split(b" ", 2)
        found = host.send(Request(method.decode(), path.decode(), body=body.strip(), content_type=JSON))
        status, _, expected = reply.partition(b" ")
        assert found.status == int(status)
        told, known = json.loads(found.body)["detail"], json.loads(expected)["detail"]
        assert told == known or (isinstance(told, list) and isinstance(known, list))


# --- the stage and what is seen


@pytest.mark.parametrize(("beam", "tilt"), [("electron", 20.0), ("ion", 20.0), ("ion", 52.0), ("ion", 0.0)])
def test_a_stable_move_brings_to_the_middle_what_was_off_it(host: Host, beam: Any, tilt: float) -> None:
    host.tilt(tilt * DEG)
    before = host.image(beam).pixels.astype(float)
    host.ask(wire.STABLE_MOVE, StableMove(4e-6, 3e-6, beam))
    assert shift(before, host.image(beam).pixels.astype(float)) == pytest.approx((-4e-6, -3e-6), abs=0.6e-6)


def test_a_stable_move_knows_a_scan_turned_by_half_a_turn(host: Host) -> None:
    host.ask(wire.SCAN_ROTATION.set, SetTo(np.pi, "electron"))
    before = host.image("electron").pixels.astype(float)
    host.ask(wire.STABLE_MOVE, StableMove(4e-6, 3e-6, "electron"))
    assert shift(before, host.image("electron").pixels.astype(float)) == pytest.approx((-4e-6, -3e-6), abs=0.6e-6)


@pytest.mark.parametrize("tilt", [0.0, 30.0])
def test_a_vertical_move_moves_the_ion_image_alone(host: Host, tilt: float) -> None:
    host.tilt(tilt * DEG)
    before = [host.image(beam).pixels.astype(float) for beam in ("electron", "ion")]
    host.ask(wire.VERTICAL_MOVE, VerticalMove(dy=4e-6))
    after = [host.image(beam).pixels.astype(float) for beam in ("electron", "ion")]
    assert shift(before[0], after[0]) == pytest.approx((0.0, 0.0), abs=0.6e-6)
    assert shift(before[1], after[1]) == pytest.approx((0.0, -4e-6), abs=0.6e-6)


def test_a_safe_move_is_flat_before_it_turns(host: Host) -> None:
    host.tilt(30 * DEG)
    answer = host.server.answer(
        wire.request(wire.SAFE_MOVE, StagePosition(Position(x=0.0, y=0.0, z=4e-3, r=np.pi, t=30 * DEG)))
    )
    assert isinstance(answer, Later)
    while host.clock.now() < answer.at:
        pose = host.world.chamber.stage.read()
        assert pose.tilt < 1e-9 or min(pose.rotation, np.pi - pose.rotation) < 1e-9
        host.clock.sleep(0.5)


def test_flat_to_a_beam_is_what_the_orientation_says(host: Host) -> None:
    for beam, orientation in (("ion", "FIB"), ("electron", "SEM")):
        host.ask(wire.FLAT_TO_BEAM, OfBeam(beam))  # type: ignore[arg-type]
        assert host.ask(wire.STAGE_ORIENTATION).orientation == orientation
    host.tilt(30 * DEG)
    assert host.ask(wire.STAGE_ORIENTATION).orientation == "MILLING"


@pytest.mark.parametrize("axis", [{"x": 0.06}, {"z": -1e-3}, {"t": 80 * DEG}, {"t": -11 * DEG}, {"r": 7.0}])
def test_the_stage_enforces_its_range(host: Host, axis: dict[str, float]) -> None:
    assert host.refused(wire.MOVE_ABSOLUTE, StagePosition(Position(**axis))) == 500
    assert host.ask(wire.STAGE_POSITION).position.x == 0.0


def test_a_moving_stage_refuses_moves_frames_and_milling(host: Host) -> None:
    host.ready_to_mill()
    host.server.answer(wire.request(wire.MOVE_ABSOLUTE, StagePosition(Position(x=1e-3))))
    for call, asked in (
        (wire.MOVE_RELATIVE, StagePosition(Position(x=1e-6))),
        (wire.ACQUIRE, Acquire("electron")),
        (wire.START, wire.NOTHING),
        (wire.AUTO_FOCUS, OfBeam("electron")),
    ):
        assert host.refused(call, asked) == 500
    assert 0.0 <= host.ask(wire.STAGE_POSITION).position.x < 1e-3  # it tells where it is


# --- beams and frames


def test_a_frame_takes_its_time_and_another_is_refused_meanwhile(host: Host) -> None:
    acquire = wire.request(wire.ACQUIRE, Acquire("electron", ImageSettings("electron", (192, 128), 1e-4, 40e-6)))
    answer = host.server.answer(acquire)
    assert isinstance(answer, Later)
    assert answer.at == pytest.approx(192 * 128 * 1e-4)
    assert host.server.answer(acquire) == wire.refusal(500, "")


def test_an_image_says_what_it_is_and_is_the_last_one(host: Host) -> None:
    image: Tiff = host.image("ion")
    assert image.metadata is not None
    assert image.metadata.image.beam_type == "ion"
    assert image.metadata.pixel_size.x == pytest.approx(40e-6 / 192)
    assert image.metadata.microscope_state.ion_beam is not None
    assert image.metadata.microscope_state.electron_beam is None
    last = host.send(wire.request(wire.LAST_IMAGE, OfBeam("ion")))
    assert np.array_equal(decode_tiff(last.body).pixels, image.pixels)
    assert host.refused(wire.LAST_IMAGE, OfBeam("electron")) == 500


def test_the_beam_of_the_settings_goes_before_the_one_asked_for(host: Host) -> None:
    settings_ = ImageSettings("ion", (96, 64), 1e-6, 40e-6)
    response = host.send(wire.request(wire.ACQUIRE, Acquire("electron", settings_)))
    found = decode_tiff(response.body).metadata
    assert found is not None
    assert found.image.beam_type == "ion"
    assert host.world.chamber.surface.window(-1e-6, -1e-6, 1e-6, 1e-6).maps[2].max() > 0.0


def test_part_of_a_frame_is_cut_out(host: Host) -> None:
    area = ReducedArea(0.25, 0.5, 0.5, 0.25)
    response = host.send(
        wire.request(wire.ACQUIRE, Acquire("electron", ImageSettings("electron", (96, 64), reduced_area=area)))
    )
    assert decode_tiff(response.body).pixels.shape == (16, 48)


@pytest.mark.parametrize(
    ("setting", "beam", "value"),
    [
        (wire.VOLTAGE, "ion", 40e3),
        (wire.VOLTAGE, "electron", 100.0),
        (wire.CURRENT, "ion", 1e-6),
        (wire.CURRENT, "electron", 1e-6),
        (wire.DWELL, "ion", 1.0),
        (wire.RESOLUTION, "ion", (100000, 100000)),
        (wire.RESOLUTION, "ion", (0, 100)),
        (wire.WORKING_DISTANCE, "ion", 1.0),
        (wire.CONTRAST, "ion", 2.0),
    ],
)
def test_a_beam_refuses_what_it_does_not_have(host: Host, setting: Any, beam: Any, value: Any) -> None:
    before = host.ask(setting.get, OfBeam(beam)).value
    assert host.refused(setting.set, SetTo(value, beam)) == 500
    assert host.ask(setting.get, OfBeam(beam)).value == before


def test_traps_are_kept_a_field_is_clipped_and_an_unknown_detector_overlooked(host: Host) -> None:
    assert host.ask(wire.FIELD.set, SetTo(1.0, "ion")).value == 1e-3
    assert host.ask(wire.DETECTOR_TYPE.set, SetTo("SpyCam", "ion")).value == "ETD"
    assert host.ask(wire.CURRENT.set, SetTo(50e-12, "ion")).value == 41e-12


def test_focusing_exposes_and_focuses(host: Host) -> None:
    host.ask(wire.WORKING_DISTANCE.set, SetTo(9e-3, "electron"))
    host.ask(wire.AUTO_FOCUS, OfBeam("electron"))
    host.ask(wire.AUTOCONTRAST, OfBeam("electron"))
    assert host.ask(wire.WORKING_DISTANCE.get, OfBeam("electron")).value == pytest.approx(7e-3, abs=20e-6)
    assert host.world.chamber.surface.window(-1e-6, -1e-6, 1e-6, 1e-6).maps[1].max() > 0.0


def test_the_state_can_be_put_back(host: Host) -> None:
    before = host.ask(wire.STATE)
    host.tilt(30 * DEG)
    host.ask(wire.CURRENT.set, SetTo(2e-9, "ion"))
    host.ask(wire.SET_STATE, before)
    after = host.ask(wire.STATE).microscope_state
    assert replace(after, timestamp=0.0) == replace(before.microscope_state, timestamp=0.0)


# --- milling


def test_a_run_that_blocks_is_answered_when_it_is_over_and_forgets_its_patterns(host: Host) -> None:
    host.ready_to_mill()
    began, seconds = host.clock.now(), host.ask(wire.MILLING_TIME).seconds
    host.ask(wire.RUN, RunMilling(2e-9, 30e3))
    assert host.clock.now() - began == pytest.approx(seconds)
    assert host.ask(wire.MILLING_STATE).state == "IDLE"
    assert host.ask(wire.MILLING_TIME).seconds == 0.0


def test_a_run_that_blocks_takes_longer_when_somebody_holds_it(host: Host) -> None:
    host.ready_to_mill()
    seconds = host.ask(wire.MILLING_TIME).seconds
    answer = host.server.answer(wire.request(wire.RUN, RunMilling(2e-9, 30e3)))
    began = host.clock.now()
    host.clock.sleep(5.0)
    host.ask(wire.PAUSE)
    assert host.ask(wire.MILLING_STATE).state == "PAUSED"
    resumed = host.clock.now() + 100.0
    while isinstance(answer, Later):
        host.clock.sleep(max(answer.at - host.clock.now(), 0.0))
        if host.clock.now() >= resumed and host.ask(wire.MILLING_STATE).state == "PAUSED":
            resumed = host.clock.now()
            host.ask(wire.RESUME)
        answer = answer.make()
    assert answer.status == 200
    assert host.clock.now() == pytest.approx(resumed + began + seconds - began - 5.0, abs=0.6)


def test_the_trap_is_kept_a_run_starts_though_its_current_could_not_be_set(host: Host) -> None:
    host.ready_to_mill()
    host.world.chamber.columns["ion"].stuck = True
    host.ask(wire.RUN, RunMilling(1e-12, 5e3, asynch=True))
    assert host.ask(wire.MILLING_STATE).state == "RUNNING"
    assert host.world.chamber.columns["ion"].current == 2e-9


def test_while_it_mills_nothing_else_is_done_with_the_beam(host: Host) -> None:
    host.ready_to_mill()
    host.ask(wire.START)
    for call, asked in (
        (wire.ACQUIRE, Acquire("ion")),
        (wire.MOVE_RELATIVE, StagePosition(Position(x=1e-6))),
        (wire.CURRENT.set, SetTo(1e-12, "ion")),
        (wire.VOLTAGE.set, SetTo(5e3, "ion")),
        (wire.FIELD.set, SetTo(1e-4, "ion")),
        (wire.DRAW, Patterns((BOX,))),
        (wire.CLEAR, wire.NOTHING),
        (wire.FINISH, FinishMilling(2e-11, 30e3)),
    ):
        assert host.refused(call, asked) == 500
    host.ask(wire.START)  # once more is not twice
    host.ask(wire.STOP)
    host.ask(wire.FINISH, FinishMilling(2e-11, 30e3))
    assert host.ask(wire.CURRENT.get, OfBeam("ion")).value == 2e-11


def test_what_cannot_be_milled_is_refused(host: Host) -> None:
    assert host.refused(wire.START) == 500
    usual = MillSettings(2e-9, 30e3, 60e-6)
    for wrong in (replace(usual, milling_channel="electron"), replace(usual, application_file="cheese")):
        assert host.refused(wire.SET_UP_MILLING, SetUpMilling(wrong)) == 500
    host.ask(wire.SET_UP_MILLING, SetUpMilling(replace(usual, hfw=5e-6)))
    assert host.refused(wire.DRAW, Patterns((BOX,))) == 500


def test_patterns_in_parallel_are_as_deep_and_take_as_long(host: Host) -> None:
    depths = []
    for mode, x in (("Serial", 0.0), ("Parallel", 40e-6)):
        host.ask(wire.MOVE_ABSOLUTE, StagePosition(Position(x=x, t=52 * DEG)))
        host.ask(wire.SET_UP_MILLING, SetUpMilling(MillSettings(2e-9, 30e3, 60e-6, patterning_mode=mode)))  # type: ignore[arg-type]
        host.ask(wire.DRAW, Patterns((replace(BOX, centre_x=-5e-6), replace(BOX, centre_x=5e-6))))
        began = host.clock.now()
        host.ask(wire.RUN, RunMilling(2e-9, 30e3))
        at = host.world.chamber.surface.at(np.array([x - 5e-6, x + 5e-6]), np.zeros(2))[0]
        depths.append((*at, host.clock.now() - began))
    assert depths[0] == pytest.approx(depths[1], rel=1e-3)


# --- requests


def test_there_is_no_chamber_camera(host: Host) -> None:
    assert host.refused(wire.CHAMBER_IMAGE) == 404


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PUT"]),
    st.sampled_from(
        ["/acquire_image", "/move_stage_absolute", "/draw_patterns", "/beam_current/set", "/system", "/", "//"]
    ),
    st.binary(max_size=60)
    | st.sampled_from([b"{}", b"[]", b'{"value":1}', b'{"patterns":[{}]}', b'{"position":null}']),
)
def test_any_request_is_answered(method: str, path: str, body: bytes) -> None:
    answer = FUZZED.server.answer(Request(method, path, body=body))
    assert isinstance(answer, Response)
    assert answer.status in (200, 404, 405, 422)


FUZZED = Host()


def test_over_http_a_host_that_goes_away_leaves_the_frame_to_its_end() -> None:
    host = Host()
    line = MemoryLink("fibsem", HttpPeer(host.server, host.clock), host.clock)
    link = HttpLink(line)
    acquire = wire.request(wire.ACQUIRE, Acquire("electron", ImageSettings("electron", (192, 128), 1e-4, 40e-6)))
    with pytest.raises(Exception, match="no whole answer"):
        link.exchange(acquire, timeout=0.5)
    assert host.world.chamber.surface.window(-1e-6, -1e-6, 1e-6, 1e-6).maps[1].max() > 0.0  # charged as a whole
    host.clock.sleep(3.0)
    assert link.exchange(wire.request(wire.LAST_IMAGE, OfBeam("electron")), largest=1 << 20).status == 200
