"""Interlocks: every state of the rig against every command."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations

import pytest

from drivers.errors import DeviceError, InterlockError
from drivers.interlocks import RULES, Interlocks, RigState, Rule

COMMANDS = (
    "scan.blank",
    "scan.let_go",
    "scan.start",
    "scan.stop",
    "cryostat.set_temperature",
    "cryostat.heater_off",
    "eds.arm",
    "eds.configure",
    "eds.finish",
    "column.blank",
    "column.release",
    "column.acquire",
    "column.flood",
    "column.move_to",
    "stage.move_to",
    "stage.reference",
    "stage.stop",
    "chamber_stage.move_to",
    "needle.move_by",
    "needle.stop",
    "beams.acquire",
    "milling.run",
    "milling.resume",
    "milling.stop",
    "camera.arm",
)
ROLES = {"chamber_stage": "sample_stage@fibsem", "column": "sample_stage@stem"}
BEAMS = {"scan.start", "column.acquire", "column.flood", "beams.acquire", "milling.run", "milling.resume"}
MOVES = {"column.move_to", "stage.move_to", "stage.reference", "chamber_stage.move_to", "needle.move_by"}
FORBIDDEN = {
    RigState.LATCHED: BEAMS | MOVES | {"cryostat.set_temperature"},
    RigState.CURRENT_STALE: {"scan.start", "column.acquire"},
    RigState.SCALE_STALE: {"scan.start"},
    RigState.NEEDLE_IN: {"chamber_stage.move_to"},
    RigState.SCAN_OPEN: {"column.release"},
    RigState.COLUMN_BLANKED: {"scan.start"},
    RigState.COLUMN_OPEN: {"scan.let_go"},
    RigState.SCAN_HOLDS: {"column.flood"},
    RigState.FLOOD_STALE: {"column.flood"},
}
SAFE = tuple(sorted(set(COMMANDS) - set().union(*FORBIDDEN.values())))
COMBINATIONS = [set(some) for n in range(len(RigState) + 1) for some in combinations(RigState, n)]


def answering(holding: Iterable[RigState]) -> dict[RigState, Callable[[], str]]:
    """What a rig answers that is in these states."""
    return {state: (lambda state=state: f"so {state}" if state in holding else "") for state in RigState}  # type: ignore[misc]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_refused_exactly_in_the_states_that_forbid_it(command: str) -> None:
    for states in COMBINATIONS:
        guard = Interlocks(answering(states), roles=ROLES).guard
        if any(command in FORBIDDEN[state] for state in states):
            with pytest.raises(InterlockError):
                guard(command)
        else:
            guard(command)


def test_the_table_above_knows_every_state_of_the_rules() -> None:
    assert set(FORBIDDEN) == set(RigState) == {rule.state for rule in RULES}


@pytest.mark.parametrize("command", SAFE)
def test_what_makes_the_rig_safe_is_never_forbidden(command: str) -> None:
    Interlocks(answering(RigState), roles=ROLES).guard(command)


def test_the_needle_binds_whichever_stage_carries_the_sample() -> None:
    guard = Interlocks(answering([RigState.NEEDLE_IN]), roles={"stage": "sample_stage@fibsem"}).guard
    guard("chamber_stage.move_to")
    with pytest.raises(InterlockError, match=r"stage: move_to refused: the needle stands at the sample"):
        guard("stage.move_to")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.state))
def test_a_refusal_names_the_command_why_what_holds_and_the_way_out(rule: Rule) -> None:
    command = min(FORBIDDEN[rule.state])
    with pytest.raises(InterlockError) as refusal:
        Interlocks(answering([rule.state]), roles=ROLES).guard(command)
    device, action = command.split(".")
    assert str(refusal.value) == f"{device}: {action} refused: {rule.why} (so {rule.state}). {rule.way_out}"


def test_a_rule_whose_state_nobody_tells_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="beam current calibration stale"):
        Interlocks({RigState.LATCHED: str})


def test_the_states_are_asked_anew_for_every_command() -> None:
    holding: set[RigState] = set()
    guard = Interlocks(answering(holding)).guard
    guard("scan.start")
    holding.add(RigState.LATCHED)
    with pytest.raises(InterlockError):
        guard("scan.start")
    holding.clear()
    guard("scan.start")


def test_a_state_that_cannot_be_read_forbids() -> None:
    def unreadable() -> str:
        raise DeviceError("sensor open", device="cryostat", action="temperature")

    states = answering([]) | {RigState.CURRENT_STALE: unreadable}
    with pytest.raises(DeviceError):
        Interlocks(states).guard("scan.start")


def test_a_rule_may_cover_many_commands_by_pattern() -> None:
    rule = Rule(RigState.LATCHED, ("scan.*",), "why", "Way out.")
    guard = Interlocks(answering([RigState.LATCHED]), [rule]).guard
    for command in ("scan.start", "scan.blank"):
        with pytest.raises(InterlockError):
            guard(command)
    guard("scanner.start")
    guard("Scan.start")
