"""The camera against programs nobody here wrote: two simulated cameras, DECTRIS's client and LiberTEM's receiver."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera import Camera, CameraSettings, Prepared, Tally, ranges
from drivers.camera_settings import CameraLimits
from drivers.clock import RealClock, wall_seconds
from drivers.errors import DeviceError, LinkError
from drivers.limits import Limits
from drivers.links import TcpLink
from drivers.links.http import HttpLink
from drivers.links.messages import Message
from drivers.links.zeromq import ZmqLink
from drivers.wire import simplon
from drivers.wire.http import Request, Response
from drivers.wire.packed import header_zeroed, unpack, with_header
from drivers.wire.simplon import Parameter
from drivers.wire.simplon_frames import CHANNEL, StreamEnd, StreamImage, StreamStart
from drivers.wire.simplon_legacy import Decoder
from simulators.boxes.camera import CameraServer
from simulators.boxes.http import Later
from simulators.sample.file import load_sample
from simulators.serve import Port, serve
from simulators.world import World
from tests.peers.other_python import answer, python_with, running
from tests.simulators.bench import CURRENT, FIELD, grid, optics

pytestmark = pytest.mark.peer
LIBERTEM, TICKIT = (str(Path(__file__).with_name(name)) for name in ("libertem_host.py", "tickit_host.py"))
SPEED = 20.0  # a camera initializes in 20 s
DEAD = [(17, 93), (88, 21), (101, 64)]  # pixels of ours, data/camera.yaml
SIDE = 8  # positions along a scan


# --- our driver, other people's cameras


class Filled(HttpLink):
    """The line to a simulated camera that leaves out what a camera has; that much is answered here.

    forgets: parameters it lets one set and does not keep.
    """

    def __init__(self, port: int, left_out: dict[str, Parameter], forgets: tuple[str, ...] = ()) -> None:
        super().__init__(TcpLink("camera", "127.0.0.1", port, RealClock()), "127.0.0.1")
        self._left_out, self._forgets = left_out, forgets

    def exchange(self, request: Request, **options: Any) -> Response:
        asked = simplon.read_request(request)
        name = f"{asked.module}/{asked.task}/{asked.name}"
        if name in self._left_out and not (asked.put and name in self._forgets):
            return simplon.say_names([asked.name]) if asked.put else simplon.say_parameter(self._left_out[name])
        if name in self._forgets and asked.put:
            self._left_out[name] = Parameter(asked.value)  # type: ignore[arg-type]  # one parameter has one value
        return super().exchange(request, **options)


@contextmanager
def our_camera(link: HttpLink, stream: str, **settings: Any) -> Iterator[Camera]:
    """Our driver on both lines."""
    said = CameraSettings(angle_per_pixel=1e-3, limits=CameraLimits(frame_time=(1e-6, 10.0)), **settings)
    camera = Camera(
        link,
        said,
        stream=ZmqLink("stream", stream, link.clock),
        gate_latency=0.0,
        limits=Limits(ranges(said)),
        guard=lambda command: None,
        wait=link.clock.sleep,
    )
    try:
        yield camera
    finally:
        camera.close()


def everything(camera: Camera) -> tuple[list[StreamImage], Tally]:
    """All images of the series that is under way, and what it amounts to."""
    images, give_up = [], wall_seconds() + 30.0
    while not camera.finished() and wall_seconds() < give_up:
        images += camera.read(0.5)
    tally = camera.finish()
    return [*images, *tally.rest], tally


@contextmanager
def tickits_eiger(folder: Path) -> Iterator[tuple[int, str]]:
    """tickit-devices' Eiger: the port of its REST side and the address of its Stream V2."""
    python = python_with(
        "tickit-devices", "CRYOLIFT_TICKIT_PYTHON", fits=lambda: int(version("cbor2").partition(".")[0]) < 6
    )
    with ExitStack() as held:
        ports = [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(3)]
    (folder / "eiger.yaml").write_text(
        "- {type: tickit_devices.eiger.Eiger, name: eiger, inputs: {}, host: 127.0.0.1, stream_host: 127.0.0.1, "
        f"port: {ports[0]}, stream_legacy_port: {ports[1]}, stream_cbor_port: {ports[2]}}}\n"
    )
    with running([python, TICKIT, str(folder / "eiger.yaml")]):
        _wait_for(ports[0])
        yield ports[0], f"tcp://127.0.0.1:{ports[2]}"


def _wait_for(port: int) -> None:
    clock, give_up = RealClock(), wall_seconds() + 30.0
    while True:
        try:
            TcpLink("probe", "127.0.0.1", port, clock).close()
            return
        except LinkError:
            assert wall_seconds() < give_up, "the simulated camera did not come up"
            clock.sleep(0.1)


