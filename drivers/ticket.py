"""The ticket: what opens a blanker, for one finite frame, once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from drivers.errors import LimitError, TicketError


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
                f"ticket {self.exposure_id} is for {self.frame}, not for {frame}",
                way_out="Reserve the frame that will be exposed.",
            )
        self.issuer.spend(self)
