"""A link carries bytes to a box and back; it waits at most 0.5 s, looks at the abort flag and touches no device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drivers.clock import Clock
from drivers.errors import Aborted, LinkClosed, WireError

LONGEST_WAIT = 0.5  # s; longer waits are control waits, between transactions
LOOK = 0.05  # s; how often a wait looks at the abort flag
LARGEST_DRAIN = 1 << 20  # bytes; a box that has more to say unasked is out of order


class AbortFlag:
    """Set by the run control, seen by every link wait, ignored while the rig is made safe."""

    def __init__(self) -> None:
        self._set = False
        self._ignored = 0

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set and not self._ignored

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """Talk to the box although an abort is due: only to blank, stop and hold."""
        self._ignored += 1
        try:
            yield
        finally:
            self._ignored -= 1


class Link(ABC):
    """One way to one box.

    Subclasses move bytes in `_write`, `_receive` and `_close`; the rules of waiting live here, once.
    A datagram link returns one datagram a read.
    """

    def __init__(self, name: str, clock: Clock, abort: AbortFlag | None = None) -> None:
        self.name = name
        self.clock = clock
        self.abort = abort or AbortFlag()
        self.closed = False
        self._open_transaction = False

    @property
    def in_transaction(self) -> bool:
        """True between a request and its answer: no control wait may run then."""
        return self._open_transaction

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Mark the bytes inside as one exchange; exchanges never nest."""
        if self._open_transaction:
            raise RuntimeError(f"{self.name}: a transaction was opened inside another")
        self._open_transaction = True
        try:
            yield
        finally:
            self._open_transaction = False

    def elapsed(self) -> float:
        """Seconds from an arbitrary zero by which time-outs count here: rig time, but wall time on a real port."""
        return self.clock.now()

    def write(self, data: bytes) -> None:
        """Send all of `data`. Raises LinkClosed."""
        self._ready()
        self._write(data)

    def read(self, timeout: float) -> bytes:
        """Whatever arrived within `timeout` s of `elapsed` (0 to 0.5); b"" if nothing did.

        Raises Aborted when the abort flag is set, LinkClosed when the line is gone.
        """
        if not 0.0 <= timeout <= LONGEST_WAIT:
            raise ValueError(f"{self.name}: a link wait of {timeout} s; at most {LONGEST_WAIT} s are allowed")
        self._ready()
        return self._receive(timeout)

    def drain(self) -> bytes:
        """What has already arrived, without waiting: late answers to a question given up.

        Raises WireError when the box never stops talking.
        """
        stale = bytearray()
        while piece := self.read(0.0):
            stale += piece
            if len(stale) > LARGEST_DRAIN:
                raise WireError(f"the link {self.name} brought {len(stale)} bytes that nobody asked for")
        return bytes(stale)

    def rest(self, seconds: float) -> None:
        """Keep the spacing a box needs between messages (at most 0.5 s)."""
        if not 0.0 <= seconds <= LONGEST_WAIT:
            raise ValueError(f"{self.name}: a spacing of {seconds} s; at most {LONGEST_WAIT} s are allowed")
        self._ready()
        self._sleep_until(self.clock.now() + seconds)

    def close(self) -> None:
        """Close the line; closing twice is allowed."""
        if not self.closed:
            self.closed = True
            self._close()

    def reopen(self) -> None:
        """Open the line anew, for a box that closes it after an answer; what was under way is lost.

        Raises LinkError, also where a link cannot do that; Aborted.
        """
        self.close()
        self.closed = False
        try:
            self._ready()
            self._reopen()
        except BaseException:
            self.closed = True
            raise

    def _reopen(self) -> None:
        raise LinkClosed(f"the link {self.name} cannot be opened anew")

    def _ready(self) -> None:
        if self.closed:
            raise LinkClosed(f"the link {self.name} is closed")
        if self.abort.is_set():
            raise Aborted(f"stopped while waiting on {self.name}")

    def _sleep_until(self, moment: float) -> None:
        """Let rig time pass up to `moment` and no further; raises Aborted within a slice."""
        # a loop: clocks round, and a moment missed by one bit is an answer not yet due
        while (left := moment - self.clock.now()) > 0.0:
            self.clock.sleep(min(left, LOOK))
            self._ready()

    @abstractmethod
    def _write(self, data: bytes) -> None: ...

    @abstractmethod
    def _receive(self, timeout: float) -> bytes: ...

    @abstractmethod
    def _close(self) -> None: ...


Wait = Callable[[float], None]
"""The control wait: given to drivers, runs only between transactions, polls pause, abort and the watches."""
