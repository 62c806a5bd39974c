"""Simulated boxes on real ports, for other people's clients: bytes between a socket and a `Peer`, in real time."""

from __future__ import annotations

import selectors
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from drivers.clock import RealClock
from drivers.links.memory import Peer

LOOPBACK = "127.0.0.1"
PIECE = 65536  # bytes a read takes at most
LONGEST_NAP = 0.05  # wall s; a peer may come to have something to say by another peer's doing
SHORTEST_NAP = 0.0005  # wall s; a peer that promised bytes and has none yet is not asked in a rush


@dataclass(frozen=True)
class Port:
    """Where a box is to be reached; number 0 takes a free one."""

    peer: Peer
    kind: Literal["tcp", "udp"] = "tcp"
    number: int = 0
    host: str = LOOPBACK


@contextmanager
def serve(clock: RealClock, ports: Mapping[str, Port]) -> Iterator[dict[str, str]]:
    """Serve boxes by name until the block ends; gives the address of each, such as "tcp://127.0.0.1:7777".

    One thread serves them all, so boxes in front of one world never meet in it.  A box has one host at a time: while it
    is there another is turned away.  Raises OSError when a port cannot be had, and at the end whatever a box raised.
    """
    with ExitStack() as opened:
        lines: dict[str, _Line] = {}
        for name, port in ports.items():
            lines[name] = _open(port)
            opened.callback(lines[name].close)
        bell, ringer = socket.socketpair()
        opened.enter_context(bell)
        opened.enter_context(ringer)
        addresses = {name: f"{ports[name].kind}://{line.host}:{line.number}" for name, line in lines.items()}
        with ThreadPoolExecutor(1, "serve") as thread:
            serving = thread.submit(_pump, clock, list(lines.values()), bell)
            try:
                yield addresses
            finally:
                ringer.send(b"\0")
                serving.result()


def _pump(clock: RealClock, lines: list[_Line], bell: socket.socket) -> None:
    with selectors.DefaultSelector() as selector, ExitStack() as started:
        selector.register(bell, selectors.EVENT_READ)
        for line in lines:
            line.start(selector)
            started.callback(line.stop)
        nap = 0.0
        while True:
            for key, mask in selector.select(nap):
                if key.fileobj is bell:
                    return
                key.data.ready(key.fileobj, mask)
            for line in lines:
                line.speak(clock.now())
            dues = [due for line in lines if (due := line.due()) is not None]
            left = (min(dues) - clock.now()) / clock.speed if dues else LONGEST_NAP
            nap = min(max(left, SHORTEST_NAP), LONGEST_NAP)


class _Line(ABC):
    """One port and the box behind it."""

    def __init__(self, peer: Peer, listener: socket.socket) -> None:
        self._peer = peer
        self._listener = listener
        self._listener.setblocking(False)
        self.host, self.number = listener.getsockname()[:2]

    @abstractmethod
    def start(self, selector: selectors.BaseSelector) -> None:
        """Watch the port."""

    @abstractmethod
    def ready(self, which: object, mask: int) -> None:
        """The socket `which` can be read or written."""

    @abstractmethod
    def speak(self, now: float) -> None:
        """Pass on what the box has to say by clock time `now`."""

    @abstractmethod
    def due(self) -> float | None:
        """Clock time from which the box has something that can be passed on."""

    @abstractmethod
    def stop(self) -> None:
        """Part with the host."""

    def close(self) -> None:
        self._listener.close()


class _Tcp(_Line):
    """A box with a stream; what the host does not take stays in the box, as on the real line."""

    def __init__(self, peer: Peer, listener: socket.socket) -> None:
        super().__init__(peer, listener)
        self._host: socket.socket | None = None
        self._left = b""

    def start(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        selector.register(self._listener, selectors.EVENT_READ, self)

    def ready(self, which: object, mask: int) -> None:
        if which is self._listener:
            self._greet()
        elif mask & selectors.EVENT_READ:
            self._hear()
        if self._host is not None and mask & selectors.EVENT_WRITE:
            self._put()

    def speak(self, now: float) -> None:
        while self._host is not None and not self._left and (due := self._peer.due()) is not None and due <= now:
            self._left = self._peer.send()
            if not self._left:
                return
            self._put()

    def due(self) -> float | None:
        return self._peer.due() if self._host is not None and not self._left else None

    def stop(self) -> None:
        if self._host is not None:
            self._selector.unregister(self._host)
            self._host.close()
            self._host = None
            self._left = b""
            self._peer.disconnected()

    def _greet(self) -> None:
        host, _ = self._listener.accept()
        if self._host is not None:
            host.close()
            return
        host.setblocking(False)
        host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = host
        self._selector.register(host, selectors.EVENT_READ, self)
        self._peer.connected()

    def _hear(self) -> None:
        assert self._host is not None
        try:
            data = self._host.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._peer.receive(data)
        else:
            self.stop()

    def _put(self) -> None:
        assert self._host is not None
        try:
            self._left = self._left[self._host.send(self._left) :]
        except BlockingIOError:
            pass
        except OSError:
            self.stop()
            return
        watched = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._left else 0)
        self._selector.modify(self._host, watched, self)


class _Udp(_Line):
    """A box with datagrams; it answers whoever asked last."""

    def __init__(self, peer: Peer, listener: socket.socket) -> None:
        super().__init__(peer, listener)
        self._asker: Any = None

    def start(self, selector: selectors.BaseSelector) -> None:
        selector.register(self._listener, selectors.EVENT_READ, self)
        self._peer.connected()

    def ready(self, which: object, mask: int) -> None:
        try:
            data, self._asker = self._listener.recvfrom(PIECE)
        except OSError:
            return  # an asker that has gone; Windows reports it here
        self._peer.receive(data)

    def speak(self, now: float) -> None:
        while self._asker is not None and (due := self._peer.due()) is not None and due <= now:
            data = self._peer.send()
            if not data:
                return
            with suppress(OSError):  # a datagram may be lost
                self._listener.sendto(data, self._asker)

    def due(self) -> float | None:
        return self._peer.due() if self._asker is not None else None

    def stop(self) -> None:
        self._peer.disconnected()


def _open(port: Port) -> _Line:
    if port.kind == "tcp":
        return _Tcp(port.peer, socket.create_server((port.host, port.number)))
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.bind((port.host, port.number))
    except OSError:
        listener.close()
        raise
    return _Udp(port.peer, listener)
