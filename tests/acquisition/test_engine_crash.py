"""A run killed at any journal entry, before it, in the middle of writing it, or after, and gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from acquisition.chain import read_chain
from acquisition.control import State
from acquisition.engine import Decision, Recipe, Result, Run, TornStep
from tests.acquisition.run_bench import Burn, Killed, Look, Process, Sample


def whole_recipe(heard: list[object]) -> Recipe:
    def recipe(run: Run) -> None:
        heard.clear()
        heard.extend([run.do(Look(1.0)), run.random(), run.do(Burn(2.0)), run.now(), run.do(Burn(3.0))])
        run.note("all is said")

    return recipe


ENTRIES = 12  # of that recipe; the first test of the matrix counts them
BURNS = (3, 5)


def kill(process: Process, recipe: Recipe, entry: int, moment: str) -> None:
    """Kill a process at a journal entry: before it, in the middle of writing it, or right after."""
    gone = False

    def before(seq: int, kind: str) -> None:
        nonlocal gone
        if seq == entry and moment == "torn":
            with process.journal.path.open("ab") as file:
                file.write(b'{"seq":%d,"kind":"' % seq)
        gone = gone or (seq == entry and moment != "after")
        if gone:
            raise Killed

    def after(seq: int, kind: str) -> None:
        nonlocal gone
        if seq == entry:
            gone = True
            raise Killed

    process.journal.before, process.journal.after = before, after
    with pytest.raises(Killed):
        process.run(recipe)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Process, list[object]]:
    """A run of that recipe that nothing happened to, and what the recipe heard."""
    process, heard = Process(tmp_path_factory.mktemp("unbroken"), Sample()), list[object]()
    process.run(whole_recipe(heard))
    return process, heard


def test_the_matrix_knows_every_entry(unbroken: tuple[Process, list[object]]) -> None:
    assert len(unbroken[0].journal.entries) == ENTRIES


@pytest.mark.parametrize("moment", ["before", "torn", "after"])
@pytest.mark.parametrize("entry", range(ENTRIES))
def test_wherever_a_run_is_killed_nothing_that_burns_is_done_twice(
    tmp_path: Path, entry: int, moment: str, unbroken: tuple[Process, list[object]]
) -> None:
    whole, expected = unbroken
    folder, sample, heard = tmp_path / "run", Sample(), list[object]()
    folder.mkdir()
    kill(Process(folder, sample), whole_recipe(heard), entry, moment)
    done_then = list(sample.ordinals)
    second = Process(folder, sample)
    try:
        assert second.run(whole_recipe(heard)) is State.DONE
    except TornStep as torn:
        assert (second.state, sample.ordinals) == (State.TORN, done_then)
        burn = BURNS[0] if entry <= 5 else BURNS[1]
        assert f"step {burn} (burn)" in str(torn)
        for decision in Decision:
            decided(folder, tmp_path / decision, burn, decision, whole.results)
    else:
        assert [sample.times(burn) for burn in BURNS] == [1, 1]
        assert second.results == whole.results
        assert heard[1] == expected[1]
        assert second.journal.entries == read_chain(second.journal.path)


def decided(torn: Path, folder: Path, burn: int, decision: Decision, expected: dict[int, Result]) -> None:
    """A person's decision on a torn run ends it: what burns is done as often as was decided, and no other."""
    shutil.copytree(torn, folder)
    sample = Sample()
    process = Process(folder, sample)
    assert process.run(whole_recipe([]), decision=(burn, decision)) is State.DONE
    assert sample.times(burn) == (0 if decision is Decision.SKIP else 1)
    assert all(sample.times(other) <= 1 for other in BURNS)
    assert process.results == expected | ({burn: {"skipped": True}} if decision is Decision.SKIP else {})
