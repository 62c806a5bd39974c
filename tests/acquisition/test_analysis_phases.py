"""Phases from spots: lattices of any orientation, what cannot be told apart, and what is left to chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.analysis.lattices import CANDIDATES, lattice
from acquisition.analysis.phases import Candidates
from tests.acquisition.known_lattices import KELVIN, along_zone, as_spots, spots, turns

ZONES = {  # two strong reflections of each that lie in one picture
    "Li": ("-101", "011"),
    "Li2O": ("111", "-220"),
    "Li3N": ("110", "-210"),
    "Li3PO4": ("210", "002"),
    "Li3P": ("110", "-210"),
    "LiOH": ("101", "110"),
    "Li2CO3": ("002", "020"),
    "ice": ("100", "002"),
    "Cu": ("111", "200"),
}


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    return Candidates(KELVIN)


def g(phase: str, label: str) -> np.ndarray:
    one = lattice(phase, KELVIN)
    return np.asarray(one.g[one.labels.index(label)])


@pytest.mark.parametrize("phase", ZONES)
def test_a_crystal_on_a_zone_is_named(phase: str, candidates: Candidates) -> None:
    turn = along_zone(*(g(phase, label) for label in ZONES[phase]), 0.4)
    first, *_ = candidates.verdicts(spots(phase, turn, off=1.0))
    assert (first.phase, first.decided) == (phase, True)


def test_single_spots_decide_nothing(candidates: Candidates) -> None:
    for one in candidates.lattices:
        strongest = one.g[one.shows.argmax()]
        assert candidates.verdicts(as_spots(np.array([[np.linalg.norm(strongest), 0.0]]))) == []


def test_a_pair_that_two_phases_share_is_undecided(candidates: Candidates) -> None:
    """Li2O 111 and Li3PO4 210 differ by 0.7 %; an angle of neither leaves it open."""
    angle = math.radians(64.0)  # of two 111 of Li2O: 70.5
    k = 3.78e9 * np.array([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
    assert not [one for one in candidates.verdicts(as_spots(k)) if one.decided]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 2 * math.pi))
def test_a_verdict_does_not_hang_on_how_the_picture_lies(candidates: Candidates, seed: int, angle: float) -> None:
    turn = along_zone(g("Li2O", "111"), g("Li2O", "-220"), 0.1)
    seen = spots("Li2O", turn, off=1.0, seed=seed)
    cos, sin = math.cos(angle), math.sin(angle)
    for change in (np.array([[cos, -sin], [sin, cos]]), np.diag([1.0, -1.0])):
        before, after = (candidates.verdicts(one)[0] for one in (seen, seen.turned(seen.k @ change.T)))
        assert after.phase == before.phase
        assert after.confidence == pytest.approx(before.confidence, abs=1e-6)


def test_two_crystals_share_a_patch(candidates: Candidates) -> None:
    one = spots("Li2O", along_zone(g("Li2O", "111"), g("Li2O", "-220"), 0.3))
    other = spots("Li3N", along_zone(g("Li3N", "110"), g("Li3N", "-210"), 1.1))
    both = as_spots(np.concatenate([one.k, other.k]), off=0.5)
    assert {found.phase for found in candidates.verdicts(both) if found.decided} == {"Li2O", "Li3N"}


def test_spots_that_have_nothing_to_do_with_one_another_are_rarely_a_crystal(candidates: Candidates) -> None:
    random = np.random.default_rng(4)
    wrong = 0
    for _ in range(60):
        length, angle = np.sqrt(random.uniform(2.3**2, 7.8**2, 4)), random.uniform(0, math.pi, 4)
        k = 1e9 * length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        wrong += any(one.decided for one in candidates.verdicts(as_spots(k)))
    assert wrong <= 4


def test_turned_as_it_may_be_nine_of_ten_verdicts_are_right(candidates: Candidates) -> None:
    right = decided = 0
    for number, phase in enumerate(CANDIDATES):
        name = lattice(phase, KELVIN).reported
        for turn in turns(40, number):
            seen = spots(phase, turn, off=1.0, seed=number)
            if len(seen) > 1:
                found = [one.phase for one in candidates.verdicts(seen) if one.decided]
                decided += len(found)
                right += found.count(name)
    assert decided > 30
    assert right >= 0.9 * decided


def test_lattices_are_those_of_the_cold(candidates: Candidates) -> None:
    """Lithium contracts by 0.77 % to 78 K: Barrett (1956)."""
    cold, warm = (lattice("Li", kelvin).length.min() for kelvin in (78.0, 293.0))
    assert cold / warm == pytest.approx(1.0078, abs=2e-4)
    assert candidates.lattices[0].length.min() == pytest.approx(1 / 2.463e-10, rel=1e-3)
