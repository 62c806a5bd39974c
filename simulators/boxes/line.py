"""A simulated box on a line of bytes: each message is heard as it comes, each answer leaves when it is due."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Generic, Protocol, TypeVar

from drivers.clock import Clock
from drivers.errors import WireError

M = TypeVar("M")
N_co = TypeVar("N_co", covariant=True)


class Splitter(Protocol[N_co]):
    """Cuts bytes into messages; raises WireError on what is none."""

    def feed(self, data: bytes) -> None: ...

    def next(self) -> N_co | None: ...

    def reset(self) -> None: ...


class Surroundings(Protocol):
    """What every box needs of the world."""

    @property
    def clock(self) -> Clock: ...

    def catch_up(self) -> None: ...


class ByteBox(ABC, Generic[M]):
    """The `Peer` of one host; a box says what it does with a message, and with what is none."""

    def __init__(self, world: Surroundings, splitter: Splitter[M]) -> None:
        self._clock = world.clock
        self._catch_up = world.catch_up
        self._splitter = splitter
        self._replies: deque[tuple[float, bytes]] = deque()  # clock time from which each may leave

    def connected(self) -> None:
        self._splitter.reset()
        self._replies.clear()

    def disconnected(self) -> None:
        self.connected()

    def receive(self, data: bytes) -> None:
        self._catch_up()
        try:
            self._splitter.feed(data)
        except WireError as error:
            self._mishear(error)
        while True:
            try:
                message = self._splitter.next()
                if message is None:
                    return
                self._hear(message)
            except WireError as error:
                self._mishear(error)

    def due(self) -> float | None:
        return self._replies[0][0] if self._replies else None

    def send(self) -> bytes:
        if not self._replies or self._replies[0][0] > self._clock.now():
            return b""
        return self._replies.popleft()[1]

    @abstractmethod
    def _hear(self, message: M) -> None:
        """Do what a message asks for, and answer by `_say`; a WireError that it raises is misheard."""

    @abstractmethod
    def _mishear(self, error: WireError) -> None:
        """Answer what is no message as the box does."""

    def _say(self, reply: bytes, at: float) -> None:
        """Have an answer leave at a clock time, s, behind those that already wait."""
        self._replies.append((at, reply))
