"""The slab that was cut out of the film: how thick it is, and where the interface runs in it.

The frame of the lamella: x along the film normal, y along the interface, z along the beam at no tilt, all in m; z = 0
in the middle of the slab, x = 0 as in the sample file. The goniometer turns it about the line x = `pivot`, z = 0: what
lies at (x, y, z) then stands at x cos a - z sin a in the frame of the beam, counted from that line, so that an inclined
interface is edge-on once a is its inclination.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from simulators.sample.file import Sample
from simulators.sample.stack import Contact, Wedge

Array = NDArray[np.float64]

STEP = 2e-9  # m along the interface and in depth
_SOME = 16  # rows from one to the next that stand for all
_LENGTH = 4096  # steps; the relief repeats after 8 um, more than any scan field


@dataclass(frozen=True)
class Relief:
    """How far the interface stands off its mean plane, m: rows along y, columns in depth, the middle one at z = 0."""

    surface: Array

    @classmethod
    def of(cls, contact: Contact, thickness: float, random: np.random.Generator) -> Relief:
        """A Gaussian surface with the rms of the contact and the correlation exp(-r^2/l^2)."""
        if contact.roughness == 0.0:
            return cls(np.zeros((1, 1)))
        depth, spread = max(round(thickness / STEP), 1), contact.correlation / 2.0 / STEP
        beside = int(np.ceil(2.0 * spread))  # left out again: at the rim of what is filtered it is rougher
        noise = random.standard_normal((_LENGTH, depth + 2 * beside))
        surface = gaussian_filter(noise, spread, mode=("wrap", "reflect"))[:, beside : beside + depth]
        return cls(surface * (contact.roughness / surface.std()))

    def at(self, y: Array, z: Array) -> Array:
        """How far it stands off at places along the interface and in depth, m; shapes as broadcast."""
        row = np.floor(y / STEP).astype(np.intp) % len(self.surface)
        column = np.floor(z / STEP + self.surface.shape[1] / 2.0).astype(np.intp)
        found: Array = self.surface[row, np.clip(column, 0, self.surface.shape[1] - 1)]
        return found

    def shift(self, cut: Wedge) -> Array:
        """How far it stands off along y, as a mean over the depth of the lamella there, m, (rows,)."""
        count = len(self.surface)
        rows = (np.arange(count, dtype=np.float64) + count // 2) % count - count // 2  # as far either way from y = 0
        within = self._within(np.atleast_1d(cut.at((rows + 0.5) * STEP)))
        return np.asarray((self.surface * within).sum(axis=1) / within.sum(axis=1))

    def rest(self, thickness: float) -> float:
        """How far it stands off that mean, m rms, in a lamella so thick."""
        some, within = self.surface[::_SOME], self._within(np.array([thickness]))
        mean = (some * within).sum(axis=1) / within.sum()
        return float(np.sqrt(((some - mean[:, None]) ** 2 * within).sum() / (len(some) * within.sum())))

    def _within(self, thickness: Array) -> Array:
        """1 for the columns that lie in a lamella so thick, (thicknesses, columns)."""
        columns = self.surface.shape[1]
        z = (np.arange(columns) + 0.5 - columns / 2.0) * STEP
        return np.asarray(np.abs(z) <= np.maximum(thickness[:, None], STEP) / 2.0, np.float64)


@dataclass(frozen=True)
class Slab:
    """The slab of one sample: cut: its thickness.  inclination: of the interface to z, rad.  pivot: m."""

    cut: Wedge
    inclination: float
    relief: Relief
    pivot: float

    @classmethod
    def of(cls, sample: Sample, relief: np.random.Generator, lean: np.random.Generator) -> Slab:
        """As the sample file says; the generators draw the relief, and the inclination from its range."""
        cut, contact = sample.environment.cut, sample.interface
        return cls(cut, contact.lean(lean), Relief.of(contact, cut.thick, relief), sample.middle)

    def offset(self, y: Array, z: Array) -> Array:
        """How far along x the interface stands from where it is in the middle of an even slab, m; as broadcast."""
        return np.asarray(np.tan(self.inclination) * z + self.relief.at(y, z))

    def seen(self, x: Array, z: Array, tilt: float) -> tuple[Array, Array]:
        """Where points at (x, z) stand in the frame of the beam under a tilt, m.

        x is counted as in the frame of the lamella, z from the middle of the slab wherever the beam meets it: how the
        focus runs across a tilted lamella is left out.
        """
        return self.pivot + (x - self.pivot) * np.cos(tilt) - z * np.sin(tilt), z / np.cos(tilt)

    def met(self, x: Array, tilt: float) -> Array:
        """Where in the middle of the slab a beam at x goes through it, in the frame of the lamella, m."""
        return np.asarray(self.pivot + (x - self.pivot) / np.cos(tilt))
