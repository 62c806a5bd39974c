"""Images of the fibsem API: a TIFF of one grey frame, its metadata as JSON in ImageDescription; both directions.

Source: TIFF Revision 6.0 (1992), sections 2 to 8; fibsem 0.5.3, fibsem/server/server.py and FibsemImageMetadata in
fibsem/structures.py, written by tifffile.  Only what that writes is read: one page, no compression, one sample a pixel.
Everything the file announces is held against bounds and the bytes that are there before any of it is used.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drivers.errors import WireError
from drivers.wire.fibsem_json import LARGEST, Open, decode, encode
from drivers.wire.fibsem_model import ImageSettings, Point, State
from drivers.wire.http import read_json

LARGEST_SIDE = 16384  # pixels
LARGEST_DATA = 1 << 26  # bytes of pixels
MOST_TAGS = 64
Grey = NDArray[np.uint8] | NDArray[np.uint16]

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION = 256, 257, 258, 259, 262, 270
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS, SAMPLE_FORMAT, TILE_WIDTH = 273, 277, 278, 279, 339, 322
NUMBERS = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4)}  # BYTE, SHORT, LONG: struct letter and size
ASCII, SHORT, LONG = 2, 3, 4
UNCOMPRESSED, BLACK_IS_ZERO, UNSIGNED = 1, 1, 1
ENTRY = 12  # bytes of a tag


@dataclass(frozen=True)
class Metadata(Open):
    """What an image says of itself: what was asked, m a pixel, and the state of stage and beam as it was taken."""

    image: ImageSettings
    pixel_size: Point
    microscope_state: State
    version: str | None = None
    user: dict[str, Any] | None = field(default_factory=dict)
    experiment: dict[str, Any] | None = field(default_factory=dict)
    system_info: dict[str, Any] | None = field(default_factory=dict)
    hardware_geometry: dict[str, Any] | None = field(default_factory=dict)


class Tiff(NamedTuple):
    """pixels: (rows, columns), 8 or 16 bits.  metadata: None where the file brings none."""

    pixels: Grey
    metadata: Metadata | None


class _Tag(NamedTuple):
    type: int
    values: int
    value: bytes  # its four bytes, which hold the value or where it is


def encode_tiff(pixels: Grey, metadata: Metadata | None) -> bytes:
    """The file of a grey image (rows, columns); with metadata `shape` is added to it, as tifffile does."""
    rows, columns = pixels.shape
    data = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).tobytes()
    description = b""
    if metadata is not None:
        told: dict[str, Any] = read_json(encode(Metadata, metadata))
        description = json.dumps({"shape": [rows, columns], **told}, allow_nan=False).encode("ascii") + b"\0"
    longs = {WIDTH: columns, HEIGHT: rows, ROWS_PER_STRIP: rows, STRIP_COUNTS: len(data)}
    shorts = {
        BITS: pixels.dtype.itemsize * 8,
        COMPRESSION: UNCOMPRESSED,
        PHOTOMETRIC: BLACK_IS_ZERO,
        SAMPLES: 1,
        SAMPLE_FORMAT: UNSIGNED,
    }
    tags = {tag: struct.pack("<HHIHH", tag, SHORT, 1, value, 0) for tag, value in shorts.items()}
    tags |= {tag: struct.pack("<HHII", tag, LONG, 1, value) for tag, value in longs.items()}
    begin = 8 + 2 + ENTRY * (len(tags) + 1 + bool(description)) + 4  # behind the header and the directory
    if description:
        tags[DESCRIPTION] = struct.pack("<HHII", DESCRIPTION, ASCII, len(description), begin)
    first = begin + len(description) + -len(description) % 16
    tags[STRIP_OFFSETS] = struct.pack("<HHII", STRIP_OFFSETS, LONG, 1, first)
    directory = struct.pack("<H", len(tags)) + b"".join(tags[tag] for tag in sorted(tags)) + struct.pack("<I", 0)
    return (struct.pack("<2sHI", b"II", 42, 8) + directory + description).ljust(first, b"\0") + data


def decode_tiff(body: bytes) -> Tiff:
    """The image a file holds; raises WireError for what is no such file, before memory is taken for it."""
    order, tags = _directory(body)
    columns, rows = (_one(body, order, tags, tag) for tag in (WIDTH, HEIGHT))
    bits = _one(body, order, tags, BITS)
    if not (0 < columns <= LARGEST_SIDE and 0 < rows <= LARGEST_SIDE):
        raise WireError(f"a TIFF of {columns} x {rows} pixels came; at most {LARGEST_SIDE} a side are believed")
    for tag, what, wanted in (
        (COMPRESSION, "compression", UNCOMPRESSED),
        (SAMPLES, "samples a pixel", 1),
        (SAMPLE_FORMAT, "sample format", UNSIGNED),
        (PHOTOMETRIC, "photometric interpretation", BLACK_IS_ZERO),
    ):
        if (found := _one(body, order, tags, tag, wanted)) != wanted:
            raise WireError(f"a TIFF with {what} {found} came; only {wanted} is read")
    if bits not in (8, 16) or TILE_WIDTH in tags:
        raise WireError(f"a TIFF of {bits} bits a sample{' in tiles' if TILE_WIDTH in tags else ''} came")
    size = columns * rows * bits // 8
    if size > min(LARGEST_DATA, len(body)):
        raise WireError(f"a TIFF announces {size} bytes of pixels; the file has {len(body)} bytes in all")
    data = _strips(body, order, tags, rows, size)
    kind = np.dtype(np.uint8 if bits == 8 else f"{order}u2")
    pixels = np.frombuffer(data, dtype=kind).reshape(rows, columns).astype(kind.newbyteorder("="))
    return Tiff(pixels, _metadata(body, order, tags, (rows, columns)))


def _directory(body: bytes) -> tuple[str, dict[int, _Tag]]:
    """Byte order and the tags of the only page."""
    order = {b"II": "<", b"MM": ">"}.get(body[:2], "")
    if len(body) < 8 or not order or struct.unpack(f"{order}H", body[2:4])[0] != 42:
        raise WireError("what came is no TIFF")
    (at,) = struct.unpack(f"{order}I", body[4:8])
    (count,) = struct.unpack(f"{order}H", _bytes(body, at, 2))
    if not 0 < count <= MOST_TAGS:
        raise WireError(f"a TIFF with {count} tags came; at most {MOST_TAGS} are believed")
    entries = _bytes(body, at + 2, ENTRY * count + 4)
    (another,) = struct.unpack(f"{order}I", entries[-4:])
    if another:
        raise WireError("a TIFF of more than one page came")
    tags: dict[int, _Tag] = {}
    for start in range(0, ENTRY * count, ENTRY):
        number, kind, values, value = struct.unpack(f"{order}HHI4s", entries[start : start + ENTRY])
        if number in tags:
            raise WireError(f"a TIFF says tag {number} twice")
        tags[number] = _Tag(kind, values, value)
    return order, tags


def _strips(body: bytes, order: str, tags: dict[int, _Tag], rows: int, size: int) -> bytes:
    """The pixels, strip after strip; together exactly `size` bytes."""
    per_strip = _one(body, order, tags, ROWS_PER_STRIP, rows)
    strips = -(-rows // per_strip) if per_strip > 0 else 0
    offsets, counts = (_numbers(body, order, tags, tag, most=rows) for tag in (STRIP_OFFSETS, STRIP_COUNTS))
    if not len(offsets) == len(counts) == strips:
        raise WireError(f"a TIFF of {rows} rows, {per_strip} a strip, has {len(offsets)} strips")
    row = size // rows
    whole = min(per_strip, rows) * row
    if any(count != whole for count in counts[:-1]) or sum(counts) != size:
        raise WireError(f"the strips of a TIFF hold {sum(counts)} bytes; its pixels take {size}")
    return b"".join(_bytes(body, offset, count) for offset, count in zip(offsets, counts, strict=True))


def _metadata(body: bytes, order: str, tags: dict[int, _Tag], shape: tuple[int, int]) -> Metadata | None:
    """What ImageDescription says; None where there is nothing but perhaps the shape."""
    tag = tags.get(DESCRIPTION)
    if tag is None:
        return None
    if tag.type != ASCII or tag.values > LARGEST:
        raise WireError(f"a TIFF describes itself in {tag.values} values of type {tag.type}")
    text = _value(body, order, tag, 1).rstrip(b"\0 ")
    told = read_json(text, largest=LARGEST)
    if not isinstance(told, dict) or told.get("shape", list(shape)) != list(shape):
        raise WireError("the description of a TIFF does not fit its pixels")
    return decode(Metadata, text) if told.keys() - {"shape"} else None


def _one(body: bytes, order: str, tags: dict[int, _Tag], tag: int, usual: int | None = None) -> int:
    """The one number of a tag."""
    if tag not in tags and usual is not None:
        return usual
    (value,) = _numbers(body, order, tags, tag, most=1)
    return value


def _numbers(body: bytes, order: str, tags: dict[int, _Tag], number: int, *, most: int) -> tuple[int, ...]:
    tag = tags.get(number)
    if tag is None or tag.type not in NUMBERS or not 0 < tag.values <= most:
        raise WireError(f"tag {number} of a TIFF is missing or no {'number' if most == 1 else f'{most} numbers'}")
    letter, size = NUMBERS[tag.type]
    return struct.unpack(f"{order}{tag.values}{letter}", _value(body, order, tag, size))


def _value(body: bytes, order: str, tag: _Tag, size: int) -> bytes:
    length = tag.values * size
    if length <= 4:
        return tag.value[:length]
    (at,) = struct.unpack(f"{order}I", tag.value)
    return _bytes(body, at, length)


def _bytes(body: bytes, at: int, length: int) -> bytes:
    """Part of the file; raises WireError where it has none."""
    if at + length > len(body):
        raise WireError(f"a TIFF of {len(body)} bytes points to its bytes {at} to {at + length}")
    return body[at : at + length]
