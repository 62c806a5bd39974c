"""An append-only file of JSON lines, each with a sequence number, a checksum and the hash of the line before it.

The journal of a run and the dose passport of a sample are such files: what is in them is on the disk before the thing
it speaks of happens, a torn tail is seen and dropped, and a changed line is found.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
START = "0" * 64
OWN = frozenset({"seq", "kind", "prev"})  # keys that every entry has


class ChainError(Exception):
    """The file was changed, does not continue, or cannot be written."""


class Chain:
    """One open chain; reading it back gives the entries in order."""

    def __init__(self, path: Path) -> None:
        """Open or start the file; a torn tail (the write a crash cut short) is cut off. Raises ChainError."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.entries: list[Entry] = []
        self._last = START
        self._size = 0
        if path.exists():
            for entry, line in _sound_lines(path):
                self._take_in(entry, line)
        self._file = path.open("ab", buffering=0)  # a line that failed must not wait in a buffer for the next one
        if self._file.tell() > self._size:
            self._file.truncate(self._size)
            os.fsync(self._file.fileno())

    @property
    def sha256(self) -> str:
        """Hash of the last line, which stands for the whole chain."""
        return self._last

    def append(self, kind: str, **facts: Any) -> Entry:
        """Add an entry, which is on the disk when this returns, and return it as it will be read back.

        Raises ChainError; the chain then holds what it held before.
        """
        if not OWN.isdisjoint(facts):
            raise ValueError(f"an entry may not bring its own {' or '.join(sorted(OWN.intersection(facts)))}")
        number = len(self.entries)
        try:
            body = _body({"seq": number, "kind": kind, **facts, "prev": self._last})
        except (TypeError, ValueError) as error:
            raise ChainError(f"{self.path.name}: entry {number} ({kind}) is no JSON: {error}.") from error
        line = _line(body)
        try:
            self._write(line)
        except OSError as error:
            raise ChainError(
                f"{self.path.name}: could not write entry {number} ({kind}): {error.strerror or error}. "
                "Nothing was exposed on it; make room on the disk and resume the run."
            ) from error
        entry: Entry = json.loads(body)
        self._take_in(entry, line)
        return entry

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        self._file.close()

    def _write(self, line: bytes) -> None:
        """Bring a line to the disk whole or not at all. Raises OSError, ChainError."""
        if self._file.closed:
            raise ChainError(f"{self.path.name} is closed, after an earlier write failed or by its owner.")
        if os.fstat(self._file.fileno()).st_size != self._size:
            raise ChainError(f"{self.path.name}: somebody else wrote into it. End the other run first.")
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError:
            try:
                os.ftruncate(self._file.fileno(), self._size)
            except OSError:
                self._file.close()  # nothing may follow a line of which only a part may be there
            raise

    def _take_in(self, entry: Entry, line: bytes) -> None:
        self.entries.append(entry)
        self._last = hashlib.sha256(line).hexdigest()
        self._size += len(line)


def read_chain(path: Path) -> list[Entry]:
    """The entries of a chain that somebody else may be writing; its torn tail is left out. Raises ChainError."""
    return [entry for entry, _ in _sound_lines(path)]


def _body(entry: Entry) -> bytes:
    return json.dumps(entry, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def _line(body: bytes) -> bytes:
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def _sound_lines(path: Path) -> Iterator[tuple[Entry, bytes]]:
    lines = path.read_bytes().splitlines(keepends=True)
    last = START
    for number, line in enumerate(lines):
        entry = _parse(line)
        if entry is None:
            if number == len(lines) - 1 and _torn(line):
                return
            raise ChainError(f"{path.name} line {number + 1}: damaged. Restore the file from a copy.")
        if entry.get("seq") != number or entry.get("prev") != last:
            raise ChainError(
                f"{path.name} line {number + 1}: does not continue the line before it. Restore from a copy."
            )
        last = hashlib.sha256(line).hexdigest()
        yield entry, line


def _torn(line: bytes) -> bool:
    """True for what a crash leaves of a write: no end, or blocks that never came; a whole line was acknowledged."""
    return not line.endswith(b"\n") or b"\0" in line


def _parse(line: bytes) -> Entry | None:
    """The entry of a line, or None when its checksum or its form is wrong."""
    body, mark, crc = line.rpartition(b',"crc":"')
    if not mark or not line.endswith(b'"}\n') or crc != b'%08x"}\n' % zlib.crc32(body + b"}"):
        return None
    entry = json.loads(body + b"}")
    return entry if isinstance(entry, dict) else None
