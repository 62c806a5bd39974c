"""Finish the record of a writer that was killed: everything that was flushed, and what follows from it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py

from acquisition.datafile.amend import amend_again, changes
from acquisition.datafile.camera import is_stack, spoiled
from acquisition.datafile.disk import named, read_only, revised, waiting
from acquisition.datafile.finish import complete
from acquisition.datafile.records import DataFileError
from acquisition.inplace import put_in_place


@dataclass(frozen=True)
class Rescued:
    """What a rescue found.

    status: of the file now.  chunks: read and found sound.  unreadable: path of an array -> chunks that are lost.
    aside: the file as the writer left it, kept where something could not be read.
    """

    status: str
    chunks: int
    unreadable: dict[str, int]
    aside: Path | None


def rescue(path: Path) -> Rescued:
    """Make a killed writer's file plainly openable, with status `recovered`; a finished file is left alone.

    A finished record that waits beside it, because somebody had the file open, takes its place; changes that wait to be
    put into it are.  Else the work is done on a copy that takes the file's place at the end.  Sums and spectra are made
    of the passes that were settled; the torn one stays as rows and events.  Nobody may be writing the file.
    Raises DataFileError; it is then as it was.
    """
    if waiting(path).exists():
        try:
            put_in_place(waiting(path), path)
        except OSError as failure:
            raise DataFileError(
                f"is held open by somebody: {failure}", where=path, way_out="Close what shows it, then rescue it again."
            ) from failure
        read_only(path)
    if changes(path).exists():
        with named(path, "put the changes into the record"):
            amend_again(path)
        read_only(path)
    finished = _finished(path)
    if finished:
        return Rescued(finished, 0, {}, None)
    unreadable: dict[str, int] = {}
    aside = path.with_name(path.name + ".killed")
    sound = 0
    with _as_far_as_it_goes(path), revised(path, doing="rescue the record") as file:
        if "entry/passes/table" not in file:
            raise DataFileError("was not begun", where=path, way_out="Nothing was measured yet: delete it.")
        for data in _arrays(file):
            read, lost = spoiled(data) if is_stack(data) else _read_through(data)
            sound += read
            if lost:
                unreadable[data.name] = data.attrs["unreadable_chunks"] = lost
        file.attrs["recovered_unreadable"] = sum(unreadable.values())
        if unreadable:
            shutil.copyfile(path, aside)
        complete(file, status="recovered")
    read_only(path)
    return Rescued("recovered", sound, unreadable, aside if unreadable else None)


@contextmanager
def _as_far_as_it_goes(path: Path) -> Iterator[None]:
    try:
        yield
    except KeyError as missing:  # how h5py says that a part of the tree cannot be followed
        raise DataFileError(f"is beyond repair: {missing}", where=path, way_out="It is left as it was.") from missing


def _finished(path: Path) -> str:
    """The status of a file that needs no rescue, else nothing."""
    try:
        with h5py.File(path, "r") as file:
            status = str(file.attrs["acquisition_status"])
    except (OSError, KeyError):
        return ""
    return "" if status == "in_progress" else status


def _arrays(file: h5py.File) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []
    file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) and item.ndim else None)
    return found


def _read_through(data: h5py.Dataset) -> tuple[int, int]:
    """(chunks that read, chunks that do not): reading verifies their Fletcher32 sums."""
    read = lost = 0
    for chunk in data.iter_chunks() if data.chunks and data.size else [()]:
        try:
            data[chunk]
            read += 1
        except (OSError, RuntimeError):
            lost += 1
    return read, lost
