"""Interlocks as data: in which state of the rig which command is refused, why, and the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from drivers.errors import InterlockError

Guard = Callable[[str], None]
"""Called by a driver with `device.action` before any byte; raises InterlockError."""


class RigState(StrEnum):
    """States of the rig that forbid commands."""

    LATCHED = "latched"
    CURRENT_STALE = "beam current calibration stale"
    SCALE_STALE = "scan scale calibration stale"


@dataclass(frozen=True)
class Rule:
    """In `state`, refuse the commands that match `commands` (shell patterns of `device.action`)."""

    state: RigState
    commands: tuple[str, ...]
    why: str
    way_out: str


RULES: tuple[Rule, ...] = (
    Rule(
        RigState.LATCHED,
        ("scan.start", "cryostat.set_temperature"),
        "an interlock tripped and waits for a person",
        "Find the cause, then `cryolift reset RUN --by NAME --reason ...`.",
    ),
    Rule(
        RigState.CURRENT_STALE,
        ("scan.start",),
        "the calibration of the beam current does not hold now, so no dose could be counted",
        "Measure the current and write it, with its date, into the rig file.",
    ),
    Rule(
        RigState.SCALE_STALE,
        ("scan.start",),
        "the calibration of the scan scale does not hold now, so the exposed area and its dose would not be known",
        "Measure the scale and write its uncertainty, with its date, into the rig file.",
    ),
)


class Interlocks:
    """Asks the rig which states hold and applies the rules.

    states: what there is to say of a state while it holds; "" while it does not.
    """

    def __init__(self, states: Mapping[RigState, Callable[[], str]], rules: Iterable[Rule] = RULES) -> None:
        self._states = dict(states)
        self._rules = tuple(rules)
        unanswered = {rule.state for rule in self._rules} - set(self._states)
        if unanswered:  # a rule that nobody feeds would never refuse anything
            raise ValueError(f"nobody tells the interlocks of: {', '.join(sorted(unanswered))}")

    def guard(self, command: str) -> None:
        """Raise InterlockError when a rule forbids `device.action` now."""
        for rule in self._rules:
            if any(fnmatchcase(command, pattern) for pattern in rule.commands) and (said := self._states[rule.state]()):
                device, _, action = command.partition(".")
                raise InterlockError(
                    f"refused: {rule.why} ({said})", device=device, action=action, way_out=rule.way_out
                )
