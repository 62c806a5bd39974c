"""Virtual detectors over the diffraction patterns of a scan: images, mean and maximum, radial profile, central disk.

Patterns come scan row by scan row, so that of a scan larger than the memory only a row is ever in it: `rows` yields
the counts of a scan row (positions, rows, columns) and which of its patterns came (positions,).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

Array = NDArray[np.float64]
Rows = Iterable[tuple[NDArray[Any], NDArray[np.bool_]]]

PARTS = 5  # of a pixel's side, that lie in a ring or out of it
PLATEAU = 0.5  # of the disk's radius, within which its height is taken
REACH = 40  # pixels along the half of a diagonal that the disk's edge is looked for at once
NEAR = 0.75  # pixels of a point, within which there is always the middle of one
BLURRED = 1.5  # pixels that the disk's edge is smeared over
GROUND = 9.0  # pixels beyond the disk that a halo is looked for in
TURNS = 8  # of the search for the disk's middle


@dataclass(frozen=True)
class Gathered:
    """All patterns of a scan in two.

    mean: counts a pattern, (rows, columns), NaN where a pixel measured nothing.  maximum: most counts in any pattern,
    (rows, columns), 0 there.  patterns: how many came, of how many that were `due`.
    """

    mean: Array
    maximum: NDArray[np.int64]
    patterns: int
    due: int

    @property
    def blind(self) -> NDArray[np.bool_]:
        """Pixels that measured nothing, (rows, columns)."""
        return np.isnan(self.mean)


@dataclass(frozen=True)
class Disk:
    """The central disk: its middle (row, column) and its radius at half its height, pixels; standard errors of both."""

    middle: tuple[float, float]
    radius: float
    middle_error: float
    radius_error: float

    def distances(self, shape: tuple[int, int]) -> Array:
        """How far the middle of each pixel lies from that of the disk, pixels, (rows, columns)."""
        down, across = (np.arange(n) - at for n, at in zip(shape, self.middle, strict=True))
        return np.asarray(np.hypot(down[:, None], across[None, :]))


@dataclass(frozen=True)
class Profile:
    """Counts a pixel and pattern over the distance from the middle: distance, pixels; counts and their errors, (n,)."""

    distance: Array
    counts: Array
    errors: Array


def gather(rows: Rows, nodata: int) -> Gathered:
    """Mean and maximum of all patterns that came; nodata: what a pixel that measures nothing reads, and no other.

    Raises ValueError when none came.
    """
    total = maximum = seen = None
    patterns = due = 0
    for block, came in rows:
        due += len(came)
        kept = block[came]
        if not len(kept):
            continue
        valid = kept != nodata
        counts = np.where(valid, kept, 0)
        patterns += len(kept)
        if total is None or maximum is None or seen is None:
            total, seen = np.zeros(kept.shape[1:]), np.zeros(kept.shape[1:], np.int64)
            maximum = np.zeros(kept.shape[1:], np.int64)
        total += counts.sum(axis=0, dtype=np.float64)
        seen += valid.sum(axis=0)
        np.maximum(maximum, counts.max(axis=0), out=maximum)
    if total is None or maximum is None or seen is None:
        raise ValueError("no pattern came")
    mean = np.divide(total, seen, out=np.full(total.shape, np.nan), where=seen > 0)
    return Gathered(mean, maximum, patterns, due)


def central_disk(gathered: Gathered) -> Disk:
    """Where the central disk stands and how large it is, from the edge of the mean pattern at half its height.

    Raises ValueError when there is none.
    """
    mean = np.where(gathered.blind, np.nanmedian(gathered.mean), gathered.mean)
    height = float(np.partition(mean.ravel(), -4)[-4:].mean())
    if not height > 0.0:
        raise ValueError("the mean pattern is dark")
    bright = mean > 0.5 * height
    middle = tuple(float((axis * mean)[bright].sum() / mean[bright].sum()) for axis in np.indices(mean.shape))
    radius = max(float(np.sqrt(bright.sum() / np.pi)), 0.5)
    for _ in range(TURNS):
        inside = _distances(mean.shape, middle) <= max(PLATEAU * radius, NEAR)
        height = float(mean[inside].mean())
        edges, directions = _edges(mean, middle, radius, 0.5 * height)
        if len(edges) < REACH // 2:
            raise ValueError("the mean pattern has no central disk with an edge")
        design = np.column_stack([np.ones(len(edges)), directions])  # r = R + (shift along the direction)
        (radius, down, across), *_ = np.linalg.lstsq(design, edges, rcond=None)
        middle = middle[0] + float(down), middle[1] + float(across)
    scatter = float(np.std(edges - design @ np.array([radius, down, across]))) / np.sqrt(len(edges))
    floor = 0.5 / np.sqrt(max(height * gathered.patterns, 1.0))  # of a single edge, by counting
    error = float(np.hypot(scatter, floor))
    return Disk((middle[0], middle[1]), float(radius), np.sqrt(2.0) * error, error)


def _distances(shape: tuple[int, ...], middle: Sequence[float]) -> Array:
    down, across = (np.arange(n) - at for n, at in zip(shape, middle, strict=True))
    return np.asarray(np.hypot(down[:, None], across[None, :]))


def _edges(mean: Array, middle: Sequence[float], radius: float, level: float) -> tuple[Array, Array]:
    """Where rays from the middle fall below a level, pixels from it, and their directions (down, across), (n, 2)."""
    turn = np.linspace(0.0, 2.0 * np.pi, REACH * 2, endpoint=False)
    directions = np.column_stack([np.sin(turn), np.cos(turn)])
    steps = np.arange(0.0, 2.0 * radius + 4.0, 0.1)
    points = np.asarray(middle)[:, None, None] + directions.T[:, :, None] * steps
    values = _interpolated(mean, points)
    below = values < level
    first = np.argmax(below, axis=1)
    found = np.flatnonzero(below.any(axis=1) & (first > 0))
    high, low = values[found, first[found] - 1], values[found, first[found]]
    edge = steps[first[found] - 1] + 0.1 * (high - level) / np.maximum(high - low, 1e-300)
    return edge, directions[found]


def _interpolated(image: Array, points: Array) -> Array:
    """Linear between pixels, the edge ones going on; points: (2, ...)."""
    limits = np.array(image.shape).reshape(2, *(1,) * (points.ndim - 1)) - 1.000001
    inside = np.clip(points, 0.0, limits)
    base = np.floor(inside).astype(np.intp)
    (a, b), (i, j) = inside - base, base
    return np.asarray(
        image[i, j] * (1 - a) * (1 - b)
        + image[i + 1, j] * a * (1 - b)
        + image[i, j + 1] * (1 - a) * b
        + image[i + 1, j + 1] * a * b
    )


def ring(disk: Disk, shape: tuple[int, int], inner: float, outer: float) -> Array:
    """Weights of a ring's pixels, (rows, columns): the share of each that lies between two distances, pixels."""
    fine = (np.arange(PARTS) - (PARTS - 1) / 2.0) / PARTS
    down, across = (np.arange(n) - at for n, at in zip(shape, disk.middle, strict=True))
    weights = np.zeros(shape)
    for a in fine:
        for b in fine:
            away = np.hypot((down + a)[:, None], (across + b)[None, :])
            weights += (away >= inner) & (away < outer)
    return np.asarray(weights / PARTS**2)


