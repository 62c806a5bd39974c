"""A run control on virtual time that remembers what it did, and steps that only count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from acquisition.chain import Chain, Entry
from acquisition.control import RunControl, State
from acquisition.engine import Attempt, Decision, Engine, Execution, Recipe, Result
from drivers.clock import Clock, VirtualClock
from drivers.errors import LinkError
from drivers.links import AbortFlag


class Desk:
    """A run control, and everything it told: the states with their reasons, and how often it blanked.

    on_state: called when the run enters a state, as somebody who watches would act.  dead_line: the beam cannot be
    blanked.  journal: where states go.
    """

    def __init__(self, folder: Path, clock: Clock | None = None, journal: Chain | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.folder = folder
        self.abort = AbortFlag()
        self.told: list[tuple[State, str]] = []
        self.blanked: list[State] = []
        self.dead_line = False
        self.ticks = 0
        self.on_state: dict[State, Callable[[], None]] = {}
        self._journal = journal
        self.control = RunControl(
            self.clock, self.abort, folder, blank=self._blank, changed=self._changed, tick=self._tick
        )

    @property
    def states(self) -> list[State]:
        return [state for state, _ in self.told]

    def ask(self, name: str, text: str = "") -> None:
        """Lay a request into RUN/control, as another process does."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def running(self) -> RunControl:
        """The control, begun."""
        self.control.to(State.RUNNING, "begun")
        return self.control

    def _blank(self) -> None:
        if self.dead_line:
            raise LinkError("the line is dead")
        self.blanked.append(self.control.state)

    def _changed(self, state: State, why: str) -> None:
        self.told.append((state, why))
        if self._journal is not None:
            self._journal.append("state", t=self.clock.now(), state=state, why=why)
        self.on_state.get(state, lambda: None)()

    def _tick(self) -> None:
        self.ticks += 1


@dataclass(frozen=True)
class Look:
    """A step that may be done again."""

    at: float = 0.0
    do: str = "look"
    once: ClassVar[bool] = False

    def parameters(self) -> dict[str, Any]:
        return {"at": self.at}


@dataclass(frozen=True)
class Burn:
    """A step that may not."""

    dose: float = 1.0
    do: str = "burn"
    once: ClassVar[bool] = True

    def parameters(self) -> dict[str, Any]:
        return {"dose": self.dose}


class Killed(BaseException):
    """The process is gone: nothing that comes later may count on having run."""


class Sample:
    """What really happened to it, over all processes: it outlives them."""

    def __init__(self) -> None:
        self.performed: list[Execution] = []

    @property
    def ordinals(self) -> list[int]:
        """The steps that were performed, in order."""
        return [execution.ordinal for execution in self.performed]

    def times(self, ordinal: int) -> int:
        """How often a step was performed."""
        return self.ordinals.count(ordinal)


class Watched(Chain):
    """The real journal, with a look at each entry before and after it is on the disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.before: Callable[[int, str], None] = lambda seq, kind: None
        self.after: Callable[[int, str], None] = lambda seq, kind: None

    def append(self, kind: str, **facts: Any) -> Entry:
        seq = len(self.entries)
        self.before(seq, kind)
        entry = super().append(kind, **facts)
        self.after(seq, kind)
        return entry


class Process:
    """One process of a run: opens the journal, does the recipe, makes the rig safe.

    act: what a step does besides being counted.  safe: how often the rig was made safe.
    """

    def __init__(self, folder: Path, sample: Sample) -> None:
        self.journal = Watched(folder / "journal.jsonl")
        self.desk = Desk(folder / "control", VirtualClock(elapsed=self._last_time()), self.journal)
        self.sample = sample
        self.act: Callable[[Execution], Result] = lambda execution: {"done": execution.step.do}
        self.prepare: Callable[[], None] = lambda: None
        self.safe = 0
        self.unsafe: list[Attempt] = []

    def run(self, recipe: Recipe, *, decision: tuple[int, Decision] | None = None) -> State:
        """Do or go on with the recipe; returns the state it ended in, raises what the engine raises."""
        engine = Engine(
            self.journal,
            self.desk.control,
            perform=self._perform,
            make_safe=self._make_safe,
            prepare=self.prepare,
            seed=7,
            decision=decision,
        )
        try:
            return engine.run(recipe)
        finally:
            self.journal.close()

    @property
    def state(self) -> State:
        return self.desk.control.state

    @property
    def kinds(self) -> list[str]:
        """Kinds of all journalled entries."""
        return [str(entry["kind"]) for entry in self.journal.entries]

    @property
    def results(self) -> dict[int, Result]:
        """The journalled result of each step."""
        return {e["ordinal"]: e["result"] for e in self.journal.entries if e["kind"] == "result"}

    def _perform(self, execution: Execution) -> Result:
        self.sample.performed.append(execution)
        self.desk.clock.sleep(1.0)
        return self.act(execution)

    def _make_safe(self) -> list[Attempt]:
        self.safe += 1
        return [Attempt("scan: safe", safe=True), *self.unsafe]

    def _last_time(self) -> float:
        return max((float(e["t"]) for e in self.journal.entries if "t" in e), default=0.0)
