"""The stage driver against transcripts of GCS 2.0."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import pytest
from pydantic import ValidationError

from drivers.clock import VirtualClock
from drivers.errors import DeviceError, LimitError, LinkTimeout, Refused, WireError
from drivers.links import MemoryLink
from drivers.pose import AXES, Pose
from drivers.stage import Stage
from drivers.stage_settings import StageSettings, ranges
from tests.drivers.golden import Line, golden
from tests.drivers.scripted import Scripted
from tests.drivers.stage_bench import ORIGIN, SETTINGS, a_driver, apart

OPEN, READY, MOVE = golden("gcs2", "open"), golden("gcs2", "ready"), golden("gcs2", "move")
POSITION = golden("gcs2", "position")
MOVING, HELD = golden("gcs2", "moving"), golden("gcs2", "held")
TARGET = Pose(1e-4, -2e-4, 0.5e-4, math.radians(18.0), math.radians(-2.0))
STOP = golden("gcs2", "stop")
WHO: list[Line] = [(">", b"*IDN?\nERR?\n"), OPEN[3], ("<", b"10\n")]


def talk(*lines: Line) -> tuple[Stage, Scripted]:
    clock = VirtualClock()
    box = Scripted(clock, lines)
    return a_driver(MemoryLink("stage", box, clock)), box


def opened(*lines: Line) -> tuple[Stage, Scripted]:
    """A driver that has opened a controller whose axes are all referenced."""
    stage, box = talk(*OPEN, *lines)
    stage.open()
    return stage, box


def changed(lines: list[Line], at: int, old: bytes, new: bytes) -> list[Line]:
    """A transcript that ends with the line `at`, some bytes of it replaced."""
    assert old in lines[at][1]
    return [*lines[:at], (lines[at][0], lines[at][1].replace(old, new))]


def test_opening_sees_who_is_there_and_what_it_can_do() -> None:
    stage, box = talk(*OPEN)
    stage.open()
    box.finish()


@pytest.mark.parametrize(
    ("at", "old", "new", "said"),
    [
        (1, b"\xb1", b"\xb0", "busy"),
        (6, b"2 \\n".replace(b"\\n", b"\n"), b"B \n", "the controller has the axes 1, B, 3, 4, 5, 6, not 2"),
        (11, b"1=MM", b"1=um", 'counts x in "um", the rig file in "mm"'),
        (11, b"4=deg", b"4=mm", 'counts rotation in "mm", the rig file in "deg"'),
    ],
)
def test_opening_refuses_a_controller_that_is_not_as_the_rig_file_says(
    at: int, old: bytes, new: bytes, said: str
) -> None:
    stage, box = talk(*changed(OPEN, at, old, new))
    with pytest.raises(DeviceError, match=said):
        stage.open()
    box.finish()


def test_opening_refuses_what_is_no_pi_controller() -> None:
    lines = [(mark, data.replace(b"Physik Instrumente (PI)", b"ACME")) for mark, data in OPEN[:7]]
    with pytest.raises(DeviceError, match="not a PI controller"):
        talk(*lines)[0].open()
    lines = [(mark, data.replace(b"2.0\n", b"1.0\n")) for mark, data in OPEN[:7]]
    with pytest.raises(DeviceError, match=r"with syntax 1, not a PI controller with GCS 2\.0"):
        talk(*lines)[0].open()


def test_limits_of_the_rig_wider_than_those_of_the_controller_are_refused() -> None:
    lines = [(mark, data.replace(b"5=70.0000", b"5=59.9999")) for mark, data in OPEN[:18]]
    stage, box = talk(*lines)
    with pytest.raises(DeviceError, match=r"lets tilt go from -60 to 60 deg, the controller from -70 to 59\.9999 deg"):
        stage.open()
    box.finish()


def test_limits_that_read_in_two_ways_are_none() -> None:
    with pytest.raises(WireError, match=r"TMN\? was answered in two ways"):
        talk(*changed(OPEN, 14, b"3=-4.0000", b"3=-4.0001"))[0].open()


def test_a_controller_that_does_not_tell_its_units_must_be_declared() -> None:
    silent: list[Line] = [*OPEN[:11], (">", b"*IDN?\nERR?\n"), OPEN[3], ("<", b"2\n"), OPEN[10]]
    stage, box = talk(*silent)
    with pytest.raises(LinkTimeout, match="write `tells_units: false` into the rig file"):
        stage.open()
    box.finish()


def test_a_position_is_read_twice() -> None:
    stage, box = opened(*POSITION)
    assert apart(stage.position(), Pose(1e-5, -5e-5, 2e-5, math.radians(9.0), math.radians(-0.001))) < (1e-12, 1e-12)
    box.finish()


def test_two_readings_that_differ_are_asked_for_again_and_then_refused() -> None:
    again: list[Line] = [
        (">", b"POS? 1 3 5 2 4\nPOS? 1 3 5 4 2\n"),
        ("<", b"1=0.0100 \n3=0.0200 \n5=-0.0010 \n2=-0.0500 \n4=9.0000\n"),
        ("<", b"1=0.0100 \n3=0.0200 \n5=-0.0010 \n4=9.0000 \n2=-0.0500\n"),
    ]
    apart_by_one_digit = changed(POSITION, 2, b"1=0.0100", b"1=4.0100")
    stage, box = opened(*apart_by_one_digit, *again)
    assert stage.position().x == pytest.approx(1e-5)
    box.finish()
    stage, box = opened(*apart_by_one_digit, *changed(again, 2, b"1=0.0100", b"1=4.0100"))
    with pytest.raises(WireError, match=r"position x read 1e-05 and then 0\.00401; believed are two"):
        stage.position()


def test_an_answer_that_comes_again_is_not_the_next_answer() -> None:
    again: list[Line] = [("~", b"0.2"), *POSITION[1:]]
    later: list[Line] = [
        (">", b"POS? 1 3 5 2 4\nPOS? 1 3 5 4 2\n"),
        ("~", b"0.3"),
        ("<", b"1=0.5000 \n3=0.0200 \n5=-0.0010 \n2=-0.0500 \n4=9.0000\n"),
        ("<", b"1=0.5000 \n3=0.0200 \n5=-0.0010 \n4=9.0000 \n2=-0.0500\n"),
    ]
    stage, box = opened(*POSITION, *again, *later, *WHO, later[0], *later[2:])
    assert stage.position().x == pytest.approx(1e-5)
    assert stage.position().x == pytest.approx(5e-4)
    box.finish()


def test_a_move_is_said_once_read_back_and_waited_for() -> None:
    stage, box = opened(*READY, *MOVE, *MOVING, *HELD)
    stage.move_to(TARGET)
    box.finish()


@pytest.mark.parametrize(
    ("at", "old", "new", "said"),
    [
        (1, b"0", b"1024", r"did not begin \(error 1024: position error too large\), since it was last asked"),
        (1, b"0", b"99", r"error 99: see the controller manual"),
        (2, b"5=1", b"5=0", "found the servo of tilt off. Reference the stage again"),
        (3, b"4=1", b"4=0", "axes are no longer referenced"),
        (6, b"4=10.0000", b"4=0.0000", "an axis has the velocity 0"),
    ],
)
def test_a_move_does_not_begin_after_something_happened_unasked(at: int, old: bytes, new: bytes, said: str) -> None:
    rest = READY[at + 1 : 4] if at < 3 else []
    stage, box = opened(*changed(READY, at, old, new), *rest)
    with pytest.raises(DeviceError, match=said):
        stage.move_to(TARGET)
    box.finish()  # no MOV, and no stop


@pytest.mark.parametrize(
    ("at", "old", "new", "said"),
    [
        (1, b"0", b"7", r"refused \(error 7: position out of limits\)\. Does the controller allow it by hand\?"),
        (1, b"0", b"5", "not referenced or servo off"),
        (2, b"1=0.1000", b"1=0.2000", r"the target of x reads back as 0\.2, sent was 0\.1"),
    ],
)
def test_a_refused_move_stops_the_stage(at: int, old: bytes, new: bytes, said: str) -> None:
    stage, box = opened(*READY, *changed(MOVE, at, old, new), *MOVE[at + 1 :], *STOP)
    with pytest.raises(DeviceError, match=said):
        stage.move_to(TARGET)
    box.finish()


def test_a_move_whose_verdict_is_lost_is_never_sent_again() -> None:
    stage, box = opened(*READY, *MOVE[:1], STOP[0], *WHO, *STOP[1:])
    with pytest.raises(LinkTimeout):
        stage.move_to(TARGET)
    box.finish()
    assert [data[:3] for _, data in box.requests].count(b"MOV") == 1


def test_an_axis_still_moving_long_after_a_stop_is_an_error() -> None:
    still: list[Line] = []
    orders = permutations("12345")
    for _ in range(100):
        order = next(orders)
        still += [
            (">", f"\x05SVO? {' '.join(order)}\n".encode()),
            ("<", b"4\n"),
            ("<", " \n".join(f"{axis}=1" for axis in order).encode() + b"\n"),
        ]
    stage, _ = talk((">", b"\x18"), *still)
    with pytest.raises(DeviceError, match=r"stop was said, and axes still move after 2 s\. Stop them by hand"):
        stage.stop()


@pytest.mark.parametrize("pose", [replace(ORIGIN, x=5.1e-3), replace(ORIGIN, tilt=1.1), replace(ORIGIN, z=math.nan)])
def test_beyond_the_limits_not_a_byte_is_sent(pose: Pose) -> None:
    stage, box = opened()
    before = len(box.requests)
    with pytest.raises(LimitError):
        stage.move_to(pose)
    assert len(box.requests) == before


def test_an_unreferenced_axis_is_not_moved_and_not_a_byte_is_sent() -> None:
    lines = [(mark, data.replace(b"4=1", b"4=0") if number > 17 else data) for number, (mark, data) in enumerate(OPEN)]
    stage, box = talk(*lines)
    stage.open()
    before = len(box.requests)
    with pytest.raises(Refused, match="move_to refused: rotation not referenced, so nobody knows where that would be"):
        stage.move_to(TARGET)
    with pytest.raises(DeviceError, match="not known before every axis is referenced"):
        stage.position()
    assert len(box.requests) == before


def test_settings_need_every_axis_once() -> None:
    given_ = SETTINGS.model_dump()
    for wrong, said in (
        ({"reference_order": ("x", "y", "z", "tilt", "tilt")}, "referenced once"),
        ({"axes": given_["axes"] | {"y": {"name": "1"}}}, 'two axes cannot both be "1"'),
        ({"axes": given_["axes"] | {"y": {"name": "no space"}}}, "name"),
        ({"limits": given_["limits"] | {"tilt": ("60 deg", "-60 deg")}}, "lower one comes first"),
    ):
        with pytest.raises(ValidationError, match=said):
            StageSettings.model_validate(given_ | wrong)


def test_limits_are_shown_in_the_units_people_use() -> None:
    limits = ranges(SETTINGS)
    assert {axis: limits[axis].unit for axis in AXES} == {
        "x": "mm",
        "y": "mm",
        "z": "mm",
        "rotation": "deg",
        "tilt": "deg",
    }
