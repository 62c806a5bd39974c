r"""Transcripts: a tap that writes down what passes a link, and a link that replays it.

    # link cryostat, 2026-05-04T12:00:00+00:00
    0.000000 > KRDG? A\r\n          host to box
    0.012000 < +077.350\r\n         box to host
    0.062000 ># f5 fa 20 06 00 00   the same in hex, where the bytes are not text
    0.300000 ! the link cryostat was lost
    0.310000 * opened                       the line was opened, or opened anew
    0.400000 )# 7b 7d                       a part of a message of which the next line has more

The time is rig time in seconds.  In text \n \r \t \\ and \xNN are escapes.
"""

from __future__ import annotations

import difflib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from drivers.clock import Clock
from drivers.errors import LinkClosed
from drivers.links.base import AbortFlag, Link
from drivers.links.messages import Message, MessageLink

OPENED = b"opened"
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_BYTES = {escape: char for char, escape in _NAMED.items()}
_ESCAPE = re.compile(r"\\x[0-9a-f]{2}|\\.", re.DOTALL)
_LINE = re.compile(r"([0-9]+\.[0-9]{6}) ([<>!*)])(#?)(?: (.*))?")


class TranscriptMismatch(AssertionError):
    """A driver said something else than the transcript; shows both, aligned."""


@dataclass(frozen=True)
class Line:
    """What passed at one moment: direction `>` (to the box), `<` or `)` (from it), `!` (lost, and why) or `*` (opened).

    time: s of rig time; two lines are the same when the same bytes passed the same way, whenever that was.
    """

    time: float = field(compare=False)
    direction: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.time:.6f} {self.content}"

    @property
    def content(self) -> str:
        """The line without its time."""
        text = self.data.decode("latin-1")
        if self.direction in "!*" or all(" " <= char <= "~" or char in "\n\r\t" for char in text):
            return f"{self.direction} " + "".join(_escaped(char) for char in text)
        return f"{self.direction}# {self.data.hex(' ')}"


def read_transcript(path: Path) -> list[Line]:
    """The lines of a transcript; raises ValueError naming file and line where it is none."""
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not text or text.startswith("#"):
            continue
        try:
            lines.append(_parsed(text))
        except ValueError as error:
            raise ValueError(f"{path.name} line {number}: {text!r} is no transcript line ({error})") from None
    return lines


def compare(expected: Iterable[Line], actual: Iterable[Line]) -> str:
    """ "" when the same bytes passed in the same order; otherwise both conversations, aligned line by line.

    `-` marks what was expected and did not come, `+` what came instead, `?` points at the characters that differ.
    """
    wanted, came = [line.content for line in expected], [line.content for line in actual]
    return "" if wanted == came else "\n".join(line.rstrip("\n") for line in difflib.ndiff(wanted, came))


class _Transcript:
    """The file that a tap writes; each line is on its way to the disk when it is noted.

    broken: why it ends before its time; a disk that is full must not keep a beam from being blanked.
    """

    def __init__(self, tapped: Link | MessageLink, path: Path) -> None:
        self.broken = ""
        self._clock = tapped.clock
        self._path = path
        self._file = path.open("x", encoding="utf-8", newline="\n")
        self._file.write(f"# link {tapped.name}, {tapped.clock.utc().isoformat(timespec='seconds')}\n")

    def note(self, direction: str, data: bytes) -> None:
        if self.broken:
            return
        try:
            if self._file.closed:  # of a link that is opened anew
                self._file = self._path.open("a", encoding="utf-8", newline="\n")
            self._file.write(f"{Line(self._clock.now(), direction, data)}\n")
            self._file.flush()
        except OSError as error:
            self.broken = f"{self._path} ends at {self._clock.now():.6f} s ({error})"

    @contextmanager
    def noting_loss(self) -> Iterator[None]:
        try:
            yield
        except LinkClosed as error:
            self.note("!", error.what.encode("latin-1", "replace"))
            raise

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            self.broken = self.broken or f"{self._path} is not whole ({error})"


class TapLink(Link):
    """Passes everything between host and `inner`, and writes it down in a new file.

    Raises FileExistsError rather than write over a transcript.
    """

    def __init__(self, inner: Link, path: Path) -> None:
        super().__init__(inner.name, inner.clock, inner.abort)
        self._inner = inner
        self._file = _Transcript(inner, path)

    @property
    def broken(self) -> str:
        """Why the transcript ends before its time; "" while it does not."""
        return self._file.broken

    def elapsed(self) -> float:
        """As the tapped link counts."""
        return self._inner.elapsed()

    def _write(self, data: bytes) -> None:
        self._file.note(">", data)  # before it goes out: what kills the box is on record
        with self._file.noting_loss():
            self._inner.write(data)

    def _receive(self, timeout: float) -> bytes:
        with self._file.noting_loss():
            data = self._inner.read(timeout)
        if data:
            self._file.note("<", data)
        return data

    def _reopen(self) -> None:
        with self._file.noting_loss():
            self._inner.reopen()
        self._file.note("*", OPENED)

    def _close(self) -> None:
        self._inner.close()
        self._file.close()


