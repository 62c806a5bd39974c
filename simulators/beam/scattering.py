"""What deflects the electrons of a probe: single atoms in a glass, atoms that shake in a crystal; and into which ring.

The dark field and the camera in the far field count with the same numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.rigfile import Optics
from physics import elastic
from physics.crystals import crystal, spacings
from physics.electrons import gamma, wavelength
from physics.glass import structure_factor
from physics.materials import material

Array = NDArray[np.float64]

WIDEST = 0.3  # rad; beyond, nothing is scattered
ANGLES = np.concatenate([np.linspace(0.0, 0.06, 600, endpoint=False), np.linspace(0.06, WIDEST, 600)])
_SHORTEST = 1.5e-10  # m; every crystal has a reflection with a longer spacing
_COLD = 100.0  # K; the atoms of a crystal shake as they do there


class Scattering:
    """Single deflections at one beam energy, as cross-sections per steradian along `ANGLES`, m^2.

    Atoms in the Born approximation (physics/elastic.py), times the structure factor of something amorphous
    (physics/glass.py), or times what thermal motion takes from the reflections of a crystal, 1 - exp(-B k^2/2).
    """

    def __init__(self, optics: Optics) -> None:
        self._optics = optics
        self._k = ANGLES / wavelength(optics.beam_energy)
        self._born = gamma(optics.beam_energy) ** 2
        self._glass = structure_factor(self._k)

    def glass(self, element: str) -> Array:
        """Of an atom of something amorphous."""
        return self._alone(element) * self._glass

    def shaken(self, phase: str, followed: float = 1.0, longest: float = np.inf) -> Array:
        """Of a cubic metre of a crystal, its reflections left out, 1/m.

        followed: share of the reflections that are left out, from the first on; longest: up to there, 1/m.
        """
        first = 1.0 / spacings(phase, _COLD, _SHORTEST)[0].d
        out = np.where(self._k < first, 1.0, np.where(self._k <= longest, followed, 0.0))
        still = out * np.exp(-crystal(phase).thermal(_COLD) * self._k**2 / 2.0)
        atoms = material(phase).number_densities.items()
        return np.asarray(np.sum([number * self._alone(element) for element, number in atoms], axis=0) * (1.0 - still))

    def _alone(self, element: str) -> Array:
        return np.asarray(self._born * elastic.form_factor(element, self._k) ** 2)

    def into_dark_field(self, per_steradian: Array) -> float:
        """Cross-section, m^2, for a deflection out of the cone of the probe into the ring of the dark field."""
        cone, ring = self._optics.convergence, self._optics.dark_field
        gained = ring_share(ANGLES, cone, ring) - ring_share(np.zeros(1), cone, ring)
        return whole(per_steradian * gained)


def whole(per_steradian: Array) -> float:
    """The integral over all directions of what is given along `ANGLES`."""
    return float(2.0 * np.pi * np.trapezoid(per_steradian * ANGLES, ANGLES))


def ring_share(deflection: Array, cone: float, ring: tuple[float, float]) -> Array:
    """Share of a cone of electrons that lies in a ring of angles once all of it is deflected, (n,).

    deflection: rad, (n,).  cone: half angle, rad, evenly filled.  ring: inner and outer angle, rad.
    """
    inner, outer = (_overlap(deflection, cone, radius) for radius in ring)
    return (outer - inner) / (np.pi * cone**2)


def _overlap(apart: Array, one: float, other: float) -> Array:
    """Area that two circles with such radii share when their centres lie so far apart."""
    smaller = np.pi * min(one, other) ** 2
    d = np.clip(apart, abs(one - other), one + other)
    d = np.maximum(d, 1e-12)
    first = one**2 * np.arccos(np.clip((d**2 + one**2 - other**2) / (2.0 * d * one), -1.0, 1.0))
    second = other**2 * np.arccos(np.clip((d**2 + other**2 - one**2) / (2.0 * d * other), -1.0, 1.0))
    corners = (-d + one + other) * (d + one - other) * (d - one + other) * (d + one + other)
    area = first + second - np.sqrt(np.maximum(corners, 0.0)) / 2.0
    return np.where(apart <= abs(one - other), smaller, np.where(apart >= one + other, 0.0, area))
