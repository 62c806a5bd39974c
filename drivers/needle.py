"""The lift-out needle: open-loop steps with a calibration, and an account of how well the tip's place is known.

The box knows steps and no position (Kleindiek NanoControl).  What the driver thinks of the tip is what an image last
showed (`fix`) and the steps done since; each of them makes it less certain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from drivers.errors import DeviceError, LimitError, Refused, RigError, WireError
from drivers.interlocks import Guard
from drivers.limits import Limits
from drivers.links.base import Link, Wait
from drivers.links.exchange import Exchange
from drivers.needle_settings import AXES, LinearSteps, NeedlePosition, NeedleSettings, RotarySteps, ranges
from drivers.wire import kleindiek as wire
from drivers.wire.kleindiek import Reply, Verdict
from physics.units import show

__all__ = ["Needle", "NeedlePosition", "NeedleSettings", "ranges"]

PORTION = 0.25  # s of steps done by one command: its answer comes when it is done, within a link wait
STALE_LINES = 8  # late answers read before the line is given up
BOUND = 3.0  # standard deviations that count as a bound
PAUSE = 0.01  # s between portions, for whoever wants to pause or abort

FIX = "Look where the tip is and tell: needle.fix(position, uncertainty)."
T = TypeVar("T")
Counters = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Account:
    """Where the tip is thought to be, what the box had counted then, and what has been stepped since the last image.

    seen: uncertainty of the image, m.  drifted: sum of lengths times their relative uncertainty, m.  scattered: sum of
    squares of the scatter of single steps, m^2, by axis.
    """

    tip: NeedlePosition
    counters: Counters
    seen: float
    drifted: float = 0.0
    scattered: dict[str, float] = field(default_factory=dict)

    def uncertainty(self) -> float:
        """Bound on how far the tip is from where it is thought to be, m."""
        return self.seen + self.drifted + BOUND * sum(math.sqrt(square) for square in self.scattered.values())

    def after(self, axis: str, steps: int, entry: LinearSteps | RotarySteps) -> _Account:
        """What it will be when so many steps have been done."""
        length = entry.forward if steps > 0 else entry.back
        tip = replace(self.tip, **{axis: getattr(self.tip, axis) + steps * length})
        counters = list(self.counters)
        counters[wire.CHANNELS.index(entry.channel)] += steps
        way, single = abs(steps) * length, entry.scatter * length
        if isinstance(entry, RotarySteps):  # the tip goes round on a circle about the axis, further than is thought
            drifted, single = entry.runout * way * (1.0 + entry.uncertainty), entry.runout * single
        else:
            drifted = entry.uncertainty * way
        scattered = self.scattered | {axis: self.scattered.get(axis, 0.0) + abs(steps) * single**2}
        a, b, c, d = counters
        return _Account(tip, (a, b, c, d), self.seen, self.drifted + drifted, scattered)


class Needle:
    """A Kleindiek NanoControl with the axes x, y, z and rotation.

    No step is ever sent twice: when it is not known what became of a command, the tip's place is not known either, its
    uncertainty is infinite and the needle counts as inserted, until the next `fix`.  It is so from the start, too.
    """

    Settings = NeedleSettings

    def __init__(
        self,
        link: Link,
        settings: NeedleSettings,
        *,
        limits: Limits,
        guard: Guard,
        wait: Wait,
        name: str = "needle",
    ) -> None:
        self.name = name
        self._link = link
        self._settings = settings
        self._limits = limits
        self._guard = guard
        self._wait = wait
        self._exchange = Exchange(link, wire.LineSplitter(), device=name, resync=self._forget_late_answers)
        self._version = ""
        self._opened = link.clock.now()
        self._account: _Account | None = None

    def open(self) -> None:
        """End what the box was doing and see that a NanoControl answers. Raises LinkError, WireError, DeviceError."""
        self._say("open", wire.Stop(answered=False))
        self._link.rest(PORTION)  # the answer of what was stopped; it is drained before the next command
        self._opened = self._link.clock.now()
        first, second = (self._ask("open", wire.Version(), _done) for _ in range(2))
        if first != second or not first:
            raise self._no("open", f'answered "{first}" and "{second}" for its version', "Is it a NanoControl?")
        self._version = first
        self._counters("open")

    def close(self) -> None:
        """Close the line; the needle stays where it is."""
        self._link.close()

    def fix(self, position: NeedlePosition, uncertainty: float) -> None:
        """Take over where an image shows the tip. Moves nothing; asks the box how far it has counted.

        position: in the needle's own axes.  uncertainty: bound, m.  Raises LimitError, LinkError, WireError.
        """
        if not (all(map(math.isfinite, position.axes().values())) and 0.0 <= uncertainty < math.inf):
            raise LimitError(
                f"refused: {position} within {uncertainty:g} m is no place",
                device=self.name,
                action="fix",
                way_out="Give finite numbers, and the uncertainty of the image.",
            )
        self._account = None
        self._account = _Account(position, self._counters("fix"), uncertainty)

    def move_by(self, axis: str, distance: float, *, clearance: float) -> float:
        """Step one axis by about a distance and return by how much, as far as the calibration knows.

        axis: "x", "y", "z" or "rotation".  distance: m or rad, rounded to whole steps.  clearance: m between the tip on
        its way and the next thing it may touch; a move at whose end the tip is less certain is refused.  With
        `math.inf`, which says that nothing is in reach, a few steps are done even when the tip's place is not known.
        Raises LimitError, Refused, InterlockError, LinkError, WireError, DeviceError, Aborted.
        """
        action = "move_by"
        entry = self._axis(axis)
        steps = self._steps(axis, entry, distance)
        self._see_in_date(axis, entry)
        account = self._account
        if account is None:
            self._see_blind(steps, clearance)
        else:
            after = account.after(axis, steps, entry)
            self._limits.check(self.name, action, **{axis: after.tip.axes()[axis]})
            if not after.uncertainty() <= clearance:
                raise LimitError(
                    f"refused: after it the tip is known to {show(after.uncertainty(), 'um')}, and the clearance is "
                    f"{show(clearance, 'um')}",
                    device=self.name,
                    action=action,
                    way_out=f"{FIX} Or go less far.",
                )
        self._guard(f"{self.name}.{action}")
        if account is not None:
            self._see_untouched(action, account)
        with self._stopped_on_failure():
            self._walk(action, axis, entry, steps)
        return steps * (entry.forward if steps > 0 else entry.back)

    def stop(self) -> None:
        """End what the box is doing. Never refused. Raises LinkError, WireError, Aborted."""
        self._halt("stop")

    def make_safe(self) -> None:
        """End what the box is doing, even while an abort is due; never retracts. Raises LinkError, WireError."""
        with self._link.abort.ignored():
            self._halt("make_safe")

    def position(self) -> NeedlePosition:
        """Where the tip is thought to be. Raises Refused when nobody knows."""
        if self._account is None:
            raise Refused("refused: nobody knows where the tip is", device=self.name, action="position", way_out=FIX)
        return self._account.tip

    def uncertainty(self) -> float:
        """Bound on how far the tip is from `position`, m; infinite when nobody knows where it is."""
        return self._account.uncertainty() if self._account is not None else math.inf

    def inserted(self) -> bool:
        """False only when the tip is known to be where it is parked."""
        if self._account is None:
            return True
        parked = self._settings.parked
        return not parked.distance(self._account.tip) + self.uncertainty() <= parked.within

    def status(self) -> dict[str, float | str | bool]:
        """For the record: tip (m, rad) or that it is unknown, its uncertainty (m), inserted, steps by channel."""
        counted = self._counters("status")
        found: dict[str, float | str | bool] = dict.fromkeys(AXES, "unknown")
        if self._account is not None:
            found |= self._account.tip.axes()
        found |= {"uncertainty": self.uncertainty(), "inserted": self.inserted()}
        return found | {f"steps_{channel}": count for channel, count in zip(wire.CHANNELS, counted, strict=True)}

    # --- what a move is made of

    def _axis(self, axis: str) -> LinearSteps | RotarySteps:
        if axis not in AXES:
            raise self._refused(f"there is no axis {axis}", f"Axes: {', '.join(AXES)}.")
        return self._settings.axes.of(axis)

    def _steps(self, axis: str, entry: LinearSteps | RotarySteps, distance: float) -> int:
        low, high = self._settings.limits.of(axis)
        if not abs(distance) <= high - low:
            raise LimitError(
                f"refused: {axis} by {distance:g} is further than its limits are apart",
                device=self.name,
                action="move_by",
                way_out="Go less far.",
            )
        steps = round(distance / (entry.forward if distance > 0.0 else entry.back))
        if steps == 0:
            raise LimitError(
                f"refused: {axis} by {distance:g} is less than half a step",
                device=self.name,
                action="move_by",
                way_out="The box can do no less than a coarse step.",
            )
        return steps

    def _see_in_date(self, axis: str, entry: LinearSteps | RotarySteps) -> None:
        now = self._link.clock
        if isinstance(entry.taken, datetime):
            age = (now.utc() - entry.taken).total_seconds()
        else:
            age = now.now() - self._opened
        if not 0.0 <= age <= entry.valid_for:
            raise self._refused(
                f"the step length of {axis} was measured {show(round(age, -1), 'h')} ago, valid for "
                f"{show(entry.valid_for, 'h')}",
                "Measure it again and write it, with its date, into the rig file.",
            )

    def _see_blind(self, steps: int, clearance: float) -> None:
        """While nobody knows where the tip is: a person may say that nothing is in reach, and then a few steps go."""
        if clearance != math.inf:
            raise self._refused("nobody knows where the tip is", FIX)
        if abs(steps) > self._settings.blind_steps:
            raise self._refused(
                f"nobody knows where the tip is, and {abs(steps)} steps are more than the "
                f"{self._settings.blind_steps} that may be done blindly",
                f"{FIX} Or do fewer steps at a time.",
            )

    def _see_untouched(self, action: str, account: _Account) -> None:
        """See that nobody else moved the needle: the box counts all its steps."""
        if (counted := self._counters(action)) != account.counters:
            self._account = None
            raise self._no(
                action,
                f"did not begin: the box has counted {_listed(counted)} steps, we {_listed(account.counters)}; "
                "somebody else moved the needle, and nobody knows where the tip is",
                FIX,
            )

    def _walk(self, action: str, axis: str, entry: LinearSteps | RotarySteps, steps: int) -> None:
        """Do the steps in portions; between two of them it is known where the tip is, if it was before."""
        most = max(1, int(PORTION * self._settings.step_rate))
        left = steps
        while left:
            portion = max(-most, min(most, left))
            account, self._account = self._account, None  # until the box has said what became of it
            try:
                self._ask(action, wire.Coarse(entry.channel, portion), _done, safe=False)
            except DeviceError as error:
                if account is not None and self._counters(action) == account.counters:
                    self._account = account  # it was refused, and no step was done
                error.way_out = "Look at the box." if self._account is not None else FIX
                raise
            if account is not None:
                after = account.after(axis, portion, entry)
                if (counted := self._counters(action)) != after.counters:
                    raise self._no(
                        action,
                        f"was to make the box count {_listed(after.counters)} steps, it counted {_listed(counted)}; "
                        "nobody knows where the tip is",
                        FIX,
                    )
                self._account = after
            left -= portion
            if left:
                self._wait(PAUSE)

    def _halt(self, action: str) -> None:
        self._say(action, wire.Stop(answered=False))  # before anything is asked: the line may carry one way only
        counted = self._counters(action)
        if self._account is not None and counted != self._account.counters:
            self._account = None

    @contextmanager
    def _stopped_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:  # also Ctrl-C, or a disk that is full in a control wait
            try:
                self.make_safe()
            except RigError as second:
                error.add_note(f"and the needle was not seen to stop: {second}")
            raise

    # --- questions

    def _counters(self, action: str) -> Counters:
        """Steps counted by channel, read until two answers in a row agree. Raises WireError when none do."""
        counted = self._ask(action, wire.Counters(), wire.decode_counters)
        for _ in range(2):
            before, counted = counted, self._ask(action, wire.Counters(), wire.decode_counters)
            if before == counted:
                return counted
        raise WireError("the counters were answered in three ways", device=self.name, action=action)

    def _ask(self, action: str, command: wire.Command, read: Callable[[Reply], T], *, safe: bool = True) -> T:
        return self._exchange.ask_for(
            action, wire.encode(command), lambda line: read(wire.decode_reply(line)), safe=safe
        )

    def _say(self, action: str, command: wire.Command) -> None:
        """Send and expect nothing; answers still under way are read over before the next command."""
        try:
            with self._link.transaction():
                self._exchange.put(wire.encode(command))
        except RigError as error:
            raise error.at(self.name, action) from None
        finally:
            self._exchange.doubt()

    def _forget_late_answers(self) -> None:
        self._exchange.put(wire.encode(wire.Version()))
        for _ in range(STALE_LINES):
            try:
                reply = wire.decode_reply(self._exchange.take("resync"))
            except WireError:
                continue  # a late or broken line: the answer asked for is behind it
            if reply == Reply(Verdict.DONE, self._version) or not self._version:
                return
        raise WireError(f"{STALE_LINES} lines came, none of them its version")

    def _refused(self, what: str, way_out: str) -> Refused:
        return Refused(f"refused: {what}", device=self.name, action="move_by", way_out=way_out)

    def _no(self, action: str, what: str, way_out: str) -> DeviceError:
        return DeviceError(what, device=self.name, action=action, way_out=way_out)


def _done(reply: Reply) -> str:
    """What the box said of a command it did. Raises DeviceError when it did not, or warns."""
    if reply.verdict is not Verdict.DONE:
        kind = "an error" if reply.verdict is Verdict.ERROR else "a warning"
        raise DeviceError(f'the box answered with {kind}: "{reply.message}"')
    return reply.message


def _listed(counters: Counters) -> str:
    return " ".join(map(str, counters))
