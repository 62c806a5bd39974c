"""A link to a simulated device in the same process: no threads, no sockets, the same bytes."""

from __future__ import annotations

from typing import Protocol

from drivers.clock import Clock
from drivers.links.base import AbortFlag, Link


class Peer(Protocol):
    """The far end of a link: bytes in, bytes out, and the moment from which bytes are ready."""

    def connected(self) -> None:
        """A host has opened the line."""

    def receive(self, data: bytes) -> None:
        """Take what the host sent."""

    def due(self) -> float | None:
        """Clock time from which `send` has bytes; None while nothing is to come."""

    def send(self) -> bytes:
        """The bytes ready now (one datagram on a datagram wire); b"" if none are."""

    def disconnected(self) -> None:
        """The host has gone."""


class MemoryLink(Link):
    """Bytes to a `Peer`; waiting moves the clock to the next byte due, or to the time-out."""

    def __init__(self, name: str, peer: Peer, clock: Clock, abort: AbortFlag | None = None) -> None:
        super().__init__(name, clock, abort)
        self._peer = peer
        peer.connected()

    def _write(self, data: bytes) -> None:
        self._peer.receive(data)

    def _receive(self, timeout: float) -> bytes:
        deadline = self.clock.now() + timeout
        while True:
            due = self._peer.due()
            if due is None or due > deadline:
                self._sleep_until(deadline)
                return b""
            self._sleep_until(due)
            if data := self._peer.send():
                return data
            if self._peer.due() == due:  # a peer that promised bytes and sent none has nothing to say
                self._sleep_until(deadline)
                return b""

    def _reopen(self) -> None:
        self._peer.connected()

    def _close(self) -> None:
        self._peer.disconnected()
