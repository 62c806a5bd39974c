"""A run that broke off, seen through to its end as a person would, and held to what a resume promises."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from acquisition.control import State
from acquisition.engine import Decision, TornStep
from physics.dose import E_PER_A2
from protocols.job import Job
from tests.protocols.whole_run import (
    MAP_ORDINAL,
    PASSES,
    area_dose,
    compare,
    do,
    journal,
    passport,
    results,
)


def begun_passes(folder: Path) -> list[int]:
    """The numbers of the map's passes for which the beam was opened, in order."""
    ids = [e["exposure_id"] for e in journal(folder, "begin")]
    return [int(i[-4:]) for i in ids if f"-{MAP_ORDINAL:04d}-" in i]


def reserved(folder: Path) -> float:
    """Everything promised to the interphase, e/A^2."""
    return float(sum(e["fluence"] for e in passport(folder, "reserve")) / E_PER_A2)


def torn_ordinal(job: Job) -> int | None:
    """The step that a resume stops at, or None when it went on to the end."""
    try:
        told = do(job)
    except TornStep:
        assert results(job.folder)["status"] == "torn"
        finished = {e["ordinal"] for e in journal(job.folder, "result")}
        return next(int(e["ordinal"]) for e in journal(job.folder, "step") if e["ordinal"] not in finished)
    assert told.states[-1][0] is State.DONE
    assert compare(told.world, told.ledger).below() == 0
    return None


def see_it_through(job: Job) -> None:
    """Resume a run to its end: the remainder of a map, and no second look where a single frame was torn."""
    finished = [e["ordinal"] for e in journal(job.folder, "result")]
    executions = [e["ordinal"] for e in journal(job.folder, "step")]
    before = reserved(job.folder)
    while (torn := torn_ordinal(job)) is not None:
        with suppress(TornStep):  # the one after it
            do(job, decision=(torn, Decision.REMAINDER if torn == MAP_ORDINAL else Decision.SKIP))
    assert results(job.folder)["status"] == "done"
    for ordinal in finished:
        assert [e["ordinal"] for e in journal(job.folder, "step")].count(ordinal) == executions.count(ordinal)
    assert begun_passes(job.folder) == list(range(PASSES))
    assert reserved(job.folder) >= before
    assert area_dose(job.folder) == pytest.approx(reserved(job.folder), abs=1e-3)
    ids = [e["exposure_id"] for e in journal(job.folder, "begin")]
    assert len(ids) == len(set(ids))
