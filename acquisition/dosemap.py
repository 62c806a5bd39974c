"""How much each spot of a body has received: sparse tiles of 4 nm cells in the body's own frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from drivers.errors import LimitError

CELL = 4e-9  # m, on a lamella (architecture section 7)
TILE = 64  # cells a side
FARTHEST = 2e-6  # m; a map that may be farther off tells no place in a scan field from another


@dataclass(frozen=True)
class Rectangle:
    """A rectangle in a body's frame, m; raises LimitError unless its edges are finite and in order."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        edges = astuple(self)
        if not (all(map(math.isfinite, edges)) and self.left <= self.right and self.top <= self.bottom):
            raise LimitError(f"{edges} m is no rectangle")

    @classmethod
    def around(cls, centre: tuple[float, float], size: tuple[float, float]) -> Rectangle:
        """The rectangle of a size (width, height) around a centre (x, y), m."""
        return cls(centre[0] - size[0] / 2, centre[1] - size[1] / 2, centre[0] + size[0] / 2, centre[1] + size[1] / 2)

    def moved(self, x: float, y: float) -> Rectangle:
        """The rectangle moved by (x, y), m."""
        return Rectangle(self.left + x, self.top + y, self.right + x, self.bottom + y)

    def grown(self, margin: float) -> Rectangle:
        """The rectangle with `margin` m added on every side."""
        return Rectangle(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin)

    def cells(self) -> tuple[int, int, int, int]:
        """First and one-past-last cell it touches: x0, y0, x1, y1."""
        return (
            int(np.floor(self.left / CELL)),
            int(np.floor(self.top / CELL)),
            int(np.ceil(self.right / CELL)),
            int(np.ceil(self.bottom / CELL)),
        )


class DoseMap:
    """Fluence received, m^-2, by cell; a cell touched at all counts as hit in full, so it is never below the truth."""

    def __init__(self) -> None:
        self._tiles: dict[tuple[int, int], NDArray[np.float64]] = {}
        self._everywhere = 0.0  # received by every cell besides what is in its tile

    def copy(self) -> DoseMap:
        """An independent copy, to plan on."""
        twin = DoseMap()
        twin._tiles = {place: tile.copy() for place, tile in self._tiles.items()}
        twin._everywhere = self._everywhere
        return twin

    def include(self, other: DoseMap) -> None:
        """Add everything that another map holds."""
        self._everywhere += other._everywhere
        for place, tile in other._tiles.items():
            self._tiles.setdefault(place, np.zeros((TILE, TILE)))[...] += tile

    def dilated(self, margin: float) -> DoseMap:
        """The map of a sample that may have moved by up to `margin` m along x and along y, as one.

        Each cell has the highest fluence of all that may now lie there.  Beyond FARTHEST, or for a margin that is no
        number, every cell of the lamella has the highest of all.
        """
        moved = DoseMap()
        moved._everywhere = self._everywhere
        if not self._tiles:
            return moved
        if not margin <= FARTHEST:
            moved._everywhere += max(float(tile.max()) for tile in self._tiles.values())
            return moved
        cells = math.ceil(margin / CELL)
        rim = math.ceil(cells / TILE)
        columns, rows = zip(*self._tiles, strict=True)
        left, right = min(columns) - rim, max(columns) + rim + 1
        top, bottom = min(rows) - rim, max(rows) + rim + 1
        whole = np.zeros(((bottom - top) * TILE, (right - left) * TILE))
        for (column, row), tile in self._tiles.items():
            y, x = (row - top) * TILE, (column - left) * TILE
            whole[y : y + TILE, x : x + TILE] = tile
        for axis in (0, 1):
            whole = maximum_filter1d(whole, 2 * cells + 1, axis=axis, mode="constant")
        for row in range(top, bottom):
            for column in range(left, right):
                y, x = (row - top) * TILE, (column - left) * TILE
                tile = whole[y : y + TILE, x : x + TILE]
                if tile.any():
                    moved._tiles[column, row] = tile.copy()
        return moved

    def add(self, where: Rectangle, fluence: float) -> None:
        """Add `fluence`, m^-2, to every cell that `where` touches; raises LimitError unless it is finite and >= 0."""
        if not 0.0 <= fluence < math.inf:
            raise LimitError(f"a fluence of {fluence} m^-2 cannot be counted")
        x0, y0, x1, y1 = where.cells()
        for tx in range(x0 // TILE, (x1 - 1) // TILE + 1):
            for ty in range(y0 // TILE, (y1 - 1) // TILE + 1):
                tile = self._tiles.setdefault((tx, ty), np.zeros((TILE, TILE)))
                tile[
                    max(y0 - ty * TILE, 0) : min(y1 - ty * TILE, TILE),
                    max(x0 - tx * TILE, 0) : min(x1 - tx * TILE, TILE),
                ] += fluence

    def within(self, where: Rectangle) -> NDArray[np.float64]:
        """The cells that `where` touches, rows down, columns to the right; shape (ny, nx), m^-2."""
        return self._read(where.cells())

    def highest(self, where: Rectangle) -> float:
        """The highest fluence in `where`, m^-2."""
        return float(self.within(where).max(initial=0.0))

    def highest_in_both(self, one: Rectangle, other: Rectangle) -> float | None:
        """The highest fluence in the cells that two rectangles both touch, m^-2, or None where they share none."""
        (a0, b0, a1, b1), (c0, d0, c1, d1) = one.cells(), other.cells()
        x0, y0, x1, y1 = max(a0, c0), max(b0, d0), min(a1, c1), min(b1, d1)
        return float(self._read((x0, y0, x1, y1)).max(initial=0.0)) if x0 < x1 and y0 < y1 else None

    def highest_outside(self, where: Rectangle, others: Sequence[Rectangle]) -> float:
        """The highest fluence in the cells of `where` that none of some other rectangles touches, m^-2."""
        cells = self.within(where)
        left, top, _, _ = where.cells()
        for other in others:
            x0, y0, x1, y1 = other.cells()
            cells[max(y0 - top, 0) : max(y1 - top, 0), max(x0 - left, 0) : max(x1 - left, 0)] = 0.0
        return float(cells.max(initial=0.0))

    def _read(self, cells: tuple[int, int, int, int]) -> NDArray[np.float64]:
        x0, y0, x1, y1 = cells
        read = np.full((y1 - y0, x1 - x0), self._everywhere)
        for (tx, ty), tile in self._tiles.items():
            left, right = max(x0, tx * TILE), min(x1, (tx + 1) * TILE)
            top, bottom = max(y0, ty * TILE), min(y1, (ty + 1) * TILE)
            if left < right and top < bottom:
                read[top - y0 : bottom - y0, left - x0 : right - x0] += tile[
                    top - ty * TILE : bottom - ty * TILE, left - tx * TILE : right - tx * TILE
                ]
        return read
