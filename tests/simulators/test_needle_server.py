"""The simulated NanoControl, asked as a host asks it, and the motors behind it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drivers.clock import VirtualClock
from drivers.links import MemoryLink
from simulators.constants import constants
from simulators.stages.manipulator import CHANNELS, Manipulator
from tests.drivers.golden import golden, pairs
from tests.drivers.needle_bench import NeedleWorld, a_server
from tests.simulators.bench import make_world


class Host:
    """Sends lines and reads what comes within a time."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.world = NeedleWorld(self.clock)
        self.server = a_server(self.world)
        self.link = MemoryLink("needle", self.server, self.clock)

    def says(self, line: str, *, wait: float = 0.5) -> list[str]:
        self.link.write(f"{line}\r".encode("ascii"))
        return self.hears(wait)

    def hears(self, wait: float) -> list[str]:
        found, until = b"", self.clock.now() + wait
        while (left := until - self.clock.now()) > 0.0:
            found += self.link.read(min(left, 0.5))
        return found.decode("ascii").split("\r")[:-1]


@pytest.fixture
def host() -> Host:
    return Host()


def motors(seed: int = 1, *, hidden_errors: bool = True) -> Manipulator:
    return Manipulator(np.random.default_rng([seed, 11]), hidden_errors=hidden_errors)


def test_what_public_drivers_send_is_answered_in_form(host: Host) -> None:
    for request, reply in pairs(golden("kleindiek", "manual")):
        found = host.says(request.decode().strip())
        assert len(found) == reply.count(b"\r")
        assert all(line.startswith("o\t") for line in found)


def test_steps_are_answered_when_they_are_done(host: Host) -> None:
    assert host.says("coarse A 400", wait=0.39) == []
    assert host.hears(0.03) == ["o\t"]
    assert host.says("coarse ?") == ["o\t400 0 0 0"]
    host.says("coarse A -150")
    assert host.says("coarse ?") == ["o\t250 0 0 0"]


def test_a_busy_box_does_nothing_else(host: Host) -> None:
    host.says("coarse A 400", wait=0.1)
    assert host.says("coarse B 10", wait=0.1) == ["e\tbusy"]
    assert host.says("version", wait=0.1) == ["e\tbusy"]
    assert host.hears(0.2) == ["o\t"]
    assert host.says("coarse ?") == ["o\t400 0 0 0"]


def test_a_stop_gives_two_answers_and_stopnack_one(host: Host) -> None:
    host.says("coarse C 400", wait=0.1)
    assert host.says("stop") == ["o\t", "o\t"]
    host.says("coarse C -400", wait=0.05)
    assert host.says("stopnack") == ["o\t"]
    assert host.says("stopnack") == []
    assert host.says("coarse ?") == ["o\t0 0 50 0"]  # 100 forward, 50 back


def test_a_reset_forgets_what_was_counted(host: Host) -> None:
    host.says("coarse D 7")
    assert host.says("coarsereset") == ["o\t"]
    assert host.says("coarse ?") == ["o\t0 0 0 0"]


@pytest.mark.parametrize("line", ["", "fine A 10", "coarse E 1", "coarse A 70000", "Coarse A 1", "x" * 400, "\x01"])
def test_what_the_box_does_not_understand_is_an_error(host: Host, line: str) -> None:
    assert host.says(line)[0] == "e\tunknown command"
    assert host.says("coarse ?") == ["o\t0 0 0 0"]


def test_a_host_that_went_leaves_no_answer_for_the_next(host: Host) -> None:
    host.link.write(b"version\rcoar")
    host.link.close()
    host.link = MemoryLink("needle", host.server, host.clock)
    assert host.says("coarse ?") == ["o\t0 0 0 0"]


@pytest.mark.parametrize("seed", range(5))
def test_a_step_is_not_as_long_as_it_is_said_to_be(seed: int) -> None:
    needle = motors(seed)
    data = constants("needle")
    for channel in CHANNELS:
        entry = data["channels"][channel]
        for way, sign in (("forward", 1), ("back", -1)):
            before = needle._moved[entry["axis"]]
            done = needle.start(channel, sign * 60_000, 0.0)
            needle.advance(done)
            length = sign * (needle._moved[entry["axis"]] - before) / 60_000
            assert length != pytest.approx(entry[way], rel=1e-4)
            assert length == pytest.approx(entry[way], rel=1.05 * data["hidden"])


def test_without_hidden_errors_a_mean_step_is_as_long_as_it_is_said_to_be() -> None:
    needle = motors(hidden_errors=False)
    needle.advance(needle.start("A", 60_000, 0.0))
    assert needle.tip()["x"] == pytest.approx(60_000 * 2.1e-7, rel=5e-3)


def test_one_step_is_not_like_another() -> None:
    needle = motors()
    steps = []
    for n in range(300):
        before = needle._moved["z"]
        needle.advance(needle.start("C", 1, float(n)))
        steps.append(needle._moved["z"] - before)
    assert np.std(steps) / np.mean(steps) == pytest.approx(constants("needle")["scatter"], rel=0.15)


def test_a_rotated_tip_runs_out_of_true() -> None:
    needle = motors()
    needle.advance(needle.start("D", 4000, 0.0))
    tip = needle.tip()
    assert tip["rotation"] == pytest.approx(4000 * 3.6e-4, rel=0.12)
    assert 0.0 < np.hypot(tip["x"], tip["y"]) < 2.0 * constants("needle")["runout"]


def test_however_often_somebody_looks_as_many_steps_are_done() -> None:
    rare, often = motors(), motors()
    done = rare.start("A", 777, 0.0)
    often.start("A", 777, 0.0)
    for n in range(100):
        often.advance(n * done / 100)
    for needle in (rare, often):
        assert needle.busy(done - 1e-3)
        assert not needle.busy(done)
        assert needle.counters["A"] == 777


def test_the_world_has_a_needle_and_saves_it(tmp_path: Path) -> None:
    world = make_world(hidden_errors=True)
    world.needle.advance(world.needle.start("B", 50, 0.0))
    world.save(tmp_path / "world.npz")
    again = make_world(hidden_errors=True)
    again.load(tmp_path / "world.npz")
    assert again.needle.tip() == world.needle.tip()
    assert again.needle.counters == world.needle.counters
    for one in (world, again):
        one.needle.advance(one.needle.start("B", 50, 10.0))
    assert again.needle.tip() == world.needle.tip()  # the dice go on where they were
