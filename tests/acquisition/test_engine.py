"""The engine: forward only, whatever ends the process and wherever."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from acquisition.chain import ChainError, read_chain
from acquisition.control import State
from acquisition.engine import Decision, Recipe, RecipeDiverged, Result, Run, TornStep, digest
from drivers.errors import LinkError, Refused
from tests.acquisition.run_bench import Burn, Killed, Look, Process, Sample

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


def look_burn_look(run: Run) -> None:
    run.do(Look(1.0))
    run.do(Burn(2.0))
    run.do(Look(3.0))


@pytest.fixture
def sample() -> Sample:
    return Sample()


@pytest.fixture
def process(tmp_path: Path, sample: Sample) -> Callable[[], Process]:
    """Starts one more process of the same run."""
    return lambda: Process(tmp_path, sample)


def tear(process: Process, recipe: Recipe, at: int) -> None:
    """Kill a process while it performs a step."""

    def die(seq: int, kind: str) -> None:
        raise Killed

    def act(execution: object) -> Result:
        if process.sample.ordinals[-1] == at:
            process.journal.before = die
            raise Killed
        return {"done": True}

    process.act = act
    with pytest.raises(Killed):
        process.run(recipe)


Start = Callable[[], Process]


def test_steps_are_journalled_before_and_after_they_are_done(process: Start, sample: Sample) -> None:
    first = process()
    assert first.run(look_burn_look) is State.DONE
    assert first.kinds == ["state", *["step", "result"] * 3, "safe", "state"]
    assert sample.ordinals == [1, 2, 3]
    step = first.journal.entries[3]
    assert (step["do"], step["parameters"], step["digest"]) == ("burn", {"dose": 2.0}, digest(Burn(2.0)))


def test_a_step_is_begun_only_once_that_is_on_the_disk(process: Start, sample: Sample, mocker: MockerFixture) -> None:
    first = process()
    mocker.patch("os.fsync", side_effect=[None, NO_SPACE, None, None])
    with pytest.raises(ChainError, match="No space left"):
        first.run(look_burn_look)
    assert (sample.performed, first.state, first.safe) == ([], State.FAILED, 1)


def test_finished_steps_are_not_done_again_and_keep_their_results(process: Start, sample: Sample) -> None:
    seen: list[list[Result]] = []

    def recipe(run: Run) -> None:
        seen.append([run.do(Look(1.0)), run.do(Burn(2.0)), run.do(Look(3.0))])

    first = process()
    first.act = lambda execution: {"at": (execution.ordinal, 0.1), "nested": {"spent": [1]}}
    first.run(recipe)
    assert process().run(recipe) is State.DONE
    assert sample.ordinals == [1, 2, 3]
    assert seen[0] == seen[1]
    assert seen[0][0] == {"at": [1, 0.1], "nested": {"spent": [1]}}


def test_a_recipe_that_changes_a_result_changes_no_record(process: Start, tmp_path: Path) -> None:
    def recipe(run: Run) -> None:
        result = run.do(Look(1.0))
        result["nested"].append("mine")

    first = process()
    first.act = lambda execution: {"nested": [1]}
    first.run(recipe)
    assert first.results == {1: {"nested": [1]}}
    assert first.journal.entries == read_chain(tmp_path / "journal.jsonl")
    again = process()
    again.run(recipe)
    assert again.results == {1: {"nested": [1]}}


def test_a_result_that_json_cannot_hold_fails_the_step_and_leaves_it_torn(process: Start) -> None:
    first = process()
    first.act = lambda execution: {"ramp_nm": float("nan")}
    with pytest.raises(ChainError, match=r"\(result\) is no JSON"):
        first.run(lambda run: run.do(Burn()) and None)
    with pytest.raises(TornStep):
        process().run(lambda run: run.do(Burn()) and None)


# --- another recipe than the journal's


@pytest.mark.parametrize(
    "other",
    [
        lambda run: (run.do(Look(1.0)), run.do(Burn(2.5))),
        lambda run: (run.do(Look(1.0)), run.do(Look(2.0))),
        lambda run: (run.do(Look(1.0)), run.random()),
        lambda run: (run.do(Look(1.0)), run.do(Burn(2.0))),
    ],
    ids=["another dose", "another step", "no step", "shorter"],
)
@pytest.mark.parametrize("torn", [False, True])
def test_a_recipe_that_diverged_is_refused_before_anything_is_done(
    process: Start, sample: Sample, other: Recipe, torn: bool
) -> None:
    def recipe(run: Run) -> None:
        run.do(Look(1.0))
        run.do(Burn(2.0))
        run.do(Look(3.0))

    if torn:
        tear(process(), recipe, at=3)
    else:
        process().run(recipe)
    second = process()
    with pytest.raises(RecipeDiverged, match="recipe diverged"):
        second.run(other)
    assert sample.ordinals == [1, 2, 3]
    assert (second.state, second.safe) == (State.FAILED, 1)


def test_a_step_where_a_recalled_value_was_is_refused(process: Start, sample: Sample) -> None:
    process().run(lambda run: run.note("begun"))
    with pytest.raises(RecipeDiverged, match="the journal has `note` there, not burn"):
        process().run(lambda run: run.do(Burn()) and None)
    assert sample.performed == []


def test_a_value_where_a_torn_step_was_is_refused(process: Start) -> None:
    tear(process(), lambda run: run.do(Burn()) and None, at=1)
    with pytest.raises(RecipeDiverged, match="no `now` like this"):
        process().run(lambda run: run.now() and None)


def test_a_longer_recipe_goes_on_after_what_was_done(process: Start, sample: Sample) -> None:
    process().run(look_burn_look)

    def longer(run: Run) -> None:
        look_burn_look(run)
        run.do(Look(4.0))

    assert process().run(longer) is State.DONE
    assert sample.ordinals == [1, 2, 3, 4]


def test_the_digest_is_of_name_and_parameters_and_not_of_their_order() -> None:
    assert digest(Look(1.0)) == digest(Look(1.0))
    assert len({digest(Look(1.0)), digest(Look(1.0 + 2**-52)), digest(Look(1.0, do="peep"))}) == 3


# --- torn steps


def test_a_torn_once_only_step_stops_until_a_person_decides(process: Start, sample: Sample) -> None:
    tear(process(), look_burn_look, at=2)
    for _ in range(2):
        second = process()
        with pytest.raises(TornStep, match=r"step 2 \(burn\).*--remainder 2.*--skip 2.*--redo 2"):
            second.run(look_burn_look)
        assert (second.state, second.safe) == (State.TORN, 1)
    assert sample.ordinals == [1, 2]


@pytest.mark.parametrize("decision", [Decision.REMAINDER, Decision.REDO])
def test_the_remainder_or_the_whole_is_done_when_a_person_says_so(
    process: Start, sample: Sample, decision: Decision
) -> None:
    tear(process(), look_burn_look, at=2)
    second = process()
    assert second.run(look_burn_look, decision=(2, decision)) is State.DONE
    assert sample.ordinals == [1, 2, 2, 3]
    assert sample.performed[2].remainder is (decision is Decision.REMAINDER)
    assert [e["again"] for e in second.journal.entries if e["kind"] == "step"] == [None, None, decision, None]


def test_a_step_that_is_skipped_is_not_touched_and_says_so(process: Start, sample: Sample) -> None:
    tear(process(), look_burn_look, at=2)
    second = process()
    assert second.run(look_burn_look, decision=(2, Decision.SKIP)) is State.DONE
    assert sample.ordinals == [1, 2, 3]
    assert second.results[2] == {"skipped": True}
    assert process().run(look_burn_look) is State.DONE


def test_a_decision_is_for_one_tear_only(process: Start, sample: Sample) -> None:
    tear(process(), look_burn_look, at=2)
    second = process()

    def fail(execution: object) -> Result:
        raise LinkError("the line is dead")

    second.act = fail
    with pytest.raises(LinkError):
        second.run(look_burn_look, decision=(2, Decision.REDO))
    with pytest.raises(TornStep):
        process().run(look_burn_look)
    assert sample.ordinals == [1, 2, 2]


def test_a_torn_step_that_may_be_repeated_is_repeated(process: Start, sample: Sample) -> None:
    tear(process(), look_burn_look, at=3)
    assert process().run(look_burn_look) is State.DONE
    assert sample.ordinals == [1, 2, 3, 3]


@pytest.mark.parametrize("ordinal", [1, 3, 9])
@pytest.mark.parametrize("decision", Decision)
def test_a_decision_on_a_step_that_is_not_torn_is_refused(
    process: Start, sample: Sample, ordinal: int, decision: Decision
) -> None:
    tear(process(), look_burn_look, at=2)
    second = process()
    with pytest.raises(Refused, match=f"step {ordinal} is not torn, so there is nothing to {decision}"):
        second.run(look_burn_look, decision=(ordinal, decision))
    assert (sample.ordinals, second.state) == ([1, 2], State.FAILED)


# --- what a recipe hears from outside


def test_what_a_recipe_heard_it_hears_again(process: Start, sample: Sample) -> None:
    heard: list[list[object]] = []

    def recipe(run: Run) -> None:
        heard.append([run.now()])
        run.do(Look(1.0))
        heard[-1] += [run.now(), run.random(), run.ask("Is it sharp?")]
        run.note("sharp enough")
        heard[-1] += [run.random()]

    first = process()
    first.desk.on_state[State.WAITING] = lambda: first.desk.ask("answer", "yes")
    first.run(recipe)
    second = process()
    second.run(recipe)
    assert heard[0] == heard[1]
    assert heard[0][:2] == [0.0, 1.0]
    assert heard[0][3] == "yes"
    assert State.WAITING not in second.desk.states


def test_random_numbers_after_a_resume_are_those_of_a_run_without_one(tmp_path: Path) -> None:
    drawn: list[list[float]] = []

    def recipe(run: Run) -> None:
        drawn.append([])
        for _ in range(3):
            drawn[-1].append(run.random())
            run.do(Look(1.0))

    (tmp_path / "whole").mkdir()
    (tmp_path / "torn").mkdir()
    Process(tmp_path / "whole", Sample()).run(recipe)
    tear(Process(tmp_path / "torn", Sample()), recipe, at=4)
    Process(tmp_path / "torn", Sample()).run(recipe)
    assert len(set(drawn[0])) == 3
    assert drawn[2] == drawn[0]


def test_the_answer_to_one_question_does_not_answer_another(process: Start) -> None:
    first = process()
    first.desk.on_state[State.WAITING] = lambda: first.desk.ask("answer", "yes")
    first.run(lambda run: run.ask("Is it sharp?") and None)
    with pytest.raises(RecipeDiverged, match="no `ask` like this"):
        process().run(lambda run: run.ask("Weld now?") and None)
