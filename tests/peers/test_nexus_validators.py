"""Our record before two NeXus validators nobody here wrote: pynxtools' and nexusformat's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from acquisition.datafile import Column, DataFile, rescue
from tests.acquisition.known_frames import write_passes, write_scan
from tests.acquisition.known_map import FRAME, STARTED, about, begin, pass_record, take_pass, write_map

pytestmark = pytest.mark.peer


def program(name: str, package: str) -> str:
    """The path of a validator, or a skip that says what is missing."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed (pip install {package})")
    return found


def one_image(path: Path) -> Path:
    with DataFile.create(path, about(step="stem_image", sample_thickness=None, stage_temperature=None)) as file:
        image = file.image(
            "df", title="DF", frame=FRAME, requested=FRAME, passes=1, detector="DF", counts_per_electron=1.0
        )
        file.start()
        image.write(0, 0, np.arange(60, dtype=np.uint16))
        file.pass_done(pass_record(0))
        file.finish(status="complete", ended=STARTED, results={})
    return path


def one_table(path: Path) -> Path:
    with DataFile.create(path, about(step="eds_line")) as file:
        file.table("profile", {"position": Column(np.arange(3.0), "nm"), "N": Column(np.ones(3), "")})
        file.finish(status="complete", ended=STARTED, results={})
    return path


def rescued(path: Path) -> Path:
    file, image, events = begin(path)
    with file:
        take_pass(file, image, events, 0)
    rescue(path)
    return path


RECORDS = [write_map, one_image, one_table, rescued, write_scan, write_passes]


@pytest.fixture(scope="module", params=RECORDS, ids=lambda make: make.__name__)
def record(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that can be written: nxvalidate opens files for writing."""
    made: Path = request.param(tmp_path_factory.mktemp("nexus") / "0004-step.nxs")
    return Path(shutil.copyfile(made, made.with_name("copy.nxs")))


def test_it_is_a_valid_electron_microscopy_record(record: Path) -> None:
    """--ignore-undocumented because @interpretation, which the manual describes, is missing from the definitions."""
    command = [program("pynx", "pynxtools"), "validate", "--ignore-undocumented", str(record)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert "is valid according to the `NXem` application definition" in said.stdout + said.stderr, (
        said.stdout + said.stderr
    )


def test_the_reference_validator_finds_no_error(record: Path) -> None:
    command = [program("nxvalidate", "nexusformat"), str(record)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert "Total number of errors: 0" in said.stdout, said.stdout + said.stderr
