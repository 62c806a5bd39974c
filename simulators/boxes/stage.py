"""A PI C-884 in front of the world's stage: bytes in, bytes out.

Source of the quirks: manual MS249E, chapter 8, and what the maker's own Python client relies on (a controller that
seeks a reference switch is busy; a stop sets error 10).  `assumed`: a busy controller answers ERR? and single bytes
only; a target given on the way replaces the one before; how long an answer takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import degrees
from typing import Any, Final

from drivers.errors import WireError
from drivers.pose import AXES
from drivers.wire import gcs2 as wire
from drivers.wire.gcs2 import Failure, Message, Misheard, RequestSplitter, Said
from simulators.boxes.line import ByteBox
from simulators.stages.axes import Axis
from simulators.world import World

LATENCY = 0.004  # s from the end of a question to its answer
NAMES: Final = {axis: str(number) for number, axis in enumerate(AXES, 1)}
ROTARY = ("rotation", "tilt")
IDENTITY = "(c)2024 Physik Instrumente (PI) Karlsruhe, C-884.6DC, 0, 1.0.0.0"
ROUNDING = 1e-7  # relative; limits are told with six decimals


class Refuse(Exception):
    """The line is well formed and the box does not do it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


class StageServer(ByteBox[Said]):
    """The `Peer` of one host.

    names: of the axes, as the controller calls them, first axis first.  knows_units: whether it has the query PUN?,
    which not every controller has.
    """

    def __init__(self, world: World, *, names: Mapping[str, str] = NAMES, knows_units: bool = True) -> None:
        super().__init__(world, RequestSplitter())
        self._world = world
        self._axes = {names[axis]: world.stage.axes[axis] for axis in AXES}
        self._scale = {names[axis]: (degrees(1.0) if axis in ROTARY else 1e3) for axis in AXES}
        self._units = {names[axis]: ("deg" if axis in ROTARY else "mm") for axis in AXES}
        self._answers = {message: tell for message, tell in ANSWERS.items() if knows_units or message is not wire.UNITS}
        self._error = Failure.NONE

    # --- messages

    def _mishear(self, error: WireError) -> None:
        self._error = error.failure if isinstance(error, Misheard) else Failure.SYNTAX

    def _hear(self, said: Said) -> None:
        try:
            self._do(said)
        except Refuse as refused:
            self._error = refused.failure

    def _do(self, said: Said) -> None:
        for axis in self._axes.values():
            if axis.tripped:
                axis.tripped = False
                self._error = Failure.POSITION_ERROR_TOO_LARGE
        tell = self._answers.get(said.message)
        if tell is None:
            raise Refuse(Failure.UNKNOWN_COMMAND)
        if said.message not in ALWAYS and self._world.stage.referencing():
            raise Refuse(Failure.BUSY)
        if said.message.per == "axis":
            said = Said(said.message, said.axes or tuple(self._axes), said.values)
            if not set(said.axes) <= set(self._axes):
                raise Refuse(Failure.INVALID_AXIS)
        found = tell(self, said)
        if said.message.answer is not None:
            self._say(said.answer(found), self._clock.now() + LATENCY)

    def _each(self, said: Said, tell: Callable[[Axis, float], Any], *, scaled: bool = False) -> dict[str, Any]:
        now = self._clock.now()
        told = {name: tell(self._axes[name], now) for name in said.axes}
        return {name: value * self._scale[name] for name, value in told.items()} if scaled else told

    def _register(self, axis: Axis) -> int:
        now = self._clock.now()
        bits = {
            wire.Status.SERVO: axis.servo,
            wire.Status.MOVING: axis.moving(now),
            wire.Status.REFERENCING: axis.referencing,
            wire.Status.ON_TARGET: axis.on_target(now),
        }
        return sum(int(bit) for bit, holds in bits.items() if holds)

    def _motion(self) -> int:
        now = self._clock.now()
        return sum(1 << number for number, axis in enumerate(self._axes.values()) if axis.moving(now))

    def _read_error(self) -> int:
        error, self._error = self._error, Failure.NONE
        return int(error)

    def _move(self, said: Said) -> None:
        """All of the line or nothing (p. 116)."""
        targets = {name: value / self._scale[name] for name, value in zip(said.axes, said.values, strict=True)}
        for name, target in targets.items():
            axis = self._axes[name]
            if not (axis.referenced and axis.servo):
                raise Refuse(Failure.NOT_REFERENCED_OR_SERVO_OFF)
            rounding = ROUNDING * (axis.highest - axis.lowest)
            if not axis.lowest - rounding <= target <= axis.highest + rounding:
                raise Refuse(Failure.POSITION_OUT_OF_LIMITS)
        for name, target in targets.items():
            self._axes[name].go(target, self._clock.now())

    def _reference(self, said: Said) -> None:
        axes = [self._axes[name] for name in said.axes]
        if not all(axis.servo for axis in axes):
            raise Refuse(Failure.NOT_REFERENCED_OR_SERVO_OFF)
        for axis in axes:
            axis.find_reference(self._clock.now())

    def _servo(self, said: Said) -> None:
        for name, on in zip(said.axes, said.values, strict=True):
            if self._axes[name].servo != on:
                self._axes[name].switch(on, self._clock.now())

    def _velocity(self, said: Said) -> None:
        speeds = {name: value / self._scale[name] for name, value in zip(said.axes, said.values, strict=True)}
        if not all(0.0 < speed <= self._axes[name].fastest for name, speed in speeds.items()):
            raise Refuse(Failure.OUT_OF_RANGE)
        for name, speed in speeds.items():
            self._axes[name].velocity = speed

    def _stop(self, axes: tuple[str, ...] = ()) -> None:
        for name in axes or self._axes:
            self._axes[name].stop(self._clock.now())
        self._error = Failure.STOPPED


