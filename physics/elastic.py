"""Elastic scattering of fast electrons by atoms, in the first Born approximation.

Convention: the spatial frequency k is 1/d = 2 sin(theta/2)/lambda of the scattering angle theta, in 1/m (no 2 pi).
"""

import math

import numpy as np
import xraylib
from numpy.typing import ArrayLike, NDArray
from scipy.constants import physical_constants
from scipy.integrate import simpson

from physics.electrons import gamma, wavelength

_BOHR = physical_constants["Bohr radius"][0]
_ANGSTROM = 1e-10
# Below the first (1/A) Z - f_x is a small difference of tabulated numbers: the curve is continued through both.
_LOW, _HIGH = 0.08, 0.14


def form_factor(element: str, k: ArrayLike) -> NDArray[np.float64]:
    """Return the electron form factor f_e(k) in m of a neutral atom at rest, without the relativistic factor.

    element: symbol.  k: spatial frequency 1/d in 1/m, any shape; the result has the same shape. Formula: Mott-Bethe,
    f_e = (Z - f_x) / (2 pi^2 a0 k^2), with the X-ray form factors f_x of xraylib; near k = 0, where it is 0/0, a
    Gaussian through its values at 0.08 and 0.14 1/A. ValueError for an unknown symbol.
    """
    z = xraylib.SymbolToAtomicNumber(element)
    frequencies = np.abs(np.asarray(k, dtype=np.float64)) * _ANGSTROM
    factors = _mott_bethe(z, np.maximum(frequencies, _LOW).ravel()).reshape(frequencies.shape)
    low, high = _mott_bethe(z, np.array([_LOW, _HIGH]))
    slope = math.log(low / high) / (_HIGH**2 - _LOW**2)
    return np.where(frequencies < _LOW, low * np.exp(slope * (_LOW**2 - frequencies**2)), factors) * _ANGSTROM


def cross_section(element: str, energy: float, inner: float, outer: float) -> float:
    """Return the cross-section in m^2 of an atom for elastic scattering into a ring of angles.

    element: symbol.  energy: of the electrons, eV.  inner, outer: scattering angles, rad. Formula: incoherent sum of
    the Born approximation, 2 pi gamma^2 lambda^2 times the integral of f_e(k)^2 k dk from inner/lambda to outer/lambda;
    thermal diffuse scattering only moves intensity about. ValueError unless 0 <= inner < outer.
    """
    if not 0 <= inner < outer:
        raise ValueError(f"scattering angles {inner!r} to {outer!r} rad are not a ring")
    length = wavelength(energy)
    k = np.linspace(inner / length, outer / length, 2001)
    integral = float(simpson(form_factor(element, k) ** 2 * k, x=k))
    return 2 * math.pi * (gamma(energy) * length) ** 2 * integral


def _mott_bethe(z: int, frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """f_e in A at frequencies in 1/A; xraylib takes sin(theta)/lambda, half of ours."""
    x_rays = np.fromiter((xraylib.FF_Rayl(z, k / 2) for k in frequencies.tolist()), np.float64, frequencies.size)
    factors: NDArray[np.float64] = (z - x_rays) / (2 * math.pi**2 * (_BOHR / _ANGSTROM) * frequencies**2)
    return factors
