"""What every step is: frozen typed parameters, a plan that costs nothing, and a run that does it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from acquisition.engine import Result
from protocols.bench import StepRun
from protocols.outlook import Outlook
from protocols.plan import Plan

Positive = Field(gt=0.0)
"""For `Annotated[Seconds, Positive]`; of `Seconds = Field(gt=0.0)` pydantic would lose sight as the unit is read."""


class Step(BaseModel):
    """One thing to do."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    do: str

    @property
    def once(self) -> bool:
        """True for what exposes: a resume may never do it again by itself."""
        return False

    def parameters(self) -> dict[str, Any]:
        """Every parameter as plain SI numbers and text."""
        return self.model_dump(mode="json", exclude={"do"})

    @abstractmethod
    def outlook(self, plan: Plan) -> Outlook:
        """What the step will take and expose, without touching anything; raises StepError for what cannot be."""

    @abstractmethod
    def run(self, run: StepRun) -> Result:
        """Do it and return a small JSON result."""
