"""What electrons do to the sample: lattices fade, elements leave, false crystals grow, all with the fluence.

Radiolysis goes as 1/beta^2 of the electrons, so a critical fluence goes as beta^2. Fluences are in m^-2; the table in
data/damage.yaml says of every number whether it was measured or assumed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physics.electrons import beta_squared
from physics.tables import table
from physics.units import parse

Effect = Literal["lattice", "element_loss", "growth"]


@dataclass(frozen=True)
class Sensitivity:
    """How one thing answers to the beam: critical fluence (m^-2) at 300 keV and 100 K, and its divisor at 295 K."""

    fluence: float
    warm_divisor: float
    source: str

    def critical_fluence(self, energy: float, temperature: float) -> float:
        """Return the critical fluence in m^-2 for electrons of an energy (eV) at a temperature (K)."""
        return critical_fluence(self.fluence, energy, temperature, self.warm_divisor)


@cache
def sensitivities(effect: Effect) -> Mapping[str, Sensitivity]:
    """Return name -> sensitivity for "lattice" (by phase), "element_loss" (by element) or "growth" (by phase)."""
    data = table("damage")
    return {
        name: Sensitivity(
            fluence=parse(entry["fluence"], "fluence"),
            warm_divisor=float(entry.get("warm_divisor", data["warm_divisor"])),
            source=entry["source"],
        )
        for name, entry in data[effect].items()
    }


def critical_fluence(reference: float, energy: float, temperature: float, warm_divisor: float | None = None) -> float:
    """Return the critical fluence in m^-2 for electrons of an energy (eV) at a temperature (K).

    reference: that for 300 keV at 100 K, m^-2.  warm_divisor: by how much it is smaller at 295 K (1 for a metal); None
    takes the value of data/damage.yaml. Between the two temperatures its logarithm is a straight line, beyond them
    it is constant (assumed: colder than 100 K protects no further).
    """
    divisor = float(table("damage")["warm_divisor"]) if warm_divisor is None else warm_divisor
    at = _reference()
    warmth = float(np.clip((temperature - at["cold"]) / (at["warm"] - at["cold"]), 0, 1))
    return reference * math.exp(-warmth * math.log(divisor)) * beta_squared(energy) / beta_squared(at["energy"])


def surviving(fluence: ArrayLike, critical: float) -> NDArray[np.float64]:
    """Return the share that is left after a fluence, exp(-fluence/critical); both m^-2, fluence of any shape.

    ValueError unless the critical fluence is positive.
    """
    if not critical > 0:
        raise ValueError(f"critical fluence {critical!r} m^-2 is not positive")
    left: NDArray[np.float64] = np.exp(-np.asarray(fluence, dtype=np.float64) / critical)
    return left


def grown(fluence: ArrayLike, critical: float) -> NDArray[np.float64]:
    """Return the probability that a false crystal has grown after a fluence, 1 - exp(-fluence/critical); both m^-2."""
    return 1 - surviving(fluence, critical)


@cache
def _reference() -> Mapping[str, float]:
    given = table("damage")["reference"]
    return {
        "energy": parse(given["energy"], "energy"),
        "cold": parse(given["cold"], "temperature"),
        "warm": parse(given["warm"], "temperature"),
    }
