"""Each benchmark runs, tiny, and prints whole lines; how fast it was is nobody's promise."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import (
    camera,
    dark_field,
    diffraction_map,
    eds_map,
    engine,
    events,
    lattice_image,
    phases,
    quantification,
    queries,
    whole_run,
)
from benchmarks.__main__ import NAMES
from benchmarks.watched_run import peak_memory

TINY = """\
recipe: 1
name: one small picture
sample: nobody/nothing
budgets:
  interface: {limit: 100 e/A^2}
steps:
  - stem_image: {of: interface, pixels: [16, 16], field: 400 nm, dwell: 1 us}
"""


def a_tiny_run(folder: Path) -> None:
    recipe = folder / "tiny.yaml"
    recipe.write_text(TINY, encoding="utf-8")
    whole_run.main(str(recipe))


TINY_MAINS: dict[str, Callable[[Path], None]] = {
    "whole_run": a_tiny_run,
    "queries": lambda folder: queries.main(queries=3, rounds=1),
    "engine": lambda folder: engine.main(steps=2, rounds=1, disk=folder),
    "events": lambda folder: events.main(pixels=4, rounds=1),
    "eds_map": lambda folder: eds_map.main(pixels=16, rounds=1),
    "quantification": lambda folder: quantification.main(pixels=64, rounds=1),
    "dark_field": lambda folder: dark_field.main(pixels=8, rounds=1),
    "diffraction_map": lambda folder: diffraction_map.main(side=8, drawn=16, disk=folder),
    "camera": lambda folder: camera.main(side=4, rounds=1, depths=[8], disk=folder),
    "lattice_image": lambda folder: lattice_image.main(small=64, whole=128, rounds=1, abtem=str(folder / "none")),
    "phases": lambda folder: phases.main(particles=1),
}


def test_every_benchmark_is_tried_here() -> None:
    assert set(TINY_MAINS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_prints_figures_as_lines_of_json(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TINY_MAINS[name](tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines
    for line in lines:
        figure = json.loads(line)
        assert list(figure) == ["name", "value", "unit", "against", "ratio"]
        assert all(figure[text] and isinstance(figure[text], str) for text in ("name", "unit", "against"))
        assert all(math.isfinite(figure[number]) and figure[number] > 0.0 for number in ("value", "ratio"))


def test_a_peer_that_is_not_there_is_named_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine.main(steps=1, rounds=1, disk=tmp_path, bluesky=str(tmp_path / "no-such-python"))
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 1
    assert "bluesky: skipped:" in told.err


def test_memory_that_the_system_does_not_tell_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert peak_memory() is None
