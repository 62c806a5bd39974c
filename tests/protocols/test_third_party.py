"""The documented driver of a third party, installed as its users would: found, opened in a rig, and read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.protocols.small_rig import small

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "vacuum-gauge"
GAUGE = """
  gauge:
    driver: vacuum-gauge
    link: sim:gauge
    station: stem
    settings: {limits: {pressure: [1e-9 mbar, 1e-2 mbar]}, patience: 20 min}
"""
READ = """
from drivers.clock import VirtualClock
from drivers.links import AbortFlag
from protocols.rig import open_rig
from protocols.rigtext import load_rig

clock = VirtualClock()
rig = open_rig(
    load_rig("gauged.yaml"),
    clock=clock,
    abort=AbortFlag(),
    wait=clock.sleep,
    latched=lambda: False,
    seed=1,
    sample=None,
)
gauge = rig.devices["gauge"]
print(gauge.status()["filament"], end=" ")
gauge.switch_on()
clock.sleep(3600.0)
print(f"{gauge.pressure():.2e}", rig.status()["gauge"]["filament"], end=" ")
rig.make_safe()
print(gauge.status()["filament"])
rig.close()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example installed, without a network, and a rig file that names it."""
    pytest.importorskip("setuptools", minversion="77", reason="installing the example needs setuptools 77")
    folder = tmp_path_factory.mktemp("third-party")
    shutil.copytree(EXAMPLE, folder / "source")
    alone = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *alone, "--target", str(folder / "target"), str(folder / "source")],
        check=True,
        timeout=100,
    )
    text = small("bench-exact").replace("\nwiring:\n", f"{GAUGE}wiring:\n")
    (folder / "gauged.yaml").write_text(text, encoding="utf-8")
    return folder


def python(installed: Path, *words: str) -> str:
    """What a Python with the example on its path prints."""
    path = os.pathsep.join([str(installed / "target"), str(ROOT)])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=installed, env=env, text=True, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_rig_that_names_it_opens_and_reads_a_pressure(installed: Path) -> None:
    assert python(installed, "-c", READ).split() == ["False", "1.30e-05", "True", "False"]


def test_doctor_finds_it_and_asks_it(installed: Path) -> None:
    said = python(installed, "-m", "protocols", "doctor", "--rig", "gauged.yaml")
    assert "driver of a third party: vacuum-gauge (example-vacuum-gauge 0.1.0, vacuum_gauge:KIND)" in said
    assert "gauge: pressure gives no pressure (FILAMENT_OFF), filament False" in said
    assert "gauge: safe" in said


def test_its_own_tests_pass(installed: Path) -> None:
    said = python(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(installed / "source" / "tests"))
    assert " passed" in said
