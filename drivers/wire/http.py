"""What HTTP instruments are asked and answer: requests, responses and JSON; the framing of bytes is h11's business."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from drivers.errors import WireError

JSON = "application/json"
LARGEST_JSON = 1 << 20  # bytes
DEEPEST = 64  # levels of nesting
# a string at a time, for brackets in it nest nothing; never a step back, or an unclosed string would take for ever
_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True)
class Request:
    """A request: `path` with its leading slash and without the query, which is (key, value) pairs."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = ""


@dataclass(frozen=True)
class Response:
    """A response and what its body is said to be."""

    status: int
    body: bytes = b""
    content_type: str = ""


def json_bytes(value: Any) -> bytes:
    """The JSON of a value; raises ValueError for what JSON has no word for, NaN among it."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def read_json(body: bytes, *, largest: int = LARGEST_JSON) -> Any:
    """The value a JSON body stands for.

    Raises WireError when it is larger than `largest` bytes, nested deeper than 64 levels, says a key twice, or holds
    NaN, an infinity or bytes that are no UTF-8.
    """
    if len(body) > largest:
        raise WireError(f"a JSON body of {len(body)} bytes came; at most {largest} are believed")
    _see_depth(body)
    try:
        return json.loads(
            body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite
        )
    except ValueError as error:  # of JSON, of UTF-8, of a number with too many digits
        raise WireError(f"a body came that is no JSON ({error})") from None


def _see_depth(body: bytes) -> None:
    """Refuse what would take the parser deeper than 64 levels, before it goes there."""
    depth = deepest = 0
    for found in _BRACKETS.finditer(body):
        mark = found[0][:1]
        if mark in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in b"]}":
            depth -= 1
    if deepest > DEEPEST:
        raise WireError(f"a JSON body nested {deepest} levels deep came; at most {DEEPEST} are believed")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it says a key twice")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:40]} is no number that anything has")
    return value
