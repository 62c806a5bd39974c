"""Where the interface stands in a dark-field frame: dark lithium on one side, bright LiPON on the other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, optimize, special

_BLOCK = 4  # px: frames are binned before the fit, which needs no more and is then fast
TEN_TO_NINETY = 2 * float(special.ndtri(0.9))  # of an error function, over its standard deviation
_FWHM = 2 * math.sqrt(2 * math.log(2))
_KNOTS = 3  # along the interface, between which both levels change linearly: a lamella is thicker at one end
_FOR_KNOTS = 16  # binned pixels a side from which on there are knots

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interface:
    """A straight interface in a frame.

    position: m from the middle of the frame along the normal, to half the step.  angle: rad, of the normal, which
    points from dark to bright, to +x, towards +y (down).  width: m, 10-90 % of the step.  score: share of the variance
    of the binned frame, beyond slow changes along the interface, that the step explains, 0 to 1.  position_error,
    angle_error, width_error: standard uncertainties, m and rad.  dark, bright: levels beside it, mean, counts.
    """

    position: float
    angle: float
    width: float
    score: float
    position_error: float
    angle_error: float
    width_error: float = math.inf
    dark: float = 0.0
    bright: float = 1.0

    @property
    def normal(self) -> tuple[float, float]:
        """Unit vector (x, y) from the dark to the bright side."""
        return math.cos(self.angle), math.sin(self.angle)

    @property
    def middle(self) -> tuple[float, float]:
        """The place (x, y) of the interface next to the middle of the frame, m from there."""
        return self.position * math.cos(self.angle), self.position * math.sin(self.angle)

    @property
    def fwhm(self) -> float:
        """Full width at half maximum, m, of the Gaussian that blurs a sharp step so."""
        return self.width / TEN_TO_NINETY * _FWHM

    def step(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """The fitted step at distances (n,), m, from the interface towards the bright side."""
        share = special.ndtr(position / (self.width / TEN_TO_NINETY))
        return np.asarray(self.dark + (self.bright - self.dark) * share)


def coordinates(shape: tuple[int, int], pitch: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x of the columns and y of the rows, m from the middle of a frame of shape (rows, columns)."""
    rows, columns = shape
    x, y = (step * np.linspace(-(n - 1) / 2, (n - 1) / 2, n) for n, step in zip((columns, rows), pitch, strict=True))
    return x, y


