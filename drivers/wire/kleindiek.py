r"""Kleindiek NanoControl: text commands of the firmware that answers every command (115200 baud, 8N1).

A command is a line that ends in CR.  When it has been done, and not before, the box answers `<status> TAB <message>
CR`, status `o` (done), `e` (error) or `i` (information, such as a breakdown of a piezo voltage).  `stop` ends what is
being done: first comes the answer of what was stopped, then its own; `stopnack` does the same without an answer of its
own.  Source: two public drivers, written by users independently of each other, agree in all of this; one carries the
comments of the maker's manual, which is not public.  `assumed`: the text of errors, and that a command sent before the
last one is done is an error.  Fine steps, speeds and continuous motion are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from drivers.errors import WireError

LONGEST = 256  # bytes of a line
MOST_STEPS = 65535  # of one command, either way
CHANNELS: Final = ("A", "B", "C", "D")


class Verdict(StrEnum):
    """What became of a command."""

    DONE = "o"
    ERROR = "e"
    INFORMATION = "i"


@dataclass(frozen=True)
class Version:
    """Firmware and its date, as text."""


@dataclass(frozen=True)
class Counters:
    """How many coarse steps each channel has done: four whole numbers with blanks between."""


@dataclass(frozen=True)
class Coarse:
    """Do coarse steps in one channel; relative, so never to be sent again."""

    channel: str
    steps: int


@dataclass(frozen=True)
class ResetCounters:
    """All counters become 0."""


@dataclass(frozen=True)
class Stop:
    """End what is being done; `answered` as by `stop`, not as by `stopnack`."""

    answered: bool = True


Command = Version | Counters | Coarse | ResetCounters | Stop


@dataclass(frozen=True)
class Reply:
    """What the box says when a command has been done or refused."""

    verdict: Verdict
    message: str = ""


_PLAIN: Final[dict[str, Command]] = {
    "version": Version(),
    "coarse ?": Counters(),
    "coarsereset": ResetCounters(),
    "stop": Stop(),
    "stopnack": Stop(answered=False),
}
_WORDS: Final = {command: text for text, command in _PLAIN.items()}
_COARSE = re.compile(r"coarse ([A-D]) (-?[0-9]{1,5})")
_COUNTERS = re.compile(r"(-?[0-9]{1,9}) (-?[0-9]{1,9}) (-?[0-9]{1,9}) (-?[0-9]{1,9})")
_REPLY = re.compile(r"([oei])\t([^\t]*)")


def encode(command: Command) -> bytes:
    """The line of a command. Raises WireError when the box has no such channel or cannot do so many steps."""
    if not isinstance(command, Coarse):
        return f"{_WORDS[command]}\r".encode("ascii")
    if command.channel not in CHANNELS or not -MOST_STEPS <= command.steps <= MOST_STEPS:
        raise WireError(f"{command} is outside the channels A to D and {MOST_STEPS} steps either way")
    return f"coarse {command.channel} {command.steps:d}\r".encode("ascii")


def decode(line: str) -> Command:
    """The command a line is. Raises WireError when it is none."""
    if (command := _PLAIN.get(line)) is not None:
        return command
    if (match := _COARSE.fullmatch(line)) and abs(int(match[2])) <= MOST_STEPS:
        return Coarse(match[1], int(match[2]))
    raise WireError(f"{line[:80]!r} is no command of this box")


def encode_reply(reply: Reply) -> bytes:
    """The line of a reply."""
    return f"{reply.verdict}\t{reply.message}\r".encode("ascii")


def decode_reply(line: str) -> Reply:
    """The reply a line is. Raises WireError when it is none."""
    match = _REPLY.fullmatch(line)
    if match is None:
        raise WireError(f"a reply such as 'o\\t...' was due, {line[:80]!r} came")
    return Reply(Verdict(match[1]), match[2])


def encode_counters(counters: tuple[int, ...]) -> str:
    """The message of a reply to Counters."""
    return " ".join(str(count) for count in counters)


def decode_counters(reply: Reply) -> tuple[int, int, int, int]:
    """The counters of the channels A to D. Raises WireError when the reply tells none."""
    match = _COUNTERS.fullmatch(reply.message) if reply.verdict is Verdict.DONE else None
    if match is None:
        raise WireError(f"four counters were due, {reply.verdict}: {reply.message[:80]!r} came")
    return int(match[1]), int(match[2]), int(match[3]), int(match[4])


class LineSplitter:
    """Cuts bytes into lines that end in CR; raises WireError on a byte no line has and on a line over LONGEST."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes in any portions."""
        self._buffer += data

    def next(self) -> str | None:
        """The next line without its end, or None until it is whole."""
        line, end, _ = bytes(self._buffer).partition(b"\r")
        if not end and len(line) <= LONGEST:
            return None
        del self._buffer[: len(line) + len(end)]
        if len(line) > LONGEST or any(not (0x20 <= byte <= 0x7E or byte == 0x09) for byte in line):
            raise WireError(f"no line of this box: {line[:80]!r}")
        return line.decode("ascii")

    def reset(self) -> None:
        """Forget what is half read."""
        self._buffer.clear()
