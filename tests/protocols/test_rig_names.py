"""Interlocks know devices by name: a rig file in which they would look past one is refused on its line."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from protocols.kinds import KINDS
from protocols.rigtext import RigFileError, read_rig

BENCH = (files("protocols") / "rigs" / "bench.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [kind.called for kind in KINDS.values() if kind.called])
def test_a_device_under_a_name_that_no_interlock_knows_is_refused(name: str) -> None:
    text = re.sub(rf"(?m)^  {name}:", "  other:", BENCH, count=1).replace(f"sim:{name}", "sim:other")
    text = text.replace(f": {name}, fibsem", ": other, fibsem").replace(f"fibsem: {name}}}", "fibsem: other}")
    text = text.replace(f"from: {name}.", "from: other.").replace(f"to: {name}.", "to: other.")
    with pytest.raises(RigFileError, match=rf"rig my.yaml line \d+, column \d+: .* is called {name}, not other"):
        read_rig(text, "my.yaml")


def test_a_needle_beside_a_stage_that_nobody_called_the_sample_s_is_refused() -> None:
    text = BENCH.replace("sample_stage: {stem: column, fibsem: chamber_stage}", "sample_stage: {stem: column}")
    with pytest.raises(RigFileError, match="carries the sample at the needle; is it chamber_stage or stage"):
        read_rig(text, "my.yaml")


def test_a_needle_elsewhere_than_at_the_fibsem_is_refused() -> None:
    before, needle = BENCH.split("    driver: kleindiek-nanocontrol")
    text = before + "    driver: kleindiek-nanocontrol" + needle.replace("station: fibsem", "station: stem", 1)
    with pytest.raises(RigFileError, match="a needle stands at the fibsem"):
        read_rig(text, "my.yaml")


def test_a_needle_that_could_never_be_parked_is_refused() -> None:
    text = BENCH.replace("parked: {x: 400 um", "parked: {x: 4 mm")
    with pytest.raises(RigFileError, match=r"needle: parked\.x: 4000 um is outside the limits of x, -500 um to 500 um"):
        read_rig(text, "my.yaml")


def test_a_camera_without_its_cable_is_told_of_the_output_that_gates_it() -> None:
    text = BENCH.replace("  - {from: scan.pixel_clock, to: camera.gate, latency: 200 ns}\n", "")
    with pytest.raises(RigFileError, match=r"such as \{from: scan\.pixel_clock, to: camera\.gate, latency: 200 ns\}"):
        read_rig(text, "my.yaml")
