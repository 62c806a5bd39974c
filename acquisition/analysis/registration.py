"""How far the sample moved between two dark-field frames, by a measure that knows what it cannot know."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

_FINEST = 2.0  # px, standard deviation of the low pass: below it a low-dose frame holds only shot noise
_COARSEST = 1 / 6  # of the field, standard deviation of the high pass of the first guess: shading, thickness
_SURE = 6.0  # shared gradient over its noise that is believed; 4 to 5 is reached by chance somewhere along an edge
# Two frames of white noise of variance 1, smoothed, have gradients whose sum of products over an area A has the
# variance A times the integral of the squared autocovariance of one gradient: 3/(128 pi s^6)
_SHARED_BY_CHANCE = 3 / (128 * math.pi * _FINEST**6)
_ROUNDS = 6
_CLOSE = 0.01  # px


@dataclass(frozen=True)
class Shift:
    """How far the sample moved from a reference to a frame.

    dx, dy: m, x to the right, y down; 0 in a direction that was refused.  score: normalised correlation of the two
    smoothed frames, 0 to 1.  accepted: whether dx, dy may be used; when not, both are 0.  error: standard uncertainty
    in m along the worse of the directions that were measured.  unmeasured: angle in rad (0 to pi, from +x towards +y)
    of the one direction along which the frames do not tell the shift, as along a straight edge; None when they tell
    both.
    """

    dx: float
    dy: float
    score: float
    accepted: bool
    error: float
    unmeasured: float | None


def register(
    reference: ArrayLike,
    image: ArrayLike,
    pitch: tuple[float, float],
    *,
    threshold: float = 0.3,
    reach: float | None = None,
    worst_error: float | None = None,
) -> Shift:
    """Measure how far the sample moved from `reference` to `image` (both (rows, columns), any counts).

    pitch: m a pixel (x, y).  threshold: least score that is believed.  reach: largest shift looked for, m; None is a
    quarter of the smaller field.  worst_error: largest standard uncertainty that is believed in a direction, m; None is
    one pixel.  Frames are smoothed and square-rooted, which makes shot noise even. A first guess by correlation is
    refined by the gradient method (B. Lucas and T. Kanade, IJCAI 1981) with gain and offset left free; what the
    gradients of the two frames share, whose noise is independent, tells which directions are determined. A direction
    whose shared gradient is not clear of the noise, or whose uncertainty is above worst_error, is refused.  ValueError
    for different shapes.
    """
    fixed, moved = (np.asarray(frame, dtype=np.float64) for frame in (reference, image))
    if fixed.shape != moved.shape or fixed.ndim != 2:
        raise ValueError(f"frames of shapes {fixed.shape} and {moved.shape} cannot be registered")
    scale = np.array(pitch)
    fixed, moved = (
        np.sqrt(np.maximum(ndimage.gaussian_filter(frame, _FINEST, mode="nearest"), 0)) for frame in (fixed, moved)
    )
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in fixed.shape))
    far = np.array((fixed.shape[1] * pitch[0], fixed.shape[0] * pitch[1])).min() / 4 if reach is None else reach
    worst = max(pitch) if worst_error is None else worst_error

    found = _guess(fixed, moved, window, far / scale) * scale
    for _ in range(_ROUNDS):
        rest = _compare(fixed, moved, found, window, scale)
        sure = rest.sure & (rest.errors <= worst)
        # along what is not determined the frame stays where it is: the guess there was noise
        new = rest.axes @ np.where(sure, rest.axes.T @ (found + rest.shift), 0.0)
        step, found = new - found, new
        if np.all(np.abs(step) < _CLOSE * scale):
            break
    accepted = bool(sure.any()) and rest.score >= threshold and bool(np.hypot(*found) <= far)
    if not accepted:
        return Shift(0.0, 0.0, rest.score, False, math.inf, None)
    lost = rest.axes[:, ~sure]
    unmeasured = math.atan2(lost[1, 0], lost[0, 0]) % math.pi if lost.size else None
    return Shift(float(found[0]), float(found[1]), rest.score, True, float(rest.errors[sure].max()), unmeasured)


@dataclass(frozen=True)
class _Rest:
    """What is left between two frames after one was moved back: along principal axes (columns of `axes`), m."""

    shift: NDArray[np.float64]
    axes: NDArray[np.float64]
    errors: NDArray[np.float64]
    sure: NDArray[np.bool_]
    score: float


def _guess(
    fixed: NDArray[np.float64], moved: NDArray[np.float64], window: NDArray[np.float64], reach: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The whole-pixel shift (x, y) of the highest correlation within reach (px) of the band-passed frames."""
    shape = fixed.shape
    coarse = _COARSEST * min(shape)
    one, other = (
        fft.rfft2((frame - ndimage.gaussian_filter(frame, coarse, mode="nearest")) * window) for frame in (fixed, moved)
    )
    correlation = fft.irfft2(np.conj(one) * other, s=shape)
    down, right = (fft.fftfreq(n, 1 / n) for n in shape)
    allowed = (np.abs(down)[:, None] <= reach[1]) & (np.abs(right)[None, :] <= reach[0])
    row, column = np.unravel_index(np.argmax(np.where(allowed, correlation, -np.inf)), shape)
    return np.array([right[column], down[row]])


