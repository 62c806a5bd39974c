"""What the ion beam can be told to scan over the fibsem API.

Source: fibsem 0.5.3, fibsem/structures.py (FibsemRectangleSettings ...).  Places are m from the middle of the ion
image, x to the right, y up.  Bitmaps are left out: the API's own client cannot send one (its array is no JSON).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from drivers.wire.fibsem_json import Closed
from physics.units import show

Bounds = tuple[float, float, float, float]
CrossSection = Literal["Rectangle", "RegularCrossSection", "CleaningCrossSection"]
MOST = 256  # patterns of one job
MOST_VERTICES = 4096


@dataclass(frozen=True)
class Rectangle(Closed):
    """A box, or a cross-section of that width and height.

    depth: m, as the box works it out from its own application file.  rotation: rad.  time: s; 0 leaves it to the box.
    passes: 0 leaves them to the box.  is_exclusion: what it covers is not milled.  Raises ValueError unless the sizes
    are finite and more than zero.
    """

    width: float
    height: float
    depth: float
    centre_x: float = 0.0
    centre_y: float = 0.0
    rotation: float = 0.0
    cleaning_cross_section: bool = False
    scan_direction: str = "TopToBottom"
    cross_section: CrossSection = "Rectangle"
    passes: int = 0
    time: float = 0.0
    is_exclusion: bool = False
    type: Literal["Rectangle"] = "Rectangle"

    def __post_init__(self) -> None:
        _see("rectangle", (self.width, self.height, self.depth), (self.centre_x, self.centre_y, self.rotation))
        if not (self.time >= 0.0 and math.isfinite(self.time) and self.passes >= 0):
            raise ValueError(f"a rectangle of {self.time} s and {self.passes} passes cannot be")

    def __str__(self) -> str:
        size = f"{show(self.width, 'um')} x {show(self.height, 'um')}"
        return f"{size} rectangle, {show(self.depth, 'um')} deep, at {_place(self.centre_x, self.centre_y)}"

    @property
    def bounds(self) -> Bounds:
        """Left, bottom, right, top, m."""
        cosine, sine = abs(math.cos(self.rotation)), abs(math.sin(self.rotation))
        across = (self.width * cosine + self.height * sine) / 2.0
        along = (self.width * sine + self.height * cosine) / 2.0
        return self.centre_x - across, self.centre_y - along, self.centre_x + across, self.centre_y + along

    @property
    def area(self) -> float:
        """m^2."""
        return self.width * self.height


@dataclass(frozen=True)
class Line(Closed):
    """One line, as wide as the beam.

    Raises ValueError unless its ends are finite and apart, and its depth more than zero.
    """

    start_x: float
    end_x: float
    start_y: float
    end_y: float
    depth: float
    type: Literal["Line"] = "Line"

    def __post_init__(self) -> None:
        _see("line", (self.depth, self.length), (self.start_x, self.end_x, self.start_y, self.end_y))

    def __str__(self) -> str:
        ends = f"{_place(self.start_x, self.start_y)} to {_place(self.end_x, self.end_y)}"
        return f"line from {ends}, {show(self.depth, 'um')} deep"

    @property
    def length(self) -> float:
        """m."""
        return math.hypot(self.end_x - self.start_x, self.end_y - self.start_y)

    @property
    def bounds(self) -> Bounds:
        """Left, bottom, right, top, m."""
        return (
            min(self.start_x, self.end_x),
            min(self.start_y, self.end_y),
            max(self.start_x, self.end_x),
            max(self.start_y, self.end_y),
        )


@dataclass(frozen=True)
class Circle(Closed):
    """A disc, or a ring of `thickness` inside its radius; always the whole turn.

    start_angle, end_angle: degrees, as the API has them.  Raises ValueError for another arc than 0 to 360 degrees (a
    Thermo Fisher server mills the whole turn whatever they say), and unless the sizes are finite and more than zero.
    """

    radius: float
    depth: float
    centre_x: float = 0.0
    centre_y: float = 0.0
    thickness: float = 0.0
    start_angle: float = 0.0
    end_angle: float = 360.0
    rotation: float = 0.0
    is_exclusion: bool = False
    type: Literal["Circle"] = "Circle"

    def __post_init__(self) -> None:
        _see("circle", (self.radius, self.depth), (self.centre_x, self.centre_y, self.rotation))
        if not 0.0 <= self.thickness <= self.radius:
            raise ValueError(f"a ring {self.thickness} m thick does not fit into a radius of {self.radius} m")
        if (self.start_angle, self.end_angle) != (0.0, 360.0):
            raise ValueError("only whole turns are milled")

    def __str__(self) -> str:
        ring = f" ring {show(self.thickness, 'um')} thick," if self.thickness else " circle,"
        size = f"{show(self.radius, 'um')} radius"
        return f"{size}{ring} {show(self.depth, 'um')} deep, at {_place(self.centre_x, self.centre_y)}"

    @property
    def bounds(self) -> Bounds:
        """Left, bottom, right, top, m."""
        r = self.radius
        return self.centre_x - r, self.centre_y - r, self.centre_x + r, self.centre_y + r

    @property
    def area(self) -> float:
        """m^2."""
        inner = self.radius - self.thickness if self.thickness else 0.0
        return math.pi * (self.radius**2 - inner**2)


@dataclass(frozen=True)
class Polygon(Closed):
    """What lies within a closed line through the vertices, (x, y) each, m.

    Raises ValueError unless there are 3 to 4096 of them, finite, around some area, and a depth of more than zero.
    """

    vertices: tuple[tuple[float, float], ...]
    depth: float
    is_exclusion: bool = False
    type: Literal["Polygon"] = "Polygon"

    def __post_init__(self) -> None:
        if not 3 <= len(self.vertices) <= MOST_VERTICES:
            raise ValueError(f"a polygon has 3 to {MOST_VERTICES} vertices")
        _see("polygon", (self.depth, self.area), tuple(value for vertex in self.vertices for value in vertex))

    def __str__(self) -> str:
        left, bottom, right, top = self.bounds
        size = f"{show(right - left, 'um')} x {show(top - bottom, 'um')}"
        where = _place((left + right) / 2.0, (bottom + top) / 2.0)
        return f"{size} polygon of {len(self.vertices)} vertices, {show(self.depth, 'um')} deep, at {where}"

    @property
    def bounds(self) -> Bounds:
        """Left, bottom, right, top, m."""
        x, y = zip(*self.vertices, strict=True)
        return min(x), min(y), max(x), max(y)

    @property
    def area(self) -> float:
        """m^2, by the shoelace formula."""
        turned = (*self.vertices[1:], self.vertices[0])
        return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(self.vertices, turned, strict=True))) / 2.0


Pattern = Annotated[Rectangle | Line | Circle | Polygon, Field(discriminator="type")]


@dataclass(frozen=True)
class Patterns(Closed):
    """What is drawn at once."""

    patterns: Annotated[tuple[Pattern, ...], Field(max_length=MOST)]


def _see(what: str, positive: tuple[float, ...], finite: tuple[float, ...]) -> None:
    if not (all(math.isfinite(x) for x in (*positive, *finite)) and all(x > 0.0 for x in positive)):
        raise ValueError(f"a {what} of {positive} at {finite} cannot be")


def _place(x: float, y: float) -> str:
    return f"({show(x, 'um')}, {show(y, 'um')})"
