"""Looks at the patches of a band: their spots, and those of a patch moved to where fringes were seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.bands import Band
from acquisition.analysis.patches import Patch, spectrum
from acquisition.analysis.spots import Spots, find_spots

_MOVED = 1e-9  # m: fringes nearer than that to the middle of a patch are not looked at again
_SAME = 1.6e-9  # m: nor are those as near to a patch that was


@dataclass(frozen=True)
class Looked:
    """A patch that was looked at.

    image: number of its image.  patch: number of the patch of the band that it is or was moved from.  place: of its
    middle, x and y in m from the middle of the image.  across: m from the zero of the composition.  control: whether
    it lies in film that should hold no crystals.  square: of the image.
    """

    image: int
    patch: int
    place: tuple[float, float]
    across: float
    control: bool
    square: Patch
    spots: Spots

    def only(self, kept: NDArray[np.bool_]) -> Looked:
        """Return it with some of its spots."""
        return replace(self, spots=self.spots.only(kept))


def look(image: NDArray[np.floating], pitch: float, band: Band, *, number: int = 0, first: int = 0) -> list[Looked]:
    """Find the spots of all patches of a band, then once more in patches moved to where their fringes stand.

    image: (rows, columns), counts; pitch: m.  number: of the image; first: of its first patch in the band, which may
    have patches of several images.  Under a Hann window a crystal half-way to the corner of a patch shows with a
    sixteenth of its power; around its own middle it shows with all of it, and its weaker spots come out of the noise.
    """
    shape = (image.shape[0], image.shape[1])

    def seen(squares: Iterable[Patch]) -> Iterator[Spots]:
        with ThreadPoolExecutor(2) as both:
            yield from both.map(lambda square: find_spots(spectrum(square.cut(image), pitch)), squares)

    grid = [
        Looked(number, first + i, square.centre(shape, pitch), across, control, square, spots)
        for i, (square, across, control, spots) in enumerate(
            zip(band.patches, band.across, band.control, seen(band.patches), strict=True)
        )
    ]
    moved = list(_moved(grid, shape, pitch))
    closer = [
        replace(parent, place=square.centre(shape, pitch), square=square, spots=spots)
        for (parent, square), spots in zip(moved, seen(square for _, square in moved), strict=True)
    ]
    return grid + closer


def _moved(grid: list[Looked], shape: tuple[int, int], pitch: float) -> Iterator[tuple[Looked, Patch]]:
    """Patches around fringes that were seen off the middle of theirs, the strongest first."""
    spots = [(each, i) for each in grid for i in range(len(each.spots))]
    spots.sort(key=lambda pair: -pair[0].spots.ratio[pair[1]])
    taken = np.empty((0, 2))
    for each, i in spots:
        square = each.square
        right, down = np.rint(each.spots.place[i] / pitch).astype(int).tolist()
        row = min(max(square.row + down, 0), shape[0] - square.side)
        column = min(max(square.column + right, 0), shape[1] - square.side)
        corner = np.array([row, column])
        if np.abs(corner - (square.row, square.column)).max() * pitch < _MOVED:
            continue
        if len(taken) and np.abs(taken - corner).max(axis=1).min() * pitch < _SAME:
            continue
        taken = np.vstack([taken, corner])
        yield each, Patch(row, column, square.side)
