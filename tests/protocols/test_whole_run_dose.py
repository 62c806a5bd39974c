"""The dose of a whole run: the same in every record of it, and never below what the sample really received."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from acquisition.budget import BudgetError
from acquisition.control import State
from acquisition.datafile import open_record
from acquisition.engine import Decision, TornStep
from drivers.errors import Aborted
from physics.dose import E_PER_A2
from protocols.job import Job
from tests.protocols.whole_run import (
    COOL,
    IMAGE,
    MAP,
    MAP_ORDINAL,
    PASSES,
    Told,
    area_dose,
    compare,
    do,
    journal,
    make_job,
    passport,
    recipe_text,
    results,
    rig_text,
)

HALF = 46e-9  # m: the field of the small map but for the cells on its edge
# rig -> how far the ledger may lie above the truth in a fault-free run (architecture, section 7)
BOUND = {"bench-exact": 1.05, "bench": 1.2}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Job, Told]]:
    """One finished run."""
    job = make_job(tmp_path_factory.mktemp("done"))
    yield job, do(job)


def test_a_small_run_is_done(done: tuple[Job, Told]) -> None:
    job, told = done
    assert told.states[-1][0] is State.DONE
    assert results(job.folder)["status"] == "done"


def test_the_dose_in_the_files_is_the_dose_in_results_json(done: tuple[Job, Told]) -> None:
    job, _ = done
    charged = 0.0
    for path in sorted((job.folder / "data").glob("*.nxs")):
        with open_record(path) as record:
            charged += sum(p.fluence_charged for p in record.passes())
    assert charged / E_PER_A2 == pytest.approx(area_dose(job.folder), rel=1e-6)  # all frames share the middle


def test_the_dose_in_the_journal_and_the_passport_is_the_dose_in_results_json(done: tuple[Job, Told]) -> None:
    job, _ = done
    for entries in (journal(job.folder, "reserve"), passport(job.folder, "reserve")):
        assert sum(e["fluence"] for e in entries) / E_PER_A2 == pytest.approx(area_dose(job.folder), rel=1e-6)
    assert [e["exposure_id"] for e in passport(job.folder, "settle")] == [
        e["exposure_id"] for e in journal(job.folder, "reserve")
    ]


def test_the_dose_in_the_results_of_the_steps_is_the_dose_in_results_json(done: tuple[Job, Told]) -> None:
    job, _ = done
    charged = [e["result"].get("charged_e_per_A2", 0.0) for e in journal(job.folder, "result")]
    assert sum(charged) == pytest.approx(area_dose(job.folder), abs=1e-2)


def test_each_pass_begins_with_the_dose_that_the_one_before_it_left(done: tuple[Job, Told]) -> None:
    job, _ = done
    with open_record(job.folder / "data" / "0003-eds_map.nxs") as record:
        passes = record.passes()
    assert len(passes) == PASSES
    for before, after in pairwise(passes):
        assert after.dose_before == pytest.approx(before.dose_after, rel=1e-6)
        assert before.dose_after - before.dose_before == pytest.approx(before.fluence_charged, rel=1e-6)
    assert passes[-1].dose_after / E_PER_A2 == pytest.approx(area_dose(job.folder), rel=1e-6)


def test_every_exposure_is_reserved_begun_and_settled_in_that_order(done: tuple[Job, Told]) -> None:
    job, _ = done
    of_beam = [e for e in journal(job.folder) if e["kind"] in ("reserve", "begin", "settle")]
    kinds: dict[str, list[str]] = {}
    for entry in of_beam:
        kinds.setdefault(entry["exposure_id"], []).append(entry["kind"])
    assert len(kinds) == PASSES + 1
    assert set(map(tuple, kinds.values())) == {("reserve", "begin", "settle")}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("rig", BOUND)
def test_the_ledger_is_never_below_the_truth_and_little_above_it(rig: str, seed: int, tmp_path: Path) -> None:
    told = do(make_job(tmp_path, rig=rig_text(rig), seed=seed))
    compared = compare(told.world, told.ledger)
    assert compared.below() == 0
    ratio = compared.ratio(HALF)
    assert ratio.min() >= 1.0
    assert ratio.max() <= BOUND[rig]


@pytest.mark.parametrize("seed", range(2))
def test_the_ledger_is_not_below_the_truth_after_the_sample_has_drifted(seed: int, tmp_path: Path) -> None:
    steps = COOL + IMAGE + "- wait: {for: 20 min}\n" + MAP.replace("}\n", ", drift: leave}\n")
    told = do(make_job(tmp_path, recipe_text(steps), rig=rig_text("bench"), seed=seed))
    assert max(map(abs, told.world.truth.drift(told.world.clock.now()))) > 20e-9  # m; what is to be covered
    assert compare(told.world, told.ledger).below() == 0


def test_a_map_that_does_not_fit_is_refused_before_its_first_pass(tmp_path: Path) -> None:
    job = make_job(tmp_path, recipe_text(limit="500 e/A^2"))
    with pytest.raises(BudgetError, match=r"eds_map would give area \"interface\" 599\.18 e/A\^2"):
        do(job)
    assert len(journal(job.folder, "begin")) == 1  # the image
    assert results(job.folder)["status"] == "failed"


def test_after_a_resume_the_ledger_still_covers_the_drift_since_first_light(tmp_path: Path) -> None:
    """Nothing was registered yet: only the time since the first exposure says how far the sample may have gone."""
    steps = COOL + IMAGE + "- wait: {for: 30 min}\n" + MAP.replace("}\n", ", drift: leave}\n")
    job = make_job(tmp_path, recipe_text(steps))

    def stop(told: Told, now: object) -> None:
        if getattr(now, "do", "") == "eds_map":
            assert told.bench is not None
            told.bench.control.ask_abort("the test")

    with pytest.raises(Aborted):
        do(job, at_progress=stop)
    with pytest.raises(TornStep):
        do(job)
    told = do(job, decision=(MAP_ORDINAL + 1, Decision.REMAINDER))
    assert compare(told.world, told.ledger).below() == 0
    widths = [e["where"][2] - e["where"][0] for e in journal(job.folder, "reserve") if e["area"] == "interface"]
    # 30 min at 300 nm/h on each side, and 4 nm, around a field of 100 nm
    assert min(widths[1:]) > 100e-9 + 2 * 150e-9
