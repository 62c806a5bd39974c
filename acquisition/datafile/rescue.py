"""Finish the record of a writer that was killed: everything that was flushed, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py

from acquisition.datafile.disk import guarded, read_only, replacing
from acquisition.datafile.finish import complete
from acquisition.datafile.records import DataFileError
from acquisition.datafile.superblock import repair
from acquisition.datafile.tags import LIBVER


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

    The work is done on a copy that takes the file's place at the end.  Sums and spectra are made of the passes that
    were settled; the torn one stays as rows and events.  Nobody may be writing the file.  Raises DataFileError, and
    then the file is as it was.
    """
    finished = _finished(path)
    if finished:
        return Rescued(finished, 0, {}, None)
    unreadable: dict[str, int] = {}
    sound = 0
    with replacing(path, copy=True, doing="rescue the record") as part:
        repair(part)
        file = _opened(part, path)
        with guarded(file, path, "mark what is unreadable"):
            for data in _arrays(file):
                read, lost = _read_through(data)
                sound += read
                if lost:
                    unreadable[data.name] = data.attrs["unreadable_chunks"] = lost
            file.attrs["recovered_unreadable"] = sum(unreadable.values())
            file.close()
        complete(part, path, status="recovered", ended=None, results={})
        aside = path.with_name(path.name + ".killed") if unreadable else None
        if aside is not None:
            path.replace(aside)
    read_only(path)
    return Rescued("recovered", sound, unreadable, aside)


def _finished(path: Path) -> str:
    """The status of a file that needs no rescue, else nothing."""
    try:
        with h5py.File(path, "r") as file:
            status = str(file.attrs["acquisition_status"])
    except (OSError, KeyError):
        return ""
    return "" if status == "in_progress" else status


def _opened(part: Path, path: Path) -> h5py.File:
    try:
        file = h5py.File(part, "r+", libver=LIBVER)
        if "entry/passes/table" not in file:
            file.close()
            raise DataFileError("was not begun", where=path, way_out="Nothing was measured yet: delete it.")
    except (OSError, KeyError) as failure:
        raise DataFileError(f"is beyond repair: {failure}", where=path, way_out="It is left as it was.") from failure
    return file


def _arrays(file: h5py.File) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []
    file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) and item.ndim else None)
    return found


def _read_through(data: h5py.Dataset) -> tuple[int, int]:
    """(chunks that read, chunks that do not): reading verifies their Fletcher32 sums."""
    read = lost = 0
    for chunk in data.iter_chunks() if data.chunks else [()]:
        try:
            data[chunk]
            read += 1
        except (OSError, RuntimeError):
            lost += 1
    return read, lost
