"""Maps in squares as small as a stated error allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_LARGEST = 64  # pixels a side of a square, where nothing smaller is known well enough


@dataclass(frozen=True)
class Binned:
    """Values of a map (rows, columns), each pixel that of its square.

    values, errors: a visit of a pixel; nan where nothing was exposed.  sides: of the squares, pixels.  level: what the
    map reaches, its 90 % quantile; the errors are at most `error` of it, unless a square is as large as any may be.
    """

    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    sides: NDArray[np.int64]
    level: float
    error: float


def bin_map(counts: ArrayLike, variance: ArrayLike, visits: ArrayLike, error: float) -> Binned:
    """Bin a map (rows, columns) of counts into squares of 1, 2, 4 ... pixels a side.

    variance: of the counts.  visits: how often each pixel was exposed.  error: standard error that a square may have,
    relative to the level of the map: a share of the value itself would leave places without the element in one square.
    A square is cut in four where each quarter is known well enough. ValueError for arrays that do not match.
    """
    given = [np.asarray(a, dtype=np.float64) for a in (counts, variance, visits)]
    if given[0].ndim != 2 or any(a.shape != given[0].shape for a in given):
        raise ValueError("counts, variance and visits need the same rows and columns")
    rows, columns = given[0].shape
    side = 1
    while side < min(_LARGEST, max(rows, columns)):
        side *= 2
    padded = [np.pad(a, ((0, -rows % side), (0, -columns % side))) for a in given]
    level = _level(*padded, side=side)
    values, errors = _means(*padded, side=side)
    whole = np.ones(values.shape, dtype=bool)  # squares of this size that no larger one stands for
    out = [np.full(padded[0].shape, np.nan), np.full(padded[0].shape, np.nan), np.zeros(padded[0].shape)]
    while True:
        cut = np.zeros(whole.shape, dtype=bool)
        if side > 1:
            finer, unsure = _means(*padded, side=side // 2)
            known = ~(unsure > error * level)  # a quarter without exposure is no reason against
            cut = whole & _quarters(known).all(axis=(1, 3)) & (_quarters(np.isfinite(finer)).any(axis=(1, 3)))
        for target, source in zip(out, (values, errors, np.full(values.shape, float(side))), strict=True):
            kept = np.kron(whole & ~cut, np.ones((side, side), dtype=bool))
            target[kept] = np.kron(source, np.ones((side, side)))[kept]
        if not cut.any():
            break
        side //= 2
        whole, values, errors = np.kron(cut, np.ones((2, 2), dtype=bool)), finer, unsure
    cropped = [a[:rows, :columns] for a in out]
    return Binned(cropped[0], cropped[1], cropped[2].astype(np.int64), level, error)


def _means(
    counts: NDArray[np.float64], variance: NDArray[np.float64], visits: NDArray[np.float64], *, side: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts a visit of each square and their standard error, nan where nothing was exposed."""
    sums = [_squares(a, side) for a in (counts, variance, visits)]
    seen = np.where(sums[2] > 0, sums[2], np.nan)
    # a square without a count is not known exactly: at least one count's worth stands for it
    least = variance.sum() / max(np.count_nonzero(variance), 1)
    return sums[0] / seen, np.sqrt(np.maximum(sums[1], least)) / seen


def _level(
    counts: NDArray[np.float64], variance: NDArray[np.float64], visits: NDArray[np.float64], *, side: int
) -> float:
    means, _ = _means(counts, variance, visits, side=side // 2 or 1)
    known = means[np.isfinite(means)]
    return max(float(np.quantile(known, 0.9)) if known.size else 0.0, 1e-300)


def _squares(a: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    rows, columns = a.shape[0] // side, a.shape[1] // side
    return np.asarray(a.reshape(rows, side, columns, side).sum(axis=(1, 3)))


def _quarters(a: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return a.reshape(a.shape[0] // 2, 2, a.shape[1] // 2, 2)
