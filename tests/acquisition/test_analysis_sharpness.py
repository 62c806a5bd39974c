"""Sharpness is detail without the shot noise, with an honest error."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from acquisition.analysis.sharpness import Sharpness, sharpness

PITCH = (1e-9, 1e-9)
GAIN = 4.0


def frame(blur: float, electrons: float, seed: int) -> NDArray[np.float64]:
    """Grains blurred by `blur` px, in counts of a detector that makes GAIN of an electron."""
    grains = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(96, 96)), 1.0)
    scene = 1 + 0.2 * ndimage.gaussian_filter(grains / grains.std(), blur)
    return GAIN * np.random.default_rng(seed).poisson(electrons * scene)


def measure(blur: float, electrons: float, seed: int) -> Sharpness:
    return sharpness(frame(blur, electrons, seed), PITCH, counts_per_electron=GAIN, detail=(2e-9, 16e-9))


def test_a_sharper_frame_has_more_detail() -> None:
    sharp, blurred = measure(0.5, 50, 2), measure(1.5, 50, 2)
    assert sharp.value - blurred.value > 5 * (sharp.error + blurred.error)


def test_detail_does_not_depend_on_dose() -> None:
    low, high = measure(0.5, 10, 2), measure(0.5, 1000, 3)
    assert low.value == pytest.approx(high.value, abs=4 * low.error)


def test_noise_alone_has_no_sharpness_and_an_honest_error() -> None:
    draw = np.random.default_rng(4)
    seen = [sharpness(draw.poisson(5, (64, 64)), PITCH, counts_per_electron=1, detail=(2e-9, 16e-9)) for _ in range(40)]
    values, stated = np.array([s.value for s in seen]), seen[0].error
    assert values.mean() == pytest.approx(0, abs=stated)
    assert 0.6 < values.std() / stated < 1.4


def test_a_dark_frame_is_an_error() -> None:
    with pytest.raises(ValueError, match="dark"):
        sharpness(np.zeros((32, 32)), PITCH, counts_per_electron=1, detail=(2e-9, 16e-9))
