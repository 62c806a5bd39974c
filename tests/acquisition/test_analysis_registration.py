"""Drift is measured where the frames tell it, and nowhere else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from acquisition.analysis.registration import register

PITCH = (1.5625e-9, 1.5625e-9)
SIZE = 160


def frame(
    electrons: float, shift: tuple[float, float] = (0.0, 0.0), *, seed: int, rough: float = 0.0, angle: float = 0.1
) -> NDArray[np.int64]:
    """A bright film beside a dark one, 49 px of ramp between; shift in px, roughness in px."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] - SIZE / 2.0
    x, y = x - shift[0], y - shift[1]
    across = x * math.cos(angle) + y * math.sin(angle)
    along = -x * math.sin(angle) + y * math.cos(angle)
    knots = np.arange(-SIZE, SIZE, 6.0)
    edge = np.interp(along, knots, np.random.default_rng(7).normal(0, max(rough, 1e-9), knots.size))
    share = np.clip((across - edge) / 49 + 0.5, 0, 1)
    return np.random.default_rng(seed).poisson(electrons * (0.1 + 0.9 * share))


def test_a_shift_is_found_below_a_pixel_in_both_directions_of_a_rough_interface() -> None:
    found = register(frame(300, seed=1, rough=2.5), frame(300, (3.3, -2.6), seed=2, rough=2.5), PITCH)
    assert found.accepted
    assert found.unmeasured is None
    assert found.dx == pytest.approx(3.3 * PITCH[0], abs=4 * found.error)
    assert found.dy == pytest.approx(-2.6 * PITCH[1], abs=4 * found.error)
    assert found.error < PITCH[0]


@pytest.mark.parametrize("angle", [0.1, 1.2, -2.0])
def test_along_a_straight_edge_no_shift_is_invented(angle: float) -> None:
    found = register(frame(100, seed=1, angle=angle), frame(100, (4.0, -3.0), seed=2, angle=angle), PITCH)
    normal = math.cos(angle), math.sin(angle)
    across = 4.0 * normal[0] - 3.0 * normal[1]
    assert found.accepted
    assert found.unmeasured is not None
    assert math.sin(found.unmeasured - angle - math.pi / 2) == pytest.approx(0, abs=0.1)
    assert found.dx * normal[0] + found.dy * normal[1] == pytest.approx(across * PITCH[0], abs=5 * found.error)
    assert abs(-found.dx * normal[1] + found.dy * normal[0]) < 0.2 * PITCH[0] * abs(across)


def test_the_error_is_that_of_repeated_measurements() -> None:
    pairs = [register(frame(30, seed=2 * k), frame(30, (2.2, 0.0), seed=2 * k + 1), PITCH) for k in range(16)]
    across = np.array([p.dx * math.cos(0.1) + p.dy * math.sin(0.1) for p in pairs])
    stated = np.mean([p.error for p in pairs])
    assert across.mean() == pytest.approx(2.2 * math.cos(0.1) * PITCH[0], abs=stated)
    assert 0.6 < across.std(ddof=1) / stated < 1.5


def test_noise_is_no_shift() -> None:
    draw = np.random.default_rng(3)
    found = register(draw.poisson(10, (SIZE, SIZE)), draw.poisson(10, (SIZE, SIZE)), PITCH)
    assert (found.accepted, found.dx, found.dy) == (False, 0.0, 0.0)


def test_a_blank_frame_is_refused_and_not_an_error() -> None:
    found = register(frame(100, seed=1), np.zeros((SIZE, SIZE)), PITCH)
    assert not found.accepted


def test_a_brighter_beam_is_no_shift() -> None:
    found = register(frame(100, seed=1), frame(130, seed=2), PITCH)
    assert abs(found.dx) < 4 * found.error


def test_a_shift_beyond_reach_is_refused() -> None:
    found = register(frame(300, seed=1), frame(300, (12.0, 0.0), seed=2), PITCH, reach=5e-9)
    assert not found.accepted


def test_frames_of_different_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match="cannot be registered"):
        register(np.ones((4, 4)), np.ones((4, 5)), PITCH)
