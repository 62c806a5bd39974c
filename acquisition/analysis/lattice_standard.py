"""How large a pixel of a lattice image really is, from the spots of a crystal whose spacings are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.patches import spectrum, tile
from acquisition.analysis.spots import Spots, find_spots
from physics.crystals import Spacing

Array = NDArray[np.float64]

_SIDE = 25.6e-9  # m of a patch: its spots are half as wide as those of the patches that phases are found in
_FALSE = 0.05  # spots a patch from noise alone
_TILTED = 0.003  # relative error of a spacing besides: grains that end in the foil show rods, not points
_STEPS = 801  # of the scale that are tried
_FEWEST = 3
_FAINTEST = 0.3  # what the weakest ring counts beside the strongest: how strong a spot is hangs on its grain's tilt
_LOUD = 0.05  # of the strongest spot of a patch: fainter ones may be its side lobes
_NEAR = 3.0  # standard errors from a ring within which a spot lies on it
_ROUNDS = 5


@dataclass(frozen=True)
class Scale:
    """How many times as large a pixel is as believed.

    value, error: and its standard uncertainty.  spots: how many lie on rings of the standard, of how many that were
    seen.  score: their share of all weight, 0 to 1.  other: the next best scale, and other_share: how much of the
    weight it explains, of what the best one does.  rings: labels of the rings they lie on.
    lengths, ring_lengths: 1/d of each spot as believed, 1/m, (seen,), and that of its ring, 0 for none.
    """

    value: float
    error: float
    spots: int
    seen: int
    score: float
    other: float
    other_share: float
    rings: tuple[str, ...]
    lengths: Array
    ring_lengths: Array


def find_scale(
    image: NDArray[np.floating], pitch: float, spacings: Sequence[Spacing], *, within: float, side: float = _SIDE
) -> Scale:
    """Measure the pixel of a lattice image (rows, columns), counts, of a polycrystal.

    pitch: m, as believed, to within a relative error of `within`.  spacings: of the standard, at the temperature of the
    stage.  side: m of the patches whose spectra are looked at.  Every spot speaks for the scales that put it on a ring,
    the louder the more it stands out (a grain a little off its Bragg angle is fainter, and its spot nearer the middle),
    so a few grains are enough and what lies on no ring speaks for none.
    ValueError when fewer than 3 spots are seen.
    """
    size = min(side, min(image.shape) * pitch)
    patches = tile((image.shape[0], image.shape[1]), pitch, size, overlap=0.0)
    found = _once([find_spots(spectrum(patch.cut(image), pitch), _FALSE) for patch in patches])
    if found.shape[1] < _FEWEST:
        raise ValueError(f"{found.shape[1]} spots of a lattice are seen, {_FEWEST} are needed")
    return fit_scale(*found, spacings=spacings, within=within)


def fit_scale(lengths: Array, errors: Array, loudness: Array, *, spacings: Sequence[Spacing], within: float) -> Scale:
    """Fit the scale to lengths 1/d of spots, 1/m, their standard uncertainties and weights, (n,); see find_scale."""
    rings = np.array([1 / spacing.d for spacing in spacings])
    near = (rings > lengths.min() / (1 + 2 * within)) & (rings < lengths.max() * (1 + 2 * within))
    rings, named = rings[near], [s for s, kept in zip(spacings, near, strict=True) if kept]
    if not len(rings):
        raise ValueError("no ring of the standard lies where spots are seen")
    strength = np.sqrt([spacing.strength for spacing in named])
    strength = _FAINTEST + (1 - _FAINTEST) * strength / strength.max()
    spread = np.hypot(errors, _TILTED * lengths)
    # a pixel that is larger than believed makes every true length smaller by the same factor
    scales = np.exp(np.linspace(-1, 1, _STEPS) * math.log1p(within))
    off = (lengths[None, :, None] / scales[:, None, None] - rings) / spread[None, :, None]
    support = np.max(strength * np.exp(-(off**2) / 2), axis=2) @ loudness
    best = int(np.argmax(support))
    value, sure = float(scales[best]), np.zeros(lengths.size, dtype=bool)
    nearest = np.zeros(lengths.size, dtype=np.intp)
    for _ in range(_ROUNDS):
        distance = np.abs(lengths[:, None] / value - rings) / spread[:, None]
        nearest = np.argmin(distance, axis=1)
        sure = distance[np.arange(lengths.size), nearest] < _NEAR
        if sure.any():
            weights = (rings[nearest] / spread)[sure] ** 2 * loudness[sure]
            value = float(np.average((lengths / rings[nearest])[sure], weights=weights))
    beside = np.abs(np.log(scales / value)) > 2 * _NEAR * float(np.median(spread / lengths))
    other = int(np.argmax(np.where(beside, support, -1.0)))
    return Scale(
        value=value,
        error=_error_of_mean((lengths / rings[nearest])[sure], (spread / rings[nearest])[sure], loudness[sure]),
        spots=int(sure.sum()),
        seen=lengths.size,
        score=float(loudness[sure].sum() / loudness.sum()),
        other=float(scales[other]),
        other_share=float(support[other] / max(support[best], 1e-300)) if beside.any() else 0.0,
        rings=tuple(named[i].label for i in sorted(set(nearest[sure].tolist()))),
        lengths=lengths,
        ring_lengths=np.where(sure, rings[nearest], 0.0),
    )


def _error_of_mean(values: Array, errors: Array, loudness: Array) -> float:
    """Standard uncertainty of a weighted mean, or what the values scatter by where that is more."""
    if not values.size:
        return math.inf
    share = loudness / errors**2 / np.sum(loudness / errors**2)
    by_errors = math.sqrt(float(np.sum((share * errors) ** 2)))
    scatter = math.sqrt(float(np.sum(share * (values - np.sum(share * values)) ** 2) * np.sum(share**2)))
    return max(by_errors, scatter)


def _once(seen: Sequence[Spots]) -> Array:
    """Lengths, errors, weights of all spots, (3, n); one in several patches at the same place of k is one grain's."""
    spots = [
        (float(k[0]), float(k[1]), float(each.along[i]), float(each.across[i]), float(each.ratio[i]) / each.floor)
        for each in seen
        for i, k in enumerate(each.k)
        if each.ratio[i] > _LOUD * each.ratio[0]
    ]
    spots.sort(key=lambda spot: -spot[4])
    kept: list[tuple[float, ...]] = []
    for spot in spots:
        if all(math.hypot(spot[0] - k[0], spot[1] - k[1]) > 2 * math.hypot(spot[2], spot[3]) for k in kept):
            kept.append(spot)
    x, y, errors, _, above = np.array(kept).reshape(-1, 5).T
    return np.array([np.hypot(x, y), errors, np.sqrt(above)])
