"""Spots in the power spectrum of a patch: where, how strong, and where in the patch their fringes are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.patches import LONGEST, SHORTEST, Spectrum, radius, threshold

Array = NDArray[np.float64]

_APART = 0.2e9  # 1/m: nearer to a stronger spot it is the same one, of a crystal 2 nm in radius
_LOBES, _LOBE = 0.9e9, 0.04  # 1/m, and share of a spot that its own side lobes may reach there
_FRINGES = 1.0e-9  # m, standard deviation of where the fringes of a crystal of 2 to 4 nm radius are
# The transfer of the lens is not even across a spot, and moves it towards where more gets through: in simulated images
# spots are off along g by 1.4 times what noise does, and 0.018/nm besides.
_ALONG, _LENS = 1.4, 0.018e9  # 1/m
_SCALE = 0.002  # relative error of a spacing besides: what the pitch and strain leave
_PLACE = 0.8e-9  # m, what defocus and aberrations move fringes apart
_WINDOWED = 1.25  # times: as far from the middle as they seem under the window small crystals really stand
FALSE_SPOTS = 0.3  # a patch, from noise alone
MOST = 24  # spots of a patch, the strongest


@dataclass(frozen=True)
class Spots:
    """Spots of one patch, strongest first, one of each Friedel pair; each field has one entry a spot.

    k: spatial frequency (x, y), 1/m, (n, 2); y as rows go, down.  ratio: power over the local background, (n,).
    along, across: standard uncertainty of k in its own direction and across it, 1/m, (n,).  place: of the fringes, x
    and y in m from the middle of the patch, (n, 2); place_error: m, (n,).  floor: the ratio from which a spot counts.
    side: m of the patch.
    """

    k: Array
    ratio: Array
    along: Array
    across: Array
    place: Array
    place_error: Array
    floor: float
    side: float

    def __len__(self) -> int:
        return len(self.ratio)

    @property
    def length(self) -> Array:
        """1/d of each, 1/m, (n,)."""
        return np.hypot(self.k[:, 0], self.k[:, 1])

    def only(self, kept: NDArray[np.bool_] | NDArray[np.intp]) -> Spots:
        """Return some of them."""
        return replace(
            self,
            k=self.k[kept],
            ratio=self.ratio[kept],
            along=self.along[kept],
            across=self.across[kept],
            place=self.place[kept],
            place_error=self.place_error[kept],
        )

    def turned(self, k: Array) -> Spots:
        """Return them with other positions, (n, 2), 1/m."""
        return replace(self, k=k)

    def rescaled(self, factor: float) -> Spots:
        """Return them as they are when a pixel is `factor` times as large as believed."""
        return replace(
            self,
            k=self.k / factor,
            along=self.along / factor,
            across=self.across / factor,
            place=self.place * factor,
            place_error=self.place_error * factor,
            side=self.side * factor,
        )


def find_spots(seen: Spectrum, false: float = FALSE_SPOTS) -> Spots:
    """Find what stands out of the background of a spectrum, to a fraction of a point.

    false: how many of them noise alone may give, a patch. Positions are those of a paraboloid through the logarithm of
    the nine points around a maximum; their error is what noise allows for fringes as far spread as those of small
    crystals, more along g. Fringes stand where the slope of the transform's phase says.
    """
    floor = threshold(false, seen.side)
    ratio = seen.ratio
    # what lies left of k_x = 0 is the mirror image of what lies right
    mirrored = np.concatenate([ratio[::-1, 2:0:-1], ratio], axis=1)
    apart = max(round(_APART / seen.step), 1)
    disc = np.hypot(*np.mgrid[-apart : apart + 1, -apart : apart + 1]) <= apart
    candidates = np.argwhere(mirrored > 0.7 * floor)
    for footprint in (np.ones((3, 3), dtype=bool), disc):
        candidates = candidates[_highest(mirrored, candidates, footprint)]
    half = seen.half
    found = []
    for row, column in candidates:
        down, right = row - half, column - 2
        inside = abs(down) < half - 1 and 0 <= right < half - 1 and (right > 0 or down > 0)
        if not inside:
            continue
        shift, peak = _summit(np.log(mirrored[row - 1 : row + 2, column - 1 : column + 2]))
        k = np.array([right + shift[0], down + shift[1]]) * seen.step
        if peak > floor and 1 / LONGEST <= math.hypot(*k) <= 1 / SHORTEST:
            found.append((peak, *k, *_fringes(seen, row, right)))
    found.sort(reverse=True)
    table = np.array([spot for i, spot in enumerate(found) if not _is_lobe(spot, found[:i])][:MOST]).reshape(-1, 5)
    above = np.maximum(table[:, 0] - 1, 1.0)
    k = table[:, 1:3]
    least = 1 / (2 * math.pi * _FRINGES * np.sqrt(2 * above))
    return Spots(
        k=k,
        ratio=table[:, 0],
        along=np.sqrt((_ALONG * least) ** 2 + _LENS**2 + _SCALE**2 * (k**2).sum(axis=1)),
        across=least,
        place=_WINDOWED * table[:, 3:5],
        place_error=np.hypot(_PLACE, place_spread(seen.side) / np.sqrt(2 * above)),
        floor=floor,
        side=seen.side,
    )


def _highest(image: NDArray[np.floating], places: NDArray[np.intp], footprint: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which places (n, 2) of an image are nowhere less than what lies around them, in an odd square footprint."""
    reach = len(footprint) // 2
    around = places[:, None, :] + np.argwhere(footprint)[None]  # in the padded image
    highest = np.pad(image, reach, mode="symmetric")[around[:, :, 0], around[:, :, 1]].max(axis=1)
    result: NDArray[np.bool_] = image[places[:, 0], places[:, 1]] == highest
    return result


