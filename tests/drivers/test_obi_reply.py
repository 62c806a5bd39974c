"""What an Open Beam Interface sends: pixels and answers."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import WireError
from drivers.wire.obi import Output
from drivers.wire.obi_reply import (
    PIXEL_BYTES,
    Pixels,
    ReplySplitter,
    Synchronized,
    cookies,
    encode_pixels,
    encode_synchronized,
)
from tests.drivers.golden import golden


def heard(splitter: ReplySplitter) -> list[int | str]:
    """Pixel values, and cookies as text, in the order in which they came."""
    found: list[int | str] = []
    while (reply := splitter.next()) is not None:
        if isinstance(reply, Pixels):
            found += reply.values.tolist()
        else:
            found.append(f"cookie {reply.cookie}")
    return found


def codes(*values: int) -> np.ndarray:
    return np.array(values, np.uint16)


def test_a_frame_of_the_gateware_is_read_to_the_pixel() -> None:
    splitter = ReplySplitter()
    splitter.feed(golden("obi", "frame", binary=True)[1][1])
    assert heard(splitter) == ["cookie 2", *[4 * x for x in (8090, 8092, 8094, 8090, 8092, 8094)], "cookie 3"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 16383), max_size=20), st.integers(0, 0xFFFF), st.data())
def test_pixels_and_answers_are_the_same_wherever_they_are_split(
    values: list[int], cookie: int, data: st.DataObject
) -> None:
    stream = encode_synchronized(cookie) + encode_pixels(codes(*values), Output.SIXTEEN_BIT) + encode_synchronized(7)
    at = data.draw(st.integers(0, len(stream)))
    splitter = ReplySplitter()
    splitter.feed(stream[:at])
    early = heard(splitter)
    splitter.feed(stream[at:])
    assert early + heard(splitter) == [f"cookie {cookie}", *[4 * value for value in values], "cookie 7"]


def test_the_brightest_pixel_is_not_the_mark_of_an_answer() -> None:
    splitter = ReplySplitter()
    splitter.feed(encode_pixels(codes(16383, 16383), Output.SIXTEEN_BIT))
    assert heard(splitter) == [0xFFFC, 0xFFFC]


@pytest.mark.parametrize("word", ["0001", "fffe", "7e6a"])
def test_a_word_that_is_no_pixel_is_an_error(word: str) -> None:
    splitter = ReplySplitter()
    splitter.feed(bytes.fromhex("7e68" + word + "7e68"))
    assert isinstance(splitter.next(), Pixels)
    with pytest.raises(WireError, match="neither a pixel nor the mark"):
        splitter.next()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 16383), max_size=20), st.lists(st.sampled_from([1, 2, 300, 65024]), max_size=4))
def test_a_search_for_a_cookie_passes_over_all_that_is_stale(values: list[int], old: list[int]) -> None:
    stale = encode_pixels(codes(*values), Output.SIXTEEN_BIT) + b"".join(encode_synchronized(cookie) for cookie in old)
    splitter = ReplySplitter()
    splitter.seek(0x0305)
    for byte in stale[len(stale) % 3 :] + encode_synchronized(0x0305) + b"\x00\x08":  # even when half a word was lost
        splitter.feed(bytes([byte]))
    assert heard(splitter) == ["cookie 773", 8]


def test_a_search_holds_nothing_back_but_what_may_become_the_answer() -> None:
    splitter = ReplySplitter()
    splitter.seek(5)
    for _ in range(200):
        splitter.feed(bytes(1 << 20))
        assert splitter.next() is None
    splitter.feed(encode_synchronized(5))
    assert splitter.next() == Synchronized(5)


def test_no_cookie_of_ours_can_be_found_across_two_others() -> None:
    ours = list(islice(cookies(), 70_000))
    assert all(0xFF not in cookie.to_bytes(2, "big") for cookie in ours)
    assert len(set(ours[:65_000])) == 65_000


@pytest.mark.parametrize("output", list(Output))
def test_each_output_takes_the_bytes_it_is_said_to_take(output: Output) -> None:
    assert len(encode_pixels(codes(0, 5, 16383), output)) == 3 * PIXEL_BYTES[output]


def test_eight_bits_are_the_upper_ones() -> None:
    assert encode_pixels(codes(1029, 2055), Output.EIGHT_BIT) == bytes.fromhex("10 20")


def test_a_box_cannot_fill_the_memory() -> None:
    splitter = ReplySplitter()
    with pytest.raises(WireError, match="nobody took"):
        splitter.feed(bytes((1 << 26) + 1))
    assert splitter.next() is None
