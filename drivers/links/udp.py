"""A link over UDP: one datagram a write, one datagram a read."""

from __future__ import annotations

import socket

from drivers.clock import Clock
from drivers.errors import LinkError
from drivers.links.base import LOOK, AbortFlag
from drivers.links.port import PortLink

LARGEST = 65535  # bytes in a datagram


class UdpLink(PortLink):
    """Datagrams to and from `host:port` only; datagrams from anybody else never arrive.

    Raises LinkError when the host has no address, and at the next read or write when nobody listens there.
    """

    def __init__(self, name: str, host: str, port: int, clock: Clock, abort: AbortFlag | None = None) -> None:
        super().__init__(name, clock, abort)
        self.host = host
        self.port = port
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            raise self._failed(error) from None
        self._socket = socket.socket(family, kind, protocol)
        try:
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise self._failed(error) from None

    def _write(self, data: bytes) -> None:
        self._socket.settimeout(LOOK)
        try:
            self._socket.send(data)
        except OSError as error:
            raise self._failed(error) from None

    def _poll(self, seconds: float) -> bytes:
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(LARGEST)
        except (TimeoutError, BlockingIOError):
            return b""
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> LinkError:
        # the socket stays open: a box that was switched on again answers the next datagram
        return LinkError(
            f"the link {self.name} cannot reach udp://{self.host}:{self.port} ({error})",
            way_out="Is the box on, and are address and port right?",
        )

    def _close(self) -> None:
        self._socket.close()
