"""HTTP over any link of bytes: framing by httpcore and h11, waiting, time-outs and faults as on every other link."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpcore

from drivers.clock import Clock
from drivers.errors import Aborted, LinkClosed, LinkError, LinkTimeout, RigError, WireError
from drivers.links.base import LONGEST_WAIT, AbortFlag, Link
from drivers.wire.http import JSON, Request, Response

T = TypeVar("T")
PATIENCE = 5.0  # s for a whole answer, unless told
LARGEST = 1 << 20  # bytes of a body, unless told
TWICE = 3  # askings at most until two answers in a row agree


class HttpLink:
    """One way to one HTTP box over a link of bytes; one request at a time, kept alive, opened anew when the box closed.

    host: what the box is called in the request.  A body larger than asked for is not read.
    """

    def __init__(self, link: Link, host: str = "localhost") -> None:
        self._link = link
        self._host = f"[{host}]" if ":" in host else host
        self._stream: _Stream | None = None
        self._deadline = 0.0
        self.closed = False
        self._pool = httpcore.ConnectionPool(
            network_backend=_Backend(self._connect), max_connections=1, max_keepalive_connections=1, retries=0
        )

    @property
    def name(self) -> str:
        """Of the link."""
        return self._link.name

    @property
    def clock(self) -> Clock:
        """The rig's clock."""
        return self._link.clock

    @property
    def abort(self) -> AbortFlag:
        """Looked at in every wait."""
        return self._link.abort

    @property
    def in_transaction(self) -> bool:
        """True between a request and its answer: no control wait may run then."""
        return self._link.in_transaction

    def transaction(self) -> AbstractContextManager[None]:
        """Mark several exchanges as one."""
        return self._link.transaction()

    def elapsed(self) -> float:
        """Seconds by which time-outs count: rig time in memory, wall time on a real port."""
        return self._link.elapsed()

    def close(self) -> None:
        """Close the line; closing twice is allowed."""
        self.closed = True
        self._pool.close()
        self._link.close()

    def exchange(self, request: Request, *, timeout: float = PATIENCE, largest: int = LARGEST) -> Response:
        """Send a request and return its response, whatever its status.

        timeout: s of `elapsed` for all of it.  largest: bytes of a body that are read.
        Raises LinkTimeout, LinkClosed, LinkError, Aborted, and WireError for what is no HTTP or has no known length.
        """
        if self.closed:
            raise LinkClosed(f"the link {self.name} is closed")
        if self.abort.is_set():  # before httpcore, which may close the line to find out
            raise Aborted(f"stopped before a request to {self.name}")
        with self._link.transaction():
            self._deadline = self.elapsed() + timeout
            try:
                return self._exchange(request, largest)
            except httpcore.TimeoutException:
                raise LinkTimeout(
                    f"got no whole answer in {timeout:g} s", way_out="Is the box on and its server running?"
                ) from None
            except httpcore.ProtocolError as error:
                raise WireError(f"what came is no HTTP ({error})") from None

    def _exchange(self, request: Request, largest: int) -> Response:
        headers = [("Host", self._host), ("Accept", "*/*")]
        if request.body or request.method in ("PUT", "POST"):
            headers += [
                ("Content-Type", request.content_type or JSON),
                ("Content-Length", str(len(request.body))),
            ]
        query = f"?{urlencode(request.query, quote_via=quote)}" if request.query else ""
        url = f"http://{self._host}{quote(request.path, safe='/')}{query}"
        with self._pool.stream(request.method, url, headers=headers, content=request.body or None) as answer:
            said = {key.lower(): value for key, value in answer.headers}
            _see_length(answer.status, said, largest)
            body = bytearray()
            for piece in answer.iter_stream():
                body += piece
                if len(body) > largest:
                    raise WireError(f"a body of more than {largest} bytes came")
            kind = said.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
            return Response(answer.status, bytes(body), kind)

    def _connect(self) -> _Stream:
        if self._link.closed or self._stream is not None:
            self._link.reopen()
        self._stream = _Stream(self._link, lambda: self._deadline)
        return self._stream


