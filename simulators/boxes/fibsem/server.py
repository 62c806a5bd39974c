"""A fibsem server in front of the world's chamber: requests in, responses out.

Source of paths, answers and quirks: fibsem 0.5.3, fibsem/server/server.py, and the drivers behind it.  What a box
cannot do is a bare 500, as there; what was wrong with a request is a 422.  Kept are its traps: a field of view is
clipped without a word, `run_milling` starts the beam though it could not set current or voltage, and the beam of an
image's settings goes before the one asked for.  There is no chamber camera.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from drivers.errors import WireError
from drivers.ticket import Beam
from drivers.wire import fibsem as wire
from drivers.wire import fibsem_stage as message
from drivers.wire.fibsem_model import Done, Health
from drivers.wire.http import Request, Response
from physics.units import parse
from simulators.boxes.fibsem.beams import BeamsApi
from simulators.boxes.fibsem.milling import MillingApi
from simulators.boxes.fibsem.route import After, ChamberWorld, Instrument, Route, Trouble, route
from simulators.boxes.fibsem.stage import PRE_TILT, ROTATION_180, ROTATION_REFERENCE, StageApi
from simulators.boxes.http import Later
from simulators.constants import constants
from simulators.fibsem.milling import Milling

NAME = "SimulatedMicroscope"
VERSION = "0.5.3"  # of fibsem, whose API this is


class FibsemServer:
    """An `HttpBox`: one instrument, whoever is connected to it."""

    def __init__(self, world: ChamberWorld) -> None:
        milling = Milling(world.chamber, world.clock)
        world.processes.append(milling.advance)
        self._world, self._instrument = world, Instrument(world, milling)
        self._stage = StageApi(self._instrument)
        self._beams = BeamsApi(self._instrument, self._stage)
        milling_api = MillingApi(self._instrument, self._beams)
        self._routes: dict[str, dict[str, Route]] = {}
        for each in (*self.routes(), *self._stage.routes(), *self._beams.routes(), *milling_api.routes()):
            self._routes.setdefault(each.call.path, {})[each.call.method] = each

    def answer(self, request: Request) -> Response | Later:
        """What the server answers."""
        self._world.catch_up()
        methods = self._routes.get(request.path)
        if methods is None:
            return wire.refusal(404, "Not Found")
        if (found := methods.get(request.method)) is None:
            return wire.refusal(405, "Method Not Allowed")
        try:
            asked = wire.asked(found.call, request)
        except WireError as error:
            return wire.unfit(request, error)
        return self._told(found, lambda: found.answer(asked))

    def routes(self) -> Iterator[Route]:
        """What is neither stage nor beams nor milling."""
        yield route(wire.HEALTH, lambda _: Health(NAME))
        yield route(wire.SYSTEM, lambda _: message.SystemTold(self._system(), False))
        yield route(wire.BEAM_SYSTEM, lambda asked: message.BeamSystemTold(self._beam_system(asked.beam_type)))
        yield route(wire.SET_BEAM_SYSTEM, self._set_beam_system)

    def _told(self, found: Route, make: Any) -> Response | Later:
        """A response, now or later; what goes wrong on the way is a bare 500."""
        try:
            told = make()
        except Trouble as error:
            return wire.refusal(500, str(error))
        if isinstance(told, After):
            after = told
            return Later(after.at, lambda: self._told(found, lambda: self._caught_up(after)))
        return told if isinstance(told, Response) else wire.response(found.call, told)

    def _caught_up(self, after: After[Any]) -> Any:
        self._world.catch_up()
        return after.told()

    def _system(self) -> message.System:
        return message.System(
            stage=message.StageSystem(
                rotation_reference=ROTATION_REFERENCE,
                rotation_180=ROTATION_180,
                shuttle_pre_tilt=PRE_TILT,
                manipulator_height_limit=0.0037,
                milling_angle=self._stage.milling_angle,
            ),
            electron=self._beam_system("electron"),
            ion=self._beam_system("ion"),
            manipulator=message.Manipulator(),
            gis=message.Gas(),
            info=message.Info(
                name="cryolift", manufacturer="Demo", model=NAME, serial_number="0", fibsem_version=VERSION
            ),
        )

    def _beam_system(self, beam: Beam) -> message.BeamSystem:
        column, detector = self._beams.column(beam), self._beams.detector(beam)
        return message.BeamSystem(
            beam_type=beam.upper(),
            enabled=True,
            eucentric_height=parse(constants("chamber")["working_distance"][beam], "length"),
            column_tilt=self._stage.ion_angle if beam == "ion" else 0.0,
            working_distance=column.working_distance,
            current=column.beam_current,
            voltage=column.voltage,
            hfw=column.hfw,
            resolution=column.resolution,
            dwell_time=column.dwell_time,
            stigmation=column.stigmation,
            shift=column.shift,
            scan_rotation=column.scan_rotation,
            detector_mode=detector.mode,
            detector_type=detector.type,
            detector_brightness=detector.brightness,
            detector_contrast=detector.contrast,
        )

    def _set_beam_system(self, asked: message.BeamSystemTold) -> Done:
        to = asked.beam_system_settings
        beam: Beam = "ion" if to.beam_type in ("ION", 2) else "electron"
        if not (to.enabled and math.isclose(to.column_tilt, self._stage.ion_angle if beam == "ion" else 0.0)):
            raise Trouble("a column that is built otherwise")
        return self._beams.set_system(beam, to)
