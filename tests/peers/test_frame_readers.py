"""Frames of a camera in our record, read by HyperSpy and by LiberTEM, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.acquisition.known_frames import SCAN, SHAPE, STACK, counts, write_passes, write_scan

pytestmark = pytest.mark.peer

HYPERSPY = """
import json, sys
import hyperspy.api as hs

loaded = hs.load(sys.argv[1], file_format="HSPY", lazy=True)
loaded = loaded if isinstance(loaded, list) else [loaded]
print(json.dumps([{
    "title": signal.metadata.General.title,
    "kind": type(signal).__name__,
    "axes": [[a.name, a.units, a.scale, a.offset, a.size, a.navigate] for a in signal.axes_manager._axes],
    "keV": signal.metadata.Acquisition_instrument.TEM.beam_energy,
    "frame": signal.data[-1, -1].compute().tolist() if signal.data.ndim == 4 else None,
} for signal in loaded]))
"""
LIBERTEM = f"""
import json, sys
import hdf5plugin
from libertem.api import Context

context = Context.make_with("inline")
dataset = context.load("hdf5", path=sys.argv[1], ds_path="{STACK}")
total = context.run(context.create_sum_analysis(dataset))
print(json.dumps({{
    "nav": list(dataset.shape.nav), "sig": list(dataset.shape.sig), "sum": total.intensity.raw_data.tolist(),
}}))
"""


def asked(program: str, path: Path) -> Any:
    """What a program of theirs prints last about our file."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(find_spec("hyperspy") is None, reason="HyperSpy is not installed (pip install hyperspy)")
def test_hyperspy_reads_a_scan_lazily_with_its_axes(tmp_path: Path) -> None:
    (signal,) = asked(HYPERSPY, write_scan(tmp_path / "a.nxs"))
    assert (signal["title"], signal["kind"], signal["keV"]) == ("Diffraction", "LazySignal2D", 200.0)
    y, x, ky, kx = signal["axes"]
    assert y == ["y", "nm", pytest.approx(2.0), pytest.approx(-13.0), 4, True]
    assert x == ["x", "nm", pytest.approx(2.0), pytest.approx(16.0), 5, True]
    assert ky == ["ky", "mrad", pytest.approx(1.0), pytest.approx(-5.5), 12, False]
    assert kx == ["kx", "mrad", pytest.approx(1.0), pytest.approx(-4.5), 10, False]
    assert np.array_equal(signal["frame"], counts(SCAN.count - 1))


@pytest.mark.skipif(find_spec("hyperspy") is None, reason="HyperSpy is not installed (pip install hyperspy)")
def test_hyperspy_reads_each_channel_of_several_passes(tmp_path: Path) -> None:
    signals = asked(HYPERSPY, write_passes(tmp_path / "a.nxs"))
    assert sorted(signal["title"] for signal in signals) == ["Diffraction, difference", "Diffraction, threshold_1"]
    assert all([axis[0] for axis in signal["axes"]] == ["pass", "y", "x", "ky", "kx"] for signal in signals)


@pytest.mark.skipif(find_spec("libertem") is None, reason="LiberTEM is not installed (pip install libertem)")
def test_libertem_sums_a_scan(tmp_path: Path) -> None:
    found = asked(LIBERTEM, write_scan(tmp_path / "a.nxs"))
    assert (found["nav"], found["sig"]) == ([4, 5], list(SHAPE))
    assert np.array_equal(found["sum"], sum(counts(number).astype(int) for number in range(SCAN.count)))
