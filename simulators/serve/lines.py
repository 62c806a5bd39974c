"""One port and the box behind it: streams with one host or with many, and datagrams."""

from __future__ import annotations

import selectors
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from drivers.links.memory import Peer

PIECE = 65536  # bytes a read takes at most


class Line(ABC):
    """One port and the box behind it."""

    address: str  # such as "tcp://127.0.0.1:7777"

    @abstractmethod
    def start(self, selector: selectors.BaseSelector) -> None:
        """Watch the port."""

    @abstractmethod
    def ready(self, which: object, mask: int) -> None:
        """What `start` registered can be read or written."""

    @abstractmethod
    def speak(self, now: float) -> None:
        """Pass on what the box has to say by clock time `now`."""

    @abstractmethod
    def due(self) -> float | None:
        """Clock time from which the box has something that can be passed on."""

    @abstractmethod
    def stop(self) -> None:
        """Part with the host."""

    @abstractmethod
    def close(self) -> None:
        """Give the port back; nothing is watched any more."""


class StreamLine(Line):
    """A TCP port in front of a box that takes `most` hosts at a time; one more is turned away.

    peer: gives the far end of a new connection.  finished: true when a peer wants its connection closed.
    """

    def __init__(
        self,
        scheme: str,
        listener: socket.socket,
        most: int,
        peer: Callable[[], Peer],
        finished: Callable[[Peer], bool] = lambda _: False,
    ) -> None:
        self._listener, self._most, self._peer, self._finished = listener, most, peer, finished
        self._listener.setblocking(False)
        self._hosts: dict[socket.socket, _Host] = {}
        self.address = _address(scheme, listener)

    def start(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        selector.register(self._listener, selectors.EVENT_READ, self)

    def ready(self, which: object, mask: int) -> None:
        if which is self._listener:
            self._greet()
            return
        host = self._hosts[which]  # type: ignore[index]
        if (mask & selectors.EVENT_READ and not host.hear()) or (mask & selectors.EVENT_WRITE and not host.put()):
            self._part(host)

    def speak(self, now: float) -> None:
        for host in list(self._hosts.values()):
            if not host.speak(now) or (not host.left and self._finished(host.peer)):
                self._part(host)

    def due(self) -> float | None:
        return min((due for host in self._hosts.values() if (due := host.due()) is not None), default=None)

    def stop(self) -> None:
        for host in list(self._hosts.values()):
            self._part(host)

    def close(self) -> None:
        self._listener.close()

    def _greet(self) -> None:
        try:
            line, _ = self._listener.accept()
        except OSError:  # who knocked has gone again
            return
        if len(self._hosts) >= self._most:
            line.close()
            return
        line.setblocking(False)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host = self._hosts[line] = _Host(line, self._peer(), self._selector, self)
        host.peer.connected()

    def _part(self, host: _Host) -> None:
        if self._hosts.pop(host.line, None) is not None:
            self._selector.unregister(host.line)
            host.line.close()
            host.peer.disconnected()


class _Host:
    """One connection; what the host does not take stays in the box, as on the real line."""

    def __init__(self, line: socket.socket, peer: Peer, selector: selectors.BaseSelector, owner: StreamLine) -> None:
        self.line, self.peer = line, peer
        self.left = b""
        self._selector, self._owner = selector, owner
        selector.register(line, selectors.EVENT_READ, owner)

    def hear(self) -> bool:
        """Read once; False when the host has gone."""
        try:
            data = self.line.recv(PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if data:
            self.peer.receive(data)
        return bool(data)

    def put(self) -> bool:
        """Send what is left; False when the host has gone."""
        try:
            self.left = self.left[self.line.send(self.left) :]
        except BlockingIOError:
            pass
        except OSError:
            return False
        watched = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.left else 0)
        self._selector.modify(self.line, watched, self._owner)
        return True

    def speak(self, now: float) -> bool:
        """Send what is due; False when the host has gone."""
        while not self.left and (due := self.peer.due()) is not None and due <= now:
            self.left = self.peer.send()
            if not self.left:
                return True
            if not self.put():
                return False
        return True

    def due(self) -> float | None:
        return self.peer.due() if not self.left else None


class DatagramLine(Line):
    """A box with datagrams; it answers whoever asked last."""

    def __init__(self, listener: socket.socket, peer: Peer) -> None:
        self._listener, self._peer = listener, peer
        self._listener.setblocking(False)
        self._asker: Any = None
        self.address = _address("udp", listener)

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

    def close(self) -> None:
        self._listener.close()


def listen_tcp(host: str, number: int) -> socket.socket:
    """A listening TCP socket; raises OSError when the port cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, number), family=family, backlog=64)


def listen_udp(host: str, number: int) -> socket.socket:
    """A bound UDP socket; raises OSError when the port cannot be had."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.bind((host, number))
    except OSError:
        listener.close()
        raise
    return listener


def _address(scheme: str, listener: socket.socket) -> str:
    host, number = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{number}" if ":" in host else f"{scheme}://{host}:{number}"
