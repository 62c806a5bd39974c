"""Frames of several passes put on top of each other, the sample's drift taken back by whole pixels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class Stack:
    """The mean of frames (rows, columns), each visited as far as its pass went."""

    def __init__(self, pixels: tuple[int, int], pitch: tuple[float, float]) -> None:
        """pixels: columns, rows.  pitch: m a pixel (x, y)."""
        self._pixels, self._pitch = pixels, pitch
        self._total = np.zeros(pixels[::-1])
        self._visits = np.zeros(pixels[::-1])

    def add(self, frame: NDArray[np.uint16], shift: tuple[float, float], done: int) -> None:
        """Add a frame in which the sample stands shifted by (dx, dy), m, and whose first `done` pixels are valid."""
        columns, rows = self._pixels
        right, down = np.rint(np.divide(shift, self._pitch)).astype(np.int64)
        row, column = np.divmod(np.arange(done), columns)
        row, column = row - down, column - right
        there = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        place = row[there], column[there]
        self._total[place] += np.asarray(frame, dtype=np.float64).ravel()[:done][there]
        self._visits[place] += 1

    def mean(self) -> NDArray[np.float64]:
        """The mean of each pixel's visits; where there was none, that of all."""
        seen = self._visits > 0
        if not seen.any():
            return np.zeros(seen.shape)
        mean = np.full(seen.shape, self._total[seen].sum() / self._visits[seen].sum())
        mean[seen] = self._total[seen] / self._visits[seen]
        return mean


def stacked(
    frames: Iterable[tuple[NDArray[np.uint16], tuple[float, float], int]],
    pixels: tuple[int, int],
    pitch: tuple[float, float],
) -> NDArray[np.float64]:
    """Return the mean of some (frame, shift, pixels done); see Stack."""
    stack = Stack(pixels, pitch)
    for frame, shift, done in frames:
        stack.add(frame, shift, done)
    return stack.mean()
