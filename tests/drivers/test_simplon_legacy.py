"""Stream V1 against the messages of a QUADRO: a header in one message or in two, bare LZ4 blocks, what is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import lz4.block
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.errors import WireError
from drivers.wire.packed import HEADER, U1, U2, U4, header_zeroed, pack, unpack
from drivers.wire.simplon_frames import CHANNEL, Message, StreamEnd, StreamImage, StreamStart, seconds
from drivers.wire.simplon_legacy import Decoder, encode
from tests.drivers.golden import golden


def messages() -> list[Message]:
    """The messages of the transcript."""
    parts: list[bytes] = []
    found = []
    for _, part in golden("simplon", "series"):
        if part == b".":
            found.append(tuple(parts))
            parts = []
        else:
            parts.append(part)
    return found


HEADER_MESSAGE, IMAGE, END = messages()
A_START = StreamStart(34, "", 65536, (CHANNEL,), U2, (6, 10), 1e-3, 1e-3, trigger_mode="exte", triggers=65536)
AN_IMAGE = StreamImage(
    34, "", 5, (10, 10**9), (20, 10**9), (10, 10**9), {CHANNEL: pack(np.eye(16, 12, dtype=U2), "bslz4")}
)


def with_part(message: Message, number: int, **fields: Any) -> Message:
    """A message one of whose JSON parts says something else; `...` leaves a field out."""
    said = {**json.loads(message[number]), **fields}
    part = json.dumps({name: value for name, value in said.items() if value is not ...}).encode()
    return (*message[:number], part, *message[number + 1 :])


def an_image(blob: bytes, encoding: str, shape: tuple[int, int], dtype: str) -> Message:
    """The transcript's image with other pixels; `shape` is (rows, columns)."""
    rows, columns = shape
    message = with_part(IMAGE, 1, encoding=encoding, shape=[columns, rows], size=len(blob), type=dtype)
    return (*message[:2], blob, message[3])


def test_a_header_says_what_the_camera_is_set_to() -> None:
    assert Decoder().decode(HEADER_MESSAGE) == StreamStart(
        series=34,
        unique_id="",
        images=16384,
        channels=(CHANNEL,),
        dtype=U2,
        shape=(6, 10),
        count_time=0.0009999,
        frame_time=0.001,
        thresholds={CHANNEL: 4020.5},
        saturation=3825,
        incident_energy=8041.0,
        pixel=(7.5e-05, 7.5e-05),
        sensor_material="Si",
        sensor_thickness=0.00045,
        description="Dectris QUADRO Si 250K",
        serial_number="E-01-0350",
        armed="2022-05-10T18:20:50.027+02:00",
        trigger_mode="exte",
        triggers=16384,
    )


def test_a_header_in_two_messages_says_the_same() -> None:
    decoder = Decoder()
    assert decoder.decode(HEADER_MESSAGE[:1]) is None
    assert decoder.decode(HEADER_MESSAGE[1:]) == Decoder().decode(HEADER_MESSAGE)


def test_a_header_of_all_details_is_read_by_its_first_two_parts() -> None:
    whole = with_part(HEADER_MESSAGE, 0, header_detail="all")
    found = Decoder().decode((*whole, b'{"htype":"flatfield-1.0"}', b"\x00" * 240, b"", b"", b"", b""))
    assert found == Decoder().decode(HEADER_MESSAGE)


def test_half_a_header_is_forgotten_when_an_image_follows() -> None:
    decoder = Decoder()
    assert decoder.decode(HEADER_MESSAGE[:1]) is None
    assert isinstance(decoder.decode(IMAGE), StreamImage)
    with pytest.raises(WireError):
        decoder.decode(HEADER_MESSAGE[1:])


def test_half_a_header_is_forgotten_on_request_and_after_a_wrong_message() -> None:
    for forget in (Decoder.reset, wrong):
        decoder = Decoder()
        decoder.decode(HEADER_MESSAGE[:1])
        forget(decoder)
        with pytest.raises(WireError):
            decoder.decode(HEADER_MESSAGE[1:])


