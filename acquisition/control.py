"""The state of a run, and the one place that looks for pause, abort, answers and the watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

from drivers.clock import Clock, VirtualClock, wall_seconds, wall_sleep
from drivers.errors import Aborted, InterlockError
from drivers.links import AbortFlag

POLL = 0.1  # s of wall time between looks into RUN/control, and the longest slice of a control wait
LONGEST_SUSPENSION = 2 * 3600.0  # s of rig time in which a cause should go away by itself; assumed


class State(StrEnum):
    """What a run is doing."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    WAITING = "waiting"
    ABORTING = "aborting"
    DONE = "done"
    ABORTED = "aborted"
    FAILED = "failed"
    TORN = "torn"
    LATCHED = "latched"


_STOPPING = {State.ABORTING, State.FAILED, State.TORN, State.LATCHED}
TRANSITIONS: dict[State, frozenset[State]] = {
    State.IDLE: frozenset({State.RUNNING, State.FAILED, State.LATCHED}),
    State.RUNNING: frozenset({State.PAUSING, State.SUSPENDED, State.WAITING, State.DONE} | _STOPPING),
    State.PAUSING: frozenset({State.PAUSED} | _STOPPING),
    State.PAUSED: frozenset({State.RUNNING} | _STOPPING),
    State.SUSPENDED: frozenset({State.RUNNING} | _STOPPING),
    State.WAITING: frozenset({State.RUNNING} | _STOPPING),
    State.ABORTING: frozenset({State.ABORTED, State.FAILED}),
    State.LATCHED: frozenset(),
    State.DONE: frozenset(),
    State.ABORTED: frozenset(),
    State.FAILED: frozenset(),
    State.TORN: frozenset(),
}


@dataclass(frozen=True)
class Trip:
    """Why a watch stops the run. `latch`: a person must reset it; otherwise the run resumes when the cause is gone."""

    reason: str
    latch: bool


@dataclass
class Watch:
    """A condition looked at every so often during control waits; `look` returns a Trip or None."""

    name: str
    every: float
    look: Callable[[], Trip | None]
    due: float = field(default=0.0)


