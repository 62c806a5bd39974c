"""X-rays: photons the EDS detector absorbs, one by one, with their arrival time and the energy they leave in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.rigfile import Optics
from simulators.lamella import Lamella


class Eds:
    """The detector crystal: photons in, (time, energy) out; dead time and channels are the pulse processor's."""

    def __init__(self, lamella: Lamella, optics: Optics, random: np.random.Generator) -> None:
        raise NotImplementedError

    def photons(self, until: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Clock times, s, and deposited energies, eV, of photons up to a time; each once, in order of time."""
        raise NotImplementedError
