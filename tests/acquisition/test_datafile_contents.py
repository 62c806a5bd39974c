"""What a finished record says."""

from __future__ import annotations

import os
import stat
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from acquisition.datafile import Column, DataFile, DataFileError, describe, open_record
from tests.acquisition.known_map import (
    CHANNELS,
    FEATURE,
    FRAME,
    PASSES,
    REQUESTED,
    STARTED,
    about,
    begin,
    events_of,
    image_of,
    pass_record,
    take_pass,
    write_map,
)

MAP_SIGNAL = "entry/measurement/event2/spectrum_eds/spectrum_2d/intensity"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_map(tmp_path_factory.mktemp("data") / "0004-eds_map.nxs")


def test_everything_said_of_the_run_comes_back(finished: Path) -> None:
    with open_record(finished) as record:
        assert record.about == about()


def test_what_is_not_known_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.nxs"
    with DataFile.create(path, about(sample_thickness=None, stage_temperature=None)) as file:
        file.finish(status="complete", ended=STARTED, results={})
    with h5py.File(path) as raw:
        assert "thickness" not in raw["entry/sampleID"]
    with open_record(path) as record:
        assert record.about == about(sample_thickness=None, stage_temperature=None)


def test_a_reading_that_is_no_number_is_filed_as_null(tmp_path: Path) -> None:
    with DataFile.create(tmp_path / "a.nxs", about(state={"cryostat": {"stage": float("nan")}})) as file:
        file.finish(status="complete", ended=STARTED, results={"width_nm": float("inf")})
    with open_record(tmp_path / "a.nxs") as record:
        assert record.about.state == {"cryostat": {"stage": None}}
        assert record.results == {"width_nm": None}


def test_a_start_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        about(started=datetime(2026, 1, 1))


def test_every_pass_comes_back_as_planned_charged_and_measured(finished: Path) -> None:
    with open_record(finished) as record:
        assert record.passes() == [pass_record(index) for index in range(PASSES)]


def test_requested_and_commanded_frames_are_two_things(finished: Path) -> None:
    with open_record(finished) as record:
        assert record.frame("dark_field") == record.frame() == FRAME
        assert record.requested("dark_field") == record.requested() == REQUESTED


def test_the_stack_holds_every_pass(finished: Path) -> None:
    with open_record(finished) as record:
        assert np.array_equal(record.image("dark_field"), [image_of(index) for index in range(PASSES)])
        assert record.counts_per_electron("dark_field") == 12.5
        assert list(record.lines_done("dark_field")) == [6] * PASSES


def test_the_sum_stands_still_although_the_sample_drifted(finished: Path) -> None:
    with open_record(finished) as record:
        total = record.image("dark_field_sum")
    assert total[FEATURE] == 1000 * PASSES
    assert (total == 1000 * PASSES).sum() == 1
    assert total[2, 2] == 10 * PASSES


def test_events_come_back_as_they_came(finished: Path) -> None:
    with open_record(finished) as record:
        passes, pixels, channels = record.events()
    for index in range(PASSES):
        expected = events_of(index)
        assert np.array_equal(pixels[passes == index], expected[0])
        assert np.array_equal(channels[passes == index], expected[1])


def test_the_cube_is_made_of_the_events_and_follows_the_drift(finished: Path) -> None:
    with open_record(finished) as record:
        cube = record.cube()
    assert cube.shape == (6, 10, CHANNELS)
    assert cube.dtype == np.uint16
    assert cube[(*FEATURE, 20)] == 7 * PASSES
    assert cube[..., 20].sum() == 7 * PASSES
    assert cube[2, 2, 5] == PASSES
    assert cube[2, 9, 5] == PASSES - 2  # two passes had drifted by a column and did not see the last one


def test_live_time_belongs_to_a_pixel_and_knows_who_was_seen_less(finished: Path) -> None:
    with open_record(finished) as record:
        live = record.live_time()
    assert live[2, 2] == pytest.approx(PASSES * 0.108 / 60)
    assert live[2, 9] == pytest.approx((PASSES - 2) * 0.108 / 60)


def test_counts_beyond_sixteen_bits_make_a_wider_cube(tmp_path: Path) -> None:
    file, image, events = begin(tmp_path / "a.nxs")
    image.write(0, 0, image_of(0).ravel())
    events.append(0, np.full(70_000, 33, np.uint32), np.full(70_000, 20, np.uint16))
    file.pass_done(pass_record(0))
    file.finish(status="complete", ended=STARTED, results={})
    with open_record(tmp_path / "a.nxs") as record:
        assert record.cube()[3, 3, 20] == 70_000


def test_a_pass_with_invalid_spectra_is_in_the_events_and_not_in_the_cube(tmp_path: Path) -> None:
    file, image, events = begin(tmp_path / "a.nxs")
    take_pass(file, image, events, 0)
    take_pass(file, image, events, 1, live_time=0.0)
    file.finish(status="aborted", ended=STARTED, results={})
    with open_record(tmp_path / "a.nxs") as record:
        assert record.status == "aborted"
        assert record.events()[0].size == 2 * 67
        assert record.cube().sum() == 67
        assert record.image("dark_field_sum")[FEATURE] == 2000


