"""A wedge across the interface is seen in the dark field, and believed only where the counts agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from acquisition.analysis.interface import Interface, coordinates
from acquisition.analysis.profile import Profile
from acquisition.analysis.stacking import stacked
from acquisition.analysis.thickness import slope_across
from drivers.ticket import Frame

FRAME = Frame(centre=(0.0, 0.0), size=(400e-9, 400e-9), pixels=(128, 128), dwell=1e-4)
DEPTH = 0.11  # LiPON, 100 nm, 200 kV, 25 to 100 mrad
FLAT = Interface(position=-40e-9, angle=0.1, width=1e-9, score=1.0, position_error=0.0, angle_error=0.0)
WEDGE = 0.85e6  # 1/m: 85 nm in 1 um, of 100 nm


def seen(slope: float, along: float = 0.5e6) -> NDArray[np.float64]:
    """Electrons of a film that gets thicker both ways."""
    x, y = coordinates((128, 128), FRAME.pitch)
    across = x[None, :] * math.cos(0.1) + y[:, None] * math.sin(0.1) + 40e-9
    thick = (1 + slope * across) * (1 + along * (y[:, None] * math.cos(0.1) - x[None, :] * math.sin(0.1)))
    return np.random.default_rng(2).poisson(2e5 * -np.expm1(-DEPTH * thick) * (across > 0)).astype(float)


def counted(slope: float, level: float = 2000.0) -> Profile:
    position = np.arange(-150e-9, 230e-9, 4e-9)
    mean = level / 32 * (1 + slope * position) * (position > 0)
    counts = np.random.default_rng(3).poisson(mean, (32, position.size)).astype(float)[None]
    return Profile(("P",), position, np.ones((32, position.size)), counts, np.maximum(counts, 0.1))


@pytest.mark.parametrize("slope", [0.0, WEDGE, -0.4e6])
def test_the_slope_is_found_whatever_there_is_along_the_interface(slope: float) -> None:
    found = slope_across(seen(slope), FRAME, FLAT, 20e-9, counted(slope), "P", depth=DEPTH)
    assert found.source == "dark field"
    assert found.value == pytest.approx(slope, abs=3 * found.uncertainty + 1e3)
    assert found.uncertainty < 0.12e6


def test_counts_are_believed_where_the_dark_field_contradicts_them() -> None:
    found = slope_across(seen(-WEDGE), FRAME, FLAT, 20e-9, counted(WEDGE), "P", depth=DEPTH)
    assert found.source == "counts of P"
    assert found.value == pytest.approx(WEDGE, abs=4 * found.uncertainty)


def test_where_no_whole_film_is_left_the_slope_is_not_known() -> None:
    found = slope_across(seen(0.0), FRAME, FLAT, 225e-9, counted(0.0), "P", depth=DEPTH)
    assert found.source == "assumed"
    assert found.uncertainty > 0.3e6


def test_frames_are_stacked_with_the_drift_taken_back() -> None:
    still = np.random.default_rng(1).integers(10, 90, (128, 128)).astype(np.uint16)
    moved = np.roll(still, (3, -2), axis=(0, 1))
    shift = (-2 * FRAME.pitch[0], 3 * FRAME.pitch[1])
    done = 100 * 128
    mean = stacked([(still, (0.0, 0.0), 128 * 128), (moved, shift, done)], FRAME.pixels, FRAME.pitch)
    assert np.array_equal(mean[5:90, 5:120], still[5:90, 5:120])
    assert stacked([], (4, 3), FRAME.pitch).shape == (3, 4)
