"""Our record in HyperSpy and eXSpy, in a process of their own (they are GPL: a peer, never a library here)."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from acquisition.datafile import open_record, rescue
from tests.acquisition.known_map import CHANNELS, FEATURE, PASSES, about, begin, take_pass, write_map

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("hyperspy", "exspy")),
        reason="HyperSpy and eXSpy are not installed (pip install hyperspy exspy)",
    ),
]

LOOK = f"""
import json, sys
import hyperspy.api as hs

def look(signal):
    metadata = signal.metadata
    said = {{
        "kind": type(signal).__name__,
        "axes": [[a.name, a.units, a.scale, a.offset, a.size, a.navigate] for a in signal.axes_manager._axes],
        "metadata": metadata.as_dictionary(),
    }}
    if signal.metadata.Signal.signal_type == "EDS_TEM":
        signal.compute(show_progressbar=False)
        said["take_off"] = signal.get_take_off_angle()
        signal.add_lines()
        said["lines"] = list(metadata.Sample.xray_lines)
        whole = signal.sum()
        said["total"] = float(whole.data.sum())
        said["total_live"] = whole.metadata.Acquisition_instrument.TEM.Detector.EDS.live_time
        if signal.data.ndim == 3:
            said["feature"] = int(signal.data[{FEATURE[0]}, {FEATURE[1]}, 20])
    return said

loaded = hs.load(sys.argv[1], file_format="HSPY", lazy=True)
loaded = loaded if isinstance(loaded, list) else [loaded]
print(json.dumps({{signal.metadata.General.title: look(signal) for signal in loaded}}, default=lambda v: v.item()))
"""
BARE = """
import sys
import hdf5plugin
import hyperspy.api as hs
loaded = hs.load(sys.argv[1], nxdata_only=True)
print(sorted(type(signal).__name__ for signal in loaded))
"""


def hyperspy(program: str, path: Path) -> str:
    """The last line that a program of theirs prints about our file."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("peer")


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    return write_map(folder / "0004-eds_map.nxs")


@pytest.fixture(scope="module")
def signals(finished: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(hyperspy(LOOK, finished))
    return found


@pytest.fixture(scope="module")
def microscope(signals: dict[str, dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
    return lambda title: signals[title]["metadata"]["Acquisition_instrument"]["TEM"]  # type: ignore[no-any-return]


def test_each_image_and_spectrum_is_a_signal_of_its_kind(signals: dict[str, dict[str, Any]]) -> None:
    assert {title: said["kind"] for title, said in signals.items()} == {
        "Dark field": "LazySignal2D",
        "Dark field, sum": "LazySignal2D",
        "EDS line across the interface": "LazyEDSTEMSpectrum",
        "EDS map": "LazyEDSTEMSpectrum",
    }


def test_axes_have_names_and_units(signals: dict[str, dict[str, Any]]) -> None:
    rows, columns, energy = signals["EDS map"]["axes"]
    assert rows == ["y", "nm", pytest.approx(4.0), pytest.approx(-20.0), 6, True]
    assert columns == ["x", "nm", pytest.approx(4.0), pytest.approx(2.0), 10, True]
    assert energy == ["Energy", "keV", pytest.approx(0.01), pytest.approx(-0.02), CHANNELS, False]
    assert [axis[0] for axis in signals["Dark field"]["axes"]] == ["pass", "y", "x"]
    assert signals["EDS line across the interface"]["axes"][0][:3] == ["position", "nm", pytest.approx(4.0)]


def test_beam_and_detector_are_in_its_units(microscope: Callable[[str], dict[str, Any]]) -> None:
    said, optics = microscope("EDS map"), about().optics
    assert said["beam_energy"] == pytest.approx(200.0)
    assert said["beam_current"] == pytest.approx(0.051)
    assert said["probe_area"] == pytest.approx(math.pi * 0.2**2)
    eds = said["Detector"]["EDS"]
    assert eds["elevation_angle"] == pytest.approx(math.degrees(optics.eds_elevation))
    assert eds["azimuth_angle"] == pytest.approx(math.degrees(optics.eds_azimuth))
    assert eds["energy_resolution_MnKa"] == pytest.approx(128.0)
    assert eds["number_of_frames"] == PASSES


def test_the_take_off_angle_is_the_elevation(signals: dict[str, dict[str, Any]]) -> None:
    assert signals["EDS map"]["take_off"] == pytest.approx(math.degrees(about().optics.eds_elevation))


def test_live_time_is_that_of_a_pixel_so_that_sums_are_right(
    signals: dict[str, dict[str, Any]], finished: Path, microscope: Callable[[str], dict[str, Any]]
) -> None:
    with open_record(finished) as record:
        live = record.live_time()
    assert microscope("EDS map")["Detector"]["EDS"]["live_time"] == pytest.approx(live.mean())
    assert signals["EDS map"]["total_live"] == pytest.approx(live.sum())


def test_counts_and_elements_arrive(signals: dict[str, dict[str, Any]], finished: Path) -> None:
    said = signals["EDS map"]
    with open_record(finished) as record:
        assert said["total"] == record.cube().sum()
    assert said["feature"] == 7 * PASSES
    assert said["metadata"]["Sample"]["elements"] == ["P", "N", "O"]
    assert {"N_Ka", "O_Ka"} <= set(said["lines"])


def test_a_rescued_record_opens_too(folder: Path) -> None:
    file, image, events = begin(folder / "rescued.nxs")
    with file:
        take_pass(file, image, events, 0)
    rescue(file.path)
    found = json.loads(hyperspy(LOOK, file.path))
    assert sorted(found) == ["Dark field", "Dark field, sum", "EDS map"]


def test_its_nexus_reader_takes_the_file_as_well(finished: Path) -> None:
    assert hyperspy(BARE, finished).count("Signal2D") == 2
