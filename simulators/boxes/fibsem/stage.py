"""The stage of the simulated fibsem server: positions, moves and milling angles.

Axes and their senses are those fibsem 0.5.3 reckons with (stable_move, vertical_move in fibsem/microscope.py); the
arithmetic is our own, for the nominal column angle and a holder without pre-tilt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from drivers.pose import Pose
from drivers.ticket import Beam
from drivers.wire import fibsem as wire
from drivers.wire import fibsem_stage as message
from drivers.wire.fibsem_model import Done, OfBeam, Position
from physics.units import parse
from simulators.boxes.fibsem.route import After, Instrument, Route, Trouble, route
from simulators.constants import constants

ROTATION_REFERENCE, ROTATION_180, PRE_TILT = 0.0, math.pi, 0.0
SAME_ROTATION, SAME_TILT = math.radians(5.0), 0.1  # rad; how fibsem tells orientations apart
LEAST = math.cos(math.radians(85.0))  # a surface seen flatter cannot be moved along
LARGE_ROTATION = math.radians(90.0)  # a safe move tilts flat before it turns further
HALF_TURN = 1e-5  # relative and absolute, as numpy's isclose


class StageApi:
    """Everything about the stage; one move at a time, none while the ion beam mills."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._stage = instrument.chamber.stage
        self.ion_angle = parse(constants("chamber")["ion_angle"], "angle")
        self.milling_angle = math.radians(15.0)

    def routes(self) -> Iterator[Route]:
        """Its part of the API."""
        yield route(wire.STAGE_POSITION, lambda _: self._told())
        yield route(wire.STAGE_ORIENTATION, lambda _: message.StageOrientation(self.orientation(self._stage.read())))
        yield route(wire.MOVE_ABSOLUTE, lambda asked: self._go(self.filled(asked.position)))
        yield route(wire.MOVE_RELATIVE, lambda asked: self._go(self._added(asked.position)))
        yield route(wire.STABLE_MOVE, lambda asked: self._go(self._stable(self._stage.read(), asked)))
        yield route(wire.PROJECT_STABLE_MOVE, self._projected)
        yield route(wire.VERTICAL_MOVE, lambda asked: self._go(self._vertical(asked)))
        yield route(wire.SAFE_MOVE, lambda asked: self._safe(self.filled(asked.position)))
        yield route(wire.FLAT_TO_BEAM, self._flat)
        yield route(wire.MILLING_ANGLE, lambda _: message.MillingAngle(self._angle(self._stage.read())))
        yield route(wire.MILLING_ANGLE_AT, self._angle_at)
        yield route(wire.SET_MILLING_ANGLE, self._keep_angle)
        yield route(wire.TO_MILLING_ANGLE, self._to_angle)
        yield route(wire.NEAR_MILLING_ANGLE, self._near_angle)

    def position(self) -> Position:
        """Where the stage says it is."""
        return _position(self._stage.read())

    def orientation(self, pose: Pose) -> message.Orientation:
        """Which beam a pose faces; MILLING is anything between at the reference rotation."""
        if _apart(pose.rotation, ROTATION_REFERENCE) <= SAME_ROTATION:
            if abs(pose.tilt - PRE_TILT) <= SAME_TILT:
                return "SEM"
            if pose.tilt > math.radians(-45.0):
                return "MILLING"
        at_ion = abs(pose.tilt - (self.ion_angle - PRE_TILT)) <= SAME_TILT
        return "FIB" if _apart(pose.rotation, ROTATION_180) <= SAME_ROTATION and at_ion else "NONE"

    def safe_way(self, pose: Pose) -> tuple[Pose, ...]:
        """Flat before a large rotation, then the rotation, then the rest."""
        here = self._stage.read()
        flat = replace(here, tilt=0.0) if _apart(pose.rotation, here.rotation) > LARGE_ROTATION else here
        return flat, replace(flat, rotation=pose.rotation), pose

    def set_off(self, *way: Pose) -> float:
        """Go along a way; the clock time of arrival. Raises Trouble."""
        self._instrument.see_at_rest()
        try:
            return self._stage.go(*way)
        except ValueError as error:
            raise Trouble(str(error)) from None

    # --- moves

    def _told(self) -> message.StagePosition:
        return message.StagePosition(self.position())

    def _go(self, pose: Pose) -> After[message.StagePosition]:
        return After(self.set_off(pose), self._told)

    def _safe(self, pose: Pose) -> After[Done]:
        return After(self.set_off(*self.safe_way(pose)), Done)

    def _flat(self, asked: OfBeam) -> After[Done]:
        here = self._stage.read()
        if asked.beam_type == "electron":
            return self._safe(replace(here, rotation=ROTATION_REFERENCE, tilt=PRE_TILT))
        return self._safe(replace(here, rotation=ROTATION_180, tilt=self.ion_angle - PRE_TILT))

    def filled(self, position: Position) -> Pose:
        here = _position(self._stage.read())
        x, y, z, r, t = (
            getattr(here if getattr(position, axis) is None else position, axis) for axis in ("x", "y", "z", "r", "t")
        )
        return Pose(x, y, z, r, t)

    def _added(self, by: Position) -> Pose:
        here = self._stage.read()
        return Pose(
            here.x + (by.x or 0.0),
            here.y + (by.y or 0.0),
            here.z + (by.z or 0.0),
            here.rotation + (by.r or 0.0),
            here.tilt + (by.t or 0.0),
        )

    def _stable(self, base: Pose, asked: message.StableMove | message.ProjectStableMove) -> Pose:
        """Along the surface, so that what is at (dx, dy) in the image comes to its middle."""
        dx, dy = self._unturned(asked.beam_type, asked.dx, asked.dy)
        towards = self.ion_angle if asked.beam_type == "ion" else 0.0
        facing = math.cos(self._stage.read().tilt - towards)
        if abs(facing) < LEAST:
            raise Trouble("the surface is seen edge-on")
        return replace(base, x=base.x + dx, y=base.y + dy / facing)

    def _projected(self, asked: message.ProjectStableMove) -> message.StagePosition:
        return message.StagePosition(_position(self._stable(self.filled(asked.base_position), asked)))

    def _vertical(self, asked: message.VerticalMove) -> Pose:
        """Up or down the electron beam, so that what is at dy in the ion image comes to its middle."""
        dx, dy = self._unturned("ion", asked.dx, asked.dy)
        here, sinks = self._stage.read(), dy / math.sin(self.ion_angle)
        return replace(
            here, x=here.x + dx, y=here.y + sinks * math.sin(here.tilt), z=here.z + sinks * math.cos(here.tilt)
        )

    def _unturned(self, beam: Beam, dx: float, dy: float) -> tuple[float, float]:
        rotation = self._instrument.chamber.columns[beam].scan_rotation
        return (-dx, -dy) if math.isclose(rotation, math.pi, rel_tol=HALF_TURN) else (dx, dy)

    # --- milling angle

    def _angle(self, pose: Pose) -> float:
        if self.orientation(pose) == "FIB":
            return math.pi / 2.0
        return math.pi / 2.0 - self.ion_angle + pose.tilt - PRE_TILT

    def _angle_at(self, asked: message.MillingAngleAt) -> message.MillingAngle:
        return message.MillingAngle(self._angle(self.filled(asked.stage_position or Position())))

    def _keep_angle(self, asked: message.MillingAngle) -> Done:
        self.milling_angle = asked.angle
        return Done()

    def _to_angle(self, asked: message.ToMillingAngle) -> After[message.AtMillingAngle]:
        rotation = ROTATION_REFERENCE if asked.rotation is None else asked.rotation
        tilt = asked.milling_angle + PRE_TILT + self.ion_angle - math.pi / 2.0
        arrives = self.set_off(*self.safe_way(replace(self._stage.read(), rotation=rotation, tilt=tilt)))

        def told() -> message.AtMillingAngle:
            angle = self._angle(self._stage.read())
            # as fibsem 0.5.3 compares: degrees there with the rad that were asked for
            return message.AtMillingAngle(abs(math.degrees(angle) - asked.milling_angle) <= 2.0, angle)

        return After(arrives, told)

    def _near_angle(self, asked: message.NearMillingAngle) -> message.Near:
        return message.Near(abs(self._angle(self._stage.read()) - asked.angle) <= asked.tolerance)


def _position(pose: Pose) -> Position:
    return Position(x=pose.x, y=pose.y, z=pose.z, r=pose.rotation, t=pose.tilt, coordinate_system="RAW")


def _apart(one: float, other: float) -> float:
    """How far two directions are apart, rad, 0 to pi."""
    return abs((one - other + math.pi) % (2.0 * math.pi) - math.pi)
