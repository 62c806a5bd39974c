"""The disk under a record: a failed write is named and does no more harm; what is finished replaces the live file."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

import h5py

from acquisition.datafile.amend import Overlay, amend, put_into
from acquisition.datafile.records import DataFileError
from acquisition.datafile.superblock import claim_and_end, repair
from acquisition.datafile.tags import LIBVER
from acquisition.inplace import put_in_place

IN_MEMORY = 1 << 26  # bytes of a file that may be finished as a copy in memory
_ANY_LENGTH = 1 << 42  # bytes, none of which is there
_ROOM = bytes(1 << 17)  # at a time: as much as the system takes in one go without spoiling its memory for it
_SPARE = 1 << 14  # bytes that HDF5 takes for itself meanwhile
_ERRNO = re.compile(r"errno = (\d+)")
_WAY_OUT = (
    "What was flushed before is kept. Free space on the disk, or close what holds the file, "
    "then let `rescue` finish the file."
)


@contextmanager
def guarded(file: h5py.File, path: Path, doing: str) -> Iterator[None]:
    """Turn a failure of HDF5 into a DataFileError, and let go of the file so that nothing half-written follows."""
    if not file:
        raise DataFileError(f"could not {doing}: it is closed already", where=path, way_out=_WAY_OUT)
    try:
        yield
    except (OSError, RuntimeError) as failure:
        let_go(file)
        raise DataFileError(f"could not {doing}: {_reason(failure)}", where=path, way_out=_WAY_OUT) from failure


class Room:
    """Room behind the end of a live file, made in large pieces before HDF5 wants it in small ones.

    The system takes many small pieces into a file it has in memory already much faster than it lengthens the file for
    each; and a disk that is full is met here, where it breaks nothing in HDF5.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._end = self._left = 0

    def make(self, size: int) -> None:
        """See that so many bytes more have room; raises OSError when the disk has none."""
        self._left -= size
        if self._left >= 0 or size > len(_ROOM) // 4 or not hasattr(os, "pwrite"):
            return
        used = self._file.id.get_filesize()  # all that HDF5 has given away, written or not: never touched here
        start = max(self._end, used)
        self._end = start + os.pwrite(self._file.id.get_vfd_handle(), _ROOM, start)
        self._left = self._end - used - size - _SPARE


def cut_off_room(path: Path) -> None:
    """Let a closed file end where HDF5 says that it ends."""
    claimed, end = claim_and_end(path)
    if not claimed and path.stat().st_size > end:
        os.truncate(path, end)


def let_go(file: h5py.File) -> None:
    """Close a file whose disk failed, without another byte reaching it.

    After a failed write HDF5 cannot close a file: it retries, and crashes the program at its end.  So its descriptor is
    first turned to where it does no harm; what SWMR had ordered onto the disk stays as it was.
    """
    if not file:
        return
    with suppress(OSError, RuntimeError):
        nowhere = _nowhere()
        os.dup2(nowhere, file.id.get_vfd_handle())
        os.close(nowhere)
    with suppress(OSError, RuntimeError):
        file.close()


def _nowhere() -> int:
    """A file that nobody keeps, of any length, as HDF5 wants it after a failed frame; else the null device."""
    if hasattr(os, "memfd_create"):
        nowhere = os.memfd_create("nowhere")
    else:
        with TemporaryFile() as file:
            nowhere = os.dup(file.fileno())
    try:
        os.truncate(nowhere, _ANY_LENGTH)
    except OSError:  # a limit to the length of files holds there as well
        os.close(nowhere)
        return os.open(os.devnull, os.O_RDWR)
    return nowhere


@contextmanager
def revised(path: Path, *, doing: str, meanwhile: Path | None = None) -> Iterator[h5py.File]:
    """The file at `path` to be changed: all of it when the block ends well, nothing otherwise.

    A small one is `reworked` in memory; a large one is not copied, but changed where it lies.  One that is still open
    in this process, or whose writer is dead, is copied on the disk: HDF5 might write into it when it is let go of.
    """
    if not path.exists() or path.stat().st_size <= IN_MEMORY:
        with reworked(path, doing=doing, meanwhile=meanwhile) as file:
            yield file
        return
    with named(path, doing), _part(path) as part:
        claimed = bool(claim_and_end(path)[0])
        if claimed:
            shutil.copyfile(path, part)
            repair(part)
        with Overlay(part if claimed else path) as overlay:
            with h5py.File(overlay, "r+", libver=LIBVER) as file:
                yield file
            if not claimed:
                amend(path, overlay)
                return
            put_into(part, overlay)
        _in_place(part, path, meanwhile)


@contextmanager
def reworked(path: Path, *, doing: str, anew: bool = False, meanwhile: Path | None = None) -> Iterator[h5py.File]:
    """A file in memory that takes the place of `path` in one go when the block ends well; else `path` is as it was.

    It begins as a copy of `path`, repaired if its writer is dead, or empty if `anew`.  In memory, because HDF5 survives
    no full disk: it loses count of what it wrote and crashes the program later.  Needs memory for twice the file.
    meanwhile: where the new file stays when somebody has `path` open and does not let go of it; None: that is an error.
    """
    with named(path, doing), _part(path) as part:
        if not anew:
            shutil.copyfile(path, part)
            repair(part)
        with h5py.File(part, "w" if anew else "r+", driver="core", backing_store=False, libver=LIBVER) as file:
            yield file
            file.flush()
            image = file.id.get_file_image()
        with part.open("wb") as written:
            written.write(image)
            written.flush()
            os.fsync(written.fileno())
        _in_place(part, path, meanwhile)


@contextmanager
def named(path: Path, doing: str) -> Iterator[None]:
    """Turn a failure of the disk or of HDF5 into a DataFileError."""
    try:
        yield
    except (OSError, RuntimeError) as failure:
        raise DataFileError(f"could not {doing}: {_reason(failure)}", where=path, way_out=_WAY_OUT) from failure


@contextmanager
def _part(path: Path) -> Iterator[Path]:
    """A place for the new file beside the old one; what is left there goes."""
    part = path.with_name(path.name + ".part")
    try:
        yield part
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _in_place(part: Path, path: Path, meanwhile: Path | None) -> None:
    try:
        put_in_place(part, path)
    except PermissionError:
        if meanwhile is None:
            raise
        part.replace(meanwhile)


def _reason(failure: OSError | RuntimeError) -> str:
    """The system's word for it, which HDF5 hides in a long text."""
    number = getattr(failure, "errno", None) or _ERRNO.search(str(failure))
    if number is None:
        return str(failure).partition("\n")[0]
    return os.strerror(number if isinstance(number, int) else int(number[1]))


def waiting(path: Path) -> Path:
    """Where the finished record waits for its place, as long as somebody has the live one open."""
    return path.with_name(path.name + ".finished")


def read_only(path: Path) -> None:
    """Nobody overwrites a finished record by mistake (on Windows too)."""
    path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
