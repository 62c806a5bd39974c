"""Where a stage stands: the pose that every stage tells and takes, whatever its box calls its axes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Pose:
    """Position of a stage in its own axes: x, y, z in m; rotation, tilt in rad."""

    x: float
    y: float
    z: float
    rotation: float
    tilt: float

    def axes(self) -> dict[str, float]:
        """The five values by the name of their axis."""
        return asdict(self)


AXES: tuple[str, ...] = tuple(field.name for field in fields(Pose))
"""Names of the axes, in the order in which people say them."""
