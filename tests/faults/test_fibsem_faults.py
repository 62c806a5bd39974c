"""Every fault on the line to a FIB-SEM: a named error or the right value, in time; and the ion beam off afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from drivers.errors import DeviceError, LinkError, WireError
from drivers.links import Fault, FaultKind, FaultyLink, Link, one_of_each
from drivers.milling import Milled
from drivers.pose import Pose
from drivers.wire import fibsem as wire
from tests.drivers.fibsem_bench import CUT, FRAME, FibsemBench
from tests.faults.test_link_faults import name_of

NAMED = (LinkError, WireError, DeviceError)
HOME, THERE = Pose(0.0, 0.0, 4e-3, 0.0, 0.0), Pose(1e-5, -2e-5, 4.01e-3, 0.01, 0.02)
SHORT = replace(CUT, patterns=(replace(CUT.patterns[0], depth=0.05e-6),), seconds=10.0)  # type: ignore[type-var]
STREAM = [fault for fault in (*one_of_each(), *one_of_each(forever=True)) if fault.kind is not FaultKind.REORDER]
PIXELS = frozenset({FaultKind.GARBLE})  # TCP's checksum is all that watches over pixels


class Struck:
    """A bench whose line is struck, counted from where the test begins."""

    def __init__(self, fault: Fault, transfer: int, seed: int) -> None:
        self.faulty: list[FaultyLink] = []
        self.bench = FibsemBench(wrap=self._wrap(seed)).ready()
        at = self.faulty[0].transfers + transfer
        self.faulty[0]._faults = (Fault(fault.kind, at, fault.forever, fault.after, fault.seconds, fault.longest),)

    def _wrap(self, seed: int) -> Callable[[Link], Link]:
        def wrap(line: Link) -> Link:
            self.faulty.append(FaultyLink(line, [], seed=seed))
            return self.faulty[0]

        return wrap

    def timed(self, action: Callable[[FibsemBench], Any], device: str, longest: float) -> Any:
        """What it gave, or None where a named error was raised; fails when it took too long."""
        began = self.bench.clock.now()
        try:
            found = action(self.bench)
        except NAMED as error:
            assert error.device == device
            assert error.action
            found = None
        assert self.bench.clock.now() - began <= longest
        assert not self.bench.link.in_transaction
        return found


@cache
def true_image() -> bytes:
    bench = FibsemBench().ready()
    return bench.beams.acquire(FRAME, "electron", bench.office.ticket(FRAME)).pixels.tobytes()


@pytest.mark.parametrize("fault", STREAM, ids=name_of)
def test_a_position_is_right_or_a_named_error(fault: Fault) -> None:
    for transfer in (1, 2):
        for seed in range(2):
            found = Struck(fault, transfer, seed).timed(lambda bench: bench.stage.position(), "chamber_stage", 45.0)
            assert found in (HOME, None)


@pytest.mark.parametrize("fault", STREAM, ids=name_of)
def test_a_move_ends_where_it_was_sent_or_in_a_named_error_and_is_sent_once(fault: Fault) -> None:
    for transfer in (1, 2):
        struck = Struck(fault, transfer, seed=transfer)
        found = struck.timed(lambda bench: bench.stage.move_to(THERE), "chamber_stage", 230.0)
        assert found is None or found == THERE
        assert struck.bench.box.paths.count(wire.MOVE_ABSOLUTE.path) <= 1


@pytest.mark.parametrize("fault", STREAM, ids=name_of)
def test_a_beam_that_counts_as_confirmed_is_what_was_asked_for(fault: Fault) -> None:
    for transfer in (1, 2, 4):
        struck = Struck(fault, transfer, seed=transfer)
        struck.timed(lambda bench: bench.beams.set_beam("ion", 5e3, 90e-12), "beams", 60.0)
        column = struck.bench.chamber.columns["ion"]
        if "ion" in struck.bench.beams._confirmed:
            assert (column.voltage, column.current) == (5e3, 90e-12)


@pytest.mark.parametrize("fault", STREAM, ids=name_of)
def test_a_frame_is_the_one_that_was_exposed_and_is_exposed_at_most_once(fault: Fault) -> None:
    for transfer in (1, 9, 15, 16):  # the last is the one that exposes
        struck = Struck(fault, transfer, seed=transfer)
        found = struck.timed(
            lambda bench: bench.beams.acquire(FRAME, "electron", bench.office.ticket(FRAME)), "beams", 60.0
        )
        assert struck.bench.box.paths.count(wire.ACQUIRE.path) <= len(struck.bench.office.spent) <= 1
        if found is not None:
            assert (found.voltage, found.current, found.pixels.shape) == (2e3, 50e-12, (64, 96))
            if fault.kind not in PIXELS:
                assert found.pixels.tobytes() == true_image()


@cache
def transfers_of_a_cut() -> tuple[int, ...]:
    """Some of the requests of a cut: setting up, starting, looking, and giving back."""
    bench = FibsemBench().ready()
    bench.milling.run(SHORT, bench.office.cut(SHORT))
    paths = bench.box.paths
    at = [paths.index(path) + 1 for path in (wire.SET_UP_MILLING.path, wire.DRAW.path, wire.RUN.path)]
    end = [paths.index(path) + 1 for path in (wire.STOP.path, wire.FINISH.path)]
    return (*at, at[-1] + 9, *end)


@pytest.mark.parametrize("fault", STREAM, ids=name_of)
def test_after_a_cut_the_beam_is_off_and_the_imaging_current_back_or_that_is_said(fault: Fault) -> None:
    for transfer in transfers_of_a_cut():
        struck = Struck(fault, transfer, seed=transfer)
        said: list[str] = []

        def cut(bench: FibsemBench, said: list[str] = said) -> Milled:
            try:
                return bench.milling.run(SHORT, bench.office.cut(SHORT))
            except NAMED as error:
                said += [str(error), *getattr(error, "__notes__", [])]
                raise

        found = struck.timed(cut, "milling", 240.0)
        bench = struck.bench
        assert bench.box.paths.count(wire.RUN.path) <= len(bench.office.spent) <= 1
        bench.world.catch_up()
        depth = bench.depth()
        column = bench.chamber.columns["ion"]
        imaging = (column.current, column.voltage) == (20e-12, 30e3)
        if found is not None:
            assert imaging
            assert depth > 0.0
        else:
            assert imaging or any("imaging" in each for each in said)
        bench.clock.sleep(1.0)
        bench.world.catch_up()
        assert bench.depth() == depth or any("goes on" in each or "imaging" in each for each in said)


def test_what_is_asked_safely_survives_one_lost_answer() -> None:
    for kind in (FaultKind.LOSS, FaultKind.SILENCE, FaultKind.TRUNCATION, FaultKind.CLOSE):
        struck = Struck(Fault(kind), 1, seed=3)
        assert struck.bench.stage.position() == HOME


def test_noise_on_every_answer_never_becomes_a_position() -> None:
    found = set()
    for seed in range(20):
        struck = Struck(Fault(FaultKind.GARBLE, forever=True, after=150), 1, seed)
        found.add(struck.timed(lambda bench: bench.stage.position(), "chamber_stage", 60.0))
    assert found <= {None, HOME}
    assert np.isfinite(HOME.x)
