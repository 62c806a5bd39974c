"""Ice on cold surfaces: water arrives from the vacuum, ice leaves by sublimation (Hertz and Knudsen)."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import Boltzmann

from physics.materials import atom_mass, material

ROOM = 293.0
"""Temperature in K of water that comes from the chamber walls."""


def vapour_pressure(temperature: ArrayLike) -> NDArray[np.float64]:
    """Return the vapour pressure of hexagonal ice in Pa at temperatures in K, any shape.

    D. Murphy and T. Koop, Q. J. R. Meteorol. Soc. 131 (2005) 1539, equation 7; stated above 110 K, continued below.
    """
    t = np.asarray(temperature, dtype=np.float64)
    pressure: NDArray[np.float64] = np.exp(9.550426 - 5723.265 / t + 3.53068 * np.log(t) - 0.00728332 * t)
    return pressure


def arrival_rate(pressure: float, gas_temperature: float = ROOM) -> float:
    """Return how many water molecules strike a surface per m^2 and s, p/sqrt(2 pi m k T).

    pressure: partial pressure of water, Pa.  gas_temperature: K.
    """
    return pressure / math.sqrt(2 * math.pi * _molecule() * Boltzmann * gas_temperature)


def growth_rate(
    pressure: float, temperature: float, gas_temperature: float = ROOM, sticking: float = 1.0, shield: float = 1.0
) -> float:
    """Return how fast amorphous ice grows on a surface, in m/s; negative where it sublimes.

    pressure: partial pressure of water, Pa.  temperature: of the surface, K.  gas_temperature: K.  sticking: share of
    molecules that stay, which also governs how many leave.  shield: share of the arriving water that passes an
    anticontaminator. Density of ice: data/materials.yaml.
    """
    arriving = shield * arrival_rate(pressure, gas_temperature)
    leaving = arrival_rate(float(vapour_pressure(temperature)), temperature)
    return sticking * (arriving - leaving) * _molecule() / material("ice").density


def _molecule() -> float:
    return 2 * atom_mass("H") + atom_mass("O")
