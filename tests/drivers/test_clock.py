"""The virtual clock moves only when somebody waits; the real one runs, if need be faster."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.clock import Clock, RealClock, VirtualClock, wall_seconds

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def test_virtual_time_stands_still_while_nobody_waits() -> None:
    clock = VirtualClock(NOON)
    assert [clock.now(), clock.now(), clock.utc()] == [0.0, 0.0, NOON]


@given(st.lists(st.floats(0, 1e5), max_size=20))
def test_virtual_time_is_the_sum_of_the_waits(waits: list[float]) -> None:
    clock = VirtualClock(NOON)
    before = 0.0
    for seconds in waits:
        clock.sleep(seconds)
        assert clock.now() == before + seconds
        before = clock.now()
    assert clock.utc() == NOON + timedelta(seconds=before)


def test_a_virtual_night_costs_no_wall_time() -> None:
    began = wall_seconds()
    clock = VirtualClock()
    clock.sleep(12 * 3600.0)
    assert wall_seconds() - began < 1.0


@pytest.mark.parametrize("clock", [VirtualClock(), RealClock()], ids=["virtual", "real"])
@pytest.mark.parametrize("seconds", [-1e-9, -1.0, math.nan, math.inf, -math.inf])
def test_no_clock_sleeps_backwards_or_for_ever(clock: Clock, seconds: float) -> None:
    before = clock.now()
    with pytest.raises(ValueError, match="cannot sleep"):
        clock.sleep(seconds)
    assert 0.0 <= clock.now() - before < 1.0


def test_dates_carry_their_zone() -> None:
    for clock in (VirtualClock(), RealClock()):
        assert clock.utc().utcoffset() == timedelta(0)


def test_a_real_clock_runs_at_its_speed() -> None:
    clock = RealClock(speed=100.0)
    began, before = wall_seconds(), clock.now()
    clock.sleep(2.0)  # 20 ms
    inside = clock.now() - before
    outside = wall_seconds() - began
    assert 2.0 <= inside <= 100.0 * outside
    assert 0.02 <= outside < 0.5


def test_the_date_of_a_fast_clock_runs_as_fast() -> None:
    clock = RealClock(speed=1000.0)
    began = clock.utc()
    clock.sleep(5.0)
    assert clock.utc() - began >= timedelta(seconds=5)


def test_a_fast_clock_that_goes_on_counts_the_time_between_as_fast() -> None:
    clock = RealClock(speed=50.0, started=datetime.now(UTC) - timedelta(seconds=100))
    assert 5000.0 <= clock.now() < 5500.0  # the boxes' time went on at the same speed


@pytest.mark.parametrize("speed", [0.0, -1.0, 1e6, math.inf, math.nan])
def test_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        RealClock(speed)
