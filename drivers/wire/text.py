"""Text wires as tables: one line a message, written and read from both ends.

A template such as `SETP {output:d},{kelvin:.3f}` says what is sent (Python's format language) and what is understood:
`f` is a decimal number (`+` makes its sign due), `d` a whole number, a bare field a word.  Commands are read without
regard to case, as text instruments do; answers to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import Formatter
from typing import Any

from drivers.errors import WireError

Values = Mapping[str, Any]
"""The fields of one message by name: float, int or str, as its template says."""
Bounds = tuple[float, float] | tuple[str, ...]
"""Lowest and highest number a field may have, or the words allowed."""

LONGEST = 1024  # bytes a line may have; far more than any message of a text instrument
_NUMBER = r"[+-]?(?:[0-9]{1,5}(?:\.[0-9]{0,6})?|\.[0-9]{1,6})"
_SIGNED = r"[+-][0-9]{1,4}\.[0-9]{1,6}"
_WHOLE = r"[0-9]{1,4}"
_WORD = r"[^,;\"]*"


class OutOfBounds(WireError):
    """The grammar is right, but a value is none the message may carry."""


@dataclass(frozen=True, eq=False)
class Template:
    """One direction of a message: makes the text of values, and the values of a text."""

    text: str
    bounds: Mapping[str, Bounds]

    def write(self, values: Values) -> str:
        """The text of `values`. Raises OutOfBounds."""
        self._check(values)
        return self.text.format(**values)

    def read(self, text: str, *, any_case: bool = False) -> dict[str, Any] | None:
        """The values of `text`, None when it is no such message. Raises OutOfBounds."""
        match = (self._any_case if any_case else self._exact).fullmatch(text)
        if match is None:
            return None
        values = {name: read(match[name]) for name, read in self._readers.items()}
        self._check(values)
        return values

    def _check(self, values: Values) -> None:
        for name, value in values.items():
            allowed = self.bounds.get(name)
            if allowed is None:
                continue
            low, high = allowed[0], allowed[-1]
            if isinstance(value, str) or isinstance(low, str) or isinstance(high, str):
                inside = value in allowed
            else:
                inside = low <= value <= high
            if not inside:
                raise OutOfBounds(f'"{self.text}": {name} {value} is outside {allowed}')

    @cached_property
    def _fields(self) -> list[tuple[str, str, str]]:
        return [(literal, name or "", spec or "") for literal, name, spec, _ in Formatter().parse(self.text)]

    @cached_property
    def _pattern(self) -> str:
        pattern = ""
        for literal, name, spec in self._fields:
            pattern += re.escape(literal).replace(",", " *, *")
            if name:
                number = _SIGNED if spec.startswith("+") else _NUMBER
                pattern += f"(?P<{name}>{number if spec.endswith('f') else _WHOLE if spec else _WORD})"
        return pattern

    @cached_property
    def _exact(self) -> re.Pattern[str]:
        return re.compile(self._pattern)

    @cached_property
    def _any_case(self) -> re.Pattern[str]:
        return re.compile(self._pattern, re.IGNORECASE)

    @cached_property
    def _readers(self) -> dict[str, Any]:
        def reader(name: str, spec: str) -> Any:
            if spec:
                return float if spec.endswith("f") else int
            return str.upper if name in self.bounds else str

        return {name: reader(name, spec) for _, name, spec in self._fields if name}


@dataclass(frozen=True, eq=False)
class Message:
    """One line of the table.

    reply: None for a command that answers nothing.  safe: may be sent again when its answer was lost.
    """

    request: Template
    reply: Template | None
    safe: bool

    def __call__(self, **values: Any) -> Said:
        """This message with its values, ready to be sent. Raises OutOfBounds."""
        return Said(self, self.request.write(values))

    @property
    def mnemonic(self) -> str:
        """The first word, such as "KRDG?"."""
        return self.request.text.partition(" ")[0]


@dataclass(frozen=True)
class Said:
    """A message and its text."""

    message: Message
    text: str


class Vocabulary:
    """Makes the messages of one instrument, whose fields share their bounds."""

    def __init__(self, **bounds: Bounds) -> None:
        self._bounds = bounds

    def query(self, request: str, reply: str, *, consuming: bool = False) -> Message:
        """A question; a consuming one changes what the next will answer, so it is never sent again."""
        return Message(Template(request, self._bounds), Template(reply, self._bounds), not consuming)

    def action(self, request: str, *, safe: bool = False) -> Message:
        """A command; a safe one is absolute and leads to the safe state."""
        return Message(Template(request, self._bounds), None, safe)


def compound(said: Iterable[Said]) -> bytes:
    """Several messages as one line."""
    return ";".join(one.text for one in said).encode("ascii") + b"\n"


def answers(said: Sequence[Said], line: str) -> list[dict[str, Any]]:
    """What one line answered to a compound: the values of each question in it, in order.

    Raises WireError when the count or the grammar of any of them is not what was asked for.
    """
    replies = [one.message.reply for one in said if one.message.reply is not None]
    parts = split_compound(line)
    if len(parts) != len(replies):
        raise WireError(f"{len(replies)} answers were due, {line[:80]!r} came")
    values = []
    for reply, part in zip(replies, parts, strict=True):
        found = reply.read(part)
        if found is None:
            raise WireError(f'an answer of the form "{reply.text}" was due, {part[:80]!r} came')
        values.append(found)
    return values


def split_compound(line: str) -> list[str]:
    """The parts of a line between semicolons that stand outside quotes."""
    return re.findall(r'(?:"[^"]*"|[^;"]|")+', line)


class LineSplitter:
    """Cuts bytes into lines of printable ASCII.

    end: what ends a line; with b"\\n" a carriage return before it is allowed.  Raises WireError on any other byte and
    on a line over LONGEST; the next line is then read afresh.
    """

    def __init__(self, end: bytes = b"\r\n") -> None:
        self._end = end
        self._buffer = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> None:
        """Take bytes in any portions."""
        self._buffer += data

    def next(self) -> str | None:
        """The next line without its end, or None until it is whole."""
        at = self._buffer.find(self._end)
        if at < 0:
            if len(self._buffer) > LONGEST + len(self._end):
                del self._buffer[: -len(self._end)]
                self._skipping = True
            return None
        line = bytes(self._buffer[:at])
        del self._buffer[: at + len(self._end)]
        if self._end == b"\n":
            line = line.removesuffix(b"\r")
        if self._skipping or len(line) > LONGEST:
            self._skipping = False
            raise WireError(f"a line of more than {LONGEST} bytes")
        if any(not 0x20 <= byte <= 0x7E for byte in line):
            raise WireError(f"bytes outside printable ASCII: {line[:80]!r}")
        return line.decode("ascii")

    def reset(self) -> None:
        """Forget what is half read."""
        self._buffer.clear()
        self._skipping = False
