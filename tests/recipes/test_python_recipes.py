"""A recipe as a Python function: it runs, is journalled and resumed like one of steps; a broken one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from acquisition.control import State
from acquisition.engine import RecipeDiverged
from drivers.errors import Aborted
from protocols.recipe import RecipeError, load_recipe
from tests.protocols.whole_run import Told, do, journal, make_job, results

HEAD = """\
from protocols.steps.cooling import CoolDown, Wait
from protocols.steps.eds import EdsMap
from protocols.steps.scanning import StemImage

NAME = "maps until there are counts enough"
SAMPLE = "wafer-7/lamella-2"
BUDGETS = {"interface": {"limit": "1000 e/A^2"}}
ELEMENTS = ["P", "O"]
"""
BODY = """
def recipe(run):
    run.do(CoolDown(to="285 K", ramp="20 K/min"))
    image = run.do(StemImage(of="interface", pixels=(32, 32), field="100 nm", dwell="4 us"))
    for number in range(2):
        run.note(f"map {number} after {image['mean_counts']:.0f} counts")
        taken = run.do(
            EdsMap(of="interface", elements=["P"], dose="50 e/A^2", passes=2, pixels=(16, 16), field="100 nm")
        )
        if taken["counts"]["P"] > 10**6 or run.random() > 2.0:
            break
    run.do(Wait(**{"for": "5 s"}))
"""
DONE = ["cool_down", "stem_image", "eds_map", "eds_map", "wait"]


def refused(path: Path, text: str) -> str:
    """The one line with which a Python recipe is refused."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    assert "Traceback" not in str(caught.value)
    return str(caught.value)


def test_a_python_recipe_runs_and_every_step_is_journalled(tmp_path: Path) -> None:
    job = make_job(tmp_path, HEAD + BODY, suffix="py")
    told = do(job)
    assert told.states[-1][0] is State.DONE
    assert [e["do"] for e in journal(job.folder, "step")] == DONE
    assert [e["what"] for e in journal(job.folder, "recalled")] == ["note", "random", "note", "random"]
    assert (job.folder / "recipe.py").read_text(encoding="utf-8") == HEAD + BODY
    assert results(job.folder)["recipe"]["name"] == "maps until there are counts enough"
    assert job.recipe.heading.elements == ("P", "O")


def test_a_resumed_python_recipe_repeats_nothing_and_draws_the_same(tmp_path: Path) -> None:
    job = make_job(tmp_path, HEAD + BODY, suffix="py")

    def stop(told: Told, now: object) -> None:
        if getattr(now, "do", "") == "wait":
            assert told.bench is not None
            told.bench.control.ask_abort("the test")

    with pytest.raises(Aborted):
        do(job, at_progress=stop)
    assert results(job.folder)["status"] == "aborted"
    before = journal(job.folder, "recalled")
    do(job)
    assert [e["do"] for e in journal(job.folder, "step")] == [*DONE, "wait"]  # which may be done again
    assert journal(job.folder, "recalled") == before
    assert len(journal(job.folder, "begin")) == 5
    assert results(job.folder)["status"] == "done"


def test_a_finished_run_that_is_resumed_touches_nothing(tmp_path: Path) -> None:
    job = make_job(tmp_path, HEAD + BODY, suffix="py")
    do(job)
    again = do(job)
    assert again.states[-1][0] is State.DONE
    assert len(journal(job.folder, "step")) == len(DONE)


def test_a_recipe_that_asks_for_another_step_than_was_done_is_refused(tmp_path: Path) -> None:
    job = make_job(tmp_path, HEAD + BODY, suffix="py")
    do(job)
    other = make_job(tmp_path, HEAD + BODY.replace("4 us", "5 us"), suffix="py")
    with pytest.raises(RecipeDiverged, match=r"recipe diverged at step 2: the journal has stem_image with other"):
        do(other)
    assert len(journal(job.folder, "begin")) == 5


def test_what_a_recipe_raises_is_journalled_and_the_rig_made_safe(tmp_path: Path) -> None:
    job = make_job(tmp_path, HEAD + "\ndef recipe(run):\n    return 1 // 0\n", suffix="py")
    with pytest.raises(ZeroDivisionError):
        do(job)
    assert "ZeroDivisionError" in journal(job.folder, "state")[-1]["why"]
    assert "scan: safe" in journal(job.folder, "safe")[-1]["tried"]
    assert results(job.folder)["status"] == "failed"


def test_a_recipe_that_leaves_the_program_has_not_been_done(tmp_path: Path) -> None:
    job = make_job(tmp_path, HEAD + "\ndef recipe(run):\n    raise SystemExit(0)\n", suffix="py")
    with pytest.raises(SystemExit):
        do(job)
    assert results(job.folder)["status"] == "failed"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (HEAD, "defines no recipe; it needs NAME, SAMPLE, BUDGETS and `def recipe(run)`."),
        (BODY, "defines no NAME, SAMPLE, BUDGETS; it needs"),
        (HEAD + "recipe = 5\n", "defines no function `recipe`"),
        (HEAD + "def recipe(run)\n", "line 9: SyntaxError: expected ':'"),
        ("import no_such_thing_at_all\n", "line 1: ModuleNotFoundError: No module named"),
        (HEAD + "\n1 // 0\n", "line 10: ZeroDivisionError"),
        (HEAD + '\n{}["NAME"]\n', "line 10: KeyError: 'NAME'"),
        (HEAD + "\nraise SystemExit(0)\n", "line 10: SystemExit: 0"),
        (HEAD + '\nCoolDown(to="285", ramp="1 K/min")\n', 'Did you mean "285 K"?'),
        (HEAD.replace('"1000 e/A^2"', "1000") + BODY, 'Did you mean "1000 e/A^2"?'),
        (HEAD.replace('"limit"', '"limits"') + BODY, '"budgets.interface.limit" is missing.'),
        (HEAD.replace('"wafer-7/lamella-2"', "7") + BODY, "sample: Input should be a valid string"),
        ("\0", "line"),
    ],
)
def test_a_broken_python_recipe_is_refused_plainly(tmp_path: Path, text: str, what: str) -> None:
    message = refused(tmp_path / "night.py", text)
    assert message.startswith("recipe night.py")
    assert what in message
