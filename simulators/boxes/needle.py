"""A Kleindiek NanoControl in front of the world's needle: bytes in, bytes out.

It answers a command when its steps are done, and refuses the next one until then; whatever it does not understand is
an error.  Source of the quirks: see the codec.
"""

from __future__ import annotations

from drivers.errors import WireError
from drivers.wire import kleindiek as wire
from drivers.wire.kleindiek import Reply, Verdict
from simulators.boxes.line import ByteBox
from simulators.world import World

LATENCY = 0.005  # s from the end of a command to its answer; assumed
VERSION = "NanoControl 2.0 simulated"


class NeedleServer(ByteBox[str]):
    """The `Peer` of one host."""

    def __init__(self, world: World) -> None:
        super().__init__(world, wire.LineSplitter())
        self._needle = world.needle
        self._done_at: float | None = None  # when the running command will have been done

    def due(self) -> float | None:
        running = [self._done_at + LATENCY] if self._done_at is not None else []
        waiting = [at] if (at := super().due()) is not None else []
        return min(running + waiting, default=None)

    def send(self) -> bytes:
        self._catch_up()
        if self._done_at is not None and self._clock.now() >= self._done_at + LATENCY:
            self._finish()
        return super().send()

    # --- commands

    def _hear(self, line: str) -> None:
        self._do(wire.decode(line))

    def _mishear(self, error: WireError) -> None:
        self._answer(Verdict.ERROR, "unknown command")

    def _do(self, command: wire.Command) -> None:
        needle, now = self._needle, self._clock.now()
        if self._done_at is not None and now >= self._done_at:
            self._finish()
        match command:
            case wire.Stop(answered):
                needle.stop(now)
                if self._done_at is not None:
                    self._finish()
                if answered:
                    self._answer(Verdict.DONE)
            case _ if self._done_at is not None:
                self._answer(Verdict.ERROR, "busy")
            case wire.Coarse(channel, steps):
                self._done_at = needle.start(channel, steps, now)
            case wire.Version():
                self._answer(Verdict.DONE, VERSION)
            case wire.Counters():
                counts = tuple(needle.counters[channel] for channel in wire.CHANNELS)
                self._answer(Verdict.DONE, wire.encode_counters(counts))
            case wire.ResetCounters():
                needle.counters = dict.fromkeys(wire.CHANNELS, 0)
                self._answer(Verdict.DONE)

    def _finish(self) -> None:
        """The answer of what was running comes now, done or stopped."""
        self._done_at = None
        self._answer(Verdict.DONE)

    def _answer(self, verdict: Verdict, message: str = "") -> None:
        self._say(wire.encode_reply(Reply(verdict, message)), self._clock.now() + LATENCY)
