"""The smallest pieces of a tagged file: groups with a NeXus class, fields with units, notes, plottable data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

# never "latest": HDF5 2.0 then writes chunk layouts that 1.12, 1.14 and h5wasm cannot open
LIBVER = ("v110", "v110")
# bitshuffle-LZ4 alone reads most flipped bits back as numbers; the Fletcher32 sum turns them into errors
PAYLOAD: dict[str, Any] = {**hdf5plugin.Bitshuffle(cname="lz4"), "fletcher32": True}
_TEXT = h5py.string_dtype("utf-8")


@dataclass(frozen=True)
class Axis:
    """One axis of a plot: its NeXus name, what people call it, its unit ("" for an index) and its values (n,)."""

    name: str
    title: str
    unit: str
    values: NDArray[Any]


def group(parent: h5py.Group, path: str, nx_class: str) -> h5py.Group:
    """The group at `path` below `parent`, made if need be, with its NeXus class."""
    made = parent.require_group(path)
    made.attrs["NX_class"] = nx_class
    return made


def field(parent: h5py.Group, path: str, value: Any, unit: str = "", **attributes: str) -> h5py.Dataset:
    """A small field (text, truth, number, array of numbers) with its unit and attributes."""
    made = (
        parent.create_dataset(path, data=value, dtype=_TEXT)
        if isinstance(value, str)
        else parent.create_dataset(path, data=value)
    )
    if unit:
        made.attrs["units"] = unit
    made.attrs.update(attributes)
    return made


def text_of(parent: h5py.Group, path: str) -> str:
    """The text of a field or of a note's data."""
    value = parent[path][()]
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def note(parent: h5py.Group, name: str, text: str, *, kind: str, file_name: str) -> None:
    """Embed a text as an NXnote with its SHA-256.

    The data is one fixed-length string: the validators take that, and nothing else, for NX_BINARY.
    """
    made = group(parent, name, "NXnote")
    raw = text.encode("utf-8")
    field(made, "type", kind)
    field(made, "file_name", file_name)
    field(made, "algorithm", "SHA256")
    field(made, "checksum", hashlib.sha256(raw).hexdigest())
    made.create_dataset("data", data=np.bytes_(raw or b"\n"), dtype=h5py.string_dtype("utf-8", max(1, len(raw))))


def programs(parent: h5py.Group, versions: dict[str, str]) -> None:
    """One NXprogram a program; the first must be called programID, literally, for nxvalidate."""
    for index, (name, version) in enumerate(versions.items(), 1):
        made = group(parent, "programID" if index == 1 else f"programID{index}", "NXprogram")
        field(made, "program", name, version=version)


def plot(
    parent: h5py.Group,
    name: str,
    *,
    title: str,
    signal: str,
    signal_title: str,
    axes: Sequence[Axis],
    dtype: str,
    chunks: tuple[int, ...],
    shows: str,
    storage: Mapping[str, Any] = PAYLOAD,
) -> h5py.Dataset:
    """Make an NXdata with an empty signal of the axes' sizes, and return the signal.

    shows: "image" or "spectrum", what the last axes are; on the group for RosettaSciIO, on the signal for silx, h5web.
    Counts have no unit: the definition says NX_UNITLESS.  storage: filters, and the value of what was never written.
    """
    made = group(parent, name, "NXdata")
    field(made, "title", title)
    shape = tuple(axis.values.size for axis in axes)
    data = made.create_dataset(signal, shape=shape, dtype=dtype, chunks=chunks, **storage)
    data.attrs["long_name"] = signal_title
    data.attrs["interpretation"] = made.attrs["interpretation"] = shows
    made.attrs["signal"] = signal
    made.attrs["axes"] = np.array([axis.name for axis in axes], dtype=object)
    for position, axis in enumerate(axes):
        made.attrs[f"{axis.name}_indices"] = np.uint32(position)
        written = field(made, axis.name, axis.values, axis.unit)
        written.attrs["long_name"] = f"{axis.title} ({axis.unit})" if axis.unit else axis.title
    return data


def default(*chain: h5py.Group) -> None:
    """Point each group's @default at the next, a direct child, so that viewers open the last."""
    for parent, child in pairwise(chain):
        parent.attrs["default"] = child.name.rsplit("/", 1)[-1]
