"""A camera's frames on their way to the disk: as the compressed bytes that came, each with its sum behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from acquisition.datafile.camera import Form, runs
from acquisition.datafile.disk import Room, guarded
from acquisition.datafile.fletcher import SIZE, fletcher32
from acquisition.datafile.records import DataFileError
from drivers.errors import WireError
from drivers.ticket import Frame
from drivers.wire.packed import HEADER, Packed, with_header
from drivers.wire.simplon_frames import Ratio

_Store = tuple[str, Callable[[tuple[int, ...], bytes], None]]


class CameraImage(Protocol):
    """One exposure of a camera, as its stream brings it; times count from the start of its series."""

    @property
    def image(self) -> int:
        """Which of the series, from 0."""

    @property
    def start(self) -> Ratio:
        """When its exposure began."""

    @property
    def real(self) -> Ratio:
        """How long it was exposed."""

    @property
    def channels(self) -> Mapping[str, Packed]:
        """The frame of each channel."""


class FrameWriter:
    """The frames of one camera over the passes of a scan; image n of a pass belongs to its n-th pixel.

    repeated: images that came again and were not kept.  What never came stays NODATA in the file and is listed there.
    """

    def __init__(
        self, path: Path, stacks: Mapping[str, h5py.Dataset], table: h5py.Dataset, frame: Frame, form: Form
    ) -> None:
        self.repeated = 0
        self._path, self._file = path, table.file
        self._stacks, self._table = dict(stacks), table
        self._stores: list[_Store] = [(name, data.id.write_direct_chunk) for name, data in stacks.items()]
        self._form = form
        self._columns, self._count = frame.pixels[0], frame.count
        self._passes = table.size // frame.count
        self._came = np.zeros(table.size, np.bool_)  # a byte a position, made at once
        self._usual = b""  # the last header that was found true
        self._room = Room(table.file)
        self._pending: list[tuple[Any, ...]] = []

    @property
    def received(self) -> int:
        """How many images came so far."""
        return int(self._came.sum())

    def missing(self, pass_index: int, due: int | None = None) -> tuple[tuple[int, int], ...]:
        """First and last number of each run of images of a pass that did not come, of the first `due` or of all."""
        first = pass_index * self._count
        came = self._came[first : first + (self._count if due is None else min(due, self._count))]
        return tuple((int(start), int(end)) for start, end in runs(~came))

    def write(self, pass_index: int, images: Iterable[CameraImage], *, first: int = 0) -> None:
        """Keep images of a pass, in whatever order they come; the frames of whole scan rows are on the disk at once.

        first: number of the image that belongs to the first pixel of the pass.
        Raises DataFileError for an image that is not of this pass or not what the file was made for, or a full disk.
        """
        if not 0 <= pass_index < self._passes:
            raise self._refusal(
                f"pass {pass_index} of {self._passes}", "Write as many passes as the file was made for."
            )
        with guarded(self._file, self._path, "keep camera frames"):
            for image in images:
                self._keep(pass_index, image, first)
                if len(self._pending) >= self._columns:
                    self._flush()

    def settle(self) -> None:
        """Bring everything that came onto the disk."""
        if self._pending:
            with guarded(self._file, self._path, "keep camera frames"):
                self._flush()

    def _keep(self, pass_index: int, image: CameraImage, first: int) -> None:
        place = image.image - first
        if not 0 <= place < self._count:
            raise self._refusal(
                f"image {image.image} of pass {pass_index}, which has {self._count} from {first}",
                "Arm the camera for as many images as the scan has pixels.",
            )
        row = pass_index * self._count + place
        if self._came[row]:
            self.repeated += 1
            return
        channels = image.channels
        if len(channels) != len(self._stores):
            raise self._refusal(f"image {image.image} with {', '.join(channels) or 'no channel'}", self._made_for())
        where = (*(pass_index,)[: self._passes - 1], *divmod(place, self._columns), 0, 0)
        sums = []
        for name, store in self._stores:
            packed = channels.get(name)
            if packed is None:
                raise self._refusal(f"image {image.image} without {name}", self._made_for())
            data = self._chunk(image.image, name, packed)
            total = fletcher32(data)
            self._room.make(len(data) + SIZE)
            store(where, data + total.to_bytes(SIZE, "little"))
            sums.append(total)
        self._came[row] = True
        (start, per_second), (real, per_second_too) = image.start, image.real
        self._pending.append((row, start / per_second, real / per_second_too, *sums))

    def _chunk(self, image: int, name: str, packed: Packed) -> bytes:
        """The bytes of a frame as HDF5 will read them: as they came, unless their sizes were left out.

        Their blocks were checked when they were read from the wire.
        """
        form = self._form
        if packed.codec != form.codec or packed.dtype != form.dtype or packed.shape != form.shape:
            came = Form((name,), packed.shape, packed.dtype, packed.codec, form.pixel_angle)
            raise self._refusal(f"image {image}, {came}", self._made_for())
        data = packed.data
        if data[:HEADER] == self._usual and form.codec != "none":
            return data
        try:
            data = with_header(packed).data
        except WireError as error:
            raise self._refusal(f"{name} of image {image}: {error}", "Look at the camera's settings.") from None
        self._usual = data[:HEADER]
        return data

    def _flush(self) -> None:
        for data in self._stacks.values():
            data.id.flush()
        place, *columns = (np.array(column) for column in zip(*self._pending, strict=True))
        first, last = int(place.min()), int(place.max()) + 1
        whole = last - first == len(place)
        rows = np.zeros(last - first, self._table.dtype) if whole else self._table[first:last]
        for name, column in zip(rows.dtype.names, (np.uint8(1), *columns), strict=True):
            rows[name][place - first] = column
        self._table[first:last] = rows
        self._table.id.flush()
        self._pending.clear()

    def _made_for(self) -> str:
        return f"The file was made for {self._form}."

    def _refusal(self, came: str, way_out: str) -> DataFileError:
        return DataFileError(f"was given {came}", where=self._path, way_out=way_out)
