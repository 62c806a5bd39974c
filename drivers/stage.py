"""The stage: absolute moves of five servo axes, each referenced before, read back after (PI GCS 2.0)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from drivers.errors import DeviceError, LinkTimeout, Refused, RigError, WireError
from drivers.gcs2_conversation import GcsConversation
from drivers.interlocks import Guard
from drivers.limits import Limits
from drivers.links.base import Link, Wait
from drivers.pose import AXES, Pose
from drivers.stage_settings import StageSettings, ranges
from drivers.wire import gcs2 as wire
from drivers.wire.gcs2 import Failure

__all__ = ["Stage", "StageSettings", "ranges"]

POLL = 0.1  # s between looks at a motion
STANDSTILL = 2.0  # s that a stopped axis may take to stand
SLOWEST_SEARCH = 4.0  # a reference switch is sought at no less than a quarter of the velocity; assumed
SAME = 2e-6  # controller units; targets are carried with six decimals
LIMIT_ROUNDING = 1e-6  # controller units; so are limits
MAKER = "physik instrumente"

BY_HAND = "Was it moved at the controller? Leave it alone and try again."


class Stage:
    """A PI controller with the axes x, y, z, rotation and tilt.

    A pose is believed when two readings agree.  Whatever breaks a motion off stops the stage.
    """

    Settings = StageSettings

    def __init__(
        self,
        link: Link,
        settings: StageSettings,
        *,
        limits: Limits,
        guard: Guard,
        wait: Wait,
        name: str = "stage",
    ) -> None:
        self.name = name
        self._link = link
        self._settings = settings
        self._limits = limits
        self._guard = guard
        self._wait = wait
        self._axes = {axis: settings.axes.of(axis) for axis in AXES}
        self._by_name = {entry.name: axis for axis, entry in self._axes.items()}
        self._conversation = GcsConversation(link, name, tuple(self._by_name))
        self._referenced: frozenset[str] = frozenset()
        self._units = "unknown"

    def open(self) -> None:
        """See that a PI controller answers and has the rig's axes, in its units, within its limits.

        Raises LinkError, WireError, DeviceError.
        """
        self._see_controller()
        self._conversation.ask("open", wire.ERROR(), self._each(wire.SERVOS))  # what was before us is not our error
        self._see_units()
        lowest, highest = self._twice("open", wire.LOWEST), self._twice("open", wire.HIGHEST)
        for axis, entry in self._axes.items():
            limit, rounding = self._limits.range(axis), LIMIT_ROUNDING * entry.scale
            if not (lowest[axis] - rounding <= limit.low and limit.high <= highest[axis] + rounding):
                raise self._no(
                    "open",
                    f"the rig lets {axis} go from {limit.low / entry.scale:g} to {limit.high / entry.scale:g} "
                    f"{entry.unit}, the controller from {lowest[axis] / entry.scale:g} to "
                    f"{highest[axis] / entry.scale:g} {entry.unit} ({limit.where})",
                    "Narrow the rig's limits.",
                )
        self._see_references("open")

    def close(self) -> None:
        """Close the line; the controller holds the stage where it is."""
        self._link.close()

    def reference(self) -> None:
        """Move each axis to its reference switch, one after the other, and return when all are referenced.

        Servos are switched on for it.  Raises InterlockError, LinkError, WireError, DeviceError, Aborted.
        """
        action = "reference"
        self._guard(f"{self.name}.{action}")
        lowest, highest = self._twice(action, wire.LOWEST), self._twice(action, wire.HIGHEST)
        velocity = self._twice(action, wire.VELOCITIES)
        with self._stopped_on_failure():
            servos = self._command(action, wire.SERVO.of(dict.fromkeys(self._by_name, True)), wire.SERVOS)
            self._see_servos(action, servos)
            for axis in self._settings.reference_order:
                self._find_reference(axis, SLOWEST_SEARCH * (highest[axis] - lowest[axis]) / velocity[axis])

    def move_to(self, pose: Pose) -> None:
        """Move all axes at once and return when every one of them is on target and reads back as sent.

        pose: m and rad, within the rig's limits.  Raises LimitError, Refused (not referenced), InterlockError,
        LinkError, WireError, DeviceError, Aborted.
        """
        action = "move_to"
        self._limits.check(self.name, action, **pose.axes())
        if missing := [axis for axis in AXES if axis not in self._referenced]:
            raise Refused(
                f"refused: {', '.join(missing)} not referenced, so nobody knows where that would be",
                device=self.name,
                action=action,
                way_out="Reference the stage first.",
            )
        self._guard(f"{self.name}.{action}")
        start, seconds = self._ready_to_move(action, pose)
        with self._stopped_on_failure():
            sent = {entry.name: pose.axes()[axis] / entry.scale for axis, entry in self._axes.items()}
            targets = self._command(action, wire.MOVE.of(sent), wire.TARGETS)
            for axis, entry in self._axes.items():
                found = targets[axis] / entry.scale
                if not abs(found - sent[entry.name]) <= SAME:
                    raise self._no(
                        action, f"the target of {axis} reads back as {found:g}, sent was {sent[entry.name]:g}", BY_HAND
                    )
            self._until_there(action, start, pose, seconds)

    def stop(self) -> None:
        """Stop every axis at once and see it stand; an axis on its way to a reference is unreferenced then.

        Never refused.  Raises LinkError, WireError, DeviceError, Aborted.
        """
        self._halt("stop")

    def make_safe(self) -> None:
        """Stop every axis, even while an abort is due. Raises LinkError, WireError, DeviceError."""
        with self._link.abort.ignored():
            self._halt("make_safe")

    def position(self) -> Pose:
        """Where the stage is, m and rad, read twice. Raises DeviceError (not referenced), LinkError, WireError."""
        action = "position"
        if self._referenced != set(AXES):
            raise self._no(action, "is not known before every axis is referenced", "Reference the stage first.")
        first: Mapping[str, float] = {}
        second: Mapping[str, float] = {}
        for _ in range(2):  # a line that garbled one reading may carry the next
            first, second = self._ask(action, self._each(wire.POSITIONS), self._each(wire.POSITIONS))
            if all(abs(first[axis] - second[axis]) <= entry.deviation for axis, entry in self._axes.items()):
                return Pose(**second)
        apart = next(a for a, entry in self._axes.items() if not abs(first[a] - second[a]) <= entry.deviation)
        raise WireError(
            f"{apart} read {first[apart]:g} and then {second[apart]:g}; believed are two readings that agree",
            device=self.name,
            action=action,
        )

    def status(self) -> dict[str, float | str | bool]:
        """For the record: each axis in m or rad (or why not), whether it moves, its servos, whose units these are."""
        moving, servos, there = self._ask("status", wire.MOTION(), self._each(wire.SERVOS), self._each(wire.POSITIONS))
        found = {axis: there[axis] if axis in self._referenced else "not referenced" for axis in AXES}
        return found | {"moving": moving != 0, "servo": all(servos.values()), "units": self._units}

    # --- what an action is made of

    def _see_controller(self) -> None:
        (ready,) = self._ask("open", wire.READY())
        if not ready:
            raise self._no("open", "the controller is busy with something", "Wait until it is done, or stop it.")
        who, again, syntax, names = self._ask("open", wire.IDENTITY(), wire.IDENTITY(), wire.SYNTAX(), wire.AXES())
        if who != again or MAKER not in who.lower() or syntax < 2.0:
            raise self._no(
                "open",
                f'found "{who}" with syntax {syntax:g}, not a PI controller with GCS 2.0',
                "Does the link in the rig file lead to the stage's controller?",
            )
        self._conversation.identity = who
        if missing := [name for name in self._by_name if name not in names]:
            raise self._no(
                "open",
                f"the controller has the axes {', '.join(names)}, not {', '.join(missing)}",
                "Write in the rig file how the controller calls its axes.",
            )

    def _see_units(self) -> None:
        """Compare units where the controller tells them; one that does not know the question answers nothing."""
        if not self._settings.tells_units:
            self._units = "assumed"
            return
        try:
            (told,) = self._conversation.ask("open", self._conversation.each(wire.UNITS))
        except LinkTimeout as error:
            error.way_out = (
                "If the controller has no such query (PUN?), write `tells_units: false` into the rig file and see by "
                "hand that its units are those of the rig file."
            )
            raise
        for axis, entry in self._axes.items():
            unit = told[entry.name].replace("\xb5", "u").lower()
            if unit != entry.unit:
                raise self._no(
                    "open",
                    f'the controller counts {axis} in "{unit}", the rig file in "{entry.unit}"',
                    "Write the controller's unit into the rig file.",
                )
        self._units = "told by the controller"

    def _see_references(self, action: str) -> None:
        self._referenced = frozenset(axis for axis, found in self._twice(action, wire.REFERENCED).items() if found)

    def _find_reference(self, axis: str, seconds: float) -> None:
        action, clock = "reference", self._link.clock
        given_up = clock.now() + seconds + self._settings.patience
        self._referenced -= {axis}
        (code,) = self._conversation.ask(action, wire.REFERENCE(self._axes[axis].name), wire.ERROR())
        self._see_accepted(action, f"to reference {axis}", code)
        while not self._ask(action, wire.READY())[0]:
            if clock.now() >= given_up:
                raise self._no(action, f"did not find the reference switch of {axis} in {seconds:.0f} s", "Look at it.")
            self._wait(POLL)
        code, found = self._ask(action, wire.ERROR(), self._each(wire.REFERENCED))
        if code != Failure.NONE or not found[axis]:
            raise self._no(action, f"did not find the reference switch of {axis}{_because(code)}", "Look at the axis.")
        self._referenced |= {axis}

    def _ready_to_move(self, action: str, pose: Pose) -> tuple[dict[str, float], float]:
        """See that nothing happened unasked; where the stage is, and the seconds that the way to the pose will take."""
        code, servos, found = self._ask(action, wire.ERROR(), self._each(wire.SERVOS), self._each(wire.REFERENCED))
        if code != Failure.NONE:
            raise self._no(action, f"did not begin{_because(code)}, since it was last asked", "Find out why first.")
        self._see_servos(action, servos)
        if not all(found.values()):
            self._referenced = frozenset()
            raise self._no(action, "did not begin: axes are no longer referenced", "Reference the stage again.")
        start, velocity = self._ask(action, self._each(wire.POSITIONS), self._each(wire.VELOCITIES))
        if not all(speed > 0.0 for speed in velocity.values()):
            raise self._no(action, "did not begin: an axis has the velocity 0", "Set it on the controller.")
        ways = {axis: abs(pose.axes()[axis] - start[axis]) / velocity[axis] for axis in AXES}
        return start, max(ways.values())

    def _until_there(self, action: str, start: Mapping[str, float], pose: Pose, seconds: float) -> None:
        clock = self._link.clock
        given_up = clock.now() + 2.0 * seconds + self._settings.patience
        while True:
            moving, servos, arrived, first, second = self._ask(
                action,
                wire.MOTION(),
                self._each(wire.SERVOS),
                self._each(wire.ON_TARGET),
                self._each(wire.POSITIONS),
                self._each(wire.POSITIONS),
            )
            if not all(servos.values()):
                self._find_out_why_off(action)
            self._see_on_the_way(action, start, pose, (first, second))
            left = {axis: max(abs(reading[axis] - pose.axes()[axis]) for reading in (first, second)) for axis in AXES}
            if not moving and all(arrived.values()) and all(left[a] <= e.deviation for a, e in self._axes.items()):
                return
            if clock.now() >= given_up:
                late = max(AXES, key=lambda axis: left[axis] / self._axes[axis].deviation)
                entry = self._axes[late]
                raise self._no(
                    action,
                    f"is not on target after twice the {seconds:.1f} s it should take and "
                    f"{self._settings.patience:g} s: {late} is {left[late] / entry.scale:g} {entry.unit} away from it",
                    "Is something in the way?",
                )
            self._wait(POLL)

    def _see_on_the_way(
        self, action: str, start: Mapping[str, float], pose: Pose, readings: tuple[Mapping[str, float], ...]
    ) -> None:
        """See that no axis runs away: one reading may be garbled, two are not."""
        for axis, entry in self._axes.items():
            ends = sorted((start[axis], pose.axes()[axis]))
            low, high = ends[0] - entry.deviation, ends[1] + entry.deviation
            if not any(low <= reading[axis] <= high for reading in readings):
                raise self._no(
                    action,
                    f"{axis} is at {readings[-1][axis] / entry.scale:g} {entry.unit}, not on the way from "
                    f"{start[axis] / entry.scale:g} to {pose.axes()[axis] / entry.scale:g} {entry.unit}",
                    BY_HAND,
                )

    def _find_out_why_off(self, action: str) -> None:
        """A servo was off: the controller switches it off when an axis cannot follow. Returns if it was misread."""
        code, servos = self._ask(action, wire.ERROR(), self._each(wire.SERVOS))
        if code != Failure.NONE:
            raise self._no(action, f"broke off{_because(code)}", "Is something in the way? Reference the stage again.")
        self._see_servos(action, servos)

    def _halt(self, action: str) -> None:
        self._conversation.say(action, wire.STOP())  # before anything is asked: the line may carry one way only
        until = self._link.clock.now() + STANDSTILL
        while self._ask(action, wire.MOTION(), self._each(wire.SERVOS))[0]:
            if self._link.clock.now() >= until:
                raise self._no(action, f"was said, and axes still move after {STANDSTILL:g} s", "Stop them by hand.")
            self._link.rest(POLL)
        self._ask(action, wire.ERROR(), self._each(wire.SERVOS))  # the stop is an error to the next command otherwise
        self._see_references(action)

    @contextmanager
    def _stopped_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:  # also Ctrl-C, or a disk that is full in a control wait
            try:
                self.make_safe()
            except RigError as second:
                error.add_note(f"and the stage was not seen to stop: {second}")
            raise

    # --- questions

    def _ask(self, action: str, *said: wire.Said) -> list[Any]:
        """Answers by axis in m and rad, whatever the controller calls them and counts in."""
        answered = (one for one in said if one.message.answer is not None)
        found = self._conversation.ask(action, *said)
        return [self._ours(one, value) for one, value in zip(answered, found, strict=True)]

    def _ours(self, said: wire.Said, found: Any) -> Any:
        if said.message.per != "axis":
            return found
        named = {self._by_name[name]: value for name, value in found.items()}
        if said.message.answer is not wire.NUMBER:
            return named
        return {axis: value * self._axes[axis].scale for axis, value in named.items()}

    def _each(self, message: wire.Message) -> wire.Said:
        return self._conversation.each(message)

    def _twice(self, action: str, message: wire.Message) -> dict[str, Any]:
        """What two answers agree in. Raises WireError when they do not."""
        first, second = self._ask(action, self._each(message), self._each(message))
        if first != second:
            raise WireError(f"{message.mnemonic} was answered in two ways", device=self.name, action=action)
        return dict(first)

    def _command(self, action: str, command: wire.Said, look: wire.Message) -> dict[str, Any]:
        """Send a command with ERR? behind it, and see that it was accepted; what `look` then tells of every axis."""
        code, found = self._ask(action, command, wire.ERROR(), self._each(look))
        self._see_accepted(action, command.encoded().decode("ascii").strip(), code)
        return dict(found)

    def _see_accepted(self, action: str, what: str, code: int) -> None:
        if code != Failure.NONE:
            raise self._no(action, f'"{what}" was refused{_because(code)}', "Does the controller allow it by hand?")

    def _see_servos(self, action: str, servos: Mapping[str, bool]) -> None:
        if off := [axis for axis in AXES if not servos[axis]]:
            raise self._no(action, f"found the servo of {', '.join(off)} off", "Reference the stage again.")

    def _no(self, action: str, what: str, way_out: str = "") -> DeviceError:
        return DeviceError(what, device=self.name, action=action, way_out=way_out)


def _because(code: int) -> str:
    """What an error of the controller means, as far as we know it."""
    names = {failure.value: failure.name.lower().replace("_", " ") for failure in Failure}
    return f" (error {code}: {names.get(code, 'see the controller manual')})" if code else ""
