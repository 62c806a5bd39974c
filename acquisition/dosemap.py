"""How much each spot of a body has received: sparse tiles of 4 nm cells in the body's own frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELL = 4e-9  # m, on a lamella (architecture section 7)
TILE = 64  # cells a side


@dataclass(frozen=True)
class Rectangle:
    """A rectangle in a body's frame, m: left, top, right, bottom."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, centre: tuple[float, float], size: tuple[float, float]) -> Rectangle:
        """The rectangle of a size (width, height) around a centre (x, y), m."""
        return cls(centre[0] - size[0] / 2, centre[1] - size[1] / 2, centre[0] + size[0] / 2, centre[1] + size[1] / 2)

    def grown(self, margin: float) -> Rectangle:
        """The rectangle with `margin` m added on every side."""
        return Rectangle(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin)

    def common(self, other: Rectangle) -> Rectangle | None:
        """What two rectangles share, or None."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Rectangle(left, top, right, bottom) if left < right and top < bottom else None

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

    def copy(self) -> DoseMap:
        """An independent copy, to plan on."""
        twin = DoseMap()
        twin._tiles = {place: tile.copy() for place, tile in self._tiles.items()}
        return twin

    def add(self, where: Rectangle, fluence: float) -> None:
        """Add `fluence`, m^-2 (negative to give back), to every cell that `where` touches."""
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
        x0, y0, x1, y1 = where.cells()
        cells = np.zeros((y1 - y0, x1 - x0))
        for (tx, ty), tile in self._tiles.items():
            left, right = max(x0, tx * TILE), min(x1, (tx + 1) * TILE)
            top, bottom = max(y0, ty * TILE), min(y1, (ty + 1) * TILE)
            if left < right and top < bottom:
                cells[top - y0 : bottom - y0, left - x0 : right - x0] = tile[
                    top - ty * TILE : bottom - ty * TILE, left - tx * TILE : right - tx * TILE
                ]
        return cells

    def highest(self, where: Rectangle) -> float:
        """The highest fluence in `where`, m^-2."""
        return float(self.within(where).max(initial=0.0))
