"""Events are sorted by their distance from the interface, whatever its direction and the drift."""

from __future__ import annotations

import math

import numpy as np
import pytest

from acquisition.analysis.interface import Interface, coordinates
from acquisition.analysis.profile import Profile, profile
from acquisition.analysis.spectra import SpectrumFit, fit, line_shapes
from drivers.ticket import Frame
from physics.materials import material
from tests.acquisition.synthetic_map import BEAM_ENERGY, ENERGIES, FWHM_MN

FRAME = Frame(centre=(0.0, 0.0), size=(96e-9, 64e-9), pixels=(96, 64), dwell=1e-4)
FLAT = Interface(position=0.0, angle=0.0, width=1e-9, score=1.0, position_error=0.0, angle_error=0.0)
P_CHANNEL = 201


@pytest.fixture(scope="module")
def phosphorus() -> SpectrumFit:
    shapes = line_shapes(("P", "O"), ENERGIES, beam_energy=BEAM_ENERGY, fwhm_mn=FWHM_MN, film=material("LiPON"))
    return fit(1e5 * shapes.shapes[0] + 1e4 * shapes.shapes[-1], shapes)


def of(pixels: np.ndarray, passes: np.ndarray, spectrum: SpectrumFit, **other: object) -> Profile:  # type: ignore[type-arg]
    count = int(passes.max()) + 1
    arguments: dict[str, object] = {
        "frame": FRAME,
        "pixels_done": [FRAME.count] * count,
        "shifts": [(0.0, 0.0)] * count,
        "interface": FLAT,
        "fit": spectrum,
        "elements": ("P", "O"),
        "bin_width": 2e-9,
        **other,
    }
    return profile(passes, pixels, np.full(pixels.size, P_CHANNEL), **arguments)  # type: ignore[arg-type]


def edge(angle: float, position: float, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:  # type: ignore[type-arg]
    """Pixels on the bright side of a sharp interface, five events each, with the sample moved."""
    x, y = coordinates((64, 96), FRAME.pitch)
    across = (x[None, :] - shift[0]) * math.cos(angle) + (y[:, None] - shift[1]) * math.sin(angle) - position
    return np.repeat(np.flatnonzero(across.ravel() > 0), 5)


def test_no_event_is_lost_or_counted_twice(phosphorus: SpectrumFit) -> None:
    pixels = np.random.default_rng(1).integers(0, FRAME.count, 5000)
    found = of(pixels, np.zeros(5000, int), phosphorus)
    assert found.counts[0].sum() == pytest.approx(5000 * phosphorus.worth("P")[P_CHANNEL])
    assert found.visits.sum() == FRAME.count


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.6, -2.4])
def test_a_sharp_interface_stays_sharp_in_any_direction(phosphorus: SpectrumFit, angle: float) -> None:
    pixels = edge(angle, 5e-9)
    turned = Interface(5e-9, angle, 1e-9, 1.0, 0.0, 0.0)
    found = of(pixels, np.zeros(pixels.size, int), phosphorus, interface=turned)
    rate, _ = found.rate("P")
    worth = phosphorus.worth("P")[P_CHANNEL]
    assert rate[found.position < -2e-9] == pytest.approx(0, abs=1e-9)
    assert rate[found.position > 2e-9] == pytest.approx(5 * worth)


def test_drift_is_taken_back(phosphorus: SpectrumFit) -> None:
    shift = (4e-9, -3e-9)
    still, moved = edge(0.5, 0.0), edge(0.5, 0.0, shift)
    pixels, passes = np.concatenate([still, moved]), np.repeat([0, 1], [still.size, moved.size])
    turned = Interface(0.0, 0.5, 1e-9, 1.0, 0.0, 0.0)
    blurred = of(pixels, passes, phosphorus, interface=turned).rate("P")[0]
    followed = of(pixels, passes, phosphorus, interface=turned, shifts=[(0.0, 0.0), shift])
    rate, dark = followed.rate("P")[0], followed.position < -2e-9
    assert rate[dark] == pytest.approx(0, abs=1e-9)
    assert blurred.std() < rate.std()


def test_a_pass_that_was_cut_short_exposed_what_it_exposed(phosphorus: SpectrumFit) -> None:
    half = FRAME.count // 2
    pixels = np.arange(half)
    found = of(pixels, np.zeros(half, int), phosphorus, pixels_done=[half])
    assert found.visits.sum() == half
    assert found.rate("P")[0] == pytest.approx(phosphorus.worth("P")[P_CHANNEL])


def test_events_of_a_pass_without_a_shift_are_an_error(phosphorus: SpectrumFit) -> None:
    with pytest.raises(ValueError, match="do not cover"):
        of(np.array([1, 2]), np.array([0, 1]), phosphorus, shifts=[(0.0, 0.0)])


def test_a_map_without_exposure_is_an_error(phosphorus: SpectrumFit) -> None:
    with pytest.raises(ValueError, match="no pixel was exposed"):
        of(np.array([1]), np.array([0]), phosphorus, pixels_done=[0])
