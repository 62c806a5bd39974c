"""The disk under a record: a failed write is named and does no more harm; what is finished replaces the live file."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

from acquisition.datafile.records import DataFileError

_WAY_OUT = (
    "What was flushed before is kept: free space on the disk (or reconnect it), then let `rescue` finish the file."
)


@contextmanager
def guarded(file: h5py.File, path: Path, doing: str) -> Iterator[None]:
    """Turn a failure of HDF5 into a DataFileError, and let go of the file so that nothing half-written follows."""
    try:
        yield
    except (OSError, RuntimeError) as failure:
        let_go(file)
        reason = str(failure).partition("\n")[0]
        if getattr(failure, "errno", None) is None and "errno = " in str(failure):
            reason = os.strerror(int(str(failure).partition("errno = ")[2].partition(",")[0]))
        raise DataFileError(f"could not {doing}: {reason}", where=path, way_out=_WAY_OUT) from failure


def let_go(file: h5py.File) -> None:
    """Close a file whose disk failed, without another byte reaching it.

    After a failed write HDF5 cannot close a file: it retries, and crashes the program at its end. So its descriptor is
    first turned to the null device; what SWMR had ordered onto the disk stays as it was.
    """
    if not file:
        return
    with suppress(OSError, RuntimeError):
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, file.id.get_vfd_handle())
        os.close(null)
    with suppress(OSError, RuntimeError):
        file.close()


@contextmanager
def replacing(path: Path, *, copy: bool, doing: str) -> Iterator[Path]:
    """Work on a part file beside `path`, then put it in its place in one go; on failure `path` is as it was.

    copy: start from a copy of `path`.
    """
    part = path.with_name(path.name + ".part")
    try:
        if copy:
            shutil.copyfile(path, part)
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(path)
    except OSError as failure:
        raise DataFileError(
            f"could not {doing}: {failure.strerror or failure}", where=path, way_out=_WAY_OUT
        ) from failure
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def read_only(path: Path) -> None:
    """Nobody overwrites a finished record by mistake (on Windows too)."""
    path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
