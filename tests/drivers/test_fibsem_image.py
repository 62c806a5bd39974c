"""Images of the fibsem API: ours and tifffile's read alike, and nothing that a file announces is believed unseen."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import WireError
from drivers.wire import fibsem_image as tiff
from drivers.wire.fibsem_image import Metadata, decode_tiff, encode_tiff
from drivers.wire.fibsem_model import Column, ImageSettings, Point, Position, State

METADATA = Metadata(
    ImageSettings("ion", (6, 4), 1e-6, 60e-6, filename="été"),
    Point(1e-5, 1e-5),
    State(1.7e9, Position(0.0, 0.0, 4e-3, 0.0, 0.9), ion_beam=Column("ion", voltage=30e3, beam_current=2e-11)),
    version="v6",
)
PIXELS = np.arange(24, dtype=np.uint8).reshape(4, 6)
FILE = encode_tiff(PIXELS, METADATA)


def changed(tag: int, value: int, *, count: int = 1, kind: int = 4, file: bytes = FILE) -> bytes:
    """The file with another value of a tag."""
    entries = struct.unpack("<H", file[8:10])[0]
    for at in range(10, 10 + 12 * entries, 12):
        if struct.unpack("<H", file[at : at + 2])[0] == tag:
            return file[:at] + struct.pack("<HHII", tag, kind, count, value) + file[at + 12 :]
    raise KeyError(tag)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_image_comes_back_with_its_metadata(dtype: type[Any]) -> None:
    pixels = (np.arange(24) * (1 if dtype is np.uint8 else 2000)).astype(dtype).reshape(4, 6)
    found = decode_tiff(encode_tiff(pixels, METADATA))
    assert np.array_equal(found.pixels, pixels)
    assert found.pixels.dtype == dtype
    assert found.metadata == METADATA


def test_an_image_without_metadata_is_one() -> None:
    found = decode_tiff(encode_tiff(PIXELS, None))
    assert np.array_equal(found.pixels, PIXELS)
    assert found.metadata is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_tifffile_writes_is_read_and_what_we_write_it_reads(order: str, dtype: type[Any]) -> None:
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    pixels = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (30, 40), dtype=dtype)
    with tifffile.TiffFile(io.BytesIO(encode_tiff(pixels, METADATA))) as file:
        assert np.array_equal(file.asarray(), pixels)
        told = json.loads(file.pages[0].tags["ImageDescription"].value)
    assert told["image"]["filename"] == "été"
    for rows in (None, 7):  # one strip, and several
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, metadata=told, byteorder=order, rowsperstrip=rows)
        found = decode_tiff(buffer.getvalue())
        assert np.array_equal(found.pixels, pixels)
        assert found.pixels.dtype == dtype
        assert found.metadata == METADATA


def test_what_tifffile_writes_otherwise_is_refused() -> None:
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    colour = np.zeros((8, 8, 3), np.uint8)
    for pixels, how in (
        (np.zeros((8, 8), np.uint8), {"compression": "zlib"}),
        (np.zeros((8, 8), np.uint8), {"photometric": "miniswhite"}),
        (np.zeros((8, 8), np.uint8), {"bigtiff": True}),
        (np.zeros((32, 32), np.uint8), {"tile": (16, 16)}),
        (np.zeros((3, 8, 8), np.uint8), {"photometric": "minisblack"}),
        (np.zeros((8, 8), np.float32), {}),
        (np.zeros((8, 8), np.int16), {}),
        (colour, {"photometric": "rgb"}),
    ):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, **how)
        with pytest.raises(WireError):
            decode_tiff(buffer.getvalue())


BOMBS = {
    "16 Gpixel": changed(tiff.WIDTH, 16384, file=changed(tiff.HEIGHT, 16384)),
    "wider than a file can be": changed(tiff.WIDTH, 4_000_000_000),
    "no width": changed(tiff.WIDTH, 0),
    "compressed": changed(tiff.COMPRESSION, 8, kind=3),
    "three samples": changed(tiff.SAMPLES, 3, kind=3),
    "32 bits": changed(tiff.BITS, 32, kind=3),
    "1 bit": changed(tiff.BITS, 1, kind=3),
    "floats": changed(tiff.SAMPLE_FORMAT, 3, kind=3),
    "strip beyond the end": changed(tiff.STRIP_OFFSETS, len(FILE) - 8),
    "strip longer than the pixels": changed(tiff.STRIP_COUNTS, 4_000_000_000),
    "strip shorter than the pixels": changed(tiff.STRIP_COUNTS, 20),
    "a strip a row, but one offset": changed(tiff.ROWS_PER_STRIP, 1),
    "strips of no rows": changed(tiff.ROWS_PER_STRIP, 0),
    "four billion strips": changed(tiff.STRIP_OFFSETS, 8, count=0xFFFFFFFF),
    "four strips said to be nowhere": changed(
        tiff.STRIP_OFFSETS, len(FILE), count=4, file=changed(tiff.STRIP_COUNTS, 8, count=4)
    ),
    "a description of 4 GB": changed(tiff.DESCRIPTION, 10, count=0xFFFFFFF0, kind=2),
    "a description of numbers": changed(tiff.DESCRIPTION, 10, count=4, kind=3),
    "a width of words": changed(tiff.WIDTH, 6, kind=2),
    "another page": FILE[: 10 + 12 * 11] + struct.pack("<I", 8) + FILE[14 + 12 * 11 :],
    "a directory of 65535 tags": FILE[:8] + b"\xff\xff" + FILE[10:],
    "a directory beyond the end": FILE[:4] + b"\xff\xff\xff\xff" + FILE[8:],
    "a directory in the header": FILE[:4] + b"\0\0\0\0" + FILE[8:],
    "the same tag twice": FILE[:22] + FILE[10:22] + FILE[34:],
    "a BigTIFF": FILE[:2] + b"\x2b\0" + FILE[4:],
    "half of it": FILE[: len(FILE) // 2],
    "its last byte lost": FILE[:-1],
    "nothing": b"",
    "a page of a web server": b"<html></html>",
}


@pytest.mark.parametrize("file", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_an_error_before_memory_is_taken(file: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            decode_tiff(file)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_eleven_tags_are_written() -> None:
    assert struct.unpack("<H", FILE[8:10]) == (11,)  # the page of a bomb above lies behind them


@pytest.mark.parametrize(
    "told",
    [
        {"shape": [6, 4]},
        {"shape": [4, 6], "image": {}},
        {"image": {"beam_type": "ION"}, "pixel_size": {"x": 1, "y": 1}},
        {"image": {"beam_type": "ION"}, "pixel_size": None, "microscope_state": {"timestamp": 1}},
        [1, 2],
    ],
)
def test_a_description_that_does_not_fit_is_an_error(told: Any) -> None:
    text = json.dumps(told).encode() + b"\0"
    at = len(FILE)
    file = changed(tiff.DESCRIPTION, at, count=len(text), kind=2) + text
    with pytest.raises(WireError):
        decode_tiff(file)


def test_a_description_with_what_json_has_no_word_for_is_an_error() -> None:
    whole = FILE.replace(b"1e-06", b"  NaN", 1)
    assert whole != FILE
    with pytest.raises(WireError, match="NaN"):
        decode_tiff(whole)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_an_image_or_an_error(body: bytes) -> None:
    try:
        found = decode_tiff(b"II*\0" + body)
    except WireError:
        return
    assert found.pixels.nbytes <= len(body)


@settings(max_examples=300)
@given(st.integers(0, 8 * len(FILE) - 1))
def test_a_flipped_bit_is_an_error_or_one_other_pixel_or_word(bit: int) -> None:
    file = bytearray(FILE)
    file[bit // 8] ^= 1 << bit % 8
    try:
        found = decode_tiff(bytes(file))
    except WireError:
        return
    assert found.pixels.shape == PIXELS.shape or found.pixels.size <= PIXELS.size


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.integers(0, 1000))
def test_any_grey_image_comes_back(rows: int, columns: int, deep: bool, seed: int) -> None:
    kind = np.uint16 if deep else np.uint8
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(kind).max, (rows, columns), dtype=kind)
    found = decode_tiff(encode_tiff(pixels, None))
    assert np.array_equal(found.pixels, pixels)
