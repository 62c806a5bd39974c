"""Field types for recipes, rig files and sample files: "100 pA" in the file, 1e-10 in the program.

A text is read by units.parse. A Python number counts as already in the program's own unit, except where the validation
context says {"typed": True}: what a person typed into a file needs its unit.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from physics.units import DIMENSIONS, UnitError, parse


@dataclass(frozen=True)
class Quantity:
    """Says that a float is a physical quantity; `dimension` is a key of units.DIMENSIONS."""

    dimension: str

    @property
    def unit(self) -> str:
        """The unit people use for it, such as "pA"."""
        return DIMENSIONS[self.dimension][1]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._read,
            serialization=core_schema.plain_serializer_function_ser_schema(float, return_schema=handler(float)),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        if handler.mode == "serialization":
            return {"type": "number"}
        _, unit, number = DIMENSIONS[self.dimension]
        name = self.dimension.replace("_", " ")
        return {"type": "string", "description": f"{name}, as number unit", "examples": [f"{number} {unit}"]}

    def _read(self, given: Any, info: core_schema.ValidationInfo) -> float:
        if isinstance(given, str):
            return parse(given, self.dimension)
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise UnitError(f'{self.dimension} {given!r} is not a number with a unit such as "{self.unit}"')
        if self.dimension != "fraction" and info.context is not None and info.context.get("typed"):
            return parse(
                str(given), self.dimension
            )  # a bare number is always refused; parse() says what was probably meant
        if not math.isfinite(given):
            raise UnitError(f"{self.dimension} {given!r} is not finite")
        return float(given)


Metres = Annotated[float, Quantity("length")]
Seconds = Annotated[float, Quantity("time")]
Kelvin = Annotated[float, Quantity("temperature")]
KelvinPerSecond = Annotated[float, Quantity("temperature_rate")]
Amps = Annotated[float, Quantity("current")]
Fluence = Annotated[float, Quantity("fluence")]
FluenceRate = Annotated[float, Quantity("dose_rate")]
IonFluence = Annotated[float, Quantity("ion_fluence")]
ElectronVolts = Annotated[float, Quantity("energy")]
Radians = Annotated[float, Quantity("angle")]
Pascals = Annotated[float, Quantity("pressure")]
Coulombs = Annotated[float, Quantity("charge")]
Volts = Annotated[float, Quantity("voltage")]
Fraction = Annotated[float, Quantity("fraction")]
Hertz = Annotated[float, Quantity("frequency")]
Watts = Annotated[float, Quantity("power")]
Steradians = Annotated[float, Quantity("solid_angle")]

Q = TypeVar("Q", bound=float)


def _rising(ends: tuple[Q, Q]) -> tuple[Q, Q]:
    if not ends[0] < ends[1]:
        raise ValueError("the lower one comes first")
    return ends


def _above_zero(ends: tuple[Q, Q]) -> tuple[Q, Q]:
    if not ends[0] > 0.0:
        raise ValueError("the lower one is more than zero")
    return ends


Span = Annotated[tuple[Q, Q], AfterValidator(_rising)]
"""Lowest and highest, as in Span[Kelvin]."""

PositiveSpan = Annotated[tuple[Q, Q], AfterValidator(_rising), AfterValidator(_above_zero)]
"""As a Span, and above zero."""
