"""The objective lens of the microscope, and the picture that it makes of thin slices in first order.

Formulas: L. Reimer and H. Kohl, Transmission Electron Microscopy, 5th edition (2008), chapters 3 and 6. Convention:
plane waves are exp(2 pi i k.r); the lens multiplies a wave by exp(-i chi), and what lies z further down the beam than
the middle of the sample is out of focus by z more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from physics.electrons import interaction_constant, wavelength
from physics.units import parse
from simulators.constants import constants

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Lens:
    """An objective lens and the beam that it images with.

    beam_energy: eV.  defocus: m, of the middle of the sample, positive where the lens is too weak (underfocus).
    spherical: C3, m.  spread: standard deviation of the defocus, m.  source: half-angle at which the illumination has
    fallen to 1/e, rad.  aperture: half-angle that passes the objective aperture, rad.
    """

    beam_energy: float
    defocus: float
    spherical: float
    spread: float
    source: float
    aperture: float = math.inf

    @classmethod
    def of_column(cls, beam_energy: float, defocus: float) -> Lens:
        """That of the simulated column (data/tem.yaml)."""
        numbers = constants("tem")["lens"]
        return cls(
            beam_energy,
            defocus,
            spherical=parse(numbers["spherical"], "length"),
            spread=parse(numbers["spread"], "length"),
            source=parse(numbers["source"], "angle"),
            aperture=parse(numbers["aperture"], "angle"),
        )

    @property
    def wavelength(self) -> float:
        """Of the electrons, m."""
        return wavelength(self.beam_energy)

    def aberration(self, k: Array, depth: float = 0.0) -> Array:
        """chi in rad at spatial frequencies k, 1/m, of what lies at a depth, m, below the middle of the sample."""
        length = self.wavelength
        return np.pi * length * k**2 * (self.spherical * (length * k) ** 2 / 2.0 - (self.defocus + depth))

    def shift(self, k: Array, depth: float = 0.0) -> Array:
        """How far, m, the lens moves what a wave of frequency k carries from where it belongs, along k."""
        angle = self.wavelength * k
        return self.spherical * angle**3 - (self.defocus + depth) * angle

    def envelope(self, k: Array, depth: float = 0.0) -> Array:
        """What focal spread, the size of the source and the aperture leave of the amplitude at frequencies k, 1/m."""
        focal = (np.pi * self.wavelength * self.spread * k**2) ** 2 / 2.0
        source = (np.pi * self.source / self.wavelength * self.shift(k, depth)) ** 2
        return np.asarray(np.exp(-focal - source) * (k * self.wavelength <= self.aperture))

    def transfer(self, k: Array, depth: float = 0.0) -> Array:
        """Contrast of a picture per projected potential, 1/(V m), at frequencies k: 2 sigma_e sin chi, damped."""
        strength = 2.0 * interaction_constant(self.beam_energy)
        return strength * np.sin(self.aberration(k, depth)) * self.envelope(k, depth)

    def limit(self, pitch: float) -> float:
        """The frequency, 1/m, beyond which less than 1 % of an amplitude gets into a picture of such pixels, m."""
        k = np.linspace(0.0, 1.0 / (2.0 * pitch), 1025)
        return float(k[np.flatnonzero(self.envelope(k) >= 0.01)[-1]])


def pictures(slices: NDArray[np.complex64], depths: Array, lens: Lens, pitch: float) -> NDArray[np.float32]:
    """The contrast, I - 1, that each of some thin slices gives by itself, (n, rows, columns).

    slices: projected potential, V m, of the same shape; complex where the beams g and -g of a crystal are not alike.
    depths: of their middles below the middle of the sample, m, (n,).  pitch: m a pixel. First Born approximation,
    2 Re(i sigma_e V exp(-i chi)), damped: contrasts of slices add up. The slices repeat beyond their sides.
    """
    ky, kx = (scipy.fft.fftfreq(n, pitch) for n in slices.shape[1:])
    k = np.hypot(ky[:, None], kx[None, :])
    factor = 2j * interaction_constant(lens.beam_energy) * np.exp(-1j * lens.aberration(k)) * lens.envelope(k)
    # what another depth adds to chi comes apart in rows and columns
    turn = 1j * np.pi * lens.wavelength * depths[:, None]
    waves = scipy.fft.fft2(slices.astype(np.complex64, copy=False))
    waves *= factor.astype(np.complex64)
    waves *= np.exp(turn * ky**2).astype(np.complex64)[:, :, None]
    waves *= np.exp(turn * kx**2).astype(np.complex64)[:, None, :]
    return np.ascontiguousarray(scipy.fft.ifft2(waves, overwrite_x=True).real)
