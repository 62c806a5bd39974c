"""The command line: what each command prints and returns; a failure is one or two plain lines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from acquisition.chain import Chain
from protocols import runner as running
from protocols.cli import ABORTED, DONE, FAILED, TORN, USAGE, app
from tests.protocols.test_rig_files import real
from tests.protocols.whole_run import (
    COOL,
    IMAGE,
    PASSPORT,
    area_dose,
    do,
    journal,
    make_job,
    recipe_text,
    results,
    rig_text,
)

COMMANDS = [
    command.name or (command.callback.__name__ if command.callback else "") for command in app.registered_commands
]
Cli = Callable[..., Result]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs a command in an empty folder, without drawing pictures."""
    monkeypatch.setattr(running, "write_figures", lambda folder: [])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(recipe_text(), encoding="utf-8")
    (tmp_path / "warm.yaml").write_text(rig_text(), encoding="utf-8")
    return lambda *words, **more: CliRunner().invoke(app, [str(word) for word in words], **more)


def plain(result: Result, code: int = FAILED, lines: int = 2) -> str:
    """What a failing command said: at most two lines and never a traceback."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    said = result.stderr.strip()
    assert 1 <= len(said.splitlines()) <= lines
    return said


def small_run(cli: Cli, *more: str, recipe: str = "small.yaml") -> Result:
    """The small recipe on the warm rig, into the folder `night`."""
    return cli("run", recipe, "--rig", "warm.yaml", "--out", "night", *more)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_has_an_example(cli: Cli, name: str) -> None:
    result = cli(name, "--help")
    assert result.exit_code == DONE
    assert f"Example: cryolift {name}" in " ".join(result.output.split())


def test_every_command_of_the_interface_so_far_is_there() -> None:
    fixed = {
        "run",
        "check",
        "resume",
        "show",
        "recipes",
        "doctor",
        "safe",
        "pause",
        "abort",
        "blank",
        "answer",
        "reset",
        "serve",
    }
    assert fixed | {"sample"} <= set(COMMANDS)


def test_the_command_needs_no_script_folder() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "protocols", "recipes"], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == DONE, result.stderr
    assert result.stdout.startswith("dose-limited-map ")


def test_a_run_leaves_a_whole_folder_and_says_what_it_did(cli: Cli) -> None:
    result = small_run(cli)
    assert result.exit_code == DONE, result.output
    folder = Path("night")
    kept = {path.name for path in folder.iterdir()}
    assert {
        "data",
        "run.nxs",
        "control",
        "journal.jsonl",
        "recipe.yaml",
        "rig.yaml",
        "check.json",
        "results.json",
    } <= kept
    assert (folder / "recipe.yaml").read_text(encoding="utf-8") == recipe_text()
    assert [path.name for path in sorted((folder / "data").glob("*.nxs"))] == [
        "0002-stem_image.nxs",
        "0003-eds_map.nxs",
    ]
    for said in ("step 1 cool_down", "step 3 eds_map", "status: done", "interface"):
        assert said in result.output


def test_the_figures_of_a_run_are_drawn(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    do(job, pictures=True)
    assert (job.folder / "figures" / "overview.png").stat().st_size > 10_000


def test_a_run_is_not_begun_over_another(cli: Cli) -> None:
    small_run(cli)
    assert "night holds a run already. Choose another --out, or `cryolift resume night`." in plain(small_run(cli))


def test_a_recipe_over_its_budget_is_rejected_before_there_is_a_folder(cli: Cli) -> None:
    Path("small.yaml").write_text(recipe_text(limit="500 e/A^2"), encoding="utf-8")
    said = plain(small_run(cli))
    assert re.search(
        r'step 3 \(eds_map\): .*area "interface" .*500 e/A\^2 .*left\. Largest fluence that fits: \d', said
    )
    assert not Path("night").exists()


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (recipe_text().replace("285 K", "285"), r'recipe small.yaml line 7, column 19: to: .*Did you mean "285 K"\?'),
        (recipe_text() + "- sleep: {}\n", r'recipe small.yaml line 10, column 10: there is no step "sleep"'),
        ("steps: [", r"recipe small.yaml line 1, column 9: "),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_broken_recipe_is_named_with_its_place(cli: Cli, command: str, recipe: str, said: str) -> None:
    Path("small.yaml").write_text(recipe, encoding="utf-8")
    assert re.match(said, plain(cli(command, "small.yaml", "--out", "night")))
    assert not Path("night").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "nothing.yaml"), 'recipe "nothing.yaml" is neither a file nor shipped.'),
        (("run", "small.yaml", "--rig", "attic"), 'rig "attic" is neither a file nor shipped.'),
        (("run", "small.yaml", "--sample", "none.yaml"), 'there is no sample file "none.yaml"'),
        (("run", "small.yaml", "--sample", "small.yaml"), "small.yaml"),
        (("doctor", "--rig", "attic"), 'rig "attic" is neither a file nor shipped.'),
        (("safe", "--rig", "attic"), 'rig "attic" is neither a file nor shipped.'),
        (("show", "nothing"), "nothing is neither a run folder nor a .nxs file."),
        (("show", "."), "is not a run folder: it has no journal.jsonl."),
        (("show", "small.yaml"), "small.yaml"),
        (("resume", "."), "is not a run folder"),
        (("pause", "nothing"), "nothing is not a run folder"),
        (("reset", ".", "--by", "A. Operator", "--reason", "looked"), "is not a run folder"),
        (("sample", "show", "nothing"), "nothing"),
    ],
)
def test_what_is_not_there_is_named(cli: Cli, words: tuple[str, ...], said: str) -> None:
    assert said in plain(cli(*words), lines=4)


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("run", "small.yaml", "--seed", "-1"),
        ("run", "small.yaml", "--sed", "1"),
        ("walk", "small.yaml"),
        ("resume", "night", "--skip", "1", "--redo", "1"),
        ("reset", "night"),
        ("sample", "hide", "x"),
    ],
)
def test_a_wrong_use_is_2(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli(*words)
    assert result.exit_code == USAGE
    assert "Traceback" not in result.output


def test_a_check_rehearses_the_whole_recipe_and_leaves_the_sample_alone(cli: Cli) -> None:
    result = cli("check", "small.yaml", "--rig", "warm.yaml", "--out", "night")
    assert result.exit_code == DONE, result.output
    assert "a small map: clean." in result.output
    content = json.loads(Path("night/check.json").read_text(encoding="utf-8"))
    assert content["verdict"] == "clean"
    assert content["rehearsal"]["status"] == "done"
    assert content["areas"][0]["planned_max_e_per_A2"] == pytest.approx(
        content["rehearsal"]["dose"]["areas"][0]["spent_max_e_per_A2"], abs=1e-2
    )
    assert {path.name for path in Path("night").iterdir()} == {"check.json", "check.html"}
    assert "a small map" in Path("night/check.html").read_text(encoding="utf-8")


def test_what_was_checked_can_be_run_into_the_same_folder(cli: Cli) -> None:
    cli("check", "small.yaml", "--rig", "warm.yaml", "--out", "night")
    assert small_run(cli).exit_code == DONE


def test_a_check_rejects_what_a_run_would(cli: Cli) -> None:
    Path("small.yaml").write_text(recipe_text(limit="500 e/A^2"), encoding="utf-8")
    result = cli("check", "small.yaml", "--rig", "warm.yaml", "--out", "night")
    assert "step 3 (eds_map)" in plain(result)
    assert json.loads(Path("night/check.json").read_text(encoding="utf-8"))["verdict"] == "rejected"


def test_a_check_finds_what_only_the_rehearsal_can(cli: Cli) -> None:
    steps = "- cool_down: {to: 285 K, ramp: 10 K/min, hold: 5 min, tolerance: 1e-3 K}\n"
    Path("small.yaml").write_text(recipe_text(steps), encoding="utf-8")
    said = plain(cli("check", "small.yaml", "--rig", "warm.yaml", "--out", "night"))
    assert "while held the stage was" in said


def test_a_temperature_beyond_the_rig_is_refused_before_anything_moves(cli: Cli) -> None:
    Path("small.yaml").write_text(recipe_text("- cool_down: {to: 320 K, ramp: 1 K/min}\n"), encoding="utf-8")
    said = plain(cli("run", "small.yaml", "--rig", "warm.yaml", "--out", "night"))
    assert "320 K is beyond the rig's limit 310 K (warm.yaml line 14" in said
    assert not Path("night").exists()


def test_a_stage_warmer_than_the_sample_stands_is_refused_before_anything_moves(cli: Cli) -> None:
    Path("small.yaml").write_text(recipe_text("- cool_down: {to: 285 K, ramp: 1 K/min}\n"), encoding="utf-8")
    said = plain(cli("run", "small.yaml", "--rig", "bench", "--out", "night"))
    assert "285 K is above the sample's ceiling of 133 K" in said


def test_a_real_rig_without_a_blank_channel_may_not_run_unattended(cli: Cli) -> None:
    Path("real.yaml").write_text(real(rig_text("bench")), encoding="utf-8")
    said = plain(cli("check", "small.yaml", "--rig", "real.yaml", "--out", "night"))
    assert said.startswith("rig: declares no independent blank channel")


def test_a_real_rig_moves_only_when_its_name_is_typed(cli: Cli) -> None:
    Path("real.yaml").write_text(real(rig_text("bench")), encoding="utf-8")
    result = cli("run", "small.yaml", "--rig", "real.yaml", "--out", "night", input="bunch\n")
    assert "scan: open-beam-interface at tcp://10.0.0.5:2101" in result.output
    assert "that is not the rig's name; nothing was moved." in result.stderr
    assert result.exit_code == FAILED
    assert not Path("night").exists()


def test_a_sample_file_belongs_to_a_simulated_rig(cli: Cli) -> None:
    Path("real.yaml").write_text(real(rig_text("bench")), encoding="utf-8")
    assert cli("run", "small.yaml", "--rig", "real.yaml", "--sample", "x.yaml").exit_code == USAGE


def test_show_tells_of_a_run_and_of_a_file(cli: Cli) -> None:
    small_run(cli)
    told = cli("show", "night")
    assert told.exit_code == DONE
    for said in ("a small map on bench-exact (simulated), seed 1", "status: done", "eds_map", "0003-eds_map.nxs"):
        assert said in told.output
    everything = json.loads(cli("show", "night", "--json").output)
    assert everything["results"]["status"] == "done"
    assert everything["journal"][0]["kind"] == "run"
    file = cli("show", "night/data/0003-eds_map.nxs", "--json")
    assert file.exit_code == DONE
    assert json.loads(file.output)
    assert cli("show", "night/data/0003-eds_map.nxs").exit_code == DONE


def test_the_passport_of_a_sample_is_shown(cli: Cli) -> None:
    small_run(cli)
    shown = cli("sample", "show", f"night/{PASSPORT}")
    assert shown.exit_code == DONE
    assert shown.output.count('"reserve"') == 7


def test_the_doctor_reaches_every_device(cli: Cli) -> None:
    result = cli("doctor")
    assert result.exit_code == DONE
    for said in ("cryolift ", "h5py ", "code in ", "cryostat: ", "scan: ", "eds: ", "scan: safe"):
        assert said in result.output


def test_safe_blanks_stops_and_holds_and_does_nothing_else(cli: Cli) -> None:
    result = cli("safe", "--rig", "warm.yaml")
    assert result.exit_code == DONE
    assert sorted(result.output.split("\n")[:3]) == ["cryostat: safe", "eds: safe", "scan: safe"]


def test_a_torn_run_is_4_until_somebody_decides(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path)
    plain_append, begun = Chain.append, []

    def append(chain: Chain, kind: str, **facts: object) -> object:
        entry = plain_append(chain, kind, **facts)
        begun.append(kind) if kind == "begin" else None
        if begun.count("begin") == 4:
            raise KeyboardInterrupt  # as sudden as a kill, but for the words in the journal
        return entry

    with monkeypatch.context() as patch:
        patch.setattr(Chain, "append", append)
        with pytest.raises(KeyboardInterrupt):
            do(job)
    assert "step 3 (eds_map) was begun and not finished" in cli("resume", job.folder).output
    assert cli("resume", job.folder).exit_code == TORN
    assert results(job.folder)["status"] == "torn"
    assert "step 2 is not torn" in plain(cli("resume", job.folder, "--redo", "2"))
    assert cli("resume", job.folder, "--remainder", "3").exit_code == DONE
    assert results(job.folder)["status"] == "done"
    assert cli("resume", job.folder).exit_code == DONE
    assert area_dose(job.folder) < 620.0


def test_an_abort_is_3(cli: Cli) -> None:
    Path("small.py").write_text(
        "from drivers.errors import Aborted\nNAME = SAMPLE = 'a'\nBUDGETS = {}\n"
        "def recipe(run):\n    raise Aborted('stopped by hand')\n",
        encoding="utf-8",
    )
    assert small_run(cli, recipe="small.py").exit_code == ABORTED
    assert results(Path("night"))["status"] == "aborted"


def test_an_unexpected_failure_is_one_line_and_a_traceback_only_where_asked(cli: Cli) -> None:
    Path("small.py").write_text("NAME = SAMPLE = 'a'\nBUDGETS = {}\ndef recipe(run):\n    1 // 0\n", encoding="utf-8")
    said = plain(small_run(cli, recipe="small.py"))
    assert "ZeroDivisionError: integer division or modulo by zero (--debug shows where)" in said
    result = cli("run", "small.py", "--out", "other", "--debug")
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_recipe_that_leaves_the_program_did_not_succeed(cli: Cli) -> None:
    Path("small.py").write_text(
        "NAME = SAMPLE = 'a'\nBUDGETS = {}\ndef recipe(run):\n    raise SystemExit(0)\n", encoding="utf-8"
    )
    plain(small_run(cli, recipe="small.py"))


@pytest.mark.parametrize("request_", [("pause",), ("abort",), ("blank",)])
def test_what_nobody_runs_cannot_be_asked(cli: Cli, request_: tuple[str, ...]) -> None:
    small_run(cli)
    assert "nobody runs it now" in plain(cli(*request_, "night"))
    assert not any((Path("night") / "control").glob(f"{request_[0]}*"))


def test_what_is_not_latched_is_not_reset(cli: Cli) -> None:
    small_run(cli)
    assert "no interlock is latched" in plain(cli("reset", "night", "--by", "A. Operator", "--reason", "looked"))


def test_a_folder_whose_process_died_at_once_is_told_and_can_be_begun(cli: Cli) -> None:
    Path("night").mkdir()
    Path("night/journal.jsonl").write_bytes(b'{"seq":0,"ki')
    assert "nothing was begun in it" in plain(cli("resume", "night"))
    assert "nothing was begun in it" in plain(cli("show", "night"))
    assert small_run(cli).exit_code == DONE


def test_a_damaged_journal_is_named(cli: Cli) -> None:
    small_run(cli)
    path = Path("night/journal.jsonl")
    path.write_bytes(path.read_bytes().replace(b"eds_map", b"eds_mop", 1))
    assert re.search(r"journal.jsonl line \d+: damaged", plain(cli("resume", "night")))
    assert re.search(r"journal.jsonl line \d+: damaged", plain(cli("show", "night")))


def test_a_damaged_passport_stops_a_run_before_the_rig_is_opened(cli: Cli) -> None:
    small_run(cli)
    path = Path("night") / PASSPORT
    path.write_bytes(path.read_bytes().replace(b"interface", b"interfase", 1))
    assert "passport.jsonl line 2: damaged" in plain(cli("resume", "night", "--recipe", "small.yaml"))


def test_a_run_that_is_done_is_not_gone_on_with(cli: Cli) -> None:
    small_run(cli)
    before = (Path("night") / "journal.jsonl").read_bytes()
    told = cli("resume", "night")
    assert (told.exit_code, "nothing is left to do" in told.output) == (DONE, True)
    assert (Path("night") / "journal.jsonl").read_bytes() == before


def test_the_index_of_a_run_shows_the_run(cli: Cli) -> None:
    small_run(cli)
    assert cli("show", "night/run.nxs").output == cli("show", "night").output


def test_each_seed_is_another_sample(cli: Cli) -> None:
    Path("small.yaml").write_text(recipe_text(COOL + IMAGE), encoding="utf-8")
    small_run(cli, "--seed", "3")
    cli("run", "small.yaml", "--rig", "warm.yaml", "--out", "other", "--seed", "4")
    cli("run", "small.yaml", "--rig", "warm.yaml", "--out", "same", "--seed", "3")
    counts = [journal(Path(name), "result")[-1]["result"]["mean_counts"] for name in ("night", "other", "same")]
    assert counts[0] == counts[2] != counts[1]
