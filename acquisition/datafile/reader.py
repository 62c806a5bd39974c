"""Read a record: finished, still being written, or left behind by a killed writer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from acquisition.datafile.amend import Changed, changes
from acquisition.datafile.camera import CameraFrames, has_frames, name_of, spoiled, stacks_of
from acquisition.datafile.disk import waiting
from acquisition.datafile.finish import digest, events_by_pass, payload
from acquisition.datafile.floods import FLOOD, ParallelBeam, read_beam, read_flood
from acquisition.datafile.nexus import read_channels, read_elements, read_frame, read_work
from acquisition.datafile.passes import read_rows
from acquisition.datafile.places import read_about
from acquisition.datafile.records import About, Column, DataFileError, PassRecord
from acquisition.datafile.tags import text_of
from drivers.ticket import Exposed, Flood, Frame


@contextmanager
def open_record(path: Path) -> Iterator[Recorded]:
    """Open a record for reading, whatever state it is in; raises DataFileError.

    A file under its writer shows what was flushed when it was opened; so does the file of a killed one.  A finished
    record that waits for somebody to let go of the live file is read instead of that, and a record with changes that
    wait to be put into it is read with them.
    """
    with ExitStack() as opened:
        try:
            file = opened.enter_context(_file(path, opened))
        except OSError as failure:
            what = f"cannot be opened: {failure}" if path.exists() else "does not exist"
            raise DataFileError(
                what, where=path, way_out="A writer that has not called start shows nothing yet."
            ) from failure
        try:
            yield Recorded(path, file)
        except (OSError, RuntimeError) as failure:
            raise DataFileError(
                f"cannot be read: {str(failure).partition(chr(10))[0]}",
                where=path,
                way_out="`rescue` says what is left.",
            ) from failure


def _file(path: Path, opened: ExitStack) -> h5py.File:
    if waiting(path).exists():
        return h5py.File(waiting(path), "r", swmr=True)
    if changes(path).exists():
        return h5py.File(opened.enter_context(Changed(path)), "r")
    return h5py.File(path, "r", swmr=True)


@dataclass(frozen=True)
class Spectra:
    """Spectra along a line: positions (n,), m; counts (n, channels); energies (channels,), eV; live time of each, s."""

    positions: NDArray[np.float64]
    counts: NDArray[np.uint32]
    energies: NDArray[np.float64]
    live_time: float


class Recorded:
    """What a record holds, in the program's units (SI, eV, rad)."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._file = file
        self._entry = file["entry"]
        self._images: dict[str, h5py.Group] = {}
        self._cameras: dict[str, h5py.Group] = {}
        self._events: h5py.Group | None = None
        self._spectra: dict[str, h5py.Group] = {}
        for number in range(1, 1 + sum(name.startswith("event") for name in self._entry["measurement"])):
            event = self._entry["measurement"][f"event{number}"]
            if has_frames(event):
                self._cameras[name_of(event)] = event
                continue
            self._images |= {name.removeprefix("image_"): event for name in event if name.startswith("image_")}
            self._spectra |= {name.removeprefix("spectrum_"): event for name in event if name.startswith("spectrum_")}
            self._events = event if "collection/events" in event else self._events

    @property
    def status(self) -> str:
        """in_progress (also of a killed writer's file), complete, aborted or recovered."""
        return str(self._file.attrs["acquisition_status"])

    @property
    def about(self) -> About:
        """What the file says of its run."""
        return read_about(self._file)

    @property
    def ended(self) -> datetime | None:
        """When the step ended; None where nobody lived to say so."""
        return datetime.fromisoformat(text_of(self._entry, "end_time")) if "end_time" in self._entry else None

    @property
    def results(self) -> dict[str, Any]:
        """The step's results; empty until it is finished."""
        found: dict[str, Any] = (
            json.loads(text_of(self._entry, "note_results/data")) if "note_results" in self._entry else {}
        )
        return found

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the images; NAME_sum is the drift-corrected sum of the stack NAME."""
        return tuple(self._images)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras whose frames were recorded."""
        return tuple(self._cameras)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables; `dose` is the dose against time."""
        return tuple(name for name, item in self._entry.items() if item.attrs.get("NX_class") == "NXdata")

    @property
    def has_events(self) -> bool:
        """Whether X-ray events were recorded."""
        return self._events is not None

    def image(self, name: str) -> NDArray[Any]:
        """Detector counts (rows, columns), or (passes, rows, columns) of a stack; rows not written yet are zero."""
        return np.asarray(self._image(name)["real"])

    def camera(self, name: str) -> CameraFrames:
        """The frames of a camera, each read when it is asked for."""
        return CameraFrames(self.path, self._found(self._cameras, name))

    def image_title(self, name: str) -> str:
        """What people call the image."""
        return text_of(self._image(name), "title")

    def counts_per_electron(self, name: str) -> float:
        """The calibration of the image's detector."""
        return float(self._image(name)["real"].attrs["counts_per_electron"])

    def lines_done(self, name: str) -> NDArray[np.int64]:
        """Whole rows on the disk, of each pass (passes,); use this, never non-zero pixels, to know what is valid."""
        return np.asarray(self._found(self._images, name)["collection/lines_done"])

    def frame(self, name: str = "eds") -> Frame:
        """The commanded frame of an image, or of the X-ray events (`eds`) or spectra."""
        return read_frame(self._found(self._frames(), name), "commanded")

    def work(self, name: str) -> Exposed:
        """What was exposed for an image: the commanded frame, or the flood."""
        return read_work(self._found(self._images, name))

    def flood(self, name: str = "lattice") -> Flood:
        """The flood of an image of the microscope's camera; its pitch is that of the pixels."""
        return read_flood(self._of_flood(name))

    def parallel_beam(self, name: str = "lattice") -> ParallelBeam:
        """What was believed of the beam and the lens of an image of the microscope's camera."""
        return read_beam(self._of_flood(name))

    def requested(self, name: str = "eds") -> Frame:
        """The frame that was asked for, before the scan generator's rounding."""
        return read_frame(self._found(self._frames(), name), "requested")

    def events(self) -> tuple[NDArray[np.uint16], NDArray[np.uint32], NDArray[np.uint16]]:
        """Every X-ray event as it came: (pass, pixel row-major, channel), each (n,)."""
        parts = list(events_by_pass(self._eds()["collection/events"]))
        if not parts:
            return np.empty(0, np.uint16), np.empty(0, np.uint32), np.empty(0, np.uint16)
        passes = np.concatenate([np.full(pixel.size, index, np.uint16) for index, pixel, _ in parts])
        pixels, channels = (np.concatenate([part[place] for part in parts]) for place in (1, 2))
        return passes, pixels.astype(np.uint32), channels.astype(np.uint16)

    def elements(self) -> tuple[str, ...]:
        """The elements that were looked for."""
        return read_elements(self._eds())

    def energies(self) -> NDArray[np.float64]:
        """The middle of each EDS channel (channels,), eV."""
        return read_channels(self._eds()).energies

    def cube(self) -> NDArray[Any]:
        """X-ray counts (rows, columns, channels) of the valid passes, drift-corrected by whole pixels."""
        return np.asarray(self._spectrum("eds", "spectrum_2d")["intensity"])

    def live_time(self) -> NDArray[np.float64]:
        """Live time behind each pixel of the cube (rows, columns), s."""
        event = self._found(self._spectra, "eds")
        return np.asarray(event["collection/live_time_per_pixel"], np.float64)

    def spectrum_line(self, name: str) -> Spectra:
        """Spectra that were filed along a line."""
        data, event = self._spectrum(name, "spectrum_1d"), self._spectra[name]
        live_time = float(event["instrument/detector_eds/eds_settings/live_time"][()]) / data["axis_i"].size
        positions = np.asarray(data["axis_i"], np.float64) * 1e-9
        return Spectra(positions, np.asarray(data["intensity"]), read_channels(event).energies, live_time)

    def table(self, name: str) -> dict[str, Column]:
        """A table by its columns, the axis first, in the units it was filed in."""
        if name not in self.tables:
            raise self._missing(name, self.tables)
        data = self._entry[name]
        columns = [*data.attrs["axes"], data.attrs["signal"], *data.attrs.get("auxiliary_signals", ())]
        return {
            column: Column(
                np.asarray(data[column]),
                str(data[column].attrs.get("units", "")),
                np.asarray(data[f"{column}_errors"]) if f"{column}_errors" in data else None,
            )
            for column in columns
        }

    def passes(self) -> list[PassRecord]:
        """Every exposure of the file, in the order it was made."""
        return read_rows(self._entry["passes/table"], self.about.started)

    def temperatures(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(s since the step started, stage temperature K), each (n,)."""
        log = self._entry["measurement/instrument/stage/temperature_sensor/value_log"]
        kept = min(log["time"].size, log["value"].size)
        return np.asarray(log["time"][:kept]), np.asarray(log["value"][:kept])

    def verify(self) -> tuple[str, ...]:
        """Paths of the arrays whose values are no longer what was filed; empty for a sound, finished record."""
        filed = self._entry["checksums"].attrs if "checksums" in self._entry else {}
        arrays = [
            data.name
            for data in payload(self._file)
            if filed.get(data.name[1:].replace("/", "|")) != f"sha256:{digest(data)}"
        ]
        stacks = [stack for event in self._cameras.values() for stack in stacks_of(event).values()]
        return (*arrays, *(stack.name for stack in stacks if spoiled(stack)[1]))

    def _frames(self) -> dict[str, h5py.Group]:
        events = {} if self._events is None else {"eds": self._events}
        return {**self._spectra, **events, **self._images, **self._cameras}

    def _of_flood(self, name: str) -> h5py.Group:
        floods = {name: event for name, event in self._images.items() if FLOOD in event}
        return self._found(floods, name)

    def _image(self, name: str) -> h5py.Group:
        made = self._found(self._images, name)[f"image_{name}"]
        return made["image_2d"] if "image_2d" in made else made["stack_2d"]

    def _spectrum(self, name: str, kind: str) -> h5py.Group:
        return self._found(self._spectra, name)[f"spectrum_{name}/{kind}"]

    def _eds(self) -> h5py.Group:
        if self._events is None:
            raise self._missing("eds", ())
        return self._events

    def _found(self, among: dict[str, h5py.Group], name: str) -> h5py.Group:
        if name not in among:
            raise self._missing(name, tuple(among))
        return among[name]

    def _missing(self, name: str, there: tuple[str, ...]) -> DataFileError:
        return DataFileError(
            f"holds no {name!r}", where=self.path, way_out=f"It holds: {', '.join(there) or 'nothing of the kind'}."
        )
