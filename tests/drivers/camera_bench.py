"""A camera on a virtual clock, before a lamp or behind the shipped sample and gated by a scan box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.camera import Camera, CameraSettings, Prepared, Tally, ranges
from drivers.camera_settings import CameraLimits
from drivers.clock import Clock, VirtualClock
from drivers.limits import Limits
from drivers.links import AbortFlag, FaultyLink, MemoryLink
from drivers.links.faults import Fault
from drivers.links.http import HttpLink
from drivers.links.messages import FaultyMessages, MemoryMessages
from drivers.rigfile import Wire
from drivers.scan import Scan
from drivers.ticket import Frame
from drivers.wire.http import Request, Response, read_json
from drivers.wire.packed import unpack
from drivers.wire.simplon_frames import CHANNEL, StreamImage
from simulators.beam.bragg import Spots
from simulators.beam.patterns import Array, Seen
from simulators.boxes.camera import CameraServer
from simulators.boxes.http import HttpBox, HttpPeer, Later
from simulators.boxes.scan import ScanServer
from simulators.world import World
from tests.drivers.scan_bench import Office, a_world
from tests.drivers.scan_bench import a_driver as a_scan

LATENCY = 200e-9  # s
DWELL = 20e-6  # s
SETTINGS = CameraSettings(
    pixels=(128, 128), angle_per_pixel=1.6e-3, limits=CameraLimits(frame_time=(8.3e-6, 10.0), images=1 << 18)
)
LEGACY = SETTINGS.model_copy(update={"stream_format": "legacy"})
WIRING = (Wire.model_validate({"from": "scan.pixel_clock", "to": "camera.gate", "latency": LATENCY}),)


class Lamp:
    """A far field whose images say in their pixels when they began: the part of the world that a camera meets."""

    beam_energy = 200e3

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.diffraction = self
        self.processes: list[Callable[[float], None]] = []
        self._hear: list[Callable[[float, float, float, int], None]] = []

    def watch(self) -> None:
        self._first: float | None = None

    def rest(self) -> None:
        """It always shines."""

    def forget(self, before: float) -> None:
        """Nothing is kept."""

    def seen(self, starts: Array, stops: Array) -> Seen:
        self._first = float(starts[0]) if self._first is None else self._first
        dark = np.zeros((len(starts), 1), np.int16), Spots.none(len(starts))
        return Seen(np.arange(len(starts) + 1), starts - self._first, *dark)

    def counts(self, seen: Seen, window: int) -> NDArray[np.int64]:
        found = np.zeros((128, 128), np.int64)
        found[64, :20] = round(float(seen.electrons[window]) * 1e4) >> np.arange(20) & 1
        return found

    def catch_up(self) -> None:
        for advance in self.processes:
            advance(self.clock.now())

    def listen_pulses(self, input: str, hear: Callable[[float, float, float, int], None], /) -> None:
        assert input == "camera.gate"
        self._hear.append(hear)

    def gates(self, every: float, count: int, after: float = 1e-3) -> None:
        """So many pulses at the trigger input."""
        for hear in self._hear:
            hear(self.clock.now() + after, every, every - 125e-9, count)


class Listening:
    """A box that is asked through here; to a GET or a command whose path is in `said` it answers that."""

    def __init__(self, box: HttpBox) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.said: dict[str, Response] = {}
        self._box = box

    def answer(self, request: Request) -> Response | Later:
        self.asked.append((request.method, request.path, request.body))
        answer = self._box.answer(request)
        if request.path in self.said and (request.method == "GET" or "/command/" in request.path):
            return self.said[request.path]
        return answer

    def puts(self) -> list[tuple[str, object]]:
        """Names and values that were set, and commands, since the last time."""
        asked, self.asked = self.asked, []
        return [
            (path.rpartition("/")[2], read_json(body)["value"] if body else None)
            for method, path, body in asked
            if method == "PUT"
        ]


@dataclass
class CameraBench:
    """A camera before a lamp: its box, its lines, its driver."""

    clock: VirtualClock
    lamp: Lamp
    abort: AbortFlag
    server: CameraServer
    box: Listening
    camera: Camera

    def another(self) -> Camera:
        """A driver of another host at the same camera, whose lines are sound."""
        return _a_camera(self.camera.settings, self.box, self.server, self.clock, self.abort)

    def prepare(self, images: int, every: float, *, gated: bool) -> Prepared:
        """What configuring it leaves behind, without the bytes."""
        many = {"trigger_mode": "exte", "ntrigger": images} if gated else {"trigger_mode": "ints", "nimages": images}
        for name, value in {"count_time": every, "frame_time": every, **many}.items():
            self.server._detector.put(name, value)  # type: ignore[arg-type]
        bits, count_time = self.server._detector["bit_depth_image"], self.server._detector["count_time"]
        self.camera._prepared = Prepared(images, gated, every, count_time, bits, self.server._detector.shape)
        return self.camera._prepared

    def taken(self, images: int, frame_time: float) -> tuple[list[StreamImage], Tally]:
        """Configure, arm, trigger, and read to the end."""
        self.camera.configure(images, frame_time, gated=False)
        self.camera.arm("exposure")
        self.camera.trigger()
        return self.read()

    def gated(self, images: int, every: float) -> tuple[list[StreamImage], Tally]:
        """Configure, arm, give it its gates, and read to the end."""
        self.camera.configure(images, every, gated=True)
        self.camera.arm("exposure")
        self.lamp.gates(every, images)
        return self.read()

    def read(self) -> tuple[list[StreamImage], Tally]:
        """Everything that comes, and what it amounts to."""
        images, idle = [], 0
        while not self.camera.finished() and idle < 40:
            new = self.camera.read(0.05)
            images += new
            idle = 0 if new else idle + 1
        tally = self.camera.finish()
        return [*images, *tally.rest], tally


@dataclass
class ScannedBench:
    """A camera behind the shipped sample, gated by the scan box."""

    clock: VirtualClock
    world: World
    server: CameraServer
    camera: Camera
    scan: Scan
    office: Office

    def start(self, frame: Frame, *, images: int | None = None) -> None:
        """Arm the camera for a frame, or for other than its pixels, and scan it."""
        commanded = self.scan.commanded(frame)
        self.camera.configure(images or frame.count, commanded.dwell, gated=True)
        self.camera.arm("exposure")
        self.scan.start(commanded, self.office.ticket(commanded))

    def read(self) -> tuple[list[StreamImage], Tally]:
        """Read both to their ends."""
        images, idle = [], 0
        while not (self.camera.finished() and self.scan.finished()) and idle < 20:
            scanned, new = self.scan.read(0.0), self.camera.read(0.05)
            images += new
            idle = 0 if new or len(scanned) else idle + 1
        tally = self.camera.finish()
        return [*images, *tally.rest], tally


def camera_bench(
    settings: CameraSettings = SETTINGS,
    *,
    opened: bool = True,
    requests: Sequence[Fault] = (),
    messages: Sequence[Fault] = (),
    seed: int = 0,
) -> CameraBench:
    """requests, messages: what goes wrong on the one and on the other line of the camera, once it is open."""
    clock, abort = VirtualClock(), AbortFlag()
    lamp = Lamp(clock)
    server = CameraServer(lamp)
    box = Listening(server)
    if opened:  # what opening it leaves behind, without the bytes
        server._initialized = True
        server._stream.put("format", settings.stream_format)
        server._stream.put("mode", "enabled")
        server._detector.put("roi_mode", settings.roi_mode)
    camera = _a_camera(settings, box, server, clock, abort, requests, messages, seed)
    return CameraBench(clock, lamp, abort, server, box, camera)


def scanned_bench(settings: CameraSettings = SETTINGS) -> ScannedBench:
    """Both open."""
    clock, abort = VirtualClock(), AbortFlag()
    world = a_world(clock, wiring=WIRING)
    scan = a_scan(MemoryLink("scan", ScanServer(world), clock, abort))
    server = CameraServer(world)
    camera = _a_camera(settings, server, server, clock, abort)
    scan.open()
    camera.open()
    return ScannedBench(clock, world, server, camera, scan, Office())


def _a_camera(
    settings: CameraSettings,
    box: HttpBox,
    server: CameraServer,
    clock: VirtualClock,
    abort: AbortFlag,
    requests: Sequence[Fault] = (),
    messages: Sequence[Fault] = (),
    seed: int = 0,
) -> Camera:
    line = FaultyLink(MemoryLink("camera", HttpPeer(box, clock), clock, abort), requests, seed=seed)
    return Camera(
        HttpLink(line),
        settings,
        stream=FaultyMessages(MemoryMessages("camera", server.stream, clock, abort), messages, seed=seed),
        gate_latency=LATENCY,
        limits=Limits(ranges(settings)),
        guard=lambda command: None,
        wait=clock.sleep,
    )


def pixels(image: StreamImage) -> NDArray[np.int64]:
    """The counts of an image, (rows, columns)."""
    return unpack(image.channels[CHANNEL]).astype(np.int64)
