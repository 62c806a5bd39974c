"""Patterns under the ion beam: charge where they lie, for as long as the beam is on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock
from drivers.wire.fibsem_pattern import Circle, Line, Pattern, Polygon, Rectangle
from physics.sputter import removal
from simulators.fibsem.chamber import Chamber, View
from simulators.fibsem.surface import Array, Tile

State = Literal["IDLE", "RUNNING", "PAUSED"]
_SLACK = 5e-6  # m around a pattern in which its cells are looked for: deep places are seen elsewhere
_APPLICATION = "Si"  # what the box takes the sample for when it works out how long a depth takes


class Part(NamedTuple):
    """The cells of one pattern and how long the beam is on them."""

    cells: list[tuple[Tile, NDArray[np.bool_]]]
    number: int
    seconds: float


class Milling:
    """The patterning of the ion column: one job at a time, pattern after pattern or all at once."""

    def __init__(self, chamber: Chamber, clock: Clock) -> None:
        self._chamber, self._clock = chamber, clock
        self._parts: list[Part] = []
        self._parallel = False
        self._done = 0.0
        self._since = 0.0
        self.state: State = "IDLE"

    def estimate(self, patterns: Sequence[Pattern]) -> float:
        """How long the box thinks the patterns take, s: depth by the rate of silicon, whatever the sample is."""
        return sum(self._seconds(pattern) for pattern in patterns)

    def start(self, patterns: Sequence[Pattern], *, parallel: bool) -> None:
        """Beam on; only when nothing is under way."""
        if self.state != "IDLE":
            raise ValueError("milling already")
        view = self._chamber.view("ion")
        left_out = [pattern for pattern in patterns if _excludes(pattern)]
        self._parts = [self._part(pattern, left_out, view) for pattern in patterns if not _excludes(pattern)]
        self._parallel, self._done, self._since, self.state = parallel, 0.0, self._clock.now(), "RUNNING"

    def pause(self) -> None:
        """Beam off until `resume`."""
        self.advance(self._clock.now())
        if self.state == "RUNNING":
            self.state = "PAUSED"

    def resume(self) -> None:
        """Beam on again."""
        if self.state == "PAUSED":
            self._since, self.state = self._clock.now(), "RUNNING"

    def stop(self) -> None:
        """Beam off; the job is over."""
        self.advance(self._clock.now())
        self.state = "IDLE"

    def advance(self, now: float) -> None:
        """Mill up to a clock time."""
        if self.state != "RUNNING":
            return
        whole = sum(part.seconds for part in self._parts)
        before, self._done = self._done, min(self._done + max(now - self._since, 0.0), whole)
        self._since = now
        start = 0.0
        for part in self._parts:
            if self._parallel:
                spent = (self._done - before) * part.seconds / whole
            else:
                spent = max(min(self._done, start + part.seconds) - max(before, start), 0.0)
            start += part.seconds
            self._mill(part, spent)
        if self._done >= whole:
            self.state = "IDLE"

    def ends(self) -> float:
        """Clock time at which the job is over if nobody stops it; now, when none is under way."""
        left = sum(part.seconds for part in self._parts) - self._done if self.state != "IDLE" else 0.0
        return self._clock.now() + left

    def _mill(self, part: Part, seconds: float) -> None:
        if not (part.number and seconds > 0.0):
            return
        surface, column = self._chamber.surface, self._chamber.columns["ion"]
        coulombs = self._chamber.current("ion") * seconds / (part.number * surface.cell**2)
        lean = abs(self._chamber.view("ion").lean)
        for tile, cells in part.cells:
            surface.etch(tile, cells, coulombs, max(column.voltage, 1.0), lean)

    def _part(self, pattern: Pattern, left_out: Sequence[Pattern], view: View) -> Part:
        surface, least = self._chamber.surface, max(self._chamber.probe("ion"), self._chamber.surface.cell)
        left, bottom, right, top = pattern.bounds
        x, y = np.array([left, right, right, left]), np.array([bottom, bottom, top, top])
        u, v = view.place(x, y, 0.0)
        cells = []
        near = float(u.min()) - _SLACK, float(v.min()) - _SLACK, float(u.max()) + _SLACK, float(v.max()) + _SLACK
        for tile, places_u, places_v in surface.tiles(*near):
            across, along = view.image(places_u, places_v, surface.at(places_u, places_v)[0].astype(np.float64))
            hit = _inside(pattern, across, along, least) & surface.on_piece(places_u, places_v)
            for other in left_out:
                hit &= ~_inside(other, across, along, 0.0)
            if hit.any():
                cells.append((tile, hit))
        return Part(cells, sum(int(hit.sum()) for _, hit in cells), self._seconds(pattern))

    def _seconds(self, pattern: Pattern) -> float:
        if _excludes(pattern):
            return 0.0
        if isinstance(pattern, Rectangle) and pattern.time > 0.0:
            return pattern.time
        area = pattern.length * self._chamber.probe("ion") if isinstance(pattern, Line) else pattern.area
        column = self._chamber.columns["ion"]
        rate = float(removal(_APPLICATION, max(column.voltage, 1.0), 0.0)) * max(column.current, 1e-15)
        return area * pattern.depth / rate


def _excludes(pattern: Pattern) -> bool:
    return not isinstance(pattern, Line) and pattern.is_exclusion


def _inside(pattern: Pattern, x: Array, y: Array, least: float) -> NDArray[np.bool_]:
    """Which places of the image a pattern covers; what is thinner than `least`, m, is as thin as that."""
    if isinstance(pattern, Rectangle):
        cosine, sine = np.cos(pattern.rotation), np.sin(pattern.rotation)
        across, along = x - pattern.centre_x, y - pattern.centre_y
        wide = np.abs(cosine * across + sine * along) <= max(pattern.width, least) / 2.0
        return np.asarray(wide & (np.abs(cosine * along - sine * across) <= max(pattern.height, least) / 2.0))
    if isinstance(pattern, Circle):
        distance = np.hypot(x - pattern.centre_x, y - pattern.centre_y)
        inner = pattern.radius - max(pattern.thickness, least) if pattern.thickness else 0.0
        return np.asarray((distance <= max(pattern.radius, least / 2.0)) & (distance >= inner))
    if isinstance(pattern, Line):
        start, end = np.array([pattern.start_x, pattern.start_y]), np.array([pattern.end_x, pattern.end_y])
        way = (end - start) / pattern.length
        on = np.clip((x - start[0]) * way[0] + (y - start[1]) * way[1], 0.0, pattern.length)
        return np.asarray(np.hypot(x - start[0] - on * way[0], y - start[1] - on * way[1]) <= least / 2.0)
    return _within(pattern, x, y)


def _within(polygon: Polygon, x: Array, y: Array) -> NDArray[np.bool_]:
    """Places from which a ray to the right crosses the outline an odd number of times."""
    odd = np.zeros(x.shape, np.bool_)
    turned = (*polygon.vertices[1:], polygon.vertices[0])
    for (x0, y0), (x1, y1) in zip(polygon.vertices, turned, strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            odd ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return odd
