"""CBOR against the examples of its RFC; whatever it is fed, it gives a value or says no, and stays small."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.errors import WireError
from drivers.wire import cbor
from drivers.wire.cbor import Tag
from tests.drivers.golden import golden

ITEMS = [data for _, data in golden("simplon_cbor", "items", binary=True)]
SAID = [0, 23, 24, 1000000, -1, -1000, 1.1, 1.5, 100000.0, False, True, None, "IETF", [1, [2, 3]], {"a": 1}]
EXAMPLES = list(zip(ITEMS, SAID, strict=True))
REFUSED = [data for _, data in golden("simplon_cbor", "refused", binary=True)]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=40),
    st.binary(max_size=300),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=30), inner, max_size=4),
        st.builds(Tag, st.integers(0, 2**64 - 1), inner),
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(("data", "said"), EXAMPLES, ids=[repr(said) for said in SAID])
def test_the_examples_of_the_rfc_read_as_it_says(data: bytes, said: Any) -> None:
    found = cbor.read(data)
    assert found == said and type(found) is type(said)


@pytest.mark.parametrize(("data", "said"), [pair for pair in EXAMPLES if pair[0][0] not in (0xF9, 0xFA)])
def test_the_examples_are_written_to_the_byte(data: bytes, said: Any) -> None:
    assert cbor.write(said) == data  # but for short floats, which are read and never written


@pytest.mark.parametrize("data", REFUSED, ids=bytes.hex)
def test_what_is_not_well_formed_or_of_no_length_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        cbor.read(data)


@given(VALUES)
def test_what_is_written_is_read_again(value: Any) -> None:
    data = cbor.write(value)
    try:
        assert cbor.read(data) == value
    except WireError as error:
        assert "deeper" in error.what  # than any message goes


@given(st.binary(max_size=60))
@example(b"\xbf" * 40)
@example(b"\xd9\xd9\xf7" * 20)
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    with suppress(WireError):
        cbor.read(data)


@given(VALUES, st.data())
def test_a_message_cut_anywhere_is_an_error(value: Any, data: st.DataObject) -> None:
    whole = cbor.write(value)
    with pytest.raises(WireError):
        cbor.read(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xa1\x61a" * 1000 + b"\x00",
        b"\x81" * 100_000 + b"\x00",
        b"\xc0" * 100_000 + b"\x00",
        b"\x5a\xff\xff\xff\xff",
        b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x9a\xff\xff\xff\xff",
        b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x99\xff\xff" + b"\x80" * 65535,
        b"\x9f" * 100_000,
        b"\x5f" + b"\x41a" * 1000,
    ],
    ids=["maps", "arrays", "tags", "bytes", "text", "array", "map", "many", "no end", "chunks"],
)
def test_a_message_that_announces_more_than_it_has_is_refused_before_it_is_believed(bomb: bytes) -> None:
    with pytest.raises(WireError):
        cbor.read(bomb)


def test_anything_after_the_one_item_is_an_error() -> None:
    with pytest.raises(WireError, match="1 bytes follow"):
        cbor.read(b"\x01\x02")


def test_a_number_that_is_none_is_read_as_what_it_is() -> None:
    assert math.isnan(cbor.read(bytes.fromhex("f97e00")))


def test_what_has_no_word_is_not_written() -> None:
    for value in ({1, 2}, object(), 2**64):
        with pytest.raises(ValueError, match=r"CBOR"):
            cbor.write(value)
