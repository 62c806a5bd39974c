"""Explicit atoms, and the projected potentials of slices through them: what stands behind reflections and glass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.constants import Planck, electron_mass, elementary_charge

from physics.crystals import crystal
from physics.elastic import form_factor
from physics.materials import material

Array = NDArray[np.float64]
POTENTIAL = Planck**2 / (2.0 * np.pi * electron_mass * elementary_charge)  # V m^2


@dataclass(frozen=True)
class Atoms:
    """Atoms in a box that repeats along x and y: places, m, (n, 3), and the element of each."""

    places: Array
    elements: NDArray[np.str_]

    def where(self, which: NDArray[np.bool_]) -> Atoms:
        return Atoms(self.places[which], self.elements[which])

    def with_others(self, others: Atoms) -> Atoms:
        return Atoms(np.concatenate([self.places, others.places]), np.concatenate([self.elements, others.elements]))


def sphere(phase: str, radius: float, centre: Array, turn: Array, temperature: float) -> Atoms:
    """A sphere of a crystal, its cell's corner in the middle."""
    one = crystal(phase)
    cell = one.cell(temperature)
    reach = int(np.ceil(radius / min(1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)))) + 1
    cells = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    fractions = cells[:, None, :] + np.array([atom.place for atom in one.atoms])
    places = (fractions.reshape(-1, 3) @ cell) @ turn.T
    elements = np.tile([atom.element for atom in one.atoms], len(cells))
    inside = np.linalg.norm(places, axis=1) < radius
    return Atoms(places[inside] + centre, elements[inside])


def glass(name: str, size: tuple[float, float, float], random: np.random.Generator) -> Atoms:
    """Atoms of a material in a box, one anywhere in each of equal cells; z from minus to plus half its height.

    So there are no voids and no clusters, as in a glass, and no lattice: uniform in a cell, its reflections are absent.
    """
    densities = material(name).number_densities
    whole = sum(densities.values())
    counts = [max(round(side * whole ** (1.0 / 3.0)), 1) for side in size]
    cells = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), axis=-1).reshape(-1, 3)
    places = ((cells + random.random(cells.shape)) / counts - [0.0, 0.0, 0.5]) * size
    elements = random.choice(list(densities), len(cells), p=[density / whole for density in densities.values()])
    return Atoms(places, elements)


def gas(name: str, size: tuple[float, float, float], random: np.random.Generator) -> Atoms:
    """Atoms of a material anywhere in a box, however near to one another; z as of glass()."""
    elements = []
    for element, density in material(name).number_densities.items():
        elements += [element] * round(density * float(np.prod(size)))
    places = (random.random((len(elements), 3)) - [0.0, 0.0, 0.5]) * size
    return Atoms(places, np.array(elements))


def slices(
    atoms: Atoms, side: float, pixels: int, thickness: float, number: int, vibration: float = 0.0
) -> tuple[NDArray[np.float32], Array]:
    """Projected potentials, V m, of equally thick slices of a square box, (number, pixels, pixels), and their depths.

    vibration: B of exp(-B k^2/4), m^2.
    """
    pitch = side / pixels
    k = np.hypot(scipy.fft.fftfreq(pixels, pitch)[:, None], scipy.fft.rfftfreq(pixels, pitch)[None, :])
    steps = scipy.fft.fftfreq(pixels)[:, None], scipy.fft.rfftfreq(pixels)[None, :]
    spread = (np.sinc(steps[0]) * np.sinc(steps[1])) ** 2  # each atom is shared by the four pixels around it
    radial = np.linspace(0.0, k.max(), 4096)
    layer = np.clip(((atoms.places[:, 2] / thickness + 0.5) * number).astype(int), 0, number - 1)
    potentials = np.zeros((number, pixels, pixels), np.float32)
    form = {
        element: np.interp(k, radial, form_factor(element, radial) * np.exp(-vibration * radial**2 / 4.0))
        for element in np.unique(atoms.elements).tolist()
    }
    for one in range(number):
        wave = 0.0
        for element, factor in form.items():
            mine = atoms.places[(layer == one) & (atoms.elements == element), :2] / pitch - 0.5  # middles of pixels
            low = np.floor(mine).astype(int)
            part = mine - low
            count = np.zeros(pixels * pixels)
            for row in (0, 1):
                for column in (0, 1):
                    weight = np.abs(1 - row - part[:, 1]) * np.abs(1 - column - part[:, 0])
                    place = (low[:, 1] + row) % pixels * pixels + (low[:, 0] + column) % pixels
                    count += np.bincount(place, weight, minlength=pixels * pixels)
            wave = wave + scipy.fft.rfft2(count.reshape(pixels, pixels)) * factor
        potentials[one] = scipy.fft.irfft2(wave / spread * POTENTIAL / pitch**2, (pixels, pixels))
    return potentials, ((np.arange(number) + 0.5) / number - 0.5) * thickness