def wrong(decoder: Decoder) -> None:
    with pytest.raises(WireError):
        decoder.decode((b"\xff",))


def test_an_image_says_its_number_times_and_pixels_columns_first() -> None:
    found = Decoder().decode(IMAGE)
    assert isinstance(found, StreamImage)
    assert (found.series, found.unique_id, found.image, found.date) == (34, "", 0, "")
    assert seconds(found.start) == 5396.0528358 and seconds(found.real) == 0.0005
    pixels = unpack(found.channels[CHANNEL])
    assert pixels.shape == (6, 10) and pixels.dtype == U1 and pixels[1, 3] == ord("3")


def test_an_image_may_bring_what_a_user_asked_to_be_sent_along() -> None:
    assert Decoder().decode((*IMAGE, b"anything")) == Decoder().decode(IMAGE)


def test_an_end_names_the_series_and_no_count() -> None:
    assert Decoder().decode(END) == StreamEnd(34, "")
    assert encode(StreamEnd(34, "")) == END


@pytest.mark.parametrize("dtype", [U1, U2, U4], ids=str)
def test_bitshuffled_pixels_are_framed_and_their_sizes_may_be_left_out(dtype: Any) -> None:
    pixels = np.arange(63).reshape(7, 9).astype(dtype)
    packed = pack(pixels, "bslz4")
    for data in (packed.data, bytes(HEADER) + packed.data[HEADER:]):
        found = Decoder().decode(an_image(data, f"bs{8 * dtype.itemsize}-lz4<", (7, 9), dtype.name))
        assert isinstance(found, StreamImage)
        (came,) = found.channels.values()
        assert came.data == data and header_zeroed(came) == (data != packed.data) and (unpack(came) == pixels).all()


def test_a_bare_lz4_block_comes_out_framed() -> None:
    pixels = np.zeros((7, 9), U4)
    block = lz4.block.compress(pixels.tobytes(), store_size=False)
    found = Decoder().decode(an_image(block, "lz4<", (7, 9), "uint32"))
    assert isinstance(found, StreamImage) and found.channels[CHANNEL] == pack(pixels, "lz4")


@pytest.mark.parametrize("codec", ["none", "lz4", "bslz4"])
@pytest.mark.parametrize("dtype", [U1, U2, U4], ids=str)
def test_an_image_that_is_written_reads_the_same(codec: Any, dtype: Any) -> None:
    image = replace(AN_IMAGE, channels={CHANNEL: pack(np.eye(16, 12, dtype=dtype), codec)})
    message = encode(image)
    assert Decoder().decode(message) == image
    assert (
        json.loads(message[1])["encoding"]
        == {"none": "<", "lz4": "lz4<", "bslz4": f"bs{8 * dtype.itemsize}-lz4<"}[codec]
    )


def test_a_start_that_is_written_reads_the_same() -> None:
    for start in (A_START, Decoder().decode(HEADER_MESSAGE)):
        assert isinstance(start, StreamStart) and Decoder().decode(encode(start)) == start
        decoder = Decoder()
        assert [decoder.decode((part,)) for part in encode(start)] == [None, start]


def test_times_in_ticks_are_written_in_nanoseconds() -> None:
    found = Decoder().decode(encode(replace(AN_IMAGE, stop=(215873, 50_000_000))))
    assert isinstance(found, StreamImage) and found.stop == (4317460, 10**9)


def test_what_stream_v1_cannot_say_is_not_written() -> None:
    two = replace(AN_IMAGE, channels=dict.fromkeys((CHANNEL, "threshold_2"), AN_IMAGE.channels[CHANNEL]))
    for cannot in (two, replace(A_START, dtype=None)):
        with pytest.raises(ValueError, match="Stream V1"):
            encode(cannot)


