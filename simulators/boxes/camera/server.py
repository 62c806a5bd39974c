"""A DECTRIS camera in front of the world's diffraction: SIMPLON 1.8.0 requests in, answers and a stream out.

Source: what DECTRIS' client asks and DECTRIS documents of the stream; states, commands and side effects as in
tickit-devices; `trigger` is answered when its images are over and a finished series ends by itself, as areaDetector's
driver relies on.  `assumed`: the statuses of refusals, that while armed nothing but the stream can be set, that of an
aborted series the images that were over are delivered still, how long anything takes (data/camera.yaml).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from drivers.errors import WireError
from drivers.wire import simplon
from drivers.wire.http import Request, Response
from drivers.wire.packed import U1, U2, U4, Dtype
from drivers.wire.simplon import Asked, BadRequest, Parameter
from drivers.wire.simplon_frames import CHANNEL, StreamStart
from physics.units import parse
from simulators.boxes.camera.parameters import (
    Configuration,
    DetectorConfiguration,
    NoSuch,
    Unsuitable,
    stream_configuration,
)
from simulators.boxes.camera.stream import CameraStream, CameraWorld, Series
from simulators.boxes.http import Later
from simulators.constants import constants

STATES = ("na", "idle", "ready", "acquire", "configure", "initialize", "error")
DTYPES: dict[int, Dtype] = {8: U1, 16: U2, 32: U4}
TEMPERATURE, HUMIDITY = 24.5, 5.0  # degrees Celsius, percent


class CameraServer:
    """An `HttpBox`, switched on and not initialized; its trigger input is `camera.gate`.

    stream: what it pushes, a `MessagePeer`.
    """

    def __init__(self, world: CameraWorld) -> None:
        numbers = constants("camera")
        self._initializing, self._arming = float(numbers["initialize"]), float(numbers["arm"])
        self._configuring = parse(numbers["configure"], "time")
        self._world = world
        self.stream = CameraStream(world)
        self._detector = DetectorConfiguration(world.beam_energy)
        self._stream = stream_configuration()
        self._initialized = False
        self._busy = "", -math.inf  # the state it is in until a clock time
        self._series = 0
        world.listen_pulses("camera.gate", self.stream.gates)
        self._commands: dict[str, Callable[[Asked, float], Response | Later]] = {
            "initialize": self._initialize,
            "arm": self._arm,
            "trigger": self._trigger,
            "disarm": self._disarm,
            "cancel": self._disarm,
            "abort": self._disarm,
        }

    def answer(self, request: Request) -> Response | Later:
        self._world.catch_up()
        try:
            return self._answered(simplon.read_request(request), self._world.clock.now())
        except BadRequest as refused:
            return simplon.say_no(refused.what, refused.status)
        except NoSuch:
            return simplon.say_no(f'error during request: path error: unknown path: "{request.path[:100]}"', 404)
        except (Unsuitable, WireError) as refused:
            return simplon.say_no(f"error during request: {refused}", 400)

    def _answered(self, asked: Asked, now: float) -> Response | Later:
        match asked.module, asked.task:
            case ("detector" | "stream", "version"):
                return simplon.say_parameter(Parameter(simplon.VERSION, "string"))
            case "detector", "command" if asked.name in self._commands and asked.put:
                return self._commands[asked.name](asked, now)
            case "detector", "status" if (told := self._status(now).get(asked.name)) is not None:
                return simplon.say_parameter(told)
            case "stream", "status" if (told := self._stream_status(now).get(asked.name)) is not None:
                return simplon.say_parameter(told)
            case "detector", "config":
                return self._parameter(asked, self._detector, now)
            case "stream", "config":
                return self._parameter(asked, self._stream, now)
        raise NoSuch

    # --- parameters

    def _parameter(self, asked: Asked, of: Configuration, now: float) -> Response | Later:
        if not asked.put:
            return simplon.say_names(of.names()) if asked.name == "keys" else simplon.say_parameter(of.tell(asked.name))
        if of is self._detector:  # the stream is set while armed, too: LiberTEM-live does so in every series
            self._see_state(asked.name, now, "idle")
        several = asked.value if isinstance(asked.value, Mapping) and not asked.name else {asked.name: asked.value}
        changed = [name for key, value in several.items() for name in of.put(key, value)]  # type: ignore[arg-type]
        if of is self._detector:
            self._busy = "configure", now + self._configuring
        return Later(now + self._configuring, lambda: simplon.say_names(changed))

    def _status(self, now: float) -> dict[str, Parameter]:
        free = 1.0 - self.stream.waiting * self._image_size() / self.stream.room
        return {
            "state": Parameter(self._state(now), "string", "r", allowed=STATES),
            "error": Parameter([], "string[]", "r"),
            "time": Parameter(self._world.clock.utc().isoformat(), "date", "r"),
            "temperature": Parameter(TEMPERATURE, "float", "r", "C"),
            "humidity": Parameter(HUMIDITY, "float", "r", "%"),
            "dcu_buffer_free": Parameter(100.0 * max(free, 0.0), "float", "r", "%"),
        }

    def _stream_status(self, now: float) -> dict[str, Parameter]:
        running = {"ready": "ready", "acquire": "acquire"}.get(self._state(now), "ready")
        state = running if self._stream["mode"] == "enabled" else "disabled"
        return {
            "state": Parameter(state, "string", "r", allowed=("disabled", "ready", "acquire", "error")),
            "error": Parameter([], "string[]", "r"),
            "dropped": Parameter(self.stream.dropped, "uint", "r"),
        }

    def _state(self, now: float) -> str:
        busy, until = self._busy
        if now < until:
            return busy
        if not self._initialized:
            return "na"
        if self.stream.series is None:
            return "idle"
        return "acquire" if self.stream.begun(now) else "ready"

    def _see_state(self, what: str, now: float, *states: str) -> None:
        if (state := self._state(now)) not in states:
            raise Unsuitable(f'{what} is not possible in the state "{state}"')

    def _image_size(self) -> int:
        rows, columns = self._detector.shape
        return rows * columns * int(self._detector["bit_depth_image"]) // 8

    # --- commands

    def _initialize(self, asked: Asked, now: float) -> Later:
        self._see_state(asked.name, now, "na", "idle", "ready", "error")
        self.stream.end(now)
        self._detector = DetectorConfiguration(self._world.beam_energy)
        self._initialized = True
        return self._done("initialize", now + self._initializing)

    def _arm(self, asked: Asked, now: float) -> Later:
        self._see_state(asked.name, now, "idle")
        self._series += 1
        self.stream.begin(self._armed(now + self._arming))
        return self._done("configure", now + self._arming)

    def _trigger(self, asked: Asked, now: float) -> Later:
        self._see_state(asked.name, now, "ready", "acquire")
        if self._detector["trigger_mode"] != "ints" or asked.value is not None:
            raise Unsuitable(f"trigger is not possible in the trigger_mode {self._detector['trigger_mode']}")
        every, images = float(self._detector["frame_time"]), int(self._detector["nimages"])
        begins = max(now, self.stream.free)
        self.stream.expose(begins + every * np.arange(images, dtype=np.float64), float(self._detector["count_time"]))
        return Later(begins + every * images, self._say_series)

    def _disarm(self, asked: Asked, now: float) -> Response:
        if not self._initialized or (now < self._busy[1] and self._busy[0] == "initialize"):
            raise Unsuitable(f'{asked.name} is not possible in the state "{self._state(now)}"')
        self.stream.end(now)
        self._busy = "", -math.inf
        return self._say_series()

    def _done(self, state: str, at: float) -> Later:
        self._busy = state, at
        return Later(at, self._say_series)

    def _say_series(self) -> Response:
        return simplon.say_series(self._series)

    def _armed(self, at: float) -> Series:
        detector, stream = self._detector, self._stream
        bits, can = int(detector["bit_depth_image"]), detector.can
        date = self._world.clock.utc()
        gated = detector["trigger_mode"] == "exte"
        start = StreamStart(
            series=self._series,
            unique_id=f"{round(date.timestamp() * 1e3):013d}{self._series:013d}",
            images=int(detector["nimages"]) * int(detector["ntrigger"]),
            channels=(CHANNEL,),
            dtype=DTYPES[bits],
            shape=detector.shape,
            count_time=float(detector["count_time"]),
            frame_time=float(detector["frame_time"]),
            thresholds={CHANNEL: float(detector["threshold_energy"])},
            saturation=int(detector["countrate_correction_count_cutoff"]),
            incident_energy=float(detector["incident_energy"]),
            pixel=(float(detector["x_pixel_size"]), float(detector["y_pixel_size"])),
            sensor_material=str(detector["sensor_material"]),
            sensor_thickness=float(detector["sensor_thickness"]),
            description=str(detector["description"]),
            serial_number=str(detector["detector_number"]),
            armed=date.isoformat(),
            trigger_mode=str(detector["trigger_mode"]),
            triggers=int(detector["ntrigger"]),
        )
        return Series(
            start=start,
            armed=at,
            fastest=can.fastest[min(bits, 16)] if gated else 0.0,
            readout=can.readout if gated else 0.0,
            dtype=DTYPES[bits],
            codec=detector["compression"],
            format=stream["format"] if stream["mode"] == "enabled" else "",
            gated=gated,
            merged=can.pixels[0] // detector.shape[0],
            mask_to_zero=bool(detector["mask_to_zero"]),
        )
