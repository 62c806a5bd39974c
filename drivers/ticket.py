"""The ticket: what opens a beam, for one finite frame, one finite cut or one flood of light, once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, Protocol

from drivers.errors import LimitError, TicketError
from physics.units import show

Beam = Literal["electron", "ion"]


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


class Pattern(Protocol):
    """A shape that the ion beam scans: frozen, compared by its values, told in the units people read."""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of it in the ion image, m from the middle, y up."""


@dataclass(frozen=True)
class Cut:
    """A finite milling job of the ion beam: what it scans, how strongly, and for how long at most.

    patterns: in the ion image.  field: width of that image, m.  current: A.  voltage: V.  seconds: s the beam is on at
    most.  Raises LimitError unless there is a pattern, all lie within the field, and all else is finite and positive.
    """

    patterns: tuple[Pattern, ...]
    field: float
    current: float
    voltage: float
    seconds: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(x) and x > 0 for x in (self.field, self.current, self.voltage, self.seconds)):
            raise LimitError(f"{self} is no finite cut")
        if not self.patterns:
            raise LimitError("a cut without a pattern would mill nothing")
        for pattern in self.patterns:
            if not all(abs(edge) <= self.field / 2.0 for edge in pattern.bounds):
                raise LimitError(
                    f"the {pattern} reaches beyond the field of {show(self.field, 'um')}",
                    way_out="Choose a larger field or a smaller pattern.",
                )

    def __str__(self) -> str:
        drawn = ", ".join(map(str, self.patterns))
        beam = f"{show(self.current, 'pA')} at {show(self.voltage, 'kV')}"
        return f"{drawn} in a field of {show(self.field, 'um')} with {beam} for {show(self.seconds, 's')} at most"


@dataclass(frozen=True)
class Flood:
    """A parallel beam on a disc for a while, and the camera's image of its middle.

    centre: (x, y), m, in scan coordinates.  size: (width, height) of the image, m.  pixels: (columns, rows) of it.
    diameter: of the disc, m.  seconds: the camera is exposed.  defocus: of the image, m, underfocus positive.  Raises
    LimitError unless all are finite, all but centre and defocus are positive, and the disc holds the image.
    """

    centre: tuple[float, float]
    size: tuple[float, float]
    pixels: tuple[int, int]
    diameter: float
    seconds: float
    defocus: float

    def __post_init__(self) -> None:
        positive = (*self.size, *self.pixels, self.diameter, self.seconds)
        if not (
            all(math.isfinite(x) for x in (*self.centre, self.defocus, *positive)) and all(x > 0 for x in positive)
        ):
            raise LimitError(f"{self} is no finite flood")
        if not math.hypot(*self.size) <= self.diameter:
            raise LimitError(
                f"an image of {' x '.join(show(side, 'nm') for side in self.size)} does not lie in a disc of "
                f"{show(self.diameter, 'nm')}",
                way_out="Spread the beam, or choose fewer pixels.",
            )

    def __str__(self) -> str:
        (width, height), (x, y) = ([show(metres, "nm") for metres in pair] for pair in (self.size, self.centre))
        columns, rows = self.pixels
        return (
            f"{columns} x {rows} pixels over {width} x {height} in a disc of {show(self.diameter, 'nm')} at "
            f"({x}, {y}) for {show(self.seconds, 's')}, {show(self.defocus, 'nm')} under focus"
        )

    @property
    def pitch(self) -> tuple[float, float]:
        """Distance between pixels (x, y), m."""
        return self.size[0] / self.pixels[0], self.size[1] / self.pixels[1]

    @property
    def count(self) -> int:
        """Pixels in the image."""
        return self.pixels[0] * self.pixels[1]

    @property
    def area(self) -> float:
        """Of the disc, m^2."""
        return math.pi / 4.0 * self.diameter**2


Exposed = Frame | Flood
"""What a beam of electrons does to the sample for an image of it."""
Work = Frame | Cut | Flood
"""All that a ticket may be for."""
_CALLED: dict[type, str] = {Frame: "frame", Cut: "cut", Flood: "flood"}


def unlike(given: Work, other: Work, other_is: str) -> str:
    """`GIVEN, but OTHER_IS OTHER`, for a refusal; two may differ by less than their texts show."""
    if str(given) == str(other):
        return f"{given}, but {other_is} one that differs from it by less than is shown here"
    return f"{given}, but {other_is} {other}"


class Issuer(Protocol):
    """Who hands out tickets and takes them back: the ledger."""

    def spend(self, ticket: Ticket) -> None:
        """Journal that the beam is about to open on it; raises TicketError when it is not open or already spent."""


@dataclass(frozen=True)
class Ticket:
    """Leave to expose one frame or one disc of one area to one beam, or to mill one cut, once.

    Only the ledger makes one.  Raises TicketError when it is made for a cut by electrons, or a flood by ions.
    """

    exposure_id: str
    area: str
    work: Work
    issuer: Issuer = field(repr=False, compare=False)
    beam: Beam = "electron"

    def __post_init__(self) -> None:
        if isinstance(self.work, Cut) and self.beam != "ion":
            raise TicketError(f"ticket {self.exposure_id} is for a cut, which takes the ion beam")
        if isinstance(self.work, Flood) and self.beam != "electron":
            raise TicketError(f"ticket {self.exposure_id} is for a flood, which takes the electron beam")

    @property
    def frame(self) -> Frame:
        """The frame it is for; raises TicketError when it is for something else."""
        if not isinstance(self.work, Frame):
            raise TicketError(f"ticket {self.exposure_id} is for a {_CALLED[type(self.work)]}, not for a frame")
        return self.work

    def spend(self, work: Work, beam: Beam = "electron") -> None:
        """Use the ticket up for `work` with a beam; raises TicketError when it was given for another or is used up."""
        if beam != self.beam:
            raise TicketError(
                f"ticket {self.exposure_id} is for the {self.beam} beam, but to be opened is the {beam} beam",
                way_out=f"Reserve it for the {beam} beam.",
            )
        if work != self.work:
            raise TicketError(
                f"ticket {self.exposure_id} is for {unlike(self.work, work, 'to be exposed is')}",
                way_out=f"Reserve the {_CALLED[type(work)]} that will be exposed.",
            )
        self.issuer.spend(self)
