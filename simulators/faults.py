"""The back channel for faults of the physics; what fails on a line is the business of the links."""

from __future__ import annotations

from simulators.beam.column import Column
from simulators.stages.thermal import Cryostat, Node


class Faults:
    """What goes wrong with the sample's surroundings; no wire leads here."""

    def __init__(self, cryostat: Cryostat, column: Column) -> None:
        self._cryostat = cryostat
        self._column = column

    def quench(self) -> None:
        """The insulating vacuum breaks: 5 W more reach the stage from now on."""
        self._cryostat.quench()

    def stall(self) -> None:
        """The heater's element opens: the loop works on, and no heat arrives."""
        self._cryostat.stall()

    def lose_ln2(self) -> None:
        """The dewar is empty at once."""
        self._cryostat.lose_ln2()

    def sensor_open(self, node: Node) -> None:
        """A sensor's lead breaks: it reads nothing, and its loop turns the heater off."""
        self._cryostat.open_sensor(node)

    def beam_drop(self, fraction: float) -> None:
        """The beam loses this fraction of its current (0 to 1)."""
        self._column.drop(fraction)
