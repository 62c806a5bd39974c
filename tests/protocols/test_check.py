"""The dry run: a real rig is rehearsed on simulated boxes, and whoever stops it has found nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from drivers.errors import Aborted
from drivers.links import AbortFlag
from physics.dose import E_PER_A2
from protocols import passports, runner
from protocols.books import look
from protocols.check import check
from protocols.cli import ABORTED, main
from protocols.job import Job
from protocols.passports import open_passport
from tests.protocols.test_rig_files import real
from tests.protocols.whole_run import COOL, IMAGE, do, make_job, passport, recipe_text, rig_text


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Console:
    """Nobody looks, no pictures are drawn, and the passports of real samples are kept in `user`."""
    monkeypatch.setattr(runner, "write_figures", lambda folder: [])
    monkeypatch.setattr(passports, "user_data_path", lambda name: tmp_path / "user")
    return Console(file=io.StringIO())


def real_job(folder: Path, recipe: str) -> Job:
    """A job on a real rig with a blank channel of its own."""
    return make_job(folder, recipe, rig=real(rig_text()) + "blank_channel: relay 1\n")


def test_a_real_rig_is_rehearsed_on_simulated_boxes_and_the_report_says_so(console: Console, tmp_path: Path) -> None:
    job = real_job(tmp_path, recipe_text(COOL + IMAGE))
    report = check(job, console)
    assert report.findings == []
    assert report.content["rehearsal"]["status"] == "done"
    said = "the same rig with simulated links and the shipped sample li-lipon, freshly calibrated"
    assert report.content["rehearsal"]["on"] == said
    assert said in (job.folder / "check.html").read_text(encoding="utf-8")
    assert not (tmp_path / "user").exists()


def test_the_rehearsal_of_a_real_rig_knows_what_the_sample_has_received(console: Console, tmp_path: Path) -> None:
    simulated = make_job(tmp_path, recipe_text(IMAGE))
    do(simulated)
    job = real_job(tmp_path, recipe_text(COOL + IMAGE))
    (entry,) = passport(simulated.folder, "reserve")
    with open_passport(job) as chain:
        chain.append("reserve", **{key: entry[key] for key in ("exposure_id", "where", "fluence", "frame", "utc")})
        before = chain.path.read_bytes()
    report = check(job, console)
    spent = report.content["rehearsal"]["dose"]["areas"][0]["spent_max_e_per_A2"]
    assert spent == pytest.approx(2 * entry["fluence"] / E_PER_A2, abs=1e-3)
    assert chain.path.read_bytes() == before


def test_what_only_a_rehearsal_finds_is_found_for_a_real_rig_too(console: Console, tmp_path: Path) -> None:
    steps = "- cool_down: {to: 285 K, ramp: 10 K/min, hold: 5 min, tolerance: 1e-3 K}\n"
    report = check(real_job(tmp_path, recipe_text(steps)), console)
    assert report.content["rehearsal"]["status"] == "failed"
    assert "while held the stage was" in report.findings[0].what


def test_a_check_that_somebody_stops_rejects_nothing(
    console: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = make_job(tmp_path, recipe_text(COOL))
    raised = AbortFlag()
    raised.set()
    monkeypatch.setattr(runner, "AbortFlag", lambda: raised)  # as the second Ctrl-C does
    with pytest.raises(Aborted):
        check(job, console)
    assert not (job.folder / "check.json").exists()


def test_ctrl_c_in_a_check_is_exit_code_3(
    console: Console, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    raised = AbortFlag()
    raised.set()
    monkeypatch.setattr(runner, "AbortFlag", lambda: raised)
    job = make_job(tmp_path, recipe_text(COOL), rig=rig_text())
    rig = tmp_path / "warm.yaml"
    rig.write_text(rig_text(), encoding="utf-8")
    words = ["cryolift", "check", str(tmp_path / job.recipe.file_name), "--rig", str(rig), "--out", str(tmp_path / "o")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ABORTED
    assert "rejected" not in capsys.readouterr().out


def test_a_calibration_that_will_be_too_old_at_first_light_is_found_before_anything_moves(tmp_path: Path) -> None:
    rig = real(rig_text("bench")).replace("valid_for: 12 h", "valid_for: 30 min")
    job = make_job(tmp_path, recipe_text("- wait: {for: 1 h}\n" + IMAGE), rig=rig)
    said = [finding.what for finding in look(job).findings]
    assert said == [
        "at first light the beam current will be 1.0 h old; it is valid for 0.5 h. Measure it and write it, with its "
        "date, into the rig file."
    ]
