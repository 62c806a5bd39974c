"""Runs as processes: killed from outside, interrupted, asked from another process, and never two on one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from acquisition.chain import Entry, read_chain
from drivers.clock import wall_seconds, wall_sleep
from protocols import runner
from protocols.cli import app
from tests.protocols.whole_run import (
    COOL,
    IMAGE,
    MAP,
    MAP_ORDINAL,
    area_dose,
    journal,
    passport,
    recipe_text,
    results,
    rig_text,
)

SHORT = "- wait: {for: 1 s}\n"
LONG = "- wait: {for: 300000 h}\n"  # without a cold stage, whose nitrogen would run out
PATIENCE = 60.0  # s of wall time, for a machine that has much else to do
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the warm rig in it, where the test stands; nothing is drawn."""
    (tmp_path / "warm.yaml").write_text(rig_text(), encoding="utf-8")
    monkeypatch.setattr(runner, "write_figures", lambda folder: [])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def here(*words: str) -> Result:
    """A command in the process of the test, which is another one than that of the run."""
    return CliRunner().invoke(app, words)


@contextmanager
def running(folder: Path, steps: str) -> Iterator[subprocess.Popen[str]]:
    """A run of these steps as a process of its own, killed at the end if nothing else ended it."""
    (folder / "night.yaml").write_text(recipe_text(steps), encoding="utf-8")
    words = [sys.executable, "-m", "protocols", "run", "night.yaml", "--rig", "warm.yaml", "--out", "night"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, cwd=folder, env=env, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: subprocess.Popen[str], run: Path, seen: Callable[[list[Entry]], bool]) -> list[Entry]:
    """Wait for something to stand in the journal of a process's run."""
    end = wall_seconds() + PATIENCE
    while wall_seconds() < end:
        entries = read_chain(run / "journal.jsonl") if (run / "journal.jsonl").exists() else []
        if seen(entries):
            return entries
        assert process.poll() is None, process.communicate()
        wall_sleep(0.005)
    raise AssertionError("the process did not get there in time")


def in_state(state: str) -> Callable[[list[Entry]], bool]:
    """True once the last state in the journal is this one."""
    return lambda entries: [e["state"] for e in entries if e["kind"] == "state"][-1:] == [state]


def waiting(entries: list[Entry]) -> bool:
    """True once the run is in its second step."""
    return any(e["kind"] == "step" and e["ordinal"] == 2 for e in entries)


def third_pass_begun(entries: list[Entry]) -> bool:
    return sum(e["kind"] == "begin" for e in entries) >= 4


def test_a_map_killed_from_outside_is_torn_and_its_remainder_delivered(folder: Path) -> None:
    many = MAP.replace("passes: 6", "passes: 30").replace("[32, 32]", "[64, 64]")
    run = folder / "night"
    with running(folder, COOL + IMAGE + many) as process:
        until(process, run, third_pass_begun)
        process.kill()
        process.wait()
    begun = len(journal(run, "begin"))
    spent = sum(e["fluence"] for e in passport(run, "reserve"))
    assert begun < 31

    torn = here("resume", "night")
    assert torn.exit_code == 4, torn.output
    assert f"--remainder {MAP_ORDINAL}" in torn.output
    assert results(run)["status"] == "torn"
    assert area_dose(run) * 1e20 == pytest.approx(spent, rel=1e-6)
    assert len(journal(run, "begin")) == begun

    whole = here("resume", "night", "--remainder", str(MAP_ORDINAL))
    assert whole.exit_code == 0, whole.output
    ids = [e["exposure_id"] for e in journal(run, "begin") if f"-{MAP_ORDINAL:04d}-" in e["exposure_id"]]
    assert [int(i[-4:]) for i in ids] == list(range(30))
    assert [e["ordinal"] for e in journal(run, "step")] == [1, 2, 3, 3]
    assert results(run)["status"] == "done"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_ctrl_c_pauses_blanked_another_process_resumes_and_a_second_one_aborts(folder: Path) -> None:
    run = folder / "night"
    with running(folder, SHORT + LONG) as process:
        until(process, run, waiting)
        process.send_signal(signal.SIGINT)
        until(process, run, in_state("paused"))

        assert "night: told to go on" in here("resume", "night").output
        until(process, run, in_state("running"))

        process.send_signal(signal.SIGINT)
        until(process, run, in_state("paused"))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3, err
    assert "Traceback" not in out + err
    assert "paused: blanked;" in out
    assert journal(run, "state")[-1]["why"]
    assert "scan: safe" in journal(run, "safe")[-1]["tried"]
    assert results(run)["status"] == "aborted"


def test_another_process_pauses_resumes_blanks_and_aborts_a_run_but_cannot_run_it_too(folder: Path) -> None:
    run = folder / "night"
    with running(folder, SHORT + LONG) as process:
        until(process, run, waiting)
        second = here("run", "night.yaml", "--rig", "warm.yaml", "--out", "night")
        assert second.exit_code == 1
        assert "holds a run already" in second.stderr
        resumed = here("resume", "night")
        assert resumed.exit_code == 1
        assert "night is being run by another process" in resumed.stderr

        for ask in ("pause", "blank"):
            assert f"night: asked to {ask}" in here(ask, "night").output
            until(process, run, in_state("paused"))
            here("resume", "night")
            until(process, run, in_state("running"))

        here("abort", "night")
        process.wait(timeout=PATIENCE)
    assert process.returncode == 3
    assert journal(run, "state")[-1]["state"] == "aborted"
    assert [e["kind"] for e in journal(run)].count("run") == 1


def test_a_run_killed_while_it_paused_can_be_resumed(folder: Path) -> None:
    run = folder / "night"
    with running(folder, SHORT + LONG) as process:
        until(process, run, waiting)
        here("pause", "night")
        until(process, run, in_state("paused"))
        process.kill()
        process.wait()
    (folder / "night" / "recipe.yaml").write_text(recipe_text(SHORT + SHORT.replace("1 s", "2 s")), encoding="utf-8")
    again = here("resume", "night")
    assert again.exit_code == 1
    assert "recipe diverged at step 2" in again.stderr  # it was tried, not told to a process that is gone
