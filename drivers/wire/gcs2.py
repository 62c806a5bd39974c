"""PI General Command Set 2.0: what a host says to a motion controller, and what that answers.

Source: C-863.12 user manual MS249E 1.2.1, chapter 8 (syntax p. 116, commands from p. 126, error codes p. 207); #4 of
several axes as the maker's EPICS support reads it, PUN? as its Python client does.  A line is one mnemonic with its
arguments and ends in LF; commands answer nothing, what became of them says ERR?.  A single byte (#4, #5, #7, #24) is a
whole message without LF, answered even while the controller is at work.  Of an answer of several lines all but the last
end in SP LF.  Axes are named by up to 16 letters, digits or underscores, and answered in the order in which they were
asked for.  TCP port 50000, or a serial line with 8 data bits and no parity.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, Final, Literal

from drivers.errors import WireError

LONGEST_REQUEST = 512  # bytes; what a controller takes as one line is less
LONGEST_ANSWER = 16384  # bytes; the longest is the list of commands, HLP?
AXIS = re.compile(r"[A-Za-z0-9_]{1,16}")
_SINGLE = frozenset("\x04\x05\x07\x18")
_NOT_ASCII = frozenset("\xb0\xb1\xb5")  # not ready, ready, and the micro of a unit (code page 1252)


class Failure(IntEnum):
    """`ERR?`: what became of the commands since it was last asked, of which it then forgets. The ones we know."""

    NONE = 0
    SYNTAX = 1
    UNKNOWN_COMMAND = 2
    NOT_REFERENCED_OR_SERVO_OFF = 5
    POSITION_OUT_OF_LIMITS = 7
    STOPPED = 10
    INVALID_AXIS = 15
    OUT_OF_RANGE = 17
    INVALID_NUMBER = 25
    MISSING_PARAMETER = 26
    BUSY = 1005
    POSITION_ERROR_TOO_LARGE = 1024


class Status(IntFlag):
    """`#4`, 16 bits an axis."""

    NEGATIVE_LIMIT = 0x0001
    REFERENCE_SWITCH = 0x0002
    POSITIVE_LIMIT = 0x0004
    ERROR = 0x0100
    SERVO = 0x1000
    MOVING = 0x2000
    REFERENCING = 0x4000
    ON_TARGET = 0x8000


@dataclass(frozen=True, eq=False)
class Form:
    """How a value stands in a line."""

    pattern: re.Pattern[str]
    read: Callable[[str], Any]
    write: Callable[[Any], str]


NUMBER = Form(re.compile(r"[+-]?[0-9]{1,9}(?:\.[0-9]{0,12})?"), float, "{:.6f}".format)
FLAG = Form(re.compile("[01]"), lambda text: text == "1", lambda value: "1" if value else "0")
WORD = Form(re.compile(r"[^\s=]{1,16}"), str, str)
CODE = Form(re.compile("-?[0-9]{1,5}"), int, str)
VERSION = Form(re.compile(r"[0-9]{1,2}\.[0-9]{1,2}"), float, "{:.1f}".format)
TEXT = Form(re.compile(".{1,256}"), str, str)
BITS = Form(re.compile("(?:0x)?[0-9A-Fa-f]{1,8}"), lambda text: int(text, 16), "{:X}".format)
READY_SIGN = Form(re.compile("[\xb0\xb1]"), lambda text: text == "\xb1", lambda value: "\xb1" if value else "\xb0")
REGISTERS = Form(
    re.compile("0x(?:[0-9A-Fa-f]{4}){1,16}"),
    lambda text: tuple(int(text[at : at + 4], 16) for at in range(2, len(text), 4)),
    lambda value: "0x" + "".join(f"{register:04X}" for register in value),
)


@dataclass(frozen=True, eq=False)
class Message:
    """One line of the table.

    value: what stands behind each axis.  answer: of a query, the form of what is answered `per` axis, per line of any
    number, or once.  safe: may be sent again when its answer was lost.
    """

    mnemonic: str
    value: Form | None = None
    answer: Form | None = None
    per: Literal["axis", "line", "once"] = "once"
    safe: bool = True

    def __call__(self, *axes: str) -> Said:
        """This message for some axes (none: all of them), ready to be sent."""
        return Said(self, axes)

    def of(self, values: Mapping[str, Any]) -> Said:
        """This command with a value for each axis, ready to be sent."""
        return Said(self, tuple(values), tuple(values.values()))


@dataclass(frozen=True)
class Said:
    """A message with its axes and values."""

    message: Message
    axes: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()

    def encoded(self) -> bytes:
        """What goes over the wire."""
        mnemonic, form = self.message.mnemonic, self.message.value
        if mnemonic in _SINGLE:
            return mnemonic.encode("latin-1")
        words = [mnemonic]
        for number, axis in enumerate(self.axes):
            words.append(axis)
            if form is not None:
                words.append(form.write(self.values[number]))
        return " ".join(words).encode("latin-1") + b"\n"

    def read(self, lines: tuple[str, ...]) -> Any:
        """What an answer to this says: a dict by axis, a tuple of lines, or a value.

        Raises WireError when it is none, or of other axes, or of the same in another order.
        """
        form = self.message.answer
        if form is None:
            raise WireError(f"{self.message.mnemonic!r} has no answer, {lines[0][:80]!r} came")
        if self.message.per == "line":
            return tuple(self._value(form, line) for line in lines)
        if self.message.per == "once":
            if len(lines) != 1:
                raise WireError(f"one line was due to {self.message.mnemonic!r}, {len(lines)} came")
            return self._value(form, lines[0])
        names = tuple(line.partition("=")[0] for line in lines)
        if names != self.axes:
            raise WireError(f"an answer for the axes {' '.join(self.axes)} was due, {' '.join(names)[:80]!r} came")
        return {axis: self._value(form, line[len(axis) + 1 :]) for axis, line in zip(self.axes, lines, strict=True)}

    def answer(self, found: Any) -> bytes:
        """The answer to this with what was found: a dict by axis, lines, or a value."""
        form = self.message.answer
        assert form is not None
        match self.message.per:
            case "axis":
                lines = [f"{axis}={form.write(found[axis])}" for axis in self.axes]
            case "line":
                lines = [form.write(line) for line in found]
            case _:
                lines = [form.write(found)]
        return (" \n".join(lines) + "\n").encode("latin-1")

    def _value(self, form: Form, text: str) -> Any:
        if form.pattern.fullmatch(text) is None:
            raise WireError(f"{text[:80]!r} came, which {self.message.mnemonic!r} does not answer")
        return form.read(text)


STATUS = Message("\x04", answer=REGISTERS)
MOTION = Message("\x05", answer=BITS)  # one bit an axis, the first axis the lowest
READY = Message("\x07", answer=READY_SIGN)
STOP = Message("\x18")  # at once and abruptly; sets error 10
IDENTITY = Message("*IDN?", answer=TEXT)
SYNTAX = Message("CSV?", answer=VERSION)
ERROR = Message("ERR?", answer=CODE, safe=False)
COMMANDS = Message("HLP?", answer=TEXT, per="line")
AXES = Message("SAI?", answer=WORD, per="line")
UNITS = Message("PUN?", answer=WORD, per="axis")
POSITIONS = Message("POS?", answer=NUMBER, per="axis")
TARGETS = Message("MOV?", answer=NUMBER, per="axis")
LOWEST = Message("TMN?", answer=NUMBER, per="axis")
HIGHEST = Message("TMX?", answer=NUMBER, per="axis")
VELOCITIES = Message("VEL?", answer=NUMBER, per="axis")  # units/s
ON_TARGET = Message("ONT?", answer=FLAG, per="axis")
SERVOS = Message("SVO?", answer=FLAG, per="axis")
REFERENCED = Message("FRF?", answer=FLAG, per="axis")
HAS_REFERENCE = Message("TRS?", answer=FLAG, per="axis")
HAS_LIMITS = Message("LIM?", answer=FLAG, per="axis")
SERVO = Message("SVO", value=FLAG, per="axis", safe=False)
MOVE = Message("MOV", value=NUMBER, per="axis", safe=False)
VELOCITY = Message("VEL", value=NUMBER, per="axis", safe=False)
REFERENCE = Message("FRF", per="axis", safe=False)
HALT = Message("HLT", per="axis")
STOP_ALL = Message("STP")

TABLE: Final = {
    message.mnemonic: message
    for message in (
        *(STATUS, MOTION, READY, STOP, IDENTITY, SYNTAX, ERROR, COMMANDS, AXES, UNITS, POSITIONS, TARGETS, LOWEST),
        *(HIGHEST, VELOCITIES, ON_TARGET, SERVOS, REFERENCED, HAS_REFERENCE, HAS_LIMITS, SERVO, MOVE, VELOCITY),
        *(REFERENCE, HALT, STOP_ALL),
    )
}


class Misheard(WireError):
    """What a host said is no message; `failure` is what the box then answers to ERR?."""

    def __init__(self, what: str, failure: Failure) -> None:
        super().__init__(what)
        self.failure = failure


def hear(line: str) -> Said:
    """What a line of a host says; no axes means all. Raises Misheard."""
    words = line.split()
    message = TABLE.get(words[0].upper()) if words else None
    if message is None:
        raise Misheard(f"no command {line[:80]!r}", Failure.UNKNOWN_COMMAND)
    arguments = words[1:]
    if message is AXES and arguments == ["ALL"]:
        arguments = []  # also those that are switched off: there are none
    if message.per != "axis":
        if arguments:
            raise Misheard(f"{line[:80]!r} has arguments", Failure.SYNTAX)
        return Said(message)
    axes, values = (arguments[::2], arguments[1::2]) if message.value else (arguments, [])
    if message.value and (not axes or len(axes) != len(values)):
        raise Misheard(f"{line[:80]!r} lacks a value", Failure.MISSING_PARAMETER)
    if any(message.value and message.value.pattern.fullmatch(value) is None for value in values):
        raise Misheard(f"{line[:80]!r} has a value that is none", Failure.INVALID_NUMBER)
    return Said(message, tuple(axes), tuple(message.value.read(value) for value in values) if message.value else ())


class RequestSplitter:
    """Cuts what a host sends into single bytes and lines, in their order; bounded.

    A line too long or with bytes that no line has is Misheard; the next one is then read afresh.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._too_long = False
        self._waiting: deque[int] = deque()

    def feed(self, data: bytes) -> None:
        """Take bytes in any portions."""
        self._waiting.extend(data)

    def next(self) -> Said | None:
        """The next message, None until it is whole. Raises Misheard."""
        while self._waiting:
            byte = self._waiting.popleft()
            if chr(byte) in _SINGLE:
                return Said(TABLE[chr(byte)])
            if byte == 0x0A:
                if (line := self._take()).strip():
                    return hear(line)
            elif len(self._line) < LONGEST_REQUEST:
                self._line.append(byte)
            else:
                self._too_long = True
        return None

    def reset(self) -> None:
        """Forget what is half read."""
        self._line.clear()
        self._waiting.clear()
        self._too_long = False

    def _take(self) -> str:
        line, too_long = self._line.decode("latin-1").removesuffix("\r"), self._too_long
        self._line.clear()
        self._too_long = False
        if too_long or any(not " " <= sign <= "~" for sign in line):
            raise Misheard(f"no line: {line[:80]!r}", Failure.SYNTAX)
        return line


