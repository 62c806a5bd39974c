"""Square patches of a lattice image and their power spectra over the local background."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, optimize

Array = NDArray[np.float64]

SIDE = 12.8e-9  # m, of a patch
LONGEST, SHORTEST = 4.6e-10, 1.25e-10  # m: spacings that are looked for
_PADDED = 2  # times: the peak of a Hann window then loses at most 4 % between two points
_RING = 1.0  # rings of the background are so many 1/side wide
_SMOOTH = 2.0  # rings, standard deviation


@dataclass(frozen=True)
class Patch:
    """A square of an image: its first row and column and its side, in pixels."""

    row: int
    column: int
    side: int

    def centre(self, shape: tuple[int, int], pitch: float) -> tuple[float, float]:
        """Return x and y of its middle, m from the middle of an image of shape (rows, columns)."""
        rows, columns = shape
        return (
            (self.column + (self.side - columns) / 2) * pitch,
            (self.row + (self.side - rows) / 2) * pitch,
        )

    def cut(self, image: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return its pixels, (side, side)."""
        return image[self.row : self.row + self.side, self.column : self.column + self.side]


@dataclass(frozen=True)
class Spectrum:
    """The power spectrum of a patch over what an amorphous film would give at the same distance from the middle.

    ratio: (2 m + 1, m + 1), rows from k_y = -m to m steps, columns from k_x = 0; 1 on average without crystals.
    transform: of the windowed patch at the same places, complex.  step: 1/m a point.  side: m of the patch.
    rings: 1/m, and background: power there, both (n,).
    """

    ratio: NDArray[np.float32]
    transform: NDArray[np.complex64]
    step: float
    side: float
    rings: Array
    background: Array

    @property
    def half(self) -> int:
        """Steps from the middle to the edge."""
        return int(self.ratio.shape[1]) - 1


def tile(
    shape: tuple[int, int], pitch: float, side: float = SIDE, overlap: float = 0.5, first: tuple[int, int] = (0, 0)
) -> Iterator[Patch]:
    """Give the patches of `side` (m) that fit into an image of shape (rows, columns), overlapping by a share.

    first: row and column of the first.  Neighbours with a Hann window that overlap by a half share 17 % of their noise
    power in a direction (F. Harris, Proc. IEEE 66 (1978) 51, table 1).
    """
    pixels = math.ceil(side / pitch - 1e-6)
    hop = max(round(pixels * (1 - overlap)), 1)
    for row in range(first[0], shape[0] - pixels + 1, hop):
        for column in range(first[1], shape[1] - pixels + 1, hop):
            yield Patch(row, column, pixels)


def spectrum(pixels: NDArray[np.floating], pitch: float) -> Spectrum:
    """Transform a patch of counts (side, side), pitch in m, under a Hann window.

    The background is the median in rings, over ln 2 (the median of an exponential distribution), which a few spots do
    not move. ValueError for a patch that is not square or so coarse that the shortest spacing is not in it.
    """
    side = pixels.shape[0]
    if pixels.shape != (side, side):
        raise ValueError(f"a patch of shape {pixels.shape} is not square")
    if not 2 * pitch < SHORTEST:
        raise ValueError(f"pixels of {pitch * 1e12:.0f} pm are too coarse for spacings of {SHORTEST * 1e12:.0f} pm")
    window = np.hanning(side + 2)[1:-1]
    window2 = np.outer(window, window)
    mean = float(np.sum(pixels * window2) / np.sum(window2))
    if not mean > 0:
        raise ValueError("the patch holds no counts")
    padded = fft.next_fast_len(_PADDED * side, real=True)
    step = 1 / (padded * pitch)
    half = min(math.ceil(1.05 / SHORTEST / step), padded // 2 - 1)
    whole = fft.rfft2(((pixels / mean - 1) * window2).astype(np.float32), s=(padded, padded))
    part = np.concatenate([whole[-half:, : half + 1], whole[: half + 1, : half + 1]])
    power = np.abs(part) ** 2
    rings, background = _background(power, step, _RING / (side * pitch))
    level = np.interp(radius(half) * step, rings, background)
    return Spectrum((power / level).astype(np.float32), part, step, side * pitch, rings, background)


@lru_cache(maxsize=8)
def radius(half: int) -> Array:
    """Return the distance from the middle, in steps, of each place of a spectrum."""
    distance = np.hypot(np.linspace(-half, half, 2 * half + 1)[:, None], np.linspace(0, half, half + 1)[None, :])
    distance.setflags(write=False)  # it is kept
    return distance


def false_peaks(ratio: float, side: float) -> float:
    """Return how many maxima above a ratio noise alone gives in the spectrum of a patch of `side` (m).

    The expected Euler characteristic of a chi-squared field with two degrees of freedom (K. Worsley, Adv. Appl. Prob.
    26 (1994) 13), with the correlation that the Hann window makes, over half the ring of spacings looked for.
    """
    area = math.pi / 2 * (SHORTEST**-2 - LONGEST**-2)
    return area * _roughness(side) / (2 * math.pi) * (2 * ratio - 1) * math.exp(-ratio)


def false_density(ratio: Array, side: float) -> Array:
    """Return how many maxima noise gives per ratio and per area of reciprocal space, m^2."""
    density: Array = _roughness(side) / (2 * math.pi) * (2 * ratio - 3) * np.exp(-ratio)
    return density


def threshold(false: float, side: float) -> float:
    """Return the ratio above which noise alone gives `false` maxima a patch; ValueError unless 0 < false < 100."""
    if not 0 < false < 100:
        raise ValueError(f"{false!r} false peaks a patch cannot be asked for")
    return float(optimize.brentq(lambda ratio: math.log(false_peaks(ratio, side) / false), 2.0, 80.0))


def _roughness(side: float) -> float:
    """Variance of the slope of the transform of white noise under a Hann window, m^2, for unit variance."""
    # the second moment of cos^4(pi x / side) over its integral
    return (2 * math.pi * side) ** 2 * (1 / 12 - 5 / (8 * math.pi**2))


def _background(power: NDArray[np.floating], step: float, width: float) -> tuple[Array, Array]:
    """Middles of rings that are so wide (1/m), and the power of the film in each, both (n,)."""
    order, edges = _rings(power.shape[1] - 1, step, width)
    ordered = power.ravel()[order]
    level = np.array([_median(ordered[start:end]) for start, end in pairwise(edges)]) / math.log(2)
    level = np.exp(ndimage.gaussian_filter1d(np.log(np.maximum(level, 1e-30)), _SMOOTH, mode="nearest"))
    rings = (np.arange(level.size) + 0.5) * width
    return rings, level


@lru_cache(maxsize=8)
def _rings(half: int, step: float, width: float) -> tuple[NDArray[np.intp], list[int]]:
    """Places of a spectrum ring after ring, so wide (1/m), and where each ring begins and the last one ends."""
    distance = radius(half) * step
    number = (distance / width).astype(np.int64).ravel()
    order = np.argsort(number, kind="stable")
    whole = int(distance[0, 0] / width) - 1  # further out the corners cut rings short
    return order, np.searchsorted(number[order], np.arange(whole + 2)).tolist()


def _median(values: NDArray[np.floating]) -> float:
    """As of numpy, which takes longer for few values."""
    upper = len(values) // 2
    lower = upper - 1 + len(values) % 2
    middle = np.partition(values, (lower, upper))
    return (float(middle[lower]) + float(middle[upper])) / 2
