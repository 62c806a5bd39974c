"""The only place that reads time: a real clock, and a virtual one that moves only when somebody waits."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Seconds since the rig opened, and the date that goes with them."""

    def now(self) -> float:
        """Seconds of rig time since the clock was made."""

    def sleep(self, seconds: float) -> None:
        """Let that much rig time pass."""

    def utc(self) -> datetime:
        """The date and time, with zone, at `now()`."""


class VirtualClock:
    """Rig time that costs nothing: `sleep` moves it at once."""

    def __init__(self, started: datetime | None = None, elapsed: float = 0.0) -> None:
        """started: the date at 0 s.  elapsed: where the clock stands, s; a resumed run goes on where it was."""
        self._started = started or datetime.now(UTC)
        self._now = elapsed

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        if not 0.0 <= seconds < math.inf:
            raise ValueError(f"a clock cannot sleep {seconds} s")
        self._now += seconds

    def utc(self) -> datetime:
        return self._started + timedelta(seconds=self._now)


class RealClock:
    """Wall time, optionally `speed` times as fast for simulated devices on real ports."""

    def __init__(self, speed: float = 1.0, started: datetime | None = None) -> None:
        """started: the date from which seconds are counted, for a run that is gone on with; now where left out.

        The time between is counted as it passed for the boxes.
        """
        if not 0.0 < speed < 1e6:
            raise ValueError(f"clock speed {speed} must lie between 0 and 1e6")
        self.speed = speed
        # never set back, and much finer than `monotonic` on Windows (16 ms before Python 3.13)
        self._zero = time.perf_counter()
        today = datetime.now(UTC)
        self._started = started or today
        self._before = max((today - self._started).total_seconds(), 0.0) * speed

    def now(self) -> float:
        return self._before + (time.perf_counter() - self._zero) * self.speed

    def sleep(self, seconds: float) -> None:
        if not 0.0 <= seconds < math.inf:
            raise ValueError(f"a clock cannot sleep {seconds} s")
        time.sleep(seconds / self.speed)

    def utc(self) -> datetime:
        return self._started + timedelta(seconds=self.now())


def wall_seconds() -> float:
    """Seconds of wall time from an arbitrary zero: for progress and benchmarks, never for the rig."""
    return time.perf_counter()


def wall_sleep(seconds: float) -> None:
    """Let wall time pass while the rig stands still, waiting for a person."""
    time.sleep(seconds)
