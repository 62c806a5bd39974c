"""A silicon drift detector for X-rays: resolution, efficiency, dead time. Its layers are in data/xray_detector.yaml."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import lambertw

from physics.materials import mass_fractions, material
from physics.tables import table
from physics.units import parse
from physics.xrays import mass_attenuation

_VARIANCE_TO_FWHM2 = 8 * math.log(2)


def fwhm(energy: ArrayLike, fwhm_mn: float = 130.0) -> NDArray[np.float64]:
    """Return the full width at half maximum in eV of lines at these energies (eV, any shape).

    fwhm_mn: that at Mn Ka, eV. Fano statistics added to a noise that does not depend on energy: FWHM^2 = FWHM_Mn^2
    + 8 ln2 F eps (E - E_Mn). C. Fiori and D. Newbury, Scanning Electron Microscopy 1 (1978) 401.
    """
    data = table("xray_detector")
    slope = _VARIANCE_TO_FWHM2 * data["fano"] * data["pair_energy"]
    noise = fwhm_mn**2 - slope * data["reference_line"]
    if not noise >= 0:
        raise ValueError(f"a resolution of {fwhm_mn!r} eV at Mn Ka is finer than the Fano limit")
    width: NDArray[np.float64] = np.sqrt(noise + slope * np.asarray(energy, dtype=np.float64))
    return width


def efficiency(energy: ArrayLike, ice: float = 0.0) -> NDArray[np.float64]:
    """Return the share of photons of these energies (eV, any shape) that the windowless detector counts.

    ice: thickness in m of amorphous ice on the cold detector. Beer-Lambert law through the dead layers.
    """
    data = table("xray_detector")
    water = material("ice")
    dead = sum((_depth(layer, energy) for layer in data["layers"]), np.zeros(np.shape(energy)))
    dead = dead + mass_attenuation(water.mass_fractions, energy) * water.density * ice
    counted: NDArray[np.float64] = -np.exp(-dead) * np.expm1(-_depth(data["active"], energy))
    return counted


def observed_rate(input_rate: ArrayLike, dead_time: float) -> NDArray[np.float64]:
    """Return the counted rate for photons that arrive at a rate, both in 1/s.

    dead_time: s a pulse, extended by every arrival (paralyzable): OCR = ICR exp(-ICR dead_time), largest at ICR =
    1/dead_time. G. Knoll, Radiation Detection and Measurement.
    """
    arriving = np.asarray(input_rate, dtype=np.float64)
    return arriving * np.exp(-arriving * dead_time)


def input_rate(observed: ArrayLike, dead_time: float) -> NDArray[np.float64]:
    """Return the rate of arrival (1/s), up to 1/dead_time, that gives an observed rate: the inverse of observed_rate.

    Above 1/dead_time the observed rate falls again and the answer would be another. ValueError for a rate beyond the
    largest possible, 1/(e dead_time).
    """
    counted = np.asarray(observed, dtype=np.float64)
    if not np.all(counted * dead_time * math.e <= 1 + 1e-12):
        raise ValueError(f"no input rate gives {np.max(counted):g} counts/s with a dead time of {dead_time:g} s")
    if dead_time == 0:
        return counted
    product = np.minimum(counted * dead_time, math.exp(-1))
    rate: NDArray[np.float64] = -np.real(lambertw(-product)) / dead_time
    return rate


def _depth(layer: Mapping[str, Any], energy: ArrayLike) -> NDArray[np.float64]:
    areal_mass = parse(layer["density"], "density") * parse(layer["thickness"], "length")
    return mass_attenuation(mass_fractions(layer["material"]), energy) * areal_mass
