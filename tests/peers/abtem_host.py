"""abTEM's multislice, run by the Python that has it: `python abtem_host.py IN.npz OUT.npy`.

In: places (n, 3) in A (z along the beam from 0 to thickness), numbers (n,), side, thickness, pixels, energy, and what
CTF takes: defocus (n,), of the exit face, Cs, focal_spread, angular_spread (mrad), semiangle_cutoff (mrad).  Out: an
image for each defocus, (n, pixels along y, pixels along x).  Says how long the multislice took.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import abtem
import numpy as np
from ase import Atoms


def main(given: str, made: str) -> None:
    with np.load(given) as what:
        side, thickness, pixels = float(what["side"]), float(what["thickness"]), int(what["pixels"])
        atoms = Atoms(what["numbers"], what["places"], cell=[side, side, thickness], pbc=True)
        lens = {name: float(what[name]) for name in ("Cs", "focal_spread", "angular_spread", "semiangle_cutoff")}
        energy, defoci = float(what["energy"]), what["defocus"].tolist()
    abtem.config.set({"device": "cpu", "precision": "float32", "local_diagnostics.progress_bar": False})
    began = time.monotonic()
    potential = abtem.Potential(
        atoms, gpts=pixels, slice_thickness=2.0, projection="infinite", parametrization="lobato"
    )
    wave = abtem.PlaneWave(energy=energy).multislice(potential).compute()
    seconds = time.monotonic() - began
    images = []
    for defocus in defoci:
        ctf = abtem.CTF(energy=energy, defocus=defocus, soft=False, **lens)
        images.append(wave.apply_ctf(ctf).intensity().compute().array.T)
    np.save(made, np.stack(images))
    print(json.dumps({"seconds": seconds, "version": version("abtem")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
