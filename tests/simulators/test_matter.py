"""The crystals of the lamella: as many as the file says, anywhere, any way round, and the same however one asks."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import kstest

from physics.damage import critical_fluence, sensitivities
from physics.dose import E_PER_A2
from physics.materials import material
from simulators.sample.composition import Composition
from simulators.sample.file import SHIPPED, Sample, load_sample
from simulators.sample.matter import Matter, Received
from simulators.sample.scene import Crystals, Scene, Window
from tests.simulators.bench import a_slab, sample_with, undamaged

NM = 1e-9
WIDE = Window((-30 * NM, -160 * NM), (140 * NM, 320 * NM))
ELECTROLYTE = Window((200 * NM, -100 * NM), (200 * NM, 200 * NM))
LITHIUM = Window((-800 * NM, -100 * NM), (200 * NM, 200 * NM))
Array = NDArray[np.float64]


def _none(x: Array, y: Array) -> Array:
    return np.zeros_like(x)


def _even(electrons: float) -> Received:
    return lambda x, y: np.full_like(x, electrons * E_PER_A2)


def _matter(sample: Sample, seed: int = 3) -> Matter:
    return Matter(sample, a_slab(sample, seed), seed, 200e3)


@cache
def _even_one() -> Matter:
    return _matter(_plain())


def _plain(**environment: object) -> Sample:
    return sample_with({"inclination": 0.0, "roughness": 0.0}, **environment)


@cache
def _crystals() -> Crystals:
    crystals = _even_one().crystals(WIDE, 0.0, _none)
    return _some(crystals, np.abs(crystals.centre[:, 2]) < 50 * NM - 1.001 * crystals.radius)  # but those of the shell


def _some(crystals: Crystals, which: NDArray[np.bool_]) -> Crystals:
    parts = (crystals.phase, crystals.centre, crystals.radius, crystals.turn, crystals.left)
    return Crystals(crystals.phases, *(part[which] for part in parts))


@cache
def _scene() -> Scene:
    return _even_one().scene(WIDE, 0.0, _none, 0.0, 100.0)


def _of(crystals: Crystals, phase: str) -> NDArray[np.bool_]:
    return crystals.phase == crystals.phases.index(phase)


@pytest.mark.parametrize(("phase", "share", "depth"), [("Li2O", 0.12, 71), ("Li3N", 0.03, 35), ("Li3PO4", 0.10, 46)])
def test_crystals_fill_the_volume_that_the_file_says(phase: str, share: float, depth: float) -> None:
    crystals = _crystals()
    mine = _of(crystals, phase) & (np.abs(crystals.centre[:, 1]) < 128 * NM)
    volume = (4.0 / 3.0 * np.pi * crystals.radius[mine] ** 3).sum()
    assert volume / (256 * NM * 100 * NM * depth * NM) == pytest.approx(share, rel=0.05)


def test_crystals_lie_within_their_depths_and_the_lamella_and_have_their_radii() -> None:
    crystals = _crystals()
    for phase, start, end in (("Li2O", 5, 76), ("Li3N", 10, 45), ("Li3PO4", 30, 76)):
        x, _, z = crystals.centre[_of(crystals, phase)].T
        radius = crystals.radius[_of(crystals, phase)]
        assert (x - radius).min() >= (start - 0.01) * NM
        assert (x + radius).max() <= (end + 0.01) * NM
        assert (np.abs(z) + radius).max() <= 50.01 * NM
        assert kstest((radius - 2 * NM) / (2 * NM), "uniform").pvalue > 1e-3
        assert kstest((z / (50 * NM - radius) + 1.0) / 2.0, "uniform").pvalue > 1e-3


def test_crystals_keep_off_each_other_but_for_a_few() -> None:
    centre, radius = _crystals().centre, _crystals().radius
    pairs = cKDTree(centre).query_pairs(8 * NM, output_type="ndarray")
    apart = np.linalg.norm(centre[pairs[:, 0]] - centre[pairs[:, 1]], axis=1)
    deep = apart < 0.7 * (radius[pairs[:, 0]] + radius[pairs[:, 1]])
    assert np.count_nonzero(deep) < 0.03 * len(centre)  # placed by chance it would be two in three


def test_crystals_are_turned_any_way() -> None:
    turn = _crystals().turn
    assert np.allclose(turn @ np.swapaxes(turn, 1, 2), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(turn), 1.0)
    for row in range(3):
        for column in range(3):  # each component of an even rotation is even between -1 and 1
            assert kstest((turn[:, row, column] + 1.0) / 2.0, "uniform").pvalue > 1e-3
    angle = np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1.0) / 2.0, -1.0, 1.0))
    assert kstest((angle - np.sin(angle)) / np.pi, "uniform").pvalue > 1e-3  # Haar measure of the angle


@settings(max_examples=4, deadline=None)
@given(order=st.permutations(range(3)))
def test_crystals_are_the_same_in_whatever_order_one_looks(order: list[int]) -> None:
    parts = [Window((20 * NM, (10 + 64 * part) * NM), (30 * NM, 40 * NM)) for part in range(3)]
    matter = _matter(sample_with())
    seen = {part: matter.crystals(parts[part], 0.0, _none) for part in order}
    for part, window in enumerate(parts):
        alone = _alone(window)
        assert np.array_equal(seen[part].centre, alone.centre)
        assert np.array_equal(seen[part].turn, alone.turn)


@cache
def _alone(window: Window) -> Crystals:
    return _matter(sample_with()).crystals(window, 0.0, _none)


def test_another_seed_has_other_crystals() -> None:
    few = Window((20 * NM, 10 * NM), (30 * NM, 40 * NM))
    one, other = (_matter(_plain(), seed).crystals(few, 0.0, _none) for seed in (1, 2))
    assert not np.array_equal(one.centre[:20], other.centre[:20])


def test_a_scene_holds_the_atoms_that_the_ramps_and_the_shell_say() -> None:
    scene, sample = _scene(), _plain()
    x = WIDE.corner[0] + (np.arange(scene.thickness.shape[1]) + 0.5) * scene.cell
    held = {element: atoms.sum(axis=0) for element, atoms in scene.glass.items()}
    for film in scene.films:
        for element, density in material(film.phase).number_densities.items():
            held[element] = held.get(element, 0.0) + density * film.depth.sum(axis=0)
    for index, phase in enumerate(scene.crystals.phases):
        mine = scene.crystals.phase == index
        centre, radius = scene.crystals.centre[mine], scene.crystals.radius[mine]
        near = np.clip((x[:, None] + np.array([-0.5, 0.5]) * NM)[:, :, None] - centre[:, 0], -radius, radius)
        slices = np.diff(np.pi * (radius**2 * near - near**3 / 3.0), axis=1)[:, 0].sum(axis=1) / scene.cell**2
        for element, density in material(phase).number_densities.items():
            held[element] = held[element] + density * slices
    total, shell = sample.atoms(x), 4 * NM * sample.metallic_lithium(x)
    oxide = material("Li2O").number_densities
    for element in ("Li", "P", "O", "N"):
        expected = 320 * (total[element] * (100 * NM - shell) + oxide.get(element, 0.0) * shell)
        bins = [part.sum() for part in np.array_split(held[element][5:-5], 10)]  # 400 crystals each: to 5 %
        assert bins == pytest.approx(
            [part.sum() for part in np.array_split(expected[5:-5], 10)], rel=0.08, abs=0.1 * expected.max()
        )


def test_nothing_in_a_scene_is_negative_and_no_column_thicker_than_the_lamella() -> None:
    scene = _scene()
    assert all(atoms.min() >= 0.0 for atoms in scene.glass.values())
    assert scene.thickness == pytest.approx(100 * NM)
    assert all(film.depth.min() >= 0.0 and film.depth.max() <= 100 * NM for film in scene.films)


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.yaml")))
def test_the_matrix_of_every_shipped_sample_holds_no_less_than_nothing_of_anything(name: str) -> None:
    sample = load_sample(name)
    assert min(Composition(sample).least.values()) > -1e-9 * material("Li").atoms
    assert sample.damage == load_sample("li-lipon").damage
    assert (sample.interphase is None) == (name == "abrupt")


def test_the_shipped_widths_are_those_of_the_fidelity_benchmark() -> None:
    layers = {path.stem: load_sample(path.stem).interphase for path in SHIPPED.glob("*.yaml")}
    widths = {name: round(layer.thickness / NM) if layer else 0 for name, layer in layers.items()}
    same = dict.fromkeys(("li-lipon", "other-ramps", "no-li3n", "with-li3p"), 76)
    assert widths == {"narrow": 20, "medium": 42, "wide": 120, "abrupt": 0, **same}


def test_lithium_has_oxide_crystals_on_both_faces_and_one_film_of_grains() -> None:
    scene = _even_one().scene(LITHIUM, 0.0, _none, 0.0, 100.0)
    crystals = scene.crystals
    assert set(np.array(crystals.phases)[np.unique(crystals.phase)]) == {"Li2O"}
    depth = 50 * NM - np.abs(crystals.centre[:, 2])
    assert depth == pytest.approx(crystals.radius)
    assert 0.45 < np.mean(crystals.centre[:, 2] > 0.0) < 0.55
    volume = (4.0 / 3.0 * np.pi * crystals.radius**3).sum() / (204 * NM) ** 2
    assert volume == pytest.approx(0.5 * 4 * NM, rel=0.1)  # half of 2 nm on each of two faces
    assert {film.phase for film in scene.films} == {"Li"}
    assert np.sum([film.depth for film in scene.films], axis=0).mean() == pytest.approx(96 * NM, rel=0.005)


def test_copper_has_grains_of_80_nm() -> None:
    copper = Window((1.50e-6, -200 * NM), (150 * NM, 400 * NM))
    films = _even_one().scene(copper, 0.0, _none, 0.0, 100.0).films
    assert {film.phase for film in films} == {"Cu"}
    area = np.sqrt(np.mean([np.count_nonzero(film.depth) for film in films])) * NM
    assert 50 * NM < area < 100 * NM  # those at the rim are cut


def test_crystals_fade_as_their_critical_fluence_says() -> None:
    crystals = _even_one().crystals(WIDE, 0.0, _even(1000.0))
    for phase, at_300_kv in (("Li2O", 2e4), ("Li3N", 5e3), ("Li3PO4", 3e3)):
        left = crystals.left[_of(crystals, phase)]
        faded = np.exp(-1000.0 / critical_fluence(at_300_kv, 200e3, 100.0))
        assert np.median(left) == pytest.approx(faded)
        assert np.all(np.isclose(left, faded) | ((left == 1.0) & (phase == "Li2O")))  # what the beam makes it keeps


def test_the_damage_of_the_shipped_sample_is_that_of_the_tables() -> None:
    damage = load_sample("li-lipon").damage
    for effect, given_ in (("element_loss", damage.loss), ("lattice", damage.lattice), ("growth", damage.growth)):
        table = sensitivities(effect)  # type: ignore[arg-type]
        for name in set(table) & set(given_):
            assert given_[name].critical == pytest.approx(table[name].fluence)
            assert given_[name].fluence(200e3, 295.0) == pytest.approx(table[name].critical_fluence(200e3, 295.0))


@pytest.mark.parametrize(("electrons", "share"), [(1e3, 0.021), (1e5, 0.875)])  # physics.md 0b at 300 kV: 0.017, 0.81
def test_a_careless_dose_grows_oxide_in_the_electrolyte_and_takes_nitrogen(electrons: float, share: float) -> None:
    matter = _even_one()
    assert len(matter.crystals(ELECTROLYTE, 0.0, _none)) == 0
    scene = matter.scene(ELECTROLYTE, 0.0, _even(electrons), 0.0, 100.0)
    crystals, before = scene.crystals, matter.scene(ELECTROLYTE, 0.0, _none, 0.0, 100.0)
    volume = (4.0 / 3.0 * np.pi * crystals.radius**3).sum() / (206 * NM) ** 2
    assert volume == pytest.approx(share * 0.05 * 100 * NM, rel=0.25)
    left = np.exp(-electrons / critical_fluence(5e4, 200e3, 100.0))
    assert scene.glass["N"] == pytest.approx(before.glass["N"] * left)
    carbon = np.mean(scene.glass["C"] - before.glass["C"]) / material("C").atoms
    assert carbon == pytest.approx(10 * NM * -np.expm1(-electrons / 1e6), rel=1e-6)
    taken = np.mean(before.glass["O"] - scene.glass["O"]) / material("Li2O").number_densities["O"]
    assert taken == pytest.approx(volume, rel=0.05)


def test_more_dose_never_unmakes_a_false_crystal() -> None:
    some, more = (_even_one().crystals(ELECTROLYTE, 0.0, _even(dose)) for dose in (5e3, 2e4))
    known = {tuple(place) for place in more.centre.tolist()}
    assert 0 < len(some) < len(more)
    assert all(tuple(place) in known for place in some.centre.tolist())


def test_a_contact_without_interphase_and_a_beam_that_does_no_harm_have_no_crystals() -> None:
    sample = undamaged(load_sample("abrupt"))
    scene = _matter(sample).scene(Window((100 * NM, 0.0), (50 * NM, 50 * NM)), 0.0, _even(1e5), 0.0, 100.0)
    assert len(scene.crystals) == 0
    lipon = material("LiPON").number_densities["N"]
    assert scene.glass["N"] == pytest.approx(scene.thickness * lipon)


def test_tilting_turns_centres_and_lattices_about_y() -> None:
    matter, tilt = _even_one(), np.radians(4.0)
    flat = matter.crystals(WIDE, 0.0, _none)
    turned = matter.crystals(WIDE, float(tilt), _none)
    places = {radius: number for number, radius in enumerate(turned.radius.tolist())}
    pairs = [(one, places[radius]) for one, radius in enumerate(flat.radius.tolist()) if radius in places]
    here, there = (np.array(column) for column in zip(*pairs, strict=True))
    assert len(here) > 0.8 * len(flat)
    middle, (x, y, z) = 38 * NM, flat.centre[here].T
    assert turned.centre[there, 0] == pytest.approx(middle + (x - middle) * np.cos(tilt) - z * np.sin(tilt))
    assert turned.centre[there, 1] == pytest.approx(y)
    spun = turned.turn[there] @ np.swapaxes(flat.turn[here], 1, 2)
    assert spun[:, 0] == pytest.approx(np.tile([np.cos(tilt), 0.0, -np.sin(tilt)], (len(here), 1)))


def test_what_an_inclined_interface_smears_the_right_tilt_makes_sharp() -> None:
    abrupt = dict.fromkeys(("P", "N", "O", "Li"), (0.0, 0.5 * NM))
    changes = {"ramps": abrupt, "crystals": (), "roughness": 0.0, "inclination": np.radians(5.0)}
    matter = _matter(sample_with(changes))
    window = Window((-20 * NM, -20 * NM), (40 * NM, 40 * NM))
    widths = []
    for tilt in (0.0, np.radians(5.0)):
        risen = matter.scene(window, tilt, _none, 0.0, 100.0).glass["P"][0]
        widths.append(np.count_nonzero((risen > 0.1 * risen.max()) & (risen < 0.9 * risen.max())))
    assert widths[0] == pytest.approx(0.8 * 8.7, abs=1.5)  # physics.md 0b: 5 degrees in 100 nm are 8.7 nm
    assert widths[1] <= 1


def test_roughness_moves_the_crystals_with_the_interface() -> None:
    sample = sample_with({"inclination": 0.0, "roughness": 4 * NM}, lithium_shell=0.0)
    slab = a_slab(sample, 3)
    crystals = Matter(sample, slab, 3, 200e3).crystals(Window(WIDE.corner, (140 * NM, 100 * NM)), 0.0, _none)
    assert np.count_nonzero(crystals.centre[:, 0] + crystals.radius > 77 * NM) > 5
    x, y, z = crystals.centre.T
    film = x - slab.offset(y, z)
    assert (film + crystals.radius).max() <= 76.01 * NM
