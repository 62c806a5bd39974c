"""Patterns: what a camera sees of a stretch of time, and counting electrons into it one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEP = 0.005  # mean scatterings; depths are rounded to it, so that few patterns have to be worked out
_TABLE = 1 << 16  # places of electrons that a pattern holds ready
_MANY = 8  # electrons a pixel from which every pixel is drawn by itself


@dataclass(frozen=True)
class Light:
    """Pixels the beam stood on one after the other, from a clock time, s, for `dwell` s each.

    rate: electrons a second.  depths: mean scatterings by each process, in steps of 0.005, (pixels, processes).
    """

    start: float
    dwell: float
    rate: float
    depths: NDArray[np.int16]

    @property
    def end(self) -> float:
        """Clock time, s, at which the last pixel is over."""
        return self.start + len(self.depths) * self.dwell


@dataclass(frozen=True)
class Seen:
    """What went through the lamella during some windows of time, in parts of equal depth.

    first: the parts of window i are first[i] to first[i + 1], (windows + 1,).  electrons: expected, (parts,).
    depths: as in `Light`, (parts, processes).
    """

    first: NDArray[np.intp]
    electrons: Array
    depths: NDArray[np.int16]


class Pattern:
    """Where electrons land; shares: of the electrons sent, that each pixel gets, (pixels,), not all of them nothing.

    Most are drawn from a table of places with equal shares, the rest from the distribution of what is too small for it.
    """

    def __init__(self, shares: Array) -> None:
        self._shares = shares
        self._seen = float(shares.sum())
        scaled = shares * (_TABLE / self._seen)
        whole = np.floor(scaled)
        self._table = np.repeat(np.arange(len(shares), dtype=np.intp), whole.astype(np.intp))
        self._rest = np.cumsum(scaled - whole)
        self._coarse = float(self._rest[-1]) / _TABLE

    def draw(self, electrons: float, random: np.random.Generator) -> NDArray[np.int64]:
        """Electrons in each pixel when so many are expected to come in all."""
        if electrons * self._seen > _MANY * len(self._shares):
            return random.poisson(electrons * self._shares)
        coming = random.poisson(electrons * self._seen)
        rare = random.binomial(coming, self._coarse)
        places = np.empty(coming, np.intp)
        places[rare:] = self._table[random.integers(len(self._table), size=coming - rare, dtype=np.uint32)]
        places[:rare] = np.searchsorted(self._rest, random.random(rare) * self._rest[-1], side="right")
        return np.bincount(places, minlength=len(self._shares))


def merged(windows: int, which: NDArray[np.intp], electrons: Array, depths: NDArray[np.int16]) -> Seen:
    """Parts in the order of their windows; a window with many has equal ones put together."""
    order = np.argsort(which, kind="stable")
    which, electrons, depths = which[order], electrons[order], depths[order]
    if len(which) > 4 * windows:
        keys, inverse = np.unique(np.column_stack([which, depths]), axis=0, return_inverse=True)
        which, depths = keys[:, 0].astype(np.intp), keys[:, 1:].astype(np.int16)
        electrons = np.asarray(np.bincount(inverse.ravel(), electrons, minlength=len(keys)), np.float64)
    return Seen(np.searchsorted(which, np.arange(windows + 1)), electrons, depths)
