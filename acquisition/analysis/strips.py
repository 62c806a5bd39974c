"""A sharp edge strip by strip along it: grains beside it differ in brightness, the edge does not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from acquisition.analysis.interface import TEN_TO_NINETY, Interface, coordinates

Array = NDArray[np.float64]

NARROW = 5e-9  # m of the edge in a strip, at least: few grains end within it
_OF_WIDTH = 0.5  # of the width of the edge, if that is longer
_REACH, _LEAST_REACH = 2.5, 14e-9  # widths to both sides that are looked at; m
_BIN = 1.5  # pixels
_FEWEST_BINS = 10
_RISEN = 0.3  # of the step: brighter is not the dark film any more
_CLEAR = 1.0  # widths of dark film that an edge needs before it
_BEHIND = 0.7  # of the reach, behind the edge, where other grains begin
_FEWEST = 5  # strips that say anything
_ROUNDS = 3
_TURN = 0.3  # rad, of the direction, at most in a round
_NORMAL = 1.4826  # standard deviation over the median deviation of a normal distribution
_OF_MEDIAN = 1.2533  # standard error of a median over that of a mean


@dataclass(frozen=True)
class Strips:
    """An edge in strips. interface: as the strips have it, with 10-90 % width and errors.  number: that were fitted."""

    interface: Interface
    number: int


def strips(image: ArrayLike, pitch: tuple[float, float], found: Interface) -> Strips:
    """Fit a blurred step with levels of its own to each strip across an edge in a frame (rows, columns), counts.

    pitch: (x, y), m.  found: the edge as it was found in the whole frame; its direction is corrected by where the
    strips have it.  ValueError where fewer than five strips show an edge.
    """
    counts = np.asarray(image, dtype=np.float64)
    for _ in range(_ROUNDS):
        along, edges = _edges(counts, pitch, found)
        found = _straight(along, edges, found)
    return Strips(found, len(edges))


def _edges(counts: Array, pitch: tuple[float, float], found: Interface) -> tuple[Array, Array]:
    """Where the strips lie along the interface, m, (n,), and of each 10-90 % width and place across it, m, (n, 2)."""
    x, y = coordinates((counts.shape[0], counts.shape[1]), pitch)
    cos, sin = found.normal
    across = x[None, :] * cos + y[:, None] * sin - found.position
    along = y[:, None] * cos - x[None, :] * sin
    side, step = max(_OF_WIDTH * found.width, NARROW), _BIN * max(pitch)
    place = np.floor((across - across.min()) / step).astype(np.int64)
    number = np.floor((along - along.min()) / side).astype(np.int64)
    bins, count = int(place.max()) + 1, int(number.max()) + 1
    flat = (number * bins + place).ravel()
    pixels = np.bincount(flat, minlength=count * bins).reshape(count, bins)
    sums = np.bincount(flat, weights=counts.ravel(), minlength=count * bins).reshape(count, bins)
    position = across.min() + (np.arange(bins) + 0.5) * step
    level = np.where(pixels > 0, sums / np.maximum(pixels, 1), np.nan)
    dark = float(np.nanmedian(level[:, position < min(-found.width, position.max() - step)]))
    bright = float(np.nanquantile(level[level > dark + _RISEN * (found.bright - dark)], 0.25))
    reach = max(_REACH * found.width, _LEAST_REACH)
    places, edges = [], []
    for strip, (levels, seen) in enumerate(zip(level, pixels, strict=True)):
        whole = seen >= 0.5 * seen.max(initial=0)
        fit = _fitted(position[whole], levels[whole], dark, bright, reach, found.width)
        if fit is not None:
            places.append(along.min() + (strip + 0.5) * side)
            edges.append(fit)
    if len(edges) < _FEWEST:
        raise ValueError(f"only {len(edges)} strips across the frame show an edge, {_FEWEST} are needed")
    return np.array(places), np.array(edges)


def _straight(along: Array, edges: Array, found: Interface) -> Interface:
    """The straight line that most strips agree on (Theil and Sen), and the median of their widths."""
    first, second = np.triu_indices(len(along), 1)
    slope = float(np.median((edges[second, 1] - edges[first, 1]) / (along[second] - along[first])))
    slope = min(max(slope, -_TURN), _TURN)
    off, error = _middle(edges[:, 1] - slope * along)
    width, width_error = _middle(edges[:, 0])
    turn = math.atan(slope)
    # the line across = off + slope * along, of a normal that is turned back by the slope
    return replace(
        found,
        angle=found.angle - turn,
        position=(found.position + off) * math.cos(turn),
        position_error=error,
        width=width * math.cos(turn),
        width_error=width_error,
    )


def _fitted(
    position: Array, level: Array, dark: float, bright: float, reach: float, width: float
) -> tuple[float, float] | None:
    """10-90 % width and place of the first edge of a strip, from the dark side; None where none is seen.

    dark: level of the even film on that side; bright: of the darker grains on the other.  width: about, m.
    """
    if position.size < _FEWEST_BINS:
        return None
    smooth = np.convolve(level, np.ones(3) / 3.0, mode="same")
    risen = np.flatnonzero(smooth[1:-1] > dark + 0.5 * (bright - dark)) + 1
    if not risen.size or position[risen[0]] - position[0] < _CLEAR * width:
        return None
    first = float(position[risen[0]])
    near = (position > first - reach) & (position < first + _BEHIND * reach)
    x, level = position[near], level[near]
    unit = max(width / TEN_TO_NINETY, 1e-12)
    weight = 1.0 / np.sqrt(np.maximum(level, max(dark, level.mean() / 10.0)))

    def left(q: Array) -> Array:
        share = special.ndtr((x - first - q[0] * unit) / (unit * np.exp(np.clip(q[1], -5.0, 5.0))))
        return np.asarray((q[2] + q[3] * share - level) * weight)

    start = [0.0, 0.0, dark, float(level[-3:].mean()) - dark]
    fit = optimize.least_squares(left, start, loss="soft_l1", f_scale=3.0, max_nfev=60)
    place, fitted = first + fit.x[0] * unit, TEN_TO_NINETY * unit * math.exp(min(max(fit.x[1], -5.0), 5.0))
    if not (x[0] < place < x[-1] and fitted < x[-1] - x[0] and fit.x[3] > 0.0):
        return None
    return fitted, float(place)


def _middle(values: Array) -> tuple[float, float]:
    """The median and its standard uncertainty, from how the values scatter."""
    median = float(np.median(values))
    scatter = _NORMAL * float(np.median(np.abs(values - median)))
    return median, _OF_MEDIAN * scatter / math.sqrt(len(values))
