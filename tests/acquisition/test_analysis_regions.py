"""The three regions of a map have their spectra, the interphase its composition, and what the beam took is seen."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from acquisition.analysis.eds_map import EdsMap, Measured, half_widths, measure
from acquisition.analysis.interphase import Doubts
from acquisition.analysis.regions import FILM, INTERPHASE, METAL, Region, chemistry, losses, regions, spectra
from drivers.ticket import Frame
from physics.materials import material
from tests.acquisition.synthetic_map import DOSE, ENERGIES, TAKE_OFF, Scene, dark_field, events
from tests.acquisition.test_analysis_eds_map import OPTICS

NM = 1e-9
FRAME = Frame(centre=(0.0, 0.0), size=(400 * NM, 400 * NM), pixels=(128, 128), dwell=1e-4)
PASSES = 6
GONE = 0.3  # of the nitrogen, in the last third of the passes


def measured(recorded: EdsMap) -> Measured:
    return measure(
        recorded,
        OPTICS,
        Doubts(probe_fwhm=2.2 * NM, probe_uncertainty=0.3, lean=math.radians(2), roughness=3 * NM, scale=0.0),
        dark=material("Li"),
        bright=material("LiPON"),
        bin_width=4 * NM,
        rng=np.random.default_rng(7),
    )


@cache
def taken() -> tuple[EdsMap, Measured, dict[str, Region]]:
    scene = Scene(oxide=0.03, ice=1e19)
    passes, pixels, channels = events(scene, FRAME, fluence=2 * DOSE, shifts=[(0.0, 0.0)] * PASSES, seed=7)
    nitrogen = (abs(ENERGIES[channels] - 392) < 60) & (passes >= 4)
    kept = ~nitrogen | (np.random.default_rng(1).random(passes.size) > GONE)
    recorded = EdsMap(
        passes=passes[kept],
        pixels=pixels[kept],
        channels=channels[kept],
        energies=ENERGIES,
        elements=("P", "N", "O"),
        frame=FRAME,
        pixels_done=(FRAME.count,) * PASSES,
        shifts=((0.0, 0.0),) * PASSES,
        dark_field=dark_field(scene, FRAME, 1000, 7).astype(np.float64),
        electrons=2 * DOSE / PASSES * FRAME.pitch[0] * FRAME.pitch[1],
    )
    found = measured(recorded)
    return recorded, found, regions(recorded, found, OPTICS, spectra(recorded, found))


def test_every_event_of_the_profile_is_in_one_of_its_spectra() -> None:
    recorded, found, _ = taken()
    in_bins = spectra(recorded, found)
    assert in_bins.shape == (found.profile.position.size, ENERGIES.size)
    assert 0.99 * recorded.channels.size < in_bins.sum() <= recorded.channels.size


def test_the_regions_lie_side_by_side_and_are_understood_to_their_noise() -> None:
    _, _, by_name = taken()
    assert list(by_name) == [METAL, INTERPHASE, FILM]
    assert by_name[METAL].end < by_name[INTERPHASE].start < by_name[INTERPHASE].end < by_name[FILM].start
    for region in by_name.values():
        assert region.fit.chi2 == pytest.approx(1.0, abs=0.2)


def test_the_interphase_has_the_composition_of_its_ramps() -> None:
    _, found, by_name = taken()
    made = chemistry(found, by_name)
    assert made is not None
    stated = material("LiPON").number_densities
    # over 76 nm the mean of ramps of 76 and of 30 nm from the same start
    truth = {"P": stated["P"] / 2, "N": stated["N"] / 2, "O": stated["O"] * (1 - 15 / 76)}
    interphase = made.found[INTERPHASE]
    for element, atoms in truth.items():
        share = 100 * atoms / sum(truth.values())
        assert interphase.percent[element] == pytest.approx(share, abs=1.0 + 2 * interphase.errors[element]), element
    assert made.factors.reference == "P"
    assert made.factors.values["P"] == pytest.approx(1.0)


def test_without_a_far_film_there_is_no_standard() -> None:
    _, found, by_name = taken()
    assert chemistry(found, {name: region for name, region in by_name.items() if name != FILM}) is None


def test_nitrogen_that_left_during_the_map_is_missed_and_nothing_else_is() -> None:
    recorded, found, _ = taken()
    lost = losses(recorded, found)
    assert lost["N"].share == pytest.approx(GONE, abs=3 * lost["N"].uncertainty)
    assert lost["N"].share > 4 * lost["N"].uncertainty
    for element in ("P", "O"):
        assert abs(lost[element].share) < 3.5 * lost[element].uncertainty, element


def test_two_passes_tell_no_loss() -> None:
    recorded, found, _ = taken()
    assert losses(replace(recorded, pixels_done=(FRAME.count,) * 2), found) == {}


def test_x_rays_of_a_lamella_that_is_tilted_away_go_a_longer_way() -> None:
    recorded, found, by_name = taken()
    tilted = replace(recorded, tilt=-math.radians(8))
    again = measured(tilted)
    way = 1 / (math.sin(TAKE_OFF) - math.cos(TAKE_OFF) * math.tan(math.radians(8)))
    assert again.films.path == pytest.approx(again.films.thickness * way)
    assert found.films.path == pytest.approx(found.films.thickness / math.sin(TAKE_OFF))
    there = regions(tilted, again, OPTICS, spectra(tilted, again))
    for name, region in there.items():
        assert region.path > 1.5 * by_name[name].path, name
    with pytest.raises(ValueError, match="detector is behind a slab that is tilted by -25 deg"):
        measured(replace(recorded, tilt=-math.radians(25)))


def test_a_quick_look_is_about_as_sure_as_the_whole_measurement() -> None:
    recorded, found, _ = taken()
    quick = half_widths(recorded, OPTICS, ("P", "N"))
    low, high = found.ramps["P"].ci95
    assert quick["P"] == pytest.approx((high - low) / 2, rel=0.5)
    assert quick["N"] > quick["P"]
