"""A record while it is written: what a reader sees, and what a writer refuses."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.datafile import DataFile, DataFileError, describe, open_record
from acquisition.datafile.nexus import EVENTS
from tests.acquisition.known_map import FRAME, STARTED, about, begin, events_of, image_of, pass_record, take_pass


def test_a_reader_sees_each_row_once_it_is_written(tmp_path: Path) -> None:
    file, image, _ = begin(tmp_path / "a.nxs")
    with file:
        image.write(0, 0, image_of(0).ravel()[:25])
        with open_record(file.path) as record:
            assert record.status == "in_progress"
            assert list(record.lines_done("dark_field")) == [2, 0, 0, 0]
            assert np.array_equal(record.image("dark_field")[0, :2], image_of(0)[:2])
            assert not record.image("dark_field")[0, 2].any()


def test_a_reader_sees_a_pass_once_it_is_done(tmp_path: Path) -> None:
    file, image, events = begin(tmp_path / "a.nxs")
    with file:
        take_pass(file, image, events, 0)
        with open_record(file.path) as record:
            assert record.passes() == [pass_record(0)]
            assert record.events()[0].size == 67


def test_events_are_kept_by_the_chunk_before_their_pass_ends(tmp_path: Path) -> None:
    file, _, events = begin(tmp_path / "a.nxs")
    with file:
        for _ in range(3):
            events.append(0, np.zeros(EVENTS // 2, np.uint32), np.zeros(EVENTS // 2, np.uint16))
        with open_record(file.path) as record:
            assert record.events()[0].size == EVENTS


def test_an_unfinished_record_can_be_shown(tmp_path: Path) -> None:
    file, image, events = begin(tmp_path / "a.nxs")
    with file:
        take_pass(file, image, events, 0)
        said = describe(file.path)
    assert (said["status"], said["ended"], said["passes"]) == ("in_progress", None, 1)


def test_the_record_has_its_final_name_from_the_start(tmp_path: Path) -> None:
    file, _, _ = begin(tmp_path / "0004-eds_map.nxs")
    with file:
        assert [found.name for found in tmp_path.iterdir()] == ["0004-eds_map.nxs"]


def test_leaving_a_record_unfinished_closes_it_and_says_so(tmp_path: Path) -> None:
    file, image, _ = begin(tmp_path / "a.nxs")
    with file:
        image.write(0, 0, image_of(0).ravel())
    with open_record(file.path) as record:
        assert record.status == "in_progress"
    with pytest.raises(DataFileError, match="could not keep image rows: it is closed already"):
        image.write(1, 0, image_of(1).ravel())


@pytest.mark.parametrize("first", [0, 9, 11])
def test_pixels_out_of_order_are_refused(tmp_path: Path, first: int) -> None:
    file, image, _ = begin(tmp_path / "a.nxs")
    with file:
        image.write(0, 0, np.ones(10, np.uint16))
        with pytest.raises(DataFileError, match="due is 10 of 60"):
            image.write(0, first, np.ones(10, np.uint16))


def test_more_pixels_than_the_frame_has_are_refused(tmp_path: Path) -> None:
    file, image, _ = begin(tmp_path / "a.nxs")
    with file, pytest.raises(DataFileError, match="61 pixels"):
        image.write(0, 0, np.ones(61, np.uint16))


@pytest.mark.parametrize("index", [0, 1, 4])
def test_a_pass_is_written_once_and_in_order(tmp_path: Path, index: int) -> None:
    file, image, events = begin(tmp_path / "a.nxs")
    with file:
        image.write(1, 0, image_of(1).ravel())
        with pytest.raises(DataFileError, match=r"in order|once"):
            image.write(index, 0, image_of(0).ravel())
        events.append(1, *events_of(1))
        if index != 1:
            with pytest.raises(DataFileError, match="in order"):
                events.append(index, *events_of(0))


def test_an_event_outside_the_frame_or_the_spectrum_is_refused(tmp_path: Path) -> None:
    file, _, events = begin(tmp_path / "a.nxs")
    with file:
        with pytest.raises(DataFileError, match="within 60 pixels"):
            events.append(0, np.array([60], np.uint32), np.array([5], np.uint16))
        with pytest.raises(DataFileError, match="64 channels"):
            events.append(0, np.array([5], np.uint32), np.array([64], np.uint16))


def test_a_record_is_finished_once(tmp_path: Path) -> None:
    file, _, _ = begin(tmp_path / "a.nxs")
    file.finish(status="aborted", ended=STARTED, results={})
    with pytest.raises(DataFileError, match="is closed already"):
        file.finish(status="complete", ended=STARTED, results={})


def test_nothing_new_can_be_made_after_start(tmp_path: Path) -> None:
    file, _, _ = begin(tmp_path / "a.nxs")
    with file, pytest.raises(DataFileError, match="Make everything before start"):
        file.image("late", title="late", frame=FRAME, requested=FRAME, passes=1, detector="DF", counts_per_electron=1.0)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"a\.nxs: cannot be made"):
        DataFile.create(tmp_path / "nowhere" / "a.nxs", about())


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 59), max_size=8), keep=st.integers(1, 60))
def test_however_the_pixels_are_cut_the_image_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], keep: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.nxs"
    values = np.arange(1, 61, dtype=np.uint16)
    edges = sorted({0, keep, *(cut for cut in cuts if cut < keep)})
    with DataFile.create(path, about()) as file:
        image = file.image(
            "df", title="df", frame=FRAME, requested=FRAME, passes=1, detector="DF", counts_per_electron=1.0
        )
        file.start()
        for first, last in pairwise(edges):
            image.write(0, first, values[first:last])
        file.pass_done(pass_record(0, pixels_done=keep))
        file.finish(status="complete", ended=STARTED, results={})
    with open_record(path) as record:
        assert np.array_equal(record.image("df").ravel(), np.where(np.arange(60) < keep, values, 0))
        assert record.lines_done("df")[0] == keep // 10
