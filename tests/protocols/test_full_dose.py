"""The main job at full dose: hours of rig time, and what the profiles say of the sample (minutes; marked slow)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from drivers.clock import wall_seconds
from protocols.job import Job
from protocols.recipe import load_recipe
from protocols.rigtext import load_rig
from tests.protocols.whole_run import Told, area_dose, compare, do, results

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TRUE = {"P": 76.0, "N": 76.0, "O": 30.0}  # nm; the ramps of simulators/samples/li-lipon.yaml
BUDGET = 12000.0  # e/A^2
FIELD = 400e-9  # m


@pytest.fixture(scope="module", params=[1, 2, 3])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told, float]:
    """The shipped recipe on the shipped rig: its folder, what it told, and the wall time it took, s."""
    folder = tmp_path_factory.mktemp("night") / "run"
    began = wall_seconds()
    told = do(Job(load_recipe("dose-limited-map"), load_rig("bench"), request.param, None, folder))
    return folder, told, wall_seconds() - began


def test_hours_of_rig_time_take_less_than_a_minute(done: tuple[Path, Told, float]) -> None:
    folder, _, seconds = done
    assert seconds < 60.0
    assert results(folder)["rig_seconds"] > 2000.0


def test_the_map_has_the_fluence_it_was_asked_for_within_the_budget(done: tuple[Path, Told, float]) -> None:
    folder, _, _ = done
    assert 1e4 < area_dose(folder) < BUDGET


def test_at_full_dose_the_ledger_is_never_below_the_truth_and_little_above_it(done: tuple[Path, Told, float]) -> None:
    _, told, _ = done
    compared = compare(told.world, told.ledger)
    assert compared.below() == 0
    ratio = compared.ratio(FIELD / 2 - 20e-9)  # the field of the map but for what drift and registration may move
    assert ratio.min() >= 1.0
    assert ratio.max() <= 1.2


@pytest.mark.parametrize("element", TRUE)
def test_the_ramp_of_an_element_is_what_is_there(done: tuple[Path, Told, float], element: str) -> None:
    folder, _, _ = done
    profile = results(folder)["profiles"][element]
    low, high = profile["ci95_nm"]
    assert low <= profile["ramp_nm"] <= high
    # 95 % of intervals hold the truth; the rest miss it by less than another half of their width
    slack = (high - low) / 2
    assert low - slack <= TRUE[element] <= high + slack


def test_the_interphase_is_as_wide_as_it_is(done: tuple[Path, Told, float]) -> None:
    folder, _, _ = done
    interphase = results(folder)["interphase"]
    low, high = interphase["ci95_nm"]
    assert math.isclose(interphase["width_nm"], 76.0, rel_tol=0.15) or low <= 76.0 <= high
    assert high - low < 30.0
