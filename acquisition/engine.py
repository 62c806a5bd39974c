"""Runs a recipe step by step and durably: what is finished is never done again, what is torn waits for a person."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from acquisition.chain import Chain, Entry
from acquisition.control import RunControl, State
from drivers.errors import Aborted, Refused, RigError

Result = dict[str, Any]


class Step(Protocol):
    """One thing to do: its name, its parameters in SI, and whether it may never be done twice."""

    @property
    def once(self) -> bool:
        """True for what a resume may never do again by itself."""

    @property
    def do(self) -> str:
        """The name."""

    def parameters(self) -> dict[str, Any]:
        """Every parameter as plain SI numbers and text."""


class Decision(StrEnum):
    """What a person says of a torn step."""

    REMAINDER = "remainder"
    REDO = "redo"
    SKIP = "skip"


@dataclass(frozen=True)
class Execution:
    """One execution of a step. remainder: deliver only what an earlier, torn execution did not."""

    ordinal: int
    step: Step
    remainder: bool


class Attempt(NamedTuple):
    """One device on the way to a safe rig: what is said of it, and whether it is safe."""

    said: str
    safe: bool


class RecipeDiverged(Exception):
    """The recipe asks for another step than the journal says was done at this place."""


class TornStep(Exception):
    """A step that may not be done twice was begun and not finished."""


Do = Callable[[Execution], Result]


def digest(step: Step) -> str:
    """What a step is, to the last digit: hash of its name and its SI parameters."""
    canonical = json.dumps([step.do, step.parameters()], sort_keys=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class Run:
    """What a recipe sees: do, now, random, ask, note; each answer is journalled and the same again on a resume."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def do(self, step: Step) -> Result:
        """Do a step, or give back the result it had when it was done."""
        return self._engine.do(step)

    def now(self) -> float:
        """Seconds of rig time since the run began."""
        return float(self._engine.recall("now", lambda: self._engine.control.clock.now()))

    def random(self) -> float:
        """A number from 0 to 1, drawn from the run's seed."""
        drawn = self._engine.dice.random()  # also on a resume, so that the next draw is another one
        return float(self._engine.recall("random", lambda: drawn))

    def ask(self, question: str) -> str:
        """Wait for a person's answer."""
        return str(self._engine.recall("ask", lambda: self._engine.control.answer_to(question), question=question))

    def note(self, text: str) -> None:
        """Write a line into the journal."""
        self._engine.recall("note", lambda: text)


Recipe = Callable[[Run], None]


