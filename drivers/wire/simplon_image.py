"""The image message of Stream V2: read item by item, or at once where it is written as every recorded one was.

A pass of a scan is some 10^4 small images, and they all look alike: one pattern over the bytes reads such a message six
times as fast as the items do.  What the pattern does not know the items read.
"""

from __future__ import annotations

import re
from typing import Any

from drivers.errors import WireError
from drivers.wire import cbor
from drivers.wire.cbor import Tag
from drivers.wire.packed import U1, U2, U4, Codec, Dtype, Packed, check
from drivers.wire.simplon_frames import Fields, Ratio, StreamImage, is_count, whole_shape

MOST_CHANNELS = 8
DATE, _ROW_MAJOR, _COMPRESSED = 0, 40, 56500  # tags; of the typed arrays only these are pixels:
TYPED: dict[int, Dtype] = {64: U1, 69: U2, 70: U4}
_TYPES = {dtype: number for number, dtype in TYPED.items()}
_CODECS: dict[bytes, Codec] = {cbor.write(name): name for name in ("lz4", "bslz4")}


def read(fields: Fields) -> StreamImage:
    """The image of a message that was read item by item; raises WireError."""
    channels = fields.any("data")
    if not isinstance(channels, dict) or len(channels) > MOST_CHANNELS:
        raise WireError(f"image message: data is no map of at most {MOST_CHANNELS} channels")
    return StreamImage(
        series=fields.count("series_id"),
        unique_id=fields.text("series_unique_id"),
        image=fields.count("image_id"),
        start=_ratio(fields, "start_time"),
        stop=_ratio(fields, "stop_time"),
        real=_ratio(fields, "real_time"),
        channels={name: _pixels(array) for name, array in channels.items()},
        date=date(fields, "series_date"),
    )


def read_as_usual(data: bytes) -> StreamImage | None:
    """The image of a message that is written as usual, None of any other; raises WireError for pixels that are none."""
    head = _HEAD.match(data)
    if head is None:
        return None
    pairs, series, unique_id, image, *times, appendix, number = head.groups()
    if (pairs == b"\xaa") is (appendix is None):
        return None
    channels = _channels_as_usual(data, head.end(), number[0] & 0x1F)
    real_above, real_below, date_, start_above, start_below, stop_above, stop_below = times
    start, stop = (_count(start_above), _count(start_below)), (_count(stop_above), _count(stop_below))
    real = _count(real_above), _count(real_below)
    if channels is None or 0 in (start[1], stop[1], real[1]):
        return None
    return StreamImage(_count(series), unique_id.decode(), _count(image), start, stop, real, channels, _text_of(date_))


def said(image: StreamImage) -> dict[str, Any]:
    """The fields of an image, in the order in which recorded messages have them; None is left out."""
    return {
        "type": "image",
        "series_id": image.series,
        "series_unique_id": image.unique_id,
        "image_id": image.image,
        "real_time": image.real,
        "series_date": Tag(DATE, image.date) if image.date else None,
        "start_time": image.start,
        "stop_time": image.stop,
        "data": {name: _said_pixels(packed) for name, packed in image.channels.items()},
    }


def date(fields: Fields, name: str) -> str:
    """A date as it is written, "" where it is left out; raises WireError."""
    if name not in fields:
        return ""
    found = fields.any(name)
    if not isinstance(found, Tag) or found.number != DATE or not isinstance(found.value, str):
        raise WireError(f"{name} is no date")
    return found.value


def _ratio(fields: Fields, name: str) -> Ratio:
    match fields.any(name):
        case [above, below] if is_count(above) and is_count(below) and below > 0:
            return above, below
    raise WireError(f"image message: {name} is no ratio of two whole numbers")


def _pixels(array: Any) -> Packed:
    match array:
        case Tag(40, [[rows, columns], Tag(number, pixels)]) if is_count(rows) and is_count(columns):
            pass
        case _:
            raise WireError("a channel is no array of rows and columns")
    match pixels:
        case bytes():
            return _packed(rows, columns, number, "none", 0, pixels)
        case Tag(56500, [("lz4" | "bslz4") as codec, step, bytes(data)]) if is_count(step):
            return _packed(rows, columns, number, codec, step, data)
    raise WireError('the pixels of a channel are neither bytes nor compressed by "lz4" or "bslz4"')


