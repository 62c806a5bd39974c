"""The time of a world behind real ports: it passes as real time does, but never past what a box has to say."""

from __future__ import annotations

from drivers.clock import RealClock, wall_seconds

LONGEST_LEAP = 0.1  # wall s made up for at most; more than the longest nap of the server


class PacedClock(RealClock):
    """Real time `speed` times as fast that stands still while the boxes work.

    It moves only in `let_pass`, up to the next byte that is due, so what is due is sent when it is due. What a computer
    is too slow for, or sleeps through, is left out: the world then runs slower than `speed`, never in leaps.
    """

    def __init__(self, speed: float = 1.0) -> None:
        super().__init__(speed)
        self._passed = 0.0
        self._unspent = 0.0  # rig s that real time allows and that have not passed yet
        self._looked = wall_seconds()

    def now(self) -> float:
        return self._passed

    def let_pass(self, until: float | None) -> None:
        """Let the time pass that has passed in reality, up to a clock time at most."""
        self._look()
        step = self._unspent if until is None else min(self._unspent, max(until - self._passed, 0.0))
        # what is due at `until` is due then, whatever a sum of floats makes of it
        self._passed = until if until is not None and 0.0 < step < self._unspent else self._passed + step
        self._unspent -= step

    def wall_until(self, moment: float) -> float:
        """Wall s until a clock time can come; negative when it can come now."""
        self._look()
        return (moment - self._passed - self._unspent) / self.speed

    def _look(self) -> None:
        wall = wall_seconds()
        self._unspent = min(self._unspent + (wall - self._looked) * self.speed, LONGEST_LEAP * self.speed)
        self._looked = wall
