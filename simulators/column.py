"""The electron column: where the beam goes, what the dark-field detector counts, what the lamella receives."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drivers.rigfile import Optics
from simulators.dose import FluenceMap
from simulators.drift import Drift
from simulators.ice import Ice
from simulators.lamella import Lamella
from simulators.sample import Damage
from simulators.thermal import Cryostat
from simulators.xrays import Eds

Beam = Literal["none", "electron", "ion"]
Array = NDArray[np.float64]


class Column:
    """One focused electron beam over the lamella, from the middle of the interphase at first light.

    current: true, A.  field: true width of the scan field, m.
    """

    def __init__(
        self,
        lamella: Lamella,
        optics: Optics,
        *,
        received: FluenceMap,
        drift: Drift,
        ice: Ice,
        cryostat: Cryostat,
        eds: Eds,
        damage: Damage,
        current: float,
        field: float,
        random: np.random.Generator,
    ) -> None:
        raise NotImplementedError

    def select(self, beam: Beam) -> None:
        """Which beam the scan moves: without the electron beam every pixel is dark and receives nothing."""
        raise NotImplementedError

    def raster(self, u: Array, v: Array, cell: tuple[float, float], dwell: float, start: float) -> Array:
        """Beam on, pixel after pixel; electrons counted by the dark-field detector in each.

        u, v: centre of each pixel as a fraction 0 to 1 of the DAC's full scale, u along +x, v along +y (down).
        cell: width and height of a pixel in the same fractions.  dwell: s.  start: clock time of the first pixel, s.
        """
        raise NotImplementedError

    def park(self, u: float, v: float, start: float, seconds: float) -> None:
        """Beam on, standing still at (u, v) from a clock time, for some seconds."""
        raise NotImplementedError

    def dark(self, n: int) -> Array:
        """What the detector counts in n pixels with the beam blanked."""
        raise NotImplementedError

    def drop(self, fraction: float) -> None:
        """Lose this fraction of the current."""
        raise NotImplementedError
