"""The step hrtem: lattice images on fresh places, counted, filed, and the scan usable again afterwards."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acquisition.control import State
from acquisition.datafile import describe, open_record
from acquisition.engine import Decision, TornStep
from acquisition.figures.write import write_figures
from acquisition.ledger import Ledger
from drivers.errors import Aborted, RigError
from drivers.ticket import Ticket
from physics.dose import E_PER_A2
from protocols.books import look
from protocols.check import simulated
from protocols.job import Job
from protocols.rigtext import column_settings, read_rig
from simulators.world import World
from tests.protocols.test_rig_files import real
from tests.protocols.whole_run import (
    COOL,
    Told,
    compare,
    do,
    journal,
    make_job,
    passport,
    recipe_text,
    results,
    rig_text,
)
from tests.simulators.flood_bench import vacuum

# 256 x 256 pixels of 0.64 nm; 53 ms
DOSE = 46.8  # e/A^2, whole milliseconds
SEEN = "stem_image: {of: interface, pixels: [32, 32], field: 200 nm, dwell: 8 us}"


def step(**changed: Any) -> str:
    """The step as a line of a recipe."""
    said = {"of": "lattice", "dose": f"{DOSE} e/A^2", "frames": 2, "places": 2, "pixels": 256} | changed
    return f"- hrtem: {{{', '.join(f'{key}: {value}' for key, value in said.items())}}}\n"


def a_job(folder: Path, steps: str, *, rig: str = "bench", limit: str = "1000 e/A^2") -> Job:
    text = recipe_text(COOL + steps).replace("beside: {limit: 1e6 e/A^2}", f"lattice: {{limit: {limit}}}")
    return make_job(folder, text, rig=rig_text(rig, column=True))


def findings(folder: Path, steps: str, **more: Any) -> str:
    return "; ".join(finding.what for finding in look(a_job(folder, steps, **more)).findings)


@pytest.fixture
def emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    """For runs whose images nobody looks at: where the lamella stands the camera sees vacuum."""
    monkeypatch.setattr(World, "_sees", lambda world, window: vacuum(window))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Told]:
    """Two places of two frames each, and an image of the scan box after them."""
    job = a_job(tmp_path_factory.mktemp("hrtem"), step() + f"- {SEEN}\n")
    return job, do(job)


def test_the_scan_works_after_lattice_images(done: tuple[Job, Told]) -> None:
    job, told = done
    assert told.states[-1][0] is State.DONE
    assert journal(job.folder, "result")[-1]["result"]["mean_counts"] > 300.0  # brighter than the dark level of 256


def test_each_frame_is_an_exposure_of_its_own(done: tuple[Job, Told]) -> None:
    job, _ = done
    floods = [e for e in passport(job.folder, "reserve") if e["step"] == "hrtem"]
    assert [e["exposure_id"][-4:] for e in floods] == ["0000", "0001", "0002", "0003"]
    assert {e["pixels"] for e in floods} == {256**2}
    assert len(passport(job.folder, "settle")) == 5
    assert [e["index"] for e in journal(job.folder, "pass")] == [0, 1, 2, 3]


def test_a_place_is_a_file_with_its_stack_and_its_light(done: tuple[Job, Told]) -> None:
    job, _ = done
    told = journal(job.folder, "result")[1]["result"]
    assert told["files"] == ["data/0002-hrtem-1.nxs", "data/0002-hrtem-2.nxs"]
    assert results(job.folder)["lattice_images"]["files"] == told["files"]
    assert told["frames"] == 4
    assert told["planned_e_per_A2"] == pytest.approx(4 * DOSE, rel=1e-3)
    assert told["charged_e_per_A2"] > told["planned_e_per_A2"]
    for name, place in zip(told["files"], told["places"], strict=True):
        with open_record(job.folder / name) as record:
            flood, stack = record.flood(), record.image("lattice")
            assert stack.shape == (2, 256, 256)
            assert stack.dtype == np.uint16
            assert flood.pitch == pytest.approx((640e-12, 640e-12))
            assert [round(metres * 1e9, 2) for metres in flood.centre] == place["at_nm"]
            assert flood.defocus == 60e-9
            assert record.parallel_beam().current == 1e-9
            assert [one.index for one in record.passes()] == [0, 1]
            before, after = record.passes()
            assert after.dose_before == pytest.approx(before.dose_after)
            assert before.fluence_planned / E_PER_A2 == pytest.approx(DOSE, rel=1e-3)
        said = describe(job.folder / name)
        assert said["damaged"] == []
        assert said["images"]["lattice"]["field_nm"] == pytest.approx([163.84, 163.84])


def test_the_places_lie_along_the_interface_and_their_discs_apart(done: tuple[Job, Told]) -> None:
    job, _ = done
    first, second = (place["at_nm"] for place in journal(job.folder, "result")[1]["result"]["places"])
    assert abs(first[0] - second[0]) < 5.0  # nm; what it drifted
    assert abs(second[1] - first[1]) == pytest.approx(800.0 - 163.84, abs=5.0)


def test_the_world_keeps_what_every_frame_really_showed(done: tuple[Job, Told]) -> None:
    _, told = done
    sights = told.world.flooding.sights
    assert len(sights) == 4  # two frames of each of two places
    assert abs(sights[0].window.corner[1] - sights[2].window.corner[1]) > 500e-9


def test_the_books_are_never_below_the_truth(done: tuple[Job, Told]) -> None:
    _, told = done
    compared = compare(told.world, told.ledger)
    assert compared.below() == 0
    bright = compared.truth > 0.9 * compared.truth.max()
    assert (
        compared.charged[bright] / compared.truth[bright]
    ).max() < 1.8  # a twentieth of a second, half of it shutter


@pytest.mark.slow
def test_pictures_show_the_image_its_transform_and_the_last_against_the_first(done: tuple[Job, Told]) -> None:
    job, _ = done
    drawn = {path.name for path in write_figures(job.folder)}
    assert {f"hrtem-1-{kind}.png" for kind in ("image", "fft", "fading")} <= drawn


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"places": 4}, "discs of 300 nm on 4 places would overlap.*There is room for 3"),
        ({"at": "[300 nm, 0 nm]"}, "does not lie within an area of 600 nm x 800 nm"),
        ({"dose": "400 e/A^2"}, "would count 131072 each of 65535 at most"),
        ({"frames": 20}, 'would give area "lattice"'),
        ({"defocus": "5 um"}, "defocus 5000 nm is beyond the rig's limit"),
        ({"pixels": 300}, "300 pixels are no binning of the 4096 that BM-Ceta has"),
    ],
)
def test_what_cannot_be_is_found_before_anything_moves(changed: dict[str, Any], why: str, tmp_path: Path) -> None:
    assert re.search(why, findings(tmp_path, step(**changed)))


def test_a_place_that_was_mapped_is_not_fresh(tmp_path: Path) -> None:
    scan = "- stem_image: {of: lattice, pixels: [64, 64], field: 200 nm, dwell: 60 us}\n"
    assert "may have received" in findings(tmp_path, scan + step(places=1))
    assert findings(tmp_path, scan + step(places=1, fresh="200 e/A^2")) == ""


def test_a_rig_without_a_parallel_beam_says_so(tmp_path: Path) -> None:
    text = recipe_text(COOL + step()).replace("beside: {limit: 1e6 e/A^2}", "lattice: {limit: 1000 e/A^2}")
    job = make_job(tmp_path, text, rig=rig_text("bench"))
    assert "needs a column whose settings have `tem:`" in look(job).findings[0].what


@pytest.mark.usefixtures("emptied")
def test_a_run_that_is_stopped_between_frames_goes_on_with_the_others(tmp_path: Path) -> None:
    job = a_job(tmp_path, step())

    def stop(told: Told, now: Any) -> None:
        if now.do == "hrtem" and len(journal(job.folder, "pass")) == 3:
            assert told.bench is not None
            told.bench.control.ask_abort("the test")

    with pytest.raises(Aborted):
        do(job, at_progress=stop)
    with pytest.raises(TornStep):
        do(job)
    told = do(job, decision=(2, Decision.REMAINDER))
    assert told.states[-1][0] is State.DONE
    begun = [e["exposure_id"] for e in journal(job.folder, "begin")]
    assert [one[-4:] for one in begun] == ["0000", "0001", "0002", "0003"]
    files = journal(job.folder, "result")[-1]["result"]["files"]
    stacks = []
    for name in files:
        with open_record(job.folder / name) as record:
            stacks.append([one.index for one in record.passes()])
    assert stacks == [[0, 1], [0], [1]]
    assert compare(told.world, told.ledger).below() == 0


@pytest.mark.usefixtures("emptied")
def test_a_pause_while_the_lenses_settle_costs_no_image_and_loses_no_sight_of_the_sample(tmp_path: Path) -> None:
    job = a_job(tmp_path, step(places=1, frames=1))

    def pause(told: Told, now: Any) -> None:
        if now.do == "hrtem":
            assert told.bench is not None
            told.bench.control.interrupt()

    def hours_later(told: Told, state: State) -> None:
        if state is State.PAUSED:
            told.world.clock.sleep(3 * 3600.0)  # type: ignore[attr-defined]
            (job.folder / "control" / "continue").touch()

    told = do(job, at_progress=pause, at_state=hours_later)
    assert State.PAUSED in [state for state, _ in told.states]
    assert journal(job.folder, "result")[-1]["result"]["mean_counts"][0] > 100.0
    assert compare(told.world, told.ledger).below() == 0


@pytest.mark.usefixtures("emptied")
def test_a_run_that_is_killed_while_a_frame_is_exposed_counts_it_in_full_and_takes_the_others(tmp_path: Path) -> None:
    job = a_job(tmp_path, step())
    torn = replace(job, folder=tmp_path / "torn")
    spend = Ledger.spend

    def killed(ledger: Ledger, ticket: Ticket) -> None:
        """What is on the disk in the moment the beam opens is all that a kill leaves."""
        spend(ledger, ticket)
        if ticket.exposure_id.endswith("0001"):
            shutil.copytree(job.folder, torn.folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "spend", killed)
        do(job)
    told = do(torn, decision=(2, Decision.REMAINDER))
    assert told.states[-1][0] is State.DONE
    begun = [e["exposure_id"][-4:] for e in journal(torn.folder, "begin")]
    assert begun == ["0000", "0001", "0002", "0003"]
    assert len(passport(torn.folder, "settle")) == 3  # the torn one stays open, and counts
    assert len(passport(torn.folder, "reserve")) == 4
    assert compare(told.world, told.ledger).below() == 0


@pytest.mark.usefixtures("emptied")
def test_a_column_that_dies_while_the_camera_is_exposed_costs_no_more_than_was_booked(tmp_path: Path) -> None:
    job = a_job(tmp_path, step())

    def cut(told: Told, now: Any) -> None:
        if now.do == "hrtem" and now.fraction > 0.2:
            world = told.world
            begin = world.flooding.begin

            def dead(at: float) -> None:
                begin(at)
                for link in told.bench.rig.links:  # type: ignore[union-attr]
                    if link.name == "column":
                        link.close()

            world.flooding.begin = dead  # type: ignore[method-assign]

    told = Told()
    with pytest.raises(RigError, match="column"):
        do(job, told, at_progress=cut)
    told.world.clock.sleep(60.0)  # type: ignore[attr-defined]
    told.world.catch_up()
    assert len(journal(job.folder, "begin")) == 2
    assert len(passport(job.folder, "settle")) == 1
    assert compare(told.world, told.ledger).below() == 0


def test_a_parallel_beam_that_was_measured_too_long_ago_is_found_before_anything_moves(tmp_path: Path) -> None:
    old = "taken: 2020-01-01T00:00:00+00:00"
    shipped = rig_text("bench", column=True)
    text = real(shipped).replace("sim:column", "http://127.0.0.1:8080") + "blank_channel: column\n" * (
        "blank_channel" not in shipped
    )
    fresh = "current: {value: 1 nA, uncertainty: 5 %, taken: "
    start = text.index(fresh) + len(fresh)
    text = text[: start - len("taken: ")] + old + text[text.index(",", start) :]
    job = replace(a_job(tmp_path, step()), rig=read_rig(text, "real.yaml"))
    assert "the current of the parallel beam will be" in look(job).findings[0].what
    others = replace(job, recipe=make_job(tmp_path, recipe_text(COOL)).recipe)
    assert look(others).findings == []
    rehearsed = replace(job.rig, model=simulated(job.rig.model))
    assert column_settings(rehearsed).tem.current.taken == "at opening"  # type: ignore[union-attr]
