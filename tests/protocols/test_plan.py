"""What is said before anything moves: how much dose where, how long, and which step does not fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocols.books import look
from protocols.job import Job, RunError
from protocols.plan import Finding
from protocols.recipe import load_recipe
from protocols.rigtext import load_rig
from tests.protocols.whole_run import IMAGE, MAP, do, make_job, passport, recipe_text

SHIPPED = load_recipe("dose-limited-map").text


def shipped(tmp_path: Path, limit: str = "1.2e4", dose: str = "1e4", rig: str = "bench") -> Job:
    """The shipped recipe with another budget or another fluence of its map."""
    text = SHIPPED.replace("limit: 1.2e4 e/A^2", f"limit: {limit} e/A^2").replace("dose: 1e4", f"dose: {dose}")
    text = text.replace("notify: 9e3 e/A^2, ", "")
    path = tmp_path / "map.yaml"
    path.write_text(text, encoding="utf-8")
    return Job(load_recipe(str(path)), load_rig(rig), 1, None, tmp_path / "run")


def small(tmp_path: Path, steps: str, limit: str = "1000 e/A^2") -> list[Finding]:
    """What speaks against a small recipe."""
    return look(make_job(tmp_path, recipe_text(steps, limit=limit))).findings


def test_the_shipped_recipe_fits_on_every_shipped_rig(tmp_path: Path) -> None:
    assert [look(shipped(tmp_path, rig=rig)).findings for rig in ("bench", "bench-exact")] == [[], []]


def test_half_the_budget_rejects_the_map_and_says_what_would_fit(tmp_path: Path) -> None:
    (finding,) = look(shipped(tmp_path, limit="5e3")).findings
    assert (finding.step, finding.do) == (5, "eds_map")
    assert re.fullmatch(
        r'eds_map would give area "interface" 9996 e/A\^2 \(up to \d+(\.\d+)? e/A\^2 within the '
        r"calibration's bounds\); \d+(\.\d+)? e/A\^2 of 5000 e/A\^2 are spent, \d+(\.\d+)? e/A\^2 are left\. "
        r"Largest fluence that fits: \d+(\.\d+)? e/A\^2\.",
        finding.what.removeprefix("ledger: "),
    )


@pytest.mark.parametrize("limit", ["2e3", "5e3", "7.7e3", "1e4"])
def test_the_fluence_that_is_said_to_fit_fits(tmp_path: Path, limit: str) -> None:
    (finding,) = look(shipped(tmp_path, limit=limit)).findings
    said = re.search(r"Largest fluence that fits: (\S+) e/A", finding.what)
    assert said is not None
    assert look(shipped(tmp_path, limit=limit, dose=said[1])).findings == []
    assert look(shipped(tmp_path, limit=limit, dose=str(1.03 * float(said[1])))).findings != []


def test_a_rejected_recipe_has_touched_nothing(tmp_path: Path) -> None:
    look(shipped(tmp_path, limit="5e3"))
    assert not (tmp_path / "run").exists()


def test_a_step_that_does_not_fit_leaves_room_for_one_that_does(tmp_path: Path) -> None:
    large = MAP.replace("600 e", "6000 e")
    assert [f.step for f in small(tmp_path, large + MAP)] == [1]
    assert [f.step for f in small(tmp_path, MAP + MAP)] == [2]


@pytest.mark.parametrize(
    ("steps", "what"),
    [
        (IMAGE.replace("field: 200 nm", "field: 4 um"), "beyond the rig's limit"),
        (IMAGE.replace("field: 200 nm", "field: 1 nm"), "beyond the rig's limit"),
        (IMAGE.replace("dwell: 8 us", "dwell: 1 s"), "beyond the rig's limit"),
        (IMAGE.replace("dwell: 8 us", "dwell: 8 ms").replace("32, 32", "512, 512"), "frame_time"),
        (
            IMAGE.replace("of: interface", "of: moon"),
            'area "moon", which has no place. Known: beside, focus, interface, lattice, standard',
        ),
        (IMAGE.replace("of: interface, ", ""), "names no area"),
        ("- move_stage: {to: moon}\n", 'area "moon"'),
        ("- eds_line: {from: eds_map, across: interface}\n", "no eds_map comes before it"),
    ],
)
def test_what_the_rig_cannot_do_is_found_before_it_opens(tmp_path: Path, steps: str, what: str) -> None:
    (finding,) = small(tmp_path, steps, limit="1e6 e/A^2")
    assert finding.step == 1
    assert what in finding.what


def test_a_frame_that_leaves_the_scan_field_is_found(tmp_path: Path) -> None:
    text = recipe_text(IMAGE.replace("interface", "rim"), limit="1e6 e/A^2").replace("beside:", "rim:")
    text = text.replace("steps:", "areas: {rim: {at: [1.55 um, 0 nm], size: [400 nm, 400 nm]}}\nsteps:")
    (finding,) = look(make_job(tmp_path, text)).findings
    assert "position 1650 nm is beyond the rig's limit" in finding.what


def test_a_beam_on_an_area_without_a_budget_is_found(tmp_path: Path) -> None:
    text = recipe_text(IMAGE).replace(", beside: {limit: 1e6 e/A^2}", "").replace("of: interface", "of: beside")
    (finding,) = look(make_job(tmp_path, text)).findings
    assert 'no budget for area "beside"' in finding.what


def test_a_budget_for_a_place_that_nobody_knows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match='area "moon" has a budget but no place'):
        look(make_job(tmp_path, recipe_text(IMAGE).replace("beside:", "moon:")))


def test_steps_without_an_area_mean_where_the_field_was_moved(tmp_path: Path) -> None:
    steps = "- move_stage: {to: beside}\n" + IMAGE.replace("of: interface, ", "")
    plans, findings, _ = look(make_job(tmp_path, recipe_text(steps)))
    assert findings == []
    assert list(plans[1].dose) == ["beside"]


def test_what_is_planned_is_what_a_run_charges(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    planned = look(job)[2].spent("interface")[0]
    do(job)
    assert sum(e["fluence"] for e in passport(job.folder, "reserve")) == pytest.approx(planned, rel=1e-9)


def test_a_second_plan_counts_what_the_sample_has_received(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    do(job)
    (finding,) = look(job).findings
    assert finding.do == "eds_map"


def test_the_planned_time_is_the_time_of_a_run(tmp_path: Path) -> None:
    job = make_job(tmp_path, recipe_text(MAP + "- wait: {for: 3 min}\n"))
    planned = sum(plan.seconds for plan in look(job)[0])
    told = do(job)
    assert told.world.clock.now() == pytest.approx(planned, rel=0.05)
