"""The surface of the piece in the chamber: how deep it is milled, what it received, and what it is made of there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.constants import e
from scipy.ndimage import gaussian_filter

from physics.sputter import removal
from physics.units import parse
from simulators.constants import constants
from simulators.sample.file import Sample
from simulators.sample.stack import Film

Array = NDArray[np.float64]
Tile = tuple[int, int]
SIDE = 128  # cells of a tile
DEPTH, ELECTRONS, IONS = range(3)
_FINEST = 20e-9  # m milled in one go, so that a layer is not overrun
_GRAINS = (256, 199)  # cells after which two textures repeat: together after 5 mm


class Window(NamedTuple):
    """Maps of a rectangle of cells: (3, rows, columns), with the cell at its corner."""

    maps: NDArray[np.float32]
    row: int
    column: int


class Surface:
    """A flat piece of the film stack, on tiles of 100 nm cells that come to be where something happens.

    Places (u, v) are m from its middle, in its own frame.  Depths are m below the pristine surface.
    """

    def __init__(self, sample: Sample, random: np.random.Generator) -> None:
        numbers = constants("chamber")
        self.cell = parse(numbers["cell"], "length")
        self.reach = parse(numbers["piece"], "length") / 2.0
        # an interphase is taken for what lies below it
        films = [layer.material if isinstance(layer, Film) else "LiPON" for layer in sample.stack]
        self._ends = np.cumsum([layer.thickness for layer in sample.stack])[:-1]
        self._materials = films
        bright = numbers["secondary"]
        self._bright = np.array([bright.get(film, bright["other"]) for film in films])
        self._holder = float(numbers["holder"])
        self._grain = [_texture(size, float(numbers["grain"]), random) for size in _GRAINS]
        self._tiles: dict[Tile, NDArray[np.float32]] = {}

    def on_piece(self, u: Array, v: Array) -> NDArray[np.bool_]:
        """Where there is a piece at all."""
        return np.asarray((np.abs(u) < self.reach) & (np.abs(v) < self.reach))

    def window(self, left: float, bottom: float, right: float, top: float) -> Window:
        """The maps of all cells within a rectangle of (u, v), as far as the piece goes; never empty."""
        first_row, last_row = (self._index(min(max(edge, -self.reach), self.reach)) for edge in (bottom, top))
        first_column, last_column = (self._index(min(max(edge, -self.reach), self.reach)) for edge in (left, right))
        maps = np.zeros((3, last_row - first_row + 1, last_column - first_column + 1), np.float32)
        for (row, column), tile in self._tiles.items():
            top_row, left_column = row * SIDE - first_row, column * SIDE - first_column
            rows = slice(max(top_row, 0), max(min(top_row + SIDE, maps.shape[1]), 0))
            columns = slice(max(left_column, 0), max(min(left_column + SIDE, maps.shape[2]), 0))
            of_row = slice(rows.start - top_row, rows.stop - top_row)
            of_column = slice(columns.start - left_column, columns.stop - left_column)
            if rows.stop > rows.start and columns.stop > columns.start:
                maps[:, rows, columns] = tile[:, of_row, of_column]
        return Window(maps, first_row, first_column)

    def at(self, u: Array, v: Array) -> NDArray[np.float32]:
        """Depth, electrons and ions a m^2 at places, (3, ...)."""
        window = self.window(float(u.min()), float(v.min()), float(u.max()), float(v.max()))
        return window.maps[:, *self.places(window, u, v)]

    def places(self, window: Window, u: Array, v: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row and column within a window, of the nearest cell it has."""
        row = np.floor(v / self.cell).astype(np.intp) - window.row
        column = np.floor(u / self.cell).astype(np.intp) - window.column
        return np.clip(row, 0, window.maps.shape[1] - 1), np.clip(column, 0, window.maps.shape[2] - 1)

    def brightness(self, u: Array, v: Array, depth: Array) -> Array:
        """Secondary electrons for each that arrives, by what lies open at that depth, with its texture."""
        row, column = (np.floor(along / self.cell).astype(np.intp) for along in (v, u))
        texture = sum(grain[row % len(grain), column % len(grain)] for grain in self._grain)
        found = self._bright[np.searchsorted(self._ends, depth, side="right")] * (1.0 + texture)
        return np.where(self.on_piece(u, v), found, self._holder)

    def tiles(self, left: float, bottom: float, right: float, top: float) -> Iterator[tuple[Tile, Array, Array]]:
        """Every tile of the piece that touches a rectangle, with the places (u, v) of its cells, (128, 128)."""
        end = self._index(self.reach * (1.0 - 1e-9))
        low, high = -end - 1, end
        rows = (max(self._index(bottom), low) // SIDE, min(self._index(top), high) // SIDE)
        columns = (max(self._index(left), low) // SIDE, min(self._index(right), high) // SIDE)
        along = (np.arange(SIDE) + 0.5) * self.cell
        for row in range(rows[0], rows[1] + 1):
            for column in range(columns[0], columns[1] + 1):
                u, v = np.meshgrid(column * SIDE * self.cell + along, row * SIDE * self.cell + along)
                yield (row, column), u, v

    def deposit(self, tile: Tile, cells: NDArray[np.bool_], electrons: float) -> None:
        """Electrons a m^2 on some cells of a tile."""
        self._tile(tile)[ELECTRONS, cells] += electrons

    def etch(self, tile: Tile, cells: NDArray[np.bool_], coulombs: float, volts: float, angle: float) -> None:
        """Ions on some cells of a tile, which they deepen.

        coulombs: a m^2 of surface.  volts: of the column.  angle: between beam and normal of the pristine surface, rad.
        """
        maps = self._tile(tile)
        maps[IONS, cells] += coulombs / e
        rates = np.array([float(removal(material, volts, angle)) for material in self._materials])
        steps = max(int(np.ceil(rates.max() * coulombs / _FINEST)), 1)
        depth = maps[DEPTH, cells].astype(np.float64)
        for _ in range(steps):
            depth += rates[np.searchsorted(self._ends, depth, side="right")] * coulombs / steps
        maps[DEPTH, cells] = depth

    def state(self) -> dict[str, NDArray[Any]]:
        """What there is of tiles, to be kept: where they are and what is on them."""
        contents = np.array(list(self._tiles.values()), np.float32).reshape(-1, 3, SIDE, SIDE)
        return {"chamber_places": np.array(list(self._tiles), np.int64).reshape(-1, 2), "chamber_tiles": contents}

    def recall(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `state` gave."""
        places, contents = kept["chamber_places"], kept["chamber_tiles"]
        self._tiles = {(int(row), int(column)): tile for (row, column), tile in zip(places, contents, strict=True)}

    def _tile(self, tile: Tile) -> NDArray[np.float32]:
        return self._tiles.setdefault(tile, np.zeros((3, SIDE, SIDE), np.float32))

    def _index(self, along: float) -> int:
        return int(np.floor(along / self.cell))


def _texture(size: int, rms: float, random: np.random.Generator) -> Any:
    """A periodic map of grains of some cells' width."""
    grains = gaussian_filter(random.standard_normal((size, size)), 3.0, mode="wrap")
    return grains * (rms / np.sqrt(len(_GRAINS)) / grains.std())
