"""How a cut ends: always with the beam off and the column given back, or it is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.errors import Aborted, DeviceError, InterlockError, LinkTimeout, Refused
from drivers.wire import fibsem as wire
from drivers.wire.fibsem_milling import MillingStateTold, MillingTime
from drivers.wire.http import Request, Response
from simulators.boxes.http import Later
from tests.drivers.fibsem_bench import CUT, MILLING, FibsemBench
from tests.drivers.milling_bench import FINISH, RUN, STATE, facing_the_ions, imaging, mill, says


@pytest.fixture
def bench() -> FibsemBench:
    return facing_the_ions()


# --- pause, resume, stop


def test_a_pause_in_a_control_wait_holds_the_beam_and_the_cut_goes_on_after_it(bench: FibsemBench) -> None:
    depths: list[float] = []

    def pause_once() -> None:
        if bench.clock.now() > 70.0 and not depths:
            bench.milling.pause()
            assert bench.milling.status()["held"] is True
            depths.append(bench.depth())
            bench.clock.sleep(1800.0)
            bench.world.catch_up()
            depths.append(bench.depth())

    bench.waited = pause_once
    milled = mill(bench)
    assert 0.0 < depths[0] == depths[1]
    assert bench.depth() == pytest.approx(0.535e-6, rel=0.01)
    assert milled.seconds == pytest.approx(milled.estimate, abs=1.5)  # the pause does not count
    assert imaging(bench)


def test_a_cut_that_is_held_goes_on_only_with_the_current_it_was_begun_with(bench: FibsemBench) -> None:
    def pause_and_meddle() -> None:
        bench.milling.pause()
        bench.chamber.columns["ion"].current = 4e-9

    bench.waited = pause_and_meddle
    with pytest.raises(DeviceError, match="reads back as 4000 pA"):
        mill(bench)
    assert "/resume_milling" not in bench.box.paths
    assert imaging(bench)


def test_an_interlock_may_forbid_going_on(bench: FibsemBench) -> None:
    def refuse(command: str) -> None:
        if command == "milling.resume":
            raise InterlockError(f"{command} is forbidden")

    bench.milling._guard = refuse
    bench.waited = bench.milling.pause
    with pytest.raises(InterlockError):
        mill(bench)
    assert imaging(bench)


def test_without_a_cut_there_is_nothing_to_pause_and_nothing_to_go_on_with(bench: FibsemBench) -> None:
    bench.milling.pause()
    assert bench.box.asked == []
    with pytest.raises(Refused, match="no cut of ours is held"):
        bench.milling.resume()


def test_a_beam_that_does_not_pause_is_a_device_error_and_is_stopped(bench: FibsemBench) -> None:
    bench.box.instead["/pause_milling"] = says(wire.PAUSE, wire.Done())
    bench.waited = bench.milling.pause
    with pytest.raises(DeviceError, match=r"pause the ion beam goes on \(RUNNING\)"):
        mill(bench)
    assert imaging(bench)


def test_a_cut_that_somebody_holds_at_the_microscope_is_waited_for_and_then_given_up(bench: FibsemBench) -> None:
    def hold() -> None:
        bench.box._box.answer(wire.request(wire.PAUSE, wire.NOTHING))

    bench.waited = hold
    bench.milling = bench.a_milling(MILLING.model_copy(update={"patience": 60.0}))
    began = bench.clock.now()
    with pytest.raises(DeviceError, match="held at the microscope for too long"):
        mill(bench)
    assert 60.0 < bench.clock.now() - began < 70.0
    assert imaging(bench)


def test_a_cut_that_is_stopped_ends_in_an_error_that_says_how_far_it_came(bench: FibsemBench) -> None:
    def stop() -> None:
        if bench.clock.now() > 65.0:
            bench.milling.stop()

    bench.waited = stop
    with pytest.raises(DeviceError, match=r"ended after \d\.?\d* s; 22\.22\d? s were worked out"):
        mill(bench)
    assert bench.depth() < 0.3e-6
    assert imaging(bench)


def test_half_the_time_is_half_the_depth(bench: FibsemBench) -> None:
    stopped = 60.0 + 22.222 / 2

    def stop() -> None:
        if bench.clock.now() > stopped - 1.0:
            bench.clock.sleep(stopped + 0.3 - bench.clock.now())
            bench.milling.stop()

    bench.waited = stop
    lenient = bench.a_milling(MILLING.model_copy(update={"believable": 0.0}))
    bench.milling = lenient
    mill(bench)
    assert bench.depth() == pytest.approx(0.535e-6 / 2, rel=0.05)


# --- how it ends


def test_an_abort_stops_the_beam_and_gives_the_column_back(bench: FibsemBench) -> None:
    bench.waited = bench.abort.set
    with pytest.raises(Aborted):
        mill(bench)
    bench.abort.clear()
    assert bench.box.paths.count("/stop_milling") == 1
    assert bench.depth() < 0.1e-6
    assert imaging(bench)


def test_an_abort_between_two_bytes_stops_the_beam_too(bench: FibsemBench) -> None:
    run = bench.box._box.answer

    def abort(request: Request) -> Response | Later:
        bench.abort.set()
        return run(request)

    bench.box.instead[RUN] = abort
    with pytest.raises(Aborted):
        mill(bench)
    bench.abort.clear()
    assert imaging(bench)


def test_a_start_whose_answer_is_lost_is_stopped_and_not_repeated(bench: FibsemBench) -> None:
    run = bench.box._box.answer
    bench.box.instead[RUN] = lambda request: (run(request), Later(1e9, lambda: Response(200)))[1]
    with pytest.raises(LinkTimeout, match="milling: run got no whole answer"):
        mill(bench)
    assert bench.box.paths.count(RUN) == 1
    assert len(bench.office.spent) == 1
    assert imaging(bench)


def test_a_start_that_fails_gives_the_column_back(bench: FibsemBench) -> None:
    bench.box.instead[RUN] = lambda _: wire.refusal(500, "")
    with pytest.raises(DeviceError, match="/run_milling was refused by the server"):
        mill(bench)
    assert imaging(bench)


def test_a_beam_that_never_starts_is_no_cut(bench: FibsemBench) -> None:
    bench.box.instead[RUN] = says(wire.RUN, wire.Done())
    with pytest.raises(DeviceError, match="was told to mill and was not seen to begin"):
        mill(bench)
    assert imaging(bench)


def test_a_beam_that_starts_late_is_waited_for(bench: FibsemBench) -> None:
    answer, since = bench.box._box.answer, bench.clock.now()

    def state(request: Request) -> Response | Later:
        slow = RUN in bench.box.paths and bench.clock.now() - since < 4.0
        return wire.response(wire.MILLING_STATE, MillingStateTold("IDLE")) if slow else answer(request)

    bench.box.instead[STATE] = state
    mill(bench)
    assert bench.depth() == pytest.approx(0.535e-6, rel=0.01)


def test_a_beam_that_goes_on_beyond_its_ticket_is_stopped(bench: FibsemBench) -> None:
    bench.chamber.surface.reach = 1e-3
    bench.box.instead["/estimate_milling_time"] = says(wire.MILLING_TIME, MillingTime(3.0))
    with pytest.raises(DeviceError, match="still mills after the 5 s of its ticket; 3 s were worked out"):
        mill(bench, replace(CUT, seconds=5.0))
    assert bench.depth() == pytest.approx(0.535e-6 * 5.0 / 22.22, rel=0.05)
    assert imaging(bench)


def test_an_error_of_the_box_ends_the_cut(bench: FibsemBench) -> None:
    answer = bench.box._box.answer

    def state(request: Request) -> Response | Later:
        milling = RUN in bench.box.paths and "/stop_milling" not in bench.box.paths
        return wire.response(wire.MILLING_STATE, MillingStateTold("ERROR")) if milling else answer(request)

    bench.box.instead[STATE] = state
    with pytest.raises(DeviceError, match="the ion beam reports an error"):
        mill(bench)
    assert imaging(bench)


# --- the imaging current


def test_an_imaging_current_that_cannot_be_restored_is_said(bench: FibsemBench) -> None:
    bench.box.instead[FINISH] = lambda _: wire.refusal(500, "")
    with pytest.raises(DeviceError, match=r"not known to be back at imaging with 20 pA at 30 kV .*Set the imaging"):
        mill(bench)


def test_an_aperture_that_sticks_after_the_cut_is_said(bench: FibsemBench) -> None:
    def stick(request: Request) -> Response | Later:
        bench.chamber.columns["ion"].stuck = True
        return bench.box._box.answer(request)

    bench.box.instead[FINISH] = stick
    with pytest.raises(DeviceError, match="is not back at imaging with 20 pA at 30 kV, but at 2000 pA at 30 kV"):
        mill(bench)


def test_an_error_that_is_followed_by_another_names_both(bench: FibsemBench) -> None:
    bench.box.instead[FINISH] = lambda _: wire.refusal(500, "")
    bench.waited = bench.abort.set
    with pytest.raises(Aborted) as aborted:
        mill(bench)
    assert "not known to be back at imaging with 20 pA" in aborted.value.__notes__[0]


def test_a_finish_that_leaves_another_current_is_set_right(bench: FibsemBench) -> None:
    answer = bench.box._box.answer

    def and_change(request: Request) -> Response | Later:
        told = answer(request)
        bench.chamber.columns["ion"].current = 41e-12
        return told

    bench.box.instead[FINISH] = and_change
    mill(bench)
    assert imaging(bench)


# --- safe


def test_make_safe_stops_milling_although_an_abort_is_due(bench: FibsemBench) -> None:
    def safe() -> None:
        bench.abort.set()
        bench.milling.make_safe()
        raise Aborted("enough")

    bench.waited = safe
    with pytest.raises(Aborted, match="enough"):
        mill(bench)
    bench.abort.clear()
    assert bench.depth() < 0.1e-6


def test_make_safe_says_when_the_beam_goes_on(bench: FibsemBench) -> None:
    bench.box.instead[STATE] = says(wire.MILLING_STATE, MillingStateTold("STOPPING"))
    began = bench.clock.now()
    with pytest.raises(DeviceError, match=r"make_safe the ion beam goes on \(STOPPING\) after it was stopped"):
        bench.milling.make_safe()
    assert bench.clock.now() - began < 15.0


def test_make_safe_says_stop_twice_where_the_line_is_in_doubt(bench: FibsemBench) -> None:
    bench.box.instead["/stop_milling"] = lambda _: Response(200, b"{", wire.JSON)
    with pytest.raises(Exception, match="no JSON"):
        bench.milling.make_safe()
    assert bench.box.paths.count("/stop_milling") == 2


def test_a_cut_that_somebody_holds_at_the_microscope_is_not_let_go_by_a_pause_of_ours(bench: FibsemBench) -> None:
    begun = bench.clock.now()

    def held_by_both() -> None:
        bench.box._box.answer(wire.request(wire.PAUSE, wire.NOTHING))
        if bench.clock.now() > begun + 5.0:  # it was seen to stand
            bench.milling.pause()

    bench.waited = held_by_both
    bench.milling = bench.a_milling(MILLING.model_copy(update={"patience": 60.0}))
    with pytest.raises(DeviceError, match="held at the microscope for too long"):
        mill(bench)
    assert wire.RESUME.path not in bench.box.paths
    assert imaging(bench)


def test_a_cut_that_hangs_as_it_stops_is_given_up_in_the_time_of_its_ticket(bench: FibsemBench) -> None:
    def hang() -> None:
        states = "PAUSED" if bench.box.paths.count(STATE) < 20 else "STOPPING"
        bench.box.instead[STATE] = says(wire.MILLING_STATE, MillingStateTold(states))  # type: ignore[arg-type]
        if bench.clock.now() - began > 2.0 * CUT.seconds:
            raise Aborted("it would go on for ever")

    bench.waited, began = hang, bench.clock.now()
    with pytest.raises(DeviceError, match="still mills after the 60 s of its ticket"):
        mill(bench)
