"""A resume looks at the stage first, and asks of it again what the finished cool-down asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from acquisition.control import State
from drivers.errors import Aborted, InterlockError
from protocols.bench import Progress
from protocols.job import Job
from protocols.outlook import PostconditionError
from protocols.runner import is_latched
from tests.protocols.whole_run import Told, do, journal, make_job, recipe_text

COOL = "- cool_down: {to: 285 K, ramp: 20 K/min, hold: 5 min, tolerance: 1 K}\n"


def set_stage(told: Told, kelvin: float) -> None:
    """The stage was somewhere else while nobody looked."""
    state = told.world.cryostat.state()
    told.world.cryostat.recall({**state, "temperatures": {**state["temperatures"], "stage": kelvin}})


@pytest.fixture
def stopped(tmp_path: Path) -> Job:
    """A run that was aborted after its cool-down."""
    job = make_job(tmp_path, recipe_text(COOL + "- wait: {for: 1 min}\n"))

    def stop(told: Told, now: Progress) -> None:
        if now.do == "wait":
            assert told.bench is not None
            told.bench.control.ask_abort("the test")

    with pytest.raises(Aborted):
        do(job, at_progress=stop)
    return job


def test_what_a_resume_finds_is_journalled_before_anything_is_done(stopped: Job) -> None:
    do(stopped, at_state=lambda told, state: set_stage(told, 280.0) if state is State.RUNNING else None)
    entries = journal(stopped.folder)
    resumed = max(i for i, e in enumerate(entries) if e["kind"] == "resumed")
    kinds = [e["kind"] for e in entries[resumed:]]
    assert kinds[:3] == ["resumed", "state", "stage"]
    assert entries[resumed + 2]["found_at_K"] == pytest.approx(280.0, abs=0.5)


def test_a_sample_that_got_too_warm_meanwhile_latches_before_the_stage_is_moved(stopped: Job) -> None:
    told = Told()

    def warm(told: Told, state: State) -> None:
        if state is State.RUNNING:
            set_stage(told, 305.0)
            told.world.cryostat.target = 270.0

    with pytest.raises(InterlockError, match=r"above the sample's ceiling of 300 K"):
        do(stopped, told, at_state=warm)
    assert told.states[-1][0] is State.LATCHED
    assert is_latched(stopped.folder, journal(stopped.folder))
    assert journal(stopped.folder, "stage")[-1]["found_at_K"] == pytest.approx(305.0, abs=0.5)
    assert told.world.cryostat.target != 285.0


def test_a_resume_holds_as_long_as_the_cool_down_did(stopped: Job) -> None:
    before = journal(stopped.folder)[-1]["t"]
    do(stopped)
    assert journal(stopped.folder, "step")[-1]["t"] - before >= 300.0


def test_a_stage_that_does_not_hold_within_the_tolerance_of_the_cool_down_stops_the_resume(stopped: Job) -> None:
    def drift(told: Told, now: Progress) -> None:
        if now.do == "resume" and now.fraction > 0.5:
            set_stage(told, 283.0)

    with pytest.raises(PostconditionError, match=r"K off 285 K, more than 1 K"):
        do(stopped, at_progress=drift)
    assert len(journal(stopped.folder, "step")) == 2  # nothing was begun again
