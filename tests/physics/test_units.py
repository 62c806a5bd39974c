"""Quantities are read exactly or refused, and are printed so that they can be read again."""

import math
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from physics.units import DIMENSIONS, UnitError, parse, show

dimensions = st.sampled_from(sorted(DIMENSIONS))


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("12000 e/A^2", "fluence", 1.2e24),
        ("1e4 e/A^2", "fluence", 1e24),
        ("10 ions/nm^2", "ion_fluence", 1e19),
        ("100 e/A^2/s", "dose_rate", 1e22),
        ("400 nm", "length", 4e-7),
        ("1.5 um", "length", 1.5e-6),
        ("2 angstrom", "length", 2e-10),
        ("4 us", "time", 4e-6),
        ("20 min", "time", 1200.0),
        ("100 K", "temperature", 100.0),
        ("-173.15 degC", "temperature", 100.0),
        ("12 K/min", "temperature_rate", 0.2),
        ("50 pA", "current", 50e-12),
        ("200 keV", "energy", 200e3),
        ("180 deg", "angle", math.pi),
        ("25 mrad", "angle", 0.025),
        ("1e-7 mbar", "pressure", 1e-5),
        ("760 torr", "pressure", 101325.0),
        ("2 nC", "charge", 2e-9),
        ("5 kV", "voltage", 5000.0),
        ("5 %", "fraction", 0.05),
        ("0.05", "fraction", 0.05),
        ("10 kHz", "frequency", 1e4),
        ("500 mW", "power", 0.5),
        ("0.9 sr", "solid_angle", 0.9),
        ("2.3 g/cm^3", "density", 2300.0),
    ],
)
def test_every_dimension_is_read_in_the_units_people_use(text: str, dimension: str, value: float) -> None:
    assert parse(text, dimension) == value


@pytest.mark.parametrize("text", ["12 000 e/A^2", "12,000 e/A^2", "12_000 e/A^2", "12'000 e/A^2", "12\u202f000 e/A^2"])
def test_grouped_digits_are_refused_and_the_plain_number_is_offered(text: str) -> None:
    with pytest.raises(UnitError, match=re.escape('Write "12000 e/A^2"')):
        parse(text, "fluence")


def test_a_bare_number_is_refused_with_the_unit_that_was_probably_meant() -> None:
    with pytest.raises(UnitError, match=re.escape('current "100" has no unit. Did you mean "100 pA"?')):
        parse("100", "current")


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            " ",
            "nm",
            "nan nm",
            "inf nm",
            "-inf nm",
            "1e999 nm",
            "1e-999 nm",
            "0x10 nm",
            "1,5 nm",
            "1..5 nm",
            "1 2 nm",
        ],
        *["1 nm nm", "1 nms", "1 furlong", "1 NM", "1 /nm", "1 nm/", "1 nm^", "1 nm^0", "1 nm;", "1 nm\n", "\u0661 nm"],
        *["+-1 nm", "1e nm", "one nm", "1 A", "1 s", "1 nm^2", "1 degC", "1 %", "1 e", "9" * 90 + " nm"],
    ],
)
def test_what_is_not_a_length_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse(text, "length")


def test_a_quantity_of_another_dimension_is_refused_by_name() -> None:
    with pytest.raises(UnitError, match=r"energy .* has a unit of voltage"):
        parse("200 kV", "energy")


def test_electrons_ions_and_charges_are_never_taken_for_each_other() -> None:
    for text, dimension in [("1 ion/nm^2", "fluence"), ("1 e/A^2", "ion_fluence"), ("1 C/m^2", "fluence")]:
        with pytest.raises(UnitError):
            parse(text, dimension)


def test_the_a_of_a_current_is_the_ampere() -> None:
    assert parse("1 A", "current") == 1.0


@pytest.mark.parametrize("text", ["-300 degC", "-1 K"])
def test_nothing_is_colder_than_absolute_zero(text: str) -> None:
    with pytest.raises(UnitError, match="absolute zero"):
        parse(text, "temperature")


def test_a_temperature_rate_in_celsius_is_refused() -> None:
    with pytest.raises(UnitError):
        parse("10 degC/min", "temperature_rate")


@pytest.mark.parametrize(
    "text", ["100 e/\u00c5\u00b2", "100 e/\u212b^2", "100 e/A^2", "100 e*A^-2", "100 electrons/A^2"]
)
def test_the_signs_of_a_keyboard_mean_the_same(text: str) -> None:
    assert parse(text, "fluence") == 1e22
    assert parse("3 \u00b5m", "length") == parse("3 \u03bcm", "length") == 3e-6


def test_equal_quantities_are_equal_floats_however_they_are_written() -> None:
    assert parse("400 nm", "length") == parse("0.4 um", "length") == parse("4000 angstrom", "length") == 4e-7


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.2e24, "e/A^2", "12000 e/A^2"),
        (1.23456789e25, "e/A^2", "123457 e/A^2"),
        (100.0, "K", "100 K"),
        (113.15, "degC", "-160 degC"),
        (1e-10, "pA", "100 pA"),
        (0.05, "%", "5 %"),
        (0.25, "", "0.25"),
        (1e-5, "mbar", "1e-7 mbar"),
        (1.2e24, "e/m^2", "1.2e24 e/m^2"),
        (1 / 3e9, "nm", "0.33333 nm"),
        (0.0, "nm", "0 nm"),
        (math.nan, "K", "nan K"),
    ],
)
def test_a_value_is_printed_without_grouping_and_mostly_without_exponent(value: float, unit: str, text: str) -> None:
    assert show(value, unit) == text


def test_an_unknown_unit_cannot_be_printed() -> None:
    with pytest.raises(UnitError, match="furlong"):
        show(1.0, "furlong")


@settings(max_examples=200, deadline=None)
@given(value=st.floats(min_value=1e-12, max_value=1e12), dimension=dimensions)
def test_what_is_printed_is_read_back(value: float, dimension: str) -> None:
    text = show(value, DIMENSIONS[dimension][1])
    assert "," not in text and text.count(" ") == 1
    assert parse(text, dimension) == pytest.approx(value, rel=1e-4)


@settings(max_examples=300, deadline=None)
@given(
    text=st.one_of(
        st.text(max_size=12), st.text(alphabet="0123456789.,eE+-_ '/*^%AnmKpsdegC\u00b5\u00c5", max_size=12)
    ),
    dimension=dimensions,
)
@example(text="12 000 e/A^2", dimension="fluence")
@example(text="1__0 nm", dimension="length")
def test_no_junk_ever_becomes_a_value(text: str, dimension: str) -> None:
    try:
        value = parse(text, dimension)
    except UnitError:
        return
    number = re.match(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", text, re.ASCII)
    assert math.isfinite(value) and number is not None
    unit = text[number.end() :].strip(" ")
    assert not re.search(r"[0-9.,_']", unit.replace("^2", "").replace("^-2", "").replace("^3", ""))
    assert unit or dimension == "fraction"


@settings(max_examples=100, deadline=None)
@given(whole=st.integers(1000, 10**9), separator=st.sampled_from([" ", ",", "_", "'", "\u00a0"]), dimension=dimensions)
def test_a_grouped_number_never_becomes_a_value(whole: int, separator: str, dimension: str) -> None:
    grouped = f"{whole:,}".replace(",", separator)
    with pytest.raises(UnitError):
        parse(f"{grouped} {DIMENSIONS[dimension][1]}", dimension)
