"""Isolated nanocrystals of any orientation in a film of LiPON: which phase their lattice images are said to show.

For each phase a table of verdicts: how many particles show two spots, how many are decided, and as what.  Imaged by the
simulator at 200 kV with pixels of 0.4 A in 30 nm of film, 300 to 1000 e/A^2, 20 to 60 nm under focus.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.lattices import CANDIDATES, lattice
from acquisition.analysis.patches import spectrum
from acquisition.analysis.phases import Candidates
from acquisition.analysis.spots import Spots, find_spots
from benchmarks.figure import Figure
from drivers.clock import wall_seconds
from physics.materials import material
from simulators.lattice.image import Detector, counted, intensity
from simulators.lattice.lens import Lens
from simulators.sample.placing import turns
from simulators.sample.scene import Crystals, Scene, Window

ENERGY = 200e3  # eV
PITCH = 0.4e-10  # m
SIDE = 320  # pixels of a patch: 12.8 nm
FIELD = 13e-9  # m of the image
THICKNESS = 30e-9  # m
KELVIN = 100.0
DOSES = (300e20, 500e20, 1000e20)  # m^-2


@dataclass
class Table:
    """What came of the particles of one phase: how many show two spots, are left undecided, are called what."""

    particles: int = 0
    two_spots: int = 0
    undecided: int = 0
    called: Counter[str] = field(default_factory=Counter)


def main(particles: int = 100) -> None:
    """Print the table on stderr, and as figures the shares of right and decided verdicts, and the time of patches."""
    random = np.random.default_rng(80)
    candidates = Candidates(KELVIN)
    tables: dict[str, Table] = {}
    seconds = looked = 0.0
    for phase in CANDIDATES:
        table = tables[phase] = Table()
        for number in range(particles):
            image = particle(phase, random, (8, CANDIDATES.index(phase), number))
            began = wall_seconds()
            spots = find_spots(spectrum(image, PITCH))
            verdicts = candidates.verdicts(spots)
            seconds += wall_seconds() - began
            looked += 1
            table.particles += 1
            table.two_spots += _two(spots)
            decided = [verdict.phase for verdict in verdicts if verdict.decided]
            table.called.update(decided)
            table.undecided += bool(verdicts) and not decided
    right = sum(table.called[lattice(phase, KELVIN).reported] for phase, table in tables.items())
    decided = sum(table.called.total() for table in tables.values())
    groups = decided + sum(table.undecided for table in tables.values())
    print(told(tables), file=sys.stderr)
    if right:
        share = right / decided
        Figure.beside("phases of isolated particles, right verdicts", share, "1", "the share asked for", 0.9).show()
        share = decided / groups
        Figure.beside("phases of isolated particles, decided", share, "1", "all that may be a crystal", 1.0).show()
    Figure.beside("100 patches of 320 x 320, to verdicts", 100 * seconds / looked, "s", "a limit of 5 s", 5.0).show()


def particle(phase: str, random: np.random.Generator, key: tuple[int, ...]) -> NDArray[np.float64]:
    """Counts of a patch with one particle of 2 to 4 nm radius near its middle."""
    radius = random.uniform(2e-9, 4e-9)
    middle = FIELD / 2 + random.uniform(-2e-9, 2e-9, 2)
    depth = random.uniform(-0.5, 0.5) * (THICKNESS - 2 * radius)
    one = Crystals(
        (phase,),
        np.zeros(1, np.intp),
        np.array([[*middle, depth]]),
        np.array([radius]),
        turns(1, random),
        np.ones(1),
    )
    cells = round(FIELD / 1e-9)
    even = np.ones((cells, cells))
    glass = {element: n * THICKNESS * even for element, n in material("LiPON").number_densities.items()}
    window = Window((0.0, 0.0), (FIELD, FIELD))
    scene = Scene(window, 1e-9, THICKNESS * even, glass, (), one, KELVIN, key)
    lens = Lens.of_column(ENERGY, random.uniform(20e-9, 60e-9))
    side = round(FIELD / PITCH)
    seen = intensity(scene, lens, (side, side), PITCH)
    counts = counted(seen, float(random.choice(DOSES)) * PITCH**2, Detector.of_column(), random)
    return np.asarray(counts[:SIDE, :SIDE], dtype=np.float64)


def told(tables: dict[str, Table]) -> str:
    """The table for people."""
    lines = [f"{'particle':>14} {'of':>4} {'2 spots':>8} {'undecided':>10}  called"]
    for phase, table in tables.items():
        called = ", ".join(f"{name} {number}" for name, number in table.called.most_common())
        lines.append(f"{phase:>14} {table.particles:4d} {table.two_spots:8d} {table.undecided:10d}  {called or '-'}")
    return "\n".join(lines)


def _two(spots: Spots) -> bool:
    """Whether two spots are seen; noise alone gives a third of one."""
    return len(spots) > 1


if __name__ == "__main__":
    main()
