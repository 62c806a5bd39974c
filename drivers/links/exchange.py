"""One question, one answer: spacing, time-outs, one retry of what may be asked again, and no stale answer believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from drivers.errors import LinkTimeout, RigError, WireError
from drivers.links.base import LONGEST_WAIT, Link

Message = TypeVar("Message", covariant=True)


class Splitter(Protocol[Message]):
    """Cuts what arrives into messages; raises WireError on bytes its grammar forbids, holds a bounded buffer."""

    def feed(self, data: bytes) -> None:
        """Take bytes in any portions."""

    def next(self) -> Message | None:
        """The next whole message, or None until more bytes come."""

    def reset(self) -> None:
        """Forget what is half read."""


M = TypeVar("M")
T = TypeVar("T")


class Exchange(Generic[M]):
    """Asks a box over a link and returns its parsed answer.

    After a time-out, a broken answer or an abort the line is in doubt: before the next request `resync` (given by the
    driver) puts a question whose answer cannot be mistaken and reads up to it, so that a late answer is never taken for
    the next one.  Only a wire whose answers name their question can do without.

    timeout: s, for a whole message.  spacing: s of rig time from the last byte of one message to the next request.
    """

    def __init__(
        self,
        link: Link,
        splitter: Splitter[M],
        *,
        device: str,
        timeout: float = LONGEST_WAIT,
        spacing: float = 0.0,
        resync: Callable[[], None] | None = None,
    ) -> None:
        if not (0.0 < timeout <= LONGEST_WAIT and 0.0 <= spacing <= LONGEST_WAIT):
            raise ValueError(f"{device}: time-out {timeout} s, spacing {spacing} s, but at most {LONGEST_WAIT} s")
        self.link = link
        self.splitter = splitter
        self.device = device
        self._timeout = timeout
        self._spacing = spacing
        self._resync = resync
        self._in_doubt = False
        self._give_up = 0.0
        self._last = -1e9

    def ask(self, action: str, request: bytes, *, safe: bool) -> M:
        """Send a question and return its answer, as `ask_for` does."""
        return self.ask_for(action, request, lambda message: message, safe=safe)

    def ask_for(self, action: str, request: bytes, read: Callable[[M], T], *, safe: bool) -> T:
        """Send a question and return what `read` makes of its answer.

        A `safe` one is asked once more, and only once, if nothing usable came; what `read` cannot make sense of (it
        raises WireError) is not usable.  Raises LinkTimeout, LinkClosed, WireError, Aborted.
        """
        try:
            return self._once(action, request, read)
        except (LinkTimeout, WireError):
            if not safe:
                raise
        return self._once(action, request, read)

    def doubt(self) -> None:
        """Believe nothing that may still be under way."""
        self._in_doubt = True

    def put(self, request: bytes) -> None:
        """Send within `resync`, outside the rules."""
        self._put(request)

    def take(self, action: str) -> M:
        """Read one message within `resync`, outside the rules; all of `resync` has one time-out."""
        with self._blamed(action):
            return self._take(self._give_up)

    def _once(self, action: str, request: bytes, read: Callable[[M], T]) -> T:
        self._settle(action)
        with self._transaction(action):
            self._put(request)
            return read(self._take(self.link.elapsed() + self._timeout))

    def _settle(self, action: str) -> None:
        if self._in_doubt and self._resync is not None:
            with self._transaction(action):
                self.splitter.reset()
                # one time-out for all of it, or stale answers could keep it busy for ever
                self._give_up = self.link.elapsed() + self._timeout
                self._resync()
            self._in_doubt = False

    @contextmanager
    def _transaction(self, action: str) -> Iterator[None]:
        whole = False
        try:
            with self.link.transaction(), self._blamed(action):
                yield
            whole = True
        finally:
            # whatever broke it off, an abort included: the answer may still come
            self._in_doubt = self._in_doubt or not whole

    @contextmanager
    def _blamed(self, action: str) -> Iterator[None]:
        try:
            yield
        except RigError as error:
            raise error.at(self.device, action) from None

    def _put(self, request: bytes) -> None:
        wait = self._last + self._spacing - self.link.clock.now()
        if wait > 0.0:
            self.link.rest(min(wait, LONGEST_WAIT))
        self.link.drain()  # an answer nobody waited for is not the next answer
        self.splitter.reset()
        self.link.write(request)
        self._last = self.link.clock.now()

    def _take(self, deadline: float) -> M:
        while (message := self.splitter.next()) is None:
            left = deadline - self.link.elapsed()
            if left <= 0.0:
                raise LinkTimeout(f"got no answer in {self._timeout:g} s", way_out="Is the box on and the cable in?")
            if data := self.link.read(min(left, LONGEST_WAIT)):
                self._last = self.link.clock.now()  # a broken answer needs its spacing too
                self.splitter.feed(data)
        return message
