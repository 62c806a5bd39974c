"""The sum behind each chunk is the one that HDF5 makes itself."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acquisition.datafile.fletcher import SIZE, fletcher32


def word_by_word(data: bytes) -> int:
    """Fletcher's sum as it is defined, folded after every word."""
    plain = weighted = 0
    for high, low in zip(data[::2], data[1::2] + b"\0" * (len(data) % 2), strict=True):
        plain = fold(plain + (high << 8 | low))
        weighted = fold(weighted + plain)
    return weighted << 16 | plain


def fold(total: int) -> int:
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@settings(max_examples=200)
@given(st.binary(max_size=700))
@example(b"")
@example(b"\0" * 9)
@example(b"\xff" * 64)
@example(b"\xff\xff" * 40 + b"\0" * 40)
def test_it_is_the_sum_word_by_word(data: bytes) -> None:
    assert fletcher32(data) == word_by_word(data)


@pytest.mark.parametrize("size", [2 * 8192 - 1, 2 * 8192, 2 * 8192 + 1, 100_003])
@pytest.mark.parametrize("fill", [None, 0x00, 0xFF])
def test_it_is_the_sum_of_a_long_chunk_too(size: int, fill: int | None) -> None:
    data = np.random.default_rng(size).bytes(size) if fill is None else bytes([fill]) * size
    assert fletcher32(data) == word_by_word(data)


@pytest.mark.parametrize("size", [1, 2, 7, 720, 721, 40_000])
def test_hdf5_leaves_the_same_sum_behind_its_chunks(size: int) -> None:
    values = np.frombuffer(np.random.default_rng(size).bytes(size), np.uint8)
    with h5py.File("sums", "w", driver="core", backing_store=False) as file:
        data = file.create_dataset("data", data=values, chunks=(size,), fletcher32=True)
        _, chunk = data.id.read_direct_chunk((0,))
    assert chunk == values.tobytes() + fletcher32(values.tobytes()).to_bytes(SIZE, "little")
