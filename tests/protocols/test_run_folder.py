"""What a run folder keeps of what was run: the recipe byte for byte, and the sample that was really loaded."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from protocols import runner
from protocols.books import look
from protocols.cli import DONE, app
from protocols.recipe import load_recipe
from protocols.runner import begin
from simulators.sample.file import SHIPPED
from tests.protocols.whole_run import COOL, make_job, recipe_text, rig_text

IN_PYTHON = "NAME = SAMPLE = 'wafer-7'\nBUDGETS = {}\n\n\ndef recipe(run):\n    run.note('nothing')\n"


@pytest.mark.parametrize(("suffix", "text"), [("yaml", recipe_text(COOL)), ("py", IN_PYTHON)])
def test_a_recipe_is_hashed_and_kept_byte_for_byte(suffix: str, text: str, tmp_path: Path) -> None:
    content = text.replace("\n", "\r\n").encode()  # as an editor on Windows leaves it
    file = tmp_path / f"windows.{suffix}"
    file.write_bytes(content)
    job = replace(make_job(tmp_path), recipe=load_recipe(str(file)))
    begin(job, look(job))
    assert (job.folder / f"recipe.{suffix}").read_bytes() == content
    assert job.recipe.sha256 == hashlib.sha256(content).hexdigest()


def test_the_shipped_sample_is_kept_too(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    begin(job, look(job))
    assert (job.folder / "sample.yaml").read_bytes() == (SHIPPED / "li-lipon.yaml").read_bytes()


def test_a_resume_goes_on_with_the_sample_that_was_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runner, "write_figures", lambda folder: [])
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(recipe_text(COOL), encoding="utf-8")
    Path("warm.yaml").write_text(rig_text(), encoding="utf-8")
    assert CliRunner().invoke(app, ["run", "small.yaml", "--rig", "warm.yaml", "--out", "night"]).exit_code == DONE
    kept = Path("night/sample.yaml")
    kept.write_text(kept.read_text(encoding="utf-8").replace("stack:", "stick:", 1), encoding="utf-8")
    assert "sample.yaml" in CliRunner().invoke(app, ["resume", "night", "--recipe", "small.yaml"]).stderr
