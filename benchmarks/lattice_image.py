"""Lattice images of the shipped sample: a small one against abTEM's multislice, one of the whole interphase.

The peer makes one image, without crystals and of 10 nm only, where ours is about 34 nm thick: it is told how many atoms
that took.  The whole interphase is a picture of 4096 x 4096 pixels of 0.4 A, 164 nm.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, side_by_side
from simulators.lattice.image import Detector, counted, intensity
from simulators.lattice.lens import Lens
from simulators.sample.file import load_sample
from simulators.sample.matter import Matter
from simulators.sample.scene import Scene, Window
from simulators.sample.slab import Slab

ROOT = Path(__file__).parents[1]
ENERGY = 200e3  # eV
PITCH = 0.4e-10  # m
CORNER = (-30e-9, -1.28e-6)  # where lattice images are taken, with lithium at the left
FLUENCE = 300e20  # m^-2
LIMIT, MOST = 30.0, 3000.0  # s, MB: of the picture of the whole interphase
LONGEST = 600.0  # s
ANGSTROM = 1e-10


def scene(pixels: int) -> Scene:
    """The shipped sample, fresh, in a square of so many pixels a side."""
    sample = load_sample("li-lipon")
    slab = Slab.of(sample, np.random.default_rng([1, 1]), np.random.default_rng([1, 31]))
    window = Window(CORNER, (pixels * PITCH, pixels * PITCH))
    fresh = Matter(sample, slab, 1, ENERGY)
    return fresh.scene(window, slab.inclination, lambda x, y: np.zeros_like(x), ice=1e-9, temperature=100.0)


def image(of: Scene) -> NDArray[np.float32]:
    """The lattice image of it, without noise."""
    pixels = round(of.window.size[0] / PITCH)
    return intensity(of, Lens.of_column(ENERGY, 42e-9), (pixels, pixels), PITCH)


def counts(of: NDArray[np.float32]) -> NDArray[np.int32]:
    """What the camera counts of an image."""
    return counted(of, FLUENCE * PITCH**2, Detector.of_column(), np.random.default_rng(1))


def abtem_seconds(python: str, pixels: int) -> tuple[float, str]:
    """Wall seconds of abTEM's image, and what it was of; RuntimeError if it cannot run."""
    command = [python, "-m", "benchmarks.abtem_multislice", str(pixels), str(PITCH / ANGSTROM)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(str(error)) from None
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    told = json.loads(done.stdout.splitlines()[-1])
    return float(told["seconds"]), f"multislice of abTEM {told['version']}, {told['atoms']} atoms in 10 nm"


def main(small: int = 1024, whole: int = 4096, rounds: int = 3, abtem: str = sys.executable) -> None:
    """Print the times of both pictures and of counting the larger, and the memory that the larger takes.

    abtem: the interpreter of an environment that has it.
    """
    part, interphase = scene(small), scene(whole)
    (ours,) = side_by_side(rounds, lambda: image(part))
    try:
        seconds, peer = abtem_seconds(abtem, small)
    except RuntimeError as why:
        print(f"lattice image against abTEM: skipped: {why}", file=sys.stderr)
    else:
        Figure.beside(f"lattice image, {small} x {small}", ours, "s", peer, seconds).show()
    name = f"lattice image, {whole} x {whole}, {len(interphase.crystals)} crystals"
    tracemalloc.start()
    seen = image(interphase)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    picture, camera = side_by_side(rounds, lambda: image(interphase), lambda: counts(seen))
    Figure.beside(name, picture, "s", f"a limit of {LIMIT:g} s", LIMIT).show()
    Figure.beside(f"counting {whole} x {whole} pixels", camera, "s", "making the image", picture).show()
    Figure.beside(f"{name}, peak memory", peak, "MB", f"a limit of {MOST:g} MB", MOST).show()


if __name__ == "__main__":
    main()
