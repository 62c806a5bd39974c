"""The peer of lattice_image.py, run by the interpreter that has abTEM: multislice of a glass of so many atoms."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version

import abtem  # type: ignore[import-not-found]
import numpy as np
from ase import Atoms  # type: ignore[import-not-found]

from drivers.clock import wall_seconds

THICKNESS = 100.0  # A
DENSITY = 0.0962  # atoms per A^3, of LiPON
SHARES = {3: 2.9, 7: 0.46, 8: 3.3, 15: 1.0}


def main(pixels: int, pitch: float) -> None:
    """Print the wall seconds and the version as JSON; pitch: A a pixel."""
    side, random = pixels * pitch, np.random.default_rng(1)
    size = np.array([side, side, THICKNESS])
    count = round(DENSITY * float(np.prod(size)))
    weights = np.array(list(SHARES.values()))
    numbers = random.choice(list(SHARES), count, p=weights / weights.sum())
    atoms = Atoms(numbers, random.random((count, 3)) * size, cell=size, pbc=True)
    abtem.config.set({"device": "cpu", "precision": "float32", "local_diagnostics.progress_bar": False})
    began = wall_seconds()
    potential = abtem.Potential(atoms, gpts=pixels, slice_thickness=2.0, projection="infinite")
    wave = abtem.PlaneWave(energy=200e3).multislice(potential)
    wave.apply_ctf(abtem.CTF(energy=200e3, defocus=420.0, Cs=1e4, focal_spread=42.0)).intensity().compute()
    print(json.dumps({"seconds": wall_seconds() - began, "atoms": count, "version": version("abtem")}))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