def _compare(
    fixed: NDArray[np.float64],
    moved: NDArray[np.float64],
    shift: NDArray[np.float64],
    window: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> _Rest:
    """Move a frame back by `shift` (m) and measure what is left to the other."""
    back = ndimage.shift(moved, -(shift / scale)[::-1], order=3, mode="nearest")
    mean = (fixed + back) / 2
    # gain and offset of the beam current may differ between frames: nothing that looks like them is shift
    nuisance = np.stack([window.ravel(), (window * mean).ravel()], axis=1)
    basis, _ = np.linalg.qr(nuisance)

    def own(field: NDArray[np.float64]) -> NDArray[np.float64]:
        flat = (window * field).ravel()
        return np.asarray(flat - basis @ (basis.T @ flat)).reshape(window.shape)

    gradients = [[own(g) / s for g, s in zip(np.gradient(frame)[::-1], scale, strict=True)] for frame in (fixed, back)]
    difference = own(back - fixed)
    shared = np.array([[np.sum(a * b) for b in gradients[1]] for a in gradients[0]])
    shared = (shared + shared.T) / 2
    values, axes = np.linalg.eigh(shared)
    # variance per pixel of the white noise that, smoothed, remains in the difference
    white = 4 * math.pi * _FINEST**2 * float(np.sum(difference**2) / np.sum(window**2))
    by_chance = _SURE * white / 2 * math.sqrt(_SHARED_BY_CHANCE * float(np.sum(window**4)))
    steps, errors, sure = np.zeros(2), np.full(2, np.inf), np.zeros(2, dtype=np.bool_)
    for i, (value, axis) in enumerate(zip(values, axes.T, strict=True)):
        gradient = sum(part * (one + other) / 2 for part, one, other in zip(axis, *gradients, strict=True))
        if value > 0:
            steps[i] = -np.sum(gradient * difference) / value
            weight = ndimage.gaussian_filter(window * gradient, _FINEST, mode="constant")
            errors[i] = math.sqrt(white * float(np.sum(weight**2))) / value
            sure[i] = value > by_chance * float(np.sum((axis / scale) ** 2))
    norms = [np.linalg.norm(window * (frame - np.average(frame, weights=window**2))) for frame in (fixed, back)]
    product = np.sum(
        window**2 * (fixed - np.average(fixed, weights=window**2)) * (back - np.average(back, weights=window**2))
    )
    score = float(np.clip(product / max(norms[0] * norms[1], 1e-300), 0, 1))
    return _Rest(axes @ steps, axes, errors, sure, score)
