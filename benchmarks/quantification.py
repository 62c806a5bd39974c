"""From the events of a whole EDS map to ramps, composition and maps with their errors: time and memory.

The map is 256 x 256 pixels of 400 nm, 1024 channels, 40 passes, 1e4 e/A^2 at 200 kV and 0.9 sr, of a ramp of 76 nm from
lithium to LiPON, drawn beforehand from physics/ alone.
"""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.binning import bin_map
from acquisition.analysis.eds_map import EdsMap, Measured, measure
from acquisition.analysis.interphase import Doubts
from acquisition.analysis.regions import chemistry, losses, regions, spectra
from benchmarks.figure import Figure, side_by_side
from drivers.rigfile import Optics
from drivers.ticket import Frame
from physics import xray_detector, xrays
from physics.dose import E_PER_A2
from physics.materials import material
from protocols.rigtext import load_rig

FIELD = 400e-9  # m
RAMP = 76e-9  # m
FLUENCE = 1e4 * E_PER_A2  # m^-2
PASSES = 40
CHANNELS, EV = 1024, 10.0
THICKNESS = 100e-9  # m
ELEMENTS = ("P", "N", "O")
LIMIT, MOST = 5.0, 500.0  # s, MB: of 256 x 256 pixels, which take eight minutes to expose
TO_SIGMA = 1 / math.sqrt(8 * math.log(2))


def recorded(pixels: int, optics: Optics) -> EdsMap:
    """A map of so many pixels a side."""
    random = np.random.default_rng(1)
    frame = Frame(centre=(0.0, 0.0), size=(FIELD, FIELD), pixels=(pixels, pixels), dwell=48e-6)
    x = ((np.arange(pixels) + 0.5) / pixels - 0.5) * FIELD
    share = np.clip(x / RAMP + 0.5, 0.0, 1.0)
    electrons = FLUENCE * frame.pitch[0] * frame.pitch[1]
    each = electrons * THICKNESS * optics.eds_solid_angle / (4 * math.pi)
    parts = []
    for element in ELEMENTS:
        density = material("LiPON").number_densities[element]
        for line in xrays.lines(element, optics.beam_energy):
            if line.energy > 180.0:
                mean = each * density * line.cross_section * float(xray_detector.efficiency(line.energy)) * share
                width = float(xray_detector.fwhm(line.energy, optics.eds_fwhm_mn)) * TO_SIGMA
                place = _places(random, mean, pixels)
                parts.append((place, random.normal(line.energy, width, place.size)))
    place = _places(random, 0.1 + share, pixels)
    parts.append((place, np.exp(random.uniform(5.3, 9.2, place.size))))
    place, energy = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    kept = (energy > 0.0) & (energy < CHANNELS * EV - EV)
    image = np.tile(electrons * (0.01 + 0.1 * share), (pixels, 1))
    return EdsMap(
        passes=random.integers(0, PASSES, int(kept.sum())),
        pixels=place[kept],
        channels=np.rint(energy[kept] / EV).astype(np.int64),
        energies=EV * np.arange(CHANNELS, dtype=np.float64),
        elements=ELEMENTS,
        frame=frame,
        pixels_done=(frame.count,) * PASSES,
        shifts=((0.0, 0.0),) * PASSES,
        dark_field=random.poisson(image).astype(np.float64),
        electrons=electrons / PASSES,
    )


def quantify(taken: EdsMap, optics: Optics) -> Measured:
    """All that `eds_line` reckons, and the binned map of each element."""
    doubts = Doubts(optics.probe_fwhm, 0.3, math.radians(5.0), 3e-9, 0.02)
    found = measure(
        taken,
        optics,
        doubts,
        dark=material("Li"),
        bright=material("LiPON"),
        bin_width=max(4e-9, 1.5 * taken.frame.pitch[0]),
        rng=np.random.default_rng(1),
    )
    chemistry(found, regions(taken, found, optics, spectra(taken, found)))
    losses(taken, found)
    visits = np.full(taken.frame.pixels[::-1], float(PASSES))
    for element in ELEMENTS:
        worth = found.fit.worth(element)[taken.channels]
        counts, variance = (
            np.bincount(taken.pixels, weights=w, minlength=visits.size).reshape(visits.shape) for w in (worth, worth**2)
        )
        bin_map(counts, variance, visits, 0.15)
    return found


def main(pixels: int = 256, rounds: int = 5) -> None:
    """Print the time and the most memory that the quantification of a map takes, against limits."""
    optics = load_rig("bench").model.optics
    taken = recorded(pixels, optics)
    name = f"quantification of an EDS map, {pixels} x {pixels}, {len(taken.pixels):.3g} events"
    (seconds,) = side_by_side(rounds, lambda: quantify(taken, optics))
    Figure.beside(name, seconds, "s", f"a limit of {LIMIT:g} s", LIMIT).show()
    tracemalloc.start()
    quantify(taken, optics)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    Figure.beside(f"{name}, peak memory", peak / 1e6, "MB", f"a limit of {MOST:g} MB", MOST).show()


def _places(random: np.random.Generator, mean: NDArray[np.float64], pixels: int) -> NDArray[np.int64]:
    """The pixel of each event of a map whose columns have these means."""
    return np.repeat(np.arange(pixels * pixels), random.poisson(np.tile(mean, pixels)))


if __name__ == "__main__":
    main()
