"""A Kleindiek NanoControl in front of the world's needle: bytes in, bytes out.

It answers a command when its steps are done, and refuses the next one until then; whatever it does not understand is
an error.  Source of the quirks: see the codec.
"""

from __future__ import annotations

from collections import deque

from drivers.errors import WireError
from drivers.wire import kleindiek as wire
from drivers.wire.kleindiek import Reply, Verdict
from simulators.world import World

LATENCY = 0.005  # s from the end of a command to its answer; assumed
VERSION = "NanoControl 2.0 simulated"


class NeedleServer:
    """The `Peer` of one host."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._splitter = wire.LineSplitter()
        self._replies: deque[tuple[float, bytes]] = deque()
        self._done_at: float | None = None  # when the running command will have been done

    # --- Peer

    def connected(self) -> None:
        self._splitter.reset()
        self._replies.clear()

    def disconnected(self) -> None:
        self._replies.clear()

    def receive(self, data: bytes) -> None:
        self._world.catch_up()
        self._splitter.feed(data)
        while True:
            try:
                line = self._splitter.next()
                if line is None:
                    return
                self._do(wire.decode(line))
            except WireError:
                self._say(Verdict.ERROR, "unknown command")

    def due(self) -> float | None:
        running = [self._done_at + LATENCY] if self._done_at is not None else []
        waiting = [self._replies[0][0]] if self._replies else []
        return min(running + waiting, default=None)

    def send(self) -> bytes:
        self._world.catch_up()
        now = self._world.clock.now()
        if self._done_at is not None and now >= self._done_at + LATENCY:
            self._finish()
        if not self._replies or self._replies[0][0] > now:
            return b""
        return self._replies.popleft()[1]

    # --- commands

    def _do(self, command: wire.Command) -> None:
        needle, now = self._world.needle, self._world.clock.now()
        if self._done_at is not None and now >= self._done_at:
            self._finish()
        match command:
            case wire.Stop(answered):
                needle.stop(now)
                if self._done_at is not None:
                    self._finish()
                if answered:
                    self._say(Verdict.DONE)
            case _ if self._done_at is not None:
                self._say(Verdict.ERROR, "busy")
            case wire.Coarse(channel, steps):
                self._done_at = needle.start(channel, steps, now)
            case wire.Version():
                self._say(Verdict.DONE, VERSION)
            case wire.Counters():
                counts = tuple(needle.counters[channel] for channel in wire.CHANNELS)
                self._say(Verdict.DONE, wire.encode_counters(counts))
            case wire.ResetCounters():
                needle.counters = dict.fromkeys(wire.CHANNELS, 0)
                self._say(Verdict.DONE)

    def _finish(self) -> None:
        """The answer of what was running comes now, done or stopped."""
        self._done_at = None
        self._say(Verdict.DONE)

    def _say(self, verdict: Verdict, message: str = "") -> None:
        self._replies.append((self._world.clock.now() + LATENCY, wire.encode_reply(Reply(verdict, message))))
