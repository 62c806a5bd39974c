"""What an operator sees while a recipe runs: the step, the area, dose spent and left, time left."""

from __future__ import annotations

from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from acquisition.control import State
from drivers.clock import wall_seconds
from physics.dose import E_PER_A2
from physics.units import show
from protocols.bench import Bench, Progress
from protocols.job import Job
from protocols.plan import StepPlan
from protocols.runner import Watching

UNIT = "e/A^2"
REFRESH = 0.1  # s of wall time between pictures
GRACE = 30.0  # s a step may be late before that is said


class Screen(Console):
    """A console whose reader may go away: a run goes on though nobody looks."""

    def on_broken_pipe(self) -> None:
        try:
            super().on_broken_pipe()
        except SystemExit:
            self.quiet = True


class Display:
    """A live table on a terminal; one line a step where the output is kept in a file."""

    def __init__(self, console: Console, job: Job, plans: list[StepPlan]) -> None:
        self._console = console
        self._job = job
        self._plans = plans
        self._bench: Bench | None = None
        self._now = Progress(0, "", 0.0, "opening the rig", None)
        self._step_began = 0.0
        self._state = State.IDLE
        self._drawn = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def watching(self) -> Watching:
        """What the runner tells the display."""
        return Watching(
            progress=self._progress,
            state=self._state_changed,
            opened=self._opened,
            tick=self._tick,
            unsafe=self._unsafe,
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._live is not None:
            self._live.stop()

    def _opened(self, bench: Bench) -> None:
        self._bench = bench

    def _progress(self, progress: Progress) -> None:
        fresh = progress.step != self._now.step
        self._now = progress
        if fresh:
            self._step_began = self._rig_time()
            if self._live is None:
                self._say(f"step {progress.step} {progress.do}: {progress.text} ({self._time_left()} left)")
        self._tick()

    def _state_changed(self, state: State, why: str) -> None:
        self._state = state
        if state not in (State.RUNNING, State.DONE, State.FAILED):  # a failure is told when the command ends
            self._say(f"{state}: {why}")
        self._tick()

    def _unsafe(self, said: str) -> None:
        self._say(f"NOT SAFE: {said}")

    def _tick(self) -> None:
        if self._live is not None and wall_seconds() - self._drawn > REFRESH:
            self._drawn = wall_seconds()
            try:
                self._live.update(self._picture(), refresh=True)
            except OSError:  # the terminal is gone; the run is not
                self._live = None

    def _say(self, line: str) -> None:
        try:
            self._console.print(line, markup=False)
        except OSError:  # a full disk under a log file must not end a night's run
            self._console.quiet = True

    def _picture(self) -> Group:
        head = Text(
            f"{self._job.recipe.heading.name} on {self._job.rig.model.name}\n"
            f"{self._doing()}   rig time left {self._time_left()}{self._stage()}"
        )
        step = Table.grid(padding=(0, 2))
        step.add_row(
            f"step {self._now.step}" + (f" of {len(self._plans)}" if self._plans else ""),
            self._now.do,
            self._now.area or "",
            ProgressBar(total=1.0, completed=self._fraction(), width=30),
            self._now.text,
        )
        return Group(head, step, self._dose())

    def _doing(self) -> str:
        """The state; a pause that was asked for waits for the end of the pass."""
        waits = self._bench is not None and self._state is State.RUNNING and self._bench.control.pause_asked
        return "pausing after this pass" if waits else str(self._state)

    def _stage(self) -> str:
        kelvin = None if self._bench is None else self._bench.stage_kelvin
        return "" if kelvin is None else f"   stage {kelvin:.1f} K"

    def _dose(self) -> Table:
        table = Table("area", "spent", "left", "budget", box=None, padding=(0, 2))
        if self._bench is not None:
            ledger = self._bench.ledger
            for area in ledger.areas:
                spent = ledger.spent(area.name)[0]
                table.add_row(area.name, *(_round(each) for each in (spent, ledger.left(area.name), area.limit)))
        return table

    def _time_left(self) -> str:
        """Planned rig time of what is still to come; unknown for a Python recipe."""
        if not self._plans:
            return "unknown"
        number = max(self._now.step, 1) - 1
        later = sum(plan.seconds for plan in self._plans[number + 1 :])
        if number >= len(self._plans):
            return "unknown"
        this = self._plans[number].seconds * (1.0 - self._fraction())
        return duration(this + later) + (" (this step takes longer than planned)" if self._overdue() else "")

    def _fraction(self) -> float:
        """How far the step is: what it says of itself, or what its planned time says."""
        number = self._now.step - 1
        if not 0 <= number < len(self._plans) or not self._plans[number].seconds > 0.0:
            return self._now.fraction
        return max(self._now.fraction, min((self._rig_time() - self._step_began) / self._plans[number].seconds, 1.0))

    def _overdue(self) -> bool:
        number = self._now.step - 1
        return 0 <= number < len(self._plans) and (
            self._rig_time() - self._step_began > 1.2 * self._plans[number].seconds + GRACE
        )

    def _rig_time(self) -> float:
        return 0.0 if self._bench is None else self._bench.rig.clock.now()


def _round(fluence: float) -> str:
    """To the electron: a display that jitters in its decimals cannot be read."""
    return show(round(fluence / E_PER_A2) * E_PER_A2, UNIT)


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 12 min, 1 h 5 min."""
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60.0)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
