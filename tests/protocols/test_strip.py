"""A line-scan that exposes its own strip, and maps whose pixels are coarser than a point of the profile."""

from __future__ import annotations

from pathlib import Path

from acquisition.control import State
from tests.protocols.whole_run import COOL, do, make_job, recipe_text, results

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