class RunControl:
    """Owns the state; its `wait` is the control wait of all drivers and steps.

    blank: closes the beam at once.  changed: told of every new state and why.  tick: called now and then while time
    passes, for a display.
    """

    def __init__(
        self,
        clock: Clock,
        abort: AbortFlag,
        folder: Path,
        *,
        blank: Callable[[], None],
        changed: Callable[[State, str], None],
        tick: Callable[[], None],
    ) -> None:
        self.clock = clock
        self.state = State.IDLE
        self._abort = abort
        self._folder = folder
        self._blank = blank
        self._changed = changed
        self._tick = tick
        self._pause_asked = False
        self._blank_asked = False
        self.abort_why = "stopped"
        self._watches: list[Watch] = []
        self._looked = -1e9
        self._watching = False
        self._latched: InterlockError | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for stale in ("pause", "abort", "blank", "continue", "answer"):
            (folder / stale).unlink(missing_ok=True)

    def to(self, state: State, why: str) -> None:
        """Change the state; raises RuntimeError for a change the table does not have."""
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"a run cannot go from {self.state} to {state}")
        self.state = state
        self._changed(state, why)

    def watch(self, name: str, every: float, look: Callable[[], Trip | None]) -> None:
        """Look at a condition every `every` s of rig time."""
        self._watches.append(Watch(name, every, look, self.clock.now()))

    def interrupt(self) -> None:
        """Ctrl-C: the first asks for a pause, the next one aborts."""
        if self._pause_asked or self.state in (State.PAUSING, State.PAUSED, State.WAITING):
            self.ask_abort("Ctrl-C twice")
        else:
            self._pause_asked = True

    def ask_abort(self, why: str) -> None:
        """Stop as soon as the next link wait or control wait looks."""
        self.abort_why = why
        self._abort.set()

    @property
    def pause_asked(self) -> bool:
        """True while a pause is wanted and the run has not paused yet."""
        return self._pause_asked

    def poll(self) -> None:
        """Look for requests and at the watches, without pausing; raises Aborted or InterlockError."""
        if self._latched is not None:  # also when a recipe caught it and went on
            raise self._latched
        self._heed()
        if self._blank_asked:
            self._blank_asked = False
            self._pause_asked = True
            self._blank()
        self._look_at_watches()

    def wait(self, seconds: float) -> None:
        """The control wait: let rig time pass, pausing where asked; raises Aborted or InterlockError."""
        end = self.clock.now() + seconds
        while True:
            self.poll()
            if self._pause_asked and self.state is State.RUNNING:
                self._stand_by("asked for")
            left = end - self.clock.now()
            if left <= 0.0:
                return
            self.clock.sleep(min(left, POLL))

    def answer_to(self, question: str) -> str:
        """Wait for a person's answer (`cryolift answer RUN ...`); raises Aborted."""
        file = self._folder / "answer"
        self._blank()
        file.unlink(missing_ok=True)  # given before the question was asked
        self.to(State.WAITING, question)
        while not file.exists():
            self.poll()
            self._let_wall_time_pass()
        answer = file.read_text(encoding="utf-8", errors="replace").strip()
        file.unlink()
        self.to(State.RUNNING, "answered")
        self._look_again()
        return answer

    def _stand_by(self, why: str) -> None:
        self.to(State.PAUSING, why)
        self._blank()
        self._pause_asked = False
        going_on = self._folder / "continue"
        going_on.unlink(missing_ok=True)  # of an earlier pause
        self.to(State.PAUSED, "blanked; `cryolift resume RUN` goes on, Ctrl-C or `cryolift abort RUN` ends it")
        while not going_on.exists():
            self.poll()
            self._let_wall_time_pass()
        going_on.unlink()
        self._pause_asked = False
        self.to(State.RUNNING, "going on")
        self._look_again()

    def _look_again(self) -> None:
        """What tripped while nothing was done would trip later: look now, before anything is done."""
        for watch in self._watches:
            watch.due = self.clock.now()
        self.poll()

    def _let_wall_time_pass(self) -> None:
        if isinstance(self.clock, VirtualClock):  # a person takes wall time; the simulated rig ages with it
            wall_sleep(POLL)
        self.clock.sleep(POLL)

    def _heed(self) -> None:
        """Look into RUN/control, not more often than it is worth; raises Aborted."""
        if wall_seconds() - self._looked >= POLL:
            self._looked = wall_seconds()
            self._read_requests()
            self._tick()
        if self._abort.is_set():
            raise Aborted(self.abort_why)

    def _read_requests(self) -> None:
        for name in ("abort", "blank", "pause"):
            file = self._folder / name
            if file.exists():
                file.unlink(missing_ok=True)
                if name == "abort":
                    self.ask_abort("`cryolift abort`")
                elif name == "blank":
                    self._blank_asked = True
                else:
                    self._pause_asked = True

    def _look_at_watches(self) -> None:
        if self._watching:  # a watch reads a device, whose driver may not wait
            return
        self._watching = True
        try:
            for watch in self._watches:
                if self.clock.now() >= watch.due:
                    watch.due = self.clock.now() + watch.every
                    trip = watch.look()
                    if trip is not None:
                        self._trip(watch, trip)
        finally:
            self._watching = False

    def _trip(self, watch: Watch, trip: Trip) -> None:
        if trip.latch:
            self._latch(watch, trip.reason)
        if self.state is not State.RUNNING:
            return  # standing by already, blanked
        self._blank()
        self.to(State.SUSPENDED, f"{watch.name}: {trip.reason}")
        since = self.clock.now()
        while (tripped := self._tripped()) is not None:
            cause, now = tripped
            if now.latch:
                self._latch(cause, now.reason)
            if self.clock.now() - since > LONGEST_SUSPENSION:
                self._latch(cause, f"{now.reason}, and it did not pass by itself")
            look_again = self.clock.now() + watch.every
            while (left := look_again - self.clock.now()) > 0.0:
                self._heed()
                self.clock.sleep(min(left, POLL))
        self.to(State.RUNNING, f"{watch.name}: the cause is gone")

    def _tripped(self) -> tuple[Watch, Trip] | None:
        """A watch that trips now, first of all one that latches."""
        trips = [(watch, trip) for watch in self._watches if (trip := watch.look()) is not None]
        return min(trips, key=lambda each: not each[1].latch, default=None)

    def _latch(self, watch: Watch, reason: str) -> NoReturn:
        """Blank, and stay so until a person resets the file that says so, whatever becomes of this process."""
        self._latched = InterlockError(
            f"tripped: {reason}",
            device=watch.name,
            way_out="Look at the sample, then `cryolift reset RUN --by NAME --reason ...` and resume.",
        )
        try:
            self._blank()
        finally:
            self.to(State.LATCHED, f"{watch.name}: {reason}")
            (self._folder / "latched").touch()
        raise self._latched
