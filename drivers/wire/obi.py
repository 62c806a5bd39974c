"""Open Beam Interface commands, both ways; the replies are in obi_reply.

A command is one byte, code and flags, then big-endian words.  Source: the project's gateware and encoder (github
nanographs/Open-Beam-Interface, 0f6e62c): software/obi/commands for the layout, its simulated gateware for the meaning.
Counts and dwells go over the wire less one ("counters are 0-indexed"): a dwell word of 0 is one sample of 125 ns.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

from drivers.errors import WireError

SAMPLE = 125e-9  # s; dwells are whole numbers of ADC samples: 8 MS/s
TICK = 1 / 48e6  # s; the unit of Delay
DAC_STEPS = 16384  # 14-bit converters for x and y
STEP = 256  # x_step and y_step count 256ths of a DAC step
LONGEST_DWELL = 65536  # samples
LONGEST_RUN = 65536  # pixels
LONGEST_ARRAY = 65536  # commands

_BOUND = 1 << 26  # bytes held back; a frame is far shorter


class Output(IntEnum):
    """How pixels come back; a reply to Synchronize always comes whole."""

    SIXTEEN_BIT = 0
    EIGHT_BIT = 1
    NONE = 2


class Beam(IntEnum):
    """Which beam the blanker may open."""

    NONE = 0
    ELECTRON = 1
    ION = 2


class Repeat(Enum):
    """What happens when a command is sent twice."""

    SAFE = "safe"  # nothing
    ACTION = "action"  # the box does it again


@dataclass(frozen=True)
class Bits:
    """A field in the low half of the command byte."""

    shift: int
    width: int = 1


@dataclass(frozen=True)
class Word:
    """A big-endian word of the payload: what it may be, sent as its value less `less`."""

    low: int = 0
    high: int = 0xFFFF
    less: int = 0


Layout = tuple[tuple[str, type[int], Bits | Word], ...]
"""Name, type and place of each field of a command."""

Flag = Annotated[bool, Bits(0)]
Position = Annotated[int, Word(0, DAC_STEPS - 1)]
Count = Annotated[int, Word(1, DAC_STEPS)]
Number = Annotated[int, Word()]
Samples = Annotated[int, Word(1, LONGEST_DWELL, less=1)]


class Command:
    """What every command has; WireError when a field is outside what the wire carries."""

    code: ClassVar[int]
    repeat: ClassVar[Repeat] = Repeat.ACTION
    layout: ClassVar[Layout]  # the fields in the order of the wire
    words: ClassVar[struct.Struct]  # the payload

    def __init_subclass__(cls) -> None:
        hints = get_type_hints(cls, include_extras=True)
        cls.layout = tuple((name, *get_args(hint)) for name, hint in hints.items() if get_origin(hint) is Annotated)
        cls.words = struct.Struct(f">{sum(isinstance(part, Word) for _, _, part in cls.layout)}H")

    def __post_init__(self) -> None:
        for name, _, part in self.layout:
            value = getattr(self, name)
            if isinstance(part, Word) and not part.low <= value <= part.high:
                raise WireError(f"{type(self).__name__}: {name} {value} is outside {part.low} to {part.high}")


@dataclass(frozen=True)
class Synchronize(Command):
    """When every pixel before it is out: answer FF FF and the cookie, send what is held back, and set the output."""

    code = 0x0
    repeat = Repeat.SAFE
    cookie: Number
    raster: Flag
    output: Annotated[Output, Bits(1, width=2)]


@dataclass(frozen=True)
class Abort(Command):
    """End the region. It waits its turn: it neither cuts a run short nor drops what is queued behind it."""

    code = 0x1


@dataclass(frozen=True)
class Flush(Command):
    """Send the pixels held back for a full USB packet."""

    code = 0x2
    repeat = Repeat.SAFE


@dataclass(frozen=True)
class ExternalCtrl(Command):
    """Take the blank pins, or let them go: then nothing here blanks the beam."""

    code = 0x3
    repeat = Repeat.SAFE
    enable: Flag


@dataclass(frozen=True)
class BeamSelect(Command):
    """Give the blanker one beam; the others stay blanked."""

    code = 0x4
    repeat = Repeat.SAFE
    beam: Annotated[Beam, Bits(0, width=2)]


@dataclass(frozen=True)
class Blank(Command):
    """Blank or unblank after the last pixel, or, inline, with the next one; an inline one waits until a pixel comes."""

    code = 0x5
    repeat = Repeat.SAFE
    enable: Flag
    inline: Annotated[bool, Bits(1)]


@dataclass(frozen=True)
class Delay(Command):
    """Do nothing for so many ticks of 20.83 ns."""

    code = 0x6
    ticks: Number


@dataclass(frozen=True)
class Array(Command):
    """`count` commands of one kind follow without their command bytes."""

    code = 0x8
    kind: Annotated[int, Bits(0, width=4)]
    count: Annotated[int, Word(1, LONGEST_ARRAY, less=1)]


@dataclass(frozen=True)
class RasterPixelFill(Command):
    """Pixels to the end of the region."""

    code = 0x9
    samples: Samples


@dataclass(frozen=True)
class RasterRegion(Command):
    """Where the next pixels lie: row by row from the top left, steps in 256ths of a DAC step; full scale wraps."""

    code = 0xA
    x_start: Position
    x_count: Count
    x_step: Number
    y_start: Position
    y_count: Count
    y_step: Number


@dataclass(frozen=True)
class RasterPixel(Command):
    """The next pixel of the region."""

    code = 0xB
    samples: Samples


@dataclass(frozen=True)
class RasterPixelRun(Command):
    """The next pixels of the region; one too many hangs the box."""

    code = 0xC
    pixels: Annotated[int, Word(1, LONGEST_RUN, less=1)]
    samples: Samples


@dataclass(frozen=True)
class RasterPixelFreeRun(Command):
    """The region again and again until another command comes."""

    code = 0xD
    samples: Samples


@dataclass(frozen=True)
class VectorPixel(Command):
    """One pixel anywhere."""

    code = 0xE
    x: Position
    y: Position
    samples: Samples


@dataclass(frozen=True)
class VectorPixelMinDwell(Command):
    """One pixel anywhere, for one sample."""

    code = 0xF
    x: Position
    y: Position


COMMANDS: dict[int, type[Command]] = {
    kind.code: kind
    for kind in (
        *(Synchronize, Abort, Flush, ExternalCtrl, BeamSelect, Blank, Delay, Array, RasterPixelFill, RasterRegion),
        *(RasterPixel, RasterPixelRun, RasterPixelFreeRun, VectorPixel, VectorPixelMinDwell),
    )
}


def encode(*commands: Command) -> bytes:
    """The bytes of commands, one after another."""
    return b"".join(_head(command) + _payload(command) for command in commands)


def encode_array(*commands: Command) -> bytes:
    """Commands of one kind (1 to 65536, no flags in it) as an Array."""
    code = commands[0].code
    return encode(Array(kind=code, count=len(commands))) + b"".join(_payload(command) for command in commands)


def _head(command: Command) -> bytes:
    flags = (int(getattr(command, name)) << part.shift for name, _, part in command.layout if isinstance(part, Bits))
    return bytes([command.code << 4 | sum(flags)])


def _payload(command: Command) -> bytes:
    words = (getattr(command, name) - part.less for name, _, part in command.layout if isinstance(part, Word))
    return command.words.pack(*words)


def _decode(kind: type[Command], flags: int, payload: bytes) -> Command:
    words = iter(kind.words.unpack(payload))
    values: dict[str, Any] = {}
    known = 0
    for name, type_, part in kind.layout:
        if isinstance(part, Word):
            values[name] = next(words) + part.less
            continue
        mask = (1 << part.width) - 1
        known |= mask << part.shift
        number = flags >> part.shift & mask
        try:
            values[name] = type_(number)
        except ValueError:
            raise WireError(f"{kind.__name__}: {name} {number} does not exist") from None
    if flags & ~known:
        raise WireError(f"{kind.__name__}: the command byte has flags {flags:#x} that do not exist")
    return kind(**values)


class CommandSplitter:
    """Cuts what a host sends into commands; the commands of an Array follow it one by one.

    After a WireError the bytes of the wrong command are gone, and `next` goes on behind them, as the box does.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._kind: type[Command] | None = None  # of the rest of an array
        self._left = 0

    def feed(self, data: bytes) -> None:
        if len(self._held) + len(data) > _BOUND:
            self.reset()
            raise WireError(f"more than {_BOUND} bytes of commands at once")
        self._held += data

    def next(self) -> Command | None:
        """The next whole command, None until more bytes come. Raises WireError."""
        if self._left and self._kind is not None:
            payload = self._take(self._kind.words.size)
            if payload is None:
                return None
            self._left -= 1
            return _decode(self._kind, 0, payload)
        if not self._held:
            return None
        code, flags = divmod(self._held[0], 16)
        kind = COMMANDS.get(code)
        if kind is None:
            del self._held[0]
            raise WireError(f"no command has the code {code:#x}")
        whole = self._take(1 + kind.words.size)
        if whole is None:
            return None
        command = _decode(kind, flags, whole[1:])
        if isinstance(command, Array):
            self._kind = COMMANDS.get(command.kind)
            if self._kind is None or self._kind is Array:
                raise WireError(f"an array of commands with the code {command.kind:#x}")
            self._left = command.count
        return command

    def reset(self) -> None:
        """Forget what is half read."""
        self._held.clear()
        self._left = 0

    def _take(self, size: int) -> bytes | None:
        if len(self._held) < size:
            return None
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken
