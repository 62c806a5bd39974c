"""The two beams: nothing is believed to be set that does not read back, and nothing is exposed without its ticket."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drivers.beams import Beams, ranges
from drivers.errors import DeviceError, InterlockError, LimitError, LinkTimeout, Refused, TicketError, WireError
from drivers.ticket import Frame
from drivers.wire import fibsem as wire
from drivers.wire.fibsem import Setting
from drivers.wire.fibsem_image import Metadata, decode_tiff, encode_tiff
from drivers.wire.fibsem_model import Column, Point, Told
from drivers.wire.http import Request, Response
from simulators.boxes.http import Later
from tests.drivers.fibsem_bench import BEAMS, BOX, CUT, FRAME, FibsemBench

ACQUIRE = wire.ACQUIRE.path


@pytest.fixture
def bench() -> FibsemBench:
    return FibsemBench().ready()


def reads(setting: Setting[Any], value: Any) -> Callable[[Request], Response]:
    return lambda _: wire.response(setting.get, Told(value))


def later_changed(bench: FibsemBench, change: Callable[[np.ndarray[Any, Any], Metadata], bytes]) -> None:
    """Have the box bring another file than it took."""

    def acquire(request: Request) -> Later:
        answer = bench.box._box.answer(request)
        assert isinstance(answer, Later)

        def make() -> Response:
            good = answer.make()
            assert isinstance(good, Response)
            pixels, metadata = decode_tiff(good.body)
            assert metadata is not None
            return replace(good, body=change(pixels, metadata))

        return Later(answer.at, make)

    bench.box.instead[ACQUIRE] = acquire


def exposed(bench: FibsemBench) -> bool:
    return bench.box.paths.count(ACQUIRE) > 0


# --- settings


def test_voltage_and_current_are_set_in_that_order_and_read_back(bench: FibsemBench) -> None:
    bench.beams.set_beam("ion", 5e3, 41e-12)
    assert bench.beams.column("ion") == (5e3, 41e-12)
    paths = bench.box.paths
    assert paths.index("/beam_voltage/set") < paths.index("/beam_current/set") < paths.index("/beam_voltage/get")
    assert bench.guarded == ["beams.set_beam"]


def test_a_current_the_column_does_not_have_is_refused_by_read_back(bench: FibsemBench) -> None:
    with pytest.raises(DeviceError, match="current of the ion beam reads back as 41 pA, set was 50 pA"):
        bench.beams.set_beam("ion", 30e3, 50e-12)  # the nearest aperture is taken without a word


def test_a_voltage_that_does_not_take_is_refused_by_read_back(bench: FibsemBench) -> None:
    bench.chamber.columns["electron"].stuck = True
    with pytest.raises(DeviceError, match="voltage of the electron beam reads back as 2 kV, set was 5 kV"):
        bench.beams.set_beam("electron", 5e3, 50e-12)


@pytest.mark.parametrize(
    ("voltage", "current"), [(40e3, 20e-12), (30e3, 5e-9), (30e3, 0.0), (0.0, 20e-12), (float("nan"), 20e-12)]
)
def test_beyond_the_rig_s_limits_nothing_is_sent(bench: FibsemBench, voltage: float, current: float) -> None:
    with pytest.raises(LimitError, match="beams: set_beam refused: ion_"):
        bench.beams.set_beam("ion", voltage, current)
    assert bench.box.asked == []


def test_optics_are_set_and_read_back(bench: FibsemBench) -> None:
    bench.beams.set_optics(
        "electron", working_distance=6.9e-3, shift=(1e-6, -2e-6), stigmation=(0.1, 0.0), scan_rotation=0.3
    )
    column = bench.chamber.columns["electron"]
    assert (column.working_distance, column.shift, column.scan_rotation) == (6.9e-3, (1e-6, -2e-6), 0.3)


@pytest.mark.parametrize(
    ("setting", "value", "given", "what"),
    [
        (wire.WORKING_DISTANCE, 4e-3, {"working_distance": 6e-3}, "working distance"),
        (wire.SHIFT, Point(0.0, 0.0), {"shift": (0.0, 1e-6)}, "shift along y"),
        (wire.STIGMATION, Point(0.5, 0.0), {"stigmation": (0.0, 0.0)}, "stigmation along x"),
        (wire.SCAN_ROTATION, 0.0, {"scan_rotation": 0.1}, "scan rotation"),
    ],
)
def test_optics_that_do_not_take_are_refused(
    bench: FibsemBench, setting: Setting[Any], value: Any, given: dict[str, Any], what: str
) -> None:
    bench.box.instead[setting.get.path] = reads(setting, value)
    with pytest.raises(DeviceError, match=f"set_optics the {what} reads back as"):
        bench.beams.set_optics("ion", **given)


@pytest.mark.parametrize(
    "given", [{"working_distance": 0.1}, {"shift": (0.0, 1e-3)}, {"stigmation": (2.0, 0.0)}, {"scan_rotation": 180.0}]
)
def test_optics_beyond_their_limits_are_not_sent(bench: FibsemBench, given: dict[str, Any]) -> None:
    with pytest.raises(LimitError, match="beams: set_optics refused"):
        bench.beams.set_optics("ion", **given)
    assert bench.box.asked == []


def test_a_detector_is_chosen_and_read_back(bench: FibsemBench) -> None:
    bench.beams.set_detector("electron", kind="TLD", mode="BackscatteredElectrons", contrast=0.4, brightness=0.6)
    with pytest.raises(DeviceError, match="the detector reads back as TLD, set was SpyCam"):
        bench.beams.set_detector("electron", kind="SpyCam")
    with pytest.raises(LimitError, match="from 0 to 1"):
        bench.beams.set_detector("electron", contrast=1.5)


# --- frames


def test_a_frame_is_exposed_on_its_ticket_and_comes_with_what_it_is(bench: FibsemBench) -> None:
    image = bench.beams.acquire(FRAME, "electron", bench.office.ticket(FRAME))
    assert image.pixels.shape == (64, 96)
    assert image.pixels.dtype == np.uint8
    assert (image.voltage, image.current) == (2e3, 50e-12)
    assert image.pitch == pytest.approx(60e-6 / 96)
    assert len(bench.office.spent) == 1
    assert bench.guarded == ["beams.acquire"]


def test_the_ticket_is_spent_right_before_the_request_that_exposes(bench: FibsemBench) -> None:
    bench.beams.acquire(FRAME, "ion", bench.office.ticket(FRAME, "ion"))
    paths = bench.box.paths
    assert paths[len(bench.office.before)] == ACQUIRE
    assert set(bench.office.before[-4:]) <= {"/beam_voltage/get", "/beam_current/get"}


def test_a_frame_takes_its_time(bench: FibsemBench) -> None:
    frame = replace(FRAME, dwell=1e-3)
    began = bench.clock.now()
    bench.beams.acquire(frame, "electron", bench.office.ticket(frame))
    assert bench.clock.now() - began == pytest.approx(frame.seconds, abs=0.1)


def test_the_current_settings_are_used_for_a_server_may_overlook_others(bench: FibsemBench) -> None:
    bench.beams.acquire(FRAME, "ion", bench.office.ticket(FRAME, "ion"))
    (sent,) = [request for request in bench.box.asked if request.path == ACQUIRE]
    assert json.loads(sent.body) == {"beam_type": "ION", "image_settings": None}


def test_a_beam_that_was_not_confirmed_exposes_nothing() -> None:
    bench = FibsemBench()
    with pytest.raises(Refused, match="voltage and current of the electron beam are not confirmed"):
        bench.beams.acquire(FRAME, "electron", bench.office.ticket(FRAME))
    assert bench.box.asked == []


def test_a_beam_whose_setting_failed_is_no_longer_confirmed(bench: FibsemBench) -> None:
    with pytest.raises(DeviceError):
        bench.beams.set_beam("ion", 30e3, 50e-12)
    with pytest.raises(Refused, match="not confirmed"):
        bench.beams.acquire(FRAME, "ion", bench.office.ticket(FRAME, "ion"))
    assert bench.beams.status()["ion_confirmed"] is False


def test_a_beam_that_became_another_exposes_nothing(bench: FibsemBench) -> None:
    bench.chamber.columns["ion"].current = 2e-9  # at the microscope
    with pytest.raises(DeviceError, match="current of the ion beam reads back as 2000 pA, set was 20 pA"):
        bench.beams.acquire(FRAME, "ion", bench.office.ticket(FRAME, "ion"))
    assert not bench.office.spent
    assert not exposed(bench)


@pytest.mark.parametrize("beam", ["electron", "ion"])
def test_a_ticket_opens_only_its_own_beam(bench: FibsemBench, beam: Any) -> None:
    other: Any = "ion" if beam == "electron" else "electron"
    with pytest.raises(TicketError, match=f"is for the {other} beam"):
        bench.beams.acquire(FRAME, beam, bench.office.ticket(FRAME, other))
    assert not exposed(bench)


def test_a_ticket_for_another_frame_opens_nothing(bench: FibsemBench) -> None:
    with pytest.raises(TicketError, match="to be exposed is"):
        bench.beams.acquire(replace(FRAME, dwell=2e-6), "electron", bench.office.ticket(FRAME))
    assert not exposed(bench)


@pytest.mark.parametrize(
    "frame",
    [
        replace(FRAME, centre=(1e-6, 0.0)),
        replace(FRAME, size=(60e-6, 41e-6)),
        replace(FRAME, size=(1e-6, 40e-6 / 60)),
        replace(FRAME, dwell=1e-2),
        replace(FRAME, pixels=(9600, 6400)),
    ],
    ids=["off the middle", "pixels not square", "too small", "too long a dwell", "too long a frame"],
)
def test_a_frame_this_wire_cannot_take_is_refused_before_any_byte(bench: FibsemBench, frame: Frame) -> None:
    with pytest.raises(LimitError, match="beams: acquire refused"):
        bench.beams.acquire(frame, "electron", bench.office.ticket(frame))
    assert bench.box.asked == []


@pytest.mark.parametrize(
    ("setting", "value", "what"),
    [
        (wire.FIELD, 59e-6, "field reads back as 59 um"),
        (wire.DWELL, 1.001e-6, "dwell reads back as 1.001 us"),
        (wire.RESOLUTION, (192, 128), "has 192 x 128 pixels"),
    ],
)
def test_a_frame_that_would_expose_otherwise_than_its_ticket_says_is_refused(
    bench: FibsemBench, setting: Setting[Any], value: Any, what: str
) -> None:
    bench.box.instead[setting.get.path] = reads(setting, value)
    with pytest.raises(DeviceError, match=what):
        bench.beams.acquire(FRAME, "electron", bench.office.ticket(FRAME))
    assert not bench.office.spent
    assert not exposed(bench)


def test_a_field_that_the_column_clips_is_refused(bench: FibsemBench) -> None:
    wide = BEAMS.model_copy(update={"limits": BEAMS.limits.model_copy(update={"field": (2e-6, 5e-3)})})
    beams = Beams(bench.link, wide, **bench._given(ranges(wide)))
    beams.set_beam("ion", 30e3, 20e-12)
    frame = Frame((0.0, 0.0), (3e-3, 2e-3), (96, 64), 1e-6)
    with pytest.raises(DeviceError, match="field reads back as 1000 um, set was 3000 um"):
        beams.acquire(frame, "ion", bench.office.ticket(frame, "ion"))


def test_no_frame_while_the_ion_beam_mills(bench: FibsemBench) -> None:
    def look() -> None:
        with pytest.raises(DeviceError, match=r"the ion beam mills \(RUNNING\)"):
            bench.beams.acquire(FRAME, "electron", ticket)

    ticket = bench.office.ticket(FRAME)
    bench.waited = look
    bench.milling.run(CUT, bench.office.cut(CUT))
    assert not exposed(bench)


def test_an_interlock_lets_no_beam_be_opened(bench: FibsemBench) -> None:
    def refuse(command: str) -> None:
        raise InterlockError(f"{command} is forbidden")

    bench.beams._guard = refuse
    with pytest.raises(InterlockError):
        bench.beams.acquire(FRAME, "electron", bench.office.ticket(FRAME))
    assert bench.box.asked == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda p, m: encode_tiff(p[:-1], m), "brought 96 x 63 pixels"),
        (lambda p, m: encode_tiff(p, None), "does not say what it is of"),
        (lambda p, m: encode_tiff(p, replace(m, image=replace(m.image, beam_type="ion"))), "of the electron beam"),
        (lambda p, m: encode_tiff(p, replace(m, image=replace(m.image, hfw=50e-6))), "field is 5e-05"),
        (lambda p, m: encode_tiff(p, replace(m, image=replace(m.image, dwell_time=2e-6))), "dwell is 2e-06"),
        (lambda p, m: encode_tiff(p, replace(m, image=replace(m.image, hfw=None))), "field is None"),
        (lambda p, m: encode_tiff(p, replace(m, pixel_size=Point(1e-9, 1e-9))), "pixel size is 1e-09"),
        (
            lambda p, m: encode_tiff(
                p,
                replace(
                    m,
                    microscope_state=replace(
                        m.microscope_state, electron_beam=Column("electron", voltage=3e4, beam_current=5e-11)
                    ),
                ),
            ),
            "voltage is 30000",
        ),
        (
            lambda p, m: encode_tiff(p, replace(m, microscope_state=replace(m.microscope_state, electron_beam=None))),
            "of the electron beam",
        ),
        (lambda p, m: b"II*\0" + bytes(100), "TIFF"),
        (lambda p, m: encode_tiff(np.zeros((2000, 3000), np.uint8), m), "bytes is announced"),
    ],
)
def test_an_image_of_something_else_is_an_error_and_never_an_image(
    bench: FibsemBench, change: Callable[[Any, Metadata], bytes], what: str
) -> None:
    later_changed(bench, change)
    with pytest.raises(WireError, match=f"beams: acquire .*{what}"):
        bench.beams.acquire(FRAME, "electron", bench.office.ticket(FRAME))
    assert bench.box.paths.count(ACQUIRE) == 1  # exposed once, never again


def test_a_frame_that_never_comes_is_a_timeout_and_is_not_asked_for_again(bench: FibsemBench) -> None:
    bench.box.instead[ACQUIRE] = lambda _: Later(1e9, lambda: Response(200))
    began = bench.clock.now()
    with pytest.raises(LinkTimeout, match="beams: acquire got no whole answer"):
        bench.beams.acquire(FRAME, "electron", bench.office.ticket(FRAME))
    assert bench.clock.now() - began < 40.0
    assert bench.box.paths.count(ACQUIRE) == 1
    assert len(bench.office.spent) == 1  # it may have been exposed


def test_a_server_without_an_ion_beam_is_not_opened(bench: FibsemBench) -> None:
    def without(request: Request) -> Response:
        answer = bench.box._box.answer(request)
        assert isinstance(answer, Response)
        system = json.loads(answer.body)
        system["system"]["ion"]["enabled"] = False
        return replace(answer, body=json.dumps(system).encode())

    bench.beams.open()
    bench.box.instead["/system"] = without
    with pytest.raises(DeviceError, match="has no ion beam"):
        bench.beams.open()


def test_make_safe_asks_nothing_for_a_frame_ends_by_itself(bench: FibsemBench) -> None:
    bench.beams.make_safe()
    assert bench.box.asked == []


def test_a_pattern_is_no_frame(bench: FibsemBench) -> None:
    assert BOX.bounds == pytest.approx((-3e-6, -2e-6, 3e-6, 2e-6))
    with pytest.raises(TicketError, match="to be exposed is"):
        bench.beams.acquire(FRAME, "ion", bench.office.cut(CUT))
    assert not exposed(bench)


def test_a_frame_that_no_image_could_hold_is_refused_before_any_byte(bench: FibsemBench) -> None:
    frame = Frame((0.0, 0.0), (60e-6, 60e-6), (8192, 8192), 25e-9)
    with pytest.raises(LimitError, match="more than an image may have"):
        bench.beams.acquire(frame, "electron", bench.office.ticket(frame))
    assert bench.box.asked == [] and not bench.office.spent
