"""Compositions come out right whatever the detector's hidden yields, with errors that hold."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from acquisition.analysis.quantify import Counts, Standard, factors, quantify
from acquisition.analysis.spectra import SpectrumFit, fit, line_shapes
from physics import xray_detector, xrays
from physics.materials import material
from physics.xrays import way_out
from tests.acquisition.synthetic_map import BEAM_ENERGY, ENERGIES, FWHM_MN, TAKE_OFF, transmission

ELEMENTS = ("P", "N", "O")
HIDDEN = {
    "N": 0.83,
    "O": 1.09,
    "P": 0.96,
}  # of the yields that the tables say: a detector and an atom nobody knows so well
THICKNESS = 100e-9
LIPON = material("LiPON")
MIXED = {"Li": 45e27, "P": 9e27, "N": 14e27, "O": 30e27}  # 17, 26 and 57 at% of what is seen
Array = NDArray[np.float64]


def expected(densities: Mapping[str, float], thickness: float) -> Array:
    """Mean spectrum of a slab, a count of phosphorus having about one: Gaussians at their lines, and a continuum."""
    areal = {e: np.array(n * thickness) for e, n in densities.items()}
    edges = np.append(ENERGIES - 5, ENERGIES[-1] + 5)
    spectrum = np.zeros(ENERGIES.size)
    for element in ("P", "N", "O"):
        for line in xrays.lines(element, BEAM_ENERGY):
            if line.energy < 180:
                continue
            strength = float(areal[element]) * line.cross_section * HIDDEN[element]
            strength *= float(transmission(areal, line.energy)) * float(xray_detector.efficiency(line.energy))
            escaped = xrays.silicon_escape_fraction(line.energy)
            for energy, share in ((line.energy, 1 - escaped), (xrays.silicon_escape_energy(line.energy), escaped)):
                if share > 0:
                    sigma = float(xray_detector.fwhm(energy, FWHM_MN)) / 2.35482
                    spectrum += strength * share * np.diff(norm.cdf((edges - energy) / sigma))
    axis = np.maximum(ENERGIES, 100)
    continuum = xrays.bremsstrahlung({e: float(a) for e, a in areal.items()}, BEAM_ENERGY, axis) * 10 * 4 * math.pi
    return spectrum + continuum * xray_detector.efficiency(axis) * transmission(areal, axis) * (ENERGIES > 100)


def taken(densities: Mapping[str, float], counts: float, seed: int, thickness: float = THICKNESS) -> SpectrumFit:
    """A fitted spectrum with so many counts above 180 eV."""
    mean = expected(densities, thickness)
    mean *= counts / mean[ENERGIES >= 180].sum()
    shapes = line_shapes(
        ELEMENTS,
        ENERGIES,
        beam_energy=BEAM_ENERGY,
        fwhm_mn=FWHM_MN,
        film=LIPON,
        path=thickness * way_out(TAKE_OFF, 0.0),
    )
    return fit(np.random.default_rng(seed).poisson(mean), shapes)


def standard(counts: float = 3e5, thickness: float = THICKNESS, unsure: float = 0.15) -> Standard:
    """The far LiPON of the same lamella."""
    found = taken(LIPON.number_densities, counts, 99, thickness)
    return Standard(Counts.of(found, ELEMENTS), LIPON, thickness * way_out(TAKE_OFF, 0.0), unsure)


def shares(densities: Mapping[str, float]) -> dict[str, float]:
    seen = sum(densities[e] for e in ELEMENTS)
    return {e: 100 * densities[e] / seen for e in ELEMENTS}


@pytest.mark.parametrize("seed", range(4))
def test_a_known_composition_is_found_within_one_atom_in_a_hundred_at_20000_counts(seed: int) -> None:
    found = quantify(Counts.of(taken(MIXED, 2e4, seed), ELEMENTS), standard(), THICKNESS * way_out(TAKE_OFF, 0.0))
    for element, share in shares(MIXED).items():
        assert found.percent[element] == pytest.approx(share, abs=1.0), element
        assert found.errors[element] < 0.6, element


def test_errors_are_as_large_as_what_repeats_differ_by() -> None:
    known, truth = standard(), shares(MIXED)
    off = [
        (found.percent["N"] - truth["N"]) / found.errors["N"]
        for found in (
            quantify(Counts.of(taken(MIXED, 2e4, seed), ELEMENTS), known, THICKNESS * way_out(TAKE_OFF, 0.0))
            for seed in range(30)
        )
    ]
    assert 0.6 < np.std(off) < 1.4
    assert abs(np.mean(off)) < 0.8


def test_the_standard_itself_is_what_it_is_said_to_be() -> None:
    known = standard()
    found = quantify(known.counts, known, known.path)
    assert found.percent == pytest.approx(shares(LIPON.number_densities))


def test_the_factors_tell_the_yields_that_were_hidden() -> None:
    found = factors(standard(), "P")
    table = {
        e: sum(
            line.cross_section * float(xray_detector.efficiency(line.energy))
            for line in xrays.lines(e, BEAM_ENERGY)
            if line.energy > 180
        )
        for e in ELEMENTS
    }
    for e in ELEMENTS:
        truth = (table["P"] * HIDDEN["P"]) / (table[e] * HIDDEN[e])
        assert found.values[e] == pytest.approx(truth, abs=3 * found.errors[e] + 1e-9, rel=1e-3), e
    assert 0.005 < found.errors["N"] / found.values["N"] < 0.06


def test_without_absorption_nitrogen_of_a_thicker_place_is_low_by_a_tenth() -> None:
    thin = standard(1e6, thickness=10e-9)
    thick = Counts.of(taken(LIPON.number_densities, 1e6, 5), ELEMENTS)
    plain = quantify(thick, thin, 10e-9 * way_out(TAKE_OFF, 0.0)).percent["N"]
    corrected = quantify(thick, thin, THICKNESS * way_out(TAKE_OFF, 0.0)).percent["N"]
    truth = shares(LIPON.number_densities)["N"]
    assert plain / truth == pytest.approx(0.91, abs=0.03)
    assert corrected / truth == pytest.approx(1.0, abs=0.03)


def test_oxygen_of_ice_is_no_oxygen_of_the_film() -> None:
    known = standard()
    iced = known.counts.less("O", 0.1, 0.05)
    row = ELEMENTS.index("O")
    assert iced.values[row] == pytest.approx(0.9 * known.counts.values[row])
    assert math.sqrt(iced.covariance[row, row]) > 0.04 * known.counts.values[row]


def test_other_elements_than_those_of_the_standard_are_an_error() -> None:
    known = standard()
    with pytest.raises(ValueError, match="do not match"):
        quantify(Counts(("P", "N"), np.ones(2), np.eye(2)), known, known.path)


def test_no_counts_have_no_composition() -> None:
    known = standard()
    with pytest.raises(ValueError, match="no counts"):
        quantify(Counts(ELEMENTS, np.zeros(3), np.eye(3)), known, known.path)
