"""A simulated EG-1 in front of the world: bytes in, bytes out, and a chamber that is pumped down."""

from __future__ import annotations

import math

from drivers.errors import WireError
from simulators.boxes.line import ByteBox, Surroundings
from vacuum_gauge import wire
from vacuum_gauge.wire import Fault, Filament, Pressure, Status

LATENCY = 0.05  # s, the longest the manual allows
VENTED, BASE = 1e5, 1.3e-5  # Pa; assumed
PUMPING = 20.0  # s in which the pressure falls to 1/e; assumed
RANGE = 1e-7, 1.0  # Pa, in which the filament may burn
VERSION = "1.04"


class GaugeServer(ByteBox[str]):
    """The chamber is vented when the world begins."""

    def __init__(self, world: Surroundings) -> None:
        super().__init__(world, wire.splitter())
        self._began = self._clock.now()
        self._filament = False

    def _hear(self, line: str) -> None:
        self._say(wire.encode(self._answer(wire.request(line))), self._clock.now() + LATENCY)

    def _mishear(self, error: WireError) -> None:
        self._hear("")  # answered as what it is: no message of ours

    def _pascals(self) -> float:
        return BASE + (VENTED - BASE) * math.exp(-(self._clock.now() - self._began) / PUMPING)

    def _answer(self, asked: wire.Request | None) -> wire.Reply:
        pascals = self._pascals()
        self._filament = self._filament and pascals <= RANGE[1]
        match asked:
            case wire.Identify():
                return wire.Identity("EG-1", "0000", VERSION)
            case wire.AskPressure():
                status = Status.VALID if self._filament else Status.FILAMENT_OFF
                return Pressure(pascals if self._filament else 0.0, status)
            case wire.AskFilament():
                return Filament(self._filament)
            case wire.SetFilament(on=True) if pascals > RANGE[1]:
                return wire.Refused(Fault.PRESSURE_TOO_HIGH)
            case wire.SetFilament(on=on):
                self._filament = on
                return wire.Done()
            case _:
                return wire.Refused(Fault.UNKNOWN)
