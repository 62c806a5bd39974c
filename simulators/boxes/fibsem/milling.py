"""Milling on the simulated fibsem server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from drivers.wire import fibsem as wire
from drivers.wire import fibsem_milling as message
from drivers.wire.fibsem_model import Done
from drivers.wire.fibsem_pattern import Pattern, Patterns
from simulators.boxes.fibsem.beams import APPLICATIONS, BeamsApi
from simulators.boxes.fibsem.route import After, Instrument, Route, Trouble, route

LOOK = 0.5  # s; how often a blocking run that somebody paused looks whether it goes on


class MillingApi:
    """Set up, draw, run, finish; it forgets its patterns when a blocking run is over, as the real one does."""

    def __init__(self, instrument: Instrument, beams: BeamsApi) -> None:
        self._instrument, self._beams = instrument, beams
        self._milling = instrument.milling
        self._patterns: list[Pattern] = []
        self._parallel = False
        self._forgets = False
        instrument.world.processes.append(self._tidy)

    def routes(self) -> Iterator[Route]:
        """Its part of the API."""
        yield route(wire.SET_UP_MILLING, self._set_up)
        yield route(wire.DRAW, self._draw)
        yield route(wire.RUN, self._run)
        yield route(wire.START, lambda _: self._start())
        yield route(wire.STOP, lambda _: self._do(self._milling.stop))
        yield route(wire.PAUSE, lambda _: self._do(self._milling.pause))
        yield route(wire.RESUME, lambda _: self._do(self._milling.resume))
        yield route(wire.FINISH, self._finish)
        yield route(wire.CLEAR, lambda _: self._clear())
        yield route(wire.MILLING_STATE, lambda _: message.MillingStateTold(self._milling.state))
        yield route(wire.MILLING_TIME, lambda _: message.MillingTime(self._milling.estimate(self._patterns)))

    def _set_up(self, asked: message.SetUpMilling) -> Done:
        self._instrument.see_at_rest()
        settings = asked.mill_settings
        if settings.milling_channel != "ion":
            raise Trouble("electrons mill nothing")
        if settings.application_file not in APPLICATIONS:
            raise Trouble(f"no application file {settings.application_file}")
        self._parallel = settings.patterning_mode == "Parallel"
        self._patterns.clear()
        self._beams.set_field("ion", settings.hfw)
        self._beams.set_current("ion", settings.milling_current)
        self._beams.set_voltage("ion", settings.milling_voltage)
        return Done()

    def _draw(self, asked: Patterns) -> Done:
        self._instrument.see_no_milling()
        half = self._instrument.chamber.columns["ion"].field / 2.0
        if any(abs(edge) > half for pattern in asked.patterns for edge in pattern.bounds):
            raise Trouble("a pattern beyond the field")
        self._patterns += asked.patterns
        return Done()

    def _run(self, asked: message.RunMilling) -> Done | After[Done]:
        # what fibsem 0.5.3 does: a column that cannot be set is a line in the log, and the beam starts
        with suppress(Trouble):
            if self._instrument.chamber.columns["ion"].voltage != asked.milling_voltage:
                self._beams.set_voltage("ion", asked.milling_voltage)
            if self._instrument.chamber.columns["ion"].current != asked.milling_current:
                self._beams.set_current("ion", asked.milling_current)
        self._start()
        if asked.asynch:
            return Done()
        self._forgets = True
        return After(self._milling.ends(), self._whether_over)

    def _whether_over(self) -> Done | After[Done]:
        if self._milling.state == "IDLE":
            return Done()
        return After(max(self._milling.ends(), self._instrument.now() + LOOK), self._whether_over)

    def _start(self) -> Done:
        if self._milling.state == "IDLE":
            self._instrument.see_at_rest()
            if not self._patterns:
                raise Trouble("nothing is drawn")
            self._milling.start(self._patterns, parallel=self._parallel)
        return Done()

    def _finish(self, asked: message.FinishMilling) -> Done:
        self._clear()
        self._beams.set_current("ion", asked.imaging_current)
        self._beams.set_voltage("ion", asked.imaging_voltage)
        self._parallel = False
        return Done()

    def _clear(self) -> Done:
        if self._milling.state != "IDLE":
            raise Trouble("the ion beam mills")
        self._patterns.clear()
        return Done()

    def _do(self, change: Callable[[], None]) -> Done:
        change()
        return Done()

    def _tidy(self, _: float) -> None:
        if self._forgets and self._milling.state == "IDLE":
            self._forgets = False
            self._patterns.clear()
