"""Relativistic electrons of the microscope: wavelength, speed, strength of interaction.

Energies are kinetic, in eV. Formulas: L. Reimer and H. Kohl, Transmission Electron Microscopy, 5th edition (2008),
chapter 2. Constants: CODATA, by scipy.constants.
"""

import math

from scipy.constants import c, e, h, m_e

REST_ENERGY: float = m_e * c**2 / e  # eV


def gamma(energy: float) -> float:
    """Return the relativistic mass factor; energy in eV, ValueError unless it is positive."""
    if not energy > 0:
        raise ValueError(f"electron energy {energy!r} eV is not positive")
    return 1 + energy / REST_ENERGY


def beta_squared(energy: float) -> float:
    """Return the square of the electron's speed in units of c; energy in eV."""
    return 1 - 1 / gamma(energy) ** 2


def wavelength(energy: float) -> float:
    """Return the de Broglie wavelength in m; energy in eV."""
    return float(h / (m_e * c * math.sqrt(gamma(energy) ** 2 - 1)))


def interaction_constant(energy: float) -> float:
    """Return sigma_e = 2 pi m e lambda / h^2, the phase per projected potential, in rad/(V m); energy in eV."""
    return float(2 * math.pi * gamma(energy) * m_e * e * wavelength(energy) / h**2)
