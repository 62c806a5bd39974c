"""The shipped recipe for a lamella, as it is and ten times too strong: what it finds, and what it says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from acquisition.control import State
from protocols.job import Job
from protocols.recipe import load_recipe, shipped
from protocols.rigtext import load_rig
from tests.protocols.whole_run import do, journal, results

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CARELESS = {'LATTICE = "300 e/A^2"': 'LATTICE = "1e3 e/A^2"', '"9e2 e/A^2"': '"1.4e4 e/A^2"'}


def test_lattice_images_come_first_and_everything_that_stands_there_is_found(tmp_path: Path) -> None:
    job = Job(load_recipe("li-lipon-stem"), load_rig("bench"), 2, None, tmp_path / "run")
    assert do(job).states[-1][0] is State.DONE
    done = [entry["do"] for entry in journal(job.folder, "step")]
    assert done.index("hrtem") < done.index("diffraction_map") < done.index("eds_map") < done.index("phase_map")
    found = results(job.folder)
    low, high = found["interphase"]["ci95_nm"]
    assert low <= 76.0 <= high
    phases = {region["name"]: {one["phase"] for one in region["phases"]} for region in found["regions"]}
    assert {"Li2O", "Li3PO4"} <= phases["lipon-side"] | phases["middle"]
    assert "Li3N" in phases["lithium-side"] | phases["middle"]
    assert phases["lipon"] == set()
    assert found["flags"] == []
    assert all(area["spent_max_e_per_A2"] <= area["budget_e_per_A2"] for area in found["dose"]["areas"])


def test_ten_times_the_dose_is_flagged(tmp_path: Path) -> None:
    text = shipped()["li-lipon-stem"].read_text(encoding="utf-8")
    for said, careless in CARELESS.items():
        assert said in text
        text = text.replace(said, careless)
    path = tmp_path / "careless.py"
    path.write_text(text, encoding="utf-8")
    job = Job(load_recipe(str(path)), load_rig("bench"), 2, None, tmp_path / "run")
    assert do(job).states[-1][0] is State.DONE
    (flag,) = results(job.folder)["flags"]
    assert "crystal signal fell by" in flag  # whether Li2O is seen to appear hangs on how much film the image holds
