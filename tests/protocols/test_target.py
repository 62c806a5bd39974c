"""A map may stop once its ramps are as sure as they were meant to be, and not before it has looked."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import ValidationError

from acquisition.datafile import PassRecord
from drivers.rigfile import Optics
from drivers.ticket import Frame
from protocols.steps.eds import EdsMap
from protocols.steps.target import Aim
from tests.acquisition.synthetic_map import (
    BEAM_ENERGY,
    DOSE,
    ENERGIES,
    FWHM_MN,
    SOLID_ANGLE,
    TAKE_OFF,
    Scene,
    dark_field,
    events,
)

FRAME = Frame(centre=(0.0, 0.0), size=(400e-9, 400e-9), pixels=(64, 64), dwell=1e-4)
PASSES = 10
OPTICS = Optics(
    beam_energy=BEAM_ENERGY,
    convergence=10e-3,
    probe_fwhm=2.2e-9,
    dark_field=(20e-3, 100e-3),
    eds_solid_angle=SOLID_ANGLE,
    eds_elevation=TAKE_OFF,
    eds_azimuth=0.0,
    eds_fwhm_mn=FWHM_MN,
)


def aim(target: dict[str, float], live: float = 0.4) -> list[tuple[bool, dict[str, float]]]:
    """What was said after each pass."""
    passes, pixels, channels = events(Scene(), FRAME, fluence=DOSE, shifts=[(0.0, 0.0)] * PASSES, seed=4)
    looked = Aim(target, OPTICS, ("P", "N", "O"), ENERGIES, PASSES)
    said = []
    for index in range(PASSES):
        mine = passes == index
        looked.hear(index, pixels[mine], channels[mine])
        record = PassRecord(
            index, f"e-{index}", datetime.now(UTC), 0.4, FRAME.count, 1.0, 1.0, 0.0, 1.0, live_time=live
        )
        looked.see(record, dark_field(Scene(), FRAME, 200, index), FRAME)
        said.append((looked.met(), dict(looked.found)))
    return said


def test_a_map_is_enough_once_every_ramp_is_sure_and_a_longer_one_is_surer() -> None:
    said = aim({"P": 6e-9, "N": 15e-9})
    first = next(number for number, (met, _) in enumerate(said) if met)
    assert 1 <= first < PASSES - 1
    assert said[first][1]["P"] <= 6e-9
    assert said[-1][1]["P"] < 0.8 * said[1][1]["P"]


def test_what_cannot_be_reached_is_never_met() -> None:
    assert not any(met for met, _ in aim({"N": 1e-9}))


def test_without_a_target_nothing_is_looked_at() -> None:
    assert all(not met and not found for met, found in aim({}))


def test_passes_that_are_not_valid_say_nothing() -> None:
    assert not any(met for met, _ in aim({"P": 1.0}, live=0.0))


@pytest.mark.parametrize("target", [{"Cu": 3e-9}, {"P": 0.0}, {"P": math.nan}])
def test_a_target_is_of_the_elements_that_are_mapped_and_above_nothing(target: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="target"):
        EdsMap(elements=("P", "N"), dose=1e24, passes=4, target=target)


def test_the_mean_of_counts_that_never_came_is_no_ramp() -> None:
    looked = Aim({"P": 1e-9}, OPTICS, ("P",), ENERGIES, 2)
    for index in range(2):
        record = PassRecord(index, "e", datetime.now(UTC), 0.4, FRAME.count, 1.0, 1.0, 0.0, 1.0, live_time=0.4)
        looked.see(record, np.zeros((64, 64), dtype=np.uint16), FRAME)
    assert not looked.met()
