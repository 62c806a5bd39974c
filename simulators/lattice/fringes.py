"""Lattice fringes of spheres and of films: the reflections of each, with the path that the beam has in it.

A reflection is as strong as the integral of exp(2 pi i e z) over the path says, with its excitation error e; where it
is strong it beats with the beam that was not diffracted (two beams, Reimer and Kohl, chapter 7). The reflections g and
-g are not alike where the crystal is not exactly on its zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from physics.crystals import reflections
from physics.electrons import interaction_constant
from simulators.lattice.lens import Lens, pictures
from simulators.sample.scene import CrystalFilm, Crystals

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

_LOBES = 2.5  # excitation errors looked at in a sphere, over 1/diameter
_FAINT = 0.002  # contrast; a reflection that can give no more is left out
_WIDTH = 128  # columns multiplied at a time: few enough that BLAS starts no threads, which wait for one another
_TOGETHER = 24  # spheres whose pictures are made at once


@dataclass(frozen=True)
class Grid:
    """The pixels of a picture: corner with the least x and y, m; (rows, columns); m a pixel."""

    corner: tuple[float, float]
    shape: tuple[int, int]
    pitch: float

    def centres(self, axis: int) -> Array:
        """x (axis 0) or y (axis 1) of the middles of the pixels, m."""
        return np.asarray(self.corner[axis] + (np.arange(self.shape[1 - axis]) + 0.5) * self.pitch, np.float64)


@dataclass(frozen=True)
class Patch:
    """What one sphere does to a picture: path, m, and contrast of the square of pixels with this first row and column.

    number: of the sphere.  contrast: None where the sphere diffracts nothing that is seen.
    """

    number: int
    row: int
    column: int
    path: Floats
    contrast: Floats | None


@dataclass(frozen=True)
class _Beams:
    """Reflections of one crystal in the frame of the beam: g across it, 1/m, (n, 2), error e, 1/m, and V_g, V."""

    g: Array
    error: Array
    potential: NDArray[np.complex128]

    @classmethod
    def of(cls, phase: str, turn: Array, temperature: float, lens: Lens, longest: float) -> _Beams:
        """All that reach the picture."""
        found = reflections(phase, temperature, longest)
        g = found.g @ turn.T
        return cls(g[:, :2], g[:, 2] + lens.wavelength * (g[:, :2] ** 2).sum(axis=1) / 2.0, found.potential)

    def strong(self, path: float, lens: Lens, lobes: float = np.inf, left: float = 1.0) -> _Beams:
        """Those that a path, m, makes strong enough to be seen, with what is left of their amplitude."""
        potential = self.potential * left
        strength = interaction_constant(lens.beam_energy) * np.abs(potential)
        beating = np.hypot(self.error, strength / np.pi)
        reach = 2.0 * strength * np.minimum(path, 1.0 / (np.pi * beating)) * lens.envelope(np.hypot(*self.g.T))
        seen = (reach > _FAINT) & (np.abs(self.error) * path < lobes)
        return _Beams(self.g[seen], beating[seen], potential[seen])


def of_spheres(crystals: Crystals, temperature: float, lens: Lens, grid: Grid) -> Iterator[Patch]:
    """The patches of all spheres that have a reflection or a path in the picture, one after the other."""
    longest = lens.limit(grid.pitch)
    if len(crystals) == 0:
        return
    k, depth = np.linspace(0.0, longest, 257), crystals.centre[:, 2]
    margin = max(float(np.max(np.abs(lens.shift(k, z)))) for z in (depth.min(), depth.max()))
    sides = [_side(2.0 * (radius + margin) / grid.pitch) for radius in crystals.radius]
    order = np.argsort(sides, kind="stable")
    runs = np.split(order, np.flatnonzero(np.diff(np.asarray(sides)[order])) + 1)
    chunks = [run[i : i + _TOGETHER] for run in runs for i in range(0, len(run), _TOGETHER)]

    def draw(chunk: NDArray[np.intp]) -> list[Patch]:
        slices = np.zeros((len(chunk), sides[chunk[0]], sides[chunk[0]]), np.complex64)
        places: list[tuple[int, int, Floats]] = []
        seen: list[int] = []
        for number in chunk.tolist():
            row, column, path, diffracts = _sphere(
                crystals, number, temperature, lens, grid, longest, slices[len(seen)]
            )
            places.append((row, column, path))
            seen += [number] if diffracts else []
        contrasts = pictures(slices[: len(seen)], depth[seen], lens, grid.pitch) if seen else ()
        of = dict(zip(seen, contrasts, strict=True))
        return [Patch(number, *place, of.get(number)) for number, place in zip(chunk.tolist(), places, strict=True)]

    with ThreadPoolExecutor(2) as both:
        for patches in both.map(draw, chunks):
            yield from patches


def _side(pixels: float) -> int:
    """A size that transforms quickly, of few sizes in all."""
    return int(scipy.fft.next_fast_len(int(np.ceil(pixels / 16.0)) * 16 + 4))


def _sphere(
    crystals: Crystals,
    number: int,
    temperature: float,
    lens: Lens,
    grid: Grid,
    longest: float,
    layer: NDArray[np.complex64],
) -> tuple[int, int, Floats, bool]:
    """Draw the projected potential of a sphere into a square: its first row and column, path, m, if there is any."""
    x, y, _ = crystals.centre[number]
    radius = float(crystals.radius[number])
    side = len(layer)
    column, row = (
        int(np.floor((place - corner) / grid.pitch - side / 2.0))
        for place, corner in zip((x, y), grid.corner, strict=True)
    )
    path = np.zeros((side, side), np.float32)
    inner = int(np.ceil(radius / grid.pitch)) + 1
    part = slice(side // 2 - inner, side // 2 + inner + 1)
    steps = (np.arange(side) + 0.5)[part] * grid.pitch
    across, down = grid.corner[0] + column * grid.pitch + steps - x, grid.corner[1] + row * grid.pitch + steps - y
    inside = np.maximum(radius**2 - (across**2)[None, :] - (down**2)[:, None], 0.0)
    chord = 2.0 * np.sqrt(inside).astype(np.float32)
    path[part, part] = chord
    beams = _Beams.of(crystals.phases[crystals.phase[number]], crystals.turn[number], temperature, lens, longest)
    beams = beams.strong(2.0 * radius, lens, _LOBES, float(crystals.left[number]))
    columns = np.exp(2j * np.pi * np.outer(beams.g[:, 0], across))
    columns = (columns * (beams.potential / (np.pi * beams.error))[:, None]).astype(np.complex64)
    rows = np.exp(2j * np.pi * np.outer(beams.g[:, 1], down)).astype(np.complex64)
    for column_wave, row_wave, error in zip(columns, rows, beams.error, strict=True):
        wave = row_wave[:, None] * column_wave
        wave *= np.sin(np.float32(np.pi * error) * chord)
        layer[part, part] += wave
    return row, column, path, len(beams.g) > 0


def of_film(film: CrystalFilm, cell: float, temperature: float, lens: Lens, grid: Grid) -> Floats | None:
    """Contrast of a film over the picture, whose corner is that of the film's maps; None if it gives none.

    Each reflection is a plane wave times a path that changes little from pixel to pixel, in the middle of the sample.
    """
    longest = lens.limit(grid.pitch)
    deepest = float(film.depth.max(initial=0.0))
    if not deepest > 0.0:
        return None
    beams = _Beams.of(film.phase, film.turn, temperature, lens, longest).strong(deepest, lens)
    if not len(beams.g):
        return None
    k = np.hypot(*beams.g.T)
    factor = 2j * interaction_constant(lens.beam_energy) * np.exp(-1j * lens.aberration(k)) * lens.envelope(k)
    path = np.sin(np.pi * beams.error[:, None, None] * film.depth) / (np.pi * beams.error[:, None, None])
    maps = (factor * beams.potential)[:, None, None] * path * film.left
    columns = np.exp(2j * np.pi * np.outer(beams.g[:, 0], grid.centres(0)))
    rows = np.exp(2j * np.pi * np.outer(grid.centres(1), beams.g[:, 1]))
    rows = np.concatenate([rows.real, -rows.imag], axis=1).astype(np.float32)
    cells = film.depth.shape
    before, share = between(grid.shape[1], grid.pitch / cell, cells[1])
    after = np.minimum(before + 1, cells[1] - 1)

    def along(row: int) -> Floats:
        """The waves of a row of the map, real parts and then imaginary ones, (2 beams, columns)."""
        waves = (maps[:, row, before] * (1.0 - share) + maps[:, row, after] * share) * columns
        return np.concatenate([waves.real, waves.imag]).astype(np.float32)

    contrast = np.empty(grid.shape, np.float32)
    lower, part = between(grid.shape[0], grid.pitch / cell, cells[0])
    starts = range(0, grid.shape[1], _WIDTH)
    for row in np.unique(lower).tolist():
        band = np.flatnonzero(lower == row)
        weight = part[band, None].astype(np.float32)
        both = np.concatenate([rows[band] * (1 - weight), rows[band] * weight], axis=1)
        waves = np.concatenate([along(row), along(min(row + 1, cells[0] - 1))])
        for start in starts:
            contrast[band, start : start + _WIDTH] = both @ waves[:, start : start + _WIDTH]
    return contrast


def between(pixels: int, step: float, cells: int, start: float = 0.0) -> tuple[NDArray[np.intp], Array]:
    """The cell before the middle of each pixel and how far it is to the next; start: of the first pixel, cells."""
    place = np.clip(start + (np.arange(pixels) + 0.5) * step - 0.5, 0.0, cells - 1.0)
    low = np.minimum(place.astype(np.intp), max(cells - 2, 0))
    return low, place - low
