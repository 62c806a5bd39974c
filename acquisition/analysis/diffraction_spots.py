"""Which patterns of a scan have spots: more in one place than all round, held against chance.

A spot is the central disk moved. A disk of its size is held against each pattern at every place beyond the central one,
and what it counts more than the rings it covers hold on average is taken in standard errors; the most of them is the
pattern's score. Patterns drawn by chance around the same rings, without a spot, tell which score means anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from acquisition.analysis.virtual_detectors import Disk, Profile, Rows

Array = NDArray[np.float64]

CLEAR = 3.0  # pixels beyond the central disk's edge that are left out
COARSE = 4.0  # pixels of the disk's radius from which pixels are put together, two by two
FEWEST = 6.0  # electrons that a disk is expected to hold before its excess means anything
SMOOTH = 1.0  # pixels; the rings' mean is smoothed with
DRAWN = 512  # patterns without a spot
FALSE = 0.01  # share of patterns without a spot that may pass


@dataclass(frozen=True)
class Scores:
    """Of each position (scan rows, scan columns), NaN where no pattern came: its score, and its best place, pixels from
    the middle of the disk (rows, columns, 2).

    threshold: that a spot passes.  false_rate: share of patterns without a spot that pass it, as counted on `drawn`
    other ones.
    """

    score: Array
    place: Array
    threshold: float
    false_rate: float
    drawn: int

    @property
    def spotted(self) -> NDArray[np.bool_]:
        """Positions with a spot, (scan rows, scan columns)."""
        return np.asarray(np.nan_to_num(self.score, nan=-np.inf) > self.threshold)


class SpotTest:
    """Scores patterns of one disk.

    blind: pixels that measured nothing, (rows, columns).  profile: of the mean pattern, finer than a pixel; it says how
    counts fall from one ring to the next.
    """

    def __init__(self, disk: Disk, blind: NDArray[np.bool_], profile: Profile) -> None:
        shape = blind.shape[0], blind.shape[1]
        self._by = 2 if disk.radius >= COARSE else 1
        away = disk.distances(shape)
        used = ~blind & (away >= np.ceil(disk.radius + CLEAR))  # of whole rings: part of one tells little
        # rings one pixel wide, each pixel between two of them
        low = away.astype(np.intp).ravel()
        upper = away.ravel() - low
        self._rings = int(low.max()) + 2
        pixels = np.tile(np.arange(away.size), 2)
        shares = np.concatenate([1.0 - upper, upper]).astype(np.float32)
        hats = sparse.csr_array((shares, (pixels, np.concatenate([low, low + 1]))), shape=(away.size, self._rings))
        self._used = used.ravel()
        weights = sparse.csr_array(hats * self._used[:, None].astype(np.float32))
        held = np.maximum(np.asarray(weights.sum(axis=0), np.float64), 1e-6).astype(np.float32)
        self._means = sparse.csr_array((weights / held).T)
        # what falls off as the mean pattern does has to be expected just so
        falls = CubicSpline(profile.distance, np.log(np.maximum(profile.counts, 1e-9)))
        mean = np.exp(falls(np.clip(away.ravel(), *profile.distance[[0, -1]])))
        bent = mean / np.maximum(hats @ (self._means @ mean), 1e-300)
        self._hats = sparse.csr_array(hats * np.where(self._used, bent, 0.0)[:, None].astype(np.float32))
        rows, columns = (n // self._by for n in shape)
        self._shape, self._small = shape, (rows, columns)
        reach = int(disk.radius / self._by) + 2
        self._padded = tuple(fft.next_fast_len(n + reach, real=True) for n in self._small)
        self._template = fft.rfft2(self._disk(disk.radius / self._by), self._padded)
        masks = self._hats.toarray().T.reshape(self._rings, *shape)
        self._under = self._held(self._binned(masks)).reshape(self._rings, -1)
        down, across = (
            (np.arange(n) + 0.5) * self._by - 0.5 - at for n, at in zip(self._small, disk.middle, strict=True)
        )
        self._places = np.stack(np.broadcast_arrays(down[:, None], across[None, :]), axis=-1).reshape(-1, 2)

    def rings(self, patterns: NDArray[Any]) -> Array:
        """Mean of each ring of some patterns, (n, rings), counts a pixel; 0 where no pixel is looked at."""
        flat = patterns.reshape(len(patterns), -1).astype(np.float32)
        return np.asarray((self._means @ flat.T).T, np.float64)

    def scores(self, patterns: NDArray[Any]) -> tuple[Array, Array]:
        """Score (n,) and best place (n, 2), pixels from the middle of the disk (down, across), of some patterns."""
        flat = patterns.reshape(len(patterns), -1) * self._used
        counted = self._held(self._binned(flat.reshape(-1, *self._shape))).reshape(len(patterns), -1)
        expected = self.rings(patterns) @ self._under
        excess = np.where(expected >= FEWEST, (counted - expected) / np.sqrt(np.maximum(expected, FEWEST)), -np.inf)
        best = np.argmax(excess, axis=1)
        return np.maximum(excess[np.arange(len(best)), best], 0.0), self._places[best]

    def chance(self, rings: Array, random: np.random.Generator) -> Array:
        """Scores of patterns drawn around rings (n, rings) that have no spot."""
        smooth = gaussian_filter1d(rings, SMOOTH, axis=1) * (rings > 0.0)
        scores = [
            self.scores(random.poisson((self._hats @ some.T).T).reshape(-1, *self._shape))[0]
            for some in np.array_split(smooth, max(len(smooth) // 64, 1))
        ]
        return np.concatenate(scores)

    def _disk(self, radius: float) -> Array:
        """The disk with its middle on the first pixel, wrapped round."""
        down, across = (np.minimum(np.arange(n), n - np.arange(n)) for n in self._padded)
        return np.asarray(np.clip(radius + 0.5 - np.hypot(down[:, None], across[None, :]), 0.0, 1.0))

    def _binned(self, images: NDArray[Any]) -> NDArray[np.float32]:
        (rows, columns), by = self._small, self._by
        cut = images[:, : rows * by, : columns * by].reshape(-1, rows, by, columns, by)
        return np.asarray(cut.sum(axis=(2, 4)), np.float32)

    def _held(self, images: NDArray[np.float32]) -> Array:
        """What a disk around each place holds."""
        rows, columns = self._small
        held = fft.irfft2(fft.rfft2(images, self._padded) * self._template, self._padded)
        return np.asarray(held[:, :rows, :columns])


def find_spots(rows: Rows, test: SpotTest, *, seed: int, drawn: int = DRAWN) -> Scores:
    """Score every pattern of a scan, and work out by chance which score a spot must pass; rows are read once.

    drawn: patterns without a spot that are drawn, twice: for the threshold, and to see what passes it.
    Raises ValueError when no pattern came.
    """
    random = np.random.default_rng(seed)
    scores: list[Array] = []
    places: list[Array] = []
    kept: list[Array] = []
    for block, came in rows:
        score, place = np.full(len(came), np.nan), np.full((len(came), 2), np.nan)
        if came.any():
            score[came], place[came] = test.scores(block[came])
            some = random.permutation(np.flatnonzero(came))[: max(len(came) // 8, 1)]
            kept.append(test.rings(block[some]))
        scores.append(score)
        places.append(place)
    if not kept:
        raise ValueError("no pattern came")
    threshold, rate = _against_chance(test, np.concatenate(kept), drawn, random)
    return Scores(np.array(scores), np.array(places), threshold, rate, drawn)


def _against_chance(test: SpotTest, rings: Array, patterns: int, random: np.random.Generator) -> tuple[float, float]:
    """The score that one pattern in a hundred passes by chance, and the share of as many other ones that do."""

    def drawn() -> Array:
        return test.chance(rings[random.integers(len(rings), size=patterns)], random)

    threshold = float(np.quantile(drawn(), 1.0 - FALSE))
    return threshold, float(np.mean(drawn() > threshold))


def spacings(scores: Scores, angle: float, wavelength: float) -> Sequence[float]:
    """1/d of the best place of each position with a spot, 1/m; angle: of a pixel, rad."""
    away = np.hypot(*scores.place[scores.spotted].T)
    return [float(2.0 * np.sin(np.arctan(each * angle) / 2.0) / wavelength) for each in away]
