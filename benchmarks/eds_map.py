"""The events of a whole EDS map at once, from expected counts to pixel and channel: time and memory.

The map is 256 x 256 pixels of 400 nm over the shipped sample, 2048 channels of 5 eV, 1.2 million events on average. The
expected counts lie in the detector's table after the first map; what is timed is one more map of the same places.
"""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, side_by_side
from protocols.rigtext import load_rig
from simulators.beam.xrays import Eds
from simulators.sample.file import load_sample
from simulators.sample.lamella import Exposed, Lamella
from simulators.sample.slab import Slab

FIELD = 400e-9  # m
DWELL = 48e-6  # s
CHANNELS, EV = 2048, 5.0
EVENTS = 1.2e6  # of 256 x 256 pixels
TRIAL = 1e6  # electrons a pixel, to learn how many events they make
LIMIT = 0.3  # s, for 256 x 256 pixels


class Map:
    """The detector over the shipped sample, and as many electrons a pixel as make the events that are wanted."""

    def __init__(self, pixels: int) -> None:
        optics, sample = load_rig("bench").model.optics, load_sample("li-lipon")
        lamella = Lamella(sample, optics, FIELD, Slab.of(sample, np.random.default_rng(1), np.random.default_rng(4)))
        self._eds = Eds(lamella, optics, np.random.default_rng(2))
        along = ((np.arange(pixels) + 0.5) / pixels - 0.5) * FIELD
        self._places = lamella.index(lamella.middle + along[None, :], along[:, None]).ravel()
        self._electrons = TRIAL
        self._electrons *= EVENTS * (pixels / 256) ** 2 / len(self.take()[0])

    def take(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pixel and channel of each event of one more map."""
        none = np.zeros(len(self._places))
        self._eds.expose(Exposed(self._places, self._electrons, {}, 0.0, DWELL, 0.0, none, none, none, none))
        times, energies = self._eds.photons(math.inf)
        channels = np.rint(energies / EV).astype(np.intp)
        kept = (channels >= 0) & (channels < CHANNELS)
        return (times[kept] / DWELL).astype(np.intp), channels[kept]


def main(pixels: int = 256, rounds: int = 7) -> None:
    """Print the time of a map against its limit, and the memory it takes against the cube that it would fill."""
    one = Map(pixels)
    name, scale = f"EDS map, {pixels} x {pixels} x {CHANNELS}", (pixels / 256) ** 2
    (seconds,) = side_by_side(rounds, one.take)
    limit = f"a limit of {LIMIT} s" if pixels == 256 else f"a limit of {LIMIT} s for 256 x 256"
    Figure.beside(f"{name}, {EVENTS * scale:.3g} events", 1e3 * seconds, "ms", limit, 1e3 * LIMIT * scale).show()
    tracemalloc.start()
    one.take()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    cube = pixels**2 * CHANNELS * 2
    Figure.beside(f"{name}, peak memory", peak / 1e6, "MB", "the map as a cube of 16 bits", cube / 1e6).show()


if __name__ == "__main__":
    main()
