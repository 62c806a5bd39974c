"""Patterns: what a camera sees of a stretch of time, and counting electrons into it one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.beam.bragg import Spots

Array = NDArray[np.float64]

STEP = 0.0005  # mean scatterings; depths are rounded to it, so that few patterns have to be worked out
_TABLE, _TABLES = 1 << 16, 2  # places of electrons that a pattern holds ready, and how often
_MANY = 8  # electrons a pixel from which every pixel is drawn by itself
_APART = 0.5  # pixels; reflections nearer than that are put together where many places are


@dataclass(frozen=True)
class Light:
    """Pixels the beam stood on one after the other, from a clock time, s, for `dwell` s each.

    rate: electrons a second.  depths: mean scatterings by each process, in steps of 0.0005, (pixels, processes).
    spots: what crystals diffract, pixel by pixel.
    """

    start: float
    dwell: float
    rate: float
    depths: NDArray[np.int16]
    spots: Spots

    @property
    def end(self) -> float:
        """Clock time, s, at which the last pixel is over."""
        return self.start + len(self.depths) * self.dwell


@dataclass(frozen=True)
class Seen:
    """What went through the lamella during some windows of time, in parts of equal depth.

    first: the parts of window i are first[i] to first[i + 1], (windows + 1,).  electrons: expected, (parts,).
    depths, spots: as in `Light`, by part.
    """

    first: NDArray[np.intp]
    electrons: Array
    depths: NDArray[np.int16]
    spots: Spots


class Pattern:
    """Where electrons land; shares: of the electrons sent, that each pixel gets, (rows, columns), not all nothing.

    Most are drawn from a table of places with equal shares, what is too small for it from another such table, and what
    is too small for that from the distribution.
    """

    def __init__(self, shares: Array) -> None:
        self._shares = shares
        self._seen = float(shares.sum())
        left = shares.ravel() / self._seen
        self._tables: list[tuple[float, NDArray[np.unsignedinteger[Any]]]] = []  # share of the electrons, and places
        places = np.arange(shares.size, dtype=np.uint16 if shares.size <= 1 << 16 else np.uint32)
        for _ in range(_TABLES):
            scale = _TABLE / float(left.sum())
            whole = np.floor(left * scale)
            self._tables.append((float(whole.sum()) / scale, np.repeat(places, whole.astype(np.intp))))
            left = left - whole / scale
        self._rest = np.cumsum(left)

    def draw(
        self,
        electrons: float,
        random: np.random.Generator,
        shift: NDArray[np.float32] | None = None,
        share: NDArray[np.float32] | None = None,
    ) -> NDArray[np.int64]:
        """Electrons in each pixel, (rows, columns), when so many are expected to come in all.

        shift, share: of reflections as in `Spots`; their electrons land as many pixels further.
        """
        if shift is None or share is None or not len(share):
            return self._straight(electrons, random)
        bent = float(share.sum())
        counted = self._straight(electrons * (1.0 - bent), random)
        coming = random.poisson(electrons * self._seen * bent)
        origin = self._places(coming, random)
        down, across = np.divmod(origin, self._shares.shape[1])
        which = np.searchsorted(np.cumsum(share, dtype=np.float64) / bent, random.random(coming), side="right")
        further = shift[np.minimum(which, len(share) - 1)] + random.random((coming, 2), dtype=np.float32)
        down, across = (
            down + np.floor(further[:, 0]).astype(np.int32),
            across + np.floor(further[:, 1]).astype(np.int32),
        )
        rows, columns = self._shares.shape
        there = (down >= 0) & (down < rows) & (across >= 0) & (across < columns)
        landed = np.bincount(down[there] * columns + across[there], minlength=rows * columns)
        return counted + landed.reshape(rows, columns)

    def _straight(self, electrons: float, random: np.random.Generator) -> NDArray[np.int64]:
        if electrons * self._seen > _MANY * self._shares.size:
            return random.poisson(electrons * self._shares)
        coming = random.poisson(electrons * self._seen)
        return np.bincount(self._places(coming, random), minlength=self._shares.size).reshape(self._shares.shape)

    def _places(self, coming: int, random: np.random.Generator) -> NDArray[np.int32]:
        """Where so many electrons land, the rarer places last."""
        places = np.empty(coming, np.int32)
        done, left = 0, 1.0
        for share, table in self._tables:
            here = int(random.binomial(coming - done, min(share / left, 1.0)))
            places[done : done + here] = table[random.integers(len(table), size=here, dtype=np.uint32)]
            done, left = done + here, left - share
        rare = random.random(coming - done) * self._rest[-1]
        places[done:] = np.searchsorted(self._rest, rare, side="right")
        return places


def merged(windows: int, which: NDArray[np.intp], electrons: Array, depths: NDArray[np.int16], spots: Spots) -> Seen:
    """Parts in the order of their windows; a window with many has equal ones put together."""
    order = np.argsort(which, kind="stable")
    which, electrons, depths, spots = which[order], electrons[order], depths[order], spots.taken(order)
    if len(which) > 4 * windows:
        keys, inverse = np.unique(np.column_stack([which, depths]), axis=0, return_inverse=True)
        inverse = inverse.ravel()
        together = np.asarray(np.bincount(inverse, electrons, minlength=len(keys)), np.float64)
        spots = _put_together(spots, inverse, electrons, together)
        which, depths, electrons = keys[:, 0].astype(np.intp), keys[:, 1:].astype(np.int16), together
    return Seen(np.searchsorted(which, np.arange(windows + 1)), electrons, depths, spots)


def _put_together(spots: Spots, part: NDArray[np.intp], electrons: Array, together: Array) -> Spots:
    """The reflections of places that are now one part, those that nearly coincide as one."""
    place = spots.where()
    steps = np.rint(spots.shift / _APART).astype(np.int32)
    keys, inverse = np.unique(np.column_stack([part[place], steps]), axis=0, return_inverse=True)
    share = np.bincount(inverse.ravel(), spots.share * (electrons / together[part])[place], minlength=len(keys))
    return Spots.of(len(together), keys[:, 0].astype(np.intp), keys[:, 1:] * _APART, share)
