"""CBOR, both ways, as far as cameras speak it: bounded in depth, in items and by the bytes that are there.

Source: RFC 8949.  Indefinite lengths are refused (the maker's own C reader takes none either), and so are keys that are
no text or come twice, and anything after the one item.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drivers.errors import WireError

DEEPEST = 16  # arrays, maps and tags in each other; a Stream V2 message has 7
MOST = 1 << 14  # items in arrays and maps, of one message
SELF = 55799  # the tag that says: this is CBOR

_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_WORDS = {20: False, 21: True, 22: None, 23: None}  # the last is "undefined"
_SIZES = {24: 1, 25: 2, 26: 4, 27: 8}  # bytes of what the first byte counts, where it does not itself


@dataclass(frozen=True, slots=True)
class Tag:
    """A value with a tag: by its number RFC 8949 and others say what the value stands for."""

    number: int
    value: Any


def read(data: bytes) -> Any:
    """The one item these bytes are: int, float, bool, None, str, bytes, list, dict by text or Tag; raises WireError."""
    reader = _Reader(data)
    value = reader.item(0)
    if reader.at != len(data):
        raise WireError(f"{len(data) - reader.at} bytes follow a whole CBOR item")
    return value


def write(value: Any) -> bytes:
    """The bytes of a value `read` would give; raises ValueError for what it would not."""
    out = bytearray()
    _write(value, out)
    return bytes(out)


class _Reader:
    """Goes through the bytes once."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self._left = MOST

    def item(self, depth: int) -> Any:
        first = self._take(1)[0]
        major, size = first >> 5, first & 31
        if size > 27:
            raise WireError(f"CBOR of indefinite length, or of none, is not read (byte {first:02x})")
        more = self._take(_SIZES[size]) if size > 23 else b""
        if major == _SIMPLE:
            return _simple(size, more)
        number = int.from_bytes(more, "big") if more else size
        if major == _UINT:
            return number
        if major == _NEGATIVE:
            return -1 - number
        if major == _BYTES:
            return self._take(number)
        if major == _TEXT:
            return _text(self._take(number))
        self._enter(depth, 1 if major == _TAG else number)
        if major == _TAG:
            return Tag(number, self.item(depth + 1))
        if major == _ARRAY:
            return [self.item(depth + 1) for _ in range(number)]
        return self._map(number, depth + 1)

    def _map(self, number: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(number):
            key = self.item(depth)
            if not isinstance(key, str) or key in found:
                raise WireError("a key of a CBOR map is no text, or comes twice")
            found[key] = self.item(depth)
        return found

    def _take(self, number: int) -> bytes:
        start, self.at = self.at, self.at + number
        if self.at > len(self.data):
            raise WireError(f"a CBOR item announces {number} bytes; {len(self.data) - start} are there")
        return self.data[start : self.at]

    def _enter(self, depth: int, number: int) -> None:
        self._left -= number
        if depth >= DEEPEST or self._left < 0:
            raise WireError(f"CBOR deeper than {DEEPEST} or of more than {MOST} items is not read")


def _simple(size: int, more: bytes) -> Any:
    if size in _FLOATS:
        return _FLOATS[size].unpack(more)[0]
    if size not in _WORDS:
        raise WireError(f"CBOR has no simple value {size}")
    return _WORDS[size]


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError(f"a CBOR text is no UTF-8 ({error.reason})") from None


def _write(value: Any, out: bytearray) -> None:
    if isinstance(value, bool | None):
        out += b"\xf6" if value is None else b"\xf5" if value else b"\xf4"
    elif isinstance(value, int):
        _head(_NEGATIVE if value < 0 else _UINT, -1 - value if value < 0 else value, out)
    elif isinstance(value, float):
        out += b"\xfb" + _FLOATS[27].pack(value)
    elif isinstance(value, bytes):
        _head(_BYTES, len(value), out)
        out += value
    elif isinstance(value, str):
        text = value.encode("utf-8")
        _head(_TEXT, len(text), out)
        out += text
    elif isinstance(value, Tag):
        _head(_TAG, value.number, out)
        _write(value.value, out)
    elif isinstance(value, Mapping):
        _head(_MAP, len(value), out)
        for key, held in value.items():
            _write(str(key), out)
            _write(held, out)
    elif isinstance(value, list | tuple):
        _head(_ARRAY, len(value), out)
        for held in value:
            _write(held, out)
    else:
        raise ValueError(f"CBOR has no word of ours for {type(value).__name__}")


def _head(major: int, number: int, out: bytearray) -> None:
    if number < 24:
        out.append(major << 5 | number)
        return
    for size, length in _SIZES.items():
        if number < 1 << 8 * length:
            out.append(major << 5 | size)
            out += number.to_bytes(length, "big")
            return
    raise ValueError(f"{number} is too large for CBOR")
