"""A link that brings whole messages unasked, as a detector's stream does: in memory, and with declared faults."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from drivers.clock import Clock
from drivers.errors import Aborted, LinkClosed
from drivers.links.base import LONGEST_WAIT, LOOK, AbortFlag
from drivers.links.faults import Fault, FaultKind

Message = tuple[bytes, ...]
"""The parts of one message."""


class MessageLink(ABC):
    """One way from one box, message by message; the rules of waiting are those of `Link`."""

    in_transaction = False  # nothing is asked here, so no answer is waited for

    def __init__(self, name: str, clock: Clock, abort: AbortFlag | None = None) -> None:
        self.name = name
        self.clock = clock
        self.abort = abort or AbortFlag()
        self.closed = False

    def elapsed(self) -> float:
        """Seconds from an arbitrary zero by which time-outs count here: rig time, but wall time on a real port."""
        return self.clock.now()

    def receive(self, timeout: float) -> Message | None:
        """The next message that comes within `timeout` s of `elapsed` (0 to 0.5); None if none does.

        Raises Aborted when the abort flag is set, LinkClosed when the line is gone, WireError for what is no message.
        """
        if not 0.0 <= timeout <= LONGEST_WAIT:
            raise ValueError(f"{self.name}: a link wait of {timeout} s; at most {LONGEST_WAIT} s are allowed")
        self._ready()
        return self._receive(timeout)

    def close(self) -> None:
        """Close the line; closing twice is allowed."""
        if not self.closed:
            self.closed = True
            self._close()

    def _ready(self) -> None:
        if self.closed:
            raise LinkClosed(f"the link {self.name} is closed")
        if self.abort.is_set():
            raise Aborted(f"stopped while waiting on {self.name}")

    @abstractmethod
    def _receive(self, timeout: float) -> Message | None: ...

    @abstractmethod
    def _close(self) -> None: ...


class MessagePeer(Protocol):
    """The far end of a message link; a message is made when it is taken, nothing is pushed ahead."""

    def connected(self) -> None:
        """A host has opened the line."""

    def due(self) -> float | None:
        """Clock time from which `send` has a message; None while none is to come."""

    def send(self) -> Message | None:
        """The next message that is ready now; None if none is."""

    def disconnected(self) -> None:
        """The host has gone."""


class MemoryMessages(MessageLink):
    """Messages of a simulated box in the same process; waiting moves the clock to the next one, or to the time-out."""

    def __init__(self, name: str, peer: MessagePeer, clock: Clock, abort: AbortFlag | None = None) -> None:
        super().__init__(name, clock, abort)
        self._peer = peer
        peer.connected()

    def _receive(self, timeout: float) -> Message | None:
        deadline = self.clock.now() + timeout
        while True:
            due = self._peer.due()
            if due is None or due > deadline:
                self._sleep_until(deadline)
                return None
            self._sleep_until(due)
            if message := self._peer.send():
                return message
            if self._peer.due() == due:  # a peer that promised a message and has none
                self._sleep_until(deadline)
                return None

    def _sleep_until(self, moment: float) -> None:
        while (left := moment - self.clock.now()) > 0.0:
            self.clock.sleep(min(left, LOOK))
            self._ready()

    def _close(self) -> None:
        self._peer.disconnected()


class FaultyMessages(MessageLink):
    """Passes messages on, but for the faults, which strike whole messages; `seed` decides what is random in them.

    transfer of a fault: the message it strikes, counted from 1.  LOSS and SILENCE: it never comes.  DELAY: it comes
    `seconds` later, after those behind it.  TWICE: a second time `seconds` later.  TRUNCATION: a part breaks off.
    GARBLE: one bit is flipped.  GARBAGE: random bytes come as a message before it.  SLICES: its parts come as messages
    of their own.  CLOSE: the line is lost, once `after` messages more have come.  STALL: so too, after `seconds` in
    which nothing came.  JITTER: it comes up to `seconds` later.  REORDER: it comes after the next one.
    """

    def __init__(self, inner: MessageLink, faults: Sequence[Fault], *, seed: int) -> None:
        super().__init__(inner.name, inner.clock, inner.abort)
        self.transfers = 0
        self._inner = inner
        self._faults = tuple(faults)
        self._random = random.Random(seed)
        self._ready_now: deque[Message] = deque()
        self._late: list[tuple[float, Message]] = []
        self._held: list[Message] = []  # until the next message has come
        self._lost_after: int | None = None
        self._lost_from: float | None = None

    def elapsed(self) -> float:
        """As the link inside counts."""
        return self._inner.elapsed()

    def _receive(self, timeout: float) -> Message | None:
        deadline = self.elapsed() + timeout
        while True:
            self._release()
            if self._ready_now:
                return self._ready_now.popleft()
            if self._lost_from is not None:
                self._stall(deadline, self._lost_from)
                return None
            left = deadline - self.elapsed()
            wait = min([left, *(due - self.elapsed() for due, _ in self._late)])
            if message := self._inner.receive(min(max(wait, 0.0), LONGEST_WAIT)):
                self._strike(message)
            elif left <= 0.0:
                return None

    def _stall(self, deadline: float, lost_from: float) -> None:
        """Nothing comes any more; from a moment on the line is lost."""
        while (left := min(deadline, lost_from) - self.elapsed()) > 0.0:
            self._inner.receive(min(left, LONGEST_WAIT))  # what comes meanwhile is lost
        if self.elapsed() >= lost_from:
            raise self._lost()

    def _lost(self) -> LinkClosed:
        self.close()
        return LinkClosed(f"the link {self.name} was lost (a declared fault)")

    def _release(self) -> None:
        now = self.elapsed()
        self._ready_now.extend(message for due, message in self._late if due <= now)
        self._late = [(due, message) for due, message in self._late if due > now]

    def _strike(self, message: Message) -> None:
        self.transfers += 1
        if self._lost_after is not None:
            self._lost_after -= 1
        coming: list[tuple[float, Message]] = [(0.0, message)]
        for fault in self._faults:
            if fault.strikes(self.transfers):
                coming = [(late + more, out) for late, one in coming for more, out in self._harmed(fault, one)]
        if self._lost_after is not None and self._lost_after < 0:
            raise self._lost()
        held, self._held = self._held, []
        for late, out in coming:
            if math.isinf(late):
                self._held.append(out)
            elif late > 0.0:
                self._late.append((self.elapsed() + late, out))
            else:
                self._ready_now.append(out)
        self._ready_now.extend(held)

    def _harmed(self, fault: Fault, message: Message) -> list[tuple[float, Message]]:
        """What comes of a message: how many seconds later which one."""
        match fault.kind:
            case FaultKind.LOSS | FaultKind.SILENCE:
                return []
            case FaultKind.DELAY:
                return [(fault.seconds, message)]
            case FaultKind.JITTER:
                return [(fault.seconds * self._random.random(), message)]
            case FaultKind.REORDER:
                return [(math.inf, message)]
            case FaultKind.STALL:
                self._lost_from = self.elapsed() + fault.seconds
                return []
            case FaultKind.TWICE:
                return [(0.0, message), (fault.seconds, message)]
            case FaultKind.GARBAGE:
                return [(0.0, (self._random.randbytes(self._random.randint(1, fault.longest)),)), (0.0, message)]
            case FaultKind.SLICES:
                return [(fault.seconds * place, (part,)) for place, part in enumerate(message)]
            case FaultKind.CLOSE:
                if self._lost_after is None:
                    self._lost_after = fault.after - 1
                return [(0.0, message)]
        which = self._random.choice([place for place, part in enumerate(message) if part] or [0])
        part = message[which]
        if not part:
            return [(0.0, message)]
        if fault.kind is FaultKind.TRUNCATION:
            harmed = part[: self._random.randrange(len(part))]
        else:
            place = self._random.randrange(len(part))
            harmed = part[:place] + bytes([part[place] ^ 1 << self._random.randrange(8)]) + part[place + 1 :]
        return [(0.0, (*message[:which], harmed, *message[which + 1 :]))]

    def _close(self) -> None:
        self._inner.close()
