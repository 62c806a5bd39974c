"""A simulated SIMPLON camera: its answers by state, what changes with what, which images it makes or loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.clock import VirtualClock
from drivers.wire import simplon, simplon_legacy, simplon_stream
from drivers.wire.http import Request, Response
from drivers.wire.packed import nodata, unpack
from drivers.wire.simplon import Scalar
from drivers.wire.simplon_frames import CHANNEL, Streamed, StreamEnd, StreamImage, StreamStart, seconds
from simulators.boxes.camera import CameraServer
from simulators.boxes.http import Later
from simulators.constants import constants
from simulators.world import World
from tests.drivers.camera_bench import WIRING
from tests.drivers.scan_bench import a_world
from tests.simulators.waited import answered

EVERY = 20e-6  # s, of the gates


@dataclass
class Box:
    """The camera by itself, asked by hand."""

    clock: VirtualClock
    world: World
    server: CameraServer

    def ask(self, request: Request) -> Response:
        return answered(self.server, request, self.clock)

    def put(self, name: str, value: Scalar, module: simplon.Module = "detector") -> Response:
        return self.ask(simplon.put(module, name, value))

    def get(self, name: str) -> simplon.Value:
        return simplon.read_parameter(self.ask(simplon.get("detector", "config", name))).value

    def state(self) -> str:
        return str(simplon.read_parameter(self.ask(simplon.get("detector", "status", "state"))).value)

    def command(self, name: str) -> Response:
        return self.ask(simplon.command(name))

    def ready(self, images: int = 4, *, mode: str = "exte", every: float = EVERY, **parameters: Scalar) -> Box:
        """Set up as a host does, and armed."""
        self.command("initialize")
        for name, value in (("format", "cbor"), ("mode", "enabled")):
            self.put(name, value, "stream")
        for name, value in {**parameters, "count_time": every, "frame_time": every, "trigger_mode": mode}.items():
            assert self.put(name, value).status == 200, name
        self.put("ntrigger" if mode == "exte" else "nimages", images)
        assert self.command("arm").status == 200
        return self

    def gate(self, count: int, *, every: float = EVERY, high: float = EVERY - 125e-9, after: float = 1e-3) -> None:
        """So many pulses of the scan's pixel clock."""
        self.world.pulses("scan.pixel_clock", self.clock.now() + after, every, high, count)

    def streamed(self) -> list[Streamed]:
        """What it pushes until nothing more is to come."""
        found: list[Streamed] = []
        legacy = simplon_legacy.Decoder()
        while (due := self.server.stream.due()) is not None:
            self.clock.sleep(max(due - self.clock.now(), 0.0))
            message = self.server.stream.send()
            assert message is not None
            json = message[0].startswith(b"{")
            one = legacy.decode(message) if json else simplon_stream.decode(message)
            assert one is not None
            found.append(one)
        return found

    def images(self) -> list[StreamImage]:
        return [one for one in self.streamed() if isinstance(one, StreamImage)]


@pytest.fixture
def box() -> Box:
    clock = VirtualClock()
    world = a_world(clock, wiring=WIRING)
    return Box(clock, world, CameraServer(world))


# --- states and commands


def test_it_comes_up_not_initialized_and_takes_its_time(box: Box) -> None:
    assert box.state() == "na"
    assert box.command("arm").status == 400
    later = box.server.answer(simplon.command("initialize"))
    assert isinstance(later, Later)
    assert later.at == pytest.approx(box.clock.now() + constants("camera")["initialize"])
    assert box.state() == "initialize"
    assert box.server.answer(simplon.command("abort")).status == 400  # type: ignore[union-attr]
    box.clock.sleep(later.at)
    assert box.state() == "idle"


def test_the_version_is_told_before_anything_else(box: Box) -> None:
    assert simplon.read_version(box.ask(simplon.version())) == "1.8.0"