class AnswerSplitter:
    """Cuts what a controller sends into answers, each a tuple of lines, and gives `due` of them at a time.

    Raises WireError on bytes that no answer has, on an answer over LONGEST_ANSWER, and when more came than was due;
    with due 0 every answer is given by itself, whatever follows it.
    """

    def __init__(self) -> None:
        self.due = 1
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes in any portions."""
        self._buffer += data

    def next(self) -> tuple[tuple[str, ...], ...] | None:
        """The answers that are due, None until all are whole."""
        text = self._buffer.decode("latin-1")
        due = self.due or 1
        if len(text) > LONGEST_ANSWER * due:
            self._buffer.clear()
            raise WireError(f"more than {LONGEST_ANSWER} bytes came as one answer")
        if any(not (" " <= sign <= "~" or sign == "\n" or sign in _NOT_ASCII) for sign in text):
            self._buffer.clear()
            raise WireError(f"bytes that no answer has: {text[:80]!r}")
        *whole, rest = re.split(r"(?<! )\n", text, maxsplit=0 if self.due else 1)
        if len(whole) < due:
            return None
        self._buffer[:] = b"" if self.due else rest.encode("latin-1")
        if self.due and (len(whole) > due or rest):
            raise WireError(f"{due} answers were due, more came: {text[-80:]!r}")
        return tuple(tuple(answer.split(" \n")) for answer in whole)

    def reset(self) -> None:
        """Forget what is half read."""
        self._buffer.clear()
