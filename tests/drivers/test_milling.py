"""Milling: confirmed before it starts, on its ticket, seen to its end, and the column given back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from drivers.errors import DeviceError, InterlockError, LimitError, Refused, TicketError
from drivers.milling import Circle, Line, Polygon, Rectangle
from drivers.ticket import Cut
from drivers.wire import fibsem as wire
from drivers.wire.fibsem_milling import MillingStateTold, MillingTime
from drivers.wire.fibsem_model import Told
from drivers.wire.http import Request, Response
from simulators.boxes.http import Later
from tests.drivers.fibsem_bench import BOX, CUT, FRAME, MILLING, FibsemBench
from tests.drivers.milling_bench import RUN, STATE, facing_the_ions, imaging, mill, says


@pytest.fixture
def bench() -> FibsemBench:
    return facing_the_ions()


def test_a_cut_is_milled_and_the_column_given_back(bench: FibsemBench) -> None:
    milled = mill(bench)
    # lithium goes 0.289/0.27 as fast as the silicon the box takes it for (physics/data/sputter.yaml)
    assert bench.depth() == pytest.approx(0.5e-6 * 0.289 / 0.27, rel=0.01)
    assert bench.depth(u=10e-6) == 0.0
    assert milled.seconds == pytest.approx(milled.estimate, abs=1.5)
    assert imaging(bench)
    assert bench.guarded == ["milling.run"]


def test_current_and_voltage_are_confirmed_before_the_ticket_and_the_ticket_is_spent_before_the_beam(
    bench: FibsemBench,
) -> None:
    mill(bench)
    assert bench.box.paths[len(bench.office.before)] == RUN
    assert set(bench.office.before[-6:]) == {"/beam_voltage/get", "/beam_current/get", "/field_of_view/get"}


def test_the_server_is_asked_for_exactly_what_was_read_back(bench: FibsemBench) -> None:
    bench.box.instead["/beam_current/get"] = lambda request: (
        says(wire.CURRENT.get, Told(1.98e-9))(request)
        if bench.chamber.columns["ion"].current == 2e-9
        else wire.response(wire.CURRENT.get, Told(20e-12))
    )
    mill(bench)
    (run,) = [request for request in bench.box.asked if request.path == RUN]
    assert json.loads(run.body) == {"milling_current": 1.98e-9, "milling_voltage": 30000.0, "asynch": True}


@pytest.mark.parametrize(
    ("cut", "what"),
    [(replace(CUT, current=1.5e-9), "current"), (replace(CUT, voltage=5e3), "voltage")],
    ids=["current", "voltage"],
)
def test_a_column_that_is_not_what_the_cut_says_never_mills(bench: FibsemBench, cut: Cut, what: str) -> None:
    if what == "voltage":
        bench.box.instead["/beam_voltage/get"] = says(wire.VOLTAGE.get, Told(30e3))
    with pytest.raises(DeviceError, match=f"the {what} of the ion beam reads back as .*, the cut says"):
        mill(bench, cut)
    assert RUN not in bench.box.paths
    assert not bench.office.spent
    assert bench.depth() == 0.0
    assert imaging(bench) or what == "voltage"


def test_an_aperture_that_is_stuck_never_mills(bench: FibsemBench) -> None:
    bench.chamber.columns["ion"].stuck = True
    with pytest.raises(DeviceError, match="current of the ion beam reads back as 20 pA, the cut says 2000 pA"):
        mill(bench)
    assert RUN not in bench.box.paths
    assert bench.depth() == 0.0


def test_where_the_set_up_sets_the_voltage_last_both_are_set_again(bench: FibsemBench) -> None:
    set_up = bench.box._box.answer

    def and_lose_the_current(request: Request) -> Response | Later:
        answer = set_up(request)
        bench.chamber.columns["ion"].current = 1e-9  # another aperture came with the voltage
        return answer

    bench.box.instead["/setup_milling"] = and_lose_the_current
    mill(bench)
    paths = bench.box.paths
    assert paths.index("/beam_voltage/set") < paths.index("/beam_current/set") < paths.index(RUN)
    assert imaging(bench)


def test_a_current_that_changes_as_the_beam_starts_stops_it(bench: FibsemBench) -> None:
    run = bench.box._box.answer

    def and_change(request: Request) -> Response | Later:
        answer = run(request)
        bench.chamber.columns["ion"].current = 4e-9
        return answer

    bench.box.instead[RUN] = and_change
    with pytest.raises(DeviceError, match="reads back as 4000 pA, the cut says 2000 pA"):
        mill(bench)
    assert bench.depth() < 0.05e-6
    assert imaging(bench)


@pytest.mark.parametrize(
    ("cut", "what"),
    [
        (replace(CUT, current=5e-9), "current 5000 pA"),
        (replace(CUT, voltage=31e3), "voltage 31 kV"),
        (replace(CUT, field=300e-6), "field 300 um"),
        (replace(CUT, seconds=1e5), "seconds"),
    ],
    ids=["current", "voltage", "field", "seconds"],
)
def test_beyond_the_rig_s_limits_nothing_is_sent(bench: FibsemBench, cut: Cut, what: str) -> None:
    with pytest.raises(LimitError, match=f"milling: run refused: {what}"):
        mill(bench, cut)
    assert bench.box.asked == []


def test_an_interlock_lets_nothing_be_sent(bench: FibsemBench) -> None:
    def refuse(command: str) -> None:
        raise InterlockError(f"{command} is forbidden")

    bench.milling._guard = refuse
    for action in (lambda: mill(bench), lambda: bench.milling.estimate(CUT)):
        with pytest.raises(InterlockError):
            action()
    assert bench.box.asked == []


def test_only_a_ticket_for_this_cut_and_the_ion_beam_opens_it(bench: FibsemBench) -> None:
    for ticket in (
        bench.office.cut(replace(CUT, seconds=61.0)),
        bench.office.ticket(FRAME),
        bench.office.ticket(FRAME, "ion"),
    ):
        with pytest.raises(TicketError):
            bench.milling.run(CUT, ticket)
    used = bench.office.cut(CUT)
    bench.milling.run(CUT, used)
    depth = bench.depth()
    with pytest.raises(TicketError, match="spent"):
        bench.milling.run(CUT, used)
    assert bench.box.paths.count(RUN) == 1
    assert bench.depth() == depth
    assert imaging(bench)


def test_an_imaging_current_that_is_none_is_not_gone_back_to(bench: FibsemBench) -> None:
    bench.chamber.columns["ion"].current = 2e-9  # a run before this one was killed while it milled
    with pytest.raises(LimitError, match="imaging_current 2000 pA is beyond the rig's limit 100 pA"):
        mill(bench)
    assert not {"/setup_milling", RUN} & set(bench.box.paths)


def test_a_box_that_needs_longer_than_the_ticket_says_never_starts(bench: FibsemBench) -> None:
    with pytest.raises(DeviceError, match=r"works out 22\.22\d? s for a cut of 10 s at most"):
        mill(bench, replace(CUT, seconds=10.0))
    assert RUN not in bench.box.paths
    assert imaging(bench)


@pytest.mark.parametrize("seconds", [0.0, -5.0])
def test_an_estimate_that_is_none_never_starts(bench: FibsemBench, seconds: float) -> None:
    bench.box.instead["/estimate_milling_time"] = says(wire.MILLING_TIME, MillingTime(seconds))
    with pytest.raises(DeviceError, match="works out"):
        mill(bench)
    assert RUN not in bench.box.paths


def test_an_estimate_mills_nothing_and_gives_the_column_back(bench: FibsemBench) -> None:
    assert bench.milling.estimate(CUT) == pytest.approx(6e-6 * 4e-6 * 0.5e-6 / (0.27e-9 * 2e-9), rel=1e-6)
    assert RUN not in bench.box.paths
    assert bench.depth() == 0.0
    assert imaging(bench)


def test_every_pattern_of_the_api_mills(bench: FibsemBench) -> None:
    # depths stay within the lithium
    shapes = (
        Rectangle(4e-6, 4e-6, 0.5e-6, centre_x=-15e-6, rotation=0.3),
        Circle(2e-6, 0.5e-6, centre_x=-5e-6),
        Circle(3e-6, 0.5e-6, centre_x=5e-6, thickness=1e-6),
        Polygon(((13e-6, -2e-6), (17e-6, -2e-6), (15e-6, 3e-6)), 0.5e-6),
        Line(-5e-6, 5e-6, -10e-6, -10e-6, 0.2e-6),
    )
    mill(bench, Cut(shapes, 60e-6, 2e-9, 30e3, 120.0))
    for u in (-15e-6, -5e-6, 15e-6):
        assert bench.depth(u) == pytest.approx(0.535e-6, rel=0.1)
    assert bench.depth(5e-6) == 0.0  # the middle of the ring
    assert bench.depth(7.5e-6) == pytest.approx(0.535e-6, rel=0.1)
    assert max(bench.depth(0.0, v * 1e-7) for v in range(-103, -96)) > 0.05e-6  # as thin as the beam


def test_what_is_left_out_is_not_milled(bench: FibsemBench) -> None:
    keep = Rectangle(2e-6, 2e-6, 0.5e-6, is_exclusion=True)
    mill(bench, replace(CUT, patterns=(BOX, keep)))
    assert bench.depth() == 0.0
    assert bench.depth(2e-6) > 0.4e-6


def test_a_direction_that_the_box_would_replace_without_a_word_is_refused(bench: FibsemBench) -> None:
    odd = replace(BOX, scan_direction="InnerToOuter")
    with pytest.raises(DeviceError, match="does not scan InnerToOuter"):
        mill(bench, replace(CUT, patterns=(odd,)))
    assert RUN not in bench.box.paths
    mill(bench, replace(CUT, patterns=(replace(BOX, scan_direction="BottomToTop"),)))


def test_a_pattern_that_is_none_of_the_api_s_is_refused(bench: FibsemBench) -> None:
    class Spiral:
        bounds = (0.0, 0.0, 1e-6, 1e-6)

    cut = replace(CUT, patterns=(Spiral(),))
    with pytest.raises(Refused, match="no word for"):
        mill(bench, cut)
    assert bench.box.asked == []


@pytest.mark.parametrize("turned", [replace(BOX, rotation=52.0), Circle(2e-6, 0.5e-6, rotation=-90.0)])
def test_a_pattern_turned_by_degrees_is_refused(bench: FibsemBench, turned: Rectangle | Circle) -> None:
    with pytest.raises(LimitError, match=r"more than once around\. Are these degrees"):
        mill(bench, replace(CUT, patterns=(turned,)))
    assert bench.box.asked == []


def test_the_preset_of_a_tescan_column_is_sent(bench: FibsemBench) -> None:
    milling = bench.a_milling(MILLING.model_copy(update={"preset": "30 keV; 2 nA", "patterning_mode": "Parallel"}))
    milling.run(CUT, bench.office.cut(CUT))
    (sent,) = [request for request in bench.box.asked if request.path == "/setup_milling"]
    told = json.loads(sent.body)["mill_settings"]
    assert (told["preset"], told["patterning_mode"], told["milling_channel"]) == ("30 keV; 2 nA", "Parallel", "ION")


def test_a_beam_that_mills_already_is_left_alone(bench: FibsemBench) -> None:
    bench.box.instead[STATE] = says(wire.MILLING_STATE, MillingStateTold("RUNNING"))
    for action in (lambda: mill(bench), bench.milling.open):
        with pytest.raises(DeviceError, match=r"the ion beam is busy \(RUNNING\)"):
            action()
    assert set(bench.box.paths) <= {STATE, "/health"}
