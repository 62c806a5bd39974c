"""Finishing a large file where it lies: what changes is gathered in memory, written beside it, then put into it.

A stack of camera frames is too large to be copied, in memory or on the disk, for the sake of a few tags.  HDF5 sees the
file through an `Overlay`, which keeps each change to itself.  The changes go to `NAME.finishing`, whole and with a sum,
and only then into the file; a crash in between costs nothing, because they can be put in again.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from acquisition.datafile.records import DataFileError

PAGE = 4096  # bytes
_MAGIC = b"cryolift changes 1\n"
_HEAD = struct.Struct("<QQQ")  # how much of the file stays, the size it will have, number of pages
_WHERE = struct.Struct("<QI")  # number of a page, its length
_SUM = 32  # bytes of a SHA-256


class Overlay(io.RawIOBase):
    """A file as it will be: as it is on the disk, but for pages that were written since; those are in memory."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._base = path.open("rb")
        self.kept = self.size = path.stat().st_size  # bytes of the disk that still count, bytes in all
        self.pages: dict[int, bytearray] = {}
        self._at = 0

    def close(self) -> None:
        """Let go of the file on the disk."""
        self._base.close()
        super().close()

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def writable(self) -> bool:
        """In memory."""
        return True

    def tell(self) -> int:
        """Where it is."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place and return it."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the file goes."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self._at))
        on_disk = max(0, min(count, self.kept - self._at))
        self._base.seek(self._at)
        if on_disk and self._base.readinto(view[:on_disk]) != on_disk:
            raise OSError("the file ends before its end")
        view[on_disk:count] = bytes(count - on_disk)
        for number, inside, outside in self._pieces(count):
            if number in self.pages:
                view[outside] = self.pages[number][inside]
        self._at += count
        return count

    def write(self, data: Any) -> int:
        """Keep bytes in memory."""
        view = memoryview(data).cast("B")
        for number, inside, outside in self._pieces(len(view)):
            if number not in self.pages:
                self.pages[number] = self._page(number)
            self.pages[number][inside] = view[outside]
        self._at += len(view)
        self.size = max(self.size, self._at)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Let the file end elsewhere; what it gains is zeros."""
        self.size = self._at if size is None else size
        self.kept = min(self.kept, self.size)
        last, left = divmod(self.size, PAGE)
        self.pages = {number: page for number, page in self.pages.items() if number * PAGE < self.size}
        if last in self.pages:
            self.pages[last][left:] = bytes(PAGE - left)
        return self.size

    def _pieces(self, count: int) -> Iterator[tuple[int, slice, slice]]:
        """Number of each page that the next bytes touch, the part of it, and the part of the bytes."""
        at, end = self._at, self._at + count
        while at < end:
            number, start = divmod(at, PAGE)
            piece = min(PAGE - start, end - at)
            yield number, slice(start, start + piece), slice(at - self._at, at - self._at + piece)
            at += piece

    def _page(self, number: int) -> bytearray:
        start = number * PAGE
        self._base.seek(start)
        page = bytearray(self._base.read(max(0, min(PAGE, self.kept - start))))
        return page.ljust(PAGE, b"\0")


def changes(path: Path) -> Path:
    """Where the changes are while they are put into the file."""
    return path.with_name(path.name + ".finishing")


def amend(path: Path, overlay: Overlay) -> None:
    """Let the file on the disk become what the overlay is: all of it or nothing, also when the program is killed.

    When the disk does not take it the file is as it was, or `changes` is there and `amend_again` goes on.
    """
    part = path.with_name(path.name + ".part")
    try:
        with path.open("rb+") as file:
            os.fsync(file.fileno())  # what the changes refer to comes first
        with part.open("wb") as log:
            total = hashlib.sha256()
            for piece in _logged(overlay):
                total.update(piece)
                log.write(piece)
            log.write(total.digest())
            _settle(log)
        part.replace(changes(path))
    finally:
        part.unlink(missing_ok=True)
    amend_again(path)


def amend_again(path: Path) -> None:
    """Put the changes that are beside the file into it; those that are in it already do no harm.

    Raises DataFileError for changes that are not whole.
    """
    with Changed(path) as overlay:
        put_into(path, overlay)
    changes(path).unlink()


def put_into(path: Path, overlay: Overlay) -> None:
    """Write what the overlay holds into the file; cut short, it leaves neither the one nor the other."""
    with path.open("rb+") as file:
        file.truncate(overlay.kept)
        file.truncate(overlay.size)
        for number, page in sorted(overlay.pages.items()):
            file.seek(number * PAGE)
            file.write(page[: overlay.size - number * PAGE])
        _settle(file)


class Changed(Overlay):
    """A file as it is once the changes that are beside it are put into it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            with changes(path).open("rb") as log:
                self._read(path, log.read())
        except BaseException:
            self.close()
            raise

    def _read(self, path: Path, log: bytes) -> None:
        body = memoryview(log)[:-_SUM]
        if not log.startswith(_MAGIC) or hashlib.sha256(body).digest() != log[-_SUM:]:
            raise DataFileError(
                "has changes beside it that are not whole", where=path, way_out=f"Delete {changes(path).name}."
            )
        self.kept, self.size, count = _HEAD.unpack_from(body, len(_MAGIC))
        at = len(_MAGIC) + _HEAD.size
        for _ in range(count):
            number, length = _WHERE.unpack_from(body, at)
            at += _WHERE.size + length
            self.pages[number] = bytearray(body[at - length : at])


def _logged(overlay: Overlay) -> Iterator[bytes]:
    yield _MAGIC + _HEAD.pack(overlay.kept, overlay.size, len(overlay.pages))
    for number, page in overlay.pages.items():
        yield _WHERE.pack(number, len(page)) + page


def _settle(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