@pytest.mark.parametrize("path", ["/detector/api/1.6.0/status/state", "/detector/api/1.8.0/config/nothing", "/"])
def test_what_it_does_not_have_is_not_found(box: Box, path: str) -> None:
    assert box.ask(Request("GET", path)).status == 404


def test_series_are_counted_and_named_with_a_space(box: Box) -> None:
    box.ready()
    assert box.command("disarm").body == b'{"sequence id":1}'
    assert box.command("arm").body == b'{"sequence id":2}'


def test_armed_it_is_ready_then_acquires_then_is_idle_again_by_itself(box: Box) -> None:
    box.ready(images=3)
    assert box.state() == "ready"
    box.gate(2)
    box.clock.sleep(1e-3 + 1.5 * EVERY)
    assert box.state() == "acquire"
    box.gate(1)
    box.clock.sleep(0.1)
    assert box.state() == "idle"
    kinds = [type(one) for one in box.streamed()]
    assert kinds == [StreamStart, StreamImage, StreamImage, StreamImage, StreamEnd]


def test_armed_nothing_can_be_set_and_it_cannot_be_armed_again(box: Box) -> None:
    box.ready()
    assert box.put("nimages", 1).status == 400
    assert box.command("arm").status == 400
    assert box.command("disarm").status == 200
    assert box.command("disarm").status == 200  # nothing to end is no fault
    assert box.put("nimages", 1).status == 200


# --- parameters


def test_a_frame_time_changes_the_bits_and_says_so(box: Box) -> None:
    box.command("initialize")
    assert box.get("bit_depth_image") == 16
    changed = simplon.read_names(box.put("frame_time", 20e-6))
    assert {"bit_depth_image", "count_time", "countrate_correction_count_cutoff", "frame_time"} <= set(changed)
    assert (box.get("bit_depth_image"), box.get("countrate_correction_count_cutoff")) == (8, 254)
    assert box.get("count_time") == pytest.approx(19.9e-6)
    box.put("count_time", 0.1)
    assert (box.get("bit_depth_image"), box.get("frame_time")) == (32, pytest.approx(0.1000001))


def test_a_merged_region_makes_fewer_pixels_and_sets_the_times_back(box: Box) -> None:
    box.command("initialize")
    box.put("frame_time", 20e-6)
    assert set(simplon.read_names(box.put("roi_mode", "merge2x2"))) == {"roi_mode", "count_time", "frame_time"}
    assert (box.get("x_pixels_in_detector"), box.get("y_pixels_in_detector")) == (64, 64)
    assert box.get("frame_time") == pytest.approx(1.0001e-3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frame_time", 1e-6),
        ("frame_time", 1e9),
        ("frame_time", "fast"),
        ("nimages", 0),
        ("nimages", 1.5),
        ("nimages", True),
        ("compression", "zip"),
        ("trigger_mode", "exts"),
        ("bit_depth_image", 8),
        ("mask_to_zero", 1),
    ],
)
def test_a_value_it_cannot_have_is_refused_and_changes_nothing(box: Box, name: str, value: Scalar) -> None:
    box.command("initialize")
    before = box.get(name)
    assert box.put(name, value).status == 400
    assert box.get(name) == before


def test_one_image_a_gate_means_one_image_a_trigger(box: Box) -> None:
    box.command("initialize")
    box.put("nimages", 5)
    assert box.put("trigger_mode", "exte").status == 400  # ADEiger's release notes, of an EIGER2
    box.put("nimages", 1)
    assert box.put("trigger_mode", "exte").status == 200


def test_several_parameters_of_the_stream_can_be_set_at_once(box: Box) -> None:
    box.command("initialize")
    asked = simplon.Asked("stream", "config", put=True, value={"mode": "enabled", "format": "cbor"})
    assert set(simplon.read_names(box.ask(asked.encode()))) == {"mode", "format"}


def test_whatever_is_put_it_answers(box: Box) -> None:
    @given(st.binary(max_size=60), st.sampled_from(["config/frame_time", "command/arm", "config/", "status/state"]))
    def put(body: bytes, path: str) -> None:
        answer = box.server.answer(Request("PUT", f"/detector/api/1.8.0/{path}", body=body))
        assert isinstance(answer, Response)
        assert 400 <= answer.status < 500  # it is not initialized

    put()


