"""Fields of recipes and rig files take typed quantities and hold floats."""

import math

import pytest
from pydantic import BaseModel, ValidationError

from physics.quantities import Amps, ElectronVolts, Fraction, Kelvin, Metres, PositiveSpan, Quantity, Span


class Beam(BaseModel):
    current: Amps
    field: Metres | None = None
    overlap: Fraction = 0.05


TYPED = {"typed": True}


def test_a_text_with_unit_becomes_a_float_in_si() -> None:
    assert Beam.model_validate({"current": "100 pA", "field": "400 nm", "overlap": "10 %"}).model_dump() == {
        "current": 1e-10,
        "field": 4e-7,
        "overlap": 0.1,
    }


def test_python_code_may_give_si_floats() -> None:
    assert Beam(current=1e-10, field=4e-7).current == 1e-10


def test_a_bare_number_in_a_file_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ValidationError, match=r'current "100" has no unit\. Did you mean "100 pA"\?'):
        Beam.model_validate({"current": 100}, context=TYPED)


def test_a_fraction_in_a_file_may_be_bare() -> None:
    assert Beam.model_validate({"current": "1 nA", "overlap": 0.2}, context=TYPED).overlap == 0.2


@pytest.mark.parametrize("given", [math.nan, math.inf, True, None, [1.0], {"value": 1}])
def test_what_is_not_a_finite_number_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        Beam.model_validate({"current": given})


def test_what_was_dumped_is_read_back_equal() -> None:
    beam = Beam.model_validate({"current": "33.3 pA", "field": "1.7 um"}, context=TYPED)
    assert Beam.model_validate_json(beam.model_dump_json()) == beam


def test_a_field_tells_its_dimension() -> None:
    assert Beam.model_fields["current"].metadata == [Quantity("current")]
    assert Quantity("energy").unit == "keV"


def test_the_schema_asks_for_number_unit() -> None:
    class Column(BaseModel):
        energy: ElectronVolts
        temperature: Kelvin

    energy = Column.model_json_schema()["properties"]["energy"]
    assert energy["type"] == "string" and energy["examples"] == ["200 keV"]
    assert Column.model_json_schema(mode="serialization")["properties"]["temperature"]["type"] == "number"


class Reach(BaseModel):
    temperature: Span[Kelvin] = (80.0, 310.0)
    current: PositiveSpan[Amps] = (1e-12, 1e-9)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"temperature": ["310 K", "80 K"]}, "temperature\n.*the lower one comes first"),
        ({"temperature": ["80 K", "80 K"]}, "temperature\n.*the lower one comes first"),
        ({"current": ["1 nA", "1 pA"]}, "current\n.*the lower one comes first"),
        ({"current": ["0 pA", "1 nA"]}, "current\n.*the lower one is more than zero"),
        ({"current": ["1 pA"]}, "current.1\n.*Field required"),
    ],
)
def test_a_span_goes_from_low_to_high(given: dict[str, list[str]], what: str) -> None:
    assert Reach.model_validate({"current": ["1 pA", "2 pA"]}, context=TYPED).current == (1e-12, 2e-12)
    with pytest.raises(ValidationError, match=what):
        Reach.model_validate(given, context=TYPED)
