"""An option that nothing reads is no option; a driver is small enough to know by heart."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

import pytest
from house import Source, name_of, ours, sources

from protocols.kinds import KINDS

LOOKS = frozenset(
    {"status", "temperature", "temperatures", "heater", "set_point", "spectrum", "read", "finished"}
    | {"beam_energy", "blanked", "pose", "screen_current", "position", "uncertainty", "inserted"}
    | {"orientation", "milling_angle", "column", "estimate"}
)
SUMS = frozenset({"energies", "dead_fraction", "commanded", "gain", "electrons", "angles"})
READS = LOOKS | SUMS  # they leave the instrument as it was; whatever is not named here counts as an action
MOST_ACTIONS = 8
UNREAD = {
    "Sample.source": "said for people, beside the numbers",
    "Loss.source": "said for people, beside the number",
    "Film.layer": "what people call the layer",
    "FalseCrystals.source": "said for people, beside the number",
    "Deposit.source": "said for people, beside the number",
}
DRIVERS = [pytest.param(kind.driver, id=name) for name, kind in KINDS.items()]


def test_every_key_of_a_file_is_read_by_something() -> None:
    unread = []
    for source, model in _models():
        checks = {id(node) for check in _checks(model) for node in ast.walk(check)}
        for name, field in _fields(model):
            excused = f"{model.name}.{name}" in UNREAD or _says_it_all(field)
            if not excused and not _read(name, checks):
                unread.append(f"{source.at(field)} {model.name}.{name}")
    assert not unread


def test_every_option_of_the_command_line_is_read_by_its_command() -> None:
    unread = []
    for source in sources("protocols"):
        for command in (node for node in source.tree.body if isinstance(node, ast.FunctionDef)):
            if any(name_of(mark).endswith("command") for d in command.decorator_list for mark in ast.walk(d)):
                used = {node.id for line in command.body for node in ast.walk(line) if isinstance(node, ast.Name)}
                unread += [f"{source.at(command)} {a.arg}" for a in command.args.args if a.arg not in used]
    assert not unread


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_has_at_most_8_actions(driver: type) -> None:
    assert len(_methods(driver) - READS) <= MOST_ACTIONS


@pytest.mark.parametrize("driver", DRIVERS)
def test_no_method_of_a_driver_has_the_name_of_a_setting(driver: type) -> None:
    assert not _methods(driver) & set(driver.Settings.model_fields)  # type: ignore[attr-defined]


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_driver_can_be_opened_closed_made_safe_and_asked(driver: type) -> None:
    assert {"open", "close", "make_safe", "status"} <= _methods(driver)


def _methods(driver: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(driver, inspect.isfunction) if not name.startswith("_")}


def _models() -> Iterator[tuple[Source, ast.ClassDef]]:
    """Every class of the five packages that pydantic fills from a file: BaseModel and what is derived from it."""
    classes = [(s, node) for s in ours() for node in s.nodes if isinstance(node, ast.ClassDef)]
    above = [(source, node, {name_of(base).split(".")[-1] for base in node.bases}) for source, node in classes]
    derived = {"BaseModel"}
    while fresh := {node.name for _, node, bases in above if bases & derived} - derived:
        derived |= fresh
    return ((source, node) for source, node, bases in above if bases & derived)


def _fields(model: ast.ClassDef) -> Iterator[tuple[str, ast.AnnAssign]]:
    for node in model.body:
        if isinstance(node, ast.AnnAssign) and not ast.unparse(node.annotation).startswith("ClassVar"):
            yield name_of(node.target), node


def _says_it_all(field: ast.AnnAssign) -> bool:
    """`recipe: Literal[1]`: it can have one value only, so that the file has it is all there is to read."""
    kind = ast.unparse(field.annotation).removesuffix(" | None")
    return kind.startswith("Literal[") and "," not in kind


def _checks(model: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """The model's own validators, which reject a value but do nothing with it."""
    for node in model.body:
        if isinstance(node, ast.FunctionDef) and any("validator" in ast.unparse(d) for d in node.decorator_list):
            yield node


def _read(name: str, but_in: set[int]) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load)
        for source in ours()
        for node in source.nodes
        if id(node) not in but_in
    )
