"""Packed pixels against the HDF5 filters whose framing they have: what HDF5 writes we unpack, what we pack it reads."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import lz4.block
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.errors import WireError
from drivers.wire.packed import (
    BLOCK,
    HEADER,
    U1,
    U2,
    U4,
    Codec,
    Packed,
    check,
    framed,
    header_zeroed,
    nodata,
    pack,
    unframed,
    unpack,
    with_header,
)

CODECS: tuple[Codec, ...] = ("none", "lz4", "bslz4")
FILTERS = {"lz4": hdf5plugin.LZ4(), "bslz4": hdf5plugin.Bitshuffle(nelems=0, cname="lz4")}
# fewer than 8 pixels, 8, one over, one block and a few, several blocks, a last block shorter than the others
SHAPES = [(1, 1), (1, 7), (2, 4), (3, 3), (64, 128), (91, 91), (128, 128), (129, 67), (257, 100)]


def picture(shape: tuple[int, int], dtype: np.dtype[Any], *, noise: bool = False) -> NDArray[Any]:
    """Few counts with one NODATA pixel, or noise that does not get smaller."""
    rng = np.random.default_rng(5)
    top = nodata(dtype)
    pixels = rng.integers(0, top, shape, dtype, endpoint=True) if noise else rng.poisson(2.0, shape).astype(dtype)
    pixels.flat[-1] = top
    return pixels


@pytest.fixture
def chunk(tmp_path: Path) -> Any:
    """A dataset of one chunk behind a filter of HDF5."""

    def made(shape: tuple[int, int], dtype: np.dtype[Any], codec: str) -> Any:
        return file.create_dataset(f"image{len(file)}", shape, dtype, chunks=shape, compression=FILTERS[codec])

    with h5py.File(tmp_path / "chunk.h5", "w") as file:
        yield made


@pytest.mark.parametrize("noise", [False, True], ids=["counts", "noise"])
@pytest.mark.parametrize("dtype", [U1, U2, U4], ids=str)
@pytest.mark.parametrize("codec", ["lz4", "bslz4"])
def test_hdf5_reads_what_we_pack_and_we_read_what_it_packs(
    chunk: Any, codec: Codec, dtype: np.dtype[Any], noise: bool
) -> None:
    for shape in SHAPES:
        pixels = picture(shape, dtype, noise=noise)
        theirs = chunk(shape, dtype, codec)
        theirs[...] = pixels
        mask, data = theirs.id.read_direct_chunk((0, 0))
        assert mask == 0
        assert (unpack(Packed(shape, dtype, codec, bytes(data))) == pixels).all(), shape
        ours = chunk(shape, dtype, codec)
        ours.id.write_direct_chunk((0, 0), pack(pixels, codec).data)
        assert (ours[...] == pixels).all(), shape


@given(
    st.sampled_from(CODECS),
    st.sampled_from([U1, U2, U4]),
    st.tuples(st.integers(1, 40), st.integers(1, 90)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)
@settings(max_examples=60, deadline=None)
def test_what_is_packed_unpacks(
    codec: Codec, dtype: np.dtype[Any], shape: tuple[int, int], seed: int, bits: int
) -> None:
    top = min((1 << bits) - 1, nodata(dtype))
    pixels = np.random.default_rng(seed).integers(0, top, shape, dtype, endpoint=True)
    packed = pack(pixels, codec)
    check(packed)
    found = unpack(packed)
    assert found.dtype == dtype and found.shape == shape and (found == pixels).all()


def test_pixels_of_the_other_byte_order_are_packed_in_ours() -> None:
    pixels = picture((5, 9), U2)
    assert pack(pixels.astype(">u2"), "bslz4") == pack(pixels, "bslz4")


@pytest.mark.parametrize("pixels", [np.zeros((3, 3)), np.zeros(9, "u1"), np.zeros((3, 3), "i2")])
def test_what_no_camera_sends_is_not_packed(pixels: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="cannot be packed"):
        pack(pixels, "bslz4")


def test_nodata_is_the_largest_of_its_type() -> None:
    assert [nodata(dtype) for dtype in (U1, U2, U4)] == [255, 65535, 4294967295]


def test_a_bitshuffled_block_has_the_bits_of_equal_weight_together() -> None:
    # 8 pixels of 8 bits: 1 in the first, 128 in the last; bit 0 of all is byte 0, bit 7 of all is byte 7
    pixels = np.array([[1, 0, 0, 0, 0, 0, 0, 128]], U1)
    data = pack(pixels, "bslz4").data
    assert data[:HEADER] == (8).to_bytes(8, "big") + BLOCK.to_bytes(4, "big")
    assert lz4.block.decompress(data[HEADER + 4 :], uncompressed_size=8) == bytes((1, 0, 0, 0, 0, 0, 0, 128))


@pytest.mark.parametrize("codec", ["lz4", "bslz4"])
@pytest.mark.parametrize("zeroed", [slice(0, HEADER), slice(0, 8), slice(8, HEADER)], ids=["all", "size", "block"])
def test_sizes_that_are_left_out_are_put_back_and_nothing_else_is_changed(codec: Codec, zeroed: slice) -> None:
    whole = pack(picture((91, 91), U2), codec)
    data = bytearray(whole.data)
    data[zeroed] = bytes(len(data[zeroed]))
    bare = replace(whole, data=bytes(data))
    assert header_zeroed(bare) and not header_zeroed(whole)
    assert (unpack(bare) == unpack(whole)).all()
    assert with_header(bare) == whole and with_header(whole) is whole


def test_what_is_not_compressed_has_no_sizes_to_leave_out() -> None:
    plain = pack(np.zeros((4, 4), U1), "none")
    assert not header_zeroed(plain) and with_header(plain) is plain


@pytest.mark.parametrize("noise", [False, True], ids=["counts", "noise"])
def test_a_bare_block_is_framed_for_hdf5(chunk: Any, noise: bool) -> None:
    pixels = picture((91, 91), U2, noise=noise)
    block = lz4.block.compress(pixels.tobytes(), store_size=False)
    packed = framed(pixels.shape, U2, block)
    check(packed)
    stored = chunk(pixels.shape, U2, "lz4")
    stored.id.write_direct_chunk((0, 0), packed.data)
    assert (stored[...] == pixels).all() and (unpack(packed) == pixels).all()
    assert framed(pixels.shape, U2, unframed(packed)) == packed


def test_a_bare_block_as_long_as_its_image_is_not_taken_for_the_image() -> None:
    # LZ4 block format (token, literals, distance): 4 letters, a match of 4 at distance 4, 8 digits: 16 bytes by 16
    block = b"\x40abcd\x04\x00\x8001234567"
    assert unpack(framed((4, 4), U1, block)).tobytes() == b"abcdabcd01234567"


def wrong_sizes() -> list[tuple[str, Packed]]:
    good = pack(picture((128, 128), U2), "bslz4")
    size = good.size

    def of(header: bytes, rest: bytes = good.data[HEADER:]) -> Packed:
        return replace(good, data=header + rest)

    eight, four = size.to_bytes(8, "big"), BLOCK.to_bytes(4, "big")
    return [
        ("no header", replace(good, data=good.data[:11])),
        ("announces 4 GiB", of((1 << 32).to_bytes(8, "big") + four)),
        ("announces one byte less", of((size - 1).to_bytes(8, "big") + four)),
        ("announces the most there is", of(b"\xff" * 8 + four)),
        ("blocks of no whole groups", of(eight + (12).to_bytes(4, "big"))),
        ("blocks of half the size", of(eight + (BLOCK // 2).to_bytes(4, "big"))),
        ("blocks of twice the size", of(eight + (2 * BLOCK).to_bytes(4, "big"))),
        ("blocks of 4 GiB", of(eight + b"\xff\xff\xff\xf0")),
        ("cut short", replace(good, data=good.data[:-1])),
        ("something after it", replace(good, data=good.data + b"\x00")),
        ("another shape", replace(good, shape=(128, 127))),
        ("another depth", replace(good, dtype=U1)),
        ("not packed", replace(good, codec="none")),
        ("no image", Packed((0, 5), U1, "lz4", bytes(HEADER))),
        ("an image of 16 GiB", Packed((1 << 16, 1 << 16), U4, "bslz4", bytes(HEADER))),
        ("an image of less than nothing", Packed((-4, -4), U1, "bslz4", bytes(HEADER))),
    ]


@pytest.mark.parametrize(("why", "packed"), wrong_sizes(), ids=[why for why, _ in wrong_sizes()])
def test_sizes_that_are_not_those_of_the_image_are_an_error(why: str, packed: Packed) -> None:
    for look in (check, unpack, with_header):
        with pytest.raises(WireError):
            look(packed)


def test_a_block_that_is_no_lz4_or_of_another_length_is_an_error() -> None:
    good = pack(picture((8, 8), U1), "bslz4")
    for block in (b"\xff\xff\xff", lz4.block.compress(bytes(63), store_size=False)):
        with pytest.raises(WireError):
            unpack(replace(good, data=good.data[:HEADER] + len(block).to_bytes(4, "big") + block))


@given(st.sampled_from(CODECS), st.sampled_from([U1, U2, U4]), st.tuples(*[st.integers(1, 9)] * 2), st.binary())
@example("bslz4", U1, (1, 1), bytes(HEADER) + b"x")
@example("lz4", U1, (1, 1), bytes(HEADER) + bytes((0, 0, 0, 1, 9)))
@settings(max_examples=200)
def test_any_bytes_are_an_image_of_that_shape_or_an_error(
    codec: Codec, dtype: np.dtype[Any], shape: tuple[int, int], data: bytes
) -> None:
    with suppress(WireError):
        assert unpack(Packed(shape, dtype, codec, data)).shape == shape


@given(st.sampled_from(["lz4", "bslz4"]), st.data())
@settings(max_examples=100)
def test_a_flipped_byte_is_an_image_of_that_shape_or_an_error(codec: Codec, data: st.DataObject) -> None:
    # a byte of a pixel may change a pixel: what there is no checksum for cannot be seen
    good = pack(picture((33, 35), U2), codec)
    flipped = bytearray(good.data)
    flipped[data.draw(st.integers(0, len(flipped) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(WireError):
        assert unpack(replace(good, data=bytes(flipped))).shape == good.shape
