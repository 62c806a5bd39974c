"""Where the interface stands in a dark-field frame: dark lithium on one side, bright LiPON on the other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, optimize, special

_BLOCK = 4  # px: frames are binned before the fit, which needs no more and is then fast
_TEN_TO_NINETY = 2 * float(special.ndtri(0.9))


@dataclass(frozen=True)
class Interface:
    """A straight interface in a frame.

    position: m from the middle of the frame along the normal, to half the step.  angle: rad, of the normal, which
    points from dark to bright, to +x, towards +y (down).  width: m, 10-90 % of the step.  score: share of the variance
    of the binned frame that the step explains, 0 to 1.  position_error, angle_error: standard uncertainties, m and rad.
    """

    position: float
    angle: float
    width: float
    score: float
    position_error: float
    angle_error: float

    @property
    def normal(self) -> tuple[float, float]:
        """Unit vector (x, y) from the dark to the bright side."""
        return math.cos(self.angle), math.sin(self.angle)


def coordinates(shape: tuple[int, int], pitch: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x of the columns and y of the rows, m from the middle of a frame of shape (rows, columns)."""
    rows, columns = shape
    x, y = (step * np.linspace(-(n - 1) / 2, (n - 1) / 2, n) for n, step in zip((columns, rows), pitch, strict=True))
    return x, y


def find_interface(image: ArrayLike, pitch: tuple[float, float]) -> Interface:
    """Fit a straight blurred step to a dark-field frame (rows, columns), counts.

    pitch: m a pixel (x, y).  Least squares on the binned frame, an error function across the interface. The frame
    holds an interface when the score is well above 0 and the errors are small: that is for the caller to judge.
    ValueError for a frame smaller than 16 pixels a side or without any contrast.
    """
    counts = np.asarray(image, dtype=np.float64)
    if counts.ndim != 2 or min(counts.shape) < 4 * _BLOCK:
        raise ValueError(f"a frame of shape {counts.shape} is too small for an interface")
    rows, columns = (n // _BLOCK for n in counts.shape)
    cut = counts[: rows * _BLOCK, : columns * _BLOCK]
    blocks = cut.reshape(rows, _BLOCK, columns, _BLOCK).mean(axis=(1, 3))
    if not np.ptp(blocks) > 0:
        raise ValueError("the frame is blank: no interface in it")
    x_axis, y_axis = coordinates(counts.shape, pitch)
    x = x_axis[: cut.shape[1]].reshape(columns, _BLOCK).mean(axis=1)[None, :]
    y = y_axis[: cut.shape[0]].reshape(rows, _BLOCK).mean(axis=1)[:, None]
    start = _first_look(blocks, x, y)
    unit = float(max(np.ptp(x), np.ptp(y)))
    # shot noise grows with the counts: the dark side is known better
    weight = 1 / np.sqrt(np.maximum(ndimage.gaussian_filter(blocks, 2.0), 0.05 * blocks.mean() + 1e-12))

    def model(p: NDArray[np.float64]) -> NDArray[np.float64]:
        across = (x * math.cos(p[1]) + y * math.sin(p[1])) / unit - p[0]
        return np.asarray(p[3] + (p[4] - p[3]) * special.ndtr(across / math.exp(p[2])))

    guess = np.array([start[0] / unit, start[1], math.log(0.05), *start[2:]])
    # no narrower than a fraction of a pixel, no wider than the field
    finest = math.log(0.3 * min(pitch) / unit)
    bounds = ([-2, -np.inf, finest, -np.inf, -np.inf], [2, np.inf, 0.0, np.inf, np.inf])
    fit = optimize.least_squares(lambda p: ((model(p) - blocks) * weight).ravel(), guess, bounds=bounds, x_scale="jac")
    p = fit.x
    residual = blocks - model(p)
    score = float(
        np.clip(1 - np.sum((residual * weight) ** 2) / np.sum(((blocks - blocks.mean()) * weight) ** 2), 0, 1)
    )
    spread = 2 * fit.cost / max(blocks.size - p.size, 1)
    errors = np.sqrt(np.maximum(np.diag(np.linalg.pinv(fit.jac.T @ fit.jac)) * spread, 0))
    position, angle = float(p[0] * unit), float(p[1])
    if p[4] < p[3]:
        position, angle = -position, angle + math.pi
    angle = math.remainder(angle, 2 * math.pi)
    width = _TEN_TO_NINETY * math.exp(p[2]) * unit
    return Interface(position, angle, width, score, float(errors[0] * unit), float(errors[1]))


def _first_look(
    blocks: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """Position, angle, dark and bright level from the mean gradient and the levels at both ends."""
    smooth = ndimage.gaussian_filter(blocks, 1.5)
    per_row, per_column = np.gradient(smooth)
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in blocks.shape))
    angle = math.atan2(
        float(np.sum(window * per_row)) / float(y[1, 0] - y[0, 0]),
        float(np.sum(window * per_column)) / float(x[0, 1] - x[0, 0]),
    )
    dark, bright = (float(level) for level in np.percentile(smooth, [5, 95]))
    across = x * math.cos(angle) + y * math.sin(angle)
    # half of the frame is brighter than half the step on the one side of the interface only
    share = float(np.mean(smooth < (dark + bright) / 2))
    return float(np.quantile(across, min(max(share, 0.02), 0.98))), angle, dark, bright
