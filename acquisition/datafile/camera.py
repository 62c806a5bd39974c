"""Where a camera's frames stand in the file, and as what: one frame one chunk, packed as the camera packs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from acquisition.datafile.fletcher import SIZE, fletcher32
from acquisition.datafile.nexus import image_axes, pass_axis
from acquisition.datafile.records import DataFileError
from acquisition.datafile.tags import PAYLOAD, Axis, field, group, plot, text_of
from drivers.ticket import Frame
from drivers.wire.packed import Codec, Dtype, Packed, nodata

# the filters in the order in which HDF5 applies them: the sum comes last, over what was packed
_FILTERS: dict[Codec, dict[str, Any]] = {
    "bslz4": PAYLOAD,
    "lz4": {**hdf5plugin.LZ4(), "fletcher32": True},
    "none": {"fletcher32": True},
}
_SINGLE, _STACKED = "image_4d", "stack_4d"
_FRAMES = "collection/frames"


@dataclass(frozen=True)
class Form:
    """How a camera is set to deliver.

    shape: (rows, columns) of a frame.  codec: "bslz4", "lz4" or "none".  pixel_angle: rad, from one pixel to the next.
    """

    channels: tuple[str, ...]
    shape: tuple[int, int]
    dtype: Dtype
    codec: Codec
    pixel_angle: float

    def __str__(self) -> str:
        rows, columns = self.shape
        return f"{', '.join(self.channels)} as {rows} x {columns} {self.dtype.name}, {self.codec}"


def add_stacks(
    event: h5py.Group, name: str, *, title: str, detector: str, frame: Frame, passes: int, form: Form
) -> dict[str, h5py.Dataset]:
    """Room for the frames of a scan, by channel: (scan rows, scan columns, rows, columns), after the passes if several.

    What is never written reads as NODATA.
    """
    settings = group(event[f"instrument/detector_{detector}"], "camera_settings", "NXcollection")
    field(settings, "pixel_angle", form.pixel_angle, "rad")
    field(settings, "codec", form.codec)
    field(settings, "nodata", nodata(form.dtype))
    down, right = image_axes(frame)
    axes = [
        Axis("axis_m", down.title, down.unit, down.values),
        Axis("axis_k", right.title, right.unit, right.values),
        Axis("axis_j", "scattering angle, y", "mrad", _angles(form.shape[0], form.pixel_angle)),
        Axis("axis_i", "scattering angle, x", "mrad", _angles(form.shape[1], form.pixel_angle)),
    ]
    if passes > 1:
        axes.insert(0, pass_axis(passes))
    stacks = {}
    for channel in form.channels:
        made = group(event, f"image_{name}_{channel}", "NXimage")
        field(group(made, "process", "NXprocess"), "detector_identifier", f"detector_{detector}")
        stacks[channel] = plot(
            made,
            _STACKED if passes > 1 else _SINGLE,
            title=f"{title}, {channel}" if len(form.channels) > 1 else title,
            signal="real",
            signal_title="detector counts",
            axes=axes,
            dtype=form.dtype.str,
            chunks=(*(1 for _ in axes[2:]), *form.shape),
            shows="image",
            storage={**_FILTERS[form.codec], "fillvalue": nodata(form.dtype)},
        )
        stacks[channel].attrs["channel"] = channel
    return stacks


def add_frame_table(event: h5py.Group, name: str, frame: Frame, passes: int, form: Form) -> h5py.Dataset:
    """One row a frame that is due: whether it came; when, s since its series began; for how long, s; and its sums."""
    row = [
        ("received", "u1"),
        ("start", "f8"),
        ("real", "f8"),
        *((_sum_of(channel), "u4") for channel in form.channels),
    ]
    place = group(event, _FRAMES, "NXcollection")
    field(place, "name", name)
    # on the disk at once: its place there must be fixed before SWMR starts
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    early.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)  # zeros, not what lay there
    table = place.create_dataset("table", shape=(passes * frame.count,), dtype=np.dtype(row), dcpl=early)
    table.attrs["units"] = "start: s, real: s"
    return table


def has_frames(event: h5py.Group) -> bool:
    """Whether an event is a camera's."""
    return _FRAMES in event


def name_of(event: h5py.Group) -> str:
    """What the camera's frames are called."""
    return text_of(event, f"{_FRAMES}/name")


def table_of(event: h5py.Group) -> h5py.Dataset:
    """The rows of a camera's frames, pass by pass, in scan order."""
    return event[_FRAMES]["table"]


def stacks_of(event: h5py.Group) -> dict[str, h5py.Dataset]:
    """A camera's stacks by channel, in the order of the form."""
    images = {channel: event[f"image_{name_of(event)}_{channel}"] for channel in _channels(table_of(event))}
    return {name: image[_STACKED if _STACKED in image else _SINGLE]["real"] for name, image in images.items()}


def is_stack(data: h5py.Dataset) -> bool:
    """Whether a dataset holds frames as they came."""
    return "channel" in data.attrs


