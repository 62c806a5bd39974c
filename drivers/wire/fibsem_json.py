"""JSON of the fibsem API to frozen dataclasses and back: strict types, finite numbers, angles in rad, beams by name."""

from __future__ import annotations

import math
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast

from pydantic import BeforeValidator, ConfigDict, PlainSerializer, TypeAdapter, ValidationError

from drivers.errors import WireError
from drivers.wire.http import json_bytes, read_json

M = TypeVar("M")
LARGEST = 1 << 20  # bytes of a message


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value  # the server takes any case, too


def _radians(value: Any) -> Any:
    return math.radians(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Beam = Annotated[Literal["electron", "ion"], BeforeValidator(_lower), PlainSerializer(str.upper)]
"""Which column: ELECTRON or ION on the wire."""

FromDegrees = Annotated[float, BeforeValidator(_radians), PlainSerializer(math.degrees)]
"""An angle in rad that the wire has in degrees."""


class Closed:
    """A message that has these keys and no others: one that we do not know could change what the others mean."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")


class Open:
    """A message that describes: what a newer server adds to it changes nothing."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")


@cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def decode(model: type[M], body: bytes) -> M:
    """The message a JSON body holds; raises WireError, naming the key, for what such a message may not hold."""
    read_json(body, largest=LARGEST)  # size, depth, doubled keys, NaN
    try:
        return cast(M, _adapter(cast(Any, model)).validate_json(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise WireError(f"{where} of {model.__name__}: {first['msg']}") from None


def encode(model: type[M], message: M) -> bytes:
    """The JSON body of a message; raises ValueError for a number that is not finite."""
    return json_bytes(_adapter(cast(Any, model)).dump_python(message, mode="json", by_alias=True))
