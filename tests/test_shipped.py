"""What is shipped is whole: the wheel holds the five folders and their data, and every shipped file can be used."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from house import PACKAGES, ROOT

from protocols.books import look
from protocols.job import Job
from protocols.recipe import load_recipe, shipped
from protocols.rigtext import load_rig, shipped_rigs
from simulators.sample.file import SHIPPED, load_sample

CODE = {".py", ".pyc"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names in the wheel that pip builds from a clean copy of the tree."""
    pytest.importorskip("setuptools", minversion="77", reason="building the wheel needs setuptools 77")
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    alone = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *alone, "--wheel-dir", str(folder), str(tree)],
        check=True,
        capture_output=True,
        timeout=100,
    )
    with zipfile.ZipFile(next(folder.glob("cryolift-*.whl"))) as built:
        return built.namelist()


def test_the_wheel_holds_the_five_folders_and_nothing_else(wheel: list[str]) -> None:
    top = {name.split("/")[0] for name in wheel}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)


def test_the_wheel_carries_every_data_file(wheel: list[str]) -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    data = {path.relative_to(ROOT).as_posix() for path in files if path.suffix not in CODE}
    assert "simulators/samples/li-lipon.yaml" in data
    assert data <= set(wheel)
    assert "protocols/recipes/li-lipon-stem.py" in wheel


def test_the_wheel_makes_the_command(wheel: list[str]) -> None:
    assert any(name.endswith(".dist-info/entry_points.txt") for name in wheel)
    assert any("LICENSE" in name for name in wheel)


@pytest.mark.parametrize("name", sorted(shipped_rigs()))
def test_every_shipped_rig_can_be_read(name: str) -> None:
    assert load_rig(name).model.name == name


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_sample_can_be_read(path: Path) -> None:
    assert load_sample(path.stem).stack


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_recipe_fits_its_budgets_on_the_shipped_rig(name: str, tmp_path: Path) -> None:
    assert look(Job(load_recipe(name), load_rig("bench"), 1, None, tmp_path / "run")).findings == []
