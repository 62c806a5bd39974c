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
    NEEDLE_IN = "needle in"
    SCAN_OPEN = "scan not known to hold the beam"
    COLUMN_BLANKED = "column blanked"
    COLUMN_OPEN = "column not known to hold the beam"
    SCAN_HOLDS = "scan box holds the beam"
    FLOOD_STALE = "calibrations of the parallel beam stale"


@dataclass(frozen=True)
class Rule:
    """In `state`, refuse the commands that match `commands`: shell patterns of `device.action`, or of `role.action`.

    The role of the stage that carries the sample at a station is `sample_stage@STATION`, whichever box it is.
    """

    state: RigState
    commands: tuple[str, ...]
    why: str
    way_out: str


RULES: tuple[Rule, ...] = (
    Rule(
        RigState.LATCHED,
        (
            "scan.start",
            "column.acquire",
            "column.flood",
            "beams.acquire",
            "milling.run",
            "milling.resume",
            "cryostat.set_temperature",
            "*.move_by",
            "*.move_to",
            "*.reference",
        ),
        "an interlock tripped and waits for a person",
        "Find the cause, then `cryolift reset RUN --by NAME --reason ...`.",
    ),
    Rule(
        RigState.CURRENT_STALE,
        ("scan.start", "column.acquire"),
        "the calibration of the beam current does not hold now, so no dose could be counted",
        "Measure the current and write it, with its date, into the rig file.",
    ),
    Rule(
        RigState.SCALE_STALE,
        ("scan.start",),
        "the calibration of the scan scale does not hold now, so the exposed area and its dose would not be known",
        "Measure the scale and write its uncertainty, with its date, into the rig file.",
    ),
    Rule(
        RigState.NEEDLE_IN,
        ("sample_stage@fibsem.move_*", "sample_stage@fibsem.reference"),
        "the needle stands at the sample, and a stage that moves would break it or what hangs on it",
        "Bring the needle to its parked place first; where it carries something, by the step that says so.",
    ),
    Rule(
        RigState.SCAN_OPEN,
        ("column.release",),
        "the column's blanker is let go of only while the scan box is known to hold the beam",
        "Open the scan box, or blank it, first.",
    ),
    Rule(
        RigState.COLUMN_BLANKED,
        ("scan.start",),
        "the column's own blanker is closed, so the images would be dark and yet count as dose",
        "Resume the run: a rig that opens lets go of it once the scan box holds the beam.",
    ),
    Rule(
        RigState.COLUMN_OPEN,
        ("scan.let_go",),
        "the scan box lets go of the beam only while the column's own blanker is known to hold it",
        "Blank the column first.",
    ),
    Rule(
        RigState.SCAN_HOLDS,
        ("column.flood",),
        "the scan box holds the beam, so the images would be dark and yet count as dose",
        "Let the scan box let go of it first.",
    ),
    Rule(
        RigState.FLOOD_STALE,
        ("column.flood",),
        "the calibrations of the parallel beam do not hold now, so no dose could be counted",
        "Measure its current and its diameter and write them, with their dates, into the rig file.",
    ),
)


class Interlocks:
    """Asks the rig which states hold and applies the rules.

    states: what there is to say of a state while it holds; "" while it does not.  roles: of devices that have one.
    """

    def __init__(
        self,
        states: Mapping[RigState, Callable[[], str]],
        rules: Iterable[Rule] = RULES,
        roles: Mapping[str, str] | None = None,
    ) -> None:
        self._states = dict(states)
        self._roles = dict(roles or {})
        self._rules = tuple(rules)
        unanswered = {rule.state for rule in self._rules} - set(self._states)
        if unanswered:  # a rule that nobody feeds would never refuse anything
            raise ValueError(f"nobody tells the interlocks of: {', '.join(sorted(unanswered))}")

    def guard(self, command: str) -> None:
        """Raise InterlockError when a rule forbids `device.action` now."""
        device, _, action = command.partition(".")
        names = [command, *([f"{self._roles[device]}.{action}"] if device in self._roles else [])]
        for rule in self._rules:
            forbidden = any(fnmatchcase(name, pattern) for name in names for pattern in rule.commands)
            if forbidden and (said := self._states[rule.state]()):
                raise InterlockError(
                    f"refused: {rule.why} ({said})", device=device, action=action, way_out=rule.way_out
                )
