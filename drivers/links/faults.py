"""A link on which declared things go wrong, the same way every time: for rehearsals and tests."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from drivers.errors import LinkClosed
from drivers.links.base import LONGEST_WAIT, Link


class FaultKind(StrEnum):
    """What goes wrong with a request, or with the reply to it (all that arrives before the next request)."""

    LOSS = "loss"  # the box never hears the request
    SILENCE = "silence"  # the box hears and acts, its reply is lost
    DELAY = "delay"  # the reply comes `seconds` later, and what follows it no earlier
    TRUNCATION = "truncation"  # the reply breaks off at a random byte
    GARBLE = "garble"  # one random bit of the reply is flipped
    TWICE = "twice"  # the reply comes a second time, `seconds` later
    SLICES = "slices"  # the reply comes in pieces of 1 to `longest` bytes, `seconds` apart
    GARBAGE = "garbage"  # 1 to `longest` random bytes come before the reply
    CLOSE = "close"  # the line is lost: closed or reset from the far end
    STALL = "stall"  # nothing more comes for `seconds`, then the line is lost
    JITTER = "jitter"  # each piece comes up to `seconds` late, none overtaking another
    REORDER = "reorder"  # a datagram comes after the one behind it, and never if there is none


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong on a line.

    transfer: the request it strikes, counted from 1.  forever: every later one too.  after: bytes of the reply that
    pass unharmed first (of a long reply, where it is struck).  seconds, longest: see FaultKind; s and bytes.
    """

    kind: FaultKind
    transfer: int = 1
    forever: bool = False
    after: int = 0
    seconds: float = 0.0
    longest: int = 1

    def __post_init__(self) -> None:
        if self.transfer < 1 or self.after < 0 or self.longest < 1 or not 0.0 <= self.seconds < math.inf:
            raise ValueError(f"{self} cannot be: transfer and longest count from 1, after and seconds from 0")

    def strikes(self, transfer: int) -> bool:
        """True when the transfer of that number is struck."""
        return transfer == self.transfer or (self.forever and transfer > self.transfer)


def one_of_each(transfer: int = 1, *, forever: bool = False, seconds: float = 0.2) -> list[Fault]:
    """A fault of every kind, for tests that try them all; delays of `seconds` and of one more than a time-out."""
    return [
        Fault(FaultKind.LOSS, transfer, forever),
        Fault(FaultKind.SILENCE, transfer, forever),
        Fault(FaultKind.DELAY, transfer, forever, seconds=seconds),
        Fault(FaultKind.DELAY, transfer, forever, seconds=seconds + LONGEST_WAIT),
        Fault(FaultKind.TRUNCATION, transfer, forever),
        Fault(FaultKind.GARBLE, transfer, forever),
        Fault(FaultKind.TWICE, transfer, forever),
        Fault(FaultKind.SLICES, transfer, forever, longest=3),
        Fault(FaultKind.GARBAGE, transfer, forever, longest=8),
        Fault(FaultKind.CLOSE, transfer, forever),
        Fault(FaultKind.CLOSE, transfer, forever, after=2),
        Fault(FaultKind.STALL, transfer, forever, after=2, seconds=seconds),
        Fault(FaultKind.JITTER, transfer, forever, seconds=seconds),
        Fault(FaultKind.REORDER, transfer, forever),
    ]


