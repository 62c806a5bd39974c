"""A scene: what a parallel beam goes through in one window of the lamella, in the frame of the beam.

The frame of the beam: x and y as in the lamella's frame, z along the beam, 0 in the middle of the lamella. Tilting the
goniometer turns the sample in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """A rectangle of the lamella's frame: its corner with the least x and y, and its size (along x, along y), m."""

    corner: tuple[float, float]
    size: tuple[float, float]


@dataclass(frozen=True)
class Crystals:
    """Nanocrystals as spheres, one entry each.

    phases: names of physics/crystals.py.  phase: index into them, (n,).  centre: x, y, z in the frame of the beam, m,
    (n, 3).  radius: m, (n,).  turn: takes a vector of the crystal's own Cartesian frame into that of the beam,
    (n, 3, 3).  left: what the beam has left of the amplitude of the lattice, 0 to 1, (n,).
    """

    phases: tuple[str, ...]
    phase: NDArray[np.intp]
    centre: Array
    radius: Array
    turn: Array
    left: Array

    def __len__(self) -> int:
        return len(self.phase)


@dataclass(frozen=True)
class CrystalFilm:
    """One grain larger than the lamella is thick, such as of lithium or of the copper collector.

    phase: name of physics/crystals.py.  turn: as of Crystals, (3, 3).  depth: m of it along the beam, and left: what
    the beam has left of its amplitude, both maps of the scene.
    """

    phase: str
    turn: Array
    depth: Array
    left: Array


@dataclass(frozen=True)
class Scene:
    """What stands in a window; maps have the shape (rows along y, columns along x) of square cells.

    cell: m, side of a cell; the centre of the first lies half of it inside the corner of the window.  thickness: m.
    glass: element -> amorphous atoms per m^2 (matrix, carbon, ice; neither crystals nor films).  temperature: K.
    key: what the amorphous structure is drawn from, so that the same place looks the same again.
    """

    window: Window
    cell: float
    thickness: Array
    glass: Mapping[str, Array]
    films: tuple[CrystalFilm, ...]
    crystals: Crystals
    temperature: float
    key: tuple[int, ...]
