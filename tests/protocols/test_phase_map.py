"""The step phase_map: bands before spots, verdicts with their controls, and pictures; on the images of hrtem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acquisition.control import State
from acquisition.datafile import open_record
from acquisition.engine import Decision
from acquisition.figures.phases import indexed
from acquisition.figures.write import write_figures
from drivers.errors import Aborted
from protocols.books import look
from protocols.job import Job
from protocols.outlook import PostconditionError
from protocols.steps.calibrate import _first_frame
from simulators.world import World
from tests.protocols.whole_run import COOL, Told, do, journal, make_job, recipe_text, results, rig_text
from tests.simulators.flood_bench import vacuum

IMAGES = "- hrtem: {of: lattice, dose: 250 e/A^2, frames: 2}\n"
PHASES = "- phase_map: {up_to: 600 e/A^2}\n"


def a_job(folder: Path, steps: str) -> Job:
    text = recipe_text(COOL + steps).replace("beside: {limit: 1e6 e/A^2}", "lattice: {limit: 3000 e/A^2}")
    return make_job(folder, text, rig=rig_text("bench", column=True))


def test_there_must_be_lattice_images(tmp_path: Path) -> None:
    found = look(a_job(tmp_path, PHASES)).findings
    assert ["no hrtem comes before it" in finding.what for finding in found] == [True]


def test_it_takes_no_dose_and_asks_for_none(tmp_path: Path) -> None:
    assert look(a_job(tmp_path, IMAGES + PHASES)).findings == []


@pytest.mark.parametrize(("indices", "written"), [("1-11", r"$1\bar{1}1$"), ("-2 0 11", r"$\bar{2}011$")])
def test_indices_are_written_with_bars(indices: str, written: str) -> None:
    assert indexed(indices) == written


def test_a_place_that_was_gone_on_with_after_a_crash_is_judged_once(tmp_path: Path) -> None:
    job = a_job(tmp_path, "- hrtem: {of: lattice, dose: 46.8 e/A^2, frames: 3, pixels: 256}\n" + PHASES)

    def stop(told: Told, now: Any) -> None:
        if now.do == "hrtem" and journal(job.folder, "pass"):
            assert told.bench is not None
            told.bench.control.ask_abort("the test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(World, "_sees", lambda world, window: vacuum(window))
        with pytest.raises(Aborted):
            do(job, at_progress=stop)
        with pytest.raises(PostconditionError, match="goes on with a place that another file holds"):
            do(job, decision=(2, Decision.REMAINDER))
    _, later = journal(job.folder, "result")[-1]["result"]["files"]
    with open_record(job.folder / later) as record:
        assert [one.index for one in record.passes()] == [1, 2]
        assert _first_frame(record).mean() > 10.0  # of frames that were not taken the file holds zeros


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_run_says_what_stands_in_each_band(tmp_path: Path) -> None:
    job = a_job(tmp_path, IMAGES + PHASES)
    assert do(job).states[-1][0] is State.DONE
    fixed = [entry["seq"] for entry in journal(job.folder, "bands")]
    assert len(fixed) == 1
    found = results(job.folder)
    regions = {region["name"]: region for region in found["regions"]}
    assert list(regions) == ["lithium", "lithium-side", "middle", "lipon-side", "lipon"]
    assert all(region["patches"] >= 20 for region in regions.values())
    assert "Li3PO4" in {phase["phase"] for phase in regions["lipon-side"]["phases"]}
    assert "Li2O" in {phase["phase"] for phase in regions["lithium-side"]["phases"]}
    reported = {phase["phase"] for region in regions.values() for phase in region["phases"]}
    assert reported <= {"Li", "Li2O", "Li3N", "Li3PO4"}
    assert 0.0 <= found["false_positive_rate"] <= 1.0
    assert 0.0 <= found["undecided_rate"] <= 1.0
    names = {path.name for path in write_figures(job.folder)}
    assert {"phase_map-image.png", "phase_map-layers.png", "phase_map-rings.png", "phase_map-fft-middle.png"} <= names
