"""The needle driver: steps, their account, and what is not known any more."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.clock import VirtualClock
from drivers.errors import Aborted, DeviceError, InterlockError, LimitError, LinkTimeout, Refused, WireError
from drivers.links import MemoryLink
from drivers.needle import Needle, NeedlePosition, NeedleSettings
from drivers.wire import kleindiek as wire
from tests.drivers.golden import Line, golden
from tests.drivers.needle_bench import HERE, PARKED, SETTINGS, NeedleBench, a_driver, needle_bench
from tests.drivers.scripted import Scripted

OPEN, FIX, UNTOUCHED = golden("kleindiek", "open"), golden("kleindiek", "fix"), golden("kleindiek", "untouched")
STEP, HALT = golden("kleindiek", "step"), golden("kleindiek", "halt")
ROOM = 50e-6  # m; a clearance that no move of these tests uses up


def fixed(*lines: Line) -> tuple[Needle, Scripted]:
    """A driver that has opened a box of the transcripts and knows where the tip is."""
    clock = VirtualClock()
    box = Scripted(clock, [*OPEN, *FIX, *lines])
    needle = a_driver(MemoryLink("needle", box, clock))
    needle.open()
    needle.fix(HERE, 1e-6)
    return needle, box


@pytest.fixture
def bench() -> NeedleBench:
    return needle_bench().fixed()


def heard(bench: NeedleBench) -> list[int]:
    return list(bench.world.needle.counters.values())


# --- the bytes


def test_opening_stops_what_went_on_and_sees_who_is_there() -> None:
    clock = VirtualClock()
    box = Scripted(clock, OPEN)
    needle = a_driver(MemoryLink("needle", box, clock))
    needle.open()
    box.finish()
    assert needle.uncertainty() == math.inf
    assert needle.inserted()


def test_a_box_that_gives_two_versions_is_none() -> None:
    lines = [*OPEN[:5], (">", b"version\r"), ("<", b"o\tsomething else\r")]
    clock = VirtualClock()
    with pytest.raises(DeviceError, match='"something else" for its version'):
        a_driver(MemoryLink("needle", Scripted(clock, lines), clock)).open()


def test_a_long_move_goes_in_portions_and_every_one_is_counted() -> None:
    needle, box = fixed(*UNTOUCHED, *STEP)
    assert needle.move_by("z", -60e-6, clearance=ROOM) == pytest.approx(-60e-6)
    box.finish()
    assert needle.position() == replace(HERE, z=pytest.approx(40e-6))


def test_a_step_whose_answer_is_lost_is_never_sent_again_and_nobody_knows_where_the_tip_is() -> None:
    needle, box = fixed(*UNTOUCHED, STEP[0], *HALT)
    with pytest.raises(LinkTimeout, match="needle: move_by got no answer"):
        needle.move_by("z", -60e-6, clearance=ROOM)
    box.finish()
    assert [data for _, data in box.requests].count(STEP[0][1]) == 1
    assert needle.uncertainty() == math.inf
    with pytest.raises(Refused, match="position refused: nobody knows where the tip is"):
        needle.position()


@pytest.mark.parametrize("reply", [b"i\tpiezo voltage breakdown\r", b"e\tbusy\r"])
def test_a_refusal_without_a_step_leaves_the_tip_where_it_was(reply: bytes) -> None:
    who = HALT[1:3]
    needle, box = fixed(*UNTOUCHED, STEP[0], ("<", reply), *who, *FIX, *HALT)
    with pytest.raises(DeviceError, match=r'answered with .*: "(busy|piezo voltage breakdown)"\. Look at the box'):
        needle.move_by("z", -60e-6, clearance=ROOM)
    box.finish()
    assert needle.position() == HERE


def test_an_error_after_some_steps_leaves_nobody_knowing() -> None:
    some: list[Line] = [(">", b"coarse ?\r"), ("<", b"o\t0 0 -3 0\r")] * 2
    lines = [STEP[0], ("<", b"i\tpiezo voltage breakdown\r"), *HALT[1:3], *some, *HALT[:3], *some]
    needle, box = fixed(*UNTOUCHED, *lines)
    with pytest.raises(DeviceError, match=r"breakdown\"\. Look where the tip is and tell"):
        needle.move_by("z", -60e-6, clearance=ROOM)
    box.finish()
    assert needle.uncertainty() == math.inf


def test_a_box_that_counts_something_else_leaves_nobody_knowing() -> None:
    wrong = [(mark, data.replace(b"-250 0", b"-249 0") if mark == "<" else data) for mark, data in STEP[:7]]
    needle, _ = fixed(*UNTOUCHED, *wrong, *HALT)
    with pytest.raises(DeviceError, match="was to make the box count 0 0 -250 0 steps, it counted 0 0 -249 0"):
        needle.move_by("z", -60e-6, clearance=ROOM)
    assert needle.uncertainty() == math.inf


def test_counters_are_believed_when_two_answers_agree() -> None:
    garbled: list[Line] = [(">", b"coarse ?\r"), ("<", b"o\t0 0 4 0\r")]
    needle, box = fixed(*garbled, *UNTOUCHED, *STEP)
    needle.move_by("z", -60e-6, clearance=ROOM)
    box.finish()
    three: list[Line] = [line for n in b"123" for line in ((">", b"coarse ?\r"), ("<", b"o\t0 0 %c 0\r" % n))]
    needle, box = fixed(*three)
    with pytest.raises(WireError, match="answered in three ways"):
        needle.move_by("z", -60e-6, clearance=ROOM)
    box.finish()


def test_the_needle_is_stopped_and_never_retracted_to_be_safe() -> None:
    needle, box = fixed(*HALT)
    needle.make_safe()
    box.finish()
    assert needle.position() == HERE


def test_a_stop_is_said_before_anything_is_asked() -> None:
    needle, box = fixed(HALT[0], HALT[1], HALT[1])
    with pytest.raises(LinkTimeout):
        needle.stop()
    assert [data for _, data in box.requests[-3:]] == [b"stopnack\r", b"version\r", b"version\r"]


# --- what is refused


@pytest.mark.parametrize(
    ("axis", "distance", "error", "said"),
    [
        ("tilt", 1e-6, Refused, "there is no axis tilt"),
        ("x", 201e-6, LimitError, "x .* is beyond the rig's limit 200 um"),
        ("z", -151e-6, LimitError, "beyond the rig's limit -50 um"),
        ("x", 90e-9, LimitError, "less than half a step"),
        ("x", 0.0, LimitError, "less than half a step"),
        ("x", math.nan, LimitError, "further than its limits are apart"),
        ("x", math.inf, LimitError, "further than its limits are apart"),
    ],
)
def test_beyond_the_limits_not_a_byte_is_sent(axis: str, distance: float, error: type[Exception], said: str) -> None:
    needle, box = fixed()
    before = len(box.requests)
    with pytest.raises(error, match=said):
        needle.move_by(axis, distance, clearance=1.0)
    assert len(box.requests) == before


@pytest.mark.parametrize("clearance", [5e-6, 0.0, -1.0, math.nan])
def test_a_move_less_certain_than_its_clearance_is_refused(clearance: float) -> None:
    needle, box = fixed()
    before = len(box.requests)
    with pytest.raises(LimitError, match=r"after it the tip is known to 9\.\d+ um, and the clearance is"):
        needle.move_by("x", -60e-6, clearance=clearance)
    assert len(box.requests) == before
    assert needle.uncertainty() == 1e-6


def test_an_old_calibration_is_refused() -> None:
    taken = datetime.now(UTC) - timedelta(hours=25)
    given_ = SETTINGS.model_dump()
    given_["axes"]["z"] |= {"taken": taken, "valid_for": 24 * 3600.0}
    bench = needle_bench(settings=NeedleSettings.model_validate(given_)).fixed()
    with pytest.raises(Refused, match=r"the step length of z was measured 25 h ago, valid for 24 h\. Measure it"):
        bench.needle.move_by("z", -1e-6, clearance=ROOM)
    bench.needle.move_by("x", -1e-6, clearance=ROOM)


def test_an_interlock_forbids_before_a_byte_is_sent_but_never_a_stop() -> None:
    def guard(command: str) -> None:
        raise InterlockError(f"refused: {command}")

    bench = needle_bench(guard=guard).fixed()
    with pytest.raises(InterlockError, match=r"needle\.move_by"):
        bench.needle.move_by("x", 1e-6, clearance=ROOM)
    bench.needle.stop()
    bench.needle.make_safe()
    assert heard(bench) == [0, 0, 0, 0]


# --- the account


def test_every_step_makes_the_tip_less_certain_and_an_image_certain_again(bench: NeedleBench) -> None:
    known = [bench.needle.uncertainty()]
    for _ in range(6):
        bench.needle.move_by("x", 10e-6, clearance=ROOM)
        bench.needle.move_by("x", -10e-6, clearance=ROOM)
        known.append(bench.needle.uncertainty())
    assert known == sorted(known)
    assert known[1] - known[0] == pytest.approx(3.2e-6, rel=0.1)  # 10 % of 20 um, and the scatter of 100 steps
    bench.needle.fix(bench.truth(), 0.2e-6)
    assert bench.needle.uncertainty() == 0.2e-6
    assert bench.error() < 1e-12


def test_a_step_back_is_not_a_step_forward(bench: NeedleBench) -> None:
    assert bench.needle.move_by("x", 100 * 210e-9, clearance=ROOM) == pytest.approx(21e-6)
    assert bench.needle.move_by("x", -19e-6, clearance=ROOM) == pytest.approx(-19e-6)
    assert heard(bench)[0] == 0  # as many steps back as forward
    assert bench.needle.position().x == pytest.approx(2e-6)


@pytest.mark.parametrize("seed", range(12))
def test_the_tip_is_never_further_off_than_said(seed: int) -> None:
    bench = needle_bench(seed=seed).fixed()
    rng = Random(seed)
    for _ in range(30):
        axis = rng.choice(["x", "y", "z", "rotation"])
        far = math.radians(20.0) if axis == "rotation" else 20e-6
        bench.needle.move_by(axis, rng.uniform(0.1, 1.0) * rng.choice([-far, far]), clearance=1.0)
        assert bench.error() <= bench.needle.uncertainty()
    assert bench.error() > 0.05 * bench.needle.uncertainty()  # and the bound is not idle


def test_between_two_portions_an_abort_leaves_the_tip_known() -> None:
    waits = 0

    def abort(clock: VirtualClock, seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 2:
            raise Aborted("stopped")
        clock.sleep(seconds)

    bench = needle_bench(wait=abort).fixed()
    with pytest.raises(Aborted):
        bench.needle.move_by("x", 200e-6, clearance=1.0)
    assert heard(bench)[0] == 500
    assert bench.needle.position().x == pytest.approx(500 * 210e-9)
    assert bench.error() <= bench.needle.uncertainty() < 30e-6


def test_an_abort_within_a_portion_leaves_nobody_knowing(bench: NeedleBench) -> None:
    sleep = bench.clock.sleep

    def set_abort(seconds: float) -> None:
        sleep(seconds)
        if sum(heard(bench)) or bench.world.needle._running:
            bench.link.abort.set()

    bench.clock.sleep = set_abort  # type: ignore[method-assign]
    with pytest.raises(Aborted):
        bench.needle.move_by("x", 40e-6, clearance=ROOM)
    assert bench.needle.uncertainty() == math.inf
    bench.clock.sleep = sleep  # type: ignore[method-assign]
    bench.link.abort.clear()
    assert 0 < heard(bench)[0] < 190
    before = heard(bench)
    bench.clock.sleep(1.0)
    bench.world.catch_up()
    assert heard(bench) == before  # it was stopped


def test_steps_that_somebody_else_did_are_noticed(bench: NeedleBench) -> None:
    bench.world.needle.counters["B"] += 3  # the knob of channel B
    with pytest.raises(DeviceError, match="the box has counted 0 3 0 0 steps, we 0 0 0 0; somebody else moved"):
        bench.needle.move_by("x", 1e-6, clearance=ROOM)
    assert heard(bench) == [0, 3, 0, 0]
    assert bench.needle.inserted()
    bench.needle.fix(bench.truth(), 1e-6)
    bench.needle.move_by("x", 1e-6, clearance=ROOM)
    bench.world.needle.counters["B"] += 3
    bench.needle.stop()
    assert bench.needle.uncertainty() == math.inf


def test_while_nobody_knows_only_a_person_who_sees_nothing_in_reach_moves_it_a_little(bench: NeedleBench) -> None:
    blind = needle_bench()
    blind.needle.open()
    with pytest.raises(Refused, match=r"nobody knows where the tip is\. Look where the tip is and tell"):
        blind.needle.move_by("z", 1e-6, clearance=1.0)
    with pytest.raises(Refused, match="11 steps are more than the 10 that may be done blindly"):
        blind.needle.move_by("z", 2e-6, clearance=math.inf)
    assert blind.needle.move_by("z", 1.8e-6, clearance=math.inf) == pytest.approx(1.8e-6)
    assert heard(blind) == [0, 0, 10, 0]
    assert blind.needle.uncertainty() == math.inf


@pytest.mark.parametrize(
    ("position", "uncertainty"),
    [(replace(HERE, x=math.nan), 1e-6), (HERE, math.nan), (HERE, -1e-9), (HERE, math.inf)],
)
def test_what_is_no_place_is_not_taken_over(bench: NeedleBench, position: NeedlePosition, uncertainty: float) -> None:
    with pytest.raises(LimitError, match="is no place"):
        bench.needle.fix(position, uncertainty)
    assert bench.needle.position() == HERE


def test_a_needle_is_out_only_when_it_is_known_to_be_parked() -> None:
    bench = needle_bench(began=PARKED)
    assert bench.needle.inserted()
    bench.needle.open()
    assert bench.needle.inserted()
    bench.needle.fix(PARKED, 30e-6)
    assert not bench.needle.inserted()
    bench.needle.fix(PARKED, 101e-6)
    assert bench.needle.inserted()
    bench.needle.fix(PARKED, 30e-6)
    bench.needle.move_by("z", -40e-6, clearance=1.0)
    assert not bench.needle.inserted()
    bench.needle.move_by("z", -24e-6, clearance=1.0)  # 64 um away, known to 38 um
    assert bench.needle.inserted()


def test_the_record_shows_what_is_thought_and_what_was_counted(bench: NeedleBench) -> None:
    bench.needle.move_by("x", 21e-6, clearance=ROOM)
    status = bench.needle.status()
    assert status["x"] == pytest.approx(21e-6)
    assert status["inserted"] is True
    assert status["steps_A"] == 100
    fresh = needle_bench()
    fresh.needle.open()
    assert fresh.needle.status()["x"] == "unknown"
    assert fresh.needle.status()["uncertainty"] == math.inf


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["x", "y", "z", "rotation"]), st.integers(1, 400), st.booleans())
def test_a_move_of_whole_steps_does_exactly_those(axis: str, steps: int, back: bool) -> None:
    bench = needle_bench().fixed()
    entry = SETTINGS.axes.of(axis)
    signed = -steps if back else steps
    length = entry.back if back else entry.forward
    assert bench.needle.move_by(axis, signed * length, clearance=1.0) == pytest.approx(signed * length)
    assert heard(bench)[wire.CHANNELS.index(entry.channel)] == signed


def test_settings_need_every_channel_once_and_limits_in_order() -> None:
    given_ = SETTINGS.model_dump()
    for wrong, said in (
        ({"axes": given_["axes"] | {"y": given_["axes"]["y"] | {"channel": "A"}}}, "two axes cannot both be channel A"),
        ({"axes": given_["axes"] | {"y": given_["axes"]["y"] | {"forward": 0.0}}}, "greater than 0"),
        ({"limits": given_["limits"] | {"z": (1e-3, 0.0)}}, "lower one comes first"),
        ({"blind_steps": -1}, "greater than or equal to 0"),
    ):
        with pytest.raises(ValidationError, match=said):
            NeedleSettings.model_validate(given_ | wrong)