# --- images


def test_each_gate_makes_one_image_in_its_time(box: Box) -> None:
    box.ready(images=4).gate(4)
    start, *images, end = box.streamed()
    assert isinstance(start, StreamStart)
    assert (start.images, start.shape, start.saturation) == (4, (128, 128), 254)
    assert [one.image for one in images] == [0, 1, 2, 3]
    assert [seconds(one.start) for one in images] == pytest.approx([0.0, 20e-6, 40e-6, 60e-6], abs=2e-8)
    assert [seconds(one.real) for one in images] == pytest.approx([EVERY - 125e-9] * 4, abs=4e-8)
    assert {one.unique_id for one in images} == {start.unique_id} == {end.unique_id}  # type: ignore[union-attr]


def test_with_the_beam_off_a_frame_is_dark_but_for_the_dead_pixels(box: Box) -> None:
    box.ready(images=1).gate(1)
    (image,) = box.images()
    pixels = unpack(image.channels[CHANNEL])
    dead = constants("camera")["dead_pixels"]
    assert sorted(np.argwhere(pixels != 0).tolist()) == sorted(dead)
    assert {int(pixels[row, column]) for row, column in dead} == {nodata(pixels.dtype)} == {255}


def test_dead_pixels_can_be_told_as_zero(box: Box) -> None:
    box.ready(images=1, mask_to_zero=True).gate(1)
    (image,) = box.images()
    assert not unpack(image.channels[CHANNEL]).any()


def test_a_bright_disk_saturates_below_the_value_that_means_no_data(box: Box) -> None:
    box.ready(images=1, every=40e-6)
    box.world.column.current = 5e-9
    box.world.column.park(0.1, 0.5, box.clock.now(), 0.1)
    box.gate(1, every=40e-6, high=39e-6)
    (image,) = box.images()
    pixels = unpack(image.channels[CHANNEL])
    assert np.sort(pixels.ravel())[-4] == 254
    assert np.count_nonzero(pixels == 255) == len(constants("camera")["dead_pixels"])


def test_merged_images_hold_the_electrons_of_four_pixels(box: Box) -> None:
    box.ready(images=1, every=1e-3, mode="ints", roi_mode="merge2x2", mask_to_zero=True)
    box.world.column.park(0.1, 0.5, box.clock.now(), 0.1)
    box.command("trigger")
    (image,) = box.images()
    pixels = unpack(image.channels[CHANNEL])
    assert pixels.shape == (64, 64)
    assert pixels.sum() == pytest.approx(1e-11 * 1e-3 / 1.602e-19, rel=0.05)


def test_a_trigger_takes_its_images_and_answers_when_they_are_over(box: Box) -> None:
    box.ready(images=5, every=1e-3, mode="ints")
    before = box.clock.now()
    assert box.command("trigger").status == 200
    assert box.clock.now() - before == pytest.approx(5e-3)
    assert len(box.images()) == 5
    assert box.command("trigger").status == 400  # the series is over


def test_a_gated_series_takes_no_trigger_and_a_triggered_one_no_gates(box: Box) -> None:
    box.ready()
    assert box.command("trigger").status == 400
    box.command("disarm")
    for name, value in (("ntrigger", 1), ("trigger_mode", "ints")):
        box.put(name, value)
    box.command("arm")
    box.gate(4)
    assert not box.images()


def test_gates_faster_than_the_readout_are_missed_and_the_ids_know_nothing_of_it(box: Box) -> None:
    box.ready(images=4)
    box.gate(4, every=6e-6, high=5e-6)
    box.gate(2, after=2e-3)
    images = box.images()
    assert [one.image for one in images] == [0, 1, 2, 3]
    assert [seconds(one.start) for one in images][:2] == pytest.approx([0.0, 12e-6], abs=4e-8)
    assert box.server.stream.missed == 2


