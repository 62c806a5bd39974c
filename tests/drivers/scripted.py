"""A box that knows one conversation by heart and fails on any difference."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from drivers.clock import Clock
from tests.drivers.golden import Line


class Scripted:
    """A `Peer` that replays a transcript: every byte of the host must be the next byte of a ">" line.

    Each "<" line is one `send()` (so one datagram), `latency` s after its request is complete; a "~" line makes the
    replies that follow it later by its seconds.
    """

    def __init__(self, clock: Clock, lines: Iterable[Line], *, latency: float = 1e-3) -> None:
        self._clock = clock
        self._script = deque(lines)
        self._latency = latency
        self._replies: deque[tuple[float, bytes]] = deque()
        self._heard = b""
        self.requests: list[tuple[float, bytes]] = []  # when each request of the script was complete
        self.is_connected = False
        self._speak()

    def connected(self) -> None:
        self.is_connected = True

    def disconnected(self) -> None:
        self.is_connected = False

    def receive(self, data: bytes) -> None:
        self._heard += data
        while self._heard:
            assert self._script, f"the script is over, but the host sent {self._heard!r}"
            expected = self._script[0][1]
            agreed = min(len(expected), len(self._heard))
            assert self._heard[:agreed] == expected[:agreed], f"expected {expected!r}, the host sent {self._heard!r}"
            if len(self._heard) < len(expected):
                return
            self._heard = self._heard[len(expected) :]
            self._script.popleft()
            self.requests.append((self._clock.now(), expected))
            self._speak()

    def due(self) -> float | None:
        return self._replies[0][0] if self._replies else None

    def send(self) -> bytes:
        if not self._replies or self._replies[0][0] > self._clock.now():
            return b""
        return self._replies.popleft()[1]

    def finish(self) -> None:
        """Fail unless the whole script was said and heard."""
        assert not self._heard, f"half a request is left: {self._heard!r}"
        assert not self._script, f"the host never sent {self._script[0][1]!r}"
        assert not self._replies, f"the host never read {self._replies[0][1]!r}"

    def _speak(self) -> None:
        moment = self._clock.now() + self._latency
        while self._script and self._script[0][0] != ">":
            direction, data = self._script.popleft()
            if direction == "~":
                moment += float(data)
            else:
                self._replies.append((moment, data))
