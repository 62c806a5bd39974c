"""What is written while the beam is on: image rows and X-ray events, data first, then the counters."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from acquisition.datafile.disk import guarded
from acquisition.datafile.nexus import EVENTS
from acquisition.datafile.records import DataFileError


class ImageWriter:
    """Rows of one image, or of one stack of passes, in the order the beam visits them."""

    def __init__(self, path: Path, data: h5py.Dataset, lines_done: h5py.Dataset) -> None:
        self._path, self._file = path, data.file
        self._data, self._lines_done = data, lines_done
        self._passes = lines_done.size
        self._rows, self._columns = data.shape[-2:]
        self._stacked = data.ndim == 3
        self._pass = -1
        self._lines = 0
        self._tail: NDArray[np.uint16] = np.empty(0, np.uint16)

    def write(self, pass_index: int, first_pixel: int, values: NDArray[np.uint16]) -> None:
        """Keep the next run of pixels (n,) of a pass; every row that is now whole is on the disk when this returns.

        first_pixel: row-major in scan order; pixels come in order and without gaps, passes too.
        Raises DataFileError for pixels out of order or a disk that does not take them.
        """
        if pass_index != self._pass:
            self._turn_to(pass_index)
        columns, count = self._columns, self._rows * self._columns
        due = self._lines * columns + self._tail.size
        if first_pixel != due or due + values.size > count:
            raise DataFileError(
                f"{values.size} pixels from {first_pixel} of pass {pass_index} came, due is {due} of {count}",
                where=self._path,
                way_out="Write each pixel of a frame once, in scan order.",
            )
        run = np.concatenate([self._tail, values.astype(np.uint16, casting="safe", copy=False)])
        whole = run.size // columns
        if whole:
            self._keep(run[: whole * columns].reshape(whole, columns), count=whole)
        self._tail = run[whole * columns :]

    def settle(self) -> None:
        """Write the row the pass broke off in, padded with zeros; the table of passes says how many pixels are real."""
        if self._tail.size:
            row = np.zeros((1, self._columns), np.uint16)
            row[0, : self._tail.size] = self._tail
            self._tail = self._tail[:0]
            self._keep(row, count=0)

    def _turn_to(self, pass_index: int) -> None:
        if not self._pass < pass_index < self._passes:
            raise DataFileError(
                f"pass {pass_index} of {self._passes} came after pass {self._pass}",
                where=self._path,
                way_out="Write the passes in order, as many as the image was made for.",
            )
        self.settle()
        self._pass, self._lines = pass_index, 0

    def _keep(self, rows: NDArray[np.uint16], count: int) -> None:
        lines = slice(self._lines, self._lines + len(rows))
        with guarded(self._file, self._path, "keep image rows"):
            self._data[(self._pass, lines) if self._stacked else lines] = rows
            self._data.flush()
            self._lines += count
            self._lines_done[self._pass] = self._lines
            self._lines_done.flush()


class EventWriter:
    """The X-ray events of all passes, as they came: which pixel, which channel."""

    def __init__(self, path: Path, events: h5py.Group, passes: int, pixels: int, channels: int) -> None:
        self._path, self._file = path, events.file
        self._passes = passes
        self._pixels, self._channels = pixels, channels
        self._pixel: h5py.Dataset = events["pixel"]
        self._channel: h5py.Dataset = events["channel"]
        self._frame_start: h5py.Dataset = events["frame_start"]
        self._pending: list[tuple[NDArray[np.uint32], NDArray[np.uint16]]] = []
        self._begun = 0
        self._seen = 0
        self._kept = 0

    def append(self, pass_index: int, pixels: NDArray[np.uint32], channels: NDArray[np.uint16]) -> None:
        """Keep events (n,) of a pass; full chunks are on the disk when this returns, the rest when the pass ends.

        Raises DataFileError for a pixel or channel that does not exist, passes out of order, or a full disk.
        """
        self.begin(pass_index)
        if pixels.shape != channels.shape or not self._within(pixels, channels):
            raise DataFileError(
                f"{pixels.size} events do not all lie within {self._pixels} pixels and {self._channels} channels",
                where=self._path,
                way_out="Drop what lies outside the frame or the spectrum before it is filed.",
            )
        self._pending.append((pixels.astype(np.uint32), channels.astype(np.uint16)))
        self._seen += pixels.size
        # only full chunks: a compressed chunk that is rewritten under SWMR leaves its old copy in the file
        if self._seen - self._kept >= EVENTS:
            self._keep(self._seen - self._seen % EVENTS)

    def _within(self, pixels: NDArray[np.uint32], channels: NDArray[np.uint16]) -> bool:
        return pixels.size == 0 or bool(pixels.max() < self._pixels and channels.max() < self._channels)

    def begin(self, pass_index: int) -> None:
        """Note where the events of a pass start."""
        if not self._begun - 1 <= pass_index < self._passes:
            raise DataFileError(
                f"events of pass {pass_index} of {self._passes} came after pass {self._begun - 1}",
                where=self._path,
                way_out="Append the passes in order, as many as the events were made for.",
            )
        if pass_index >= self._begun:
            with guarded(self._file, self._path, "begin a pass"):
                self._frame_start.resize((pass_index + 1,))
                self._frame_start[self._begun :] = self._seen
                self._frame_start.flush()
            self._begun = pass_index + 1

    def settle(self) -> None:
        """Write what is pending."""
        if self._seen > self._kept:
            self._keep(self._seen)

    def _keep(self, until: int) -> None:
        pixels = np.concatenate([pair[0] for pair in self._pending])
        channels = np.concatenate([pair[1] for pair in self._pending])
        new = until - self._kept
        with guarded(self._file, self._path, "keep X-ray events"):
            for data, values in ((self._pixel, pixels), (self._channel, channels)):
                data.resize((until,))
                data[self._kept :] = values[:new]
                data.flush()
        self._pending = [(pixels[new:], channels[new:])]
        self._kept = until
