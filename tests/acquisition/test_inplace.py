"""Windows replaces no file that somebody reads: nothing is lost for it, and nobody has to close a viewer in time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from acquisition import inplace
from acquisition.datafile import DataFileError, open_record, rescue, write_index
from acquisition.inplace import PATIENCE
from acquisition.results import write_json
from tests.acquisition.known_map import STARTED, begin, take_pass

Hold = Callable[[Path, float], list[float]]


@pytest.fixture
def hold(mocker: MockerFixture, monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Somebody has a file open for so many s of wall time: replacing it fails until then. Gives the naps taken."""
    naps: list[float] = []
    monkeypatch.setattr(inplace, "wall_sleep", naps.append)
    really = Path.replace

    def held(path: Path, seconds: float) -> list[float]:
        def replace(part: Path, target: Path) -> Path:
            if target == path and sum(naps) < seconds:
                raise PermissionError(13, "The process cannot access the file because it is being used", str(target))
            return really(part, target)

        mocker.patch("pathlib.Path.replace", replace)
        return naps

    return held


def finish_a_map(path: Path) -> None:
    """A small map, measured and finished."""
    file, image, events = begin(path)
    with file:
        for index in range(4):
            take_pass(file, image, events, index)
        file.finish(status="complete", ended=STARTED + timedelta(minutes=1), results={"width_nm": 3.0})


def status(path: Path) -> str:
    with open_record(path) as record:
        return record.status


def test_a_record_that_is_read_for_a_moment_is_finished_in_its_place(hold: Hold, tmp_path: Path) -> None:
    naps = hold(tmp_path / "a.nxs", 1.0)
    finish_a_map(tmp_path / "a.nxs")
    assert status(tmp_path / "a.nxs") == "complete"
    assert 1.0 <= sum(naps) < PATIENCE
    assert [path.name for path in tmp_path.iterdir()] == ["a.nxs"]


def test_a_record_that_is_read_on_and_on_is_finished_beside_it_and_put_in_place_later(
    hold: Hold, tmp_path: Path
) -> None:
    path = tmp_path / "a.nxs"
    hold(path, 2.5 * PATIENCE)
    finish_a_map(path)
    assert {each.name for each in tmp_path.iterdir()} == {"a.nxs", "a.nxs.finished"}
    assert status(path) == "complete"  # for us, who know where it waits
    with pytest.raises(DataFileError, match="held open"):
        rescue(path)
    assert status(path) == "complete"
    assert rescue(path).status == "complete"
    assert [each.name for each in tmp_path.iterdir()] == ["a.nxs"]
    assert not path.stat().st_mode & 0o222


@pytest.mark.parametrize("name", ["results.json", "run.nxs"])
def test_the_index_and_the_results_wait_for_whoever_reads_them(name: str, hold: Hold, tmp_path: Path) -> None:
    def write(status: str) -> None:
        if name == "run.nxs":
            write_index(tmp_path, run={"title": status}, steps=[], dose=[], recipe_text="", results={})
        else:
            write_json(tmp_path / name, {"status": status})

    write("torn")
    before = (tmp_path / name).read_bytes()
    hold(tmp_path / name, 1.0)
    write("done")
    assert (tmp_path / name).read_bytes() != before
    if name == "results.json":
        assert json.loads((tmp_path / name).read_text(encoding="utf-8")) == {"status": "done"}


def test_a_file_that_nobody_lets_go_of_stays_as_it_was(hold: Hold, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, {"status": "torn"})
    hold(path, 10 * PATIENCE)
    with pytest.raises(PermissionError):
        write_json(path, {"status": "done"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"status": "torn"}
