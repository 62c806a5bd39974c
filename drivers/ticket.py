"""The ticket: what opens a blanker, for one finite frame, once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from drivers.errors import LimitError, TicketError
from physics.units import show


@dataclass(frozen=True)
class Frame:
    """A finite raster: where the beam goes, in scan coordinates, and how long it stays.

    centre: (x, y), m, from the middle of the scan field, x to the right, y down.  size: (width, height), m.
    pixels: (columns, rows).  dwell: s a pixel.  Raises LimitError unless all are finite and the last three positive.
    """

    centre: tuple[float, float]
    size: tuple[float, float]
    pixels: tuple[int, int]
    dwell: float

    def __post_init__(self) -> None:
        # a NaN can equal itself inside a tuple, and so a ticket for a frame of NaN would fit
        positive = (*self.size, *self.pixels, self.dwell)
        if not (all(math.isfinite(x) for x in (*self.centre, *positive)) and all(x > 0 for x in positive)):
            raise LimitError(f"{self} is no finite raster")

    def __str__(self) -> str:
        (width, height), (x, y) = ([show(metres, "nm") for metres in pair] for pair in (self.size, self.centre))
        columns, rows = self.pixels
        return f"{columns} x {rows} pixels of {show(self.dwell, 'us')} over {width} x {height} at ({x}, {y})"

    @property
    def pitch(self) -> tuple[float, float]:
        """Distance between pixels (x, y), m."""
        return self.size[0] / self.pixels[0], self.size[1] / self.pixels[1]

    @property
    def count(self) -> int:
        """Pixels in the frame."""
        return self.pixels[0] * self.pixels[1]

    @property
    def seconds(self) -> float:
        """Time the beam is on for the whole frame, without flyback."""
        return self.count * self.dwell


def unlike(given: Frame, other: Frame, other_is: str) -> str:
    """`GIVEN, but OTHER_IS OTHER`, for a refusal; two frames may differ by less than their texts show."""
    if str(given) == str(other):
        return f"{given}, but {other_is} one that differs from it by less than is shown here"
    return f"{given}, but {other_is} {other}"


class Issuer(Protocol):
    """Who hands out tickets and takes them back: the ledger."""

    def spend(self, ticket: Ticket) -> None:
        """Journal that the beam is about to open on it; raises TicketError when it is not open or already spent."""


@dataclass(frozen=True)
class Ticket:
    """Leave to expose one frame of one area, once; only the ledger makes one."""

    exposure_id: str
    area: str
    frame: Frame
    issuer: Issuer = field(repr=False, compare=False)

    def spend(self, frame: Frame) -> None:
        """Use the ticket up for `frame`; raises TicketError when it was given for another frame or is used up."""
        if frame != self.frame:
            raise TicketError(
                f"ticket {self.exposure_id} is for {unlike(self.frame, frame, 'to be exposed is')}",
                way_out="Reserve the frame that will be exposed.",
            )
        self.issuer.spend(self)
