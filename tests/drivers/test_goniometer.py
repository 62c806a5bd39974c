"""Moves of the column's goniometer: within all limits, seen to arrive, and never ordered twice."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from drivers.column import GoniometerPose
from drivers.errors import Aborted, DeviceError, LimitError
from drivers.wire import temscript as wire
from drivers.wire.http import Request, Response
from simulators.boxes.http import Later
from tests.simulators.column_bench import DEG, UM, ColumnBench, a_driver, column_bench

HERE = GoniometerPose(0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.fixture
def bench() -> ColumnBench:
    return column_bench()


def test_a_move_ends_where_it_was_to_end(bench: ColumnBench) -> None:
    there = GoniometerPose(30 * UM, -20 * UM, 10 * UM, 5 * DEG, 0.0)
    bench.column.move_to(there)
    assert bench.column.pose().axes() == pytest.approx(there.axes())
    assert bench.column.status()["goniometer"] == "READY"


@pytest.mark.parametrize(
    ("pose", "way", "body"),
    [
        (replace(HERE, x=1 * UM), "GO", b'{"x":1e-06}'),
        (replace(HERE, x=1 * UM, y=2 * UM), "GO", b'{"x":1e-06,"y":2e-06}'),
        (replace(HERE, z=1 * UM), "MOVE", b'{"z":1e-06}'),
        (replace(HERE, x=1 * UM, a=0.1), "MOVE", b'{"x":1e-06,"a":0.1}'),
    ],
)
def test_only_the_axes_that_are_elsewhere_move_and_tilts_go_the_safe_way(
    bench: ColumnBench, pose: GoniometerPose, way: str, body: bytes
) -> None:
    bench.column.move_to(pose)
    (order,) = [r for r in bench.box.asked if r.path == "/v1/stage_position" and r.method == "PUT"]
    assert dict(order.query) == {"method": way}  # and no speed, which fails for several axes at once on some
    assert order.body == body


def test_a_goniometer_that_is_there_already_gets_no_order(bench: ColumnBench) -> None:
    bench.column.move_to(replace(HERE, x=50e-9))
    assert [name for name, _ in bench.box.orders() if name == "stage_position"] == []


@pytest.mark.parametrize(
    ("pose", "what"),
    [
        (replace(HERE, x=501 * UM), "x 501 um is beyond the rig's limit 500 um"),
        (replace(HERE, a=-61 * DEG), "a -61 deg"),
        (replace(HERE, b=1e-3), "b 0.057296 deg"),
        (replace(HERE, z=math.nan), "z nan"),
    ],
)
def test_a_place_outside_the_rig_s_limits_is_refused_before_any_byte(
    bench: ColumnBench, pose: GoniometerPose, what: str
) -> None:
    asked = len(bench.box.asked)
    with pytest.raises(LimitError, match=what):
        bench.column.move_to(pose)
    assert len(bench.box.asked) == asked


def test_a_place_outside_the_microscope_s_limits_is_refused_before_it_moves(bench: ColumnBench) -> None:
    narrow = wire.StageLimits((-1e-5, 1e-5), (-1e-5, 1e-5), (-1e-5, 1e-5), (-0.5, 0.5), (0.0, 0.0))
    bench.answer("stage_limits", wire.STAGE_LIMITS.answer(narrow))
    with pytest.raises(LimitError, match=r"x 30 um is beyond .* 10 um \(the goniometer's own\)"):
        bench.column.move_to(replace(HERE, x=30 * UM))
    assert [name for name, _ in bench.box.orders() if name == "stage_position"] == []


def test_a_goniometer_that_is_under_way_gets_no_second_order(bench: ColumnBench) -> None:
    bench.world.goniometer.go({"x": 100 * UM}, "GO", bench.clock.now())
    with pytest.raises(DeviceError, match="stands GOING, not READY"):
        bench.column.move_to(replace(HERE, y=1 * UM))


def test_ready_on_the_way_is_not_arrived(bench: ColumnBench) -> None:
    """Axes that start one after another leave a moment in which nothing moves."""
    ready_first = iter([True, True, True, False])

    def instead(request: Request) -> Response | None:
        if request.path == "/v1/stage_status" and next(ready_first, False):
            return wire.STAGE_STATUS.answer("READY")
        return None

    bench.box.instead = instead
    bench.column.move_to(replace(HERE, x=60 * UM))
    assert bench.column.pose().x == pytest.approx(60 * UM)
    assert bench.clock.now() >= 3.0


def test_a_goniometer_that_stops_short_is_an_error_in_time(bench: ColumnBench) -> None:
    bench.answer("stage_position", Response(204), method="PUT")
    with pytest.raises(DeviceError, match=r"stands READY, but has not reached x 1e-05"):
        bench.column.move_to(replace(HERE, x=10 * UM))
    assert bench.clock.now() < 5.0


@pytest.mark.parametrize(("state", "why"), [("DISABLED", "was disabled on its way"), ("WOBBLING", "after 120 s")])
def test_a_goniometer_that_does_not_arrive_is_an_error_in_time(bench: ColumnBench, state: str, why: str) -> None:
    states = iter(["READY"])

    def instead(request: Request) -> Response | None:
        return wire.STAGE_STATUS.answer(next(states, state)) if request.path == "/v1/stage_status" else None

    bench.box.instead = instead
    with pytest.raises(DeviceError, match=why):
        bench.column.move_to(replace(HERE, x=10 * UM))
    assert bench.clock.now() < 125.0


def test_a_server_that_answers_only_on_arrival_is_waited_for(bench: ColumnBench) -> None:
    def instead(request: Request) -> Later | None:
        if request.method == "PUT" and request.path == "/v1/stage_position":
            bench.server.answer(request)
            return Later(bench.clock.now() + 25.0, lambda: Response(204))
        return None

    bench.box.instead = instead
    bench.column.move_to(replace(HERE, x=400 * UM))
    assert bench.column.pose().x == pytest.approx(400 * UM)
    assert bench.clock.now() == pytest.approx(25.0, abs=0.1)


def test_an_aborted_move_arrives_by_itself_and_the_beam_can_be_blanked_meanwhile(bench: ColumnBench) -> None:
    def wait(seconds: float) -> None:
        bench.link.abort.set()
        bench.clock.sleep(seconds)

    column = a_driver(bench.link, wait=wait)
    with pytest.raises(Aborted):
        column.move_to(replace(HERE, x=100 * UM))
    assert bench.world.goniometer.moving(bench.clock.now())
    column.make_safe()
    assert bench.world.column.blanked
