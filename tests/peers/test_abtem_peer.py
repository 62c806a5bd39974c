"""Lattice images against abTEM's multislice: the same atoms, at 10, 20 and 40 nm and three defoci.

abTEM is GPL: a program of its own, started by the Python that has it.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xraylib
from numpy.typing import NDArray

from simulators.lattice.image import intensity
from simulators.lattice.lens import Lens, pictures
from simulators.sample.scene import Crystals
from tests.peers.other_python import answer, python_with
from tests.simulators.atoms import Atoms, glass, slices, sphere
from tests.simulators.lattice_bench import about, scene, zone

pytestmark = [pytest.mark.peer, pytest.mark.timeout(600)]
VARIABLE = "CRYOLIFT_ABTEM_PYTHON"
HOST = Path(__file__).parent / "abtem_host.py"
PIXELS, PITCH = 512, 0.2e-10
SIDE = PIXELS * PITCH
DEFOCI = (20e-9, 40e-9, 60e-9)  # of the middle of the sample
SLICES = 16
LENS = Lens(200e3, 0.0, spherical=1e-6, spread=3e-9, source=0.2e-3, aperture=30e-3)
ANGSTROM = 1e-10
TURN = about((0, 0, 1), 0.3) @ zone("Li2O", (1, -1, 0))
CENTRE = np.array([SIDE / 2.0, SIDE / 2.0, 0.0])


@pytest.fixture(scope="module")
def python() -> str:
    python = python_with("abtem", VARIABLE)
    if subprocess.run([python, "-c", "import abtem"], capture_output=True, timeout=120, check=False).returncode != 0:
        pytest.skip(f"abTEM cannot be imported by {python}; name a Python that can in {VARIABLE}")
    return python


@pytest.mark.parametrize("thickness", [10e-9, 20e-9, 40e-9])
def test_first_order_in_16_slices_is_multislice_to_0_9(python: str, thickness: float, tmp_path: Path) -> None:
    matrix = glass("LiPON", (SIDE, SIDE, thickness), np.random.default_rng(1))
    around = matrix.where(np.linalg.norm(matrix.places - CENTRE, axis=1) > 2.5e-9)
    atoms = around.with_others(sphere("Li2O", 2.5e-9, CENTRE, TURN, 100.0))
    theirs = multislice(python, atoms, thickness, tmp_path)
    potentials, depths = slices(atoms, SIDE, PIXELS, thickness, SLICES)
    alike = {}
    for defocus, other in zip(DEFOCI, theirs, strict=True):
        ours = pictures(potentials.astype(np.complex64), depths, replace(LENS, defocus=defocus), PITCH).sum(axis=0)
        alike[defocus] = float(np.corrcoef(ours.ravel(), other.ravel())[0, 1])
    print(json.dumps({"thickness": thickness, "correlation": alike}))
    assert min(alike.values()) >= 0.9, alike


def test_a_picture_of_reflections_is_multislice_of_the_atoms(python: str, tmp_path: Path) -> None:
    thickness = 10e-9
    theirs = multislice(python, sphere("Li2O", 2.5e-9, CENTRE, TURN, 100.0), thickness, tmp_path)
    alike = {}
    one = Crystals(("Li2O",), np.zeros(1, np.intp), CENTRE[None], np.array([2.5e-9]), TURN[None], np.ones(1))
    for defocus, other in zip(DEFOCI, theirs, strict=True):
        ours = intensity(scene(one, side=SIDE), replace(LENS, defocus=defocus), (PIXELS, PIXELS), PITCH)
        alike[defocus] = float(np.corrcoef(_lattice(ours).ravel(), _lattice(other).ravel())[0, 1])
    print(json.dumps({"sphere": alike}))
    assert alike[40e-9] >= 0.95, alike
    assert min(alike.values()) >= 0.85, alike  # at 60 nm the first spots have a zero: what first order leaves out shows


def multislice(python: str, atoms: Atoms, thickness: float, folder: Path) -> NDArray[np.float32]:
    """What abTEM makes of atoms, one image for each defocus."""
    given, made = folder / "atoms.npz", folder / "images.npy"
    np.savez(
        given,
        places=(atoms.places + np.array([0.0, 0.0, thickness / 2.0])) / ANGSTROM,
        numbers=[xraylib.SymbolToAtomicNumber(element) for element in atoms.elements.tolist()],
        side=SIDE / ANGSTROM,
        thickness=thickness / ANGSTROM,
        pixels=PIXELS,
        energy=LENS.beam_energy,
        defocus=[(defocus + thickness / 2.0) / ANGSTROM for defocus in DEFOCI],  # theirs is of the exit face
        Cs=LENS.spherical / ANGSTROM,
        focal_spread=np.sqrt(2.0) * LENS.spread / ANGSTROM,  # theirs is where a Gaussian has fallen to 1/e
        angular_spread=LENS.source * 1e3,
        semiangle_cutoff=LENS.aperture * 1e3,
    )
    told = answer([python, str(HOST), str(given), str(made)], seconds=300.0)
    print(json.dumps({"atoms": len(atoms.elements), **told}))
    images: NDArray[np.float32] = np.load(made)
    return images


def _lattice(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """What is finer than 5 A: no mean inner potential."""
    waves = np.fft.rfft2(picture)
    k = np.hypot(np.fft.fftfreq(PIXELS, PITCH)[:, None], np.fft.rfftfreq(PIXELS, PITCH))
    return np.asarray(np.fft.irfft2(waves * ((k > 0.2e10) & (k < 1e10)), picture.shape))
