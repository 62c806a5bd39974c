"""What a recipe is once it is read: its heading, its steps or its function, and its file byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from acquisition.engine import Run
from drivers.rigfile import Position, Strict
from physics.quantities import Fluence
from protocols.plan import Planned

Function = Callable[[Run], None]


class BudgetSpec(Strict):
    """The most an area may receive, and from where on the operator is told."""

    limit: Fluence
    notify: Fluence | None = None

    @model_validator(mode="after")
    def _ordered(self) -> BudgetSpec:
        if not self.limit > 0.0:
            raise ValueError("a budget must be more than nothing")
        if self.notify is not None and not 0.0 < self.notify <= self.limit:
            raise ValueError("notify must lie above nothing and not above the limit, or nobody would be told in time")
        return self


class Heading(BaseModel):
    """What a recipe says besides its steps.

    areas: places that the rig file has not saved, or elsewhere than saved.  elements: what the sample is made of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Literal[1] = 1
    name: str
    sample: str
    budgets: dict[str, BudgetSpec]
    areas: dict[str, Position] = {}
    elements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A recipe ready to run. steps: None for a Python function, whose steps are known only as it runs."""

    heading: Heading
    steps: Sequence[Planned] | None
    function: Function
    content: bytes
    file_name: str

    @property
    def text(self) -> str:
        """What stands in the file."""
        return self.content.decode()

    @property
    def sha256(self) -> str:
        """Hash of the file, byte for byte."""
        return hashlib.sha256(self.content).hexdigest()
