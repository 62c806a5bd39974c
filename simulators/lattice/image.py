"""Images of the lattice: what a parallel beam and an objective lens make of a scene, and what the camera counts.

First Born approximation in slices: every crystal at its own depth, what is amorphous in 16 slices; contrasts add up.
It holds to about 50 nm of light elements. On top of it the mean falls by what is scattered beyond the objective
aperture, so that lithium is bright and whatever holds heavier atoms is darker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from physics.crystals import crystal
from physics.elastic import cross_section
from simulators.constants import constants
from simulators.lattice.fringes import Grid, of_film, of_spheres
from simulators.lattice.glass import glass, spread
from simulators.lattice.lens import Lens
from simulators.sample.scene import Scene

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

_WIDEST = 0.3  # rad; beyond, nothing is scattered


def intensity(scene: Scene, lens: Lens, shape: tuple[int, int], pitch: float) -> NDArray[np.float32]:
    """Electrons that reach each pixel, over those that would without a sample: 1 in vacuum, without noise.

    shape: (rows, columns) of pixels of this pitch, m, that begin at the corner of the scene's window.
    """
    grid = Grid(scene.window.corner, shape, pitch)
    lost = {element: _lost(element, lens) for element in scene.glass}
    inside = scene.thickness[scene.thickness > 0.0]
    image = glass(scene.glass, scene.cell, float(inside.mean()) if inside.size else 0.0, lens, grid, scene.key)
    absorbed = sum((areal * lost[element] for element, areal in scene.glass.items()), np.zeros(scene.thickness.shape))
    for film in scene.films:
        absorbed += film.depth * _per_metre(film.phase, scene.temperature, lens)
        fringes = of_film(film, scene.cell, scene.temperature, lens, grid)
        if fringes is not None:
            image += fringes
    depth = spread(absorbed, scene.cell, grid)
    per_metre = [np.float32(_per_metre(phase, scene.temperature, lens)) for phase in scene.crystals.phases]
    for patch in of_spheres(scene.crystals, scene.temperature, lens, grid):
        of_image, of_patch = _overlap(patch.row, patch.column, patch.path.shape, shape)
        if patch.contrast is not None:
            image[of_image] += patch.contrast[of_patch]
        depth[of_image] += patch.path[of_patch] * per_metre[scene.crystals.phase[patch.number]]
    image *= np.float32(constants("tem")["contrast"])
    image += 1.0
    np.maximum(image, 0.0, out=image)
    np.negative(depth, out=depth)
    image *= np.exp(depth, out=depth)
    return image


@dataclass(frozen=True)
class Detector:
    """A camera below the column.

    mtf: of signal, at equal steps from 0 to the Nyquist frequency.  gain: counts per electron.  read_noise: counts
    rms.  depth: bits a pixel.
    """

    mtf: tuple[float, ...]
    gain: float
    read_noise: float
    depth: int

    @classmethod
    def of_column(cls) -> Detector:
        """That of the simulated column (data/tem.yaml)."""
        numbers: Mapping[str, object] = constants("tem")["detector"]
        return cls(**{**numbers, "mtf": tuple(numbers["mtf"])})  # type: ignore[arg-type]


def counted(
    intensity: NDArray[np.float32], electrons: float, detector: Detector, random: np.random.Generator
) -> NDArray[np.int32]:
    """What the camera counts of an image, (rows, columns).

    intensity: as of intensity().  electrons: a pixel, without a sample.
    """
    ky, kx = scipy.fft.fftfreq(intensity.shape[0]), scipy.fft.rfftfreq(intensity.shape[1])
    steps = np.linspace(0.0, 0.5, len(detector.mtf))
    waves = scipy.fft.rfft2(intensity.astype(np.float32, copy=False), workers=2)
    for row, down in zip(waves, ky, strict=True):
        row *= np.interp(np.hypot(kx, down), steps, detector.mtf).astype(np.float32)
    expected = scipy.fft.irfft2(waves, intensity.shape, overwrite_x=True, workers=2)
    expected *= np.float32(electrons)
    np.maximum(expected, 0.0, out=expected)
    counts = random.poisson(expected).astype(np.float32)
    counts *= np.float32(detector.gain)
    noise = random.standard_normal(counts.shape, dtype=np.float32)
    noise *= np.float32(detector.read_noise)
    counts += noise
    np.clip(np.rint(counts, out=counts), 0.0, 2.0**detector.depth - 1.0, out=counts)
    return np.asarray(counts.astype(np.int32))


def _lost(element: str, lens: Lens) -> float:
    """Cross-section, m^2, of an atom for scattering beyond the objective aperture."""
    return cross_section(element, lens.beam_energy, lens.aperture, _WIDEST) if lens.aperture < _WIDEST else 0.0


def _per_metre(phase: str, temperature: float, lens: Lens) -> float:
    """Scatterings beyond the aperture per metre of a crystal."""
    one = crystal(phase)
    return sum(atom.filling * _lost(atom.element, lens) for atom in one.atoms) / one.volume(temperature)


def _overlap(
    row: int, column: int, size: tuple[int, ...], shape: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a patch lies in an image, and which part of the patch that is."""
    whole, part = [], []
    for start, length, limit in zip((row, column), size, shape, strict=True):
        low, high = max(start, 0), max(min(start + length, limit), 0)
        whole.append(slice(min(low, limit), high))
        part.append(slice(min(low, limit) - start, high - start))
    return (whole[0], whole[1]), (part[0], part[1])