class ReplayLink(Link):
    """Answers as a transcript did, as long as it is asked the same.

    Replies come as long after their request as they were recorded; anything else than the next recorded request raises
    TranscriptMismatch with both conversations aligned.
    """

    def __init__(self, name: str, lines: Sequence[Line], clock: Clock, abort: AbortFlag | None = None) -> None:
        super().__init__(name, clock, abort)
        self._lines = list(lines)
        self._next = 0
        self._coming: deque[tuple[float, Line]] = deque()
        if self._lines:
            self._release(clock.now() - self._lines[0].time)

    def verify_finished(self) -> None:
        """Raise TranscriptMismatch when the transcript goes on: a request that was not made, a reply nobody read."""
        if self._coming or self._next < len(self._lines):
            raise self._mismatch("stopped before the transcript did", self._next - len(self._coming), [])

    def _write(self, data: bytes) -> None:
        said = Line(self.clock.now(), ">", data)
        if self._lines[self._next : self._next + 1] != [said]:
            raise self._mismatch("said something else than the transcript", self._next, [said])
        self._next += 1
        self._release(said.time - self._lines[self._next - 1].time)

    def _reopen(self) -> None:
        opened = Line(self.clock.now(), "*", OPENED)
        if self._lines[self._next : self._next + 1] != [opened]:
            raise self._mismatch("was opened anew, which the transcript was not", self._next, [opened])
        self._next += 1
        self._release(opened.time - self._lines[self._next - 1].time)

    def _receive(self, timeout: float) -> bytes:
        deadline = self.clock.now() + timeout
        if not self._coming or self._coming[0][0] > deadline:
            self._sleep_until(deadline)
            return b""
        due, line = self._coming.popleft()
        self._sleep_until(due)
        if line.direction == "!":
            self.close()
            raise LinkClosed(line.data.decode("latin-1"))
        return line.data

    def _release(self, shift: float) -> None:
        """Let come what was recorded before the next request, `shift` s later than it was."""
        while self._next < len(self._lines) and (line := self._lines[self._next]).direction not in ">*":
            self._coming.append((line.time + shift, line))
            self._next += 1

    def _mismatch(self, what: str, at: int, said: list[Line]) -> TranscriptMismatch:
        # a few lines before show where we are, a few after whether a request was left out
        before = self._lines[max(at - 4, 0) : at]
        aligned = compare([*before, *self._lines[at : at + 4]], [*before, *said])
        return TranscriptMismatch(f"{self.name} {what} (line {at + 1} of it):\n{aligned}")

    def _close(self) -> None:
        pass


class TapMessages(MessageLink):
    """Passes every message on and writes it down in a new file, as TapLink does."""

    def __init__(self, inner: MessageLink, path: Path) -> None:
        super().__init__(inner.name, inner.clock, inner.abort)
        self._inner = inner
        self._file = _Transcript(inner, path)
        self._file.note("*", OPENED)

    @property
    def broken(self) -> str:
        """Why the transcript ends before its time; "" while it does not."""
        return self._file.broken

    def elapsed(self) -> float:
        """As the tapped link counts."""
        return self._inner.elapsed()

    def _receive(self, timeout: float) -> Message | None:
        with self._file.noting_loss():
            message = self._inner.receive(timeout)
        for part in message[:-1] if message else ():
            self._file.note(")", part)
        if message:
            self._file.note("<", message[-1])
        return message

    def _close(self) -> None:
        self._inner.close()
        self._file.close()


class ReplayedMessages:
    """A `MessagePeer` that brings what a transcript holds, each message as long after the opening as recorded."""

    def __init__(self, lines: Sequence[Line], clock: Clock) -> None:
        self._clock = clock
        self._shift = clock.now() - (lines[0].time if lines else 0.0)
        self._coming: deque[tuple[float, Message]] = deque()
        parts: list[bytes] = []
        for line in lines:
            if line.direction in "<)":
                parts.append(line.data)
            if line.direction == "<":
                self._coming.append((line.time + self._shift, tuple(parts)))
                parts = []

    def connected(self) -> None:
        """The transcript plays from where it is."""

    def due(self) -> float | None:
        return self._coming[0][0] if self._coming else None

    def send(self) -> Message | None:
        if not self._coming or self._coming[0][0] > self._clock.now():
            return None
        return self._coming.popleft()[1]

    def disconnected(self) -> None:
        """Nobody hears the rest."""


def _escaped(char: str) -> str:
    return _NAMED.get(char) or (char if " " <= char <= "~" else f"\\x{ord(char):02x}")


def _parsed(text: str) -> Line:
    if not (found := _LINE.fullmatch(text)):
        raise ValueError("want TIME > BYTES")
    time, direction, hexadecimal, rest = found[1], found[2], found[3], found[4] or ""
    data = bytes.fromhex(rest) if hexadecimal else _ESCAPE.sub(_unescaped, rest).encode("latin-1")
    return Line(float(time), direction, data)


def _unescaped(match: re.Match[str]) -> str:
    escape = match[0]
    if escape[1] == "x":
        return chr(int(escape[2:], 16))
    if escape not in _BYTES:
        raise ValueError(f"unknown escape {escape}")
    return _BYTES[escape]
