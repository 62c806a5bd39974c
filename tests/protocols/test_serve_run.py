"""A recipe over real ports is the recipe over memory: the same steps, the same dose, the same findings within noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acquisition.control import State
from protocols import riglock
from protocols.job import Job
from protocols.recipe import load_recipe
from protocols.rigtext import load_rig, read_rig
from protocols.serving import Serving, Wanted, served_rig, serving
from tests.protocols.whole_run import (
    IMAGE,
    MAP,
    Compared,
    Told,
    compare,
    do,
    journal,
    make_job,
    recipe_text,
    results,
)

SPEED = 20.0
RIG = load_rig("bench-exact").text.replace("sample_ceiling: 133 K", "sample_ceiling: 300 K")
STEPS = "- cool_down: {to: 294 K, ramp: 20 K/min}\n" + IMAGE + MAP
FIELD = 100e-9  # m, of the small map
COUNTS = 5.0  # standard deviations that two countings of the same thing may differ by
RAMPS = 1.0  # of the sum of two 95 % intervals' halves


@dataclass(frozen=True)
class Done:
    """A run's folder, and its dose in truth and in the books before the beam was let go of."""

    folder: Path
    compared: Compared | None = field(default=None, repr=False)

    def steps(self) -> list[tuple[str, str]]:
        """Name and digest of each step, in order."""
        return [(entry["do"], entry["digest"]) for entry in journal(self.folder, "step")]

    def said(self, key: str) -> list[Any]:
        """What each result says under a key."""
        return [entry["result"].get(key) for entry in journal(self.folder, "result")]

    def spent(self) -> dict[str, float]:
        """The most that any place of each area has received, e/A^2."""
        return {area["name"]: area["spent_max_e_per_A2"] for area in results(self.folder)["dose"]["areas"]}

    def reserved(self) -> list[tuple[str, float, int, float]]:
        """Each exposure's area, fluence, pixels and seconds."""
        return [(e["area"], e["fluence"], e["pixels"], e["seconds"]) for e in journal(self.folder, "reserve")]


@pytest.fixture(scope="module", autouse=True)
def user(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The user's data folder, where the locks of real rigs are, is a temporary one."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(riglock, "user_data_path", lambda name: folder / name)
        yield


@pytest.fixture(scope="module")
def over_memory(tmp_path_factory: pytest.TempPathFactory) -> Done:
    job = make_job(tmp_path_factory.mktemp("memory"), recipe_text(STEPS), rig=RIG)
    do(job)
    return Done(job.folder)


@pytest.fixture(scope="module")
def over_ports(tmp_path_factory: pytest.TempPathFactory) -> Done:
    simulated = read_rig(RIG, "warm.yaml")
    folder, found = tmp_path_factory.mktemp("ports"), []
    with serving(simulated, Wanted(speed=SPEED)) as now:
        job = make_job(folder, recipe_text(STEPS), rig=served_rig(simulated, now.addresses, SPEED))
        do(job, at_state=lambda told, state: found.append(dose(now, told)) if state is State.DONE else None)
    return Done(job.folder, found[0])


def dose(now: Serving, told: Told) -> Compared:
    """At the end of a run, while its beam is still held blanked: nothing changes what the sample has received."""
    return compare(now.world, told.ledger)


def test_the_same_steps_are_done(over_memory: Done, over_ports: Done) -> None:
    assert over_ports.steps() == over_memory.steps()


def test_the_same_dose_is_planned_and_charged_exactly(over_memory: Done, over_ports: Done) -> None:
    assert over_ports.said("planned_e_per_A2") == over_memory.said("planned_e_per_A2")
    assert over_ports.said("charged_e_per_A2") == over_memory.said("charged_e_per_A2")
    assert over_ports.reserved() == over_memory.reserved()
    assert over_ports.spent() == over_memory.spent()


def test_every_pass_has_all_its_x_rays(over_memory: Done, over_ports: Done) -> None:
    assert over_ports.said("valid_passes") == over_memory.said("valid_passes") == [None, None, 6]


def test_what_is_found_differs_by_noise_only(over_memory: Done, over_ports: Done) -> None:
    for here, there in zip(over_ports.said("counts"), over_memory.said("counts"), strict=True):
        assert (here is None) == (there is None)
        for element in here or ():
            assert abs(here[element] - there[element]) <= COUNTS * math.sqrt(here[element] + there[element])
    for here, there in zip(over_ports.said("mean_counts"), over_memory.said("mean_counts"), strict=True):
        assert here == there is None or here == pytest.approx(there, rel=0.01)


def test_the_sample_received_what_was_charged_for_it(over_ports: Done) -> None:
    assert over_ports.compared is not None
    ratio = over_ports.compared.ratio(FIELD / 2 - 20e-9)
    assert np.all(ratio >= 1.0)
    assert np.all(ratio <= 1.05)  # without hidden errors


def test_the_record_says_that_the_instrument_is_none(over_ports: Done) -> None:
    assert results(over_ports.folder)["rig"]["simulated"] is True


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_shipped_recipe_runs_over_ports_as_over_memory(tmp_path: Path) -> None:
    speed, bench, recipe = 20.0, load_rig("bench"), load_recipe("dose-limited-map")
    memory, ports = Done(tmp_path / "memory"), Done(tmp_path / "ports")
    do(Job(recipe, bench, 1, None, memory.folder))
    with serving(bench, Wanted(speed=speed)) as now:
        served = read_rig(served_rig(bench, now.addresses, speed), "served.yaml")
        do(Job(recipe, served, 1, None, ports.folder))
    assert ports.steps() == memory.steps()
    assert ports.said("planned_e_per_A2") == memory.said("planned_e_per_A2")
    assert ports.reserved() == memory.reserved()
    assert ports.spent() == memory.spent()
    for element, there in results(memory.folder)["profiles"].items():
        here = results(ports.folder)["profiles"][element]
        halves = [(profile["ci95_nm"][1] - profile["ci95_nm"][0]) / 2 for profile in (here, there)]
        assert abs(here["ramp_nm"] - there["ramp_nm"]) <= RAMPS * sum(halves)