def _help(server: StageServer) -> list[str]:
    """The messages this box knows, framed as the maker's client reads them."""
    known = [
        f"#{ord(m.mnemonic)}" if len(m.mnemonic) == 1 else f"{m.mnemonic}{' [{<AxisID>}]' if m.per == 'axis' else ''}"
        for m in server._answers
    ]
    return ["The following commands are available:", *known, "end of help"]


ANSWERS: Final[dict[Message, Callable[[StageServer, Said], Any]]] = {
    wire.STATUS: lambda s, m: tuple(s._register(axis) for axis in s._axes.values()),
    wire.MOTION: lambda s, m: s._motion(),
    wire.READY: lambda s, m: not s._world.stage.referencing(),
    wire.STOP: lambda s, m: s._stop(),
    wire.IDENTITY: lambda s, m: IDENTITY,
    wire.SYNTAX: lambda s, m: 2.0,
    wire.ERROR: lambda s, m: s._read_error(),
    wire.COMMANDS: lambda s, m: _help(s),
    wire.AXES: lambda s, m: tuple(s._axes),
    wire.UNITS: lambda s, m: s._units,
    wire.POSITIONS: lambda s, m: s._each(m, lambda axis, now: axis.read(now), scaled=True),
    wire.TARGETS: lambda s, m: s._each(m, lambda axis, now: axis.target, scaled=True),
    wire.LOWEST: lambda s, m: s._each(m, lambda axis, now: axis.lowest, scaled=True),
    wire.HIGHEST: lambda s, m: s._each(m, lambda axis, now: axis.highest, scaled=True),
    wire.VELOCITIES: lambda s, m: s._each(m, lambda axis, now: axis.velocity, scaled=True),
    wire.ON_TARGET: lambda s, m: s._each(m, lambda axis, now: axis.on_target(now)),
    wire.SERVOS: lambda s, m: s._each(m, lambda axis, now: axis.servo),
    wire.REFERENCED: lambda s, m: s._each(m, lambda axis, now: axis.referenced),
    wire.HAS_REFERENCE: lambda s, m: s._each(m, lambda axis, now: True),
    wire.HAS_LIMITS: lambda s, m: s._each(m, lambda axis, now: True),
    wire.SERVO: lambda s, m: s._servo(m),
    wire.MOVE: lambda s, m: s._move(m),
    wire.VELOCITY: lambda s, m: s._velocity(m),
    wire.REFERENCE: lambda s, m: s._reference(m),
    wire.HALT: lambda s, m: s._stop(m.axes),
    wire.STOP_ALL: lambda s, m: s._stop(),
}
"""What each message of the wire does in the world; commands are told nothing."""

ALWAYS: Final = frozenset({wire.STATUS, wire.MOTION, wire.READY, wire.STOP, wire.ERROR, wire.STOP_ALL, wire.HALT})
"""What the box does even while it looks for a reference switch."""
