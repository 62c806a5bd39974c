"""Every way out of a run: the rig is made safe, it is written down, and the state is the truth."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from acquisition.chain import ChainError
from acquisition.control import State, Trip
from acquisition.engine import Attempt, Recipe, Result, Run, TornStep
from drivers.errors import Aborted, InterlockError, LinkError
from tests.acquisition.run_bench import Burn, Look, Process, Sample

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
Start = Callable[[], Process]


@pytest.fixture
def sample() -> Sample:
    return Sample()


@pytest.fixture
def process(tmp_path: Path, sample: Sample) -> Start:
    """Starts one more process of the same run."""
    return lambda: Process(tmp_path, sample)


def look_burn_look(run: Run) -> None:
    run.do(Look(1.0))
    run.do(Burn(2.0))
    run.do(Look(3.0))


def _raises(error: BaseException) -> Recipe:
    def recipe(run: Run) -> None:
        run.do(Look(1.0))
        raise error

    return recipe


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Aborted("Ctrl-C twice"), State.ABORTED),
        (InterlockError("refused: the needle is in"), State.FAILED),
        (LinkError("nothing came back"), State.FAILED),
        (ZeroDivisionError("division by zero"), State.FAILED),
        (KeyboardInterrupt(), State.FAILED),
        (SystemExit(1), State.FAILED),
        (TornStep("step 2"), State.TORN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_every_way_out_makes_the_rig_safe_writes_it_down_and_tells_the_state(
    process: Start, error: BaseException, state: State
) -> None:
    first = process()
    first.unsafe = [Attempt("cryostat: FAILED: the line is dead", safe=False)]
    with pytest.raises(type(error)):
        first.run(_raises(error))
    safe, last = (e for e in first.journal.entries if e["kind"] == "safe" or e.get("state") == state)
    assert first.safe == 1
    assert safe["tried"] == ["scan: safe", "cryostat: FAILED: the line is dead"]
    assert first.journal.entries[-1] == last
    assert (first.state, first.desk.told[-1]) == (state, (state, last["why"]))
    assert str(error) in last["why"]


def test_a_run_whose_rig_could_not_be_made_safe_is_not_done(process: Start) -> None:
    first = process()
    first.unsafe = [Attempt("cryostat: FAILED: the line is dead", safe=False)]
    first.run(lambda run: None)
    assert first.state is State.FAILED
    assert "the line is dead" in first.desk.told[-1][1]


def test_a_run_that_fails_before_its_first_step_is_made_safe(process: Start) -> None:
    first = process()

    def prepare() -> None:
        raise LinkError("the cryostat does not answer")

    first.prepare = prepare
    with pytest.raises(LinkError):
        first.run(look_burn_look)
    assert (first.state, first.safe) == (State.FAILED, 1)


def test_an_aborted_run_says_why(process: Start) -> None:
    first = process()

    def recipe(run: Run) -> None:
        first.desk.control.ask_abort("`cryolift abort`")
        run.do(Look(1.0))

    with pytest.raises(Aborted):
        first.run(recipe)
    assert first.desk.told[1:] == [(State.ABORTING, "`cryolift abort`"), (State.ABORTED, "`cryolift abort`.")]
    assert first.sample.performed == []


def test_a_pause_asked_for_during_a_step_comes_before_the_next_one(process: Start, sample: Sample) -> None:
    first = process()
    done_at_pause: list[list[int]] = []

    def act(execution: object) -> Result:
        if len(sample.performed) == 1:
            first.desk.control.interrupt()
        return {}

    def paused() -> None:
        done_at_pause.append(list(sample.ordinals))
        first.desk.ask("continue")

    first.act = act
    first.desk.on_state[State.PAUSED] = paused
    first.run(look_burn_look)
    assert done_at_pause == [[1]]
    assert sample.ordinals == [1, 2, 3]


@pytest.mark.parametrize("swallowed", [False, True])
def test_a_latched_run_ends_latched_whatever_the_recipe_does_with_it(
    process: Start, sample: Sample, swallowed: bool
) -> None:
    first = process()
    first.desk.control.watch("cryostat", 1.0, lambda: Trip("the stage is at 140.0 K", latch=True))

    def recipe(run: Run) -> None:
        with suppress(InterlockError if swallowed else ()):
            run.do(Look(1.0))
        with suppress(InterlockError if swallowed else ()):
            run.do(Burn(2.0))
        raise Aborted("enough")

    with pytest.raises((InterlockError, Aborted)):
        first.run(recipe)
    assert (first.state, first.safe, sample.performed) == (State.LATCHED, 1, [])
    assert first.kinds[-1] == "safe"
    assert (first.desk.folder / "latched").exists()


@pytest.mark.parametrize("error", [Aborted("enough"), LinkError("dead"), ZeroDivisionError(), None], ids=repr)
@pytest.mark.parametrize("full_from", ["state", "step", "result", "safe", "end"])
def test_a_full_disk_keeps_no_rig_from_being_made_safe(
    process: Start, error: BaseException | None, full_from: str, mocker: MockerFixture
) -> None:
    first = process()
    full = False

    def before(seq: int, kind: str) -> None:
        nonlocal full
        full = full or kind == full_from or (full_from == "end" and first.safe > 0)
        if full:
            mocker.patch("os.fsync", side_effect=NO_SPACE)

    def recipe(run: Run) -> None:
        run.do(Look(1.0))
        if error is not None:
            raise error

    first.journal.before = before
    with pytest.raises(ChainError, match="No space left"):
        first.run(recipe)
    assert first.safe == 1
    if full_from in ("state", "step", "result"):
        assert first.state is State.FAILED
    else:
        ends = {Aborted: State.ABORTED, type(None): State.DONE}
        assert first.state is ends.get(type(error), State.FAILED)
