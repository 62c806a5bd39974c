"""The interface is found wherever it lies, with errors that hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from acquisition.analysis.interface import coordinates, find_interface

PITCH = (4e-9, 3e-9)


def frame(position: float, angle: float, electrons: float = 100, width: float = 30e-9) -> NDArray[np.int64]:
    """A step from a tenth to all, 10-90 % in `width`."""
    x, y = coordinates((96, 112), PITCH)
    across = x[None, :] * math.cos(angle) + y[:, None] * math.sin(angle) - position
    step = special.ndtr(across / (width / 2.563))
    return np.random.default_rng(5).poisson(electrons * (0.1 + 0.9 * step))


@settings(max_examples=20, deadline=None)
@given(position=st.floats(-60e-9, 60e-9), angle=st.floats(-3.1, 3.1))
def test_position_and_angle_are_found_within_their_errors(position: float, angle: float) -> None:
    found = find_interface(frame(position, angle), PITCH)
    assert found.position == pytest.approx(position, abs=5 * found.position_error)
    assert math.remainder(found.angle - angle, 2 * math.pi) == pytest.approx(0, abs=5 * found.angle_error)
    assert found.score > 0.95


def test_errors_are_below_a_pixel_and_a_degree_at_low_dose() -> None:
    found = find_interface(frame(20e-9, 0.3, electrons=5), PITCH)
    assert found.position_error < min(PITCH)
    assert found.angle_error < math.radians(1)


def test_the_width_is_from_ten_to_ninety_percent() -> None:
    assert find_interface(frame(0, 0.2, electrons=1000), PITCH).width == pytest.approx(30e-9, rel=0.1)


def test_a_lamella_that_gets_thicker_along_the_interface_does_not_turn_it() -> None:
    x, y = coordinates((96, 112), PITCH)
    ramp = np.clip((x + 60e-9) / 120e-9, 0, 1)[None, :]
    thicker = 1 + y[:, None] / 1.6e-6
    image = np.random.default_rng(5).poisson(1000 * (0.1 + 0.9 * ramp) * thicker)
    assert math.degrees(find_interface(image, PITCH).angle) == pytest.approx(0, abs=0.2)


def test_noise_scores_nothing() -> None:
    assert find_interface(np.random.default_rng(1).poisson(10, (96, 96)), PITCH).score < 0.1


def test_a_blank_frame_is_an_error() -> None:
    with pytest.raises(ValueError, match="blank"):
        find_interface(np.zeros((64, 64)), PITCH)


def test_a_tiny_frame_is_an_error() -> None:
    with pytest.raises(ValueError, match="too small"):
        find_interface(np.zeros((8, 64)), PITCH)