class FaultyLink(Link):
    """Passes everything between host and `inner`, but for the faults; `seed` decides what is random in them."""

    def __init__(self, inner: Link, faults: Sequence[Fault], *, seed: int) -> None:
        super().__init__(inner.name, inner.clock, inner.abort)
        self.transfers = 0
        self._inner = inner
        self._faults = tuple(faults)
        self._random = random.Random(seed)
        self._striking: list[_Strike] = []
        self._coming: deque[tuple[float, bytes | None]] = deque()  # in order: (from when on, bytes; None: lost)

    def elapsed(self) -> float:
        """As the link inside counts."""
        return self._inner.elapsed()

    def _write(self, data: bytes) -> None:
        while piece := self._inner.read(0.0):  # what is already here belongs to the request before
            self._harm(piece)
        self.transfers += 1
        faults = [fault for fault in self._faults if fault.strikes(self.transfers)]
        self._striking = [_Strike(fault, self._random) for fault in faults]
        if not any(fault.kind is FaultKind.LOSS for fault in faults):
            self._inner.write(data)
        self._harm(b"")  # a line may be lost before the first byte of the reply

    def _receive(self, timeout: float) -> bytes:
        deadline = self.elapsed() + timeout
        while True:
            now = self.elapsed()
            due = self._coming[0][0] if self._coming else math.inf
            if due <= now:
                return self._arrived()
            if data := self._inner.read(min(max(min(due, deadline) - now, 0.0), LONGEST_WAIT)):
                self._harm(data)
            elif deadline <= self.elapsed() < due:
                return b""

    def _arrived(self) -> bytes:
        _, data = self._coming.popleft()
        if data is None:
            self.close()
            raise LinkClosed(f"the link {self.name} was lost (a declared fault)")
        return data

    def _harm(self, data: bytes) -> None:
        pieces: list[tuple[float, bytes | None]] = [(0.0, data)]
        for strike in self._striking:
            pieces = [
                (late + later, harmed)
                for late, piece in pieces
                for later, harmed in ([(0.0, None)] if piece is None else strike.on(piece))
            ]
        for late, piece in pieces:
            if piece != b"":
                self._coming.append((self.elapsed() + late, piece))

    def _reopen(self) -> None:
        self._coming.clear()
        self._inner.reopen()

    def _close(self) -> None:
        self._inner.close()


class _Strike:
    """One fault at work on one reply."""

    def __init__(self, fault: Fault, source: random.Random) -> None:
        self._fault = fault
        self._random = source
        self._passed = 0
        self._struck = False
        self._held = b""

    def on(self, data: bytes) -> Iterator[tuple[float, bytes | None]]:
        """What becomes of a piece of the reply: how many seconds later which bytes come (None: the line is lost)."""
        fault = self._fault
        unharmed = data[: max(fault.after - self._passed, 0)]
        rest = data[len(unharmed) :]
        self._passed += len(data)
        yield 0.0, unharmed
        match fault.kind:
            case FaultKind.CLOSE if self._passed >= fault.after:
                yield 0.0, None
            case FaultKind.STALL if self._struck:
                return
            case FaultKind.STALL if self._passed >= fault.after:
                yield fault.seconds, None
            case _ if not rest:
                return
            case FaultKind.SILENCE:
                return
            case FaultKind.JITTER:
                yield fault.seconds * self._random.random(), rest
            case FaultKind.REORDER if not self._struck:
                self._held = rest
            case FaultKind.REORDER:
                held, self._held = self._held, b""
                yield 0.0, rest
                yield 0.0, held
            case FaultKind.TRUNCATION:
                yield 0.0, b"" if self._struck else rest[: self._random.randrange(len(rest))]
            case FaultKind.DELAY:
                yield fault.seconds, rest
            case FaultKind.SLICES:
                late = 0.0
                while rest:
                    length = self._random.randint(1, fault.longest)
                    yield late, rest[:length]
                    rest, late = rest[length:], late + fault.seconds
            case FaultKind.TWICE:
                yield 0.0, rest
                yield fault.seconds, rest
            case FaultKind.GARBAGE if not self._struck:
                yield 0.0, self._random.randbytes(self._random.randint(1, fault.longest))
                yield 0.0, rest
            case FaultKind.GARBLE if not self._struck:
                place = self._random.randrange(len(rest))
                flipped = rest[place] ^ 1 << self._random.randrange(8)
                yield 0.0, rest[:place] + bytes([flipped]) + rest[place + 1 :]
            case _:
                yield 0.0, rest
        self._struck = True
