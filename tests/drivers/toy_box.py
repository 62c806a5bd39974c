"""A box with four messages, made up to try links and exchanges on; answers do not name their question.

    T? A     -> T +77.350*SUM     safe: the temperature of a node
    E?       -> E 3*SUM           consuming: events since it was last asked
    GO 5     -> OK 5*SUM          action
    ID? 17   -> ID 17*SUM         safe: the same number back

SUM: the bytes before the star, added up modulo 9973, as four digits.
"""

from __future__ import annotations

from collections import deque

from drivers.clock import Clock
from drivers.errors import WireError
from drivers.links import Exchange, Link

TEMPERATURES = {"A": 77.350, "B": 192.100}


class ToyBox:
    """The far end: answers `latency` s after a question, or as long as `slow` says once."""

    def __init__(self, clock: Clock, *, latency: float = 0.01) -> None:
        self.latency = latency
        self.slow: deque[float] = deque()
        self.heard: list[str] = []
        self.heard_at: list[float] = []
        self.events = 3
        self.connections = 0
        self._clock = clock
        self._half = b""
        self._replies: deque[tuple[float, bytes]] = deque()

    def connected(self) -> None:
        self.connections += 1

    def disconnected(self) -> None:
        self.connections -= 1

    def receive(self, data: bytes) -> None:
        *lines, self._half = (self._half + data).split(b"\n")
        for line in lines:
            self.heard.append(line.decode())
            self.heard_at.append(self._clock.now())
            self.say(signed(self._answer(line.decode())), self.slow.popleft() if self.slow else self.latency)

    def say(self, data: bytes, later: float = 0.0) -> None:
        """Send bytes that may be nobody's answer."""
        earliest = self._replies[-1][0] if self._replies else 0.0
        self._replies.append((max(self._clock.now() + later, earliest), data))

    def due(self) -> float | None:
        return self._replies[0][0] if self._replies else None

    def send(self) -> bytes:
        return self._replies.popleft()[1] if self._replies and self._replies[0][0] <= self._clock.now() else b""

    def _answer(self, line: str) -> str:
        verb, _, rest = line.partition(" ")
        if verb == "T?":
            return f"T {TEMPERATURES[rest]:+.3f}"
        if verb == "E?":
            events, self.events = self.events, 0
            return f"E {events}"
        return f"ID {rest}" if verb == "ID?" else f"OK {rest}"


def signed(text: str) -> bytes:
    return f"{text}*{sum(text.encode()) % 9973:04d}\n".encode()


class ToySplitter:
    """Cuts lines of at most 40 bytes and checks their sums."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> str | None:
        line, end, rest = self._buffer.partition(b"\n")
        if len(line) > 40:
            raise WireError(f"the toy sent {len(line)} bytes without an end")
        if not end:
            return None
        self._buffer = rest
        text = line.partition(b"*")[0].decode("latin-1")
        if text.encode("latin-1") != line[:-5] or signed(text.encode("ascii", "replace").decode()) != line + end:
            raise WireError(f"the toy sent {line!r}, whose sum is wrong")
        return text

    def reset(self) -> None:
        self._buffer = b""


class Toy:
    """What a driver does with an exchange, at its smallest."""

    def __init__(self, link: Link, *, spacing: float = 0.0, timeout: float = 0.5) -> None:
        self._asked = 0
        self.exchange: Exchange[str] = Exchange(
            link, ToySplitter(), device="toy", spacing=spacing, timeout=timeout, resync=self._resync
        )

    def temperature(self, node: str) -> float:
        return float(self._value("T", self.exchange.ask("temperature", f"T? {node}\n".encode(), safe=True)))

    def events(self) -> int:
        return int(self._value("E", self.exchange.ask("events", b"E?\n", safe=False)))

    def go(self, place: int) -> None:
        self._value("OK", self.exchange.ask("go", f"GO {place}\n".encode(), safe=False))

    def _value(self, verb: str, answer: str) -> str:
        said, _, value = answer.partition(" ")
        if said != verb:
            self.exchange.doubt()
            raise WireError(f"answered {answer!r} to {verb}?", device="toy")
        return value

    def _resync(self) -> None:
        self._asked += 1
        self.exchange.put(f"ID? {self._asked}\n".encode())
        while self.exchange.take("resync") != f"ID {self._asked}":
            pass
