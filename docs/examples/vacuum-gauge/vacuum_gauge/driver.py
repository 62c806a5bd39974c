"""The vacuum gauge: the pressure of the chamber, and the filament that measures it (EG-1)."""

from __future__ import annotations

import math
from typing import Annotated, TypeVar

from pydantic import Field

from drivers.errors import DeviceError, LimitError, WireError
from drivers.interlocks import Guard
from drivers.limits import Limits, Range
from drivers.links.base import Link, Wait
from drivers.links.exchange import Exchange
from drivers.rigfile import Strict
from physics.quantities import Pascals, PositiveSpan, Seconds
from vacuum_gauge import wire

STALE_LINES = 8  # late answers read before the line is given up
POLL = 1.0  # s between tries of the filament
AGREE = 0.05  # relative; more than the pressure changes between two readings
T = TypeVar("T", bound=wire.Reply)


class GaugeLimits(Strict):
    """Lowest and highest pressure that counts as one."""

    pressure: PositiveSpan[Pascals] = (1e-7, 1.0)


class GaugeSettings(Strict):
    """What a rig file says of the gauge.

    patience: how long the filament may be tried while the chamber is still being pumped.
    """

    limits: GaugeLimits = GaugeLimits()
    patience: Annotated[Seconds, Field(gt=0.0)] = 600.0


def ranges(settings: GaugeSettings) -> dict[str, Range]:
    """The limits by quantity."""
    return {"pressure": Range(*settings.limits.pressure, "mbar")}


class VacuumGauge:
    """An EG-1 on one line.

    The filament is off until `switch_on`, and after `make_safe`.
    """

    Settings = GaugeSettings

    def __init__(
        self,
        link: Link,
        settings: GaugeSettings,
        *,
        limits: Limits,
        guard: Guard,
        wait: Wait,
        name: str = "vacuum_gauge",
    ) -> None:
        self.name = name
        self._link = link
        self._settings = settings
        self._limits = limits
        self._guard = guard
        self._wait = wait
        self._exchange = Exchange(link, wire.splitter(), device=name, resync=self._forget_late_answers)

    def open(self) -> None:
        """See that an EG-1 answers. Raises LinkError, WireError."""
        self._ask("open", wire.Identify(), wire.Identity)

    def close(self) -> None:
        """Close the line; the gauge goes on as it is."""
        self._link.close()

    def switch_on(self) -> None:
        """Light the filament as soon as the pressure allows it. Raises InterlockError, LinkError, DeviceError."""
        self._guard(f"{self.name}.switch_on")
        given_up = self._link.clock.now() + self._settings.patience
        while not self._lit():
            if self._link.clock.now() >= given_up:
                raise DeviceError(
                    f"the pressure stayed too high for the filament for {self._settings.patience:g} s",
                    device=self.name,
                    action="switch_on",
                    way_out="Is the chamber closed and the pump running?",
                )
            self._wait(POLL)

    def make_safe(self) -> None:
        """Filament off, even while an abort is due. Raises LinkError, WireError."""
        with self._link.abort.ignored():
            self._ask("make_safe", wire.SetFilament(on=False), wire.Done)

    def pressure(self) -> float:
        """Pressure of the chamber, Pa, read twice: the wire has no checksum.

        Raises LinkError, WireError, DeviceError, and LimitError when it is beyond the rig's limits.
        """
        first, second = (self._ask("pressure", wire.AskPressure(), wire.Pressure) for _ in range(2))
        if first.status is not second.status or not math.isclose(first.pascals, second.pascals, rel_tol=AGREE):
            raise WireError(
                f"read {first.pascals:g} Pa and then {second.pascals:g} Pa; believed are two equal readings",
                device=self.name,
                action="pressure",
            )
        if second.status is not wire.Status.VALID:
            raise DeviceError(
                f"gives no pressure ({second.status.name})",
                device=self.name,
                action="pressure",
                way_out="Switch the filament on first." if second.status is wire.Status.FILAMENT_OFF else "",
            )
        self._limits.check(self.name, "pressure", pressure=second.pascals)
        return second.pascals

    def status(self) -> dict[str, float | str | bool]:
        """For the record: pressure, Pa, or why there is none, and whether the filament is on."""
        filament = self._ask("status", wire.AskFilament(), wire.Filament)
        try:
            pressure: float | str = self.pressure()
        except (DeviceError, LimitError) as error:
            pressure = error.what
        return {"pressure": pressure, "filament": filament.on}

    def _lit(self) -> bool:
        """Try the filament once; it may be tried again, for on is on."""
        exchange, said = self._exchange, wire.encode(wire.SetFilament(on=True))
        answer = exchange.ask_for("switch_on", said, wire.reply, safe=True)
        if answer == wire.Refused(wire.Fault.PRESSURE_TOO_HIGH):
            return False
        return self._ask("switch_on", wire.AskFilament(), wire.Filament).on

    def _ask(self, action: str, request: wire.Request, wanted: type[T]) -> T:
        """The answer; whatever may be said to this gauge may be said twice."""

        def read(line: str) -> T:
            answer = wire.reply(line)
            if not isinstance(answer, wanted):
                raise WireError(f"{line!r} does not answer {wire.encode(request)!r}")
            return answer

        return self._exchange.ask_for(action, wire.encode(request), read, safe=True)

    def _forget_late_answers(self) -> None:
        """Ask who it is and read up to that answer: no other looks like it."""
        self._exchange.put(wire.encode(wire.Identify()))
        for _ in range(STALE_LINES):
            try:
                if isinstance(wire.reply(self._exchange.take("resync")), wire.Identity):
                    return
            except WireError:
                continue
        raise WireError(f"{STALE_LINES} lines came, none of them its identity")
