"""Questions to a DP5, each with its own answer: no late, doubled or broken packet is taken for one."""

from __future__ import annotations

from itertools import count

from drivers.errors import DeviceError, LinkTimeout, WireError
from drivers.links.base import Link
from drivers.links.exchange import Exchange
from drivers.wire import dp5
from drivers.wire.dp5 import Ack, Packet, Repeat, Request

STALE_PIECES = 64  # read before the line is given up; the longest late answer comes in 48 datagrams
_ACK = 0xFF


class Dp5Line:
    """One DP5 on a link.

    The wire has no sequence numbers, so every answer is closed by the echo of a number never used before: an answer
    that came late or twice shows up in front of the echo and is not believed.
    """

    def __init__(self, link: Link, device: str) -> None:
        self._link = link
        self._device = device
        self._exchange: Exchange[Packet] = Exchange(
            link, dp5.Splitter(), device=device, resync=self._forget_late_answers
        )
        self._nonces = count(1)

    def ask(self, action: str, request: Request, data: bytes = b"") -> Packet:
        """The answer to a request; a safe one is asked once more, and any that the box says it received broken.

        Raises LinkError, WireError, Aborted; DeviceError when the box says no.
        """
        reply = self._answer(action, request, data)
        if reply.pid[0] == _ACK and Ack(reply.pid[1]) in dp5.GARBLED:
            reply = self._answer(action, request, data)  # the box did nothing, so the same bytes may go again
        if reply.pid in request.replies:
            return reply
        to = f' to "{reply.data.decode("latin-1")}"' if reply.data else ""
        said = Ack(reply.pid[1]).name.lower().replace("_", " ")
        raise DeviceError(f'was answered "{said}"{to}', device=self._device, action=action)

    def _answer(self, action: str, request: Request, data: bytes) -> Packet:
        try:
            return self._once(action, request, data)
        except (LinkTimeout, WireError):
            if request.repeat is not Repeat.SAFE:
                raise
        return self._once(action, request, data)

    def _once(self, action: str, request: Request, data: bytes) -> Packet:
        reply = self._exchange.ask(action, request.packet(data).encode(), safe=False)
        self._close_question(action)
        if reply.pid not in request.replies and reply.pid[0] != _ACK:
            raise self._unbelieved(action, f"was answered by packet {reply.pid[0]:02X}/{reply.pid[1]:02X}")
        return reply

    def _close_question(self, action: str) -> None:
        echo = self._echo()
        if late := self._link.drain():
            raise self._unbelieved(action, f"got {len(late)} bytes after the answer")
        if self._exchange.ask(action, dp5.ECHO.packet(echo).encode(), safe=False) != Packet(dp5.ECHO_REPLY, echo):
            raise self._unbelieved(action, "got another answer where the echo was due")

    def _forget_late_answers(self) -> None:
        echo = self._echo()
        self._exchange.put(dp5.ECHO.packet(echo).encode())
        for _ in range(STALE_PIECES):
            try:
                if self._exchange.take("resync") == Packet(dp5.ECHO_REPLY, echo):
                    return
            except WireError:
                self._exchange.splitter.reset()  # a late or broken piece: the echo comes behind it
        raise WireError(f"{STALE_PIECES} pieces came, none of them its echo")

    def _unbelieved(self, action: str, what: str) -> WireError:
        self._exchange.doubt()
        return WireError(what, device=self._device, action=action)

    def _echo(self) -> bytes:
        return f"cryolift {next(self._nonces)}".encode("ascii")
