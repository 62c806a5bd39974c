"""What is to be run, and the error of a run that cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from protocols.heading import Recipe
from protocols.rig import RigText


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
