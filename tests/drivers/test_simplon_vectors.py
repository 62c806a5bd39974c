"""Messages recorded from an EIGER2 R 500K read as the maker's own decoder reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drivers.errors import WireError
from drivers.wire import simplon_stream
from drivers.wire.packed import check, nodata, pack, unpack
from drivers.wire.simplon_frames import StreamEnd, StreamImage

FOLDER = Path(__file__).parents[2].parent / "shared" / "vectors" / "simplon"
SHAPE = (514, 1030)
# sum of all pixels, largest, how many are NODATA, largest of the others: by dectris-compression 0.4.0 and cbor2 6.3.0
# in the way of the maker's example (github dectris/documentation, stream_v2/examples/client.py)
PIXELS = {
    "bslz4_8bit": {
        "threshold_1": (908237, 4, 0, 4),
        "threshold_2": (909435, 4, 0, 4),
        "difference": (50027473, 255, 194994, 4),
    },
    "bslz4_16bit": {
        "threshold_1": (909218, 4, 0, 4),
        "threshold_2": (908375, 4, 0, 4),
        "difference": (12746207625, 65535, 194490, 4),
    },
    "bslz4_32bit": {
        "threshold_1": (7414309, 28, 0, 28),
        "threshold_2": (7402644, 28, 0, 28),
        "difference": (1093915287603637, 4294967295, 254697, 28),
    },
    "lz4_16bit": {
        "threshold_1": (909298, 4, 0, 4),
        "threshold_2": (909365, 4, 0, 4),
        "difference": (12762721506, 65535, 194742, 4),
    },
}
# the series, and the ticks of 20 ns the one image took
SAID = {
    "bslz4_8bit": ("01GRXWS1MWTNK0GJYNYKDWCNBY", 499995, "2023-02-10T15:48:25.966+01:00"),
    "bslz4_16bit": ("01GRXWT80JSDY2FNW8SGCCDZD9", 999995, "2023-02-10T15:49:05.281+01:00"),
    "bslz4_32bit": ("01GRXWYAQ9NN93NRNS0H4S7JYZ", 4999995, "2023-02-10T15:51:19.172+01:00"),
    "lz4_16bit": ("01GRXX5AEGDK0H95FQA1W4FCJ5", 999995, "2023-02-10T15:55:08.171+01:00"),
}


def recorded(name: str) -> bytes:
    path = FOLDER / f"r500k_bm_{name}.cbor"
    if not path.exists():
        pytest.skip("the recorded messages are not here (../shared/vectors/simplon)")
    return path.read_bytes()


def image(name: str) -> StreamImage:
    found = simplon_stream.decode((recorded(f"{name}_image"),))
    assert isinstance(found, StreamImage)
    return found


@pytest.mark.parametrize("name", PIXELS)
def test_every_channel_has_the_pixels_the_maker_s_decoder_finds(name: str) -> None:
    found = image(name)
    assert list(found.channels) == list(PIXELS[name])
    for channel, packed in found.channels.items():
        pixels = unpack(packed)
        empty = pixels == nodata(packed.dtype)
        said = int(pixels.sum(dtype="u8")), int(pixels.max()), int(empty.sum()), int(pixels[~empty].max())
        assert pixels.shape == SHAPE and said == PIXELS[name][channel]
        assert f"{packed.codec}_{8 * pixels.itemsize}bit" == name


@pytest.mark.parametrize("name", SAID)
def test_the_image_says_its_series_and_times(name: str) -> None:
    found, (unique_id, ticks, date) = image(name), SAID[name]
    assert (found.series, found.unique_id, found.image, found.date) == (1, unique_id, 0, date)
    assert (found.start, found.stop, found.real) == ((0, 50_000_000), (ticks, 50_000_000), (ticks, 50_000_000))


def test_the_end_names_the_series_and_no_count() -> None:
    assert simplon_stream.decode((recorded("end"),)) == StreamEnd(1, "01GRXWT80JSDY2FNW8SGCCDZD9")


@pytest.mark.parametrize("name", PIXELS)
def test_what_is_read_is_written_so_that_it_reads_the_same(name: str) -> None:
    found = image(name)
    assert simplon_stream.decode(simplon_stream.encode(found)) == found


@pytest.mark.parametrize("name", PIXELS)
def test_our_packing_of_their_pixels_is_framed_as_theirs(name: str) -> None:
    for theirs in image(name).channels.values():
        ours = pack(unpack(theirs), theirs.codec)
        check(ours)
        assert ours.data[:8] == theirs.data[:8] and len(ours.data) < 1.05 * len(theirs.data)
        assert (unpack(ours) == unpack(theirs)).all()


def test_a_message_with_a_byte_less_is_an_error() -> None:
    data = recorded("bslz4_8bit_image")
    cuts = np.random.default_rng(1).integers(0, len(data), 200)
    for cut in (*range(250), *cuts.tolist(), len(data) - 1):
        with pytest.raises(WireError):
            simplon_stream.decode((data[:cut],))
