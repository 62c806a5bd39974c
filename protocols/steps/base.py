"""What every step is: frozen typed parameters, a plan that costs nothing, and a run that does it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from acquisition.engine import Result
from drivers.ticket import Frame

if TYPE_CHECKING:
    from protocols.bench import StepRun
    from protocols.plan import Plan


@dataclass(frozen=True)
class Exposure:
    """A beam a step means to open: where, over which frame, how often."""

    area: str
    frame: Frame
    passes: int = 1


@dataclass(frozen=True)
class Outlook:
    """What a step will take: s of rig time, the exposures, and where the scan field is left (None: where it was)."""

    seconds: float
    exposures: tuple[Exposure, ...] = field(default=())
    moves_to: str | None = None


class Step(BaseModel):
    """One thing to do. `once`: it may never be done twice by a resume."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    do: str
    once: ClassVar[bool] = False

    def parameters(self) -> dict[str, Any]:
        """Every parameter as plain SI numbers and text."""
        return self.model_dump(mode="json", exclude={"do"})

    @abstractmethod
    def outlook(self, plan: Plan) -> Outlook:
        """What the step will take and expose, without touching anything; raises StepError for what cannot be."""

    @abstractmethod
    def run(self, run: StepRun) -> Result:
        """Do it and return a small JSON result."""


class StepError(Exception):
    """A step cannot be done as it is written, or its result does not show what it was to bring."""


class PostconditionError(StepError):
    """The step was done, and looking at it shows that it did not work."""