def test_pixels_that_a_broken_pass_never_visited_have_no_live_time(tmp_path: Path) -> None:
    file, image, events = begin(tmp_path / "a.nxs")
    image.write(0, 0, image_of(0).ravel()[:27])
    events.append(0, np.arange(27, dtype=np.uint32), np.full(27, 5, np.uint16))
    file.pass_done(pass_record(0, pixels_done=27, live_time=0.027))
    file.finish(status="aborted", ended=STARTED, results={})
    with open_record(tmp_path / "a.nxs") as record:
        assert record.live_time()[2, 6] == pytest.approx(1e-3)
        assert record.live_time()[2, 7] == 0.0
        assert record.image("dark_field")[0, 2, 6] == 10
        assert list(record.lines_done("dark_field")) == [2, 0, 0, 0]
        assert record.image("dark_field_sum")[2, 7] == 0


def test_energies_are_the_calibrated_channels(finished: Path) -> None:
    with open_record(finished) as record:
        assert record.energies()[:3] == pytest.approx([-20.0, -10.0, 0.0])
        assert record.elements() == ("P", "N", "O")


def test_a_line_and_a_table_come_back_with_units_and_errors(finished: Path) -> None:
    with open_record(finished) as record:
        line, table = record.spectrum_line("across"), record.table("profile")
    assert line.positions == pytest.approx(np.arange(5) * 4e-9)
    assert line.counts[2, 3] == 2 * CHANNELS + 3
    assert (line.live_time, line.energies[0]) == (pytest.approx(0.4), -20.0)
    assert list(table) == ["position", "N", "P"]
    assert table["position"].unit == "nm"
    assert table["N"].errors is not None
    assert table["N"].errors[4] == 4.0


def test_the_dose_is_filed_against_time_in_electrons_per_square_angstrom(finished: Path) -> None:
    with open_record(finished) as record:
        dose = record.table("dose")
    assert dose["cumulative_fluence"].values[-1] == pytest.approx(11400.0)  # (0.1 + 4 x 0.26) x 1e24 m^-2
    assert dose["cumulative_fluence"].unit == "1/angstrom^2"


def test_temperatures_and_results_come_back(finished: Path) -> None:
    with open_record(finished) as record:
        times, kelvins = record.temperatures()
        assert list(kelvins) == [98.0, 99.0, 100.0, 101.0]
        assert list(times) == [0.0, 1.5, 3.0, 4.5]
        assert record.results == {"counts": {"N": 30}, "width_nm": None}
        assert record.ended == STARTED + timedelta(seconds=9)


def test_the_payload_is_bitshuffled_and_checked_chunk_by_chunk(finished: Path) -> None:
    with h5py.File(finished) as raw:
        for name in (MAP_SIGNAL, "entry/measurement/event1/image_dark_field/stack_2d/real"):
            assert raw[name].fletcher32
            assert str(hdf5plugin.BSHUF_ID) in raw[name]._filters


def test_older_readers_can_open_it(finished: Path) -> None:
    """Superblock 3 and version 1.10 objects: what HDF5 1.10 and h5wasm read (docs/reference/file.md)."""
    assert finished.read_bytes()[8] == 3


def test_viewers_are_led_to_a_plot(finished: Path) -> None:
    with h5py.File(finished) as raw:
        here = raw
        while "default" in here.attrs:
            here = here[here.attrs["default"]]
        assert here.attrs["NX_class"] == "NXdata"
        assert here[here.attrs["signal"]].shape == (6, 10)


def test_a_sound_file_verifies_and_a_changed_number_is_found(finished: Path, tmp_path: Path) -> None:
    with open_record(finished) as record:
        assert record.verify() == ()
    changed = tmp_path / "changed.nxs"
    changed.write_bytes(finished.read_bytes())
    with h5py.File(changed, "r+") as raw:
        raw[MAP_SIGNAL][0, 0, 0] = 999
    with open_record(changed) as record:
        assert record.verify() == (f"/{MAP_SIGNAL}",)


def test_a_finished_record_is_read_only(finished: Path) -> None:
    assert not stat.S_IMODE(finished.stat().st_mode) & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    assert os.listdir(finished.parent) == [finished.name]  # noqa: PTH208  no part file is left


def test_a_record_is_never_overwritten(finished: Path) -> None:
    with pytest.raises(DataFileError, match=r"0004-eds_map.nxs: exists already\. A record is never overwritten"):
        DataFile.create(finished, about())


def test_a_record_without_any_beam_holds_its_table(tmp_path: Path) -> None:
    with DataFile.create(tmp_path / "line.nxs", about(step="eds_line")) as file:
        file.table("profile", {"position": Column(np.arange(3.0), "nm"), "N": Column(np.ones(3), "")})
        file.finish(status="complete", ended=STARTED, results={})
    with open_record(tmp_path / "line.nxs") as record:
        assert record.tables == ("profile",)
        assert record.images == ()
        assert not record.has_events


def test_what_is_not_there_is_named_with_what_is(finished: Path) -> None:
    with open_record(finished) as record, pytest.raises(DataFileError, match="It holds: dark_field, dark_field_sum"):
        record.image("bright_field")


def test_the_summary_says_what_was_done_and_at_what_dose(finished: Path) -> None:
    said = describe(finished)
    assert said["status"] == "complete"
    assert said["dose_after_e_per_A2"] == pytest.approx(11400.0)
    assert said["images"]["dark_field"]["shape"] == [4, 6, 10]
    assert said["eds"]["events"] == 67 * PASSES
    assert said["damaged"] == []
