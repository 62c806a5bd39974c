"""Stream V2 against recorded messages: read, written, refused; both ways of reading an image say the same."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.errors import WireError
from drivers.wire import cbor, simplon_image
from drivers.wire.cbor import Tag
from drivers.wire.packed import U1, U2, U4, Packed, pack, unpack
from drivers.wire.simplon_frames import CHANNEL, StreamEnd, StreamImage, StreamStart, seconds
from drivers.wire.simplon_stream import decode, encode
from tests.drivers.golden import golden

START, *IMAGES, END = [
    data for part in ("start", "images", "end") for _, data in golden("simplon_cbor", part, binary=True)
]
UNIQUE = "01HBV3JPF9T4ZDPADX6EMK6XMZ"
PIXELS = [
    np.array([[0, 1, 2, 3], [4, 5, 6, 7]], U2),
    np.array([[1, 2, 3]], U1),
    np.array([[1, 2], [3, 4]], U4),
]
AN_IMAGE = StreamImage(
    7, UNIQUE, 4711, (10, 50), (20, 50), (9, 50), {CHANNEL: pack(np.eye(16, dtype=U2), "bslz4")}, "2023-10-03T17:47:49Z"
)
TICKS = st.tuples(st.integers(0, 2**64 - 1), st.integers(1, 2**64 - 1))


def changed(data: bytes, /, **fields: Any) -> bytes:
    """A message with some fields other than they were; `...` leaves one out."""
    found = cbor.read(data)
    said = {**(found.value if isinstance(found, Tag) else found), **fields}
    return cbor.write({name: value for name, value in said.items() if value is not ...})


def a_channel(dimensions: Any, typed: int, pixels: Any) -> dict[str, Any]:
    return {CHANNEL: Tag(40, [dimensions, Tag(typed, pixels)])}


def test_a_start_says_what_the_camera_is_set_to() -> None:
    assert decode((START,)) == StreamStart(
        series=15614,
        unique_id=UNIQUE,
        images=1,
        channels=(CHANNEL,),
        dtype=None,  # that firmware does not say
        shape=(4362, 4148),
        count_time=0.004317472232502031,
        frame_time=0.004317572232502031,
        thresholds={"threshold_1": 6750.149914699146, "threshold_2": 18900.41976115761},
        saturation=21517,
        incident_energy=13500.299829398293,
        pixel=(7.5e-05, 7.5e-05),
        sensor_material="Si",
        sensor_thickness=0.00045,
        description="Dectris EIGER2 Si 16M",
        serial_number="E-32-0117",
        armed="2023-10-03T17:47:48.329000+02:00",
    )


@pytest.mark.parametrize("name", ["uint8", "uint16", "uint32"])
def test_a_newer_start_says_how_deep_its_pixels_are(name: str) -> None:
    found = decode((changed(START, image_dtype=name),))
    assert isinstance(found, StreamStart) and found.dtype == np.dtype(name)


@pytest.mark.parametrize(("data", "pixels"), list(zip(IMAGES, PIXELS, strict=True)), ids=["none", "bslz4", "lz4"])
def test_an_image_says_its_number_times_and_pixels(data: bytes, pixels: Any) -> None:
    found = decode((data,))
    assert isinstance(found, StreamImage)
    assert (found.series, found.unique_id, found.image) == (15614, UNIQUE, 0)
    assert (found.start, found.stop, found.real) == ((0, 50_000_000), (215873, 50_000_000), (215873, 50_000_000))
    assert seconds(found.stop) == pytest.approx(4.31746e-3) and found.date == "2023-10-03T17:47:49.434+02:00"
    (packed,) = found.channels.values()
    assert packed.dtype == pixels.dtype and (unpack(packed) == pixels).all()


@pytest.mark.parametrize("data", IMAGES, ids=["none", "bslz4", "lz4"])
def test_a_recorded_image_is_written_to_the_byte(data: bytes) -> None:
    assert encode(decode((data,))) == (data,)


def test_an_end_says_its_series_and_is_written_to_the_byte() -> None:
    assert decode((END,)) == StreamEnd(1, "01GRXWT80JSDY2FNW8SGCCDZD9")
    assert encode(decode((END,))) == (END,)


def test_a_start_that_is_written_reads_the_same() -> None:
    start = decode((START,))
    assert isinstance(start, StreamStart) and decode(encode(start)) == start
    bare = StreamStart(1, UNIQUE, 3, ("threshold_1", "difference"), U1, (128, 128), 1e-3, 1e-3)
    assert decode(encode(bare)) == bare


def test_compressed_images_are_read_by_the_pattern_and_others_by_their_items() -> None:
    usual = [simplon_image.read_as_usual(data) for data in IMAGES]
    assert [found is not None for found in usual] == [False, True, True]


@given(
    series=st.integers(0, 2**64 - 1),
    image=st.integers(0, 2**64 - 1),
    times=st.tuples(TICKS, TICKS, TICKS),
    names=st.lists(st.from_regex(r"[a-z_0-9]{1,30}", fullmatch=True), min_size=1, max_size=8, unique=True),
    codec=st.sampled_from(["lz4", "bslz4"]),
    dtype=st.sampled_from([U1, U2, U4]),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    unique_id=st.sampled_from([UNIQUE, "", "ä" * 13, "short"]),
    date=st.sampled_from(["", "2023-10-03T17:47:49Z", "2023-10-03T17:47:49.434+02:00", "once"]),
    appendix=st.sampled_from([..., None, "", {}, [1, "💙"], {"a": {"b": [1.5]}}]),
)
@settings(max_examples=100, deadline=None)
def test_both_ways_of_reading_an_image_say_the_same(
    series: int,
    image: int,
    times: Any,
    names: list[str],
    codec: Any,
    dtype: Any,
    shape: Any,
    unique_id: str,
    date: str,
    appendix: Any,
) -> None:
    channels = {name: pack(np.full(shape, n, dtype), codec) for n, name in enumerate(names)}
    said = StreamImage(series, unique_id, image, *times, channels, date)
    fields = cbor.read(encode(said)[0]).value
    data = fields.pop("data")
    as_usual = cbor.write(
        Tag(cbor.SELF, {**fields, **({} if appendix is ... else {"user_data": appendix}), "data": data})
    )
    otherwise = cbor.write({"user_data": appendix if appendix is not ... else 1, "data": data, **fields})
    assert decode((as_usual,)) == decode((otherwise,)) == said


@pytest.mark.parametrize(
    ("why", "data"),
    [
        ("another type", changed(START, type="monitor")),
        ("no type", changed(START, type=...)),
        ("no map", cbor.write([1, 2])),
        ("a tag that is not its own", cbor.write(Tag(40, {"type": "end"}))),
        ("no series", changed(END, series_id=...)),
        ("a series below 0", changed(END, series_id=-1)),
        ("a series that is true", changed(END, series_id=True)),
        ("a series in half", changed(END, series_id=1.5)),
        ("a name that is a number", changed(END, series_unique_id=5)),
        ("a start with no channel", changed(START, channels=[])),
        ("a start with a channel twice", changed(START, channels=[CHANNEL, CHANNEL])),
        ("a start with nine channels", changed(START, channels=[str(n) for n in range(9)])),
        ("a start of no shape", changed(START, image_size_x=0)),
        ("a start of 4 Gpixel", changed(START, image_size_x=1 << 16, image_size_y=1 << 16)),
        ("a start of signed pixels", changed(START, image_dtype="int16")),
        ("a start that counts for no number", changed(START, count_time=float("nan"))),
        ("a start that counts for ever", changed(START, count_time=float("inf"))),
        ("a start that counts backwards", changed(START, count_time=-1.0)),
        ("a start that was armed by a number", changed(START, arm_date=5)),
        ("a start with thresholds in a list", changed(START, threshold_energy=[6750.0])),
        ("a time over 0", changed(IMAGES[0], start_time=[1, 0])),
        ("a time of three", changed(IMAGES[0], start_time=[1, 2, 3])),
        ("a time below 0", changed(IMAGES[0], stop_time=[-1, 50])),
        ("a time that is a float", changed(IMAGES[0], real_time=1.0)),
        ("no data", changed(IMAGES[0], data=...)),
        ("data in a list", changed(IMAGES[0], data=[1])),
        ("nine channels", changed(IMAGES[0], data={str(n): 1 for n in range(9)})),
        ("bare bytes", changed(IMAGES[0], data={CHANNEL: bytes(16)})),
        ("one dimension", changed(IMAGES[0], data=a_channel([8], 69, bytes(16)))),
        ("three dimensions", changed(IMAGES[0], data=a_channel([2, 2, 2], 69, bytes(16)))),
        ("no rows", changed(IMAGES[0], data=a_channel([0, 8], 69, b""))),
        ("rows below 0", changed(IMAGES[0], data=a_channel([-2, -4], 69, bytes(16)))),
        ("more pixels than bytes", changed(IMAGES[0], data=a_channel([2, 5], 69, bytes(16)))),
        ("fewer pixels than bytes", changed(IMAGES[0], data=a_channel([2, 3], 69, bytes(16)))),
        ("4 Gpixel", changed(IMAGES[0], data=a_channel([1 << 16, 1 << 16], 69, bytes(16)))),
        ("big-endian pixels", changed(IMAGES[0], data=a_channel([2, 4], 65, bytes(16)))),
        ("float pixels", changed(IMAGES[0], data=a_channel([2, 2], 85, bytes(16)))),
        ("columns first", changed(IMAGES[0], data={CHANNEL: Tag(1040, [[2, 4], Tag(69, bytes(16))])})),
        ("pixels in a list", changed(IMAGES[0], data=a_channel([2, 2], 69, [1, 2, 3, 4]))),
    ],
)
def test_what_no_camera_says_is_an_error(why: str, data: bytes) -> None:
    with pytest.raises(WireError):
        decode((data,))


@pytest.mark.parametrize(
    ("why", "compressed"),
    [
        ("another algorithm", ["bszstd", 2, None]),
        ("no algorithm", ["none", 2, None]),
        ("an element of another size", ["bslz4", 4, None]),
        ("an element of no size", ["bslz4", 0, None]),
        ("an element below 0", ["bslz4", -2, None]),
        ("lz4 of an element of another size", ["lz4", 4, None]),
        ("no element", ["bslz4", None]),
        ("text", ["bslz4", 2, "pixels"]),
        ("a size of 4 GiB", ["bslz4", 2, (1 << 32).to_bytes(8, "big") + bytes(20)]),
        ("nothing in it", ["bslz4", 2, b""]),
    ],
)
def test_pixels_that_contradict_what_is_said_of_them_are_an_error(why: str, compressed: list[Any]) -> None:
    good = pack(np.zeros((4, 8), U2), "bslz4")
    content = [good.data if part is None else part for part in compressed]
    fields = cbor.read(encode(AN_IMAGE)[0]).value
    for turn in (lambda said: said, lambda said: dict(reversed(said.items()))):  # by the pattern and by the items
        data = cbor.write(turn({**fields, "data": a_channel([4, 8], 69, Tag(56500, content))}))
        with pytest.raises(WireError):
            decode((data,))


def test_a_message_of_no_or_two_parts_is_an_error() -> None:
    for message in ((), (END, END)):
        with pytest.raises(WireError, match="parts"):
            decode(message)


def test_a_key_or_a_channel_that_comes_twice_is_an_error() -> None:
    twice = END.replace(b"\xa3", b"\xa4", 1) + cbor.write("series_id") + cbor.write(2)
    (whole,) = encode(AN_IMAGE)
    at = whole.index(cbor.write(CHANNEL))
    again = whole[: at - 1] + b"\xa2" + whole[at:] * 2
    for data in (twice, again):
        with pytest.raises(WireError, match="twice"):
            decode((data,))


def test_a_channel_whose_name_is_said_longer_than_it_is_is_an_error() -> None:
    (whole,) = encode(AN_IMAGE)
    at = whole.index(cbor.write(CHANNEL))
    with pytest.raises(WireError):
        decode((whole[:at] + bytes((whole[at] + 1,)) + whole[at + 1 :],))


@given(st.binary(max_size=200))
@example(b"\xa1\x61a" * 1000)
def test_any_bytes_are_a_message_or_an_error(data: bytes) -> None:
    with suppress(WireError):
        decode((data,))


@given(st.sampled_from([START, *IMAGES, END, *encode(AN_IMAGE)]), st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_a_message_or_an_error(whole: bytes, data: st.DataObject) -> None:
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(WireError):
        decode((bytes(changed),))


@pytest.mark.parametrize("whole", [START, *IMAGES, END, *encode(AN_IMAGE)], ids=range(6))
def test_a_message_cut_anywhere_or_run_on_is_an_error(whole: bytes) -> None:
    for cut in range(len(whole)):
        with pytest.raises(WireError):
            decode((whole[:cut],))
    with pytest.raises(WireError, match="follow"):
        decode((whole + b"\x00",))


def test_an_image_of_several_channels_keeps_their_order() -> None:
    names = ("threshold_2", "threshold_1", "difference")
    three = replace(AN_IMAGE, channels=dict.fromkeys(names, AN_IMAGE.channels[CHANNEL]))
    found = decode(encode(three))
    assert isinstance(found, StreamImage) and tuple(found.channels) == names
    assert all(isinstance(packed, Packed) for packed in found.channels.values())
