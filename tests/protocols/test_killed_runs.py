"""A run that is killed at any moment: nothing that burns is done twice, and what is not known counts as delivered."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from acquisition.budget import BudgetError
from acquisition.chain import Chain, Entry
from acquisition.control import State
from acquisition.datafile import open_record
from acquisition.engine import Decision, RecipeDiverged, TornStep
from drivers.errors import Refused
from physics.dose import E_PER_A2
from protocols.job import Job
from protocols.outlook import StepError
from tests.protocols.seen_through import begun_passes, reserved, see_it_through
from tests.protocols.whole_run import (
    COOL,
    IMAGE,
    IMAGE_ORDINAL,
    MAP,
    MAP_ORDINAL,
    PASSES,
    area_dose,
    do,
    journal,
    make_job,
    passport,
    recipe_text,
    results,
)

BUDGET = 1000.0  # e/A^2, of the small recipe; a map of 600 fits once
Grave = tuple[str, Path]


def graves(job: Job, folder: Path, *, decision: tuple[int, Decision] | None = None) -> list[Grave]:
    """What a kill leaves behind: a copy of the run's folder after each line that came to the disk, with its kind."""
    kept: list[Grave] = []
    plain: Callable[..., Entry] = Chain.append

    def append(chain: Chain, kind: str, **facts: object) -> Entry:
        entry = plain(chain, kind, **facts)
        grave = folder / f"{len(kept):03d}"
        shutil.copytree(job.folder, grave)
        owner = "passport" if chain.path.name.endswith("passport.jsonl") else "journal"
        kept.append((f"{owner} {kind}", grave))
        return entry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Chain, "append", append)
        do(job, decision=decision)
    return kept


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Job, list[Grave]]]:
    """A run, and its folder as it was after each of its lines."""
    folder = tmp_path_factory.mktemp("killed")
    job = make_job(folder)
    yield job, graves(job, folder)


def exhumed(killed: tuple[Job, list[Grave]], what: str, which: int, folder: Path) -> Job:
    """The run as a kill right after the `which`-th (from 0) line of a kind left it, in a folder of its own."""
    job, kept = killed
    grave = [path for kind, path in kept if kind == what][which]
    shutil.copytree(grave, folder / "run")
    return replace(job, folder=folder / "run")


POINTS = [
    ("journal step", 1),
    ("journal begin", 0),
    ("passport settle", 0),
    ("journal step", 2),
    ("passport reserve", 1),
    ("journal begin", 3),
    ("journal pass", PASSES - 1),
]


@pytest.mark.parametrize(("what", "which"), POINTS)
def test_a_killed_run_is_seen_through_and_nothing_is_exposed_twice(
    killed: tuple[Job, list[Grave]], what: str, which: int, tmp_path: Path
) -> None:
    see_it_through(exhumed(killed, what, which, tmp_path))


@pytest.mark.slow
def test_a_run_killed_after_any_of_its_lines_is_seen_through(killed: tuple[Job, list[Grave]], tmp_path: Path) -> None:
    job, kept = killed
    for number, (_, grave) in enumerate(kept):
        shutil.copytree(grave, tmp_path / f"{number}")
        see_it_through(replace(job, folder=tmp_path / f"{number}"))


@pytest.fixture
def torn(killed: tuple[Job, list[Grave]], tmp_path: Path) -> Job:
    """The run as a kill in the third pass of the map left it."""
    return exhumed(killed, "journal begin", 3, tmp_path)


def test_a_torn_exposure_counts_in_full_and_for_ever(torn: Job) -> None:
    with pytest.raises(TornStep):
        do(torn)
    one_pass = passport(torn.folder, "reserve")[-1]["fluence"] / E_PER_A2
    settled = sum(e["fluence"] for e in passport(torn.folder, "settle")) / E_PER_A2
    assert area_dose(torn.folder) == pytest.approx(settled + one_pass, abs=1e-3)
    do(torn, decision=(MAP_ORDINAL, Decision.SKIP))
    assert area_dose(torn.folder) == pytest.approx(settled + one_pass, abs=1e-3)


def test_the_way_out_of_a_torn_step_is_said(torn: Job) -> None:
    with pytest.raises(TornStep, match=r"step 3 \(eds_map\) .*--remainder 3.*--skip 3.*--redo 3"):
        do(torn)


def test_a_torn_run_stays_torn_however_often_it_is_resumed(torn: Job) -> None:
    for _ in range(3):
        with pytest.raises(TornStep):
            do(torn)
    assert begun_passes(torn.folder) == [0, 1, 2]


def test_the_remainder_is_exactly_the_passes_never_begun(torn: Job) -> None:
    do(torn, decision=(MAP_ORDINAL, Decision.REMAINDER))
    assert begun_passes(torn.folder) == list(range(PASSES))
    result = journal(torn.folder, "result")[-1]["result"]
    assert result["passes"] == PASSES - 1  # the torn one was exposed and is lost
    with open_record(torn.folder / result["file"]) as record:
        assert [p.index for p in record.passes()] == [0, 1, 3, 4, 5]
        assert set(record.events()[0].tolist()) == {0, 1, 3, 4, 5}
        assert not record.image("dark_field")[2].any()


