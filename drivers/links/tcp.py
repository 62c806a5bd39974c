"""A link over a raw TCP socket."""

from __future__ import annotations

import socket

from drivers.clock import Clock
from drivers.errors import LinkClosed, LinkError, LinkTimeout
from drivers.links.base import LONGEST_WAIT, LOOK, AbortFlag
from drivers.links.port import PortLink

PIECE = 65536  # bytes a read takes at most


class TcpLink(PortLink):
    """Bytes to `host:port`; connects at once.

    connect_timeout: wall seconds.  Raises LinkError when the box cannot be reached.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        clock: Clock,
        abort: AbortFlag | None = None,
        *,
        connect_timeout: float = 3.0,
    ) -> None:
        super().__init__(name, clock, abort)
        self.host = host
        self.port = port
        self._connect_timeout = connect_timeout
        self._reopen()

    def _reopen(self) -> None:
        try:
            self._socket = socket.create_connection((self.host, self.port), self._connect_timeout)
        except OSError as error:
            raise LinkError(
                f"the link {self.name} cannot reach tcp://{self.host}:{self.port} ({error})",
                way_out="Is the box on, and are address and port right?",
            ) from None
        # a request is one short segment: waiting to fill it would cost 40 ms a question
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _write(self, data: bytes) -> None:
        self._socket.settimeout(LOOK)
        left = memoryview(data)
        given_up = self.elapsed() + LONGEST_WAIT
        while left:
            try:
                left = left[self._socket.send(left) :]
                given_up = self.elapsed() + LONGEST_WAIT
            except TimeoutError:
                self._ready()
                if self.elapsed() >= given_up:
                    raise LinkTimeout(
                        f"the link {self.name}: the box took no byte for {LONGEST_WAIT:g} s, {len(left)} were left"
                    ) from None
            except OSError as error:
                raise self._lost(str(error)) from None

    def _poll(self, seconds: float) -> bytes:
        self._socket.settimeout(seconds)
        try:
            data = self._socket.recv(PIECE)
        except (TimeoutError, BlockingIOError):
            return b""
        except OSError as error:
            raise self._lost(str(error)) from None
        if not data:
            raise self._lost("closed from the far end")
        return data

    def _lost(self, why: str) -> LinkClosed:
        self.close()
        return LinkClosed(
            f"the link {self.name} to tcp://{self.host}:{self.port} was lost ({why})",
            way_out="Is the box on, the cable in, and does no other program hold its line?",
        )

    def _close(self) -> None:
        self._socket.close()