@pytest.mark.parametrize(
    ("why", "message"),
    [
        ("no parts", ()),
        ("no JSON", (b"{",)),
        ("no map", (b"[1]",)),
        ("JSON nested 1000 deep", (b'{"a":' * 1000,)),
        ("JSON of a mebibyte", (b'{"a":"' + b"x" * (1 << 20) + b'"}',)),
        ("a key twice", (b'{"htype":"dseries_end-1.0","series":1,"series":2}',)),
        ("another type", with_part(END, 0, htype="dmonitor-1.0")),
        ("a misspelt end", with_part(END, 0, htype="deseries_end-1.0")),
        ("no type", with_part(END, 0, htype=...)),
        ("an end of two parts", END * 2),
        ("an end of no series", with_part(END, 0, series=...)),
        ("a header that says nothing", with_part(HEADER_MESSAGE, 0, header_detail="none")),
        ("a header of 12 bits", with_part(HEADER_MESSAGE, 1, bit_depth_image=12)),
        ("a header of no shape", with_part(HEADER_MESSAGE, 1, x_pixels_in_detector=...)),
        ("a header of 4 Gpixel", with_part(HEADER_MESSAGE, 1, x_pixels_in_detector=1 << 40)),
        ("a header that counts no images", with_part(HEADER_MESSAGE, 1, nimages="all")),
        ("an image of three parts", IMAGE[:3]),
        ("an image of six parts", (*IMAGE, b"", b"")),
        ("an image of no number", with_part(IMAGE, 0, frame=...)),
        ("an image before the first", with_part(IMAGE, 0, frame=-1)),
        ("parts that are others", with_part(IMAGE, 1, htype="dimage-1.0")),
        ("times that are others", with_part(IMAGE, 3, htype="dtime-1.0")),
        ("a time of more than 64 bits", with_part(IMAGE, 3, start_time=10**400)),
        ("a name of a kilobyte", with_part(HEADER_MESSAGE, 1, description="x" * 1000)),
        ("a time that is none", with_part(IMAGE, 3, start_time=1.5)),
        ("a size that is not that of the blob", with_part(IMAGE, 1, size=61)),
        ("a shape that is not that of the blob", with_part(IMAGE, 1, shape=[10, 7])),
        ("three dimensions", with_part(IMAGE, 1, shape=[5, 6, 2])),
        ("an edge below 0", with_part(IMAGE, 1, shape=[-10, -6])),
        ("an edge that is true", with_part(IMAGE, 1, shape=[True, 60])),
        ("signed pixels", with_part(IMAGE, 1, type="int8")),
        ("a type that is not that of the blob", with_part(IMAGE, 1, type="uint16")),
        ("big-endian pixels", with_part(IMAGE, 1, encoding=">")),
        ("bits of another depth", with_part(IMAGE, 1, encoding="bs16-lz4<")),
        ("bits and no LZ4", with_part(IMAGE, 1, encoding="bs8<")),
        ("pixels that are not packed", with_part(IMAGE, 1, encoding="lz4<")),
        ("pixels that are not bitshuffled", with_part(IMAGE, 1, encoding="bs8-lz4<")),
    ],
)
def test_what_no_camera_says_is_an_error(why: str, message: Message) -> None:
    decoder = Decoder()
    with pytest.raises(WireError):
        found = decoder.decode(message)
        unpack(found.channels[CHANNEL])  # type: ignore[union-attr]  # of an LZ4 block only its unpacking tells


@given(st.lists(st.lists(st.binary(max_size=40), max_size=6).map(tuple), max_size=4))
@example([(b'{"htype":1}',)])
@example([(b'{"htype":"dheader-1.0","header_detail":"basic","series":1}',), (b"{}",)])
def test_any_messages_are_read_or_refused(several: list[Message]) -> None:
    decoder = Decoder()
    for message in several:
        with suppress(WireError):
            decoder.decode(message)


@given(st.sampled_from([HEADER_MESSAGE, IMAGE, END, encode(AN_IMAGE)]), st.data())
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_is_a_message_or_an_error(whole: Message, data: st.DataObject) -> None:
    parts = list(whole)
    number = data.draw(st.integers(0, len(parts) - 1))
    part = bytearray(parts[number])
    part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    parts[number] = bytes(part)
    with suppress(WireError):
        Decoder().decode(tuple(parts))
