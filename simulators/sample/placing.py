"""Placing things by the seed: spheres that keep off each other, turns that prefer nothing, grains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]

_CORE = 0.9  # of the radius that no other sphere enters: crystals are not quite round
_TRIES = 60  # draws of a sphere that finds no room; after them it stays where it is


@dataclass(frozen=True)
class Placed:
    """Spheres in the frame of the film (x from the interface).

    kind: which entry of whoever placed them, (n,).  centre: x, y, z, m, (n, 3).  radius: m, (n,).  turn: (n, 3, 3).
    chance: a number of its own between 0 and 1, (n, 2).
    """

    kind: NDArray[np.intp]
    centre: Array
    radius: Array
    turn: Array
    chance: Array

    def __len__(self) -> int:
        return len(self.kind)

    def where(self, kept: NDArray[np.bool_] | NDArray[np.intp]) -> Placed:
        """Some of them."""
        return Placed(self.kind[kept], self.centre[kept], self.radius[kept], self.turn[kept], self.chance[kept])


def together(parts: list[Placed]) -> Placed:
    """All of them in one."""
    if not parts:
        return Placed(np.empty(0, np.intp), np.empty((0, 3)), np.empty(0), np.empty((0, 3, 3)), np.empty((0, 2)))
    columns = zip(*((p.kind, p.centre, p.radius, p.turn, p.chance) for p in parts), strict=True)
    return Placed(*(np.concatenate(column) for column in columns))


def turns(n: int, random: np.random.Generator) -> Array:
    """Rotations that prefer no direction, (n, 3, 3): unit quaternions drawn evenly."""
    q = random.standard_normal((n, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def mean_volume(radius: tuple[float, float]) -> float:
    """Mean volume of spheres with radii spread evenly between two, m^3."""
    low, high = radius
    cube = low**3 if high == low else (high**4 - low**4) / (4.0 * (high - low))
    return 4.0 / 3.0 * float(np.pi * cube)


def share_along(x: Array, start: float, end: float, radius: tuple[float, float]) -> Array:
    """Expected share of the volume at depths x within spheres that lie wholly between two depths, over their mean.

    Radii are spread evenly between two, and centres of each as far as it has room. Depths in m.
    """
    share = np.zeros_like(x)
    weights = 0.0
    for r in np.linspace(*radius, 9):
        low, high = min(start + r, (start + end) / 2.0), max(end - r, (start + end) / 2.0)
        far, near = np.clip(x - low, -r, r), np.clip(x - high, -r, r)
        primitive = [np.pi * (r**2 * u - u**3 / 3.0) for u in (far, near)]
        room = high - low
        if room > 0.0:
            share += (primitive[0] - primitive[1]) / room
        else:
            share += np.pi * np.maximum(r**2 - (x - low) ** 2, 0.0)
        weights += 4.0 / 3.0 * np.pi * r**3
    return np.asarray(share * (end - start) / weights)


def keep_off(placed: Placed, fixed: Placed, again: Callable[[NDArray[np.intp]], Array]) -> Placed:
    """Move spheres that overlap another, or one of the fixed ones, to where `again` draws them, as long as it helps.

    again: new centres, (len, 3), of the spheres with these indices.
    """
    held = len(fixed)
    centre = np.concatenate([fixed.centre, placed.centre])
    radius = _CORE * np.concatenate([fixed.radius, placed.radius])
    free = np.arange(len(placed)) + held  # those that may stand in another's way
    for _ in range(_TRIES * (len(placed) > 0)):
        near = cKDTree(centre[free]).sparse_distance_matrix(cKDTree(centre), 2.0 * radius.max(), output_type="ndarray")
        one, other = free[near["i"]], near["j"]
        moved = np.zeros(len(centre), np.bool_)
        moved[free] = True
        late = (other < one) | ~moved[other]  # of two that were free the later one goes
        free = np.unique(one[late & (one != other) & (near["v"] < radius[one] + radius[other])])
        if len(free) == 0:
            break
        centre[free] = again(free - held)
    return Placed(placed.kind, centre[held:], placed.radius, placed.turn, placed.chance)


class Grains:
    """A film of grains: the cells nearest to one point each, of which there is one in every square of a grid.

    size: side of the squares, m.  key: what the points and turns are drawn from.
    """

    def __init__(self, size: float, key: tuple[int, ...]) -> None:
        self._size, self._key = size, key
        self._known: dict[tuple[int, int], tuple[Array, Array]] = {}

    def of(self, x: Array, y: Array) -> tuple[NDArray[np.intp], Array]:
        """Which grain each point belongs to, as x and y, m, and the turns of the grains, (grains, 3, 3)."""
        columns, rows = (
            range(int(np.floor(place.min() / self._size)) - 2, int(np.floor(place.max() / self._size)) + 3)
            for place in (x, y)
        )
        points, orientations = zip(*(self._grain(column, row) for column in columns for row in rows), strict=True)
        _, nearest = cKDTree(np.array(points)).query(np.column_stack([x.ravel(), y.ravel()]))
        met = np.flatnonzero(np.bincount(nearest, minlength=len(points)))
        number = np.zeros(len(points), np.intp)
        number[met] = np.arange(len(met))
        return number[nearest].reshape(x.shape), np.array(orientations)[met]

    def _grain(self, column: int, row: int) -> tuple[Array, Array]:
        """The point and the turn of one square."""
        if (column, row) not in self._known:
            random = stream(*self._key, column, row)
            point = (np.array([column, row]) + random.random(2)) * self._size
            self._known[column, row] = point, turns(1, random)[0]
        return self._known[column, row]


def stream(*key: int) -> np.random.Generator:
    """A generator of a key that may have negative numbers in it."""
    return np.random.default_rng([number % 2**32 for number in key])
