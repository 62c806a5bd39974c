"""Limits: refused before any byte, never clipped."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import LimitError
from drivers.limits import Limits, Range

LIMITS = Limits({"kelvin": Range(80.0, 320.0, "K", "rig.yaml line 14"), "dwell": Range(1e-6, 1e-3, "us")})


@given(st.floats(80.0, 320.0))
def test_a_value_within_the_limits_passes(kelvin: float) -> None:
    LIMITS.check("cryostat", "set_temperature", kelvin=kelvin)


@given(st.floats().filter(lambda kelvin: not 80.0 <= kelvin <= 320.0))
def test_a_value_beyond_the_limits_or_no_number_is_refused(kelvin: float) -> None:
    with pytest.raises(LimitError):
        LIMITS.check("cryostat", "set_temperature", kelvin=kelvin)


@pytest.mark.parametrize("kelvin", [math.nextafter(80.0, 0.0), math.nextafter(320.0, 400.0), math.nan])
def test_the_smallest_step_beyond_a_limit_is_beyond_it(kelvin: float) -> None:
    with pytest.raises(LimitError):
        LIMITS.check("cryostat", "set_temperature", kelvin=kelvin)


def test_one_wrong_value_among_right_ones_is_refused() -> None:
    with pytest.raises(LimitError, match="dwell"):
        LIMITS.check("scan", "start", kelvin=100.0, dwell=math.nan)


def test_a_refusal_names_device_action_value_unit_limit_and_the_way_out() -> None:
    with pytest.raises(LimitError) as refusal:
        LIMITS.check("cryostat", "set_temperature", kelvin=60.0)
    assert str(refusal.value) == (
        "cryostat: set_temperature refused: kelvin 60 K is beyond the rig's limit 80 K (rig.yaml line 14). "
        "Choose 80 K to 320 K, or change the limit if the instrument allows it."
    )


def test_a_refusal_names_the_limit_that_was_passed() -> None:
    with pytest.raises(LimitError, match=r"kelvin 400 K is beyond the rig's limit 320 K"):
        LIMITS.check("cryostat", "set_temperature", kelvin=400.0)


def test_a_refusal_speaks_the_unit_people_read() -> None:
    with pytest.raises(LimitError, match=r"dwell 2000 us is beyond the rig's limit 1000 us \(the rig file\)"):
        LIMITS.check("scan", "start", dwell=2e-3)


def test_a_limit_without_a_number_refuses_everything() -> None:
    limits = Limits({"kelvin": Range(math.nan, 320.0, "K")})
    with pytest.raises(LimitError):
        limits.check("cryostat", "set_temperature", kelvin=100.0)


def test_a_quantity_without_a_limit_is_not_waved_through() -> None:
    with pytest.raises(KeyError):
        LIMITS.check("scan", "start", field=1e-6)


def test_a_range_is_known_by_its_quantity() -> None:
    assert LIMITS.range("dwell") == Range(1e-6, 1e-3, "us")
    with pytest.raises(KeyError):
        LIMITS.range("field")
