"""A serial line in front of a box: a pseudo-terminal where there are any, a TCP port for pyserial elsewhere."""

from __future__ import annotations

import os
import selectors
from contextlib import suppress
from importlib.util import find_spec

from drivers.links.memory import Peer
from simulators.serve.lines import PIECE, Line, StreamLine, listen_tcp


def serial_line(host: str, number: int, peer: Peer) -> Line:
    """The box on a line whose address a serial link opens."""
    if find_spec("termios") is None:  # Windows
        line = StreamLine("socket", listen_tcp(host, number), 1, lambda: peer)
        line.address = f"serial:{line.address}"
        return line
    return PtyLine(peer)


class PtyLine(Line):
    """A pseudo-terminal; like a box on a real serial line, this one does not know whether anybody is there."""

    def __init__(self, peer: Peer) -> None:
        import tty  # only where pseudo-terminals are: nothing else of the project needs it

        self._peer = peer
        self._box, self._host = os.openpty()
        tty.setraw(self._host)  # as long as we hold it open, it stays so
        os.set_blocking(self._box, False)
        self._left = b""
        self.address = f"serial:{os.ttyname(self._host)}"

    def start(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        selector.register(self._box, selectors.EVENT_READ, self)
        self._peer.connected()

    def ready(self, which: object, mask: int) -> None:
        if mask & selectors.EVENT_READ:
            try:
                data = os.read(self._box, PIECE)
            except OSError:
                data = b""
            if data:
                self._peer.receive(data)
        if mask & selectors.EVENT_WRITE:
            self._put()

    def speak(self, now: float) -> None:
        while not self._left and (due := self._peer.due()) is not None and due <= now:
            self._left = self._peer.send()
            if not self._left:
                return
            self._put()

    def due(self) -> float | None:
        return self._peer.due() if not self._left else None

    def stop(self) -> None:
        self._peer.disconnected()

    def close(self) -> None:
        os.close(self._box)
        os.close(self._host)

    def _put(self) -> None:
        with suppress(BlockingIOError):  # nobody reads: a real line would have lost it by now, this one keeps 4 KB
            self._left = self._left[os.write(self._box, self._left) :]
        self._selector.modify(self._box, selectors.EVENT_READ | (selectors.EVENT_WRITE if self._left else 0), self)