class CameraFrames:
    """The frames of a camera in a record, each read when it is asked for."""

    def __init__(self, path: Path, event: h5py.Group) -> None:
        self._path, self._event = path, event
        self._stacks = stacks_of(event)
        self._scan: tuple[int, ...] = next(iter(self._stacks.values())).shape[:-2]

    @property
    def form(self) -> Form:
        """How the camera was set to deliver."""
        (settings,) = (
            item["camera_settings"] for item in self._event["instrument"].values() if "camera_settings" in item
        )
        first = next(iter(self._stacks.values()))
        codec, angle = text_of(settings, "codec"), float(settings["pixel_angle"][()])
        return Form(tuple(self._stacks), first.shape[-2:], first.dtype, cast(Codec, codec), angle)

    @property
    def nodata(self) -> int:
        """What a pixel reads that measured nothing, and every pixel of a frame that did not come."""
        return nodata(next(iter(self._stacks.values())).dtype)

    @property
    def received(self) -> NDArray[np.bool_]:
        """Which frames came, (scan rows, scan columns), after the passes if there are several."""
        return np.asarray(table_of(self._event)["received"], np.bool_).reshape(self._scan)

    @property
    def starts(self) -> NDArray[np.float64]:
        """When the exposure of each frame began, s since its series did; 0 of those that did not come."""
        return np.asarray(table_of(self._event)["start"]).reshape(self._scan)

    @property
    def missing(self) -> tuple[tuple[int, int], ...]:
        """First and last of each run of frames that were due and did not come; pass by pass, in scan order."""
        if "missing" not in self._event[_FRAMES]:
            return ()  # nobody has said yet which were due
        return tuple((int(first), int(last)) for first, last in self._event[_FRAMES]["missing"])

    def frame(self, row: int, column: int, channel: str | None = None, *, pass_index: int = 0) -> NDArray[Any]:
        """Counts (rows, columns) of one position, of the first channel unless told; NODATA is the largest of the type.

        Raises DataFileError for a frame that did not come.
        """
        stack, place = self._place(row, column, channel, pass_index)
        return np.asarray(stack[place])

    def rows(
        self, channel: str | None = None, *, pass_index: int = 0
    ) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
        """Scan row by scan row: counts (scan columns, rows, columns), and which frames came (scan columns,).

        As `frame` has them; never more than one scan row is in memory. What did not come is NODATA.
        """
        name = next(iter(self._stacks)) if channel is None else channel
        if name not in self._stacks or not 0 <= pass_index < (*self._scan[:-2], 1)[0]:
            raise self._no_such(name, f"pass {pass_index}")
        stack, came = self._stacks[name], self.received
        for row in range(self._scan[-2]):
            place = (pass_index, row)[3 - len(self._scan) :]
            yield np.asarray(stack[place]), came[place]

    def packed(self, row: int, column: int, channel: str | None = None, *, pass_index: int = 0) -> Packed:
        """The same as it came from the camera; raises DataFileError for a frame that did not come."""
        stack, place = self._place(row, column, channel, pass_index)
        data = stack.id.read_direct_chunk((*place, 0, 0))[1]
        return Packed(stack.shape[-2:], stack.dtype, self.form.codec, data[:-SIZE])

    def _place(
        self, row: int, column: int, channel: str | None, pass_index: int
    ) -> tuple[h5py.Dataset, tuple[int, ...]]:
        channel = next(iter(self._stacks)) if channel is None else channel
        place = (pass_index, row, column)[3 - len(self._scan) :]
        inside = all(0 <= index < size for index, size in zip(place, self._scan, strict=True))
        if channel not in self._stacks or not inside or not self.received[place]:
            raise self._no_such(channel, f"row {row}, column {column} of pass {pass_index}")
        return self._stacks[channel], place

    def _no_such(self, channel: str, where: str) -> DataFileError:
        return DataFileError(
            f"holds no frame of {channel} at {where}",
            where=self._path,
            way_out=f"`received` tells which frames came; channels are {', '.join(self._stacks)}.",
        )


def spoiled(stack: h5py.Dataset) -> tuple[int, int]:
    """(frames whose bytes are those that came, frames that are not); nothing is unpacked."""
    table = table_of(stack.parent.parent.parent)
    sums = table[_sum_of(str(stack.attrs["channel"]))]
    scan = stack.shape[:-2]
    sound = lost = 0
    for row in np.flatnonzero(table["received"]):
        place = (*(int(index) for index in np.unravel_index(row, scan)), 0, 0)
        try:
            kept = stack.id.read_direct_chunk(place)[1]
        except (OSError, RuntimeError):
            kept = b""
        total = int(sums[row])
        if kept[-SIZE:] == total.to_bytes(SIZE, "little") and fletcher32(kept[:-SIZE]) == total:
            sound += 1
        else:
            lost += 1
    return sound, lost


def list_missing(event: h5py.Group, visited: Mapping[int, int]) -> None:
    """File which frames never came: first and last row of each run of the camera's table, (n, 2).

    visited: pixels of each pass that the beam visited; of another pass the frames up to the last that came are due.
    """
    came = np.asarray(table_of(event)["received"], np.bool_)
    columns, rows = (int(pixels) for pixels in event["collection/commanded/pixels"])
    count = columns * rows
    missing = ~came
    for first in range(0, came.size, count):
        reached = np.flatnonzero(came[first : first + count])
        due = visited.get(first // count, int(reached[-1]) + 1 if reached.size else 0)
        missing[first + due : first + count] = False
    field(event[_FRAMES], "missing", runs(missing))


def runs(true: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First and last index of each run of true values, (n, 2)."""
    edges = np.flatnonzero(np.diff(true.astype(np.int8), prepend=0, append=0))
    return np.stack([edges[::2], edges[1::2] - 1], axis=1)


def _sum_of(channel: str) -> str:
    return f"sum_{channel}"


def _channels(table: h5py.Dataset) -> tuple[str, ...]:
    return tuple(name.removeprefix("sum_") for name in table.dtype.names if name.startswith("sum_"))


def _angles(pixels: int, step: float) -> NDArray[np.float64]:
    """Middles of the pixels, mrad from the middle of the detector."""
    return np.asarray((np.arange(pixels) - (pixels - 1) / 2.0) * step * 1e3)
