"""A run control on virtual time that remembers what it did, and steps that only count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from acquisition.chain import Chain, Entry
from acquisition.control import RunControl, State
from acquisition.engine import Decision, Engine, Execution, Recipe, Result
from drivers.clock import Clock, VirtualClock
from drivers.links import AbortFlag


class Desk:
    """A run control, and everything it told: the states with their reasons, and how often it blanked.

    on_state: called when the run enters a state, as somebody who watches would act.
    """

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.folder = folder
        self.abort = AbortFlag()
        self.told: list[tuple[State, str]] = []
        self.blanked: list[State] = []
        self.ticks = 0
        self.on_state: dict[State, Callable[[], None]] = {}
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
        self.blanked.append(self.control.state)

    def _changed(self, state: State, why: str) -> None:
        self.told.append((state, why))
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


@dataclass
class Sample:
    """What really happened, over all processes: it outlives them."""

    burned: list[float] = field(default_factory=list)
    performed: list[tuple[int, str]] = field(default_factory=list)


@dataclass
class Process:
    """One process of a run: opens the journal, does the recipe, and closes it again.

    before, after: called with the kind of each entry that is journalled, to be killed there.
    """

    folder: Path
    sample: Sample
    before: Callable[[Entry], None] = lambda entry: None
    after: Callable[[Entry], None] = lambda entry: None
    act: Callable[[Execution], Result] | None = None
    safe: int = 0

    def run(self, recipe: Recipe, *, decision: tuple[int, Decision] | None = None, seed: int = 1) -> State:
        """Do or go on with the recipe; returns the state it ended in, raises what the engine raises."""
        chain = _Watched(self.folder / "journal.jsonl", self.before, self.after)
        self.desk = desk = Desk(self.folder / "control", VirtualClock(elapsed=_last_time(chain.entries)))
        control = RunControl(
            desk.clock,
            desk.abort,
            desk.folder,
            blank=lambda: None,
            changed=lambda state, why: _write(chain, desk, state, why),
            tick=lambda: None,
        )
        desk.control = control
        try:
            engine = Engine(
                chain,
                control,
                perform=self.perform,
                make_safe=self.make_safe,
                prepare=lambda: None,
                seed=seed,
                decision=decision,
            )
            return engine.run(recipe)
        finally:
            self.entries = list(chain.entries)
            chain.close()

    @property
    def state(self) -> State:
        return self.desk.control.state

    def perform(self, execution: Execution) -> Result:
        step = execution.step
        self.sample.performed.append((execution.ordinal, step.do))
        if isinstance(step, Burn):
            self.sample.burned.append(step.dose)
        self.desk.clock.sleep(1.0)
        return self.act(execution) if self.act else {"t": self.desk.clock.now(), "again": len(self.sample.burned)}

    def make_safe(self) -> list[str]:
        self.safe += 1
        return ["scan: safe"]


class _Watched(Chain):
    """The real journal, with a look at each entry before and after it is on the disk."""

    def __init__(self, path: Path, before: Callable[[Entry], None], after: Callable[[Entry], None]) -> None:
        super().__init__(path)
        self._before = before
        self._after = after

    def append(self, kind: str, **facts: Any) -> Entry:
        self._before({"seq": len(self.entries), "kind": kind, **facts})
        entry = super().append(kind, **facts)
        self._after(entry)
        return entry


def _write(chain: Chain, desk: Desk, state: State, why: str) -> None:
    chain.append("state", t=desk.clock.now(), state=state, why=why)
    desk.told.append((state, why))
    desk.on_state.get(state, lambda: None)()


def _last_time(entries: list[Entry]) -> float:
    return max((float(e["t"]) for e in entries if "t" in e), default=0.0)
