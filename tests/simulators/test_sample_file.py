"""The sample file: what it says is what is there, and what cannot be is refused with its place."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physics.materials import material
from simulators.sample.file import SampleError, load_sample
from tests.simulators.bench import rewritten

NM = 1e-9


def _line(path: Path, part: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if part in line)


def test_the_shipped_sample_has_the_ramps_of_its_file() -> None:
    sample, lipon = load_sample("li-lipon"), material("LiPON").number_densities
    atoms = sample.atoms(np.array([-1.0, 19.0, 15.0, 38.0, 100.0]) * NM)
    assert atoms["P"] / lipon["P"] == pytest.approx([0.0, 0.25, 15 / 76, 0.5, 1.0])
    assert atoms["N"] / lipon["N"] == pytest.approx([0.0, 0.25, 15 / 76, 0.5, 1.0])
    assert atoms["O"] / lipon["O"] == pytest.approx([0.0, 19 / 30, 0.5, 1.0, 1.0])


def test_lithium_metal_has_46_atoms_in_a_cubic_nanometre() -> None:  # physics.md section 0: 46.3
    assert load_sample("li-lipon").atoms(np.array([-500 * NM]))["Li"] / 1e27 == pytest.approx(46.3, rel=0.01)


def test_a_matrix_below_nothing_is_refused_with_element_and_place(tmp_path: Path) -> None:
    path = rewritten(tmp_path, ("volume_fraction: 0.03", "volume_fraction: 0.10"))  # physics.md 0b: impossible
    with pytest.raises(
        SampleError, match=r"changed\.yaml line \d+, column \d+: .*-\d\S+ N/nm\^3 at x = 10 nm"
    ) as error:
        load_sample(path)
    assert f"line {_line(path, 'Li3N,')}, column 9" in str(error.value)


@settings(max_examples=25, deadline=None)
@given(fraction=st.floats(0.001, 0.2), start=st.integers(1, 40))
def test_a_sample_is_accepted_just_when_its_nitrogen_suffices(
    fraction: float, start: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    old = "Li3N,   from: 10 nm, to: 45 nm, radius: [2 nm, 4 nm], volume_fraction: 0.03"
    new = f"Li3N,   from: {start} nm, to: 45 nm, radius: [2 nm, 4 nm], volume_fraction: {fraction}"
    path = rewritten(tmp_path_factory.mktemp("sample"), (old, new), ("O: [0 nm, 30 nm]", "O: [0 nm, 5 nm]"))
    held = fraction * material("Li3N").number_densities["N"]
    there = material("LiPON").number_densities["N"] * start / 76
    if held < there * (1 - 1e-6):
        load_sample(path)
    elif held > there * (1 + 1e-6):
        with pytest.raises(SampleError, match=f"N/nm\\^3 at x = {start} nm"):
            load_sample(path)


def test_a_bare_number_is_refused_with_line_and_column(tmp_path: Path) -> None:
    path = rewritten(tmp_path, ("thickness: 76 nm", "thickness: 76"))
    with pytest.raises(SampleError, match=r'column 16: .*"76" has no unit') as error:
        load_sample(path)
    assert f"line {_line(path, 'thickness: 76')}," in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("material: Cu", "material: Cv", "no material"),
        ("    roughness:", "    rougness:", "rougness"),
        ("N: [0 nm, 76 nm]", "N: [0 nm, 90 nm]", "ramp of N"),
        ("to: 45 nm", "to: 95 nm", "beyond the interphase"),
        ("thickness: 200 nm", "thickness: -200 nm", "more than zero"),
        ("    roughness: 2 nm", "    roughness: 2 nm\n    roughness: 3 nm", "duplicate key"),
    ],
)
def test_a_fault_in_the_file_is_named_with_its_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(SampleError, match=r"changed\.yaml line \d+") as error:
        load_sample(rewritten(tmp_path, (old, new)))
    assert says in str(error.value)


def test_a_sample_without_an_interphase_has_an_abrupt_contact(tmp_path: Path) -> None:
    path = rewritten(tmp_path)
    text = path.read_text()
    path.write_text(re.sub(r"  - layer: interphase\n.*?(?=  - \{layer: lipon)", "", text, flags=re.DOTALL))
    sample = load_sample(path)
    assert sample.interphase is None
    assert list(sample.atoms(np.array([-0.1, 0.1]) * NM)["P"] > 0.0) == [False, True]


def test_damage_and_environment_left_out_are_those_of_the_shipped_sample(tmp_path: Path) -> None:
    path = rewritten(tmp_path)
    path.write_text(path.read_text().split("damage:")[0])
    shipped = load_sample("li-lipon")
    assert load_sample(path).damage == shipped.damage
    assert load_sample(path).environment == shipped.environment


def test_one_key_of_the_environment_can_be_changed_alone(tmp_path: Path) -> None:
    path = rewritten(tmp_path)
    path.write_text(path.read_text().split("environment:")[0] + "environment: {lithium_shell: 5 nm}")
    sample = load_sample(path)
    assert sample.environment.lithium_shell == pytest.approx(5 * NM)
    assert sample.environment.drift == load_sample("li-lipon").environment.drift


def test_a_sample_that_is_nowhere_is_refused_with_those_that_are_shipped() -> None:
    with pytest.raises(SampleError, match="li-lipon"):
        load_sample("no-such-sample")
