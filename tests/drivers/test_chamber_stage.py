"""The chamber's stage: it goes where it is sent, or says so."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from drivers.chamber_stage import ChamberStage, ranges
from drivers.chamber_stage_settings import ChamberStageLimits
from drivers.errors import Aborted, DeviceError, InterlockError, LimitError, LinkTimeout, WireError
from drivers.pose import Pose
from drivers.wire import fibsem as wire
from drivers.wire.fibsem_model import Position
from drivers.wire.fibsem_stage import StagePosition
from drivers.wire.http import Request, Response
from simulators.boxes.http import Later
from tests.drivers.fibsem_bench import DEG, FibsemBench

THERE = Pose(x=1e-4, y=-2e-4, z=4.1e-3, rotation=0.5, tilt=52 * DEG)
MOVE, POSITION = wire.MOVE_ABSOLUTE.path, wire.STAGE_POSITION.path


@pytest.fixture
def bench() -> FibsemBench:
    return FibsemBench()


def told(pose: Pose, **other: float | None) -> Callable[[Request], Response]:
    """A server that tells a position, with other values on some axes of the wire."""
    axes: dict[str, float | None] = {"x": pose.x, "y": pose.y, "z": pose.z, "r": pose.rotation, "t": pose.tilt}
    position = Position(**axes | other, coordinate_system="RAW")  # type: ignore[arg-type]
    return lambda _: wire.response(wire.STAGE_POSITION, StagePosition(position))


def test_it_opens_and_tells_where_it_is(bench: FibsemBench) -> None:
    bench.stage.open()
    assert bench.stage.position() == Pose(0.0, 0.0, 4e-3, 0.0, 0.0)
    assert bench.stage.status()["orientation"] == "SEM"


def test_it_moves_all_axes_and_arrives(bench: FibsemBench) -> None:
    found = bench.stage.move_to(THERE)
    assert found.axes() == pytest.approx(THERE.axes(), abs=1e-9)
    assert bench.clock.now() > 52.0 / 3.0  # of tilt, at 3 degrees a second
    assert bench.guarded == ["chamber_stage.move_to"]
    (sent,) = [request for request in bench.box.asked if request.path == MOVE]
    assert json.loads(sent.body)["position"] == {
        "x": 1e-4,
        "y": -2e-4,
        "z": 4.1e-3,
        "r": 0.5,
        "t": pytest.approx(0.907571),  # rad, not degrees
        "name": None,
        "coordinate_system": "RAW",
    }


@pytest.mark.parametrize(
    "beyond",
    [{"x": 2.1e-3}, {"y": -3e-3}, {"z": 0.0}, {"tilt": 61 * DEG}, {"tilt": 52.0}, {"rotation": 180.0}, {"x": math.nan}],
    ids=str,
)
def test_beyond_the_rig_s_limits_nothing_is_sent(bench: FibsemBench, beyond: dict[str, float]) -> None:
    with pytest.raises(LimitError, match=f"chamber_stage: move_to refused: {next(iter(beyond))}"):
        bench.stage.move_to(replace(THERE, **beyond))
    assert bench.box.asked == []
    assert bench.guarded == []


def test_degrees_given_for_radians_are_refused_in_degrees(bench: FibsemBench) -> None:
    with pytest.raises(LimitError, match=r"tilt 2979\.4 deg is beyond the rig's limit 60 deg"):
        bench.stage.move_to(replace(THERE, tilt=52.0))


def test_an_interlock_lets_nothing_be_sent(bench: FibsemBench) -> None:
    def refuse(command: str) -> None:
        raise InterlockError(f"{command} is forbidden")

    bench.stage._guard = refuse
    with pytest.raises(InterlockError):
        bench.stage.move_to(THERE)
    assert bench.box.asked == []


@pytest.mark.parametrize(
    ("axis", "value"), [("x", 1.02e-4), ("y", -1.98e-4), ("z", 4e-3), ("r", 0.51), ("t", 51.5 * DEG)]
)
def test_a_stage_that_stops_elsewhere_is_a_device_error(bench: FibsemBench, axis: str, value: float) -> None:
    bench.box.instead[POSITION] = told(THERE, **{axis: value})
    name = {"r": "rotation", "t": "tilt"}.get(axis, axis)
    with pytest.raises(DeviceError, match=f"move_to sent {name} to .*, where it stopped is"):
        bench.stage.move_to(THERE)


def test_a_whole_turn_further_is_the_same_rotation(bench: FibsemBench) -> None:
    bench.box.instead[POSITION] = told(THERE, r=THERE.rotation + 2.0 * math.pi)
    assert bench.stage.move_to(THERE).rotation == pytest.approx(0.5 + 2.0 * math.pi)


@pytest.mark.parametrize(("axis", "value"), [("t", 52.0), ("r", 180.0), ("x", 1000.0), ("z", None), ("t", None)])
def test_degrees_or_millimetres_on_the_wire_are_no_position(bench: FibsemBench, axis: str, value: float | None) -> None:
    bench.box.instead[POSITION] = told(THERE, **{axis: value})
    with pytest.raises(WireError, match="Does it speak of degrees"):
        bench.stage.position()


def test_a_position_is_believed_when_two_readings_agree(bench: FibsemBench) -> None:
    readings = [told(THERE, x=3e-4), told(THERE), told(THERE, y=-2.0003e-4)]
    bench.box.instead[POSITION] = lambda request: readings.pop(0)(request)
    assert bench.stage.position() == replace(THERE, y=-2.0003e-4)  # of the two that agree, the later


def test_a_position_that_never_agrees_is_an_error(bench: FibsemBench) -> None:
    x = iter(range(100))
    bench.box.instead[POSITION] = lambda request: told(THERE, x=next(x) * 1e-4)(request)
    with pytest.raises(WireError, match="no two answers in a row that agree"):
        bench.stage.position()


def test_the_box_enforces_its_own_range(bench: FibsemBench) -> None:
    wide = bench.stage._settings.model_copy(
        update={"limits": ChamberStageLimits(x=(-1.0, 1.0), y=(-1.0, 1.0), z=(0.0, 1.0), tilt=(-1.5, 1.5))}
    )
    stage = ChamberStage(bench.link, wide, **bench._given(ranges(wide)))
    with pytest.raises(
        DeviceError, match=r"/move_stage_absolute was refused by the server \(500 Internal Server Error\)"
    ):
        stage.move_to(replace(THERE, x=0.2))
    assert stage.position() == Pose(0.0, 0.0, 4e-3, 0.0, 0.0)


def test_an_abort_is_heeded_while_the_stage_moves_and_the_stage_goes_on(bench: FibsemBench) -> None:
    set_off = bench.box._box.answer

    def abort_under_way(request: Request) -> Response | Later:
        bench.abort.set()
        return set_off(request)

    bench.box.instead[MOVE] = abort_under_way
    with pytest.raises(Aborted):
        bench.stage.move_to(THERE)
    assert bench.clock.now() < 0.1
    bench.abort.clear()
    bench.stage.make_safe()
    bench.clock.sleep(60.0)
    assert bench.stage.position().tilt == pytest.approx(THERE.tilt)


def test_a_move_that_never_ends_is_a_timeout(bench: FibsemBench) -> None:
    bench.box.instead[MOVE] = lambda _: Later(1e9, lambda: Response(200))
    with pytest.raises(LinkTimeout, match="chamber_stage: move_to got no whole answer in 180 s"):
        bench.stage.move_to(THERE)
    assert bench.box.paths.count(MOVE) == 1  # never sent again: it may be moving


def test_a_second_move_while_it_moves_is_refused_by_the_box(bench: FibsemBench) -> None:
    bench.box.instead[MOVE] = lambda request: (bench.box._box.answer(request), Response(500))[1]
    with pytest.raises(DeviceError):
        bench.stage.move_to(THERE)
    bench.box.instead.clear()
    with pytest.raises(DeviceError, match="500"):
        bench.stage.move_to(Pose(0.0, 0.0, 4e-3, 0.0, 0.0))


def test_the_milling_angle_is_turned_from_degrees(bench: FibsemBench) -> None:
    assert bench.stage.milling_angle() == pytest.approx(38.0 * DEG)
    bench.stage.move_to(Pose(0.0, 0.0, 4e-3, 0.0, -8 * DEG))
    assert bench.stage.milling_angle() == pytest.approx(30.0 * DEG)


def test_a_stage_that_cannot_tilt_is_not_opened(bench: FibsemBench) -> None:
    def without_tilt(request: Request) -> Response:
        answer = bench.box._box.answer(request)
        assert isinstance(answer, Response)
        return replace(answer, body=answer.body.replace(b'"tilt":true', b'"tilt":false'))

    bench.box.instead["/system"] = without_tilt
    with pytest.raises(DeviceError, match="does not both rotate and tilt"):
        bench.stage.open()


def test_limits_that_cannot_be_are_refused() -> None:
    good = {"x": (-1e-3, 1e-3), "y": (-1e-3, 1e-3), "z": (0.0, 1e-3), "tilt": (0.0, 1.0)}
    for wrong in ({"x": (1e-3, -1e-3)}, {"tilt": (-10.0, 60.0)}):
        with pytest.raises(ValueError, match=r"comes first|90 deg"):
            ChamberStageLimits(**{**good, **wrong})  # type: ignore[arg-type]
