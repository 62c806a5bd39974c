"""The rig's limits: checked before any byte, never clipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.errors import LimitError
from physics.units import show


@dataclass(frozen=True)
class Range:
    """Lowest and highest allowed value, SI, the unit people read, and where it is written."""

    low: float
    high: float
    unit: str
    where: str = "the rig file"


class Limits:
    """The limits of one device by quantity name."""

    def __init__(self, ranges: Mapping[str, Range]) -> None:
        self._ranges = dict(ranges)

    def range(self, quantity: str) -> Range:
        """The range of one quantity; KeyError when the device has none of that name."""
        return self._ranges[quantity]

    def check(self, device: str, action: str, **values: float) -> None:
        """Refuse any value outside its range, NaN included; raises LimitError."""
        for quantity, value in values.items():
            limit = self._ranges[quantity]
            if not limit.low <= value <= limit.high:
                beyond = limit.high if value > limit.high else limit.low
                raise LimitError(
                    f"refused: {quantity} {show(value, limit.unit)} is beyond the rig's limit "
                    f"{show(beyond, limit.unit)} ({limit.where})",
                    device=device,
                    action=action,
                    way_out=f"Choose {show(limit.low, limit.unit)} to {show(limit.high, limit.unit)}, "
                    "or change the limit if the instrument allows it.",
                )
