"""The documents tell the truth: links lead somewhere, examples can be run, references leave nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main
from house import ROOT
from pydantic import BaseModel

from drivers.rigfile import Calibrations, CurrentCalibration, Optics, RigFile
from protocols.books import look
from protocols.cli import app
from protocols.job import Job
from protocols.kinds import KINDS
from protocols.recipe import Heading, load_recipe
from protocols.rigtext import load_rig, read_rig
from protocols.steps.line import Strip
from protocols.steps.registry import STEPS

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REFERENCE = ROOT / "docs" / "reference"


def examples(language: str, beginning: str) -> list[object]:
    """Fenced blocks of a language, in all pages, that hold a line with this beginning."""
    found: list[object] = []
    for page in PAGES:
        blocks = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        for number, block in enumerate(blocks):
            if re.search(rf"^{re.escape(beginning)}", block, re.MULTILINE):
                found.append(pytest.param(block, id=f"{page.relative_to(ROOT).as_posix()}-{number}"))
    return found


def keys(model: type[BaseModel]) -> set[str]:
    """Names as people type them."""
    return {field.alias or name for name, field in model.model_fields.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.parametrize("text", examples("yaml", "recipe: 1"))
def test_every_recipe_in_the_documents_may_run(text: str, tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(text, encoding="utf-8")
    assert look(Job(load_recipe(str(file)), load_rig("bench"), 1, None, tmp_path / "run")).findings == []


@pytest.mark.parametrize("text", examples("python", "def recipe(run)"))
def test_every_python_recipe_in_the_documents_can_be_read(text: str, tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(text, encoding="utf-8")
    assert load_recipe(str(file)).heading.budgets


@pytest.mark.parametrize("text", examples("yaml", "rig: 1"))
def test_every_rig_file_in_the_documents_can_be_read(text: str) -> None:
    rig = read_rig(text, "example").model
    for entry in rig.devices.values():
        assert KINDS[entry.driver].driver.Settings.model_validate(entry.settings, context={"typed": True})


@pytest.mark.parametrize("name", STEPS)
def test_every_parameter_of_a_step_is_in_the_reference(name: str) -> None:
    section = (REFERENCE / "recipe-steps.md").read_text(encoding="utf-8").split(f"## `{name}`")[1].split("\n## ")[0]
    assert not [key for key in keys(STEPS[name]) - {"do"} if f"`{key}`" not in section]


@pytest.mark.parametrize("model", [Heading, Strip])
def test_every_other_key_of_a_recipe_is_in_the_reference(model: type[BaseModel]) -> None:
    page = (REFERENCE / "recipe-steps.md").read_text(encoding="utf-8")
    assert not [key for key in keys(model) if f"`{key}`" not in page]


@pytest.mark.parametrize("model", [RigFile, Optics, Calibrations, CurrentCalibration])
def test_every_key_of_a_rig_file_is_in_the_reference(model: type[BaseModel]) -> None:
    page = (REFERENCE / "rig-file.md").read_text(encoding="utf-8")
    assert not [key for key in keys(model) if f"`{key}`" not in page]


@pytest.mark.parametrize("name", KINDS)
def test_every_setting_of_a_driver_is_in_the_reference(name: str) -> None:
    section = (REFERENCE / "rig-file.md").read_text(encoding="utf-8").split(f"### `{name}`")[1].split("\n### ")[0]
    assert not [key for key in keys(KINDS[name].driver.Settings) if f"`{key}`" not in section]


def test_every_command_and_option_is_in_the_reference() -> None:
    page = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {option for command in commands.values() for each in command.params for option in each.opts}
    missing = [name for name in commands if not re.search(rf"`{name}\b", page)]
    assert not missing + [option for option in options if option.startswith("--") and option not in page]


def test_every_command_says_an_example() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert not [name for name, command in commands.items() if f"Example: cryolift {name}" not in (command.help or "")]


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert not [path.name for path in folder.glob("0*.md") if f"({path.name})" not in index]
