"""What is to be run, and the error of a run that cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acquisition.chain import Entry, read_chain
from protocols.heading import Recipe
from protocols.recipe import load_recipe
from protocols.rigtext import RigText, load_rig


class RunError(Exception):
    """The run cannot be begun or resumed; says why and what to do."""


@dataclass(frozen=True)
class Job:
    """What is to be run: a recipe on a rig, with the seed and the sample file of a simulated one."""

    recipe: Recipe
    rig: RigText
    seed: int
    sample: Path | None
    folder: Path


def journal_of(folder: Path) -> list[Entry]:
    """The journal of a run folder, empty where a process died before it began; raises RunError, ChainError."""
    journal = folder / "journal.jsonl"
    if not journal.is_file():
        raise RunError(f"{folder} is not a run folder: it has no journal.jsonl.")
    return read_chain(journal)


def job_of(folder: Path, other_recipe: str | None = None) -> Job:
    """The job that was begun in a folder, with another recipe where one is given; raises RunError, RecipeError."""
    entries = journal_of(folder)
    if not entries:
        raise RunError(f"{folder}: nothing was begun in it. `cryolift run RECIPE --out {folder}` begins.")
    first, sample_file = entries[0], folder / "sample.yaml"
    kept = folder / ("recipe.py" if (folder / "recipe.py").is_file() else "recipe.yaml")
    recipe = load_recipe(other_recipe or str(kept))
    rig = load_rig(str(folder / "rig.yaml"))
    return Job(recipe, rig, first["seed"], sample_file if sample_file.is_file() else None, folder)