def _is_lobe(spot: tuple[float, ...], stronger: Sequence[tuple[float, ...]]) -> bool:
    """Whether a spot (ratio, k_x, k_y, ...) may be a side lobe of a stronger one."""
    return any(
        spot[0] < _LOBE * each[0]
        and min(math.hypot(spot[1] - s * each[1], spot[2] - s * each[2]) for s in (1, -1)) < _LOBES
        for each in stronger
    )


def place_spread(side: float) -> float:
    """Return how far from the middle of a patch of `side` (m) crystals that are seen stand, standard deviation in m."""
    return _WINDOWED * side * math.sqrt(1 / 12 - 5 / (8 * math.pi**2))


def _summit(log: NDArray[np.floating]) -> tuple[tuple[float, float], float]:
    """Shift (x, y) in points and height of the highest point of a paraboloid through 3 x 3 logarithms."""
    shifts, height = [], float(log[1, 1])
    for before, middle, after in ((log[1, 0], log[1, 1], log[1, 2]), (log[0, 1], log[1, 1], log[2, 1])):
        bend = float(before - 2 * middle + after)
        shift = 0.5 * float(before - after) / bend if bend < 0 else 0.0
        shift = min(max(shift, -0.6), 0.6)
        shifts.append(shift)
        height -= 0.25 * float(before - after) * shift
    return (shifts[0], shifts[1]), math.exp(height)


def _fringes(seen: Spectrum, row: int, column: int) -> tuple[float, float]:
    """Where the fringes of a spot stand, x and y in m from the middle of the patch: by the phase's slope."""
    transform, places = seen.transform, []
    for down, right in ((0, 1), (1, 0)):
        before = transform[row - down, abs(column - right)]
        if column < right:
            before = np.conj(transform[2 * seen.half - row, right - column])
        after = transform[row + down, column + right]
        middle = transform[row, column]
        turn = np.angle(after * np.conj(middle) + middle * np.conj(before))
        places.append(-float(turn) / (2 * math.pi * seen.step) - seen.side / 2)
    # a phase that turns once more a step stands one padded patch further on
    period = 1 / seen.step
    x, y = (place - period * round(place / period) for place in places)
    return x, y


def rings_of(seen: Spectrum) -> tuple[Array, Array]:
    """Return the distance of the rings (n,), 1/m, and the mean ratio in each, (n,): what crystals add to the film."""
    distance = radius(seen.half) * seen.step
    number = np.rint(distance / seen.step).astype(np.int64).ravel()
    counts = np.bincount(number)[: seen.half + 1]
    mean: Array = np.bincount(number, weights=seen.ratio.ravel())[: seen.half + 1] / np.maximum(counts, 1)
    distances: Array = np.linspace(0.0, seen.half, seen.half + 1) * seen.step
    return distances, mean
