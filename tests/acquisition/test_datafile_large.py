"""A record too large to be copied: finished where it lies, with all of its changes or none."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from acquisition.datafile import DataFile, DataFileError, disk, open_record, rescue
from acquisition.datafile.amend import PAGE, Overlay, changes, put_into
from acquisition.datafile.superblock import claim_and_end
from tests.acquisition.known_frames import SCAN, STACK, begin, counts, finish, images, write_scan
from tests.acquisition.known_map import write_map

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is one."""
    monkeypatch.setattr(disk, "IN_MEMORY", 0)


def measured(path: Path) -> DataFile:
    """A scan whose frames all came."""
    file, frames = begin(path)
    frames.write(0, images(range(SCAN.count)))
    return file


def contents(path: Path) -> dict[str, dict[str, str]]:
    """Every group and array of a file with its attributes, sums of its values among them."""
    with h5py.File(path) as raw:
        found = {"/": {name: str(value) for name, value in raw.attrs.items()}}
        raw.visititems(lambda name, item: found.update({name: {key: str(item.attrs[key]) for key in item.attrs}}))
    return found


def test_the_file_that_was_measured_is_the_one_that_is_finished(tmp_path: Path) -> None:
    with measured(tmp_path / "a.nxs") as file:
        before = file.path.stat().st_ino
        finish(file)
    assert file.path.stat().st_ino == before
    assert not file.path.stat().st_mode & 0o222
    assert file.path.stat().st_size == claim_and_end(file.path)[1]  # and no room is left behind it
    assert list(tmp_path.iterdir()) == [file.path]
    with open_record(file.path) as record:
        assert record.status == "complete"
        assert record.verify() == ()


@pytest.mark.parametrize("write", [write_scan, write_map])
def test_it_holds_what_a_copy_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Path]
) -> None:
    where_it_lay = contents(write(tmp_path / "a.nxs"))
    monkeypatch.setattr(disk, "IN_MEMORY", 1 << 30)
    (tmp_path / "small").mkdir()
    assert contents(write(tmp_path / "small" / "a.nxs")) == where_it_lay


def test_a_reader_in_this_process_does_not_spoil_it(tmp_path: Path) -> None:
    """HDF5 shares a file among those who have it open, and would write its old end into the finished one."""
    with measured(tmp_path / "a.nxs") as file, open_record(file.path) as live:
        finish(file)
        assert live.status == "in_progress"
    with open_record(file.path) as record:
        assert record.status == "complete"
        assert record.verify() == ()


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_a_crash_among_the_changes_costs_nothing(tmp_path: Path, mocker: MockerFixture, written: int) -> None:
    with measured(tmp_path / "a.nxs") as file:
        file.close()
        before = file.path.read_bytes()
    disk_fails = mocker.patch("os.fsync", side_effect=[None, None, NO_SPACE])
    with (
        pytest.raises(DataFileError, match="could not change it: No space"),
        disk.revised(file.path, doing="change it") as raw,
    ):
        raw.attrs["acquisition_status"] = "complete"
        raw["entry"].create_dataset("more", data=np.arange(3000))
        raw["entry/more"].attrs["text"] = "x" * 5000
    mocker.stop(disk_fails)
    assert changes(file.path).exists()
    after = file.path.read_bytes()
    pages = [number for number in range(-(-len(after) // PAGE)) if _page(after, number) != _page(before, number)]
    assert len(pages) > 3
    half = bytearray(before)
    for number in pages[:written]:
        half[number * PAGE : (number + 1) * PAGE] = _page(after, number)
    file.path.write_bytes(half)

    with open_record(file.path) as record:
        assert record.status == "complete"
        assert np.array_equal(record.camera("diffraction").frame(3, 4), counts(19))
    assert rescue(file.path).status == "complete"
    assert file.path.read_bytes() == after
    assert list(tmp_path.iterdir()) == [file.path]


def _page(data: bytes, number: int) -> bytes:
    return data[number * PAGE : (number + 1) * PAGE]


def test_a_disk_that_is_full_before_the_changes_leaves_the_measured_file(tmp_path: Path, mocker: MockerFixture) -> None:
    file = measured(tmp_path / "a.nxs")
    mocker.patch("os.fsync", side_effect=[None, NO_SPACE])
    with pytest.raises(DataFileError, match=r"a\.nxs: could not finish the record: No space left on device"):
        finish(file)
    mocker.stopall()
    assert list(tmp_path.iterdir()) == [file.path]
    assert rescue(file.path).status == "recovered"
    with open_record(file.path) as record:
        assert record.camera("diffraction").received.all()


def test_changes_that_are_not_whole_are_refused_by_name(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.nxs")
    for log in (b"", b"cryolift changes 1\n" + bytes(90), b"something else"):
        changes(path).write_bytes(log)
        with pytest.raises(DataFileError, match=r"Delete a\.nxs\.finishing"):
            rescue(path)
        with pytest.raises(DataFileError, match=r"Delete a\.nxs\.finishing"), open_record(path):
            pass


def test_a_flipped_bit_in_a_frame_is_counted_by_rescue(tmp_path: Path) -> None:
    with measured(tmp_path / "a.nxs") as file:
        pass
    with h5py.File(file.path) as raw:
        where = raw[STACK].id.get_chunk_info(3).byte_offset
    spoiled = bytearray(file.path.read_bytes())
    spoiled[where + 20] ^= 4
    file.path.write_bytes(spoiled)
    rescued = rescue(file.path)
    assert rescued.unreadable == {f"/{STACK}": 1}
    assert rescued.aside is not None
    with open_record(file.path) as record:
        assert np.array_equal(record.camera("diffraction").frame(3, 4), counts(19))
    with pytest.raises(DataFileError, match="cannot be read"), open_record(file.path) as record:
        record.camera("diffraction").frame(0, 3)


_WHERE = st.integers(0, 4 * PAGE)
_DOING = st.one_of(
    st.tuples(st.just("write"), _WHERE, st.binary(max_size=40) | st.just(b"long" * 1300)),
    st.tuples(st.just("read"), _WHERE, st.integers(0, 3 * PAGE)),
    st.tuples(st.just("truncate"), _WHERE, st.just(0)),
)


@given(begun=st.sampled_from([0, 1, PAGE - 1, PAGE, 2 * PAGE + 7]), doing=st.lists(_DOING, max_size=12))
def test_an_overlay_is_a_file_and_can_become_the_file(
    tmp_path_factory: pytest.TempPathFactory, begun: int, doing: list[tuple[str, int, bytes | int]]
) -> None:
    path = tmp_path_factory.mktemp("overlay") / "file"
    path.write_bytes(b"\xaa" * begun)
    plain = io.BytesIO(b"\xaa" * begun)
    with Overlay(path) as overlay:
        for what, where, argument in doing:
            plain.seek(where)
            overlay.seek(where)
            if what == "write" and argument:
                assert overlay.write(argument) == plain.write(argument)  # type: ignore[arg-type]
            elif what == "read":
                assert overlay.read(argument) == plain.read(argument)  # type: ignore[arg-type]
            elif what == "truncate":
                held = plain.getvalue()[:where]
                plain = io.BytesIO(held.ljust(where, b"\0"))
                overlay.truncate(where)
        assert path.read_bytes() == b"\xaa" * begun
        put_into(path, overlay)
    assert path.read_bytes() == plain.getvalue()
