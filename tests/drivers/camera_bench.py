"""A camera in front of the shipped sample on a virtual clock, alone or gated by a scan box, for tests of both ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.camera import Camera, CameraSettings, Tally, ranges
from drivers.camera_settings import CameraLimits
from drivers.clock import VirtualClock
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
from simulators.camera_server import CameraServer
from simulators.http_box import HttpBox, HttpPeer, Later
from simulators.scan_server import ScanServer
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
    """Camera and scan, their lines, their boxes and the world behind them."""

    clock: VirtualClock
    world: World
    abort: AbortFlag
    server: CameraServer
    box: Listening
    camera: Camera
    scan: Scan
    office: Office

    def scanned(self, frame: Frame, *, bits: int | None = None) -> tuple[list[StreamImage], Tally]:
        """Arm the camera for a frame, scan it, and read both to their ends."""
        commanded = self.scan.commanded(frame)
        self.camera.configure(frame.count, commanded.dwell, gated=True, bits=bits)
        self.camera.arm("exposure")
        self.scan.start(commanded, self.office.ticket(commanded))
        return self.read()

    def taken(self, images: int, frame_time: float) -> tuple[list[StreamImage], Tally]:
        """Configure, arm, trigger, and read to the end."""
        self.camera.configure(images, frame_time, gated=False)
        self.camera.arm("exposure")
        self.camera.trigger()
        return self.read()

    def read(self) -> tuple[list[StreamImage], Tally]:
        images, idle = [], 0
        while not self.camera.finished() and idle < 40:
            if not self.scan.finished():
                self.scan.read(0.0)
            new = self.camera.read(0.05)
            images += new
            idle = 0 if new else idle + 1
        tally = self.camera.finish()
        return [*images, *tally.rest], tally


def camera_bench(
    settings: CameraSettings = SETTINGS,
    *,
    opened: bool = True,
    wiring: Sequence[Wire] = WIRING,
    guard: Callable[[str], None] = lambda command: None,
    requests: Sequence[Fault] = (),
    messages: Sequence[Fault] = (),
    seed: int = 0,
) -> CameraBench:
    """requests, messages: what goes wrong on the one and on the other line of the camera, once it is open."""
    clock, abort = VirtualClock(), AbortFlag()
    world = a_world(clock, wiring=wiring)
    scan_link = MemoryLink("scan", ScanServer(world), clock, abort)
    server = CameraServer(world)
    box = Listening(server)

    def a_camera(requests: Sequence[Fault], messages: Sequence[Fault]) -> Camera:
        line = FaultyLink(MemoryLink("camera", HttpPeer(box, clock), clock, abort), requests, seed=seed)
        return Camera(
            HttpLink(line),
            settings,
            stream=FaultyMessages(MemoryMessages("camera", server.stream, clock, abort), messages, seed=seed),
            gate_latency=LATENCY,
            limits=Limits(ranges(settings)),
            guard=guard,
            wait=clock.sleep,
        )

    bench = CameraBench(clock, world, abort, server, box, a_camera(requests, messages), a_scan(scan_link), Office())
    if opened:
        bench.scan.open()
        a_camera((), ()).open()
        box.asked.clear()
    return bench


def pixels(image: StreamImage) -> NDArray[np.int64]:
    """The counts of an image, (rows, columns)."""
    return unpack(image.channels[CHANNEL]).astype(np.int64)