def three_images(port: int, stream: str) -> tuple[list[StreamImage], Tally]:
    """A series of three images of tickit's Eiger by our driver."""
    link = Filled(port, {"detector/version/": Parameter(simplon.VERSION, "string")})  # it tells no version
    with our_camera(link, stream, pixels=(4148, 4362)) as camera:
        camera.open()
        assert camera.status()["state"] == "idle"
        prepared = camera.configure(3, 0.05, gated=False, bits=16)
        assert prepared == Prepared(3, False, 0.05, 0.05, 16, (4362, 4148))
        # it answers every arming with the number 2: so its first series passes, with its start and its end
        for lost in ("arm", "disarm"):
            simplon.read_series(link.exchange(simplon.command(lost)))
            link.clock.sleep(0.2)  # what it has to say at the same time it sends as one message
        assert camera.arm("first") == 2
        camera.trigger()
        return everything(camera)


def test_our_driver_takes_a_series_of_tickits_eiger(tmp_path: Path) -> None:
    with tickits_eiger(tmp_path) as (port, stream):
        images, tally = three_images(port, stream)
    assert tally.whole and tally.ended and (tally.due, tally.received, tally.broken) == (3, 3, 0)
    assert [image.image for image in images] == [0, 1, 2]
    # recorded from an EIGER2 16M, the same one three times; the numbers are those of dectris-compression
    pixels = unpack(images[-1].channels[CHANNEL])
    assert pixels.shape == (4362, 4148) and pixels.dtype == np.uint16
    assert (int(pixels.sum(dtype="u8")), int(np.sum(pixels == 65535))) == (82120283837, 1253075)


def test_our_driver_passes_on_that_tickits_eiger_tells_no_version(tmp_path: Path) -> None:
    with (
        tickits_eiger(tmp_path) as (port, stream),
        our_camera(Filled(port, {}), stream, pixels=(4148, 4362)) as camera,
        pytest.raises(DeviceError, match="camera: open was refused with 404"),
    ):
        camera.open()


