"""Milling with the ion beam of a FIB-SEM: cuts, each on its ticket, seen to their end (a fibsem server).

The servers' own `run_milling` starts the beam though current or voltage could not be set.  Here both are read back
before it is asked, and it is asked for exactly what was read, so that it has nothing left to set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from drivers.errors import LimitError, LinkError, Refused, RigError, WireError
from drivers.fibsem_api import FibsemApi, near
from drivers.interlocks import Guard
from drivers.limits import Limits
from drivers.links.base import Wait
from drivers.links.http import HttpLink
from drivers.milling_column import IonBeam, IonColumn
from drivers.milling_settings import MillingSettings, ranges
from drivers.ticket import Cut, Ticket
from drivers.wire import fibsem as wire
from drivers.wire.fibsem import NOTHING
from drivers.wire.fibsem_milling import MillSettings, RunMilling, SetUpMilling
from drivers.wire.fibsem_model import Choices
from drivers.wire.fibsem_pattern import Circle, Line, Pattern, Patterns, Polygon, Rectangle
from physics.units import show

__all__ = ["Circle", "Line", "Milled", "Milling", "MillingSettings", "Polygon", "Rectangle", "ranges"]

SHAPES = (Rectangle, Line, Circle, Polygon)
POLL = 1.0  # s between looks at a cut
STARTING = 10.0  # s in which a beam that was told to start is seen to mill
UNSEEN = 2.0  # s; a cut this short may be over before it was seen to begin
TURN = 2.0 * math.pi  # rad
STOPPING, STOP_LOOK = 10.0, 0.2  # s; how long a beam may take to be off, and how often we look


@dataclass(frozen=True)
class Milled:
    """A cut that was made: how long the beam milled, and how long the box had worked out, s."""

    seconds: float
    estimate: float


@dataclass
class _Under:
    """The cut under way: since when the beam is on (None: it is held), and for how long it was before."""

    since: float | None
    seconds: float = 0.0

    def hold(self, now: float) -> None:
        """The beam is off from now on."""
        if self.since is not None:
            self.seconds, self.since = self.seconds + now - self.since, None

    def spent(self, now: float) -> float:
        """How long the beam has been on, s."""
        return self.seconds + (now - self.since if self.since is not None else 0.0)


@dataclass
class _Job:
    cut: Cut
    beam: _Under = field(default_factory=lambda: _Under(None))
    held: bool = False  # by us


class Milling:
    """The patterning of the ion beam behind a fibsem server.

    A cut goes on while the host waits: the control wait between two looks at it may call `pause`, and `run` lets it go
    on afterwards.  Whatever ends a cut, the column goes back to the current, voltage and field it had before, and where
    that cannot be seen to be so, it is said.  `make_safe` stops milling and nothing else: there is no blanker here.
    """

    Settings = MillingSettings

    def __init__(
        self,
        link: HttpLink,
        settings: MillingSettings,
        *,
        limits: Limits,
        guard: Guard,
        wait: Wait,
        name: str = "milling",
    ) -> None:
        self.name = name
        self._api = FibsemApi(link, name)
        self._settings = settings
        self._limits = limits
        self._guard = guard
        self._wait = wait
        self._column = IonColumn(self._api, settings.tolerance)
        self._job: _Job | None = None

    def open(self) -> None:
        """See that a fibsem server answers whose ion beam is at rest. Raises LinkError, WireError, DeviceError."""
        self._api.open()
        self._see_at_rest("open")

    def close(self) -> None:
        """Close the line; a cut that is under way goes on."""
        self._api.link.close()

    def make_safe(self) -> None:
        """Stop milling, even while an abort is due, and see that it stopped.

        Raises LinkError, WireError, DeviceError.
        """
        with self._api.link.abort.ignored():
            self._stop("make_safe")

    def estimate(self, cut: Cut) -> float:
        """How long the box works out for a cut, s: set it up, draw it, ask, and go back; nothing is milled.

        Raises LimitError, InterlockError, LinkError, WireError, DeviceError.
        """
        self._check("estimate", cut)
        self._guard(f"{self.name}.estimate")
        with self._borrowed("estimate"):
            seconds, _ = self._prepare("estimate", cut)
        return seconds

    def run(self, cut: Cut, ticket: Ticket) -> Milled:
        """Set up, confirm current and voltage, spend the ticket, mill, and go back to imaging.

        It pauses and stops where the control wait says so; an abort stops the beam.  Raises LimitError, InterlockError,
        TicketError, LinkError, WireError, DeviceError (also when the cut ended early), Aborted.
        """
        self._check("run", cut)
        self._guard(f"{self.name}.run")
        with self._borrowed("run"):
            estimate, column = self._prepare("run", cut)
            ticket.spend(cut, "ion")
            self._job = _Job(cut)
            try:
                self._start("run", column)
                self._column.confirm("run", cut)  # once more: now it counts
                seconds = self._until_done(estimate)
            finally:
                self._job = None
        return Milled(seconds, estimate)

    def pause(self) -> None:
        """Hold the cut that is under way, beam off; nothing where none is. Raises LinkError, WireError, DeviceError."""
        if self._job is None:
            return
        self._api.order("pause", wire.PAUSE)
        if (state := self._api.milling_state("pause")) not in ("PAUSED", "IDLE"):
            raise self._api.no("pause", f"the ion beam goes on ({state}) after it was paused", "Stop it by hand.")
        # one that stood already was held at the microscope, by somebody who lets it go there
        ours = self._job.held or self._job.beam.since is not None
        self._job.held = ours and state == "PAUSED"
        self._job.beam.hold(self._api.link.clock.now())

    def resume(self) -> None:
        """Let a cut that `pause` holds go on. Raises InterlockError, Refused, LinkError, WireError, DeviceError."""
        if self._job is None or not self._job.held:
            raise Refused("refused: no cut of ours is held", device=self.name, action="resume")
        self._guard(f"{self.name}.resume")
        self._column.confirm("resume", self._job.cut)
        self._api.order("resume", wire.RESUME)
        self._job.held, self._job.beam.since = False, self._api.link.clock.now()

    def stop(self) -> None:
        """Stop the cut that is under way, and see that it stopped. Raises LinkError, WireError, DeviceError."""
        self._stop("stop")

    def status(self) -> dict[str, float | str | bool]:
        """For the record: whether the ion beam mills, and for how long a cut of ours has."""
        job = self._job
        spent = job.beam.spent(self._api.link.clock.now()) if job is not None else 0.0
        return {"state": self._api.milling_state("status"), "seconds": spent, "held": job is not None and job.held}

    # --- what an action is made of

    def _check(self, action: str, cut: Cut) -> None:
        self._limits.check(
            self.name, action, current=cut.current, voltage=cut.voltage, field=cut.field, seconds=cut.seconds
        )
        turned = [pattern.rotation for pattern in cut.patterns if isinstance(pattern, Rectangle | Circle)]
        if not all(abs(angle) <= TURN for angle in turned):
            raise LimitError(
                f"refused: a pattern is turned by {max(turned, key=abs):g} rad, more than once around",
                device=self.name,
                action=action,
                way_out="Are these degrees?",
            )
        if not all(isinstance(pattern, SHAPES) for pattern in cut.patterns):
            raise Refused("refused: a pattern that this wire has no word for", device=self.name, action=action)

    def _prepare(self, action: str, cut: Cut) -> tuple[float, IonBeam]:
        """Column and patterns as the cut says; the seconds the box works out, and the column as it reads back."""
        patterns = tuple(pattern for pattern in cut.patterns if isinstance(pattern, SHAPES))
        self._see_directions(action, patterns)
        setup = MillSettings(
            cut.current, cut.voltage, cut.field, self._settings.application_file, self._settings.patterning_mode
        )
        if self._settings.preset:
            setup = replace(setup, preset=self._settings.preset)
        self._api.do(action, wire.SET_UP_MILLING, SetUpMilling(setup))
        self._column.bring(action, cut.voltage, cut.current)
        self._column.confirm(action, cut)
        self._api.do(action, wire.DRAW, Patterns(patterns))
        told = self._api.ask(action, wire.MILLING_TIME, NOTHING, lambda a, b: near(a.seconds, b.seconds, 0.01))
        if not 0.0 < told.seconds <= cut.seconds:
            raise self._api.no(
                action,
                f"works out {show(told.seconds, 's')} for a cut of {show(cut.seconds, 's')} at most",
                "Allow more time, or cut less.",
            )
        return told.seconds, self._column.confirm(action, cut)

    def _see_directions(self, action: str, patterns: tuple[Pattern, ...]) -> None:
        """A direction the box does not have would be another one, without a word."""
        asked = {pattern.scan_direction for pattern in patterns if isinstance(pattern, Rectangle)} - {"TopToBottom"}
        if asked:
            has = self._api.ask(action, wire.AVAILABLE, Choices("scan_direction", "ion")).values
            if missing := asked - set(map(str, has)):
                raise self._api.no(action, f"does not scan {', '.join(sorted(missing))}", f"It has {has}.")

    def _start(self, action: str, column: IonBeam) -> None:
        assert self._job is not None
        self._job.beam.since = self._api.link.clock.now()
        self._api.do(action, wire.RUN, RunMilling(column.current, column.voltage, asynch=True))

    def _until_done(self, estimate: float) -> float:
        """Look at the cut until it is over; the seconds it milled."""
        job, clock = self._job, self._api.link.clock
        assert job is not None
        started, milling, since_held = clock.now(), False, clock.now()
        while True:
            state, now = self._api.milling_state("run"), clock.now()
            milling = milling or state == "RUNNING"
            if state == "ERROR":
                raise self._api.no("run", "the ion beam reports an error", "Look at the microscope.")
            if state == "IDLE" and (milling or now - started >= min(STARTING, estimate)):
                break
            if state == "PAUSED":
                job.beam.hold(now)
                if job.held:
                    self.resume()
                elif now - since_held > self._settings.patience:
                    raise self._api.no("run", "was held at the microscope for too long", "Cut the rest anew.")
            else:
                since_held = now
                if state != "IDLE" and job.beam.since is None:  # let go at the microscope, or hung as it stops
                    job.beam.since = now
            left = job.cut.seconds - job.beam.spent(now)
            if left <= 0.0:
                raise self._api.no(
                    "run",
                    f"still mills after the {show(job.cut.seconds, 's')} of its ticket; {show(estimate, 's')} were "
                    "worked out",
                    "Look at the cut, then reserve more time.",
                )
            self._wait(min(POLL, left))
        if not milling and estimate > UNSEEN:
            raise self._api.no("run", "was told to mill and was not seen to begin", "Look at the microscope.")
        seconds = job.beam.spent(now)
        if not seconds >= self._settings.believable * estimate:
            raise self._api.no(
                "run",
                f"ended after {show(seconds, 's')}; {show(estimate, 's')} were worked out",
                "Was it stopped at the microscope? Look at the cut.",
            )
        return seconds

    def _stop(self, action: str) -> None:
        """Say stop, though the line be in doubt, and then see that the beam is off."""
        clock = self._api.link.clock
        try:
            self._api.order(action, wire.STOP)
        except (LinkError, WireError):
            self._api.order(action, wire.STOP)  # stopping twice stops once
        given_up = clock.now() + STOPPING
        while (state := self._api.milling_state(action)) not in ("IDLE", "ERROR"):
            if clock.now() >= given_up:
                raise self._api.no(action, f"the ion beam goes on ({state}) after it was stopped", "Stop it by hand.")
            clock.sleep(STOP_LOOK)  # no control wait: an abort is due, perhaps
        if self._job is not None:
            self._job.beam.hold(clock.now())
            self._job.held = False

    @contextmanager
    def _borrowed(self, action: str) -> Iterator[None]:
        """Give the column back as it was, on every way out."""
        self._see_at_rest(action)
        before = self._column.read(action)
        self._limits.check(self.name, action, imaging_current=before.current)
        try:
            yield
        except BaseException as error:
            try:
                self._give_back(action, before)
            except RigError as second:
                error.add_note(f"and {second}")
            raise
        self._give_back(action, before)

    def _give_back(self, action: str, before: IonBeam) -> None:
        with self._api.link.abort.ignored():
            self._column.give_back(action, before, stop=lambda: self._stop(action))

    def _see_at_rest(self, action: str) -> None:
        if (state := self._api.milling_state(action)) != "IDLE":
            raise self._api.no(action, f"the ion beam is busy ({state})", "Stop it at the microscope, or make safe.")
