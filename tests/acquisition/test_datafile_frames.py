"""Frames of a camera in the record: the bytes that came, what is missing, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (its filters)
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.datafile import DataFileError, describe, open_record
from acquisition.datafile.fletcher import fletcher32
from drivers.ticket import Frame
from drivers.wire.packed import Codec, Packed, pack
from drivers.wire.simplon_frames import CHANNEL
from tests.acquisition.known_frames import (
    FORM,
    SCAN,
    SHAPE,
    STACK,
    begin,
    counts,
    finish,
    form_of,
    image,
    images,
    write_scan,
)
from tests.acquisition.known_map import about

DIFFERENCE = "difference"  # between two thresholds
CODECS: tuple[Codec, ...] = ("bslz4", "lz4", "none")
TYPES = ("u1", "<u2", "<u4")


def zeroed(packed: Packed) -> Packed:
    """The same with the sizes at its front left out."""
    return replace(packed, data=bytes(12) + packed.data[12:])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", TYPES)
def test_each_frame_is_one_chunk_of_the_bytes_that_came_and_their_sum(tmp_path: Path, dtype: str, codec: Codec) -> None:
    form = form_of(dtype, codec)
    path = write_scan(tmp_path / "a.nxs", form)
    with h5py.File(path) as raw:
        stack = raw[STACK]
        assert (stack.shape, stack.chunks) == ((4, 5, *SHAPE), (1, 1, *SHAPE))
        for number in range(SCAN.count):
            place = divmod(number, 5)
            mask, chunk = stack.id.read_direct_chunk((*place, 0, 0))
            came = image(number, form).channels[CHANNEL].data
            assert mask == 0
            assert chunk == came + fletcher32(came).to_bytes(4, "little")
            assert np.array_equal(stack[place], counts(number, form))


@pytest.mark.parametrize(("codec", "names"), [("bslz4", [32008, 3]), ("lz4", [32004, 3]), ("none", [3])])
def test_the_sum_is_the_last_filter(tmp_path: Path, codec: Codec, names: list[int]) -> None:
    with h5py.File(write_scan(tmp_path / "a.nxs", form_of("<u2", codec))) as raw:
        filters = raw[STACK].id.get_create_plist()
        found = [filters.get_filter(index) for index in range(filters.get_nfilters())]
    assert [one[0] for one in found] == names
    if codec == "bslz4":
        assert found[0][2][2:] == (2, 0, 2)  # bytes an element, the usual block, LZ4


@pytest.mark.parametrize("codec", CODECS)
def test_one_flipped_bit_is_an_error_and_never_a_count(tmp_path: Path, codec: Codec) -> None:
    path = write_scan(tmp_path / "a.nxs", form_of("<u2", codec))
    with h5py.File(path) as raw:
        where = raw[STACK].id.get_chunk_info(6)
    path.chmod(0o644)
    sound = path.read_bytes()
    for offset in (0, 9, where.size // 2, where.size - 1):
        spoiled = bytearray(sound)
        spoiled[where.byte_offset + offset] ^= 4
        path.write_bytes(spoiled)
        with h5py.File(path) as raw, pytest.raises(OSError, match="read"):
            raw[STACK][1, 1]
        with open_record(path) as record:
            assert record.verify() == (f"/{STACK}",)


def test_a_record_reads_back_frame_by_frame(tmp_path: Path) -> None:
    with open_record(write_scan(tmp_path / "a.nxs")) as record:
        frames = record.camera("diffraction")
        assert record.cameras == ("diffraction",)
        assert record.images == ()
        assert record.frame("diffraction") == SCAN
        assert frames.form == FORM
        assert np.array_equal(frames.frame(3, 4), counts(19))
        assert frames.packed(3, 4) == image(19).channels[CHANNEL]
        assert frames.starts[3, 4] == pytest.approx(0.019)
        assert frames.received.all()
        assert frames.missing == ()
        assert record.verify() == ()


def test_each_channel_has_a_stack_of_its_own(tmp_path: Path) -> None:
    form = form_of("<u4", "bslz4", CHANNEL, "threshold_2", DIFFERENCE)
    with open_record(write_scan(tmp_path / "a.nxs", form)) as record:
        frames = record.camera("diffraction")
        assert frames.form == form
        for channel in form.channels:
            assert np.array_equal(frames.frame(2, 1, channel), counts(11, form, channel))


def test_what_never_came_is_nodata_and_is_listed(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.nxs", numbers=[0, 1, 5, 6, 7, 9])
    with h5py.File(path) as raw:
        stack = raw[STACK]
        assert (stack[0, 2] == 65535).all()
        assert stack.id.get_num_chunks() == 6
        assert raw["entry/measurement/event1/collection/frames/missing"][...].tolist() == [[2, 4], [8, 8], [10, 19]]
    with open_record(path) as record:
        frames = record.camera("diffraction")
        assert frames.missing == ((2, 4), (8, 8), (10, 19))
        assert np.flatnonzero(frames.received).tolist() == [0, 1, 5, 6, 7, 9]
        with pytest.raises(DataFileError, match="holds no frame of threshold_1 at row 0, column 2"):
            frames.frame(0, 2)
        assert record.verify() == ()
    said = describe(path)["cameras"]["diffraction"]
    assert (said["received"], said["missing"], said["scan"], said["codec"]) == (6, 14, [4, 5], "bslz4")


def test_where_the_beam_never_was_nothing_is_missing(tmp_path: Path) -> None:
    file, frames = begin(tmp_path / "a.nxs")
    with file:
        frames.write(0, images([0, 1, 2, 3, 4, 6]))
        assert frames.missing(0, 8) == ((5, 5), (7, 7))
        finish(file, visited=8)
    with open_record(file.path) as record:
        assert record.camera("diffraction").missing == ((5, 5), (7, 7))


def test_frames_come_in_any_order_and_twice(tmp_path: Path) -> None:
    file, frames = begin(tmp_path / "a.nxs")
    with file:
        frames.write(0, images([19, 0, 3, 3, 11, 12, 13]))
        frames.write(0, images([*range(20), 7]))
        finish(file)
    assert (frames.received, frames.repeated) == (20, 8)
    with open_record(file.path) as record:
        kept = record.camera("diffraction")
        assert all(np.array_equal(kept.frame(*divmod(number, 5)), counts(number)) for number in range(20))
        assert record.verify() == ()


def test_each_pass_has_its_own_frames(tmp_path: Path) -> None:
    file, frames = begin(tmp_path / "a.nxs", passes=2)
    with file:
        frames.write(0, images(range(18)))
        frames.write(1, images(range(20, 40)), first=20)
        finish(file, passes=2)
    with open_record(file.path) as record:
        kept = record.camera("diffraction")
        assert kept.received.shape == (2, 4, 5)
        assert np.array_equal(kept.frame(1, 2, pass_index=1), counts(27))
        assert kept.missing == ((18, 19),)


@pytest.mark.parametrize("codec", ["bslz4", "lz4"])
def test_sizes_that_were_left_out_are_written_in(tmp_path: Path, codec: Codec) -> None:
    form = form_of("<u2", codec)
    file, frames = begin(tmp_path / "a.nxs", form)
    whole = [image(number, form) for number in range(20)]
    with file:
        frames.write(0, [replace(one, channels={CHANNEL: zeroed(one.channels[CHANNEL])}) for one in whole])
        finish(file)
    with open_record(file.path) as record:
        kept = record.camera("diffraction")
        for number, one in enumerate(whole):
            assert kept.packed(*divmod(number, 5)) == one.channels[CHANNEL]
            assert np.array_equal(kept.frame(*divmod(number, 5)), counts(number, form))


GOOD = image(0).channels[CHANNEL]
WRONG = {
    "shape": pack(np.zeros((10, 12), np.uint16), "bslz4"),
    "type": pack(np.zeros(SHAPE, np.uint32), "bslz4"),
    "codec": pack(np.zeros(SHAPE, np.uint16), "lz4"),
    "size": replace(GOOD, data=(999).to_bytes(8, "big") + GOOD.data[8:]),
    "block": replace(GOOD, data=GOOD.data[:8] + (24).to_bytes(4, "big") + GOOD.data[12:]),
    "empty": replace(GOOD, data=b""),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_frame_the_file_was_not_made_for_is_refused(tmp_path: Path, what: str) -> None:
    file, frames = begin(tmp_path / "a.nxs")
    with file:
        with pytest.raises(DataFileError, match=r"a\.nxs: was given .*image 1\b"):
            frames.write(0, [image(0), image(1, **{CHANNEL: WRONG[what]})])
        frames.write(0, images(range(2, 20)))
        finish(file)
    with open_record(file.path) as record:
        assert record.camera("diffraction").missing == ((1, 1),)


@pytest.mark.parametrize("pixels", [b"", b"\0" * 239, b"\0" * 241])
def test_bare_pixels_of_another_length_are_refused(tmp_path: Path, pixels: bytes) -> None:
    file, frames = begin(tmp_path / "a.nxs", form_of("<u2", "none"))
    with file, pytest.raises(DataFileError, match="240 bytes is due"):
        frames.write(0, [image(0, **{CHANNEL: Packed(SHAPE, np.dtype("<u2"), "none", pixels)})])


def test_a_missing_or_another_channel_is_refused(tmp_path: Path) -> None:
    form = form_of("<u2", "bslz4", CHANNEL, DIFFERENCE)
    file, frames = begin(tmp_path / "a.nxs", form)
    with file:
        for channels in ({CHANNEL: GOOD}, {CHANNEL: GOOD, "threshold_2": GOOD}, {}):
            with pytest.raises(DataFileError, match=f"made for {CHANNEL}, {DIFFERENCE} as 12 x 10 uint16"):
                frames.write(0, [replace(image(0, form), channels=channels)])
        assert frames.received == 0


@pytest.mark.parametrize(("pass_index", "number", "first"), [(0, 20, 0), (0, 3, 4), (1, 0, 0), (-1, 0, 0)])
def test_an_image_or_a_pass_the_scan_has_not_is_refused(
    tmp_path: Path, pass_index: int, number: int, first: int
) -> None:
    file, frames = begin(tmp_path / "a.nxs")
    with file, pytest.raises(DataFileError, match="was given"):
        frames.write(pass_index, [image(number)], first=first)


def test_a_reader_sees_whole_scan_rows_while_it_is_written(tmp_path: Path) -> None:
    file, frames = begin(tmp_path / "a.nxs")
    with file:
        frames.write(0, images(range(7)))
        with open_record(file.path) as record:
            kept = record.camera("diffraction")
            assert record.status == "in_progress"
            assert np.flatnonzero(kept.received).tolist() == [0, 1, 2, 3, 4]
            assert np.array_equal(kept.frame(0, 4), counts(4))
            assert kept.missing == ()


def test_a_name_is_given_once_and_before_the_start(tmp_path: Path) -> None:
    file, _ = begin(tmp_path / "a.nxs")
    with file, pytest.raises(DataFileError, match="Make everything before start"):
        file.frames("late", title="Late", frame=SCAN, requested=SCAN, passes=1, form=FORM)


def test_an_image_and_a_camera_share_a_record(tmp_path: Path) -> None:
    from acquisition.datafile import DataFile

    with DataFile.create(tmp_path / "a.nxs", about()) as file:
        dark = file.image(
            "df", title="DF", frame=SCAN, requested=SCAN, passes=1, detector="DF", counts_per_electron=1.0
        )
        frames = file.frames("diffraction", title="Diffraction", frame=SCAN, requested=SCAN, passes=1, form=FORM)
        file.start()
        dark.write(0, 0, np.arange(20, dtype=np.uint16))
        frames.write(0, images(range(20)))
        finish(file)
    with open_record(file.path) as record:
        assert record.images == ("df",)
        assert np.array_equal(record.camera("diffraction").frame(0, 0), counts(0))
        assert record.image("df").shape == (4, 5)


def test_axes_are_nm_along_the_scan_and_mrad_along_the_detector(tmp_path: Path) -> None:
    with h5py.File(write_scan(tmp_path / "a.nxs")) as raw:
        plot = raw[STACK].parent
        assert list(plot.attrs["axes"]) == ["axis_m", "axis_k", "axis_j", "axis_i"]
        assert [plot[axis].attrs["units"] for axis in plot.attrs["axes"]] == ["nm", "nm", "mrad", "mrad"]
        assert np.allclose(plot["axis_i"], np.arange(-4.5, 5.0))
        assert np.allclose(np.diff(plot["axis_k"]), 2.0)


@settings(max_examples=15, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 11), max_size=20),
    pieces=st.lists(st.integers(1, 6), min_size=1, max_size=20),
    dtype=st.sampled_from(TYPES),
    codec=st.sampled_from(CODECS),
)
def test_whatever_comes_in_whatever_pieces_the_record_tells_it(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], pieces: list[int], dtype: str, codec: Codec
) -> None:
    scan = Frame((0.0, 0.0), (3e-9, 4e-9), (3, 4), 1e-3)
    form = form_of(dtype, codec)
    file, frames = begin(tmp_path_factory.mktemp("any") / "a.nxs", form, scan=scan)
    left: list[Any] = images(numbers, form)
    with file:
        while left:
            piece = pieces[len(left) % len(pieces)]
            frames.write(0, left[:piece])
            left = left[piece:]
        finish(file, visited=12)
    with open_record(file.path) as record:
        kept = record.camera("diffraction")
        assert set(np.flatnonzero(kept.received)) == set(numbers)
        assert {number for first, last in kept.missing for number in range(first, last + 1)} == set(range(12)) - set(
            numbers
        )
        for number in set(numbers):
            assert np.array_equal(kept.frame(*divmod(number, 3)), counts(number, form))
        assert record.verify() == ()
