"""A line-scan that exposes its own strip, and maps whose pixels are coarser than a point of the profile."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from acquisition.control import State
from physics.xrays import way_out
from tests.protocols.whole_run import COOL, Told, do, make_job, recipe_text, results, rig_text

STRIP = "{dose: 700 e/A^2, length: 200 nm, width: 60 nm, pixels: [64, 20], passes: 2, elements: [P, O]}"
COARSE = "- eds_map: {of: interface, elements: [P, O], dose: 700 e/A^2, passes: 2, pixels: [32, 32], field: 300 nm}\n"


def test_a_strip_is_scanned_and_measured_in_two_files(tmp_path: Path) -> None:
    job = make_job(tmp_path, recipe_text(COOL + f"- eds_line: {{across: interface, scan: {STRIP}}}\n"))
    assert do(job).states[-1][0] is State.DONE
    names = [path.name for path in sorted((job.folder / "data").iterdir())]
    assert names == ["0002-eds_line-strip.nxs", "0002-eds_line.nxs"]
    assert results(job.folder)["profiles"]["P"]["counts"] > 0.0


def test_no_point_of_a_profile_is_without_a_pixel_and_its_pictures_can_be_drawn(tmp_path: Path) -> None:
    job = make_job(tmp_path, recipe_text(COOL + COARSE + "- eds_line: {from: eds_map, across: interface, bin: 1 nm}\n"))
    assert do(job, pictures=True).states[-1][0] is State.DONE
    assert (job.folder / "figures" / "eds_line-profile.png").is_file()


def test_the_way_of_x_rays_is_that_of_the_tilt_the_map_was_taken_at(tmp_path: Path) -> None:
    tilt = math.radians(8.0)

    def turned(told: Told, now: Any) -> None:
        told.world.goniometer._places = np.array([[0.0, 0.0, 0.0, tilt, 0.0]])

    steps = COOL + COARSE + "- eds_line: {from: eds_map, across: interface}\n"
    job = make_job(tmp_path, recipe_text(steps), rig=rig_text(column=True))
    told = do(job, at_progress=turned)
    assert told.bench is not None
    found, optics = results(job.folder), told.bench.rig.file.optics
    relative = found["thickness_slope"]["pct_per_100nm"] * 1e-3 / 100.0  # of the thickness, a nm
    way = way_out(optics.eds_elevation, optics.eds_azimuth, tilt)
    interphase = found["eds_regions"]["interphase"]
    low, high = (1.0 + relative * interphase[end] for end in ("from_nm", "to_nm"))
    low, high = sorted((low, high))
    assert 0.98 * low * way < interphase["path_nm"] / found["film_thickness_nm"] < 1.02 * high * way
    assert way < 0.8 / math.sin(optics.eds_elevation)