def test_gates_without_a_pause_for_the_readout_are_missed(box: Box) -> None:
    box.ready(images=4)
    box.gate(4, high=EVERY - 50e-9)  # low for 50 ns; the readout takes 100
    box.clock.sleep(0.01)
    assert box.server.stream.missed == 2


def test_sixteen_bits_need_longer_gates(box: Box) -> None:
    box.ready(images=4, every=100e-6)
    box.gate(4)
    box.clock.sleep(0.01)
    assert box.server.stream.missed == 2


def test_gates_before_it_is_armed_are_not_its_own(box: Box) -> None:
    box.ready(images=2)
    box.command("disarm")
    box.gate(2)
    box.command("arm")
    box.gate(2)
    ids = [(one.series, one.image) for one in box.images()]
    assert ids == [(2, 0), (2, 1)]


def test_a_host_that_does_not_read_loses_the_images_for_which_there_is_no_room(box: Box) -> None:
    box.ready(images=10)
    box.server.stream.room = 3 * 128 * 128
    for _ in range(2):
        box.gate(5)
        box.clock.sleep(0.1)
    told = simplon.read_parameter(box.ask(simplon.get("stream", "status", "dropped"))).value
    streamed = box.streamed()
    assert [one.image for one in streamed if isinstance(one, StreamImage)] == [0, 1, 2]
    assert told == box.server.stream.dropped == 7
    assert isinstance(streamed[-1], StreamEnd)


def test_an_aborted_series_still_brings_what_was_over_and_then_its_end(box: Box) -> None:
    box.ready(images=100)
    box.gate(100)
    box.clock.sleep(1e-3 + 10.5 * EVERY)
    assert box.command("abort").status == 200
    streamed = box.streamed()
    assert [one.image for one in streamed if isinstance(one, StreamImage)] == list(range(10))
    assert isinstance(streamed[-1], StreamEnd)
    assert box.state() == "idle"


def test_nothing_is_made_before_it_is_taken(box: Box) -> None:
    box.ready(images=1000)
    box.gate(1000)
    box.clock.sleep(0.1)
    assert box.server.stream.due() is not None
    before = box.world._dice["diffraction"].bit_generator.state
    assert box.server.stream.waiting == 1000
    assert box.world._dice["diffraction"].bit_generator.state == before


def test_a_stream_that_is_off_brings_nothing(box: Box) -> None:
    box.ready(images=1)
    box.command("disarm")
    box.streamed()
    box.put("mode", "disabled", "stream")
    box.command("arm")
    box.gate(1)
    box.clock.sleep(0.1)
    assert box.server.stream.due() is None


def test_stream_v1_brings_the_same_images(box: Box) -> None:
    box.ready(images=2)
    box.command("disarm")
    box.streamed()
    box.put("format", "legacy", "stream")
    box.command("arm")
    box.gate(2)
    start, *images, end = box.streamed()
    assert isinstance(start, StreamStart) and isinstance(end, StreamEnd)
    assert (start.images, start.shape, start.trigger_mode) == (2, (128, 128), "exte")
    assert [one.image for one in images if isinstance(one, StreamImage)] == [0, 1]


def test_no_two_images_are_nearer_than_the_detector_can(box: Box) -> None:
    stream = box.ready(images=1000).server.stream
    series, begin = stream.series, box.clock.now() + 1.0
    assert series is not None

    @given(st.lists(st.floats(0.0, 1e-3), min_size=1, max_size=30, unique=True), st.floats(1e-7, 3e-5))
    def gates(starts: Sequence[float], high: float) -> None:
        stream.end(box.clock.now())
        stream.begin(series)
        for start in sorted(starts):
            stream.gates(begin + start, EVERY, high, 1)
        assert np.all(np.diff(stream._starts) >= series.fastest - 1e-8)
        assert np.all(stream._starts[1:] - stream._stops[:-1] >= series.readout - 1e-8)
        assert len(stream._starts) + stream.missed == len(starts)

    gates()
