"""Counts of elements come out of a spectrum without bias, whoever's tail they stand on."""

from __future__ import annotations

import numpy as np
import pytest

from acquisition.analysis.spectra import LineShapes, fit, line_shapes
from physics import xrays
from physics.materials import material
from tests.acquisition.synthetic_map import BEAM_ENERGY, ENERGIES, FWHM_MN

TRUE = {"P K": 60000, "N K": 9000, "O K": 110000, "C K": 800, "Cu L": 1200, "Cu K": 900, "background": 25000}


@pytest.fixture(scope="module")
def shapes() -> LineShapes:
    return line_shapes(
        ("P", "N", "O"), ENERGIES, beam_energy=BEAM_ENERGY, fwhm_mn=FWHM_MN, film=material("LiPON"), path=290e-9
    )


def expected(shapes: LineShapes, true: dict[str, int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(sum(n * shapes.shapes[shapes.names.index(name)] for name, n in true.items()))


def test_each_family_is_found_within_its_error(shapes: LineShapes) -> None:
    found = fit(np.random.default_rng(1).poisson(expected(shapes, TRUE)), shapes)
    errors = np.sqrt(np.diag(found.covariance))
    for name, counts, error in zip(shapes.names, found.counts, errors, strict=True):
        assert counts == pytest.approx(TRUE.get(name, 0), abs=4 * error), name
    assert found.chi2 == pytest.approx(1, abs=0.15)


def test_phosphorus_is_not_taken_for_carbon(shapes: LineShapes) -> None:
    # 1.6 % of P K escapes to 270 eV, 7 eV from C K: a thousand false counts
    found = fit(np.random.default_rng(2).poisson(expected(shapes, {"P K": 60000, "background": 20000})), shapes)
    carbon, error = found.of("C")
    assert 60000 * xrays.silicon_escape_fraction(2010) > 900
    assert carbon == pytest.approx(0, abs=4 * error)
    assert error < 100


def test_the_estimator_of_the_sum_is_right_for_any_part_of_it(shapes: LineShapes) -> None:
    draw = np.random.default_rng(3)
    part = expected(shapes, {"P K": 20, "N K": 300, "background": 50})
    whole = draw.poisson(expected(shapes, TRUE)) + draw.poisson(part)
    worth = fit(whole, shapes).worth("N")
    assert part @ worth == pytest.approx(300, rel=0.02)


def test_errors_are_those_of_repeated_spectra(shapes: LineShapes) -> None:
    draw, mean = np.random.default_rng(4), expected(shapes, TRUE) / 20
    found = [fit(draw.poisson(mean), shapes).of("N") for _ in range(60)]
    counts, stated = np.array([f[0] for f in found]), np.mean([f[1] for f in found])
    assert counts.mean() == pytest.approx(TRUE["N K"] / 20, abs=0.4 * stated)
    assert counts.std() / stated == pytest.approx(1, abs=0.3)


def test_a_wrong_resolution_shows_in_chi2(shapes: LineShapes) -> None:
    sharper = line_shapes(("P", "N", "O"), ENERGIES, beam_energy=BEAM_ENERGY, fwhm_mn=125, film=material("LiPON"))
    assert fit(np.random.default_rng(5).poisson(expected(shapes, TRUE)), sharper).chi2 > 1.5


def test_an_element_without_lines_here_is_an_error(shapes: LineShapes) -> None:
    with pytest.raises(ValueError, match="Li has no line"):
        shapes.rows("Li")


def test_an_empty_spectrum_is_an_error(shapes: LineShapes) -> None:
    with pytest.raises(ValueError, match="no count"):
        fit(np.zeros(ENERGIES.size), shapes)


def test_a_spectrum_of_other_channels_is_an_error(shapes: LineShapes) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        fit(np.zeros(2048), shapes)
