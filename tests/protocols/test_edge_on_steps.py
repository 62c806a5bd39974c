"""The interface is found and centred, the lamella tilted edge-on, the instrument calibrated on its own sample."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acquisition.control import State
from acquisition.engine import Decision
from drivers.column import Column, GoniometerPose
from drivers.errors import DeviceError
from protocols.books import look
from protocols.job import Job
from protocols.outlook import PostconditionError, StepError
from protocols.rigtext import read_rig
from tests.protocols.whole_run import COOL, SAMPLE, Told, compare, do, journal, make_job, passport, results, rig_text

FIND = "- find_interface: {of: interface, dose: 2 e/A^2, field: 400 nm, pixels: [64, 64]}\n"
TILT = (
    "- find_interface: {of: standard, dose: 10 e/A^2, field: 150 nm, pixels: [96, 96]}\n"
    "- make_edge_on: {on: standard, dose: 100 e/A^2, field: 52 nm, pixels: [80, SIDE], tilts: TILTS}\n"
)
HIDDEN = 2  # a seed with a sample off the axis of the tilt
HIGH = 4  # another, farther off it


def job_of(folder: Path, steps: str, *, rig: str = "bench-exact", seed: int = 1) -> Job:
    areas = "areas: {standard: {at: [1.44 um, 0 nm], size: [400 nm, 400 nm]}, inside: {at: [500 nm, 0 nm], size: "
    text = (
        f"recipe: 1\nname: edge-on\nsample: {SAMPLE}\nelements: [Li, P, O, N]\n{areas}[300 nm, 300 nm]}}}}\n"
        "budgets: {interface: {limit: 5000 e/A^2}, lattice: {limit: 1e5 e/A^2}, standard: {limit: 1e6 e/A^2}, "
        f"inside: {{limit: 100 e/A^2}}}}\nsteps:\n{COOL}{steps}"
    )
    return make_job(folder, text, rig=rig_text(rig, column=True), seed=seed)


def result_of(job: Job, ordinal: int) -> dict[str, Any]:
    return next(dict(e["result"]) for e in journal(job.folder, "result") if e["ordinal"] == ordinal)


def test_an_area_is_centred_on_the_interface_that_was_found(tmp_path: Path) -> None:
    job = job_of(tmp_path, FIND + FIND)
    assert do(job).states[-1][0] is State.DONE
    first, second = (result_of(job, n)["interface"] for n in (2, 3))
    assert abs(first["angle_deg"]) < 3
    assert abs(math.remainder(first["lithium_towards_deg"] - 180, 360)) < 3
    assert first["bright_over_dark"] > 4
    # the field was moved by what the first one found
    assert abs(second["x_nm"]) < 3 < abs(first["x_nm"])
    assert results(job.folder)["interface"] == second


def test_where_there_is_no_interface_none_is_found(tmp_path: Path) -> None:
    job = job_of(tmp_path, "- find_interface: {of: inside, dose: 2 e/A^2, field: 250 nm, pixels: [48, 48]}\n")
    with pytest.raises(PostconditionError, match="no interface is believed"):
        do(job)
    assert not journal(job.folder, "centred")


def test_a_shift_that_nothing_tells_is_refused_and_counted(tmp_path: Path) -> None:
    steps = "- eds_map: {of: inside, elements: [P], dose: 2 e/A^2, passes: 3, field: 250 nm, pixels: [32, 32]}\n"
    job = job_of(tmp_path, steps)
    do(job)
    assert result_of(job, 2)["shifts_refused"] == 2
    assert not journal(job.folder, "sighted")


def tilted(folder: Path, side: int, tilts: int) -> tuple[Told, dict[str, Any]]:
    steps = TILT.replace("SIDE", str(side)).replace("TILTS", str(tilts))
    job = job_of(folder, steps, rig="bench", seed=HIDDEN)
    return do(job), result_of(job, 3)


def test_the_lamella_is_tilted_and_no_dose_is_lost_sight_of(tmp_path: Path) -> None:
    told, found = tilted(tmp_path, 120, 5)
    assert found["lean_bound_deg"] <= 5.5
    assert len(found["widths"]) == 5
    assert len(found["moved"]) == 6
    stands = math.degrees(told.world.goniometer.place(told.world.clock.now())["a"])
    assert stands == pytest.approx(found["tilt_deg"], abs=1e-3)
    # the sample moved with every tilt, seen or not: what it received lies where the ledger charged it
    assert compare(told.world, told.ledger).below() == 0
    assert json.dumps(found, allow_nan=False)


def test_tilts_that_cannot_be_are_found_before_any_dose(tmp_path: Path) -> None:
    step = "- make_edge_on: {on: interface, dose: 4 e/A^2, pixels: [64, 64], tilts: 5, within: 6 deg}\n"
    job = job_of(tmp_path, step)
    without = replace(job, rig=read_rig(rig_text("bench-exact"), "warm.yaml"))
    assert "needs a column, whose goniometer" in look(without).findings[0].what
    tilting = rig_text("bench-exact", column=True)

    def limited(low: float, high: float) -> Job:
        text = re.sub(r" a: \[[^]]*\]", f" a: [{low} deg, {high} deg]", tilting)
        return replace(job, rig=read_rig(text, "warm.yaml"))

    assert "would tilt by 6 deg to both sides" in look(limited(-5, 5)).findings[0].what
    aside = limited(-1, 60)
    assert look(aside).findings == []
    with pytest.raises(StepError, match=r"are beyond the rig's -1\.0 to 60\.0 deg"):
        do(aside)
    assert not passport(job.folder, "reserve")


SEEN = "- stem_image: {of: standard, pixels: [32, 32], field: 100 nm, dwell: 100 us}\n"


def torn(folder: Path, monkeypatch: pytest.MonkeyPatch, *, moved: bool, seed: int = HIDDEN) -> Job:
    """A series of tilts that fails at the fifth, which the goniometer goes to or does not, followed by an image."""
    series = TILT.replace("SIDE", "120").replace("TILTS", "5").replace("dose: 100", "dose: 1500")
    job = job_of(folder, series + SEEN, rig="bench", seed=seed)
    move_to, done = Column.move_to, []

    def fails(column: Column, pose: GoniometerPose) -> None:
        done.append(pose.a)
        if len(done) == 5 and not moved:
            raise DeviceError("stands still", device="column")
        move_to(column, pose)
        if len(done) == 5:
            raise DeviceError("went, and said no more", device="column")

    with monkeypatch.context() as patch:
        patch.setattr(Column, "move_to", fails)
        with pytest.raises(DeviceError):
            do(job)
    return job


@pytest.mark.parametrize("moved", [False, True])
def test_a_series_that_is_torn_at_a_move_and_skipped_loses_no_dose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    job = torn(tmp_path, monkeypatch, moved=moved, seed=HIGH)
    told = do(job, decision=(3, Decision.SKIP))
    assert told.states[-1][0] is State.DONE
    now, world = told.world.clock.now(), told.world
    tilt = world.goniometer.place(now)["a"]
    assert math.degrees(tilt) == pytest.approx(6.0 if moved else -6.0)
    carried = float(world.goniometer.displacement(np.array([now]))[0][0]) + 1.44e-6 * (math.cos(tilt) - 1.0)
    assert told.bench is not None
    aim = told.bench.tracker.aim(now)
    assert abs(carried + world.truth.drift(now)[0] - aim.offset[0]) < aim.margin
    assert compare(told.world, told.ledger).below() == 0


def test_a_series_that_is_torn_and_done_again_begins_where_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = torn(tmp_path, monkeypatch, moved=True)
    told = do(job, decision=(3, Decision.REDO))
    assert told.states[-1][0] is State.DONE
    begun = journal(job.folder, "tilting")
    assert len(begun) == 1
    result = result_of(job, 3)
    assert result["moved"][0]["tilt_deg"] == pytest.approx(math.degrees(begun[0]["start"]), abs=1e-3)
    assert compare(told.world, told.ledger).below() == 0


@pytest.mark.slow
def test_the_tilt_that_is_found_is_the_inclination(tmp_path: Path) -> None:
    told, found = tilted(tmp_path, 640, 13)
    truth = math.degrees(told.world.column._lamella.slab.inclination)
    assert found["decided"]
    assert found["tilt_deg"] == pytest.approx(truth, abs=found["lean_bound_deg"])
    # grains of the copper look like a lean: what is left is more than half known, not more
    assert found["lean_bound_deg"] < 3.5


def test_a_wide_ramp_alone_sends_the_goniometer_back(tmp_path: Path) -> None:
    steps = "- make_edge_on: {on: interface, dose: 4 e/A^2, pixels: [64, 64], tilts: 5, edge_on_within: 2 deg}\n"
    job = job_of(tmp_path, steps)
    told = do(job)
    report = results(job.folder)["edge_on"]
    assert not report["decided"]
    assert "no more" in report["why"] or "beyond" in report["why"]
    assert told.world.goniometer.place(told.world.clock.now())["a"] == pytest.approx(0.0, abs=1e-9)


def test_the_blur_of_an_edge_is_a_calibration_with_date_and_uncertainty(tmp_path: Path) -> None:
    steps = "- find_interface: {of: standard, dose: 10 e/A^2, field: 150 nm, pixels: [96, 96]}\n"
    steps += "- calibrate: {what: probe, on: standard, dose: 500 e/A^2, field: 50 nm, pixels: [128, 128]}\n"
    job = job_of(tmp_path, steps)
    do(job)
    probe = results(job.folder)["calibrations"]["probe_fwhm"]
    assert probe["unit"] == "nm"
    assert 0.5 < probe["value"] < 12
    # nobody tilted the sample: the edge may be as wide as it is for leaning alone
    assert probe["uncertainty"] == pytest.approx(probe["value"], rel=0.1)
    assert set(probe) == {"value", "unit", "uncertainty", "taken", "from"}


def test_nothing_is_evaluated_that_was_not_taken(tmp_path: Path) -> None:
    job = job_of(tmp_path, "- calibrate: {what: pixel, on: standard, from: hrtem}\n")
    assert "no hrtem comes before it" in str(look(job).findings)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_pixel_and_defocus_are_measured_on_copper_and_on_thin_glass(tmp_path: Path) -> None:
    steps = (
        "- hrtem: {of: standard, dose: 300 e/A^2, defocus: 80 nm}\n"
        "- calibrate: {what: pixel, on: standard, from: hrtem}\n"
        "- hrtem: {of: lattice, dose: 300 e/A^2, defocus: 250 nm, at: [150 nm, 0 nm]}\n"
        "- calibrate: {what: defocus, on: lattice, from: hrtem}\n"
    )
    job = job_of(tmp_path, steps, rig="bench", seed=HIDDEN)
    told = do(job)
    found, truth = results(job.folder)["calibrations"], told.world.flooding
    for name, true in (("lattice_scale", truth.pixel_scale), ("defocus_offset", truth.defocus_offset * 1e9)):
        assert found[name]["value"] == pytest.approx(true, abs=1.5 * found[name]["uncertainty"])
    assert found["lattice_scale"]["uncertainty"] < 0.01
    assert found["defocus_offset"]["uncertainty"] < 6
