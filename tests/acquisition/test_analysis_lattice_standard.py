"""A pixel is measured on a few grains of a crystal that is known, and on nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from acquisition.analysis.lattice_standard import find_scale, fit_scale
from physics.crystals import spacings

PITCH, SIDE = 40e-12, 640
COPPER = spacings("Cu", 103.0, 1.2e-10)


def image(scale: float, grains: int, seed: int) -> NDArray[np.int64]:
    """Grains of copper with one to three sets of fringes each, seen with pixels `scale` times as large as believed."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE] * (PITCH * scale)
    contrast = np.zeros((SIDE, SIDE))
    for _ in range(grains):
        place, radius = random.uniform(0.2, 0.8, 2) * SIDE * PITCH, random.uniform(4e-9, 9e-9)
        inside = (x - place[0]) ** 2 + (y - place[1]) ** 2 < radius**2
        for ring in random.choice(COPPER, random.integers(1, 4)):
            turn = random.uniform(0, math.pi)
            k = random.normal(1, 0.001) / ring.d
            contrast += inside * 0.05 * np.cos(2 * math.pi * k * (x * math.cos(turn) + y * math.sin(turn)))
    return random.poisson(100 * np.maximum(1 + contrast, 0))


@pytest.mark.parametrize("scale", [0.98, 1.015])
def test_a_wrong_pixel_is_found_on_a_few_grains(scale: float) -> None:
    found = find_scale(image(scale, 5, seed=3), PITCH, COPPER, within=0.05)
    assert found.value == pytest.approx(scale, abs=3 * found.error)
    assert found.error < 0.004
    assert found.score > 0.9


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(0.96, 1.04), seed=st.integers(0, 10**6), strangers=st.integers(0, 4))
def test_spots_of_something_else_speak_for_no_scale(scale: float, seed: int, strangers: int) -> None:
    random = np.random.default_rng(seed)
    rings = random.choice([0, 0, 1, 2], 8)
    lengths = np.array([scale / COPPER[ring].d for ring in rings]) * random.normal(1, 0.001, 8)
    others = random.uniform(3.0e9, 4.3e9, strangers)  # where no ring of copper lies
    every = np.concatenate([lengths, others])
    found = fit_scale(every, np.full(every.size, 4e6), np.ones(every.size), spacings=COPPER, within=0.05)
    assert found.value == pytest.approx(scale, abs=0.003)
    assert found.spots == 8


def test_an_image_without_a_lattice_is_refused() -> None:
    with pytest.raises(ValueError, match="spots of a lattice"):
        find_scale(np.random.default_rng(1).poisson(100, (SIDE, SIDE)), PITCH, COPPER, within=0.05)


def test_spots_where_the_standard_has_no_ring_are_refused() -> None:
    lengths = np.array([2.0e9, 2.1e9, 2.2e9])
    with pytest.raises(ValueError, match="no ring"):
        fit_scale(lengths, np.full(3, 4e6), np.ones(3), spacings=COPPER, within=0.05)
