"""results.json: what the run wrote is what its journal and passport tell to anybody later."""

from __future__ import annotations

import errno
import json
import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from acquisition.budget import Books
from acquisition.chain import Chain, Entry, read_chain
from acquisition.control import State
from acquisition.results import STATUS, dose_of_areas, gather, write_json
from physics.dose import E_PER_A2
from tests.acquisition.dose_bench import FRAME, HERE, INTERFACE, SURE, areas, of_dose, opened

RUN = {
    "recipe": "Li/LiPON map",
    "recipe_sha256": "ab" * 32,
    "rig": "bench",
    "simulated": True,
}


@pytest.fixture
def books() -> Books:
    return Books(areas(), SURE)


def line(kind: str, **facts: object) -> Entry:
    return {"kind": kind, **facts}


def test_what_the_journal_and_the_passport_rebuild_is_what_the_run_wrote(tmp_path: Path) -> None:
    with closing(Chain(tmp_path / "journal.jsonl")) as journal, opened(tmp_path / "passport.jsonl") as ledger:
        journal.append("run", t=0.0, **RUN)
        for ordinal, dose in ((1, 50.0), (2, 1000.0)):
            journal.append("step", ordinal=ordinal, do="stem_image", t=1.0)
            frame = of_dose(dose * E_PER_A2)
            ticket = ledger.reserve("interface", frame, HERE, f"r-{ordinal}", step="stem_image")
            ticket.spend(frame)
            ledger.settle(ticket)
            report = {"profiles": {"P": {"ramp_nm": 70.0 + ordinal, "ci95_nm": (60.0, 80.0)}}}
            journal.append("result", ordinal=ordinal, t=12.3456, result={"report": report})
        ledger.reserve("beside", replace(FRAME, centre=(0.0, 1.2e-6)), HERE, "r-3", step="focus")
        journal.append("end", t=20.0, status="done", wall_seconds=3.21)
        write_json(tmp_path / "results.json", gather(journal.entries, ledger))
    written = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    with opened(tmp_path / "passport.jsonl") as ledger:
        assert gather(read_chain(tmp_path / "journal.jsonl"), ledger) == written
    assert written["profiles"] == {"P": {"ramp_nm": 72.0, "ci95_nm": [60.0, 80.0]}}
    assert (written["rig_seconds"], written["wall_seconds"]) == (20.0, 3.21)


def test_the_results_say_what_was_done_with_what(books: Books) -> None:
    results = gather([line("run", t=0.0, **RUN), line("end", t=5.0, status="done", wall_seconds=1.0)], books)
    assert results == {
        "schema": 1,
        "status": "done",
        "recipe": {"name": "Li/LiPON map", "sha256": "ab" * 32},
        "rig": {"name": "bench", "simulated": True},
        "rig_seconds": 5.0,
        "wall_seconds": 1.0,
        "dose": {"areas": dose_of_areas(books)},
    }


def test_the_dose_of_an_area_is_in_the_units_of_its_name(books: Books) -> None:
    books.map.add(INTERFACE.where, 9850.25 * E_PER_A2)
    assert dose_of_areas(books)[0] == {
        "name": "interface",
        "budget_e_per_A2": 12000.0,
        "spent_max_e_per_A2": 9850.25,
        "spent_mean_e_per_A2": 9850.25,
    }


def test_of_two_steps_that_report_the_same_the_later_one_counts(books: Books) -> None:
    entries = [line("run", **RUN)]
    entries += [line("result", result={"report": {"interphase": {"width_nm": width}}}) for width in (70.0, 76.0)]
    entries += [line("result", result={"skipped": True})]
    assert gather(entries, books)["interphase"] == {"width_nm": 76.0}


def test_calibrations_of_several_steps_stand_side_by_side(books: Books) -> None:
    steps = [{"report": {"calibrations": {name: {"value": value}}}} for name, value in (("a", 1), ("b", 2), ("a", 3))]
    found = gather([line("run", **RUN), *(line("result", result=step) for step in steps)], books)
    assert found["calibrations"] == {"a": {"value": 3}, "b": {"value": 2}}


def test_wall_time_is_of_all_processes_of_the_run(books: Books) -> None:
    entries = [line("run", **RUN)]
    for seconds in (1.5, 2.25):
        entries += [line("resumed"), line("end", status="torn", wall_seconds=seconds, t=seconds)]
    assert gather(entries, books)["wall_seconds"] == 3.75


@pytest.mark.parametrize(
    ("after", "status"),
    [
        ([], "failed"),
        ([line("end", status="torn", wall_seconds=1.0)], "torn"),
        ([line("end", status="torn", wall_seconds=1.0), line("resumed")], "failed"),
        (
            [
                line("end", status="torn", wall_seconds=1.0),
                line("resumed"),
                line("end", status="done", wall_seconds=1.0),
            ],
            "done",
        ),
    ],
    ids=["killed", "torn", "torn, then killed", "torn, then done"],
)
def test_the_status_is_that_of_the_last_process(books: Books, after: list[Entry], status: str) -> None:
    assert gather([line("run", **RUN), *after], books)["status"] == status


def test_every_end_of_a_run_has_a_status() -> None:
    ends = {state: STATUS.get(state, "failed") for state in State}
    assert {ends[s] for s in (State.FAILED, State.LATCHED, State.ABORTING, State.RUNNING)} == {"failed"}
    assert [ends[s] for s in (State.DONE, State.ABORTED, State.TORN)] == ["done", "aborted", "torn"]


def test_results_are_written_whole_or_not_at_all(tmp_path: Path, mocker: MockerFixture) -> None:
    path = tmp_path / "results.json"
    write_json(path, {"status": "torn"})
    mocker.patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"status": "done"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"status": "torn"}


def test_a_result_that_is_no_number_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, {"ramp_nm": 76.0})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"ramp_nm": math.nan})
    assert json.loads(path.read_text(encoding="utf-8")) == {"ramp_nm": 76.0}
