"""What a step will take, said before anything moves; and what it raises when it cannot be or did not work."""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.ticket import Exposed


@dataclass(frozen=True)
class Exposure:
    """A beam a step means to open: where, what exposes it, how often, and how much less sure the place is then, m."""

    area: str
    work: Exposed
    passes: int = 1
    unsure: float = 0.0


@dataclass(frozen=True)
class Outlook:
    """What a step will take: s of rig time, the exposures, and where the scan field is left (None: where it was)."""

    seconds: float
    exposures: tuple[Exposure, ...] = field(default=())
    moves_to: str | None = None


class StepError(Exception):
    """A step cannot be done as it is written, or its result does not show what it was to bring."""


class PostconditionError(StepError):
    """The step was done, and looking at it shows that it did not work."""