def test_a_skipped_step_is_skipped_for_ever_and_its_data_are_kept(torn: Job) -> None:
    do(torn, decision=(MAP_ORDINAL, Decision.SKIP))
    assert results(torn.folder)["status"] == "done"
    assert begun_passes(torn.folder) == [0, 1, 2]
    assert journal(torn.folder, "result")[-1]["result"] == {"skipped": True}
    with open_record(torn.folder / "data" / "0003-eds_map.nxs") as record:
        assert record.status == "recovered"
        assert len(record.passes()) == 2
    assert do(torn).states[-1][0] is State.DONE


def test_a_redone_step_is_done_whole_into_a_file_of_its_own(killed: tuple[Job, list[Grave]], tmp_path: Path) -> None:
    torn = exhumed(killed, "journal begin", 2, tmp_path)
    do(torn, decision=(MAP_ORDINAL, Decision.REDO))
    assert begun_passes(torn.folder) == [0, 1, *range(PASSES)]
    assert journal(torn.folder, "result")[-1]["result"]["file"] == "data/0003-eds_map-2.nxs"
    assert (torn.folder / "data" / "0003-eds_map.nxs").exists()
    assert area_dose(torn.folder) == pytest.approx(reserved(torn.folder), abs=1e-3)


def test_a_step_is_not_redone_when_the_budget_is_gone(killed: tuple[Job, list[Grave]], tmp_path: Path) -> None:
    torn = exhumed(killed, "journal begin", 5, tmp_path)
    spent = reserved(torn.folder)
    assert spent + 600.0 > BUDGET
    with pytest.raises(BudgetError, match=r"eds_map would give area \"interface\" 599"):
        do(torn, decision=(MAP_ORDINAL, Decision.REDO))
    assert reserved(torn.folder) == spent
    assert results(torn.folder)["status"] == "failed"
    do(torn, decision=(MAP_ORDINAL, Decision.REMAINDER))
    assert results(torn.folder)["status"] == "done"


def test_of_a_single_frame_that_was_begun_nothing_remains(killed: tuple[Job, list[Grave]], tmp_path: Path) -> None:
    torn = exhumed(killed, "journal begin", 0, tmp_path)
    spent = reserved(torn.folder)
    with pytest.raises(StepError, match="stem_image: its only frame was begun"):
        do(torn, decision=(IMAGE_ORDINAL, Decision.REMAINDER))
    assert reserved(torn.folder) == spent
    with pytest.raises(TornStep):
        do(torn)


def test_a_single_frame_that_was_only_reserved_can_be_delivered(
    killed: tuple[Job, list[Grave]], tmp_path: Path
) -> None:
    torn = exhumed(killed, "journal reserve", 0, tmp_path)
    do(torn, decision=(IMAGE_ORDINAL, Decision.REMAINDER))
    assert results(torn.folder)["status"] == "done"
    assert len(journal(torn.folder, "begin")) == 1 + PASSES


@pytest.mark.parametrize("ordinal", [1, 2, 7])
def test_a_decision_on_a_step_that_is_not_torn_is_refused(torn: Job, ordinal: int) -> None:
    with pytest.raises(Refused, match=f"step {ordinal} is not torn"):
        do(torn, decision=(ordinal, Decision.REDO))
    assert begun_passes(torn.folder) == [0, 1, 2]


def test_a_resume_may_be_killed_too(torn: Job, tmp_path: Path) -> None:
    kept = graves(torn, tmp_path / "again", decision=(MAP_ORDINAL, Decision.REMAINDER))
    for what in ("journal file", "passport reserve", "journal begin"):
        grave = next(path for kind, path in kept if kind == what)
        see_it_through(replace(torn, folder=grave))


def test_another_recipe_is_taken_where_the_finished_steps_are_the_same(torn: Job, tmp_path: Path) -> None:
    longer = make_job(tmp_path, recipe_text(COOL + IMAGE + MAP + "- wait: {for: 1 s}\n"))
    do(longer, decision=(MAP_ORDINAL, Decision.REMAINDER))
    assert [e["do"] for e in journal(torn.folder, "step")][-1] == "wait"


@pytest.mark.parametrize(
    "steps",
    [COOL.replace("285", "284") + IMAGE + MAP, IMAGE + COOL + MAP, COOL + IMAGE + MAP.replace("600", "500"), COOL],
)
def test_another_recipe_is_refused_where_it_diverges(torn: Job, tmp_path: Path, steps: str) -> None:
    other = make_job(tmp_path, recipe_text(steps))
    with pytest.raises(RecipeDiverged, match="recipe diverged"):
        do(other, decision=(MAP_ORDINAL, Decision.REMAINDER))
    assert begun_passes(torn.folder) == [0, 1, 2]
