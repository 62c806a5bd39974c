"""Messages of the example gauge EG-1, from both ends. Source: its manual (MANUAL.md), the table of messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from drivers.errors import WireError
from drivers.wire.text import LineSplitter

END = b"\r"
_PRESSURE = re.compile(r"([0-9]\.[0-9]{3}E[+-][0-9]{2}),([0-3])")
_IDENTITY = re.compile(r"(EG-1),([^,]{1,16}),([^,]{1,16})")


class Status(IntEnum):
    """What a pressure is worth."""

    VALID = 0
    BELOW_RANGE = 1
    ABOVE_RANGE = 2
    FILAMENT_OFF = 3


class Fault(IntEnum):
    """Why a message was refused."""

    UNKNOWN = 1
    PRESSURE_TOO_HIGH = 2


@dataclass(frozen=True)
class Identify:
    """`ID?`"""


@dataclass(frozen=True)
class AskPressure:
    """`PR?`"""


@dataclass(frozen=True)
class AskFilament:
    """`FI?`"""


@dataclass(frozen=True)
class SetFilament:
    """`FI 0`, `FI 1`"""

    on: bool


@dataclass(frozen=True)
class Identity:
    """Who answers."""

    model: str
    serial: str
    version: str


@dataclass(frozen=True)
class Pressure:
    """A pressure, Pa, and what it is worth."""

    pascals: float
    status: Status


@dataclass(frozen=True)
class Filament:
    """Whether the filament is on."""

    on: bool


@dataclass(frozen=True)
class Done:
    """`OK`"""


@dataclass(frozen=True)
class Refused:
    """`ERR n`"""

    fault: Fault


Request = Identify | AskPressure | AskFilament | SetFilament
Reply = Identity | Pressure | Filament | Done | Refused
_FIXED: dict[str, Request | Reply] = {
    "ID?": Identify(),
    "PR?": AskPressure(),
    "FI?": AskFilament(),
    "FI 0": SetFilament(on=False),
    "FI 1": SetFilament(on=True),
}
_ANSWERS: dict[str, Reply] = {
    "OK": Done(),
    "FI 0": Filament(on=False),
    "FI 1": Filament(on=True),
    "ERR 1": Refused(Fault.UNKNOWN),
    "ERR 2": Refused(Fault.PRESSURE_TOO_HIGH),
}


def encode(message: Request | Reply) -> bytes:
    """The bytes of a message."""
    match message:
        case Identity(model, serial, version):
            text = f"{model},{serial},{version}"
        case Pressure(pascals, status):
            text = f"{pascals:.3E},{status:d}"
        case _:
            texts = _FIXED if isinstance(message, Request) else _ANSWERS
            text = next(text for text, known in texts.items() if known == message)
    return text.encode("ascii") + END


def request(line: str) -> Request | None:
    """What a host said; None for what the gauge does not know."""
    found = _FIXED.get(line)
    return found if isinstance(found, Request) else None


def reply(line: str) -> Reply:
    """What the gauge said. Raises WireError for anything its manual does not have."""
    if known := _ANSWERS.get(line):
        return known
    if found := _PRESSURE.fullmatch(line):
        return Pressure(float(found[1]), Status(int(found[2])))
    if found := _IDENTITY.fullmatch(line):
        return Identity(*found.groups())
    raise WireError(f"{line[:40]!r} is no answer of an EG-1")


def splitter() -> LineSplitter:
    """Cuts bytes into lines, whatever portions they come in; bounded."""
    return LineSplitter(END)
