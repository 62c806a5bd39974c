"""The record of one step while it is measured: everything is made first, then rows, events and passes are added."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from acquisition.datafile.camera import Form, add_frame_table, add_stacks
from acquisition.datafile.disk import cut_off_room, guarded, read_only, revised, waiting
from acquisition.datafile.finish import Derived, complete
from acquisition.datafile.floods import ParallelBeam, add_flood_event
from acquisition.datafile.frames import FrameWriter
from acquisition.datafile.hyperspy import overlay, spectrum_metadata
from acquisition.datafile.nexus import (
    EVENTS,
    Channels,
    add_event,
    add_image,
    add_spectra,
    add_table,
    add_times,
    describe_eds,
)
from acquisition.datafile.passes import ID_BYTES, add_row, make_table
from acquisition.datafile.places import write_about
from acquisition.datafile.records import About, Column, DataFileError, PassRecord
from acquisition.datafile.streams import EventWriter, ImageWriter
from acquisition.datafile.tags import LIBVER, PAYLOAD, Axis, field, group
from drivers.ticket import Flood, Frame


class DataFile:
    """One NeXus file, under its final name from the start; a context manager, which leaves it closed, finished or not.

    Order: create, image/events/frames, start, then write/append, pass_done, temperature, and at last finish.
    """

    def __init__(self, path: Path, about: About, file: h5py.File) -> None:
        self.path = path
        self.about = about
        self._file = file
        self._images: dict[str, ImageWriter] = {}
        self._frames: dict[str, FrameWriter] = {}
        self._events: EventWriter | None = None
        self._derived: list[Derived] = []
        self._passes: h5py.Dataset = file["entry/passes/table"]
        log = file["entry/measurement/instrument/stage/temperature_sensor/value_log"]
        self._temperatures: tuple[h5py.Dataset, h5py.Dataset] = log["time"], log["value"]

    @classmethod
    def create(cls, path: Path, about: About) -> DataFile:
        """Begin a record; raises DataFileError when the file exists already or cannot be made."""
        try:
            file = h5py.File(path, "x", libver=LIBVER)
        except OSError as failure:
            what = "exists already" if path.exists() else f"cannot be made: {failure}"
            raise DataFileError(
                what, where=path, way_out="A record is never overwritten: choose another name."
            ) from failure
        with guarded(file, path, "begin the record"):
            file.attrs["file_name"] = path.name
            write_about(file, about)
            make_table(file["entry/passes"])
            log = group(file, "entry/measurement/instrument/stage/temperature_sensor/value_log", "NXlog")
            for name, unit in (("time", "s"), ("value", "K")):
                log.create_dataset(name, shape=(0,), maxshape=(None,), chunks=(256,), dtype="f8").attrs["units"] = unit
            log["time"].attrs["start"] = file["entry/start_time"][()]
            return cls(path, about, file)

    def image(
        self,
        name: str,
        *,
        title: str,
        frame: Frame,
        requested: Frame,
        passes: int,
        detector: str,
        counts_per_electron: float,
    ) -> ImageWriter:
        """Make room for an image u2 (rows, columns), or for passes > 1 a stack (passes, rows, columns).

        frame: as commanded, after the scan generator's rounding.  counts_per_electron: the detector's calibration.
        """
        self._still_open_to("image", name)
        with guarded(self._file, self.path, f"make room for {name}"):
            event = add_event(self._file, self.about, detector, frame, requested)
            data = add_image(event, name, title=title, detector=detector, frame=frame, passes=passes, dtype="u2")
            data.attrs["counts_per_electron"] = counts_per_electron
            self._images[name] = self._writer(event, data, passes)
        return self._images[name]

    def lattice(
        self,
        name: str,
        *,
        title: str,
        flood: Flood,
        frames: int,
        camera: str,
        counts_per_electron: float,
        beam: ParallelBeam,
    ) -> ImageWriter:
        """Make room for an image u2 (rows, columns) of the microscope's camera, or for a stack (frames, rows, columns).

        flood: of each frame, one a pass.  beam: what is believed of the light it was taken with.
        """
        self._still_open_to("image", name)
        with guarded(self._file, self.path, f"make room for {name}"):
            event = add_flood_event(self._file, self.about, camera, flood, beam)
            data = add_image(event, name, title=title, detector=camera, frame=flood, passes=frames, dtype="u2")
            data.attrs["counts_per_electron"] = counts_per_electron
            self._images[name] = self._writer(event, data, frames)
        return self._images[name]

    def events(
        self,
        *,
        frame: Frame,
        requested: Frame,
        passes: int,
        channels: int,
        ev_per_channel: float,
        offset_ev: float,
        elements: tuple[str, ...],
    ) -> EventWriter:
        """Make room for the X-ray events of a map; the spectra per pixel are made of them by finish."""
        self._still_open_to("events", "eds")
        with guarded(self._file, self.path, "make room for events"):
            event = add_event(self._file, self.about, "eds", frame, requested)
            axis = Channels(channels, ev_per_channel, offset_ev)
            describe_eds(event, self.about, axis, elements)
            room = group(event, "collection/events", "NXcollection")
            for name, dtype in (("pixel", "u4"), ("channel", "u2")):
                room.create_dataset(name, shape=(0,), maxshape=(None,), chunks=(EVENTS,), dtype=dtype, **PAYLOAD)
            room.create_dataset("frame_start", shape=(0,), maxshape=(None,), chunks=(1024,), dtype="u8")
            self._events = EventWriter(self.path, room, passes, frame.count, channels)
        return self._events

    def frames(
        self,
        name: str,
        *,
        title: str,
        frame: Frame,
        requested: Frame,
        passes: int,
        form: Form,
        detector: str = "camera",
    ) -> FrameWriter:
        """Make room for a camera's frames, one a pixel of the scan: (rows, columns) times those of a frame.

        form: how the camera is set to deliver; a frame in another is refused.  For passes > 1 they come first.
        """
        self._still_open_to("frames", name)
        with guarded(self._file, self.path, f"make room for {name}"):
            event = add_event(self._file, self.about, detector, frame, requested)
            stacks = add_stacks(event, name, title=title, detector=detector, frame=frame, passes=passes, form=form)
            table = add_frame_table(event, name, frame, passes, form)
            self._frames[name] = FrameWriter(self.path, stacks, table, frame, form)
        return self._frames[name]

    def start(self) -> None:
        """Everything exists: from here on others may read along, and a crash costs at most the row under way."""
        with guarded(self._file, self.path, "start live writing"):
            self._file.flush()
            self._file.swmr_mode = True

    def pass_done(self, record: PassRecord) -> None:
        """Settle what the pass measured, then add it to the table of passes."""
        if len(record.exposure_id.encode()) > ID_BYTES:
            raise DataFileError(
                f"exposure_id {record.exposure_id!r} is longer than {ID_BYTES} bytes",
                where=self.path,
                way_out="Shorten it.",
            )
        if self._events is not None and record.index >= 0:
            self._events.begin(record.index)
        self._settle()
        with guarded(self._file, self.path, "keep a pass"):
            add_row(self._passes, record, self.about.started)

    def temperature(self, time: float, kelvin: float) -> None:
        """Add a stage temperature, K, at a time in s since the step started."""
        with guarded(self._file, self.path, "keep a temperature"):
            for data, value in zip(self._temperatures, (time, kelvin), strict=True):
                data.resize((data.size + 1,))
                data[-1] = value
                data.flush()

    def spectrum_line(
        self,
        name: str,
        *,
        title: str,
        positions: NDArray[np.float64],
        spectra: NDArray[np.uint32],
        ev_per_channel: float,
        offset_ev: float,
        elements: tuple[str, ...],
        live_time: float,
        real_time: float,
        frame: Frame,
    ) -> None:
        """File spectra (n, channels) integrated along a line, at evenly spaced positions (n,), m, by finish.

        live_time, real_time: s, of each spectrum.  frame: where they were integrated from.
        """
        channels = Channels(spectra.shape[1], ev_per_channel, offset_ev)

        def file_it(file: h5py.File) -> None:
            event = add_event(file, self.about, "eds", frame, frame)
            describe_eds(event, self.about, channels, elements)
            add_times(event, live_time * len(spectra), real_time * len(spectra))
            axes = (Axis("axis_i", "position", "nm", positions * 1e9), channels.axis)
            data = add_spectra(event, name, title=title, axes=axes, dtype="u4", chunks=spectra.shape)
            data[...] = spectra
            overlay(file, data.parent, spectrum_metadata(self.about, elements, live_time, real_time, frame.dwell, 1))

        self._derived.append(file_it)

    def table(self, name: str, columns: Mapping[str, Column], *, title: str = "") -> None:
        """File a table by finish: the first column is the axis, the second the signal, others are drawn beside it."""
        kept = dict(columns)

        def file_it(file: h5py.File) -> None:
            add_table(file["entry"], name, title or name, kept)

        self._derived.append(file_it)

    def finish(self, *, status: Literal["complete", "aborted"], ended: datetime, results: Mapping[str, Any]) -> None:
        """Close, add what follows from the measurement (cube, sums, overlay, dose, checksums), make it read-only.

        All of it or nothing: a crash or a full disk loses nothing.  When somebody has the file open who does not let go
        of it (on Windows), the finished one waits beside it for `rescue`.
        Raises DataFileError.
        """
        if not self._file:
            raise DataFileError("is closed already", where=self.path, way_out="Let `rescue` finish the file.")
        self._settle()
        self.close()
        with revised(self.path, doing="finish the record", meanwhile=waiting(self.path)) as file:
            complete(file, status=status, ended=ended, results=dict(results), derived=self._derived)
        if not waiting(self.path).exists():
            read_only(self.path)

    def close(self) -> None:
        """Close the file as it is; rescue can finish it later."""
        if self._file:
            with guarded(self._file, self.path, "close the record"):
                self._file.close()
                if self._frames:
                    cut_off_room(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _writer(self, event: h5py.Group, data: h5py.Dataset, passes: int) -> ImageWriter:
        # written, not only made: its place on the disk must be fixed before SWMR starts
        return ImageWriter(self.path, data, field(event, "collection/lines_done", np.zeros(passes, np.int64)))

    def _settle(self) -> None:
        for image in self._images.values():
            image.settle()
        for frames in self._frames.values():
            frames.settle()
        if self._events is not None:
            self._events.settle()

    def _still_open_to(self, kind: str, name: str) -> None:
        if not self._file or self._file.swmr_mode:
            raise DataFileError(
                f"{kind} {name!r} came after start or close", where=self.path, way_out="Make everything before start."
            )
        if name in {**self._images, **self._frames} or (name == "eds" and self._events is not None):
            raise DataFileError(f"{kind} {name!r} is there already", where=self.path, way_out="Give it another name.")
