"""The camera's driver: read back, armed before the beam, one image a gate, and told what did not come."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.camera import CameraSettings
from drivers.camera_settings import CameraLimits
from drivers.errors import Aborted, DeviceError, InterlockError, LimitError, LinkTimeout, Refused, WireError
from drivers.ticket import Frame
from drivers.wire import simplon
from drivers.wire.http import Response
from drivers.wire.simplon import Parameter
from tests.drivers.camera_bench import (
    DWELL,
    LEGACY,
    SETTINGS,
    camera_bench,
    pixels,
    scanned_bench,
)

SMALL = Frame(centre=(0.0, 0.0), size=(160e-9, 160e-9), pixels=(16, 16), dwell=DWELL)
QUICK = SETTINGS.model_copy(update={"limits": CameraLimits(frame_time=(1e-6, 1.0))})  # beyond what the box can
CONFIG = "/detector/api/1.8.0/config"


def _forbid(command: str) -> None:
    raise InterlockError(f"no {command}")


# --- opening


def test_opening_reads_the_version_first_and_initializes_a_camera_that_is_not() -> None:
    bench = camera_bench(opened=False)
    bench.camera.open()
    assert bench.box.asked[0][:2] == ("GET", "/detector/api/version/")
    assert bench.box.puts() == [
        ("initialize", None),
        ("format", "cbor"),
        ("header_detail", "basic"),
        ("mode", "enabled"),
        ("roi_mode", "disabled"),
    ]
    assert bench.clock.now() >= 20.0


def test_opening_again_initializes_nothing() -> None:
    bench = camera_bench()
    bench.camera.open()
    assert "initialize" not in dict(bench.box.puts())


def test_another_version_is_refused_for_it_is_in_every_path() -> None:
    bench = camera_bench(opened=False)
    bench.box.said["/detector/api/version/"] = simplon.say_parameter(Parameter("1.6.0", "string"))
    with pytest.raises(DeviceError, match=r"camera: open speaks SIMPLON 1\.6\.0"):
        bench.camera.open()
    assert not bench.box.puts()


def test_a_series_that_a_lost_host_left_is_ended() -> None:
    bench = camera_bench()
    bench.camera.configure(10, DWELL, gated=True)
    bench.camera.arm("lost")
    again = bench.another()
    again.open()
    assert again.status()["state"] == "idle"


def test_images_of_another_size_than_the_rig_file_s_are_an_error() -> None:
    bench = camera_bench(SETTINGS.model_copy(update={"pixels": (192, 128)}), opened=False)
    with pytest.raises(DeviceError, match=r"makes images of 128 x 128 pixels"):
        bench.camera.open()


def test_a_binned_detector_is_opened_with_its_smaller_images() -> None:
    bench = camera_bench(SETTINGS.model_copy(update={"pixels": (64, 64), "roi_mode": "merge2x2"}))
    images, tally = bench.taken(2, 1e-3)
    assert tally.whole and pixels(images[0]).shape == (64, 64)


# --- configuring


def test_a_gated_series_is_set_up_in_the_order_that_the_camera_takes() -> None:
    bench = camera_bench()
    bench.camera.configure(256, DWELL, gated=True)
    assert bench.box.puts() == [
        ("compression", "bslz4"),
        ("count_time", DWELL),
        ("frame_time", DWELL),
        ("ntrigger", 1),
        ("nimages", 1),
        ("trigger_mode", "exte"),
        ("ntrigger", 256),
    ]


def test_what_changed_with_a_parameter_is_read_again() -> None:
    bench = camera_bench()
    prepared = bench.camera.configure(4, DWELL, gated=True)
    after = [path for method, path, _ in bench.box.asked if method == "GET"]
    assert after.count(f"{CONFIG}/bit_depth_image") >= 2 * 2  # two sets change it, each answer is asked twice
    assert (prepared.bits, prepared.frame_time, prepared.images) == (8, DWELL, 4)
    assert prepared.count_time == pytest.approx(DWELL - 100e-9)


@pytest.mark.parametrize(("dwell", "bits"), [(20e-6, 8), (60e-6, 16), (10e-3, 32)])
def test_the_times_decide_the_bits_of_a_pixel(dwell: float, bits: int) -> None:
    bench = camera_bench()
    assert bench.camera.configure(4, dwell, gated=True).bits == bits
    with pytest.raises(DeviceError, match=f"makes {bits} bits a pixel"):
        bench.camera.configure(4, dwell, gated=True, bits=24)


@pytest.mark.parametrize(("images", "time"), [(0, DWELL), (1 << 20, DWELL), (4, 1e-6), (4, 20.0), (4, float("nan"))])
def test_what_lies_beyond_the_limits_is_refused_before_any_byte(images: int, time: float) -> None:
    bench = camera_bench()
    with pytest.raises(LimitError, match=r"camera: configure refused: (images|frame_time)"):
        bench.camera.configure(images, time, gated=False)
    assert not bench.box.asked


def test_a_gate_that_comes_much_too_late_is_refused() -> None:
    bench = camera_bench(
        SETTINGS.model_copy(update={"limits": SETTINGS.limits.model_copy(update={"frame_time": (1e-6, 1.0)})})
    )
    with pytest.raises(LimitError, match=r"gate comes 0\.2 us late, so images of 1\.5 us"):
        bench.camera.configure(4, 1.5e-6, gated=True)
    assert not bench.box.asked


@pytest.mark.parametrize("action", ["configure", "arm", "trigger"])
def test_interlocks_come_before_bytes(action: str) -> None:
    bench = camera_bench()
    bench.camera.configure(2, 1e-3, gated=False)
    if action == "trigger":
        bench.camera.arm("e")
    bench.camera._guard = _forbid
    bench.box.asked.clear()
    with pytest.raises(InterlockError):
        {
            "configure": lambda: bench.camera.configure(2, 1e-3, gated=False),
            "arm": lambda: bench.camera.arm("e"),
            "trigger": bench.camera.trigger,
        }[action]()
    assert not bench.box.asked


def test_a_camera_that_takes_another_value_is_found_out() -> None:
    bench = camera_bench()
    bench.box.said[f"{CONFIG}/frame_time"] = simplon.say_parameter(Parameter(30e-6, "float"))
    with pytest.raises(DeviceError, match=r"asked frame_time=2e-05, but the camera took 3e-05"):
        bench.camera.configure(4, DWELL, gated=True)
    with pytest.raises(Refused, match="no series is prepared"):
        bench.camera.arm("e")


def test_a_value_that_changes_later_by_itself_is_found_out() -> None:
    bench = camera_bench()
    puts = simplon.put("detector", "frame_time", DWELL).path

    def drifting(body: bytes) -> None:
        bench.box.said[f"{CONFIG}/compression"] = simplon.say_parameter(Parameter("lz4", "string"))

    answer = bench.box.answer
    bench.box.answer = lambda request: (request.path == puts and drifting(request.body)) or answer(request)  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="asked compression=bslz4, but the camera took lz4"):
        bench.camera.configure(4, DWELL, gated=True)


def test_what_the_camera_refuses_is_said_in_its_words() -> None:
    bench = camera_bench(
        SETTINGS.model_copy(update={"limits": SETTINGS.limits.model_copy(update={"frame_time": (2e-6, 1.0)})})
    )
    with pytest.raises(DeviceError, match=r'camera: configure was refused with 400 ".*frame_time cannot be'):
        bench.camera.configure(4, 3e-6, gated=True)


def test_a_value_that_is_no_number_where_one_is_due_is_a_wire_error() -> None:
    bench = camera_bench()
    bench.box.said[f"{CONFIG}/bit_depth_image"] = simplon.say_parameter(Parameter("many", "string"))
    with pytest.raises(WireError, match="bit_depth_image"):
        bench.camera.configure(4, DWELL, gated=True)


# --- arming


def test_arming_ends_with_the_start_of_the_series() -> None:
    bench = camera_bench()
    bench.camera.configure(4, DWELL, gated=True)
    assert bench.camera.arm("e1") == 1
    assert bench.camera.status()["state"] == "ready"
    assert bench.camera.status()["exposure"] == "e1"


def test_a_stream_that_does_not_come_is_found_before_any_dose() -> None:
    bench = camera_bench()
    bench.camera.configure(4, DWELL, gated=True)
    taken = bench.server.stream.send
    bench.server.stream.send = lambda: taken() and None  # type: ignore[method-assign]  # another client takes them all
    before = bench.clock.now()
    with pytest.raises(
        LinkTimeout, match=r"camera: arm was armed, but the start of series 1 did not come.*other program"
    ):
        bench.camera.arm("e")
    assert bench.clock.now() - before < 5.0
    bench.camera.make_safe()
    assert bench.camera.status()["state"] == "idle"


def test_what_waits_of_an_older_series_is_passed_over() -> None:
    bench = camera_bench()
    bench.camera.configure(50, 1e-3, gated=False)
    bench.camera.arm("old")
    bench.camera.trigger()
    bench.camera.make_safe()
    images, tally = bench.taken(3, 1e-3)
    assert tally.whole and tally.foreign == 0 and [one.series for one in images] == [2, 2, 2]


def test_an_unprepared_camera_is_neither_armed_nor_read() -> None:
    camera = camera_bench().camera
    for action in (lambda: camera.arm("e"), camera.trigger, lambda: camera.read(0.1), camera.finish):
        with pytest.raises(Refused):
            action()
    assert not camera.finished()


def test_a_start_that_is_not_as_configured_is_an_error() -> None:
    bench = camera_bench()
    bench.camera.configure(4, DWELL, gated=True)
    bench.server._detector._force("ntrigger", 5)  # somebody else sets it up
    with pytest.raises(DeviceError, match="not as it was configured"):
        bench.camera.arm("e")


# --- reading


@pytest.mark.parametrize("settings", [SETTINGS, LEGACY], ids=["V2", "V1"])
def test_every_pixel_of_a_scan_is_one_image_in_order(settings: CameraSettings) -> None:
    bench = scanned_bench(settings)
    bench.start(SMALL)
    images, tally = bench.read()
    assert tally.whole and tally.ended and tally.dropped == 0
    assert [one.image for one in images] == list(range(256))
    assert bench.server.stream.missed == 0


def test_the_dark_field_of_the_images_is_that_of_the_scan() -> None:
    bench = scanned_bench()
    bench.world.column.current = 1e-10
    wide = Frame(centre=(0.0, 0.0), size=(384e-9, 96e-9), pixels=(16, 4), dwell=DWELL)  # lithium left, LiPON right
    bench.start(wide)
    images, tally = bench.read()
    down, across = bench.camera.angles()
    ring = np.hypot(down[:, None], across[None, :]) > 35e-3
    dead = pixels(images[0]) == 255
    halo = np.array([pixels(one)[ring & ~dead].sum() for one in images]).reshape(4, 16)
    assert tally.whole
    assert halo[:, -5:].mean() > 3.0 * halo[:, :5].mean()


def test_while_the_beam_is_blanked_images_are_dark_and_still_come() -> None:
    bench = scanned_bench()
    bench.world.column.blank(True, bench.clock.now())
    bench.start(SMALL)
    images, tally = bench.read()
    assert tally.whole
    assert all(set(np.unique(pixels(one))) == {0, 255} for one in images)


def test_images_after_a_trigger_come_a_frame_time_apart() -> None:
    bench = camera_bench()
    images, tally = bench.taken(5, 1e-3)
    assert tally.whole and len(images) == 5
    assert np.diff([one.start[0] / one.start[1] for one in images]) == pytest.approx(1e-3, abs=4e-8)


def test_a_read_takes_at_most_256_messages_and_no_longer_than_it_may() -> None:
    bench = camera_bench()
    bench.camera.configure(1000, 1e-3, gated=False)
    bench.camera.arm("e")
    before = bench.clock.now()
    assert bench.camera.read(0.1) == []
    assert bench.clock.now() - before == pytest.approx(0.1)
    bench.camera.trigger()
    bench.clock.sleep(1.0)
    before = bench.clock.now()
    assert len(bench.camera.read(0.1)) == 256
    assert bench.clock.now() == before
    with pytest.raises(ValueError, match="at most"):
        bench.camera.read(0.6)


def test_a_series_cut_short_tells_what_is_missing() -> None:
    bench = scanned_bench()
    bench.start(SMALL, images=300)  # the scan has 256 pixels
    images, tally = bench.read()
    assert tally.missing == ((256, 299),) and not tally.whole and tally.ended
    assert len(images) == tally.received == 256
    assert bench.camera.status()["state"] == "idle"


def test_what_the_camera_lost_for_want_of_room_is_told() -> None:
    bench = scanned_bench()
    bench.server.stream.room = 10 * 128 * 128
    bench.start(SMALL)
    bench.scan.stop()  # sees the frame to its end, while nobody reads the camera
    bench.clock.sleep(0.1)
    _, tally = bench.read()
    assert tally.dropped == 246
    assert tally.missing == ((10, 255),)


def test_a_camera_that_cannot_keep_up_is_found_by_the_gates_it_missed() -> None:
    bench = camera_bench()
    bench.camera.configure(256, DWELL, gated=True)
    bench.camera.arm("e")
    bench.lamp.gates(DWELL, 100)
    bench.lamp.gates(DWELL, 156, after=1e-3 + 105 * DWELL)  # five pixels without a gate
    _, tally = bench.read()
    assert tally.received == 256
    assert tally.skipped == ((100, 5),) and not tally.whole


def test_rows_and_columns_have_angles_from_the_middle() -> None:
    down, across = camera_bench(opened=False).camera.angles()
    assert (len(down), len(across)) == SETTINGS.pixels[::-1]
    assert down[64] == pytest.approx(0.5 * SETTINGS.angle_per_pixel) == -across[63]


# --- safety


def test_an_abort_is_seen_while_it_reads_and_ignored_while_it_is_made_safe() -> None:
    bench = camera_bench()
    bench.camera.configure(4, DWELL, gated=True)
    bench.camera.arm("e")
    bench.abort.set()
    with pytest.raises(Aborted, match="camera: read"):
        bench.camera.read(0.1)
    bench.camera.make_safe()
    bench.abort.clear()
    assert bench.camera.status()["state"] == "idle"
    assert bench.camera.finish().missing == ((0, 3),)


def test_made_safe_at_rest_it_is_sent_no_command() -> None:
    bench = camera_bench()
    bench.camera.make_safe()
    assert not bench.box.puts()


def test_made_safe_it_is_aborted_even_if_it_does_not_say_what_it_does() -> None:
    bench = camera_bench()
    bench.box.said["/detector/api/1.8.0/status/state"] = Response(200, b"?")
    bench.camera.make_safe()
    assert dict(bench.box.puts()) == {"abort": None}


def test_after_a_trigger_that_is_not_answered_the_series_can_still_be_told() -> None:
    bench = camera_bench()
    bench.camera.configure(3, 1e-3, gated=False)
    bench.camera.arm("e")
    bench.box.said["/detector/api/1.8.0/command/trigger"] = Response(500, b"lost")
    with pytest.raises(DeviceError, match='camera: trigger was refused with 500 "lost"'):
        bench.camera.trigger()
    _, tally = bench.read()
    assert tally.received == 3  # the box did it all the same


def test_closing_closes_both_lines() -> None:
    bench = camera_bench()
    bench.camera.close()
    assert bench.camera._stream.closed and bench.camera._control.link.closed
