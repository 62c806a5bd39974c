"""run.nxs: the index of a run."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from acquisition.datafile import write_index
from tests.acquisition.known_map import write_map


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_map(tmp_path / "data" / "0004-eds_map.nxs")
    return tmp_path


def index_of(run_folder: Path, status: str = "done") -> Path:
    return write_index(
        run_folder,
        run={"title": "Li/LiPON", "status": status},
        steps=[{"ordinal": 1, "step": "cool_down"}, {"ordinal": 4, "step": "eds_map", "seconds": 6.0}],
        dose=[{"exposure_id": "0004-0000", "charged_e_per_A2": 26.0}, {"exposure_id": "0004-0001"}],
        recipe_text="recipe: 1\n",
        results={"status": status},
    )


def test_the_index_leads_to_every_record_that_exists(run_folder: Path) -> None:
    with h5py.File(index_of(run_folder)) as index:
        assert sorted(index) == ["0004-eds_map", "run"]
        assert index["0004-eds_map/title"][()] == b"EDS map of interface"


def test_the_folder_can_be_moved_with_its_index(run_folder: Path, tmp_path: Path) -> None:
    index_of(run_folder)
    moved = run_folder.rename(tmp_path.parent / f"{tmp_path.name}-moved")
    with h5py.File(moved / "run.nxs") as index:
        assert "measurement" in index["0004-eds_map"]


def test_steps_and_dose_become_columns(run_folder: Path) -> None:
    with h5py.File(index_of(run_folder)) as index:
        assert list(index["run/steps/step"].asstr()) == ["cool_down", "eds_map"]
        assert np.array_equal(index["run/steps/seconds"], [np.nan, 6.0], equal_nan=True)
        assert np.array_equal(index["run/dose/charged_e_per_A2"], [26.0, np.nan], equal_nan=True)


def test_a_resume_writes_the_index_anew(run_folder: Path) -> None:
    index_of(run_folder, status="aborted")
    with h5py.File(index_of(run_folder, status="done")) as index:
        assert b'"status": "done"' in index["run/note_run/data"][()]
    assert sorted(found.name for found in run_folder.iterdir()) == ["data", "run.nxs"]
