"""A temscript server on the PC of a microscope, in front of the world's column: requests in, responses out.

Behaves as temscript 2.1.0 does over a Titan: one thread, so that everything waits while an image is taken or the valves
close; what it does not have is 404, whatever the microscope objects to 500 with the reason; column valves may be closed
and not opened; the goniometer takes no order while it moves, and cannot be stopped.  What the microscope knows and this
world does not, such as diffraction of a parallel beam, it objects to.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from drivers.errors import WireError
from drivers.wire import temscript as wire
from drivers.wire import temscript_tem as tem
from drivers.wire.http import Request, Response
from drivers.wire.temscript import DetectorSetting, Endpoint, Position, StemDetector, StemSetting, Vacuum
from drivers.wire.temscript_image import detectors_of, images
from physics.units import parse
from simulators.boxes.column.tem_camera import CAMERA, Objection, TemCamera
from simulators.boxes.http import Later
from simulators.constants import constants
from simulators.stages.goniometer import Busy, OutOfRange
from simulators.world import World

DETECTOR = "HAADF"
DONE = Response(204)


@dataclass
class _Job:
    """Something the one thread does at a clock time; `made` is what came of it."""

    at: float
    do: Callable[[float], Response]
    made: list[Response] = field(default_factory=list)


class ColumnServer:
    """An `HttpBox`: the web server and the microscope behind it, which was left blanked, in STEM, its valves open."""

    closes = True  # HTTP/1.0; temscript's own client needs it, for it leaves answers without a body unread

    def __init__(self, world: World) -> None:
        self._world, self._column, self._scan = world, world.column, world.own_scan
        self._tem = TemCamera(world.flooding)
        self._numbers = constants("microscope")
        self._valve_time = parse(self._numbers["valves"], "time")
        self._dwell = [parse(limit, "time") for limit in self._numbers["dwell"]]
        self._jobs: list[_Job] = []
        self._free = world.clock.now()  # from when the thread has nothing left to do
        if not self._column.fitted:
            self._column.fitted, self._column.blanked = True, True
        world.processes.insert(0, self._advance)  # first, so that what it changes is changed at its time for all others

    def answer(self, request: Request) -> Response | Later:
        self._world.catch_up()
        now = self._world.clock.now()
        begins = max(now, self._free)
        try:
            job, ends = self._job(request, begins)
        except (wire.Unknown, WireError, Objection) as error:
            job, ends = _Job(begins, partial(_refused, request, error)), begins
        bisect.insort(self._jobs, job, key=lambda one: one.at)
        self._free = ends
        self._advance(now)
        return job.made[0] if job.made else Later(job.at, lambda: self._outcome(job))

    def _outcome(self, job: _Job) -> Response:
        self._world.catch_up()
        return job.made[0]

    def _advance(self, now: float) -> None:
        while self._jobs and self._jobs[0].at <= now:
            job = self._jobs.pop(0)
            for advance in self._world.processes[1:]:
                advance(job.at)
            job.made.append(job.do(job.at))

    # --- what is to be done, and how long it takes

    def _job(self, request: Request, begins: float) -> tuple[_Job, float]:
        detectors = detectors_of(request)
        if detectors is not None:
            return self._image(detectors, begins)
        if request.method not in ("GET", "PUT"):
            return _Job(begins, lambda _: wire.refusal(501, f"Unsupported method ({request.method!r})")), begins
        asked = wire.asked(request, tem.WHOLE_TABLE)
        if asked.detector not in ("", CAMERA if asked.endpoint is tem.CAMERA else DETECTOR):
            raise wire.Unknown(f"No detector with name {asked.detector}")
        if not asked.put:
            return _Job(begins, lambda time: self._read(asked.endpoint, time)), begins
        if asked.endpoint is wire.VALVES:
            ends = begins + self._valve_time
            return _Job(ends, lambda time: self._ordered(request, asked, time)), ends
        return _Job(begins, lambda time: self._ordered(request, asked, time)), begins

    def _image(self, detectors: tuple[str, ...], begins: float) -> tuple[_Job, float]:
        there = CAMERA if self._column.parallel else DETECTOR
        if detectors != (there,):
            raise Objection(f"No image of {', '.join(detectors) or 'no detector'}; there is {there}")
        if self._column.parallel:
            flooding = self._world.flooding
            bisect.insort(self._jobs, _Job(begins, self._expose), key=lambda one: one.at)
            over = begins + flooding.lasting
            return _Job(over, lambda _: images({CAMERA: flooding.image()})), over
        over = begins + self._scan.lasting
        bisect.insort(self._jobs, _Job(begins, self._begin), key=lambda one: one.at)
        return _Job(over, lambda _: images({DETECTOR: self._scan.image()})), over

    def _expose(self, time: float) -> Response:
        self._world.flooding.begin(time)
        return DONE

    def _begin(self, time: float) -> Response:
        self._scan.begin(time)
        return DONE

    def _ordered(self, request: Request, asked: wire.Asked, time: float) -> Response:
        try:
            if asked.endpoint.name in tem.TEM_TABLE:
                self._tem.order(asked.endpoint.name, asked.value)
            else:
                _PUT[asked.endpoint.name](self, asked, time)
        except (Objection, Busy, OutOfRange) as error:
            return _refused(request, error, time)
        return DONE

    def _read(self, endpoint: Endpoint[Any], time: float) -> Response:
        if endpoint.name in tem.TEM_TABLE:
            return endpoint.answer(self._tem.read(endpoint.name))
        return endpoint.answer(_GET[endpoint.name](self, time))

    # --- what is set

    def _blank(self, asked: wire.Asked, time: float) -> None:
        self._column.blank(asked.value, time)

    def _valves(self, asked: wire.Asked, time: float) -> None:
        if asked.value:
            raise Objection("Opening of column valves is prohibited.")
        self._column.let_through(False, time)

    def _go(self, asked: wire.Asked, time: float) -> None:
        query = dict(asked.query)
        way = query.get("method", "GO")
        if way not in wire.WAYS:
            raise Objection("Unknown movement method.")
        if "speed" in query:
            raise Objection("no other speed than the usual is simulated")
        self._world.goniometer.go(asked.value.axes(), "MOVE" if way == "MOVE" else "GO", time)

    def _mode(self, asked: wire.Asked, time: float) -> None:
        self._column.parallel = asked.value == "TEM"

    def _screen(self, asked: wire.Asked, time: float) -> None:
        self._column.screen_down = asked.value == "DOWN"

    def _magnify(self, asked: wire.Asked, time: float) -> None:
        nearest = min(self._numbers["magnifications"], key=lambda one: abs(one - asked.value))
        self._scan.set(magnification=float(nearest))

    def _rotate(self, asked: wire.Asked, time: float) -> None:
        self._scan.set(rotation=asked.value)

    def _detect(self, asked: wire.Asked, time: float) -> None:
        said: DetectorSetting = asked.value
        for name, value in (("brightness", said.brightness), ("contrast", said.contrast)):
            if value is not None:
                if not 0.0 <= value <= 1.0:
                    raise Objection(f"{name} {value:g} is out of range")
                self._scan.set(**{name: value})

    def _set_up(self, asked: wire.Asked, time: float) -> None:
        said: StemSetting = asked.value
        if said.image_size not in (None, "FULL"):
            raise Objection("no other image size than FULL is simulated")
        if said.binning is not None:
            if said.binning not in self._numbers["binnings"]:
                raise Objection(f"binning {said.binning} is not supported")
            self._scan.set(binning=said.binning)
        if said.dwell is not None:
            if not self._dwell[0] <= said.dwell <= self._dwell[1]:
                raise Objection(f"dwell time {said.dwell:g} is out of range")
            self._scan.set(dwell=said.dwell)

    # --- what is read

    def _vacuum(self, time: float) -> Vacuum:
        return Vacuum("READY", self._column.valves_open, False, tuple(self._numbers["pressure"].items()))

    def _status(self, time: float) -> str:
        goniometer = self._world.goniometer
        return {"GO": "GOING", "MOVE": "MOVING"}[goniometer.way] if goniometer.moving(time) else "READY"

    def _stem(self, time: float) -> StemSetting:
        return StemSetting("FULL", self._scan.settings.binning, self._scan.settings.dwell)

    def _detector(self, time: float) -> DetectorSetting:
        return DetectorSetting(self._scan.settings.brightness, self._scan.settings.contrast)


def _refused(request: Request, error: Exception, _: float) -> Response:
    if isinstance(error, wire.Unknown):
        return wire.refusal(404, str(error))
    return wire.refusal(500, f"Error handling request '{request.path}': {error}")


_GET: dict[str, Callable[[ColumnServer, float], Any]] = {
    "version": lambda server, time: "2.1.0",
    "family": lambda server, time: "TITAN",
    "microscope_id": lambda server, time: "simulated",
    "stage_holder": lambda server, time: "SINGLE_TILT",
    "voltage": lambda server, time: server._column.beam_energy,
    "vacuum": ColumnServer._vacuum,
    "column_valves_open": lambda server, time: server._column.valves_open,
    "stage_position": lambda server, time: Position(**server._world.goniometer.place(time)),
    "stage_limits": lambda server, time: wire.StageLimits(**server._world.goniometer.limits),
    "stage_status": ColumnServer._status,
    "beam_blanked": lambda server, time: server._column.blanked,
    "instrument_mode": lambda server, time: "TEM" if server._column.parallel else "STEM",
    "screen_position": lambda server, time: "DOWN" if server._column.screen_down else "UP",
    "screen_current": lambda server, time: server._scan.screen_current(),
    "stem_available": lambda server, time: True,
    "stem_detectors": lambda server, time: (StemDetector(DETECTOR, tuple(server._numbers["binnings"])),),
    "stem_detector_param": ColumnServer._detector,
    "stem_acquisition_param": ColumnServer._stem,
    "stem_magnification": lambda server, time: server._scan.settings.magnification,
    "stem_rotation": lambda server, time: server._scan.settings.rotation,
    "probe_defocus": lambda server, time: 0.0,
    "convergence_angle": lambda server, time: server._column.convergence,
}
_PUT: dict[str, Callable[[ColumnServer, wire.Asked, float], None]] = {
    "beam_blanked": ColumnServer._blank,
    "column_valves_open": ColumnServer._valves,
    "stage_position": ColumnServer._go,
    "instrument_mode": ColumnServer._mode,
    "screen_position": ColumnServer._screen,
    "stem_magnification": ColumnServer._magnify,
    "stem_rotation": ColumnServer._rotate,
    "stem_detector_param": ColumnServer._detect,
    "stem_acquisition_param": ColumnServer._set_up,
}
