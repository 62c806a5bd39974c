"""The structure factor of what is amorphous."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physics.glass import structure_factor


def test_the_first_sharp_peak_is_where_amorphous_ice_and_lipon_have_it() -> None:
    k = np.linspace(0.05e10, 1.5e10, 2901)
    assert 1e10 / k[np.argmax(structure_factor(k))] == pytest.approx(3.7, rel=0.02)  # data/glass.yaml names the source


def test_over_long_distances_a_glass_is_even_and_over_short_ones_its_atoms_are_single() -> None:
    assert structure_factor(np.array([0.0, 2e10])) == pytest.approx([0.0, 1.0], abs=1e-6)


@given(st.floats(0.0, 5e10))
def test_power_is_never_negative_and_the_same_both_ways(k: float) -> None:
    assert structure_factor(k) == structure_factor(-k) >= 0.0
