"""Which crystals a lattice image could show at all: what the world holds, held against the noise of the image itself.

A crystal is visible in a patch where the noiseless picture of it alone, under the patch's window and the camera's MTF,
gives spots that stand above the threshold of the analysis; with two of them, not on one line, its lattice can be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from acquisition.analysis.patches import LONGEST, SHORTEST, Patch, Spectrum, spectrum
from acquisition.analysis.spots import FALSE_SPOTS, threshold
from simulators.beam.flooding import Sight
from simulators.constants import constants
from simulators.lattice.fringes import Grid, of_film, of_spheres
from simulators.sample.matter import Matter

_IN_LINE = np.radians(8.0)  # two spots that are nearer to one line are one row of reflections
_MOST = 6  # spots of a crystal that are looked at


@dataclass(frozen=True)
class Visible:
    """Phases of a set of patches: with at least one spot above the threshold, and with two that are not on one line."""

    one: frozenset[str]
    two: frozenset[str]


def visible(
    matter: Matter,
    sight: Sight,
    counts: NDArray[np.floating],
    bands: Mapping[str, Iterable[Patch]],
    *,
    fluence: float,
    temperature: float,
) -> dict[str, Visible]:
    """Return what could be seen in the bands of an image.

    counts: the image (rows, columns).  bands: patches by name.  fluence: m^-2, received by the middle of the frames.
    temperature: of the lamella, K.
    """

    def received(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full(np.broadcast_shapes(np.shape(x), np.shape(y)), fluence)

    rows, columns = counts.shape
    grid = Grid(sight.window.corner, (rows, columns), sight.pitch)
    scene = matter.scene(sight.window, sight.tilt, received, 0.0, temperature)
    every = [(name, patch) for name, patches in bands.items() for patch in patches]
    squares = [(name, patch, spectrum(patch.cut(counts), sight.pitch)) for name, patch in every]
    middles = np.array([(p.row + p.side / 2, p.column + p.side / 2) for _, p, _ in squares])
    found: dict[str, tuple[set[str], set[str]]] = {name: (set(), set()) for name in bands}

    def note(number: int, phase: str, spots: int) -> None:
        one, two = found[squares[number][0]]
        if spots >= 1:
            one.add(phase)
        if spots >= 2:
            two.add(phase)

    for sphere in of_spheres(scene.crystals, temperature, sight.lens, grid):
        if sphere.contrast is None:
            continue
        side = sphere.contrast.shape[0]
        off = np.abs(middles - (sphere.row + side / 2, sphere.column + side / 2)).max(axis=1)
        nearest = int(off.argmin())
        if off[nearest] <= squares[nearest][1].side / 2:
            _, patch, seen = squares[nearest]
            alone = np.zeros((patch.side, patch.side), np.float32)
            _put(alone, sphere.contrast, sphere.row - patch.row, sphere.column - patch.column)
            note(nearest, scene.crystals.phases[scene.crystals.phase[sphere.number]], _spots(alone, seen, sight.pitch))
    for film in scene.films:
        contrast = of_film(film, scene.cell, temperature, sight.lens, grid)
        if contrast is not None:
            for number, (_, patch, seen) in enumerate(squares):
                note(number, film.phase, _spots(patch.cut(contrast), seen, sight.pitch))
    return {name: Visible(frozenset(one), frozenset(two)) for name, (one, two) in found.items()}


def _put(into: NDArray[np.float32], part: NDArray[np.float32], row: int, column: int) -> None:
    """Add a square at a place, as far as it lies inside."""
    side, size = into.shape[0], part.shape[0]
    first, left = max(row, 0), max(column, 0)
    last, right = min(row + size, side), min(column + size, side)
    if first < last and left < right:
        into[first:last, left:right] += part[first - row : last - row, left - column : right - column]


def _spots(contrast: NDArray[np.floating], seen: Spectrum, pitch: float) -> int:
    """How many spots, 0, 1 or 2 that are not on one line, stand above the threshold in the spectrum of a patch."""
    side = contrast.shape[0]
    window = np.hanning(side + 2)[1:-1]
    padded = fft.next_fast_len(2 * side, real=True)
    waves = np.abs(fft.rfft2((contrast * np.outer(window, window)).astype(np.float32), s=(padded, padded)))
    half = seen.half
    power = np.concatenate([waves[-half:, : half + 1], waves[: half + 1, : half + 1]]) ** 2
    ky, kx = np.mgrid[-half : half + 1, 0 : half + 1] * seen.step
    k = np.hypot(ky, kx)
    mtf = constants("tem")["detector"]["mtf"]
    passed = np.interp(k * pitch, np.linspace(0.0, 0.5, len(mtf)), mtf) * constants("tem")["contrast"]
    ratio = power * passed**2 / np.interp(k, seen.rings, seen.background)
    ratio[(k < 1.0 / LONGEST) | (k > 1.0 / SHORTEST)] = 0.0
    floor, angles = threshold(FALSE_SPOTS, seen.side), []
    for _ in range(_MOST):
        place = np.unravel_index(int(ratio.argmax()), ratio.shape)
        if ratio[place] <= floor:
            break
        angles.append(float(np.arctan2(ky[place], kx[place])))
        ratio[np.hypot(ky - ky[place], kx - kx[place]) < 0.4e9] = 0.0
    if not angles:
        return 0
    between = np.abs(np.angle(np.exp(2j * (np.array(angles) - angles[0])))) / 2.0
    return 2 if np.any(between > _IN_LINE) else 1
