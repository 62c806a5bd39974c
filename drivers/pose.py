"""Where a stage stands: the pose that every stage tells and takes, whatever its box calls its axes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from drivers.limits import Range
from drivers.rigfile import Strict
from physics.quantities import Metres, Radians, Span


@dataclass(frozen=True)
class Place:
    """Where something stands, in axes of its own."""

    def axes(self) -> dict[str, float]:
        """The values by the name of their axis."""
        return asdict(self)


@dataclass(frozen=True)
class Pose(Place):
    """Position of a stage in its own axes: x, y, z in m; rotation, tilt in rad."""

    x: float
    y: float
    z: float
    rotation: float
    tilt: float


AXES: tuple[str, ...] = tuple(field.name for field in fields(Pose))
"""Names of the axes, in the order in which people say them."""


class StageLimits(Strict):
    """Where a stage may go: lowest and highest, m and rad, inside what its box itself allows."""

    x: Span[Metres]
    y: Span[Metres]
    z: Span[Metres]
    rotation: Span[Radians]
    tilt: Span[Radians]

    def of(self, axis: str) -> tuple[float, float]:
        """The limits of the axis of that name."""
        found: tuple[float, float] = getattr(self, axis)
        return found

    def ranges(self) -> dict[str, Range]:
        """The limits by axis."""
        return {axis: Range(*self.of(axis), "mm" if axis in "xyz" else "deg") for axis in AXES}
