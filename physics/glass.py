"""How atoms of something amorphous keep their distance: the structure factor S(k). Numbers in data/glass.yaml."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physics.tables import table
from physics.units import parse

_ANGSTROM = 1e-10


def structure_factor(k: ArrayLike) -> NDArray[np.float64]:
    """Return S(k), the power scattered over that of the same atoms one by one; k = 1/d in 1/m, any shape.

    Next to nothing at the smallest k, a first sharp peak, then single atoms.
    """
    numbers = table("glass")["amorphous"]
    inverse = np.abs(np.asarray(k, dtype=np.float64)) * _ANGSTROM
    peak = (inverse - _ANGSTROM / parse(numbers["spacing"], "length")) / numbers["width"]
    factor: NDArray[np.float64] = -np.expm1(-((inverse / numbers["low"]) ** 2))
    factor += numbers["height"] * np.exp(-(peak**2) / 2)
    return factor