class Engine:
    """Journal first, then the step; forward only.

    perform: does one execution (the rig stands behind it).  prepare: brings the rig back to where the journal left it.
    make_safe: blanks and stops everything, never raises, returns what was tried.  decision: what a person said of the
    torn step, by ordinal.
    """

    def __init__(
        self,
        journal: Chain,
        control: RunControl,
        *,
        perform: Do,
        make_safe: Callable[[], list[Attempt]],
        prepare: Callable[[], None],
        seed: int,
        decision: tuple[int, Decision] | None = None,
    ) -> None:
        self.control = control
        self.dice = random.Random(seed)
        self._journal = journal
        self._perform = perform
        self._make_safe = make_safe
        self._prepare = prepare
        self._decision = decision
        self._done: dict[int, Entry] = {}
        self._begun: dict[int, Entry] = {}
        self._ordinal = 0
        for entry in journal.entries:
            if entry["kind"] in ("result", "recalled"):
                self._done[entry["ordinal"]] = entry
            elif entry["kind"] == "step":
                self._begun[entry["ordinal"]] = entry

    def run(self, recipe: Recipe) -> State:
        """Do a recipe to its end and return the final state; what went wrong is journalled and raised."""
        try:
            self.control.to(State.RUNNING, "begun")
            self._refuse_decision_on_nothing()
            self._prepare()
            recipe(Run(self))
            self._refuse_shorter_recipe()
        except TornStep as torn:
            self._finish(State.TORN, str(torn))
            raise
        except Aborted as aborted:
            self._finish(State.ABORTED, str(aborted))
            raise
        except RigError as error:
            self._finish(State.FAILED, str(error))
            raise
        except BaseException as error:  # the outermost frame: blank, write it down, let it go on up
            self._finish(State.FAILED, f"{type(error).__name__}: {error}")
            raise
        self._finish(State.DONE, "all steps done")
        return self.control.state

    def do(self, step: Step) -> Result:
        """Do a step unless the journal has its result; raises TornStep, RecipeDiverged, and what the step raises."""
        ordinal = self._next()
        mark = digest(step)
        begun = self._begun.get(ordinal)
        done = self._done.get(ordinal)
        if done is not None and done["kind"] == "recalled":
            raise RecipeDiverged(
                f"recipe diverged at step {ordinal}: the journal has `{done['what']}` there, not {step.do}. "
                "Use the recipe the run was begun with."
            )
        if begun is not None and begun["digest"] != mark:
            raise RecipeDiverged(
                f"recipe diverged at step {ordinal}: the journal has {begun['do']} with other parameters "
                f"(digest {begun['digest']}, now {step.do} {mark}). Use the recipe the run was begun with."
            )
        if done is not None:
            return self._result(done)
        decision = self._decided(ordinal, step) if begun is not None else None
        if decision is Decision.SKIP:
            return self._write_result(ordinal, {"skipped": True})
        self.control.wait(0.0)  # a pause asked for during the last step
        self._journal.append(
            "step",
            ordinal=ordinal,
            do=step.do,
            digest=mark,
            t=self._now(),
            parameters=step.parameters(),
            again=decision,
        )
        result = self._perform(Execution(ordinal, step, remainder=decision is Decision.REMAINDER))
        return self._write_result(ordinal, result)

    def recall(self, what: str, find: Callable[[], Any], **facts: Any) -> Any:
        """A fact from outside the recipe: found once, journalled, and the same on every resume."""
        ordinal = self._next()
        entry = self._done.get(ordinal) or self._begun.get(ordinal)
        if entry is not None:
            if entry["kind"] != "recalled" or any(entry.get(k) != v for k, v in {"what": what, **facts}.items()):
                raise RecipeDiverged(
                    f"recipe diverged at step {ordinal}: the journal has no `{what}` like this there. "
                    "Use the recipe the run was begun with."
                )
            return entry["value"]
        value = find()
        self._done[ordinal] = self._journal.append(
            "recalled", ordinal=ordinal, what=what, value=value, t=self._now(), **facts
        )
        return value

    def _decided(self, ordinal: int, step: Step) -> Decision | None:
        if self._decision is not None and self._decision[0] == ordinal:
            return self._decision[1]
        if step.once:
            raise TornStep(
                f"step {ordinal} ({step.do}) was begun and not finished; it may not simply be done again. "
                f"Say `cryolift resume RUN --remainder {ordinal}` (only what was not delivered), `--skip {ordinal}` or "
                f"`--redo {ordinal}`."
            )
        return None

    def _refuse_decision_on_nothing(self) -> None:
        if self._decision is not None:
            ordinal, decision = self._decision
            if ordinal in self._done or ordinal not in self._begun:
                raise Refused(
                    f"step {ordinal} is not torn, so there is nothing to {decision}",
                    way_out="`cryolift resume RUN` alone goes on, or says which step is torn.",
                )

    def _refuse_shorter_recipe(self) -> None:
        beyond = [n for n in (*self._done, *self._begun) if n > self._ordinal]
        if beyond:
            raise RecipeDiverged(
                f"recipe diverged: it ends after step {self._ordinal}, but step {min(beyond)} was begun in this run."
            )

    def _write_result(self, ordinal: int, result: Result) -> Result:
        self._done[ordinal] = self._journal.append("result", ordinal=ordinal, t=self._now(), result=result)
        return self._result(self._done[ordinal])

    def _result(self, entry: Entry) -> Result:
        """The recipe's own copy, the same from the journal as it was when the step was done."""
        return dict(copy.deepcopy(entry["result"]))

    def _next(self) -> int:
        self._ordinal += 1
        return self._ordinal

    def _now(self) -> float:
        return round(self.control.clock.now(), 6)

    def _finish(self, state: State, why: str) -> None:
        """Make the rig safe, then write down what was tried and how the run ended; safe even when nothing can be."""
        try:
            if state is State.ABORTED and self.control.state is not State.LATCHED:
                self.control.to(State.ABORTING, self.control.abort_why)
        finally:
            tried = self._make_safe()
            unsafe = [attempt.said for attempt in tried if not attempt.safe]
            if unsafe and state is State.DONE:
                state, why = State.FAILED, f"all steps done, but not everything is safe: {'; '.join(unsafe)}"
            try:
                self._journal.append("safe", t=self._now(), tried=[attempt.said for attempt in tried])
            finally:
                if self.control.state is not State.LATCHED:  # which a person ends, whatever else went wrong
                    self.control.to(state, why)