@contextmanager
def libertem_camera(source: str) -> Iterator[tuple[int, str]]:
    """LiberTEM-live's camera: the port of its REST side and the address of its Stream V1."""
    python = python_with("libertem-live", "CRYOLIFT_LIBERTEM_PYTHON")
    with running([python, LIBERTEM, "camera", source], ends_by_itself=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, "LiberTEM-live's camera did not come up"
        port, stream = json.loads(said)
        yield port, f"tcp://127.0.0.1:{stream}"


def its_messages(port: int, stream: str) -> list[Message]:
    """What it sends for one arming."""
    link, messages = Filled(port, {}), ZmqLink("stream", stream, RealClock())
    try:
        assert simplon.read_series(link.exchange(simplon.command("arm"))) == 34
        found: list[Message] = []
        while (message := messages.receive(0.5)) is not None or not found:
            found += [message] if message is not None else []
        return found
    finally:
        link.close()
        messages.close()


def moved(messages: list[Message]) -> list[Message]:
    """The same with counting times and start times that go on, as a camera's do."""
    found = []
    for message in messages:
        if len(message) == 4:
            frame = json.loads(message[0])["frame"]
            said = json.loads(message[3]) | {"start_time": frame * 1_000_000, "stop_time": frame * 1_000_000 + 999_900}
            message = (*message[:3], json.dumps(said).encode())
        elif b'"count_time"' in message[0]:
            message = (json.dumps(json.loads(message[0]) | {"count_time": 0.001}).encode(),)
        found.append(message)
    return found


def test_zeroed_headers_of_libertems_camera_are_read_and_put_right() -> None:
    with libertem_camera("20") as (port, stream):
        messages = its_messages(port, stream)
    decoder = Decoder()
    assert [len(message) for message in messages[:2]] == [1, 1] and decoder.decode(messages[0]) is None
    start = decoder.decode(messages[1])
    assert isinstance(start, StreamStart) and (start.images, start.shape) == (20, (512, 512))
    for number, message in enumerate(messages[2:-1]):
        image = decoder.decode(message)
        assert isinstance(image, StreamImage) and image.image == number
        packed = image.channels[CHANNEL]
        assert header_zeroed(packed) and not header_zeroed(with_header(packed))
        assert (unpack(packed) == number).all() and (unpack(with_header(packed)) == number).all()
    assert number == 19 and decoder.decode(messages[-1]) == StreamEnd(34, "")


def test_our_driver_takes_a_gated_series_of_libertems_camera(tmp_path: Path) -> None:
    number = 50
    with libertem_camera(str(number)) as (port, stream):
        messages = moved(its_messages(port, stream))
    capture = tmp_path / "capture"  # each part after its length
    parts = [part for message in messages for part in message]
    capture.write_bytes(b"".join(len(part).to_bytes(8, sys.byteorder) + part for part in parts))
    left_out = {  # it has no state, one format and no region
        "detector/status/state": Parameter("idle", "string"),
        "stream/config/format": Parameter("legacy", "string"),
        "detector/config/roi_mode": Parameter("disabled", "string"),
    }
    with (
        libertem_camera(str(capture)) as (port, stream),
        our_camera(
            Filled(port, left_out, ("detector/config/ntrigger",)), stream, pixels=(512, 512), stream_format="legacy"
        ) as camera,
    ):
        camera.open()
        prepared = camera.configure(number, 1e-3, gated=True)
        assert prepared == Prepared(number, True, 1e-3, 1e-3, 16, (512, 512))
        assert camera.arm("first") == 34
        images, tally = everything(camera)
    assert tally.whole and tally.ended and (tally.due, tally.received, tally.broken) == (number, number, 0)
    assert [unpack(image.channels[CHANNEL]).max() for image in images] == list(range(number))


# --- our camera, other people's clients


class Watched:
    """Our camera, and what it was asked and sent; once it is armed for gates the beam scans, once.

    waits_for: path that is to be asked between the arming and the scan; "" is none.
    """

    def __init__(self, clock: RealClock) -> None:
        self._world = World(
            load_sample("li-lipon"),
            seed=7,
            clock=clock,
            optics=optics(),
            beam_current=CURRENT,
            hidden_errors=False,
            full_field=FIELD,
            wiring=(),
        )
        self._box = CameraServer(self._world)
        self.asked: list[str] = []
        self.sent: list[Message] = []
        self.waits_for = ""
        self._scanned = False

    def answer(self, request: Request) -> Response | Later:
        self.asked.append(request.path)
        return self._box.answer(request)

    def connected(self) -> None:
        self._box.stream.connected()

    def disconnected(self) -> None:
        self._box.stream.disconnected()

    def due(self) -> float | None:
        return self._box.stream.due()

    def send(self) -> Message | None:
        message = self._box.stream.send()
        if message is not None:
            self.sent.append(message)
        return message

    def images(self) -> list[NDArray[Any]]:
        """The pixels it sent, read by our own codec."""
        decoder = Decoder()
        found = [decoder.decode(message) for message in self.sent]
        return [unpack(image.channels[CHANNEL]) for image in found if isinstance(image, StreamImage)]

    def tick(self) -> None:
        self._world.catch_up()
        series, now = self._box.stream.series, self._world.clock.now()
        if series is None or not series.gated or now < series.armed or self._scanned:
            return
        since = self.asked[self.asked.index("/detector/api/1.8.0/command/arm") :]
        if self.waits_for and self.waits_for not in since:
            return
        self._scanned = True
        u, v, cell = grid((0.0, 0.0), 400e-9, SIDE)
        self._world.column.select("electron")
        self._world.column.raster(u, v, cell, 3e-3, now + 0.1)
        self._box.stream.gates(now + 0.1, 3e-3, 2.9e-3, SIDE * SIDE)


@pytest.fixture
def served() -> Iterator[tuple[str, str, Watched]]:
    """Our camera on real ports: port, stream and what it is asked and sends."""
    clock = RealClock(speed=SPEED)
    camera = Watched(clock)
    ports = {"camera": Port(camera, "http"), "stream": Port(camera, "stream")}
    with serve(clock, ports, tick=camera.tick) as addresses:
        yield addresses["camera"].rpartition(":")[2], addresses["stream"], camera


@pytest.mark.parametrize("mode", ["exte", "ints"])
def test_dectris_client_and_libertems_receiver_take_a_series_of_ours(
    served: tuple[str, str, Watched], mode: str
) -> None:
    python = python_with("libertem-live", "CRYOLIFT_LIBERTEM_PYTHON")
    port, stream, camera = served
    told = answer([python, LIBERTEM, "receive", port, stream, mode, str(SIDE * SIDE)], seconds=60.0)
    assert (told["version"], told["first"], told["second"], told["series"]) == ("1.8.0", "na", "idle", 1)
    assert {"count_time", "trigger_mode", "x_pixels_in_detector"} <= set(told["keys"])
    assert {"count_time", "frame_time"} <= set(told["changed"])
    pixels = camera.images()
    assert told["dtype"] == "<u2" and told["sums"] == [int(image.sum(dtype="i8")) for image in pixels]
    assert np.array_equal(told["total"], np.sum(pixels, axis=0, dtype="i8"))
    assert all(told["total"][row][column] == SIDE * SIDE * 65535 for row, column in DEAD)
    dark = SIDE * SIDE * 65535 * len(DEAD)
    assert np.sum(told["total"]) == dark if mode == "ints" else np.sum(told["total"]) > 2 * dark


def test_libertem_live_runs_a_whole_4d_stem_acquisition_on_ours(served: tuple[str, str, Watched]) -> None:
    python = python_with("libertem-live", "CRYOLIFT_LIBERTEM_PYTHON")
    port, stream, camera = served
    camera.waits_for = "/stream/api/1.8.0/config/header_detail"  # which it sets when the camera is armed
    told = answer([python, LIBERTEM, "live", port, stream, str(SIDE)], seconds=90.0)
    pixels = camera.images()
    assert len(pixels) == SIDE * SIDE and np.array_equal(told["total"], np.sum(pixels, axis=0, dtype="i8"))
