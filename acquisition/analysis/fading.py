"""What the beam does to a lattice while it is looked at: frames laid upon one another, spots first against last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, stats

from acquisition.analysis.layers import Seen
from acquisition.analysis.patches import Patch, spectrum

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

_REACH = 4e-9  # m that a frame may be off the first
_BAND = 0.4e9, 4.5e9  # 1/m: what frames are laid upon one another by
_SURE = 8.0  # standard deviations of the correlation that are believed
_DRAWS = 300


@dataclass(frozen=True)
class Aligned:
    """Frames laid upon the first.

    shifts: how far the sample moved in each, x and y in m; None where that was not seen.
    """

    total: Floats
    shifts: tuple[tuple[float, float] | None, ...]


@dataclass(frozen=True)
class Fading:
    """How much of the amplitude of lattice fringes was lost between the first and the last frames, with its 95 %."""

    lost: float
    low: float
    high: float
    spots: int


def align(frames: Sequence[NDArray[np.floating]], pitch: float, kept: int) -> Aligned:
    """Measure how the sample moved in frames (rows, columns) of counts, and sum the first `kept` of them, moved back.

    pitch: m. By the correlation of all detail from 0.2 to 2.5 nm with that of the first frame; a frame whose
    correlation does not stand out of the noise is left out.
    """
    shape = frames[0].shape
    kx, ky = fft.rfftfreq(shape[1], pitch)[None, :], fft.fftfreq(shape[0], pitch)[:, None]
    length = np.hypot(kx, ky)
    detail = ((length > _BAND[0]) & (length < _BAND[1])).astype(np.float32)
    first = fft.rfft2(frames[0].astype(np.float32), workers=2)
    total, shifts = first.copy(), [(0.0, 0.0)]
    found: list[tuple[float, float] | None] = list(shifts)
    for number, frame in enumerate(frames[1:], start=1):
        wave = fft.rfft2(frame.astype(np.float32), workers=2)
        correlation = fft.irfft2(np.conj(first) * wave * detail, shape, workers=2)
        shift = _peak(correlation, pitch)
        found.append(shift)
        if shift is not None and number < kept:
            total += wave * np.exp(2j * math.pi * (kx * shift[0] + ky * shift[1])).astype(np.complex64)
    summed = fft.irfft2(total, shape, workers=2) if kept > 1 else frames[0]
    return Aligned(np.asarray(summed, dtype=np.float32), tuple(found))


def fading(
    seen: Sequence[Seen],
    first: Sequence[tuple[NDArray[np.floating], tuple[float, float]]],
    last: Sequence[tuple[NDArray[np.floating], tuple[float, float]]],
    pitch: float,
) -> Fading | None:
    """Compare the spots of some crystals of one image in its first and its last frames.

    first, last: frames (rows, columns) of counts, and how far the sample had moved in each, m.  pitch: m. The power of
    each spot less what the film around it gives; None without a spot.
    """
    power = []
    for each in seen:
        k = each.looked.spots.k[list(each.verdict.crystal.spots)]
        power.append(np.stack([_power(frames, each.looked.square, k, pitch) for frames in (first, last)], axis=1))
    if not power:
        return None
    table = np.concatenate(power)
    random = np.random.default_rng(0)
    drawn = table[random.integers(0, len(table), (_DRAWS, len(table)))].sum(axis=1)
    lost = 1 - np.sqrt(np.maximum(drawn[:, 1], 0.0) / np.maximum(drawn[:, 0], 1e-30))
    before, after = table.sum(axis=0)
    low, high = np.quantile(lost, [0.025, 0.975])
    return Fading(1 - math.sqrt(max(after, 0.0) / max(before, 1e-30)), float(low), float(high), len(table))


def appeared(before: int, after: int) -> bool:
    """Whether more was seen in as many patches afterwards than before, at 95 %."""
    return bool(after > before and stats.binom.sf(after - 1, before + after, 0.5) < 0.05)


def _peak(correlation: Floats, pitch: float) -> tuple[float, float] | None:
    """The highest place of a correlation within reach, x and y in m, to a fraction of a pixel."""
    reach = min(int(_REACH / pitch), min(correlation.shape) // 2 - 2)
    part = np.roll(correlation, (reach, reach), axis=(0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    row, column = np.unravel_index(int(np.argmax(part)), part.shape)
    noise = float(np.std(correlation[:: max(correlation.shape[0] // 512, 1)]))
    if not part[row, column] > _SURE * noise or not (0 < row < 2 * reach and 0 < column < 2 * reach):
        return None
    moved = []
    for before, middle, after, place in (
        (part[row, column - 1], part[row, column], part[row, column + 1], column),
        (part[row - 1, column], part[row, column], part[row + 1, column], row),
    ):
        bend = float(before) - 2 * float(middle) + float(after)
        moved.append((int(place) - reach + (0.5 * float(before - after) / bend if bend < 0 else 0.0)) * pitch)
    return moved[0], moved[1]


def _power(
    frames: Sequence[tuple[NDArray[np.floating], tuple[float, float]]], square: Patch, k: Array, pitch: float
) -> Array:
    """Mean power of spots at k (n, 2) over some frames, less that of the film, (n,)."""
    window = np.hanning(square.side + 2)[1:-1]
    x = np.arange(square.side) * pitch
    across, down = (window * np.exp(-2j * math.pi * np.outer(one, x)) for one in k.T)
    values = []
    for frame, moved in frames:
        right, below = (round(one / pitch) for one in moved)
        row = min(max(square.row + below, 0), frame.shape[0] - square.side)
        column = min(max(square.column + right, 0), frame.shape[1] - square.side)
        pixels = Patch(row, column, square.side).cut(frame).astype(np.float64)
        seen = spectrum(pixels, pitch)
        mean = float(window @ pixels @ window) / window.sum() ** 2
        spots = np.abs(((down @ (pixels / mean - 1)) * across).sum(axis=1)) ** 2
        values.append(spots - np.interp(np.hypot(*k.T), seen.rings, seen.background))
    return np.asarray(np.mean(values, axis=0))
