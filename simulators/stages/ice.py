"""Ice on the lamella: water from the column's vacuum arrives, and sublimes once the stage is warm."""

from __future__ import annotations

from physics.ice import growth_rate
from simulators.sample.file import Environment
from simulators.stages.thermal import Cryostat

_STEP = 20.0  # s; the stage takes minutes to change its temperature


class Ice:
    """Amorphous ice on both faces; thickness: of the two together, m. Rates: physics/ice.py."""

    def __init__(self, environment: Environment, cryostat: Cryostat) -> None:
        self._environment = environment
        self._cryostat = cryostat
        self._done = 0.0
        self.thickness = 0.0

    @property
    def lamella_temperature(self) -> float:
        """K: the stage's, and the drop across the contact."""
        return self._cryostat.temperature("stage") + self._environment.contact_drop

    def state(self) -> dict[str, float]:
        """Thickness, m, and the clock time it has grown to, s."""
        return {"done": self._done, "thickness": self.thickness}

    def recall(self, state: dict[str, float]) -> None:
        """Go on from what `state` gave."""
        self._done, self.thickness = state["done"], state["thickness"]

    def advance(self, now: float) -> None:
        """Grow or sublime up to a clock time, s, while the stage cools or warms; in steps, however often one looks."""
        while self._done + _STEP <= now:
            self._done += _STEP
            self._cryostat.advance(self._done)
            rate = growth_rate(
                self._environment.water_pressure, self.lamella_temperature, shield=self._environment.shielding
            )
            self.thickness = max(self.thickness + 2.0 * rate * _STEP, 0.0)
