"""The stage in the chamber of a FIB-SEM: absolute moves, seen to have arrived (a fibsem server)."""

from __future__ import annotations

import math

from drivers.chamber_stage_settings import ChamberStageSettings, ranges
from drivers.errors import WireError
from drivers.fibsem_api import FibsemApi
from drivers.interlocks import Guard
from drivers.limits import Limits
from drivers.links.base import Wait
from drivers.links.http import HttpLink
from drivers.pose import AXES, Pose
from drivers.wire import fibsem as wire
from drivers.wire.fibsem import NOTHING
from drivers.wire.fibsem_model import Position
from drivers.wire.fibsem_stage import StagePosition
from physics.units import show

__all__ = ["ChamberStage", "ChamberStageSettings", "ranges"]

ON_THE_WIRE = {"x": "x", "y": "y", "z": "z", "rotation": "r", "tilt": "t"}
UNITS = {"x": "mm", "y": "mm", "z": "mm", "rotation": "deg", "tilt": "deg"}
LARGEST = {"x": 1.0, "y": 1.0, "z": 1.0, "rotation": 4.0 * math.pi, "tilt": math.pi}  # m, rad; no stage reads more
TURN = 2.0 * math.pi


class ChamberStage:
    """The vendor's stage behind a fibsem server; the wire has m and rad, as we do.

    A move is one question that is answered when the stage has arrived, so no pause and no watch is heeded meanwhile,
    and the control wait that every driver is given is not needed.  Nothing on this wire stops a stage: one that is
    under way goes to its end, and `make_safe` has nothing to do.
    """

    Settings = ChamberStageSettings

    def __init__(
        self,
        link: HttpLink,
        settings: ChamberStageSettings,
        *,
        limits: Limits,
        guard: Guard,
        wait: Wait,
        name: str = "chamber_stage",
    ) -> None:
        self.name = name
        self._api = FibsemApi(link, name)
        self._settings = settings
        self._limits = limits
        self._guard = guard

    def open(self) -> None:
        """See that a fibsem server answers whose stage has five axes. Raises LinkError, WireError, DeviceError."""
        self._api.open()
        stage = self._api.ask("open", wire.SYSTEM, NOTHING).system.stage
        if not (stage.enabled and stage.rotation and stage.tilt):
            raise self._api.no("open", "the server's stage does not both rotate and tilt", "Look at its configuration.")
        self._read("open")

    def close(self) -> None:
        """Close the line; the stage stays."""
        self._api.link.close()

    def move_to(self, pose: Pose) -> Pose:
        """Move all axes and return where the stage then is, within the tolerance of the rig file.

        Raises LimitError, InterlockError, LinkError (it may still be moving), WireError, DeviceError.
        """
        self._limits.check(self.name, "move_to", **pose.axes())
        self._guard(f"{self.name}.move_to")
        # all five by name: an axis that is left out stays where it is
        to = Position(x=pose.x, y=pose.y, z=pose.z, r=pose.rotation, t=pose.tilt, coordinate_system="RAW")
        self._api.do("move_to", wire.MOVE_ABSOLUTE, StagePosition(to), timeout=self._settings.move_time)
        found = self._read("move_to")
        for axis in AXES:
            wanted, is_at = pose.axes()[axis], found.axes()[axis]
            if not self._same(axis, wanted, is_at):
                raise self._api.no(
                    "move_to",
                    f"sent {axis} to {show(wanted, UNITS[axis])}, where it stopped is {show(is_at, UNITS[axis])}",
                    "Does its own software hold it back? Try the move there.",
                )
        return found

    def make_safe(self) -> None:
        """Nothing: this wire has no word that stops a stage."""

    def position(self) -> Pose:
        """Where the stage is, read twice. Raises LinkError, WireError, DeviceError."""
        return self._read("position")

    def orientation(self) -> str:
        """Which beam the surface faces by the server's settings: SEM, FIB, MILLING, FM or NONE."""
        return self._api.ask("orientation", wire.STAGE_ORIENTATION, NOTHING).orientation

    def milling_angle(self) -> float:
        """Between ion beam and sample surface by the server's settings, rad (the wire has degrees)."""
        near = self._settings.angle_tolerance
        told = self._api.ask("milling_angle", wire.MILLING_ANGLE, NOTHING, lambda a, b: abs(a.angle - b.angle) <= near)
        return told.angle

    def status(self) -> dict[str, float | str | bool]:
        """For the record: position by axis, m and rad, and which beam the surface faces."""
        return {**self._read("status").axes(), "orientation": self.orientation()}

    def _read(self, action: str) -> Pose:
        def same(one: StagePosition, other: StagePosition) -> bool:
            # the axes first: one that is missing is nowhere near
            pairs = [(axis, *(getattr(told.position, ON_THE_WIRE[axis]) for told in (one, other))) for axis in AXES]
            return all(a == b if None in (a, b) else self._same(axis, a, b) for axis, a, b in pairs)

        position = self._api.ask(action, wire.STAGE_POSITION, NOTHING, same).position
        values = {axis: getattr(position, ON_THE_WIRE[axis]) for axis in AXES}
        for axis, value in values.items():
            if value is None or not abs(value) <= LARGEST[axis]:
                known = "nothing" if value is None else f"{value:g}"
                raise WireError(
                    f"told {known} of {axis}; {LARGEST[axis]:.4g} m or rad is the most. Does it speak of degrees?",
                    device=self.name,
                    action=action,
                )
        return Pose(**values)

    def _same(self, axis: str, one: float, other: float) -> bool:
        if axis == "rotation":  # a whole turn further is the same place
            return abs((one - other + math.pi) % TURN - math.pi) <= self._settings.angle_tolerance
        return abs(one - other) <= (self._settings.angle_tolerance if axis == "tilt" else self._settings.tolerance)
