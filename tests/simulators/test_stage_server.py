"""The simulated PI controller, asked as a host asks it, and the axes behind it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock import VirtualClock
from drivers.links import MemoryLink
from drivers.pose import Pose
from simulators.constants import constants
from simulators.stages.axes import Axis, Stage
from tests.drivers.golden import golden, pairs
from tests.drivers.stage_bench import StageWorld, a_server
from tests.simulators.bench import make_world


class Host:
    """Sends lines and reads what comes."""

    def __init__(self, *, knows_units: bool = True) -> None:
        self.clock = VirtualClock()
        self.world = StageWorld(self.clock)
        self.server = a_server(self.world, knows_units=knows_units)
        self.link = MemoryLink("stage", self.server, self.clock)

    def says(self, line: str) -> str:
        single = len(line) == 1 and line < " "
        self.link.write((line if single else f"{line}\n").encode("latin-1"))
        found = b""
        while not found and (piece := self.link.read(0.05)):
            found += piece
        return found.decode("latin-1").removesuffix("\n")

    def until_ready(self) -> None:
        while self.says("\x07") != "\xb1":
            self.clock.sleep(0.1)

    def number(self, question: str) -> float:
        return float(self.says(question).partition("=")[2])


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def ready() -> Host:
    """Servos on, every axis referenced."""
    host = Host()
    host.says("SVO 1 1 2 1 3 1 4 1 5 1")
    host.says("FRF")
    host.until_ready()
    assert host.says("ERR?") == "0"
    return host


def test_what_the_makers_client_sends_is_answered_in_form(host: Host) -> None:
    for request, reply in pairs(golden("gcs2", "client")):
        assert host.says(request.decode("latin-1").removesuffix("\n")) == reply.decode("latin-1").removesuffix("\n")


def test_a_stop_is_an_error_once(ready: Host) -> None:
    for request, reply in pairs(golden("gcs2", "stopped")):
        assert ready.says(request.decode("latin-1").removesuffix("\n")) == reply.decode("latin-1").removesuffix("\n")
    assert ready.says("ERR?") == "0"
    assert 0.0 < ready.number("POS? 1") < 1.25


def test_a_question_without_axes_is_about_all(host: Host) -> None:
    assert host.says("SVO?") == "1=0 \n2=0 \n3=0 \n4=0 \n5=0"
    assert host.says("svo? 3 1") == "3=0 \n1=0"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("FOO", "2"),
        ("FOO?", "2"),
        ("MOV 1", "26"),
        ("MOV 1 x", "25"),
        ("POS? 7", "15"),
        ("MOV 7 1", "15"),
        ("ERR? 1", "1"),
        ("VEL 1 3", "17"),
        ("VEL 1 0", "17"),
        ("MOV 1 6.5", "7"),
        ("MOV 1 0.5 2 -6.5", "7"),
    ],
)
def test_what_the_box_cannot_do_is_silent_and_in_the_error(ready: Host, line: str, error: str) -> None:
    assert ready.says(line) == ""
    assert ready.says("ERR?") == error
    assert ready.says("ERR?") == "0"
    assert ready.says("\x05") == "0"  # a line that cannot be done is not done in part


def test_without_a_reference_or_a_servo_nothing_moves(host: Host) -> None:
    host.says("MOV 1 1.0")
    assert host.says("ERR?") == "5"
    host.says("FRF 1")
    assert host.says("ERR?") == "5"
    host.says("SVO 1 1")
    host.says("MOV 1 1.0")
    assert host.says("ERR?") == "5"


def test_a_controller_that_seeks_a_reference_is_busy_for_all_but_its_error(host: Host) -> None:
    host.says("SVO 1 1")
    host.says("FRF 1")
    assert host.says("\x07") == "\xb0"
    assert host.says("\x05") == "1"
    assert host.says("POS? 1") == ""
    assert host.says("ERR?") == "1005"
    host.until_ready()
    assert host.says("FRF? 1 2") == "1=1 \n2=0"
    assert abs(host.number("POS? 1")) < 1e-3


def test_a_stop_ends_the_search_and_leaves_the_axis_unreferenced(host: Host) -> None:
    host.says("SVO 1 1")
    host.says("FRF 1")
    host.says("\x18")
    assert host.says("ERR?") == "10"
    assert host.says("\x07") == "\xb1"
    assert host.says("FRF? 1") == "1=0"


def test_an_axis_is_on_target_only_after_it_settled(ready: Host) -> None:
    ready.says("MOV 1 1.0")
    told = []
    while (state := (ready.says("\x05"), ready.says("ONT? 1"))) != ("0", "1=1"):
        told.append(state)
        ready.clock.sleep(0.02)
    assert told[0] == ("1", "1=0")
    assert ("0", "1=0") in told  # it stands already, and settles


def test_the_position_runs_behind_the_trajectory(ready: Host) -> None:
    ready.says("MOV 1 5.0")
    ready.clock.sleep(1.0)
    ready.world.catch_up()
    axis, now = ready.world.stage.axes["x"], ready.clock.now()
    behind = axis._trajectory(now) - axis.true(now)
    assert behind == pytest.approx(2e-3 * 5e-3)  # m: 2 mm/s times 5 ms


def test_a_target_given_on_the_way_replaces_the_one_before(ready: Host) -> None:
    ready.says("MOV 1 5.0")
    ready.clock.sleep(0.5)
    ready.says("MOV 1 0.0")
    assert ready.says("ERR?") == "0"
    ready.clock.sleep(2.0)
    assert ready.says("MOV? 1") == "1=0.000000"
    assert abs(ready.number("POS? 1")) < 1e-3


def test_the_status_register_tells_servo_motion_and_target(ready: Host) -> None:
    ready.clock.sleep(0.2)
    assert ready.says("\x04") == "0x" + "9000" * 5
    ready.says("MOV 2 5.0")
    assert ready.says("\x04") == "0x9000" + "3000" + "9000" * 3
    ready.says("SVO 2 0")
    assert ready.says("\x04") == "0x9000" + "0000" + "9000" * 3


def test_a_blocked_axis_switches_its_servo_off(ready: Host) -> None:
    ready.world.stage.axes["tilt"].block(ready.clock.now())
    ready.says("MOV 5 20")
    ready.clock.sleep(1.0)
    assert ready.says("SVO? 5") == "5=0"
    assert ready.says("ERR?") == "1024"
    assert ready.says("ERR?") == "0"


def test_not_every_controller_tells_its_units(host: Host) -> None:
    assert host.says("PUN? 1 5") == "1=mm \n5=deg"
    silent = Host(knows_units=False)
    assert silent.says("PUN? 1 5") == ""
    assert silent.says("ERR?") == "2"
    assert "PUN?" not in silent.says("HLP?")


def test_a_slower_velocity_takes_longer(ready: Host) -> None:
    ready.says("VEL 1 0.5")
    assert ready.says("VEL? 1") == "1=0.500000"
    ready.says("MOV 1 1.0")
    ready.clock.sleep(1.9)
    assert ready.says("\x05") == "1"
    ready.clock.sleep(0.2)
    assert ready.says("\x05") == "0"


def test_a_host_that_went_leaves_no_answer_for_the_next(host: Host) -> None:
    host.link.write(b"POS?\nPO")
    host.link.close()
    host.link = MemoryLink("stage", host.server, host.clock)
    assert host.link.read(0.1) == b""
    assert host.says("ERR?") == "0"


def an_axis(kind: str = "linear") -> Axis:
    data = constants("stage")
    return Axis(data[kind] | {"travel": [-6e-3, 6e-3]}, np.random.default_rng(3))


@settings(max_examples=60, deadline=None)
@given(st.floats(-5e-3, 5e-3), st.lists(st.floats(0.0, 4.0), min_size=2, max_size=8))
def test_a_trajectory_never_turns_and_never_exceeds_its_velocity(target: float, times: list[float]) -> None:
    axis = an_axis()
    axis.switch(True, 0.0)
    start = axis.true(0.0)
    axis.go(target - axis._offset, 0.0)
    ways = [(time, abs(axis.true(time) - start)) for time in sorted(times)]
    for (before, way), (after, further) in pairwise(ways):
        assert way - 1e-15 <= further <= way + axis.velocity * (after - before) + 1e-12
    assert abs(axis.true(1e3) - target) < 1e-15


def test_the_same_seed_makes_the_same_stage_and_another_one_another() -> None:
    poses = [Stage(np.random.default_rng([seed, 10])).pose(0.0) for seed in (1, 1, 2)]
    assert poses[0] == poses[1] != poses[2]


def test_a_stage_stands_in_the_morning_where_it_was_left_at_night(ready: Host) -> None:
    ready.says("MOV 1 1.0 5 10")
    ready.clock.sleep(5.0)
    ready.world.catch_up()
    kept = ready.world.stage.state()
    other = Stage(np.random.default_rng([9, 10]))
    other.recall(kept)
    assert other.pose(ready.clock.now()) == ready.world.stage.pose(ready.clock.now())
    assert other.axes["x"].referenced


def test_the_world_has_a_stage_and_saves_it(tmp_path: Path) -> None:
    world = make_world()
    axis = world.stage.axes["x"]
    axis.switch(True, 0.0)
    axis.find_reference(0.0)
    world.clock.sleep(60.0)
    world.catch_up()
    assert axis.referenced
    world.save(tmp_path / "world.npz")
    again = make_world()
    again.load(tmp_path / "world.npz")
    assert again.stage.axes["x"].referenced
    assert isinstance(again.stage.pose(60.0), Pose)
    assert again.stage.pose(60.0) == world.stage.pose(60.0)
