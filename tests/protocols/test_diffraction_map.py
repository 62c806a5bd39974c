"""The step diffraction_map: patterns at every position, evaluated and filed; what cannot be costs no dose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acquisition.control import State
from acquisition.datafile import open_record
from acquisition.engine import Decision
from acquisition.figures.write import write_figures
from drivers.camera import Camera
from drivers.errors import RigError
from protocols.books import look
from protocols.job import Job
from protocols.outlook import StepError
from protocols.rigtext import load_rig
from protocols.steps import diffraction
from tests.protocols.small_rig import small
from tests.protocols.whole_run import COOL, Told, compare, do, journal, make_job, recipe_text

ORDINAL = 2


def step(**changed: Any) -> str:
    """The step as a line of a recipe."""
    said = {"of": "interface", "pixels": [16, 12], "field": "160 nm", "dwell": "60 us"} | changed
    return f"- diffraction_map: {{{', '.join(f'{key}: {value}' for key, value in said.items() if value)}}}\n"


def a_job(folder: Path, steps: str, *, rig: str | None = None, limit: str = "2000 e/A^2", cone: str = "20 mrad") -> Job:
    text = (rig or load_rig("bench-exact").text).replace("sample_ceiling: 133 K", "sample_ceiling: 300 K")
    return make_job(
        folder,
        recipe_text(COOL + steps, limit=limit),
        rig=text.replace("convergence: 20 mrad", f"convergence: {cone}"),
    )


def findings(folder: Path, steps: str, **more: Any) -> str:
    return "; ".join(finding.what for finding in look(a_job(folder, steps, **more)).findings)


@pytest.fixture(scope="module", autouse=True)
def few_patterns_drawn() -> Iterator[None]:
    """The threshold of a spot is known less well, and sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffraction, "DRAWN", 48)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Told]:
    job = a_job(tmp_path_factory.mktemp("diffraction"), step())
    return job, do(job)


def result(job: Job) -> dict[str, Any]:
    return dict(journal(job.folder, "result")[-1]["result"])


def test_every_pattern_is_in_the_file_with_the_dark_field_beside_it(done: tuple[Job, Told]) -> None:
    job, told = done
    assert told.states[-1][0] is State.DONE
    found = result(job)
    assert found["frames"]["whole"]
    assert found["patterns"] == {"came": 192, "due": 192, "blind_pixels": 3, "saturated_pixels": 0}
    with open_record(job.folder / found["file"]) as record:
        assert record.status == "complete"
        assert record.camera("diffraction").received.all()
        assert record.image("dark_field").shape == (12, 16)
        assert {"positions", "patterns", "radial_profile"} <= set(record.tables)
        assert record.results == found
        assert record.verify() == ()


def test_the_virtual_dark_field_is_the_recorded_one(done: tuple[Job, Told]) -> None:
    found = result(done[0])
    assert found["virtual_over_recorded"]["value"] == pytest.approx(1.0, abs=0.05)
    assert found["virtual_over_recorded"]["correlation"] > 0.98
    assert found["ring_on_camera"] == pytest.approx(1.0, abs=0.01)
    assert found["disk"]["radius_mrad"] == pytest.approx(20.0, abs=0.3)


def test_a_disk_that_hides_the_halo_leaves_none_to_tell(done: tuple[Job, Told]) -> None:
    assert result(done[0])["halo"] is None


def test_the_ledger_counts_no_less_than_the_sample_received(done: tuple[Job, Told]) -> None:
    job, told = done
    assert compare(told.world, told.ledger).below() == 0
    assert len(journal(job.folder, "begin")) == 1


def test_its_pictures_are_drawn(done: tuple[Job, Told]) -> None:
    names = {path.stem for path in write_figures(done[0].folder)}
    wanted = ("virtual", "recorded", "bright", "spots", "mean", "maximum", "profile")
    assert {f"diffraction_map-{name}" for name in wanted} <= names


@pytest.mark.slow
def test_lipon_has_a_halo_at_its_spacing_and_no_spots(tmp_path: Path) -> None:
    rig = load_rig("bench-exact").text.replace("at: [0 nm, 0 nm]", "at: [500 nm, 0 nm]", 1)  # the area `interface`
    job = a_job(tmp_path, step(pixels=[12, 8], dwell="100 us"), rig=rig, cone="1.5 mrad")
    do(job)
    found = result(job)
    assert found["halo"]["per_nm"] == pytest.approx(2.70, rel=0.07)  # 3.7 angstrom
    assert found["spots"]["positions"] <= 10  # of 96, by chance: the threshold is known badly here
    assert found["virtual_over_recorded"]["value"] == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"dwell": "1 us"}, "frame_time"),  # the camera is not so fast
        ({"dwell": None, "dose": "900 e/A^2"}, "500 e/A^2"),  # the budget
        ({"of": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_be_is_found_before_anything_moves(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    assert why in findings(tmp_path, step(**changed), limit="500 e/A^2")


def test_a_rig_without_a_camera_takes_no_map(tmp_path: Path) -> None:
    assert "needs a camera" in findings(tmp_path, step(), rig=small("bench-exact"))


@pytest.mark.parametrize("times", [{"dwell": None}, {"dose": "10 e/A^2"}])
def test_either_dwell_or_dose_is_said(tmp_path: Path, times: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="either"):
        a_job(tmp_path, step(**times))


def test_what_the_camera_refuses_costs_no_dose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(camera: Camera, *_: Any, **__: Any) -> None:
        raise RigError("refused: not today", device="camera", action="configure")

    monkeypatch.setattr(Camera, "configure", refuses)
    job = a_job(tmp_path, step())
    with pytest.raises(RigError, match="not today"):
        do(job)
    assert journal(job.folder, "reserve") == []


@pytest.mark.slow
def test_frames_that_did_not_come_are_told_and_cost_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Camera.read

    def forgetful(camera: Camera, timeout: float) -> list[Any]:
        return [image for image in reads(camera, timeout) if image.image not in (5, 6)]

    monkeypatch.setattr(Camera, "read", forgetful)
    job = a_job(tmp_path, step())
    do(job)
    found = result(job)
    assert found["patterns"]["came"] == 190
    with open_record(job.folder / found["file"]) as record:
        assert record.camera("diffraction").missing == ((5, 6),)
        dark = record.table("positions")["dark_field"].values
    assert np.flatnonzero(np.isnan(dark)).tolist() == [5, 6]


@pytest.mark.slow
def test_what_was_begun_is_not_done_again_by_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(Exception):
        pass

    def dies(camera: Camera, timeout: float) -> list[Any]:
        raise Died

    job = a_job(tmp_path, step(pixels=[8, 6]))
    with monkeypatch.context() as patch:
        patch.setattr(Camera, "read", dies)
        with pytest.raises(Died):
            do(job)
    with pytest.raises(StepError, match="nothing of it is left to deliver"):
        do(job, decision=(ORDINAL, Decision.REMAINDER))
    do(job, decision=(ORDINAL, Decision.REDO))
    assert result(job)["frames"]["whole"]
    assert len(journal(job.folder, "begin")) == 2
