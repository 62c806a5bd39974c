"""The truth of the dose: expected fluence received by the lamella, on a 4 nm grid in its own frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.special import erf

Array = NDArray[np.float64]

STEP = 4e-9  # m, the grid of the lamella's face
_TILE = 128  # cells along the side of a tile
_FINE = 4  # parts of a cell's side by which the edge of a disc is told
_TAILS = 5.0  # standard deviations of the probe that are counted; beyond lies less than 1e-6 of it


class Fluence(NamedTuple):
    """map: m^-2, shape (along y, along x).  x0, y0: corner of its first cell in the lamella frame, m.  step: m."""

    map: Array
    x0: float
    y0: float
    step: float


class FluenceMap:
    """Sparse tiles of expected fluence; what was never hit takes no memory."""

    def __init__(self) -> None:
        self._tiles: dict[tuple[int, int], Array] = {}

    def deposit(self, x: Array, y: Array, electrons: Array, width: tuple[float, float], probe: float) -> None:
        """Spread the electrons of each point evenly over its rectangle, then over the Gaussian probe.

        x, y: centres, m, shape (n,).  electrons: expected number at each.  width: of the rectangles along x and y, m
        (0: a point).  probe: standard deviation, m.  Exact but for the probe's tails beyond five deviations.
        """
        if len(x) == 0:
            return
        columns, place_x = np.unique(x, return_inverse=True)
        rows, place_y = np.unique(y, return_inverse=True)
        across, first_x = _coverage(columns, width[0], probe)
        down, first_y = _coverage(rows, width[1], probe)
        scan = coo_array((electrons, (place_y, place_x)), shape=(len(rows), len(columns))).tocsr()
        self._add((down.T @ (scan @ across)).toarray() / STEP**2, first_x, first_y)

    def disc(self, centre: tuple[float, float], radius: tuple[float, float], fluence: float, uneven: float) -> None:
        """Give a disc a mean fluence, m^-2; in its middle there is more by the share `uneven`, at its edge less.

        centre: x, y, m.  radius: along x and y, m.  A cell on the edge receives what falls on it, to a sixteenth of its
        area.
        """
        first_x, first_y = (int(np.floor((c - r) / STEP)) for c, r in zip(centre, radius, strict=True))
        cells = int(np.ceil(2.0 * max(radius) / STEP)) + 1
        fine = (np.arange(cells * _FINE) + 0.5) * STEP / _FINE
        x, y = (first * STEP + fine - place for first, place in zip((first_x, first_y), centre, strict=True))
        squares = np.add.outer((y / radius[1]) ** 2, (x / radius[0]) ** 2)
        light = fluence * (1.0 + uneven * (1.0 - 2.0 * squares)) * (squares <= 1.0)
        self._add(light.reshape(cells, _FINE, cells, _FINE).mean(axis=(1, 3)), first_x, first_y)

    def at(self, x: Array, y: Array) -> Array:
        """Fluence received so far at points of the lamella frame, m^-2; x, y in m, shape (n,)."""
        column, row = np.floor(x / STEP).astype(np.intp), np.floor(y / STEP).astype(np.intp)
        found = np.zeros(len(x))
        if len(x) == 0 or not self._tiles:
            return found
        first_x, first_y = int(column.min()), int(row.min())
        window = self._window(first_x, first_y, int(column.max()) - first_x + 1, int(row.max()) - first_y + 1)
        found[:] = window[row - first_y, column - first_x]
        return found

    def whole(self) -> Fluence:
        """The smallest rectangle of tiles that holds everything received."""
        if not self._tiles:
            return Fluence(np.zeros((0, 0)), 0.0, 0.0, STEP)
        rows, columns = zip(*self._tiles, strict=True)
        height, width = max(rows) - min(rows) + 1, max(columns) - min(columns) + 1
        window = self._window(min(columns) * _TILE, min(rows) * _TILE, width * _TILE, height * _TILE)
        return Fluence(window, min(columns) * _TILE * STEP, min(rows) * _TILE * STEP, STEP)

    def tiles(self) -> dict[tuple[int, int], Array]:
        """The tiles hit so far, by (row, column) of the tile; m^-2."""
        return dict(self._tiles)

    def recall(self, tiles: dict[tuple[int, int], Array]) -> None:
        """Go on from what `tiles` gave."""
        self._tiles = dict(tiles)

    def _add(self, part: Array, first_x: int, first_y: int) -> None:
        for (row, column), inner, outer in _pieces(first_x, first_y, part.shape[1], part.shape[0]):
            tile = self._tiles.setdefault((row, column), np.zeros((_TILE, _TILE)))
            tile[inner] += part[outer]

    def _window(self, first_x: int, first_y: int, width: int, height: int) -> Array:
        window = np.zeros((height, width))
        for key, inner, outer in _pieces(first_x, first_y, width, height):
            if (tile := self._tiles.get(key)) is not None:
                window[outer] = tile[inner]
        return window


def _pieces(
    first_x: int, first_y: int, width: int, height: int
) -> list[tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
    """How a rectangle of cells falls on tiles: (tile, cells within the tile, cells within the rectangle)."""
    return [
        ((row, column), (in_y, in_x), (of_y, of_x))
        for row, in_y, of_y in _cuts(first_y, height)
        for column, in_x, of_x in _cuts(first_x, width)
    ]


def _cuts(first: int, length: int) -> list[tuple[int, slice, slice]]:
    cuts = []
    for tile in range(first // _TILE, (first + length - 1) // _TILE + 1):
        start, end = max(first, tile * _TILE), min(first + length, (tile + 1) * _TILE)
        cuts.append((tile, slice(start - tile * _TILE, end - tile * _TILE), slice(start - first, end - first)))
    return cuts


def _coverage(centres: Array, width: float, probe: float) -> tuple[csr_array, int]:
    """Share of each interval, smeared by the probe, that falls on each cell of one axis, and the first cell."""
    reach = width / 2.0 + _TAILS * probe
    first = np.floor((centres - reach) / STEP).astype(np.intp)
    cells = int(np.max(np.floor((centres + reach) / STEP).astype(np.intp) - first)) + 1
    edges = (first[:, None] + np.arange(cells + 1)) * STEP - centres[:, None]
    shares = np.diff(_below(edges, width, probe), axis=1)
    shares /= shares.sum(axis=1, keepdims=True)
    origin = int(first.min())
    places = first[:, None] - origin + np.arange(cells)
    rows = np.repeat(np.arange(len(centres)), cells)
    shape = (len(centres), int(places.max()) + 1)
    return csr_array((shares.ravel(), (rows, places.ravel())), shape=shape), origin


def _below(edge: Array, width: float, probe: float) -> Array:
    """Share of an interval around 0, smeared by a Gaussian, that lies below each edge."""
    if probe == 0.0:
        return np.clip(edge / width + 0.5, 0.0, 1.0) if width > 0.0 else (edge > 0.0).astype(np.float64)
    if width < 1e-3 * probe:  # its own width would drown in rounding
        return np.asarray(0.5 * (1.0 + erf(edge / (probe * np.sqrt(2.0)))))
    low, high = (edge - width / 2.0) / probe, (edge + width / 2.0) / probe
    return np.asarray((_ramp(high) - _ramp(low)) * probe / width)


def _ramp(z: Array) -> Array:
    """Integral of the normal distribution function up to z."""
    return np.asarray(z * 0.5 * (1.0 + erf(z / np.sqrt(2.0))) + np.exp(-(z**2) / 2.0) / np.sqrt(2.0 * np.pi))