def _packed(rows: int, columns: int, number: int, codec: Codec, step: int, data: bytes) -> Packed:
    dtype = TYPED.get(number)
    if dtype is None:
        raise WireError(f"pixels of the typed array {number} are not 8, 16 or 32 bits, unsigned and little endian")
    if codec != "none" and step != dtype.itemsize and (codec == "bslz4" or step):  # of lz4 it means nothing and is 0
        raise WireError(f"{codec} of elements of {step} bytes is no {dtype.name}")
    packed = Packed(whole_shape((rows, columns)), dtype, codec, data)
    check(packed)
    return packed


def _said_pixels(packed: Packed) -> Tag:
    pixels: bytes | Tag = packed.data
    if packed.codec != "none":
        step = packed.dtype.itemsize if packed.codec == "bslz4" else 0
        pixels = Tag(_COMPRESSED, [packed.codec, step, packed.data])
    return Tag(_ROW_MAJOR, [packed.shape, Tag(_TYPES[packed.dtype], pixels)])


def _channels_as_usual(data: bytes, at: int, number: int) -> dict[str, Packed] | None:
    """The channels that fill the message from there to its end; None of any others."""
    found: dict[str, Packed] = {}
    for _ in range(number):
        array = _ARRAY.match(data, at)
        if array is None:
            return None
        length, name, rows, columns, typed, codec, step, size = array.groups()
        start = array.end()
        at = start + _count(size)
        if at > len(data) or len(name) != length[0] & 0x1F:
            return None
        found[name.decode()] = _packed(
            _count(rows), _count(columns), typed[0], _CODECS[codec], _count(step), data[start:at]
        )
    return found if at == len(data) and len(found) == number else None


def _count(item: bytes) -> int:
    """The number of a whole item, or what it counts: in its first byte or after it."""
    return int.from_bytes(item[1:], "big") if len(item) > 1 else item[0] & 0x1F


def _text_of(item: bytes) -> str:
    """The text of a whole item of fewer than 256 bytes."""
    return item[2 if item[0] == 0x78 else 1 :].decode()


def _key(name: str) -> bytes:
    """A pattern: the key of a map."""
    return re.escape(cbor.write(name))


def _text(*lengths: int) -> bytes:
    """A pattern: printable text of one of these lengths."""
    return b"|".join(re.escape(cbor.write("x" * length)[:-length]) + b"[ -~]{%d}" % length for length in lengths)


# a whole number, and how long bytes are; then what comes before the pixels of a message, and of each channel
_COUNT = rb"([\x00-\x17]|\x18.|\x19..|\x1a.{4}|\x1b.{8})"
_SIZE = rb"([\x40-\x57]|\x58.|\x59..|\x5a.{4})"
_RATIO = rb"\x82" + _COUNT * 2
_NO_APPENDIX = rb"(\x60|\xf6|\xa0)"
_HEAD = re.compile(
    rb"(?:\xd9\xd9\xf7)?([\xa9\xaa])"
    + _key("type") + re.escape(cbor.write("image"))
    + _key("series_id") + _COUNT
    + _key("series_unique_id") + rb"\x78\x1a([ -~]{26})"
    + _key("image_id") + _COUNT
    + _key("real_time") + _RATIO
    + _key("series_date") + rb"\xc0(" + _text(*range(20, 36)) + rb")"
    + _key("start_time") + _RATIO
    + _key("stop_time") + _RATIO
    + rb"(?:" + _key("user_data") + _NO_APPENDIX + rb")?"
    + _key("data") + rb"([\xa1-\xa8])",
    re.DOTALL,
)  # fmt: skip
_ARRAY = re.compile(
    rb"([\x61-\x77])([a-z0-9_]+)\xd8\x28\x82\x82" + _COUNT * 2
    + rb"\xd8([\x40\x45\x46])\xd9\xdc\xb4\x83(\x65bslz4|\x63lz4)" + _COUNT + _SIZE,
    re.DOTALL,
)  # fmt: skip
