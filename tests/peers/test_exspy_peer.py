"""Our composition and eXSpy's, of the same file, agree within the errors (it is GPL: in a process of its own)."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from acquisition.analysis.quantify import Composition, Counts, Standard, quantify
from acquisition.analysis.spectra import fit, line_shapes
from acquisition.datafile import open_record
from physics.materials import atom_mass, mass_fractions
from physics.xrays import way_out
from tests.acquisition.known_map import FRAME, STARTED, begin
from tests.acquisition.synthetic_map import BEAM_ENERGY, ENERGIES, FWHM_MN, TAKE_OFF
from tests.acquisition.test_analysis_quantify import ELEMENTS, LIPON, expected
from tests.peers.other_python import answer

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,  # importing it takes longer than all of ours
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("hyperspy", "exspy")),
        reason="HyperSpy and eXSpy are not installed (pip install hyperspy exspy)",
    ),
]

COUNTS = 1e5  # in each spectrum
THICKNESS = 100e-9
OTHER = {"Li": 40e27, "P": 9e27, "N": 14e27, "O": 30e27}
# the first spectrum is that of the standard, whose composition both are told
QUANTIFY = """
import json, math, sys
import hyperspy.api as hs
import exspy

path, elements, film, other, thickness = sys.argv[1], *map(json.loads, sys.argv[2:])
loaded = hs.load(path, file_format="HSPY")
loaded = loaded if isinstance(loaded, list) else [loaded]
(line,) = [s for s in loaded if s.metadata.Signal.signal_type == "EDS_TEM"]
line.change_dtype("float64")
line.set_microscope_parameters(energy_resolution_MnKa=130.0, elevation_angle=20.0)
line.set_elements(elements)
line.set_lines([f"{e}_Ka" for e in elements])
line = line.isig[0.33:4.0]  # it knows of no escape peak, which is below
line.estimate_poissonian_noise_variance()

def intensities(spectrum, solid):
    model = spectrum.create_model()
    model.fit()
    found = {i.metadata.Sample.elements[0]: i for i in model.get_lines_intensity()}
    weight = {e: share for e, share in solid["weight"].items()}
    for e, signal in found.items():
        energy = exspy.material.elements[e]["Atomic_properties"]["Xray_lines"]["Ka"]["energy (keV)"]
        way = solid["density"] * thickness / math.sin(math.radians(20.0)) * 1e-1  # kg/m2 as g/cm2
        chi = way * exspy.material.mass_absorption_mixture(
            weight_percent=list(weight.values()), elements=list(weight), energies=[energy]
        )[0]
        signal.data = signal.data * chi / (1 - math.exp(-chi))
    return [found[e] for e in elements]

standard, seen = intensities(line.inav[0], film), intensities(line.inav[1], other)
factors = [film["weight"][e] / float(i.data.ravel()[0]) for e, i in zip(elements, standard)]
factors = [f / factors[0] for f in factors]
found = line.inav[1].quantification(seen, method="CL", factors=factors, composition_units="atomic")
print(json.dumps({e: float(f.data.ravel()[0]) for e, f in zip(elements, found)}))
"""


@pytest.fixture(scope="module")
def spectra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two spectra: of the film, and of something else as thick."""
    random = np.random.default_rng(12)
    means = [expected(densities, THICKNESS) for densities in (LIPON.number_densities, OTHER)]
    drawn = [random.poisson(mean * COUNTS / mean[ENERGIES >= 180].sum()) for mean in means]
    file, _, _ = begin(tmp_path_factory.mktemp("peer") / "0006-eds_line.nxs", step="eds_line")
    with file:
        file.spectrum_line(
            "profile",
            title="film and another",
            positions=np.array([0.0, 4e-9]),
            spectra=np.array(drawn, dtype=np.uint32),
            ev_per_channel=10.0,
            offset_ev=0.0,
            elements=ELEMENTS,
            live_time=1.0,
            real_time=1.0,
            frame=FRAME,
        )
        file.finish(status="complete", ended=STARTED + timedelta(seconds=9), results={})
    return file.path


def ours(path: Path) -> Composition:
    """The second spectrum of the file, with the first as the standard."""
    with open_record(path) as record:
        filed = record.spectrum_line("profile")
    way = THICKNESS * way_out(TAKE_OFF, 0.0)
    shapes = line_shapes(ELEMENTS, filed.energies, beam_energy=BEAM_ENERGY, fwhm_mn=FWHM_MN, film=LIPON, path=way)
    film, other = (Counts.of(fit(counts, shapes), ELEMENTS) for counts in filed.counts)
    return quantify(other, Standard(film, LIPON, way), way)


def solid(densities: Mapping[str, float]) -> dict[str, object]:
    density = sum(n * atom_mass(e) for e, n in densities.items())
    return {"density": density, "weight": {e: 100 * share for e, share in mass_fractions(densities).items()}}


def test_two_programs_find_the_same_composition_in_the_same_file(spectra: Path) -> None:
    given = [list(ELEMENTS), solid(LIPON.number_densities), solid(OTHER), THICKNESS]
    command = [sys.executable, "-W", "ignore", "-c", QUANTIFY, str(spectra), *map(json.dumps, given)]
    theirs = answer(command, seconds=170)
    found = ours(spectra)
    seen = sum(OTHER[e] for e in ELEMENTS)
    for element in ELEMENTS:
        both = math.hypot(found.errors[element], found.errors[element])  # theirs counts the same photons, no better
        assert theirs[element] == pytest.approx(found.percent[element], abs=2 * both + 0.3), element
        assert found.percent[element] == pytest.approx(100 * OTHER[element] / seen, abs=1.0), element