def find_interface(image: ArrayLike, pitch: tuple[float, float], *, block: int = _BLOCK) -> Interface:
    """Fit a straight blurred step to a dark-field frame (rows, columns), counts.

    pitch: m a pixel (x, y).  block: pixels a side that are binned first; 1 for an edge as sharp as a pixel.  Least
    squares, an error function across the interface between two levels that may change along it. The frame holds an
    interface when the score is well above 0 and the errors are small: that is for the caller to judge.
    ValueError for a frame smaller than 4 blocks a side or without any contrast.
    """
    counts = np.asarray(image, dtype=np.float64)
    if counts.ndim != 2 or min(counts.shape) < 4 * block:
        raise ValueError(f"a frame of shape {counts.shape} is too small for an interface")
    rows, columns = (n // block for n in counts.shape)
    cut = counts[: rows * block, : columns * block]
    blocks = cut.reshape(rows, block, columns, block).mean(axis=(1, 3))
    if not np.ptp(blocks) > 0:
        raise ValueError("the frame is blank: no interface in it")
    x_axis, y_axis = coordinates(counts.shape, pitch)
    x = x_axis[: cut.shape[1]].reshape(columns, block).mean(axis=1)[None, :]
    y = y_axis[: cut.shape[0]].reshape(rows, block).mean(axis=1)[:, None]
    position, angle = _first_look(blocks, x, y)
    unit = float(max(np.ptp(x), np.ptp(y)))
    # shot noise grows with the counts: the dark side is known better
    weight = 1 / np.sqrt(np.maximum(ndimage.gaussian_filter(blocks, 2.0), 0.05 * abs(blocks.mean()) + 1e-12))
    knots = _KNOTS if min(blocks.shape) >= _FOR_KNOTS else 1
    step = _Step(blocks, x / unit, y / unit, weight, knots)
    # no narrower than a fraction of a pixel, no wider than the field
    finest = math.log(0.3 * min(pitch) / unit)
    fit = optimize.least_squares(
        step.residual,
        [np.clip(position / unit, -1.9, 1.9), angle, max(math.log(0.05), finest + 0.1)],
        bounds=([-2, -np.inf, finest], [2, np.inf, 0.0]),
        x_scale=[0.1, 0.1, 1.0],
    )
    place, angle, width = (float(value) for value in fit.x)
    dark, bright = step.levels(fit.x)
    score = float(np.clip(1 - 2 * fit.cost / max(step.without(angle), 1e-300), 0, 1))
    spread = 2 * fit.cost / max(blocks.size - 3 - 2 * knots, 1)
    errors = np.sqrt(np.maximum(np.diag(np.linalg.pinv(fit.jac.T @ fit.jac)) * spread, 0))
    position = place * unit
    if bright < dark:
        position, angle, dark, bright = -position, angle + math.pi, bright, dark
    return Interface(
        position=position,
        angle=math.remainder(angle, 2 * math.pi),
        width=TEN_TO_NINETY * math.exp(width) * unit,
        score=score,
        position_error=float(errors[0] * unit),
        angle_error=float(errors[1]),
        width_error=float(TEN_TO_NINETY * math.exp(width) * unit * errors[2]),
        dark=dark,
        bright=bright,
    )


class _Step:
    """A blurred step in blocks (rows, columns): position, angle and log of the width are fitted, levels follow."""

    def __init__(self, blocks: Array, x: Array, y: Array, weight: Array, knots: int) -> None:
        self._x, self._y, self._weight = x, y, weight.ravel()
        self._seen = blocks.ravel() * self._weight
        self._knots = knots

    def residual(self, p: Array) -> Array:
        """What is left of the weighted blocks when both levels fit best, shape (blocks,)."""
        design = self._design(p)
        return np.asarray(design @ self._best(design) - self._seen)

    def levels(self, p: Array) -> tuple[float, float]:
        """The level on the near and on the far side, each the mean over the frame."""
        best = self._best(self._design(p)).reshape(2, self._knots)
        near, far = (self._hats(p[1]) @ side for side in best)
        return float(near.mean()), float(far.mean())

    def without(self, angle: float) -> float:
        """Weighted sum of squares that is left of the blocks without a step."""
        design = self._hats(angle) * self._weight[:, None]
        return float(np.sum((design @ self._best(design) - self._seen) ** 2))

    def _design(self, p: Array) -> Array:
        across = (self._x * math.cos(p[1]) + self._y * math.sin(p[1]) - p[0]).ravel()
        share = special.ndtr(across / math.exp(p[2]))[:, None]
        hats = self._hats(p[1]) * self._weight[:, None]
        return np.concatenate([hats * (1 - share), hats * share], axis=1)

    def _hats(self, angle: float) -> Array:
        """Hat functions of the place along the interface, (blocks, knots); their sum is 1 everywhere."""
        along = (self._y * math.cos(angle) - self._x * math.sin(angle)).ravel()
        if self._knots == 1:
            return np.ones((along.size, 1))
        place = (along - along.min()) / np.ptp(along) * (self._knots - 1)
        return np.asarray(np.maximum(1 - np.abs(place[:, None] - np.arange(self._knots)), 0))

    def _best(self, design: Array) -> Array:
        # by the normal equations: few columns, many rows, and a side that is not in the frame has no level
        best, *_ = np.linalg.lstsq(design.T @ design, design.T @ self._seen, rcond=1e-10)
        return np.asarray(best)


def _first_look(blocks: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Position and angle from the mean gradient and the levels at both ends."""
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
    return float(np.quantile(across, min(max(share, 0.02), 0.98))), angle