def covered(disk: Disk, shape: tuple[int, int], inner: float, outer: float) -> float:
    """Share of a ring's area that lies on the detector."""
    return float(ring(disk, shape, inner, outer).sum() / (np.pi * (outer**2 - inner**2)))


def detect(rows: Rows, weights: Sequence[Array], blind: NDArray[np.bool_]) -> Array:
    """Images of virtual detectors, (detectors, scan rows, scan columns): counts under weights, NaN where none came.

    weights: (rows, columns) each.  blind: pixels that measured nothing; what they would have had is that of the others
    under the same detector.
    """
    masks = np.stack([np.where(blind, 0.0, each) for each in weights])
    made_good = np.array([each.sum() for each in weights]) / np.maximum(masks.sum(axis=(1, 2)), 1e-300)
    flat = (masks * made_good[:, None, None]).reshape(len(masks), -1).astype(np.float32)
    images = []
    for block, came in rows:
        counts = block.reshape(len(block), -1).astype(np.float32) @ flat.T
        images.append(np.where(came[:, None], counts, np.nan))
    return np.moveaxis(np.array(images, np.float64), -1, 0)


def radial(gathered: Gathered, disk: Disk, step: float = 1.0) -> Profile:
    """Mean counts of rings `step` pixels wide around the disk, as far as whole rings lie on the detector.

    Errors are those of counting.
    """
    shape = gathered.mean.shape
    away = disk.distances((shape[0], shape[1]))
    reach = min(min(at, n - 1 - at) for n, at in zip(shape, disk.middle, strict=True)) + 0.5
    number = (away / step).astype(np.intp)
    kept = ~gathered.blind & (number < int(reach / step))
    pixels = np.bincount(number[kept])
    total = np.bincount(number[kept], gathered.mean[kept])
    at = np.bincount(number[kept], away[kept])
    full = pixels > 0
    pixels, total, at = pixels[full], total[full], at[full]
    errors = np.sqrt(np.maximum(total * gathered.patterns, 1.0)) / (pixels * gathered.patterns)
    return Profile(at / pixels, total / pixels, errors)


def halo(profile: Profile, disk: Disk, single: Array, sure: float = 5.0) -> tuple[float, float] | None:
    """The distance of the first peak of the structure beyond the disk and its error, pixels; None: none is to be seen.

    single: what atoms one by one scatter at the profile's distances, on any scale, (n,); the structure is what is
    counted over that. A bell on a curved ground is laid through it; it counts when it stands `sure` standard errors
    high and lies further out than two radii of the disk, which would smear it otherwise.
    """
    looked_at = (profile.distance > disk.radius + BLURRED) & (profile.distance < disk.radius + BLURRED + GROUND)
    distance, structure = profile.distance[looked_at], (profile.counts / single)[looked_at]
    errors = (profile.errors / single)[looked_at]
    if len(distance) < 8 or not structure.max() > 0.0:
        return None
    scale = float(structure.max())
    middle = float(distance.mean())

    def bell(r: Array, top: float, height: float, width: float, a: float, b: float, c: float) -> Array:
        return np.asarray(
            height * np.exp(-(((r - top) / width) ** 2) / 2.0) + a + b * (r - middle) + c * (r - middle) ** 2
        )

    start = float(distance[np.argmax(structure)]), 0.5, 1.0, 0.5, 0.0, 0.0
    lowest = [distance[0], 0.0, 0.4, -np.inf, -np.inf, -np.inf]
    highest = [distance[-1], np.inf, GROUND / 3.0, np.inf, np.inf, np.inf]
    try:
        found, covariance = curve_fit(
            bell, distance, structure / scale, start, errors / scale, absolute_sigma=True, bounds=(lowest, highest)
        )
    except RuntimeError:
        return None
    misfit = np.mean(((bell(distance, *found) - structure / scale) / (errors / scale)) ** 2)
    error = np.sqrt(np.diag(covariance) * max(float(misfit), 1.0))
    top, height = float(found[0]), float(found[1])
    inside = distance[0] < top < distance[-1] and top > 2.0 * disk.radius
    return (top, float(error[0])) if inside and height > sure * error[1] else None
