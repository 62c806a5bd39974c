"""Bands of a lattice image from composition alone, and verdicts over many patches."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from acquisition.analysis.bands import BANDS, Band, Composition, Placement, bands, independent, locate
from acquisition.analysis.layers import Control, control_of, judge, shell_explains
from acquisition.analysis.looks import Looked, look
from acquisition.analysis.patches import Patch
from acquisition.analysis.phase_map import own_scale
from acquisition.analysis.spots import Spots
from physics.materials import material
from tests.acquisition.known_lattices import KELVIN, PITCH, SIDE, as_spots, fringes, spots, turns

RAMPS = {"P": (-30e-9, 46e-9), "N": (-30e-9, 46e-9), "O": (-30e-9, 0.0)}
COMPOSITION = Composition(material("Li"), material("LiPON"), RAMPS)
CLEAN = Control(60, {})


def darkened(position: float, angle: float, composition: Composition = COMPOSITION, seed: int = 1) -> np.ndarray:
    """A coarse image, 160 nm wide, whose film is 3 % darker than its metal; unevenly lit, thicker downwards."""
    side, pitch = 1000, 160e-12
    x = (np.arange(side) - (side - 1) / 2) * pitch
    across = x[None, :] * math.cos(angle) + x[:, None] * math.sin(angle) - position
    light = 1 + 0.03 * (1 - 2 * (x[None, :] ** 2 + x[:, None] ** 2) / 150e-9**2)
    thick = 1 + 1.5 * x[:, None] / 1e-6
    image = light * np.exp(-thick * (0.01 + 0.03 * composition.share(across, 0.0)))
    return np.asarray(np.random.default_rng(seed).poisson(300 * image), dtype=np.float64)


@pytest.mark.parametrize(("position", "angle"), [(-18e-9, 0.03), (12e-9, math.pi - 0.05), (0.0, 1.2)])
def test_a_composition_is_found_in_a_lattice_image_and_which_way_it_lies(position: float, angle: float) -> None:
    found = locate(darkened(position, angle), 160e-12, COMPOSITION)
    assert found.position == pytest.approx(position, abs=2e-9)
    assert math.remainder(found.angle - angle, 2 * math.pi) == pytest.approx(0.0, abs=math.radians(3))
    assert found.step == pytest.approx(0.03, rel=0.2)


@pytest.mark.slow
def test_without_a_line_scan_the_image_tells_the_step_alone() -> None:
    alone = Composition(material("Li"), material("LiPON"), None)
    shown = Composition(material("Li"), material("LiPON"), {"P": (-25e-9, 25e-9)})
    found = locate(darkened(5e-9, 0.0, shown), 160e-12, alone)
    assert found.position == pytest.approx(5e-9, abs=3e-9)
    assert found.extent == pytest.approx(50e-9, abs=12e-9)


def test_an_image_without_a_contact_is_refused() -> None:
    with pytest.raises(ValueError, match="no contact"):
        locate(np.random.default_rng(2).poisson(300.0, (1000, 1000)).astype(float), 160e-12, COMPOSITION)


def test_every_band_has_its_patches_and_controls_keep_away() -> None:
    placed = Placement(-20e-9, 0.0, 1e-9, 0.03, 1e3, 0.0)
    for interphase in ((-30e-9, 46e-9), (-5e-9, 15e-9), (0.0, 2e-9)):
        found = {band.name: band for band in bands((4096, 4096), PITCH, placed, interphase, SIDE)}
        assert tuple(found) == BANDS
        assert all(len(band.patches) >= 20 for band in found.values())
        assert max(found["lithium"].across) < interphase[0] - SIDE / 2
        controls = [a for a, c in zip(found["lipon"].across, found["lipon"].control, strict=True) if c]
        assert min(controls) > interphase[1] + SIDE / 2
    assert independent([Patch(0, 160 * n, 320) for n in range(5)]) == 3


def looked(several: list[Spots], *, control: bool = False) -> list[Looked]:
    """Patches 13 nm from one another with these spots."""
    return [Looked(0, n, (13e-9 * n, 0.0), 0.0, control, Patch(0, 320 * n, 320), one) for n, one in enumerate(several)]


def of_crystals(phase: str, count: int, seed: int) -> list[Spots]:
    """Spots of turned crystals that show at least three."""
    found = (spots(phase, turn, off=1.0, seed=seed) for turn in turns(4000, seed))
    return [one for one in found if len(one) > 2 and np.ptp(np.arctan2(one.k[:, 1], one.k[:, 0])) > 0.5][:count]


def noise(count: int, seed: int) -> list[Spots]:
    random = np.random.default_rng(seed)
    several = []
    for _ in range(count):
        length, angle = random.uniform(2.4e9, 7.8e9, 2), random.uniform(0, math.pi, 2)
        several.append(as_spots(length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)))
    return several


def test_a_band_reports_what_stands_in_it_and_nothing_else() -> None:
    several = of_crystals("Li2O", 4, 1) + of_crystals("Li3PO4", 5, 2) + noise(30, 3)
    layer = judge("middle", looked(several), KELVIN, CLEAN)
    assert {one.phase for one in layer.phases if one.reported} == {"Li2O", "Li3PO4"}
    assert all(one.confidence >= 0.95 for one in layer.phases if one.reported)
    assert layer.patches == len(several)


def test_what_controls_show_as_well_is_not_reported() -> None:
    several = of_crystals("Li2O", 3, 1) + noise(30, 3)
    dirty = Control(33, {"Li2O": 4})
    assert not [one for one in judge("middle", looked(several), KELVIN, dirty).phases if one.reported]


def test_unrelated_spots_make_no_phase_and_the_rate_is_told() -> None:
    control = control_of(looked(noise(60, 5), control=True), KELVIN)
    assert control.false_positives <= 0.05
    assert control.false_positives < control.at_most < 0.15


def test_the_oxide_of_a_lithium_s_shell_is_told() -> None:
    lithium = judge("lithium", looked(of_crystals("Li2O", 5, 1) + noise(5, 3)), KELVIN, CLEAN)
    same, more = lithium, replace(lithium, phases=(replace(lithium.phases[0], crystals=14),))
    assert lithium.phases[0].crystals == 5
    assert shell_explains(same, lithium, 0.8)
    assert not shell_explains(more, lithium, 0.3)
    assert not shell_explains(same, lithium, 0.0)  # where there is no lithium


def test_fringes_of_a_large_grain_decide_nothing_alone() -> None:
    grain = as_spots(np.array([[4.06e9, 0.3e9]]))
    layer = judge("lithium", looked([grain] * 12 + noise(8, 3)), KELVIN, CLEAN)
    assert layer.films[0][1] == 12
    assert not layer.phases
    assert any("fits Li " in note for note in layer.notes)


def test_a_second_look_is_where_the_fringes_are() -> None:
    at = 3.1e-9, 3.0e-9
    image = fringes(480, [(3.77e9, 0.0, 0.12), (-1.2e9, 3.57e9, 0.12)], at, 3e-9, 60.0, 2)
    band = Band("middle", (Patch(80, 80, 320),), (0.0,), (False,))
    first, *closer = look(image, PITCH, band)
    assert closer
    assert closer[0].spots.ratio[0] > 1.5 * first.spots.ratio[0]
    assert closer[0].place == pytest.approx(at, abs=0.8e-9)


def test_the_size_of_a_pixel_is_fitted_to_the_lattices_themselves() -> None:
    several = [one.rescaled(1 / 1.012) for one in of_crystals("Li2O", 4, 1)]
    assert own_scale(looked(several), KELVIN, 0.02) == pytest.approx(1.012, abs=0.002)
