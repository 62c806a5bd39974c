"""The stage driver in front of the simulated controller: references, moves, and what may be in the way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock import RealClock, VirtualClock
from drivers.errors import Aborted, DeviceError, InterlockError, LinkTimeout, Refused
from drivers.links import MemoryLink, TcpLink
from drivers.pose import AXES, Pose
from drivers.stage import StageSettings
from simulators.serve import Port, serve
from tests.drivers.stage_bench import (
    ORIGIN,
    SETTINGS,
    THERE,
    StageBench,
    StageWorld,
    a_driver,
    a_server,
    apart,
    stage_bench,
)


@pytest.fixture
def bench() -> StageBench:
    return stage_bench().referenced()


def test_an_interlock_forbids_before_a_byte_is_sent_but_never_a_stop() -> None:
    def guard(command: str) -> None:
        raise InterlockError(f"refused: {command}")

    bench = stage_bench(guard=guard)
    for axis in bench.world.stage.axes.values():
        axis.referenced = True
    bench.stage.open()
    for act, command in ((lambda: bench.stage.move_to(ORIGIN), "stage.move_to"), (bench.stage.reference, "reference")):
        with pytest.raises(InterlockError, match=command):
            act()
    bench.stage.stop()
    bench.stage.make_safe()


def test_the_stage_goes_where_it_is_sent(bench: StageBench) -> None:
    bench.stage.move_to(THERE)
    assert apart(bench.stage.position(), THERE) < (2e-7, 2e-5)
    # the truth differs by where the reference switches were found
    assert apart(bench.truth(), THERE) < (4e-6, 2e-4)


def test_a_move_takes_as_long_as_its_slowest_axis(bench: StageBench) -> None:
    began = bench.clock.now()
    bench.stage.move_to(replace(ORIGIN, x=4e-3))
    assert 2.0 < bench.clock.now() - began < 3.0  # 4 mm at 2 mm/s, two ramps of 0.1 s, settling


def test_referencing_finds_the_switches_in_the_order_of_the_rig_file() -> None:
    bench = stage_bench()
    bench.stage.open()
    with pytest.raises(Refused):
        bench.stage.move_to(ORIGIN)
    found: list[str] = []

    def watch(clock: VirtualClock, seconds: float) -> None:
        clock.sleep(seconds)
        found.extend(a for a, axis in bench.world.stage.axes.items() if axis.referencing and a not in found)

    bench = stage_bench(wait=watch)
    bench.stage.open()
    bench.stage.reference()
    assert found == list(SETTINGS.reference_order)
    assert apart(bench.stage.position(), ORIGIN) < (1e-7, 1e-5)


def test_referencing_again_finds_nearly_the_same_place(bench: StageBench) -> None:
    bench.stage.move_to(THERE)
    before = bench.truth()
    bench.stage.reference()
    bench.stage.move_to(THERE)
    assert (0.0, 0.0) < apart(bench.truth(), before) < (6e-6, 3e-4)


def test_the_record_shows_each_axis_its_servos_and_whose_units_these_are() -> None:
    bench = stage_bench()
    bench.stage.open()
    assert bench.stage.status() == dict.fromkeys(AXES, "not referenced") | {
        "moving": False,
        "servo": False,
        "units": "told by the controller",
    }
    bench.stage.reference()
    status = bench.stage.status()
    assert status["servo"] is True
    assert status["x"] == pytest.approx(0.0, abs=1e-6)


def test_units_that_nobody_tells_are_assumed_and_said_to_be() -> None:
    bench = stage_bench(settings=SETTINGS.model_copy(update={"tells_units": False}), knows_units=False)
    bench.stage.open()
    assert bench.stage.status()["units"] == "assumed"
    with pytest.raises(LinkTimeout, match="tells_units"):
        stage_bench(knows_units=False).stage.open()


def test_axes_may_have_any_names_and_units() -> None:
    bench = stage_bench()
    names = dict(zip(AXES, ("X", "Y", "Z", "Rot_1", "T"), strict=True))
    axes = {axis: {"name": name} for axis, name in names.items()}
    chosen = StageSettings.model_validate(SETTINGS.model_dump() | {"axes": axes})
    link = MemoryLink("stage", a_server(bench.world, names=names), bench.clock)
    stage = a_driver(link, chosen)
    stage.open()
    stage.reference()
    stage.move_to(THERE)
    assert apart(stage.position(), THERE) < (2e-7, 2e-5)


def test_something_in_the_way_switches_the_servo_off_and_is_said(bench: StageBench) -> None:
    bench.world.stage.axes["y"].block(bench.clock.now())
    with pytest.raises(DeviceError, match=r"broke off \(error 1024: position error too large\)\. Is something"):
        bench.stage.move_to(THERE)
    assert bench.stage.status()["servo"] is False
    assert bench.stage.status()["moving"] is False
    with pytest.raises(DeviceError, match="found the servo of y off"):
        bench.stage.move_to(ORIGIN)
    bench.world.stage.axes["y"].release(bench.clock.now())
    bench.stage.reference()
    bench.stage.move_to(ORIGIN)


def test_something_in_the_way_of_a_reference_is_said() -> None:
    bench = stage_bench()
    bench.stage.open()
    bench.world.stage.axes["x"].block(0.0)
    with pytest.raises(DeviceError, match=r"did not find the reference switch of x \(error 1024"):
        bench.stage.reference()
    with pytest.raises(Refused, match="move_to refused: x, y not referenced"):
        bench.stage.move_to(ORIGIN)


def test_an_axis_held_just_off_its_target_is_late() -> None:
    bench = stage_bench().referenced()
    bench.stage.move_to(THERE)
    bench.world.stage.axes["x"].block(bench.clock.now())
    began = bench.clock.now()
    with pytest.raises(DeviceError, match=r"not on target after twice the .* and 10 s: x is 0\.0\d+ mm away"):
        bench.stage.move_to(replace(THERE, x=THERE.x + 30e-6))
    assert 10.0 < bench.clock.now() - began < 13.0


def test_an_axis_that_somebody_else_moves_is_noticed(bench: StageBench) -> None:
    def meddle(clock: VirtualClock, seconds: float) -> None:
        clock.sleep(seconds)
        bench.world.stage.axes["z"].go(3e-3, clock.now())

    bench.stage._wait = lambda seconds: meddle(bench.clock, seconds)
    with pytest.raises(DeviceError, match=r"z is at .* mm, not on the way from .* to 0 mm"):
        bench.stage.move_to(replace(ORIGIN, x=4e-3))
    assert bench.stage.status()["moving"] is False


def test_an_abort_on_the_way_stops_the_stage(bench: StageBench) -> None:
    def abort(seconds: float) -> None:
        bench.clock.sleep(seconds)
        if bench.clock.now() > began + 0.5:
            bench.link.abort.set()
            raise Aborted("stopped")

    began = bench.clock.now()
    bench.stage._wait = abort
    with pytest.raises(Aborted):
        bench.stage.move_to(replace(ORIGIN, x=4e-3))
    bench.link.abort.clear()
    assert bench.stage.status()["moving"] is False
    assert 1e-4 < bench.stage.position().x < 2e-3


def test_a_stop_on_the_way_to_a_reference_leaves_the_axis_unreferenced(bench: StageBench) -> None:
    bench.stage.move_to(THERE)
    calls = 0

    def abort(seconds: float) -> None:
        nonlocal calls
        calls += 1
        bench.clock.sleep(seconds)
        if calls == 2:
            raise Aborted("stopped")

    bench.stage._wait = abort
    with pytest.raises(Aborted):
        bench.stage.reference()
    with pytest.raises(Refused, match="move_to refused: z not referenced"):
        bench.stage.move_to(ORIGIN)


def test_a_stopped_stage_may_be_moved_again(bench: StageBench) -> None:
    bench.stage.stop()
    bench.stage.move_to(THERE)
    bench.stage.make_safe()
    bench.stage.move_to(ORIGIN)
    assert apart(bench.stage.position(), ORIGIN) < (2e-7, 2e-5)


def test_the_stage_is_made_safe_even_when_an_abort_is_due(bench: StageBench) -> None:
    bench.link.abort.set()
    with pytest.raises(Aborted):
        bench.stage.stop()
    bench.stage.make_safe()


def test_the_same_driver_moves_a_stage_behind_a_port() -> None:
    clock = RealClock(speed=50.0)
    world = StageWorld(clock)
    with serve(clock, {"stage": Port(a_server(world))}) as addresses:
        stage = a_driver(TcpLink("stage", "127.0.0.1", int(addresses["stage"].rpartition(":")[2]), clock))
        stage.open()
        stage.reference()
        stage.move_to(THERE)
        assert apart(stage.position(), THERE) < (3e-7, 3e-5)
        stage.close()


@settings(max_examples=15, deadline=None)
@given(*(st.floats(low, high) for low, high in ((-5e-3, 5e-3), (-5e-3, 5e-3), (-3e-3, 3e-3), (-3.1, 3.1), (-1.0, 1.0))))
def test_any_pose_inside_the_limits_is_reached(x: float, y: float, z: float, rotation: float, tilt: float) -> None:
    bench = stage_bench().referenced()
    pose = Pose(x, y, z, rotation, tilt)
    bench.stage.move_to(pose)
    assert apart(bench.stage.position(), pose) < (3e-7, 3e-5)


@pytest.mark.parametrize("trouble", [OSError("no space left"), KeyboardInterrupt()])
def test_whatever_breaks_a_move_off_stops_the_stage(bench: StageBench, trouble: BaseException) -> None:
    def wait(seconds: float) -> None:
        bench.clock.sleep(0.5)
        raise trouble

    bench.stage._wait = wait
    with pytest.raises(type(trouble)):
        bench.stage.move_to(THERE)
    here = bench.truth()
    bench.clock.sleep(10.0)
    assert bench.truth() == here
    assert apart(here, THERE) > (1e-4, 1e-3)
