"""A dark-field frame of the simulated column, against the bare Poisson draw of as many pixels.

The column does more than count: it follows the drift, deposits the dose, takes away what the dose took, and makes the
X-rays.  The peer is numpy's Poisson draw around the counts that the first frame gave.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, side_by_side
from drivers.clock import VirtualClock
from protocols.rigtext import load_rig, scan_settings
from simulators.sample.file import load_sample
from simulators.world import World

FIELD = 2e-6  # m, as the survey
DWELL = 1e-6  # s


class Survey:
    """The world of the shipped rig and sample, and a square frame over it."""

    def __init__(self, pixels: int) -> None:
        rig = load_rig("bench")
        self._clock = VirtualClock()
        full_field = scan_settings(rig).full_field
        self._world = World(
            load_sample("li-lipon"),
            seed=1,
            clock=self._clock,
            optics=rig.model.optics,
            beam_current=rig.model.calibrations.beam_current.value,
            hidden_errors=False,
            full_field=full_field,
        )
        along = 0.5 + ((np.arange(pixels) + 0.5) / pixels - 0.5) * FIELD / full_field
        u, v = np.meshgrid(along, along)
        self._u, self._v = u.ravel(), v.ravel()
        self._cell = FIELD / pixels / full_field

    def take(self) -> NDArray[np.float64]:
        """Electrons counted in each pixel of one more frame."""
        start = self._clock.now()
        counts = self._world.column.raster(self._u, self._v, (self._cell, self._cell), DWELL, start)
        self._clock.sleep(len(counts) * DWELL)
        self._world.eds.photons(math.inf)  # or they would pile up from frame to frame
        return counts


def main(pixels: int = 1024, rounds: int = 5) -> None:
    """Print the time of a frame against that of the bare draw."""
    survey, random = Survey(pixels), np.random.default_rng(1)
    counts = survey.take()
    frame, draw = side_by_side(rounds, survey.take, lambda: random.poisson(counts))
    Figure.beside(
        f"dark field, {pixels} x {pixels}", 1e3 * frame, "ms", "numpy's Poisson draw of as many pixels", 1e3 * draw
    ).show()


if __name__ == "__main__":
    main()
