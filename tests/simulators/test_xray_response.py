"""X-rays as this detector sees them from this lamella: absorbed, tilted, through ice, with yields nobody was told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from physics import xrays
from physics.materials import material
from physics.xray_detector import efficiency, fwhm
from simulators.beam.emission import Emission, Response
from simulators.beam.xrays import Eds
from simulators.sample.file import Sample
from simulators.sample.lamella import FWHM, Exposed, Lamella
from simulators.sample.slab import Slab
from simulators.sample.stack import Wedge
from tests.simulators.bench import Array, make_world, optics, sample_with

NM = 1e-9
FAR = 0.8e-6  # m from the interface into the electrolyte
SEEN = optics()


def cut(tilt: float = 0.0, thickness: float = 100 * NM, **environment: object) -> Lamella:
    return of(sample_with(None, lamella_thickness=thickness, wedge=None, **environment)).tilted(tilt)


def of(sample: Sample) -> Lamella:
    return Lamella(sample, SEEN, 2e-6, Slab.of(sample, np.random.default_rng(1), np.random.default_rng(2)))


def shone(lamella: Lamella, pixels: int = 1, electrons: float = 1.0, ice: float = 0.0, carbon: float = 0.0) -> Exposed:
    """Pixels on the electrolyte far from the interface."""
    places = lamella.index(np.full(pixels, lamella.middle + FAR), np.zeros(pixels))
    none = np.zeros(pixels)
    return Exposed(places, electrons, {}, ice, 1e-3, 0.0, np.full(pixels, carbon), none, none, none)


def counts(lamella: Lamella, response: Response | None = None, **more: float) -> dict[str, float]:
    """Expected counts per electron of each family, by element and the energy of its first line, keV, to a tenth."""
    emission = Emission(lamella, SEEN, response or Response())
    found = emission.of(shone(lamella, 1, 1.0, **more))
    return {
        f"{f.element} {f.energies[0] / 1e3:.1f}": float(n[0]) for f, n in zip(emission.families, found, strict=False)
    }


@pytest.mark.parametrize(
    ("thickness", "nitrogen", "oxygen"), [(50 * NM, 0.89, 0.93), (100 * NM, 0.795, 0.865), (200 * NM, 0.65, 0.75)]
)
def test_absorption_is_that_of_the_thickness_that_is_there(thickness: float, nitrogen: float, oxygen: float) -> None:
    """LiPON at a take-off of 20 deg, as the round trip with exSpy 0.3.1 needed it to give the composition back."""
    thin, thick = cut(thickness=1 * NM, carbon=0.0, copper=0.0), cut(thickness=thickness, carbon=0.0, copper=0.0)
    for line, share in (("N 0.4", nitrogen), ("O 0.5", oxygen)):
        kept = counts(thick)[line] / counts(thin)[line] * (NM / thickness)
        assert kept == pytest.approx(share, abs=0.01)


def test_in_a_wedge_each_place_has_the_absorption_of_its_own_thickness() -> None:
    wedge = Wedge.model_validate({"thin": 25 * NM, "thick": 110 * NM, "from": -1.45e-6, "to": 0.15e-6})
    lamella = of(sample_with(lamella_thickness=None, wedge=wedge))
    emission = Emission(lamella, SEEN, Response())
    y = np.array([-1.45e-6, -0.65e-6, 0.15e-6])
    places, none = lamella.index(np.full(3, lamella.middle + FAR), y), np.zeros(3)
    found = emission.of(Exposed(places, 1.0, {}, 0.0, 1e-3, 0.0, none, none, none, none))
    row = [family.element for family in emission.families].index("N")
    flat = [counts(cut(thickness=t * NM))["N 0.4"] for t in (25, 67.5, 110)]
    assert found[row] == pytest.approx(flat, rel=0.02)


def test_a_lamella_that_turns_to_the_detector_absorbs_less_though_the_beam_goes_a_longer_way() -> None:
    tilt = 0.1
    level, turned, away = (counts(cut(angle)) for angle in (0.0, tilt, -tilt))
    assert turned["P 2.0"] == pytest.approx(level["P 2.0"] / np.cos(tilt), rel=5e-3)
    lipon = material("LiPON")
    depth = xrays.mass_attenuation(lipon.mass_fractions, 392.4) * lipon.density * 100 * NM / np.cos(tilt)
    for angle, found in ((tilt, turned), (-tilt, away)):
        kept = float(xrays.absorption_factor(depth * xrays.way_out(SEEN.eds_elevation, SEEN.eds_azimuth, angle)))
        assert found["N 0.4"] / level["N 0.4"] == pytest.approx(kept / 0.795 / np.cos(tilt), rel=0.01)
    assert turned["N 0.4"] > level["N 0.4"] > away["N 0.4"]


def test_a_detector_looks_at_the_lamella_as_it_is_now() -> None:
    eds, level, turned = Eds(cut(), SEEN, np.random.default_rng(3)), cut(), cut(0.4)
    numbers = []
    for lamella in (level, turned):
        eds.look_at(lamella)
        eds.expose(shone(lamella, pixels=100, electrons=1e8))
        numbers.append(len(eds.photons(np.inf)[0]))
    assert numbers[1] / numbers[0] == pytest.approx(1.17, rel=0.03)  # 1/cos, and less absorbed


def test_ice_on_the_window_takes_carbon_first() -> None:
    """200 nm on a cold windowless detector: C -10 %, N -4 %, O -2 %, by the attenuation of water."""
    clear, iced = counts(cut()), counts(cut(), Response(window_ice=200 * NM))
    for line, kept in (("C 0.3", 0.90), ("N 0.4", 0.96), ("O 0.5", 0.98), ("P 2.0", 0.99)):
        assert iced[line] / clear[line] == pytest.approx(kept, abs=0.01)


def test_ice_on_the_lamella_shines_and_shades() -> None:
    bare, iced = counts(cut()), counts(cut(), ice=20 * NM)
    assert iced["O 0.5"] > 1.1 * bare["O 0.5"]
    assert 0.98 < iced["N 0.4"] / bare["N 0.4"] < 0.998


def test_carbon_that_the_beam_has_grown_adds_to_what_was_there() -> None:
    bare, grown = counts(cut(carbon=1 * NM)), counts(cut(carbon=1 * NM), carbon=1 * NM)
    assert grown["C 0.3"] / bare["C 0.3"] == pytest.approx(2.0, abs=0.2)
    assert grown["O 0.5"] == bare["O 0.5"]


def test_the_ion_beam_leaves_gallium_and_platinum_leaves_its_m_lines_on_phosphorus() -> None:
    clean, used = counts(cut(gallium=0.0)), counts(cut(gallium=10e18, platinum=2 * NM))
    assert clean["Ga 1.1"] == 0.0 and used["Ga 1.1"] > 0.0 and used["Ga 9.3"] > 0.0
    assert not any(name.startswith("Pt") for name in clean)
    assert used["Pt 2.0"] > 0.05 * clean["P 2.0"]
    platinum, phosphorus = (xrays.lines(element, SEEN.beam_energy) for element in ("Pt", "P"))
    apart = min(abs(line.energy - phosphorus[0].energy) for line in platinum if line.name == "Ma1")
    assert apart == pytest.approx(38.0, abs=3.0) and apart < float(fwhm(2013.0)) / 2.0  # nobody tells them apart


def test_the_detector_of_a_seed_is_off_by_no_more_than_the_table_allows_and_really_off() -> None:
    drawn = [Response.drawn(0.0, np.random.default_rng([seed, 20]), hidden_errors=True) for seed in range(40)]
    for element, most in (("N", 0.2), ("O", 0.1), ("P", 0.05)):
        off = np.array([one.yields[element] - 1.0 for one in drawn])
        assert 0.8 * most < np.abs(off).max() <= most
        assert abs(off.mean()) < 0.4 * most
    angles = [one.solid_angle - 1.0 for one in drawn]
    assert 0.08 < np.abs(angles).max() <= 0.1
    exact = Response.drawn(0.0, np.random.default_rng([1, 20]), hidden_errors=False)
    assert exact.solid_angle == 1.0 and set(exact.yields.values()) == {1.0}


def test_what_is_hidden_moves_the_counts_by_as_much() -> None:
    nominal = counts(cut())
    off = counts(cut(), Response(solid_angle=1.1, yields={"N": 0.8}))
    assert off["N 0.4"] / nominal["N 0.4"] == pytest.approx(0.88, rel=1e-4)
    assert off["P 2.0"] / nominal["P 2.0"] == pytest.approx(1.1, rel=1e-4)


def test_the_world_hides_a_detector_of_its_seed_and_only_its_truth_tells() -> None:
    hidden, same, exact = (make_world(hidden_errors=on).truth.eds for on in (True, True, False))
    assert hidden == same
    assert hidden.yields["N"] != 1.0 and exact.yields["N"] == 1.0
    assert exact.window_ice == hidden.window_ice == pytest.approx(50 * NM)


def test_a_spectrum_is_that_of_the_formulas_in_every_channel() -> None:
    """chi^2 per channel near 1 against lines, continuum, absorption, escape and resolution worked out apart."""
    lamella = cut(carbon=0.0, copper=0.0, gallium=0.0)
    eds, electrons = Eds(lamella, SEEN, np.random.default_rng(5)), 2e9
    eds.expose(shone(lamella, pixels=1000, electrons=electrons / 1000))
    edges = np.arange(200.0, 4000.0, 10.0)
    measured, _ = np.histogram(eds.photons(np.inf)[1], edges)
    expected = electrons * _spectrum(edges)
    assert measured.sum() == pytest.approx(expected.sum(), rel=0.01)
    chi2 = float(np.mean((measured - expected) ** 2 / expected))
    assert chi2 == pytest.approx(1.0, abs=0.25)


def _spectrum(edges: Array) -> Array:
    """Counts per electron in channels, of 100 nm of LiPON under 0.9 sr at 20 deg."""
    lipon, steradians = material("LiPON"), SEEN.eds_solid_angle
    areal = {element: density * 100 * NM for element, density in lipon.number_densities.items()}

    def leaving(energy: Array | float) -> Array:
        depth = xrays.mass_attenuation(lipon.mass_fractions, energy) * lipon.density * 100 * NM
        return xrays.absorption_factor(depth * xrays.way_out(SEEN.eds_elevation, SEEN.eds_azimuth))

    step = 5.0
    fine = np.arange(100.0, 8000.0, step) + step / 2.0
    bare = xrays.bremsstrahlung(areal, SEEN.beam_energy, fine) * efficiency(fine) * leaving(fine) * steradians * step
    parts = list(zip(fine.tolist(), bare.tolist(), strict=True))
    for element, atoms in areal.items():
        for line in xrays.lines(element, SEEN.beam_energy):
            share = float(efficiency(line.energy) * leaving(line.energy)) * steradians / (4.0 * np.pi)
            parts.append((line.energy, atoms * line.cross_section * share))
    found = np.zeros(len(edges) - 1)
    for energy, strength in parts:
        lost = xrays.silicon_escape_fraction(energy)
        for place, share in ((energy, 1.0 - lost), (xrays.silicon_escape_energy(energy), lost)):
            if share * strength > 0.0 and place > 0.0:
                width = float(fwhm(place, SEEN.eds_fwhm_mn)) / FWHM
                found += strength * share * np.diff(ndtr((edges - place) / width))
    return found
