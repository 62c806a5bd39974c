"""The passport of a sample: its own and nobody else's, and not below the truth in the next run either."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import pytest

from acquisition.chain import OWN, Chain, read_chain
from protocols.books import look
from protocols.job import Job, RunError
from protocols.passports import open_passport, passport_path
from protocols.runner import begin
from tests.protocols.whole_run import (
    IMAGE,
    PASSPORT,
    SAMPLE,
    Told,
    compare,
    do,
    journal,
    make_job,
    passport,
    recipe_text,
    rig_text,
)

HOUR = 3600.0
IMAGING = recipe_text(IMAGE)


def first_run(folder: Path, seed: int = 1) -> Job:
    """A finished run of one image."""
    job = make_job(folder, IMAGING, rig=rig_text("bench"), seed=seed)
    do(job)
    return job


def next_run(folder: Path, before: Job, after: float) -> Job:
    """A job on the sample of a finished run as it is `after` s later: its passport, its world and its clock go on."""
    folder.mkdir()
    job = make_job(folder, IMAGING, rig=rig_text("bench"), seed=before.seed)
    job.folder.mkdir()
    for name in (PASSPORT, "world.npz"):
        shutil.copyfile(before.folder / name, job.folder / name)
    begin(job, look(job))
    entries = journal(before.folder)
    facts = {key: value for key, value in entries[0].items() if key not in OWN}
    chain = Chain(job.folder / "journal.jsonl")
    chain.append("run", **{**facts, "run_id": f"{folder.name}-run"})
    chain.append("waited", t=entries[-1]["t"] + after)
    chain.close()
    return job


def below_truth(job: Job, told: Told) -> int:
    """How many places of the sample the ledger believes to have received less than all the runs gave them."""
    return compare(
        told.world, told.ledger, moved=told.world.truth.drift(journal(job.folder, "reserve")[0]["t"])
    ).below()


@pytest.mark.parametrize("seed", range(3))
def test_a_second_run_an_hour_later_is_not_below_the_truth(seed: int, tmp_path: Path) -> None:
    """The first run's frame began where the sample stood then; since then it went far."""
    second = next_run(tmp_path / "second", first_run(tmp_path, seed), HOUR)
    told = do(second)
    assert max(map(abs, told.world.truth.drift(journal(second.folder, "reserve")[0]["t"]))) > 40e-9  # m, to be covered
    assert below_truth(second, told) == 0


def test_a_third_run_is_not_below_the_truth_of_the_first_two(tmp_path: Path) -> None:
    second = next_run(tmp_path / "second", first_run(tmp_path), 0.5 * HOUR)
    do(second)
    third = next_run(tmp_path / "third", second, HOUR)
    assert below_truth(third, do(third)) == 0
    assert len({entry["frame"] for entry in passport(third.folder, "reserve")}) == 3


def test_the_preflight_books_what_earlier_runs_gave_as_the_ledger_does(tmp_path: Path) -> None:
    first = first_run(tmp_path)
    job = replace(first, folder=tmp_path / "again")
    fresh = look(job).books.spent("interface")[0]
    job.folder.mkdir()
    shutil.copyfile(first.folder / PASSPORT, job.folder / PASSPORT)
    assert look(job).books.spent("interface")[0] == pytest.approx(2 * fresh, rel=1e-9)


@pytest.mark.parametrize("other", ["wafer-7_lamella-2", "wafer-7 lamella-2", "Wafer-7/lamella-2"])
def test_samples_whose_names_look_alike_in_a_file_name_have_passports_of_their_own(other: str, tmp_path: Path) -> None:
    rig = make_job(tmp_path).rig.model
    ours, theirs = (passport_path(rig, name, tmp_path).name.lower() for name in (SAMPLE, other))
    assert ours == PASSPORT
    assert theirs != ours


@pytest.mark.parametrize("name", ["CON", "nul", "COM1", "a" * 400, "  ", "probe?:*"])
def test_every_name_of_a_sample_makes_a_file_name_on_windows(name: str, tmp_path: Path) -> None:
    path = PureWindowsPath(passport_path(make_job(tmp_path).rig.model, name, tmp_path).name)
    assert not path.is_reserved()
    assert len(path.name) < 200
    assert not set(path.name) & set('<>:"/\\|?* ')


def test_a_passport_says_whose_it_is_and_serves_no_other_sample(tmp_path: Path) -> None:
    job = make_job(tmp_path, IMAGING)
    with open_passport(job) as chain:
        path = chain.path
    assert [(entry["kind"], entry["sample"]) for entry in read_chain(path)] == [("passport", SAMPLE)]
    heading = job.recipe.heading.model_copy(update={"sample": "wafer-9"})
    other = replace(job, recipe=replace(job.recipe, heading=heading))
    path.rename(passport_path(job.rig.model, "wafer-9", job.folder))
    with pytest.raises(RunError, match=f"is the passport of {SAMPLE}, not of wafer-9"), open_passport(other):
        pass
    with pytest.raises(RunError, match="not of wafer-9"):
        look(other)
