"""The run control: its states, who may ask for what, and the watches."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pytest_mock import MockerFixture

from acquisition.control import POLL, TRANSITIONS, State, Trip
from drivers.clock import VirtualClock
from drivers.errors import Aborted, InterlockError, LinkError
from protocols.bench import Bench
from tests.acquisition.run_bench import Desk

WARM = Trip("the stage is at 110.0 K", latch=False)
HOT = Trip("the stage is at 140.0 K", latch=True)
ENDS = (State.DONE, State.ABORTED, State.FAILED, State.TORN, State.LATCHED)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "control")


@pytest.fixture(autouse=True)
def wall_time_costs_nothing(mocker: MockerFixture) -> None:
    """Wall time goes on by itself, so that waiting for a person needs no waiting."""
    wall = VirtualClock()
    mocker.patch("time.sleep", side_effect=wall.sleep)

    def perf_counter() -> float:
        wall.sleep(POLL / 10)
        return wall.now()

    mocker.patch("time.perf_counter", side_effect=perf_counter)


# --- states


@pytest.mark.parametrize("before", State)
def test_only_the_changes_in_the_table_are_possible(desk: Desk, before: State) -> None:
    for after in State:
        desk.control.state = before
        desk.told.clear()
        if after in TRANSITIONS[before]:
            desk.control.to(after, "why")
            assert (desk.control.state, desk.told) == (after, [(after, "why")])
        else:
            with pytest.raises(RuntimeError, match=f"cannot go from {before} to {after}"):
                desk.control.to(after, "why")
            assert (desk.control.state, desk.told) == (before, [])


def test_every_state_stands_in_the_table_and_an_end_is_an_end() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {state for state, then in TRANSITIONS.items() if not then} == set(ENDS)


def test_every_state_but_an_end_can_be_left_for_a_failure() -> None:
    assert all(State.FAILED in then for state, then in TRANSITIONS.items() if state not in ENDS)


# --- waiting and pausing


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.1, 1.0, 7.3])
def test_a_control_wait_lets_that_much_rig_time_pass(desk: Desk, seconds: float) -> None:
    desk.running().wait(seconds)
    assert desk.clock.now() == pytest.approx(seconds, abs=1e-9)


def test_a_pause_waits_for_the_next_control_wait(desk: Desk) -> None:
    control = desk.running()
    control.interrupt()
    control.poll()
    assert (control.state, control.pause_asked) == (State.RUNNING, True)
    desk.on_state[State.PAUSED] = lambda: desk.ask("continue")
    control.wait(0.0)
    assert desk.states == [State.RUNNING, State.PAUSING, State.PAUSED, State.RUNNING]


def test_a_paused_run_is_blanked_before_it_says_so(desk: Desk) -> None:
    control = desk.running()
    control.interrupt()
    desk.on_state[State.PAUSED] = lambda: desk.ask("continue")
    control.wait(1.0)
    assert desk.blanked == [State.PAUSING]


def test_a_run_that_goes_on_is_not_paused_again(desk: Desk) -> None:
    control = desk.running()
    control.interrupt()
    desk.on_state[State.PAUSED] = lambda: desk.ask("continue")
    control.wait(1.0)
    control.wait(1.0)
    assert desk.states.count(State.PAUSED) == 1
    assert not control.pause_asked


def test_an_old_word_to_go_on_does_not_end_the_next_pause(desk: Desk) -> None:
    control = desk.running()
    desk.ask("continue")
    control.interrupt()
    desk.on_state[State.PAUSED] = lambda: control.ask_abort("nobody said go on")
    with pytest.raises(Aborted):
        control.wait(0.0)


def test_ctrl_c_once_pauses_and_twice_aborts(desk: Desk) -> None:
    control = desk.running()
    control.interrupt()
    control.poll()
    control.interrupt()
    with pytest.raises(Aborted, match="Ctrl-C twice"):
        control.poll()


@pytest.mark.parametrize("state", [State.PAUSING, State.PAUSED, State.WAITING])
def test_ctrl_c_while_the_run_stands_aborts(desk: Desk, state: State) -> None:
    desk.control.state = state
    desk.control.interrupt()
    with pytest.raises(Aborted):
        desk.control.poll()


def test_ctrl_c_after_a_pause_pauses_again(desk: Desk) -> None:
    control = desk.running()
    desk.on_state[State.PAUSED] = lambda: desk.ask("continue")
    for _ in range(2):
        control.interrupt()
        control.wait(0.0)
    assert desk.states.count(State.PAUSED) == 2


def test_an_abort_reaches_links_and_control_waits(desk: Desk) -> None:
    control = desk.running()
    control.ask_abort("enough")
    assert desk.abort.is_set()
    with pytest.raises(Aborted, match="enough"):
        control.wait(10.0)
    assert desk.clock.now() == 0.0


# --- requests of other processes


@pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED, State.WAITING, State.SUSPENDED])
def test_an_abort_file_acts_within_one_poll(desk: Desk, state: State) -> None:
    control = desk.running()
    desk.ask("abort")
    control.state = state
    with pytest.raises(Aborted, match="cryolift abort"):
        control.wait(POLL)
    assert not (desk.folder / "abort").exists()


def test_a_pause_file_acts_within_one_poll(desk: Desk) -> None:
    control = desk.running()
    desk.on_state[State.PAUSED] = lambda: desk.ask("continue")
    desk.ask("pause")
    control.wait(POLL)
    assert desk.states[-2:] == [State.PAUSED, State.RUNNING]
    assert list(desk.folder.iterdir()) == []


def test_a_blank_file_blanks_at_once_and_then_pauses(desk: Desk) -> None:
    control = desk.running()
    desk.on_state[State.PAUSED] = lambda: desk.ask("continue")
    desk.ask("blank")
    control.poll()
    assert (desk.blanked, control.state) == ([State.RUNNING], State.RUNNING)
    control.wait(0.0)
    assert State.PAUSED in desk.states


def test_requests_are_looked_for_no_more_often_than_every_poll(desk: Desk) -> None:
    control = desk.running()
    for _ in range(100):
        control.poll()
    assert desk.ticks == pytest.approx(100 * 0.01 / POLL, abs=3)


def test_requests_for_an_earlier_process_are_gone_but_a_latch_is_not(tmp_path: Path) -> None:
    for name in ("pause", "abort", "blank", "continue", "answer", "latched"):
        (tmp_path / name).touch()
    Desk(tmp_path).running().wait(1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["latched"]


def test_a_question_waits_blanked_for_its_answer(desk: Desk) -> None:
    control = desk.running()
    desk.on_state[State.WAITING] = lambda: desk.ask("answer", "go on\n")
    assert control.answer_to("Is the needle free?") == "go on"
    assert desk.told[1] == (State.WAITING, "Is the needle free?")
    assert (desk.blanked, control.state) == ([State.RUNNING], State.RUNNING)
    assert list(desk.folder.iterdir()) == []


def test_an_answer_to_no_question_is_not_taken(desk: Desk) -> None:
    control = desk.running()
    desk.ask("answer", "yes")
    desk.on_state[State.WAITING] = lambda: control.ask_abort("nobody answered")
    with pytest.raises(Aborted):
        control.answer_to("Weld?")


def test_an_answer_in_another_encoding_is_read_all_the_same(desk: Desk) -> None:
    control = desk.running()
    desk.on_state[State.WAITING] = lambda: cast(None, (desk.folder / "answer").write_bytes(b"f\xfcnf"))
    assert control.answer_to("How many?") == "f\ufffdnf"


# --- watches


def readings(*trips: Trip | None) -> Callable[[], Trip | None]:
    """A condition that is seen like this, look by look, and is well from then on."""
    seen = iter(trips)
    return lambda: next(seen, None)


def test_a_watch_is_looked_at_as_often_as_it_says(desk: Desk) -> None:
    control = desk.running()
    looked: list[float] = []
    control.watch("cryostat", 10.0, lambda: looked.append(desk.clock.now()))
    control.wait(35.0)
    assert looked == pytest.approx([0.0, 10.0, 20.0, 30.0], abs=4 * POLL)


def test_a_run_is_suspended_blanked_and_goes_on_by_itself(desk: Desk) -> None:
    control = desk.running()
    control.watch("cryostat", 10.0, readings(None, WARM, WARM, None))
    control.wait(12.0)
    assert desk.told[1:] == [
        (State.SUSPENDED, "cryostat: the stage is at 110.0 K"),
        (State.RUNNING, "cryostat: the cause is gone"),
    ]
    assert desk.blanked == [State.RUNNING]


def test_a_latch_needs_a_person(desk: Desk) -> None:
    control = desk.running()
    control.watch("cryostat", 10.0, readings(HOT, None))
    with pytest.raises(InterlockError, match=r"cryostat: tripped: the stage is at 140.0 K\. .*cryolift reset"):
        control.wait(1.0)
    assert (control.state, desk.blanked) == (State.LATCHED, [State.RUNNING])
    assert (desk.folder / "latched").exists()


def test_a_recipe_that_swallows_a_latch_gets_no_further(desk: Desk) -> None:
    control = desk.running()
    control.watch("cryostat", 10.0, readings(HOT, None))
    for _ in range(3):
        with pytest.raises(InterlockError, match=r"140.0 K"):
            control.wait(1.0)
    assert desk.states == [State.RUNNING, State.LATCHED]


def test_a_latch_holds_though_the_beam_could_not_be_blanked(desk: Desk) -> None:
    control = desk.running()
    desk.dead_line = True
    control.watch("cryostat", 10.0, readings(HOT))
    with pytest.raises(LinkError):
        control.wait(1.0)
    assert control.state is State.LATCHED
    assert (desk.folder / "latched").exists()


@pytest.mark.parametrize("state", [State.PAUSED, State.WAITING, State.PAUSING, State.SUSPENDED])
def test_a_latch_trips_whatever_the_run_does(desk: Desk, state: State) -> None:
    desk.control.state = state
    desk.control.watch("cryostat", 10.0, lambda: HOT)
    with pytest.raises(InterlockError):
        desk.control.poll()
    assert desk.control.state is State.LATCHED


def test_a_run_that_stands_is_not_suspended_as_well(desk: Desk) -> None:
    desk.control.state = State.PAUSED
    desk.control.watch("cryostat", 10.0, lambda: WARM)
    desk.control.poll()
    assert desk.told == []


def test_a_suspension_that_gets_worse_latches(desk: Desk) -> None:
    control = desk.running()
    control.watch("cryostat", 10.0, readings(WARM, WARM, HOT))
    with pytest.raises(InterlockError, match=r"140.0 K"):
        control.wait(1.0)
    assert desk.states == [State.RUNNING, State.SUSPENDED, State.LATCHED]


def test_another_watch_latches_during_a_suspension(desk: Desk) -> None:
    control = desk.running()
    control.watch("cryostat", 10.0, lambda: WARM)
    control.watch("vacuum", 1000.0, readings(None, None, Trip("1e-2 Pa", latch=True)))
    with pytest.raises(InterlockError, match="vacuum: tripped: 1e-2 Pa"):
        control.wait(1.0)


def test_a_suspension_whose_cause_never_passes_latches(desk: Desk, mocker: MockerFixture) -> None:
    mocker.patch("acquisition.control.LONGEST_SUSPENSION", 600.0)
    control = desk.running()
    control.watch("cryostat", 60.0, lambda: WARM)
    with pytest.raises(InterlockError, match="did not pass by itself"):
        control.wait(1.0)
    assert 600.0 < desk.clock.now() < 721.0


def test_an_abort_ends_a_suspension_before_the_next_look(desk: Desk) -> None:
    control = desk.running()
    desk.on_state[State.SUSPENDED] = lambda: desk.ask("abort")
    control.watch("cryostat", 1000.0, lambda: WARM)
    with pytest.raises(Aborted):
        control.wait(1.0)
    assert desk.clock.now() < 100 * POLL


def test_a_pause_asked_during_a_suspension_follows_it(desk: Desk) -> None:
    control = desk.running()
    desk.on_state[State.SUSPENDED] = lambda: desk.ask("pause")
    desk.on_state[State.PAUSED] = lambda: desk.ask("continue")
    control.watch("cryostat", 10.0, readings(WARM, WARM))
    control.wait(1.0)
    assert desk.states[1:] == [State.SUSPENDED, State.RUNNING, State.PAUSING, State.PAUSED, State.RUNNING]


def test_watches_do_not_nest(desk: Desk) -> None:
    control = desk.running()
    deep = 0

    def look() -> None:
        nonlocal deep
        deep += 1
        assert deep == 1
        control.poll()
        control.wait(30.0)
        deep -= 1

    control.watch("cryostat", 10.0, look)
    control.watch("vacuum", 10.0, look)
    control.wait(30.0)


def test_a_watch_whose_device_does_not_answer_stops_the_run(desk: Desk) -> None:
    def dead() -> None:
        raise LinkError("nothing came back", device="cryostat")

    desk.control.watch("cryostat", 10.0, dead)
    with pytest.raises(LinkError):
        desk.running().wait(1.0)


@pytest.mark.parametrize(
    ("kelvin", "latch"), [(100.0, None), (102.9, None), (103.1, False), (133.1, True), (math.nan, True)]
)
def test_a_temperature_that_is_too_high_or_no_number_trips(kelvin: float, latch: bool | None) -> None:
    rig = SimpleNamespace(
        cryostat=SimpleNamespace(temperature=lambda: kelvin), file=SimpleNamespace(sample_ceiling=133)
    )
    bench = cast(Any, SimpleNamespace(kept_cold_at=100.0, rig=rig))
    trip = Bench.look_at_stage(bench)
    assert (trip.latch if trip else None) is latch
