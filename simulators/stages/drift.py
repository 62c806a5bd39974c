"""Drift of a side-entry cryo holder: fast at first, then steady, in one direction drawn from the seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulators.sample.file import DriftOfTheHolder


class Drift:
    """Displacement of the lamella since the beam first scanned it.

    r(t) = r_inf + r_0 exp(-t / tau), rates of a Gatan 636 class holder (assumed values in the sample file).
    Nothing is known of the time before first light: the lamella frame begins there.
    """

    def __init__(self, holder: DriftOfTheHolder, random: np.random.Generator) -> None:
        self._holder = holder
        angle = random.uniform(0.0, 2.0 * np.pi)
        self._direction = np.cos(angle), np.sin(angle)
        self._first_light: float | None = None

    def light(self, time: float) -> None:
        """The beam scans at a clock time; the first such time is the zero of the drift: the sample was seen there."""
        if self._first_light is None:
            self._first_light = time

    @property
    def first_light(self) -> float | None:
        """Clock time, s, of the first exposure; None before it."""
        return self._first_light

    def displacement(self, times: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Along x and y, m, at clock times, s; zero before first light."""
        if self._first_light is None:
            return np.zeros_like(times), np.zeros_like(times)
        elapsed = np.maximum(times - self._first_light, 0.0)
        length = self._holder.per_hour / 3600.0 * elapsed
        length -= self._holder.settling * np.expm1(-elapsed / self._holder.settling_time)
        return self._direction[0] * length, self._direction[1] * length

    def speed(self, time: float) -> float:
        """Rate, m/s, at a clock time."""
        elapsed = max(time - self._first_light, 0.0) if self._first_light is not None else 0.0
        settling = self._holder.settling / self._holder.settling_time * np.exp(-elapsed / self._holder.settling_time)
        return self._holder.per_hour / 3600.0 + float(settling)
