"""The column driver in front of the simulated microscope: nothing is open without leave, and nothing is only hoped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from scipy.constants import e

from drivers.clock import VirtualClock
from drivers.column import ColumnSettings, GoniometerPose
from drivers.column_settings import ColumnLimits
from drivers.errors import (
    Aborted,
    DeviceError,
    InterlockError,
    LimitError,
    LinkTimeout,
    Refused,
    TicketError,
    WireError,
)
from drivers.ticket import Frame
from drivers.wire import temscript as wire
from drivers.wire.http import Request, Response
from simulators.boxes.http import Later
from tests.drivers.scan_bench import CURRENT, a_world
from tests.simulators.column_bench import IMAGE, SETTINGS, ColumnBench, a_driver, column_bench

HERE = GoniometerPose(0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.fixture
def bench() -> ColumnBench:
    return column_bench()


def forbid(command: str) -> None:
    raise InterlockError(f"{command} is forbidden")


# --- opening


def test_opening_blanks_the_beam_before_anything_else_is_set() -> None:
    bench = column_bench(opened=False)
    bench.world.column.blanked = False
    bench.column.open()
    assert bench.box.orders() == [("beam_blanked", b"true")]
    assert bench.column.blanked()


def test_another_high_tension_than_the_rig_s_is_no_column_to_work_with() -> None:
    bench = column_bench(opened=False)
    bench.answer("voltage", wire.VOLTAGE.answer(300e3))
    with pytest.raises(DeviceError, match=r"column: open works at 300 keV, the rig's optics say 200 keV"):
        bench.column.open()
    assert bench.box.orders() == [("beam_blanked", b"true")]
    bench.answer("voltage", wire.VOLTAGE.answer(0.0))
    with pytest.raises(DeviceError, match="works at 0 keV"):
        bench.column.release()
    assert bench.column.blanked()


@pytest.mark.parametrize("version", ["1.0.10", "two", ""])
def test_a_server_that_is_too_old_is_told_nothing(version: str) -> None:
    bench = column_bench(opened=False)
    bench.answer("version", wire.VERSION.answer(version))
    with pytest.raises(DeviceError, match="found temscript"):
        bench.column.open()
    assert bench.box.orders() == []


def test_status_is_read_and_nothing_is_set(bench: ColumnBench) -> None:
    before = bench.box.orders()
    found = bench.column.status()
    assert found["beam_energy"] == 200e3
    assert found["blanked"] is True
    assert (found["mode"], found["goniometer"], found["x"], found["a"]) == ("STEM", "READY", 0.0, 0.0)
    assert found["convergence"] == 25e-3
    assert bench.box.orders() == before
    bench.answer("convergence_angle", wire.refusal(500, "not on a Tecnai"))
    assert "not on a Tecnai" in str(bench.column.status()["convergence"])


# --- blanking and releasing


def test_releasing_opens_only_the_blanker_and_sees_it_open(bench: ColumnBench) -> None:
    before = len(bench.box.orders())
    bench.column.release()
    assert bench.box.orders()[before:] == [("beam_blanked", b"false")]
    assert not bench.column.blanked()
    bench.column.blank()
    assert bench.column.blanked()


def test_an_interlock_keeps_the_column_blanked(bench: ColumnBench) -> None:
    column = a_driver(bench.link, guard=forbid)
    asked = len(bench.box.asked)
    for action in (column.release, column.close_valves, lambda: column.move_to(HERE)):
        with pytest.raises(InterlockError):
            action()
    assert len(bench.box.asked) == asked
    column.blank()  # always allowed


@pytest.mark.parametrize(
    ("name", "answer", "why"),
    [
        ("instrument_mode", wire.MODE.answer("TEM"), "is in TEM mode. Switch the microscope to STEM"),
        ("vacuum", wire.VACUUM.answer(wire.Vacuum("BUSY", True, False)), "vacuum that is BUSY"),
        (
            "vacuum",
            wire.VACUUM.answer(wire.Vacuum("READY", False, False)),
            "column valves closed. Open them at the mic",
        ),
    ],
)
def test_a_column_that_is_not_as_the_rig_needs_it_is_not_opened(
    bench: ColumnBench, name: str, answer: Response, why: str
) -> None:
    bench.answer(name, answer)
    before = bench.box.orders()
    with pytest.raises(DeviceError, match=why):
        bench.column.release()
    with pytest.raises(DeviceError, match=why):
        bench.column.acquire(IMAGE, bench.office.ticket(IMAGE))
    assert bench.box.orders() == before  # the valves among what was not touched
    assert bench.office.spent == []


def test_a_release_that_reads_blanked_is_taken_back(bench: ColumnBench) -> None:
    bench.answer("beam_blanked", wire.BEAM_BLANKED.answer(True))
    with pytest.raises(DeviceError, match="reads blanked after it was released"):
        bench.column.release()
    assert bench.world.column.blanked


def test_a_release_without_an_answer_is_given_once_and_taken_back(bench: ColumnBench) -> None:
    def instead(request: Request) -> Response | Later | None:
        if (request.method, request.body) == ("PUT", b"false"):
            bench.world.column.blanked = False
            return Later(1e9, lambda: Response(204))
        return None

    bench.box.instead = instead
    with pytest.raises(LinkTimeout, match="column: release"):
        bench.column.release()
    assert [body for name, body in bench.box.orders() if name == "beam_blanked"][1:] == [b"false", b"true"]
    assert bench.world.column.blanked


def test_a_blanker_that_fails_closes_the_valves(bench: ColumnBench) -> None:
    bench.column.release()
    bench.answer("beam_blanked", wire.refusal(500, "E_NOT_OK"), method="PUT")
    with pytest.raises(DeviceError, match=r"E_NOT_OK.*The column valves were told to close"):
        bench.column.make_safe()
    assert not bench.world.column.valves_open


def test_a_blanker_that_reads_open_closes_the_valves(bench: ColumnBench) -> None:
    bench.answer("beam_blanked", wire.BEAM_BLANKED.answer(False))
    with pytest.raises(DeviceError, match="reads open after it was blanked"):
        bench.column.blank()
    assert not bench.world.column.valves_open


def test_a_blanker_that_answers_nothing_that_can_be_believed_closes_the_valves(bench: ColumnBench) -> None:
    bench.answer("beam_blanked", Response(200, b'"perhaps"', "application/json"))
    with pytest.raises(WireError, match="valves were told to close"):
        bench.column.make_safe()
    assert not bench.world.column.valves_open


@pytest.mark.parametrize("state", wire.UNDER_WAY)
def test_no_beam_is_opened_while_the_goniometer_is_under_way(bench: ColumnBench, state: str) -> None:
    bench.answer("stage_status", wire.STAGE_STATUS.answer(state))
    with pytest.raises(DeviceError, match=f"release has a goniometer that is {state}"):
        bench.column.release()
    ticket = bench.office.ticket(IMAGE)
    with pytest.raises(DeviceError, match=f"acquire has a goniometer that is {state}"):
        bench.column.acquire(IMAGE, ticket)
    assert bench.world.column.blanked
    ticket.spend(IMAGE)  # it was not spent


def test_the_beam_is_blanked_even_while_an_abort_is_due(bench: ColumnBench) -> None:
    bench.column.release()
    bench.link.abort.set()
    with pytest.raises(Aborted):
        bench.column.blank()
    bench.column.make_safe()
    assert bench.world.column.blanked


def test_valves_are_closed_and_seen_closed_and_never_opened(bench: ColumnBench) -> None:
    bench.column.close_valves()
    assert not bench.world.column.valves_open
    with pytest.raises(DeviceError, match="has its column valves closed"):
        bench.column.release()
    bench.column.make_safe()
    assert {body for name, body in bench.box.orders() if name == "column_valves_open"} == {b"false"}


def test_valves_that_stay_open_are_an_error_in_time(bench: ColumnBench) -> None:
    bench.answer("column_valves_open", wire.VALVES.answer(True))
    with pytest.raises(DeviceError, match="reads open 10 s after"):
        bench.column.close_valves()
    assert bench.clock.now() < 15.0


# --- images


def test_an_image_is_taken_on_its_ticket_and_the_beam_is_off_before_and_after(bench: ColumnBench) -> None:
    opened: list[bool] = []
    bench.office.on_spend = lambda: opened.append(bench.world.column.blanked)
    taken = bench.column.acquire(IMAGE, bench.office.ticket(IMAGE))
    assert opened == [True]
    assert taken.values.shape == (128, 128)
    assert taken.values.mean() > 420.0  # brighter than the dark level of 400
    assert taken.work == IMAGE
    assert taken.open_for == pytest.approx(IMAGE.seconds * 1.2, rel=1e-3)
    assert bench.electrons() == pytest.approx(taken.open_for * CURRENT / e, rel=1e-3)
    bench.clock.sleep(100.0)
    assert bench.electrons() == pytest.approx(taken.open_for * CURRENT / e, rel=1e-3)
    assert bench.box.orders()[1:] == [
        ("stem_magnification", b"320000.0"),
        ("stem_rotation", b"0.0"),
        ("stem_acquisition_param", b'{"image_size":"FULL","binning":8,"dwell_time(s)":1.6e-05}'),
        ("beam_blanked", b"false"),
        ("beam_blanked", b"true"),
    ]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"dwell": 2e-3}, "dwell"),
        ({"dwell": 1e-3, "pixels": (256, 256)}, "frame_time"),
        ({"size": (200e-6, 200e-6)}, "field"),
        ({"size": (312.5e-9, 300e-9)}, "no image of the microscope's own scan"),
        ({"pixels": (100, 100)}, "1024 pixels over a binning"),
        ({"pixels": (128, 64)}, "no image"),
        ({"centre": (1e-9, 0.0)}, "no image"),
    ],
)
def test_a_frame_it_cannot_take_is_refused_before_any_byte(
    bench: ColumnBench, change: dict[str, Any], what: str
) -> None:
    frame = replace(IMAGE, **change)
    asked = len(bench.box.asked)
    with pytest.raises(LimitError, match=what):
        bench.column.acquire(frame, bench.office.ticket(frame))
    assert len(bench.box.asked) == asked


def test_a_field_without_a_magnification_is_refused_with_the_nearest_there_is(bench: ColumnBench) -> None:
    frame = replace(IMAGE, size=(300e-9, 300e-9))
    with pytest.raises(DeviceError, match=r"no magnification for a field of 300 nm.*take a field of 312.5 nm"):
        bench.column.acquire(frame, bench.office.ticket(frame))
    assert bench.office.spent == []
    assert bench.electrons() == 0.0


@pytest.mark.parametrize(
    ("name", "answer", "why"),
    [
        ("stem_detectors", wire.STEM_DETECTORS.answer(()), "no STEM detector at all"),
        ("stem_detectors", wire.STEM_DETECTORS.answer((wire.StemDetector("BF", (1, 8)),)), "has no HAADF"),
        ("stem_rotation", wire.STEM_ROTATION.answer(0.1), "took a STEM rotation of 0.1"),
        (
            "stem_acquisition_param",
            wire.STEM_SETTING.answer(wire.StemSetting("FULL", 8, 2e-5)),
            "took a dwell of 2e-05 instead of 1.6e-05",
        ),
        (
            "stem_acquisition_param",
            wire.STEM_SETTING.answer(wire.StemSetting("HALF", 8, 1.6e-5)),
            "took HALF and binning 8",
        ),
    ],
)
def test_what_is_not_taken_over_is_refused_before_the_ticket_is_spent(
    bench: ColumnBench, name: str, answer: Response, why: str
) -> None:
    bench.answer(name, answer)
    with pytest.raises(DeviceError, match=why):
        bench.column.acquire(IMAGE, bench.office.ticket(IMAGE))
    assert bench.office.spent == []
    assert bench.world.column.blanked


def test_no_image_without_a_ticket_for_it_nor_while_the_scan_box_has_the_beam(bench: ColumnBench) -> None:
    ticket = bench.office.ticket(replace(IMAGE, dwell=8e-6))
    with pytest.raises(TicketError):
        bench.column.acquire(IMAGE, ticket)
    bench.column.release()
    with pytest.raises(Refused, match="released to the scan box"):
        bench.column.acquire(IMAGE, bench.office.ticket(IMAGE))
    bench.column.blank()
    with pytest.raises(InterlockError):
        a_driver(bench.link, guard=forbid).acquire(IMAGE, bench.office.ticket(IMAGE))
    assert bench.office.spent == []
    assert bench.electrons() == 0.0


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (wire.refusal(500, "TIA is not running"), DeviceError),
        (Response(200, b'{"HAADF": {}}', "application/json"), WireError),
        (Response(204), WireError),
        (Later(1e9, lambda: Response(204)), LinkTimeout),
    ],
)
def test_an_image_that_fails_leaves_the_beam_blanked(
    bench: ColumnBench, answer: Response | Later, error: type[Exception]
) -> None:
    bench.answer("acquire", answer)
    with pytest.raises(error, match="column: acquire"):
        bench.column.acquire(IMAGE, bench.office.ticket(IMAGE))
    assert bench.world.column.blanked
    assert len(bench.office.spent) == 1
    assert [r.path for r in bench.box.asked].count("/v1/acquire") == 1


class Bell(VirtualClock):
    """A clock that rings after 3 s."""

    ring: Callable[[], None] = staticmethod(lambda: None)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.now() > 3.0:
            self.ring()


def test_an_abort_in_an_image_blanks_as_soon_as_the_microscope_hears_again() -> None:
    bell = Bell()
    bench = column_bench(world=a_world(bell))
    bell.ring = bench.link.abort.set
    long = Frame(IMAGE.centre, IMAGE.size, (256, 256), 250e-6)  # 16 s
    clock = bench.clock
    with pytest.raises(Aborted):
        bench.column.acquire(long, bench.office.ticket(long))
    assert bench.world.column.blanked
    assert clock.now() == pytest.approx(long.seconds * 1.2, rel=0.01)
    assert bench.electrons() == pytest.approx(clock.now() * CURRENT / e, rel=0.01)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match="lower limit of x"):
        ColumnLimits(x=(1.0, -1.0), y=(0, 1), z=(0, 1), a=(0, 1))
    with pytest.raises(ValidationError, match="positive"):
        ColumnLimits(x=(0, 1), y=(0, 1), z=(0, 1), a=(0, 1), dwell=(0.0, 1.0))
    with pytest.raises(ValidationError, match="detector"):
        ColumnSettings(field_times_magnification=0.1, detector="HAADF/..", limits=SETTINGS.limits)
