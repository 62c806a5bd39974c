"""Diffraction patterns as a known probe would make them: a disk, a halo, and a spot where it is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 64
BLIND = (9, 50)  # row, column of a pixel that measures nothing
NODATA = 65535
Array = NDArray[np.float64]


def disk(middle: tuple[float, float], radius: float) -> Array:
    """A disk of whole 1, its edge smooth to a fifth of a pixel."""
    fine = (np.arange(5) - 2.0) / 5.0
    down, across = (np.arange(SIDE) - at for at in middle)
    parts = [np.hypot((down + a)[:, None], (across + b)[None, :]) <= radius for a in fine for b in fine]
    whole = np.sum(parts, axis=0, dtype=np.float64)
    return np.asarray(whole / whole.sum())


def pattern(
    middle: tuple[float, float] = (31.3, 32.1),
    radius: float = 6.0,
    *,
    spot: tuple[float, float] | None = None,
    share: float = 0.01,
    halo: tuple[float, float] = (0.0, 0.0),
) -> Array:
    """Share of the electrons in each pixel: a fifth scattered round about, a disk, and a spot `spot` pixels away.

    halo: distance of a peak of what is scattered, pixels, and how much higher it is there.
    """
    down, across = (np.arange(SIDE) - at for at in middle)
    away = np.hypot(down[:, None], across[None, :])
    at, higher = halo
    round_about = single(away) * (1.0 + higher * np.exp(-(((away - at) / 1.5) ** 2) / 2.0))
    whole = 0.8 * disk(middle, radius) + 0.2 * round_about / round_about.sum()
    if spot is not None:
        moved = disk((middle[0] + spot[0], middle[1] + spot[1]), radius)
        whole = (1.0 - share) * whole + share * moved
    return np.asarray(whole)


def single(away: Array) -> Array:
    """What atoms one by one scatter, on some scale."""
    return np.asarray(1.0 / (1.0 + (away / 9.0) ** 2) ** 2)


def rows_of(
    expected: Array, electrons: float, scan: tuple[int, int] = (6, 8), seed: int = 5, lost: tuple[int, ...] = ()
) -> list[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """A scan of such patterns, counted; lost: positions of the first scan row whose pattern never came."""

    def made() -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
        random = np.random.default_rng(seed)
        for row in range(scan[0]):
            block = random.poisson(expected * electrons, (scan[1], SIDE, SIDE)).astype(np.uint16)
            block[:, BLIND[0], BLIND[1]] = NODATA
            came = np.ones(scan[1], np.bool_)
            if row == 0 and lost:
                came[list(lost)] = False
                block[list(lost)] = NODATA
            yield block, came

    return list(made())
