"""X-ray events a second that the simulated detector makes, against drawing the dense cube they would fill.

The frame is one pass of the shipped map: 256 x 256 pixels over 400 nm at 250 e/A^2, eight lines (0.1 s) at a time.  The
peer draws, with numpy, a Poisson number for each of 1024 channels of every pixel, from the same expected counts worked
out beforehand.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, side_by_side
from physics.dose import E_PER_A2
from protocols.rigtext import load_rig
from simulators.beam.xrays import Eds
from simulators.sample.file import load_sample
from simulators.sample.lamella import Exposed, Lamella
from simulators.sample.slab import Slab

PITCH = 400e-9 / 256  # m
FLUENCE = 250.0 * E_PER_A2  # m^-2, a pass
DWELL = 48e-6  # s
CHANNELS, EV = 1024, 10.0
BLOCK = 8  # lines
TRIAL = 1e4  # times the fluence of a pass, to learn the expected counts
Array = NDArray[np.float64]


class Detector:
    """The simulated detector over the shipped sample, and the frame it hears."""

    def __init__(self, pixels: int) -> None:
        optics = load_rig("bench").model.optics
        sample = load_sample("li-lipon")
        slab = Slab.of(sample, np.random.default_rng([1, 1]), np.random.default_rng([1, 31]))
        lamella = Lamella(sample, optics, pixels * PITCH, slab)
        self._eds = Eds(lamella, optics, np.random.default_rng(2))
        self._pixels = pixels
        along: Array = (np.arange(pixels, dtype=np.float64) - (pixels - 1) / 2.0) * PITCH
        self._places = lamella.index(lamella.middle + along[None, :], along[:, None])

    def hear(self) -> int:
        """How many events the whole frame gave."""
        return sum(
            len(self._expose(self._places[first : first + BLOCK].ravel())[0]) for first in range(0, self._pixels, BLOCK)
        )

    def expected(self) -> Array:
        """Expected counts along the middle line, (pixels, channels); each pixel has the spectrum of the whole line."""
        times, energies = self._expose(self._places[self._pixels // 2], TRIAL)
        pixel = np.minimum((times / DWELL).astype(np.intp), self._pixels - 1)
        each = np.bincount(pixel, minlength=self._pixels) / TRIAL
        spectrum = np.bincount(np.clip(energies / EV, 0, CHANNELS - 1).astype(np.intp), minlength=CHANNELS)
        return np.outer(each, spectrum / spectrum.sum())

    def _expose(self, places: NDArray[np.intp], share: float = 1.0) -> tuple[Array, Array]:
        """Times, s from the start, and energies, eV, of the photons of a run of pixels; share: of a pass's fluence."""
        none = np.zeros(len(places))  # what grew, and where it is, is nothing to the photons of a fresh lamella
        self._eds.expose(Exposed(places, share * FLUENCE * PITCH**2, {}, 0.0, DWELL, 0.0, none, none, none, none))
        return self._eds.photons(math.inf)


def main(pixels: int = 256, rounds: int = 7) -> None:
    """Print the events a second of the simulated detector against those of the dense cube."""
    detector, random = Detector(pixels), np.random.default_rng(3)
    expected = detector.expected()

    def dense() -> int:
        return sum(int(random.poisson(expected).sum()) for _ in range(pixels))

    events = expected.sum() * pixels
    ours, theirs = side_by_side(rounds, detector.hear, dense)
    Figure.beside(
        "EDS events of the simulated detector", events / ours, "1/s", "a dense Poisson cube by numpy", events / theirs
    ).show()


if __name__ == "__main__":
    main()
