"""An append-only file of JSON lines, each with a sequence number, a checksum and the hash of the line before it.

The journal of a run and the dose passport of a sample are such files: what is in them is on the disk before the thing
it speaks of happens, a torn tail is seen and dropped, and a changed line is found.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
START = "0" * 64


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
        sound = 0
        if path.exists():
            for entry, line in _sound_lines(path):
                self.entries.append(entry)
                self._last = hashlib.sha256(line).hexdigest()
                sound += len(line)
        self._file = path.open("ab")
        if self._file.tell() > sound:
            self._file.truncate(sound)
            self._sync()

    @property
    def sha256(self) -> str:
        """Hash of the last line, which stands for the whole chain."""
        return self._last

    def append(self, kind: str, *, durable: bool = True, **facts: Any) -> Entry:
        """Add an entry; `durable` ones are on the disk when this returns. Raises ChainError."""
        entry: Entry = {"seq": len(self.entries), "kind": kind, **facts, "prev": self._last}
        line = _line(entry)
        try:
            self._file.write(line)
            if durable:
                self._sync()
        except OSError as error:
            raise ChainError(
                f"{self.path.name}: could not write entry {entry['seq']} ({kind}): {error.strerror}. "
                "Nothing was exposed on it; make room on the disk and resume the run."
            ) from error
        self.entries.append(entry)
        self._last = hashlib.sha256(line).hexdigest()
        return entry

    def close(self) -> None:
        """Bring everything to the disk and close; closing twice is allowed."""
        if not self._file.closed:
            self._sync()
            self._file.close()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def read_chain(path: Path) -> list[Entry]:
    """The entries of a chain that somebody else may be writing; its torn tail is left out. Raises ChainError."""
    return [entry for entry, _ in _sound_lines(path)]


def _line(entry: Entry) -> bytes:
    body = json.dumps(entry, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def _sound_lines(path: Path) -> Iterator[tuple[Entry, bytes]]:
    lines = path.read_bytes().splitlines(keepends=True)
    last = START
    for number, line in enumerate(lines):
        entry = _parse(line)
        if entry is None:
            if number == len(lines) - 1:
                return  # the write that a crash cut short
            raise ChainError(f"{path.name} line {number + 1}: damaged in the middle. Restore the file from a copy.")
        if entry["seq"] != number or entry["prev"] != last:
            raise ChainError(
                f"{path.name} line {number + 1}: does not continue the line before it. Restore from a copy."
            )
        last = hashlib.sha256(line).hexdigest()
        yield entry, line


def _parse(line: bytes) -> Entry | None:
    """The entry of a line, or None when its checksum or its form is wrong."""
    body, mark, crc = line.rpartition(b',"crc":"')
    if not mark or not line.endswith(b'"}\n') or crc != b'%08x"}\n' % zlib.crc32(body + b"}"):
        return None
    entry = json.loads(body + b"}")
    return entry if isinstance(entry, dict) else None