class HttpExchange:
    """Asks an HTTP box and returns what its answer means; says which device did what when it fails."""

    def __init__(self, link: HttpLink, device: str, *, timeout: float = PATIENCE, largest: int = LARGEST) -> None:
        self.link = link
        self.device = device
        self._timeout = timeout
        self._largest = largest

    def ask_for(
        self,
        action: str,
        request: Request,
        read: Callable[[Response], T],
        *,
        safe: bool,
        timeout: float | None = None,
        largest: int | None = None,
    ) -> T:
        """Send a request and return what `read` makes of the response (it raises WireError or DeviceError).

        A `safe` one is asked once more, and only once, if nothing usable came.  timeout: s.  largest: bytes of a body.
        Raises LinkError, WireError, Aborted and what `read` raises.
        """

        def once() -> T:
            with self._blamed(action):
                return read(
                    self.link.exchange(request, timeout=timeout or self._timeout, largest=largest or self._largest)
                )

        try:
            return once()
        except (LinkError, WireError):
            if not safe or self.link.closed:
                raise
        return once()

    def agreed(self, action: str, request: Request, read: Callable[[Response], T]) -> T:
        """What two answers in a row agree on, for numbers that a flipped bit would make another number; safe ones only.

        Raises as `ask_for` does, and WireError when three answers do not agree.
        """
        last = self.ask_for(action, request, read, safe=True)
        for _ in range(TWICE - 1):
            before, last = last, self.ask_for(action, request, read, safe=True)
            if before == last:
                return last
        with self._blamed(action):
            raise WireError(f"{TWICE} answers in a row differ, the last of them {before} and {last}")

    @contextmanager
    def _blamed(self, action: str) -> Iterator[None]:
        try:
            yield
        except RigError as error:
            raise error.at(self.device, action) from None


def stays_here(host: str) -> bool:
    """True when plain HTTP to this host leaves nothing to overhear or forge: a loopback address or `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _see_length(status: int, said: dict[bytes, bytes], largest: int) -> None:
    """A body ends where it says: one that ends with the line cannot be told from one cut off."""
    length = said.get(b"content-length")
    if length is not None and not (length.isdigit() and len(length) < 16 and int(length) <= largest):
        raise WireError(f"a body of {length.decode('latin-1')[:40]} bytes is announced; at most {largest} are believed")
    if length is None and said.get(b"transfer-encoding", b"").lower() != b"chunked" and status not in (204, 304):
        raise WireError("an answer came without the length of its body")


class _Backend(httpcore.NetworkBackend):
    """Hands httpcore our link where it asks for a connection."""

    def __init__(self, connect: Callable[[], _Stream]) -> None:
        self._made = connect

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore.NetworkStream:
        return self._made()


class _Stream(httpcore.NetworkStream):
    """The bytes of one connection; a request goes out in one piece."""

    def __init__(self, link: Link, deadline: Callable[[], float]) -> None:
        self._link = link
        self._deadline = deadline
        self._out = bytearray()
        self._in = bytearray()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._send()
        while not self._in:
            left = self._deadline() - self._link.elapsed()
            if left <= 0.0:
                raise httpcore.ReadTimeout
            self._in += self._link.read(min(left, LONGEST_WAIT))
        taken = bytes(self._in[:max_bytes])
        del self._in[:max_bytes]
        return taken

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._out += buffer

    def close(self) -> None:
        self._link.close()

    def get_extra_info(self, info: str) -> Any:
        # bytes that nobody asked for, or the end of the line: httpcore then takes a new connection
        if info != "is_readable":
            return None
        if self._link.closed:
            return True
        try:
            self._in += self._link.read(0.0)
        except LinkError:
            return True
        return bool(self._in)

    def _send(self) -> None:
        if self._out:
            out, self._out = bytes(self._out), bytearray()
            self._link.write(out)
