"""Scenes made by hand, and the frequencies that a picture holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from physics.crystals import crystal
from physics.materials import material
from simulators.constants import constants
from simulators.lattice.lens import Lens
from simulators.sample.scene import CrystalFilm, Crystals, Scene, Window

Array = NDArray[np.float64]
PITCH = 0.4e-10  # m
SIDE = 320  # pixels: 12.8 nm
CONTRAST = float(constants("tem")["contrast"])
MIDDLE = SIDE * PITCH / 2.0
COLD = 100.0  # K


def lens(defocus: float = 42e-9, energy: float = 200e3, spherical: float = 1e-6) -> Lens:
    return Lens(energy, defocus, spherical, spread=3e-9, source=0.2e-3)


def about(axis: Sequence[float], angle: float) -> Array:
    """The rotation by an angle, rad, about an axis."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross)


def zone(phase: str, indices: Sequence[int], temperature: float = COLD) -> Array:
    """The turn that brings a direction [uvw] of a crystal into the beam."""
    axis = np.asarray(indices) @ crystal(phase).cell(temperature)
    axis = axis / np.linalg.norm(axis)
    side = np.cross(axis, [1.0, 0.0, 0.0] if abs(axis[0]) < 0.9 else [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    return np.array([side, np.cross(axis, side), axis])


def glass(name: str, thickness: float, cells: int = 16) -> dict[str, Array]:
    """A material as something amorphous, everywhere."""
    return {element: np.full((cells, cells), n * thickness) for element, n in material(name).number_densities.items()}


def spheres(phase: str, turns: Array, radius: float = 3e-9, left: float = 1.0, z: float = 0.0) -> Crystals:
    """One sphere in the middle of the picture for each turn."""
    n = len(turns)
    return Crystals(
        (phase,),
        np.zeros(n, np.intp),
        np.tile([MIDDLE, MIDDLE, z], (n, 1)),
        np.full(n, radius),
        np.asarray(turns),
        np.full(n, left),
    )


def scene(
    crystals: Crystals | None = None,
    amorphous: Mapping[str, Array] | None = None,
    films: tuple[CrystalFilm, ...] = (),
    *,
    thickness: float = 0.0,
    corner: tuple[float, float] = (0.0, 0.0),
    side: float = SIDE * PITCH,
    key: int = 1,
    temperature: float = COLD,
) -> Scene:
    shape = next(iter(amorphous.values())).shape if amorphous else films[0].depth.shape if films else (16, 16)
    return Scene(
        window=Window(corner, (side, side)),
        cell=side / shape[1],
        thickness=np.full(shape, thickness),
        glass=amorphous or {},
        films=films,
        crystals=crystals if crystals is not None else spheres("Li2O", np.empty((0, 3, 3))),
        temperature=temperature,
        key=(key,),
    )


def spectrum(image: Array, pitch: float = PITCH) -> tuple[Array, Array, Array]:
    """Amplitude of the frequencies of a square image under a Hann window, and their kx and ky, 1/m; kx from 0 on."""
    window = np.hanning(len(image))
    amplitude = np.abs(np.fft.rfft2((image - image.mean()) * window[:, None] * window))
    ky, kx = np.fft.fftfreq(len(image), pitch), np.fft.rfftfreq(len(image), pitch)
    return amplitude, *np.broadcast_arrays(kx[None, :], ky[:, None])


def spots(image: Array, pitch: float = PITCH, over: float = 0.15) -> Array:
    """kx and ky, 1/m, of spots stronger than a share of the strongest, to parts of a pixel, strongest first, (n, 2)."""
    amplitude, kx, ky = spectrum(image, pitch)
    rest = np.where(np.hypot(kx, ky) > 2e9, amplitude, 0.0)
    least, step, found = over * rest.max(), 1.0 / (len(image) * pitch), []
    while rest.max() > least:
        row, column = np.unravel_index(rest.argmax(), rest.shape)
        near = np.hypot(kx - kx[row, column], ky - ky[row, column]) < 6.5 * step
        again = np.hypot(kx + kx[row, column], ky + ky[row, column]) < 6.5 * step
        weight = np.where(np.hypot(kx - kx[row, column], ky - ky[row, column]) < 3.5 * step, amplitude**2, 0.0)
        found.append([np.average(kx, weights=weight), np.average(ky, weights=weight)])
        rest[near | again] = 0.0
    return np.array(found).reshape(-1, 2)
