"""What is amorphous, in a lattice image: a random field with the power spectrum that its atoms give.

Slices of it are independent of one another: their pictures, each at its own defocus, add up to one field with the mean
of their power spectra.  It is drawn on pixels that are fixed in the lamella, so that a place looks the same again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.constants import Planck, electron_mass, elementary_charge

from physics.elastic import form_factor
from physics.glass import structure_factor
from simulators.lattice.fringes import Grid, between
from simulators.lattice.lens import Lens

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

SLICES = 16
_POTENTIAL = Planck**2 / (2.0 * math.pi * electron_mass * elementary_charge)  # V m^2: projected potential of f_e
_TYPICAL = 2.7e9  # 1/m, the first sharp peak: where elements are weighed against one another
_TILE = 256  # pixels a side that are drawn together
_FINE = 16384  # steps of a spectrum
_BLOCK = 128  # rows that are filtered at a time


def glass(
    atoms: Mapping[str, Array], cell: float, thickness: float, lens: Lens, grid: Grid, key: tuple[int, ...]
) -> Floats:
    """Contrast of something amorphous over the picture.

    atoms: element -> per m^2, maps of square cells of this side, m, that begin at the corner of the picture.
    thickness: in which they are spread about the middle of the sample, m.  key: what the structure is drawn from.
    One spectrum holds for the picture, that of all its atoms; its strength is that of the atoms of the place.
    """
    there = {element: areal for element, areal in atoms.items() if np.any(areal > 0.0)}
    if not there:
        return np.zeros(grid.shape, np.float32)
    strength = np.zeros(next(iter(there.values())).shape)
    for element, areal in there.items():
        strength += areal * float(form_factor(element, _TYPICAL)) ** 2
    mean = {element: float(areal.mean()) for element, areal in there.items()}
    whole = sum(share * float(form_factor(element, _TYPICAL)) ** 2 for element, share in mean.items())

    longest = lens.limit(grid.pitch)
    moved = float(np.max(np.abs(lens.shift(np.linspace(0.0, longest, 257)))))
    margin = min(math.ceil(moved / grid.pitch), min(grid.shape))  # the lens brings in what lies beside the picture
    shape = tuple(scipy.fft.next_fast_len(n + 2 * margin, real=True) for n in grid.shape)
    origin = tuple(corner / grid.pitch - margin for corner in grid.corner)
    first = tuple(math.floor(start) for start in origin)
    field = _noise(shape, (first[1], first[0]), (*key, round(grid.pitch * 1e15)))
    field *= spread(np.sqrt(strength), cell, grid, (shape[0], shape[1]), margin)

    k = np.linspace(0.0, math.sqrt(0.5) / grid.pitch, _FINE)
    spectrum = np.sqrt(sum(share * form_factor(element, k) ** 2 for element, share in mean.items()) / whole)
    spectrum = spectrum * np.sqrt(structure_factor(k)) * _POTENTIAL / grid.pitch * mean_transfer(lens, k, thickness)
    waves = scipy.fft.rfft2(field, workers=2)
    _filter(waves, shape, spectrum, grid.pitch, (origin[1] - first[1], origin[0] - first[0]))
    field = scipy.fft.irfft2(waves, shape, overwrite_x=True, workers=2)
    return np.ascontiguousarray(field[margin : margin + grid.shape[0], margin : margin + grid.shape[1]])


def mean_transfer(lens: Lens, k: Array, thickness: float) -> Array:
    """Root of the mean square of the transfer over slices of a thickness, m, with the sign of the middle's."""
    depths = ((np.arange(SLICES) + 0.5) / SLICES - 0.5) * thickness
    square = sum(lens.transfer(k, depth) ** 2 for depth in depths) / SLICES
    return np.copysign(np.sqrt(square), lens.transfer(k))


def _noise(shape: tuple[int, ...], first: tuple[int, ...], key: tuple[int, ...]) -> Floats:
    """Normal deviates of pixels that are counted from a corner far away; first: row and column."""
    field = np.empty(shape, np.float32)
    rows, columns = (range(start // _TILE, (start + n - 1) // _TILE + 1) for start, n in zip(first, shape, strict=True))

    def draw(row: int) -> None:
        for column in columns:
            seed = np.random.SeedSequence([*key, row % 2**32, column % 2**32])
            drawn = np.random.Generator(np.random.SFC64(seed)).standard_normal((_TILE, _TILE), dtype=np.float32)
            top, left = row * _TILE - first[0], column * _TILE - first[1]
            part = drawn[max(-top, 0) : max(shape[0] - top, 0), max(-left, 0) : max(shape[1] - left, 0)]
            top, left = max(top, 0), max(left, 0)
            field[top : top + part.shape[0], left : left + part.shape[1]] = part

    with ThreadPoolExecutor(2) as both:
        list(both.map(draw, rows))
    return field


def spread(values: Array, cell: float, grid: Grid, shape: tuple[int, int] | None = None, margin: int = 0) -> Floats:
    """A map over the pixels of the picture, straight from cell to cell; beyond it, as it ends.

    shape: of the pixels, if they are more than the picture's, with so many before it along both sides.
    """
    shape = shape or grid.shape
    step = grid.pitch / cell
    top, down = between(shape[0], step, values.shape[0], -margin * step)
    left, across = between(shape[1], step, values.shape[1], -margin * step)
    wide = values[:, left] * (1.0 - across) + values[:, np.minimum(left + 1, values.shape[1] - 1)] * across
    wide = wide.astype(np.float32)
    share = down.astype(np.float32)[:, None]
    pixels = np.empty(shape, np.float32)
    for row in np.unique(top).tolist():
        band = slice(*np.searchsorted(top, [row, row + 1]))
        pixels[band] = wide[row] + share[band] * (wide[min(row + 1, len(wide) - 1)] - wide[row])
    return pixels


def _filter(
    waves: NDArray[np.complex64], shape: tuple[int, ...], spectrum: Array, pitch: float, apart: tuple[float, float]
) -> None:
    """Give white noise its spectrum (steps of frequency up to the corner), and move it back by parts of a pixel."""
    ky, kx = scipy.fft.fftfreq(shape[0]), scipy.fft.rfftfreq(shape[1])
    amplitude = spectrum.astype(np.float32)
    scale = np.float32((len(spectrum) - 1) / math.sqrt(0.5))
    across, down = np.exp(2j * np.pi * kx * apart[1]), np.exp(2j * np.pi * ky * apart[0])
    kx2, turn = (kx**2).astype(np.float32), across.astype(np.complex64)
    for start in range(0, shape[0], _BLOCK):
        part = slice(start, min(start + _BLOCK, shape[0]))
        k = np.sqrt(kx2[None, :] + (ky[part] ** 2).astype(np.float32)[:, None])
        k *= scale
        waves[part] *= amplitude[(k + np.float32(0.5)).astype(np.int32)]
        waves[part] *= turn
        waves[part] *= down[part, None].astype(np.complex64)
