"""A simulated FIB-SEM that is about to mill, and what tests of milling say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from drivers.milling import Milled
from drivers.ticket import Cut
from drivers.wire import fibsem as wire
from drivers.wire.http import Request, Response
from tests.drivers.fibsem_bench import CUT, FibsemBench

RUN, STATE, FINISH = wire.RUN.path, wire.MILLING_STATE.path, wire.FINISH.path


def facing_the_ions() -> FibsemBench:
    """With the surface towards the ion beam, at imaging current."""
    bench = FibsemBench().ready()
    bench.chamber.stage.go(replace(bench.chamber.stage.read(), tilt=0.9075712110370514))
    bench.clock.sleep(60.0)
    return bench


def mill(bench: FibsemBench, cut: Cut = CUT) -> Milled:
    return bench.milling.run(cut, bench.office.cut(cut))


def imaging(bench: FibsemBench) -> bool:
    """Whether the ion beam is off and back at what it was before."""
    column = bench.chamber.columns["ion"]
    at_rest = bench.milling.status()["state"] == "IDLE"
    return at_rest and (column.current, column.voltage, column.field) == (20e-12, 30e3, 150e-6)


def says(call: Any, told: Any) -> Callable[[Request], Response]:
    return lambda _: wire.response(call, told)
