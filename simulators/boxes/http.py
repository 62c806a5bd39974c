"""A simulated box that speaks HTTP: what it answers is the box's, how that becomes bytes is h11's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from drivers.clock import Clock
from drivers.wire.http import Request, Response

LARGEST = 1 << 20  # bytes of a request's body
REASONS = {200: b"OK", 204: b"No Content", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found"}


@dataclass(frozen=True)
class Later:
    """An answer that is made at a clock time, s: the move is over then, the frame is read; or it takes longer still."""

    at: float
    make: Callable[[], Response | Later]


class HttpBox(Protocol):
    """A box behind an HTTP server, whoever is connected to it and however often.

    One that closes the connection after each answer, as HTTP/1.0 does, says so by an attribute `closes = True`.
    """

    def answer(self, request: Request) -> Response | Later:
        """What it answers; a fault of the request is a response, too."""


class HttpPeer:
    """One connection to a box: a `Peer`.

    admitted: says of the Authorization header of a request whether it may pass; all may where left out.
    """

    def __init__(self, box: HttpBox, clock: Clock, admitted: Callable[[bytes], bool] = lambda _: True) -> None:
        self._box = box
        self._clock = clock
        self._admitted = admitted
        self._connection = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._out = bytearray()
        self._heard = 0.0  # clock time from which what is in `_out` may leave
        self._later: Later | None = None

    @property
    def finished(self) -> bool:
        """True when everything was said and the connection is to be closed from here."""
        return self._connection.our_state in (h11.MUST_CLOSE, h11.CLOSED, h11.ERROR) and not self._out

    def connected(self) -> None:
        self._forget()

    def receive(self, data: bytes) -> None:
        if not data or self._connection.our_state is h11.ERROR:
            return
        try:
            self._connection.receive_data(data)
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, str(error))
            return
        self._go_on()

    def due(self) -> float | None:
        if self._out:
            return self._heard
        return self._later.at if self._later is not None else None

    def send(self) -> bytes:
        if self._later is not None and self._later.at <= self._clock.now():
            answer, self._later = self._later.make(), None
            if isinstance(answer, Later):
                self._later = answer
            else:
                self._say(answer)
                self._go_on()
        out, self._out = bytes(self._out), bytearray()
        return out

    def disconnected(self) -> None:
        self._forget()  # what the box was asked to do it does all the same

    def _forget(self) -> None:
        self._connection = h11.Connection(h11.SERVER)
        self._request = self._later = None
        self._body, self._out = bytearray(), bytearray()

    def _go_on(self) -> None:
        """Take events until bytes are missing or an answer is under way: requests are answered one by one."""
        while self._later is None:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint, str(error))
                return
            if isinstance(event, h11.Request):
                self._request, self._body = event, bytearray()
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > LARGEST:
                    self._refuse(413, f"a body of more than {LARGEST} bytes")
                    return
            elif isinstance(event, h11.EndOfMessage):
                self._answer()
            else:  # NEED_DATA, PAUSED, ConnectionClosed
                return

    def _answer(self) -> None:
        assert self._request is not None
        headers = dict(self._request.headers)
        if not self._admitted(headers.get(b"authorization", b"")):
            self._say(Response(401, b"a token is needed", "text/plain"))
            return
        target = urlsplit(self._request.target.decode("latin-1"))
        answer = self._box.answer(
            Request(
                self._request.method.decode("latin-1"),
                unquote(target.path),
                tuple(parse_qsl(target.query, keep_blank_values=True)),
                bytes(self._body),
                headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower(),
            )
        )
        if isinstance(answer, Later):
            self._later = answer
        else:
            self._say(answer)

    def _say(self, response: Response) -> None:
        headers = [("Content-Length", str(len(response.body)))] if response.status != 204 else []
        if response.content_type:
            headers.append(("Content-Type", response.content_type))
        if getattr(self._box, "closes", False):
            headers.append(("Connection", "close"))
        if self._connection.our_state is h11.SEND_RESPONSE:
            for event in (
                h11.Response(status_code=response.status, headers=headers, reason=REASONS.get(response.status, b"")),
                h11.Data(data=response.body),
                h11.EndOfMessage(),
            ):
                if not (isinstance(event, h11.Data) and response.status == 204):
                    self._out += self._connection.send(event) or b""
        if self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE:
            self._connection.start_next_cycle()

    def _refuse(self, status: int, why: str) -> None:
        """Answer what is no request, once; the connection is of no more use."""
        if self._connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = why.encode("utf-8", "replace")
            for event in (
                h11.Response(status_code=status, headers=[("Content-Length", str(len(body))), ("Connection", "close")]),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self._out += self._connection.send(event) or b""
        self._connection.send_failed()
