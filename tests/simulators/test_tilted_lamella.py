"""The lamella is a wedge, lies a little inclined and off the axis of the goniometer: what the scan sees of all that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.constants import e

from physics.dose import E_PER_A2
from simulators.sample.file import Sample, SampleError, load_sample
from simulators.sample.lamella import Lamella
from simulators.sample.slab import Relief
from simulators.sample.stack import Contact, Wedge
from simulators.world import World
from tests.simulators.bench import CURRENT, FIELD, a_slab, grid, make_world, optics, rewritten, sample_with, still

NM, DEG = 1e-9, np.pi / 180.0
Array = NDArray[np.float64]


def _contact(inclination: float) -> Sample:
    """Lithium and electrolyte that touch, with nothing else in the way."""
    abrupt = dict.fromkeys(("P", "N", "O", "Li"), (0.0, 0.5 * NM))
    layer = {"ramps": abrupt, "crystals": (), "roughness": 0.0, "inclination": inclination}
    return sample_with(layer, lithium_shell=0.0, carbon=0.0, drift=still())


def _tilted(world: World, a: float, start: float = 0.0, **further: float) -> float:
    """Tilt it and wait; the clock time then."""
    world.goniometer.go({"a": a, **further}, "GO", start)
    return start + 100.0


def _profile(world: World, start: float, y: float = 0.0) -> Array:
    """The dark field across the contact at x = 0: 200 nm in pixels of 0.5 nm."""
    u, v, cell = grid((-38 * NM, y), 200 * NM, 400)
    lines = slice(200 * 400, 240 * 400)
    return world.column.raster(u[lines], v[lines], cell, 1e-4, start).reshape(40, 400).mean(axis=0)


def _edge(profile: Array) -> tuple[float, float]:
    """Where the dark field rises, nm from x = 0, and over what distance from 10 to 90 %."""
    low, high = profile[:100].mean(), profile[-100:].mean()
    share = (profile - low) / (high - low)
    x = (np.arange(400) + 0.5) * 0.5 - 100.0
    at = [float(x[np.flatnonzero(share > level)[0]]) for level in (0.1, 0.5, 0.9)]
    return at[1], at[2] - at[0]


@pytest.mark.parametrize("inclination", [-4.0, 5.0])
def test_the_edge_is_sharp_once_the_tilt_is_the_inclination(inclination: float) -> None:
    world = make_world(_contact(inclination * DEG))
    _, flat = _edge(_profile(world, 0.0))
    lean = 100.0 * np.tan(abs(inclination) * DEG)  # nm, of which 80 % lie between 10 and 90 %
    assert flat == pytest.approx(0.8 * lean, abs=1.5)
    start = _tilted(world, inclination * DEG)
    _, edge_on = _edge(_profile(world, start))
    assert edge_on <= 3.0  # of the probe, which spreads by 2 nm
    start = _tilted(world, -inclination * DEG, start)
    _, worse = _edge(_profile(world, start))
    assert worse == pytest.approx(1.6 * lean, abs=2.0)


def test_a_lamella_off_the_axis_wanders_along_x_until_z_brings_it_there() -> None:
    world = make_world(_contact(0.0), seed=3, hidden_errors=True)
    start, off = _tilted(world, 0.0), world.goniometer.displacement(np.array([1e6]))[0]
    middle = _edge(_profile(world, start))[0]
    start = _tilted(world, 5.0 * DEG, start)
    moved = float(np.ptp([off, world.goniometer.displacement(np.array([1e6]))[0]])) / NM
    assert abs(_edge(_profile(world, start))[0] - middle) == pytest.approx(moved, abs=1.5 + 0.03 * moved)
    assert 1.0 < moved < 300.0 * np.sin(5.0 * DEG)
    step = 1e-7  # m of z
    before = world.goniometer.displacement(np.array([1e6]))[0][0]
    _tilted(world, 5.0 * DEG, 200.0, z=step)
    after = world.goniometer.displacement(np.array([1e6]))[0][0]
    assert before - after == pytest.approx(step * np.sin(5.0 * DEG))


def test_without_hidden_errors_the_lamella_stands_on_the_axis() -> None:
    world = make_world(_contact(0.0))
    _tilted(world, 30.0 * DEG)
    assert world.goniometer.displacement(np.array([1e6])) == (pytest.approx([0.0]), pytest.approx([0.0]))


@pytest.mark.parametrize("tilt", [0.0, 20.0])
def test_the_fluence_is_counted_across_the_beam_however_the_lamella_lies(tilt: float) -> None:
    world = make_world(_contact(0.0))
    start = _tilted(world, tilt * DEG)
    u, v, cell = grid((0.0, 0.0), 400 * NM, 100)
    world.column.raster(u, v, cell, 1e-4, start)
    x = np.linspace(-150, 150, 31) * NM + 38 * NM
    received = world._received.at(x, np.zeros_like(x))
    assert received == pytest.approx(np.full(31, CURRENT * 1e-4 / e / (4 * NM) ** 2), rel=0.01)


def test_a_tilted_slab_scatters_as_much_more_as_the_way_through_it_is_longer() -> None:
    world = make_world(_contact(0.0))
    u, v, cell = grid((0.8e-6, 0.0), 100 * NM, 40)
    flat = world.column.raster(u, v, cell, 1e-4, 0.0).mean()
    start = _tilted(world, 30.0 * DEG)
    tilted = world.column.raster(u, v, cell, 1e-4, start).mean()
    share = CURRENT * 1e-4 / e
    ratio = np.log1p(-tilted / share) / np.log1p(-flat / share)
    assert ratio == pytest.approx(1.0 / np.cos(30.0 * DEG), rel=0.02)


def test_the_shipped_lamella_is_a_wedge_along_the_interface() -> None:
    sample = load_sample("li-lipon")
    cut = sample.environment.cut
    assert cut.at(np.array([-2.0, -1.45, -1.2, 0.0, 0.15, 1.0]) * 1e-6) / NM == pytest.approx(
        [25, 25, 25 + 85 * 0.25 / 1.6, 110 - 85 * 0.15 / 1.6, 110, 110]
    )
    lamella = Lamella(sample, optics(), FIELD, a_slab(sample))
    y = np.linspace(-1.9e-6, 1.9e-6, 381)
    there = lamella.areal["P"][lamella.index(np.full_like(y, 0.5e-6), y)]
    lipon = there[-1] / (110 * NM)
    assert there / lipon == pytest.approx(cut.at(y), abs=1.01 * NM)  # levels 2 nm apart
    x = np.linspace(-1.9e-6, 3e-6, 2000)
    assert np.diff(lamella.areal["P"][lamella.index(x, np.zeros_like(x))][np.abs(x - 0.8e-6) < 0.6e-6]).max() == 0.0


def test_what_is_left_out_between_the_contacts_is_even() -> None:
    sample = sample_with()
    lamella = Lamella(sample, optics(), FIELD, a_slab(sample))
    x = np.arange(-1.95e-6, 3.9e-6, 10 * NM)
    seen = lamella.areal["P"][lamella.index(x, np.full_like(x, 0.3e-6))] / (100 * NM)
    expected = sample.atoms(x)["P"]
    far = np.min(np.abs(x[:, None] - sample.bounds()), axis=1) > 20 * NM
    ramp = (x > -20 * NM) & (x < 96 * NM)
    assert seen[far & ~ramp] == pytest.approx(expected[far & ~ramp], abs=1e-6 * expected.max())
    assert seen[ramp] == pytest.approx(expected[ramp], abs=0.06 * expected.max())


def test_the_seed_draws_the_inclination_from_the_range_of_the_file() -> None:
    shipped = load_sample("li-lipon")
    drawn = [shipped.interface.lean(np.random.default_rng([seed, 31])) / DEG for seed in range(12)]
    assert a_slab(shipped, 3).inclination / DEG == drawn[3]
    assert 0.0 <= min(drawn) < 1.5
    assert 3.5 < max(drawn) <= 5.0
    assert a_slab(sample_with(), 1).inclination == a_slab(sample_with(), 2).inclination == pytest.approx(2.0 * DEG)


def test_an_abrupt_contact_may_be_inclined_and_rough() -> None:
    slab = a_slab(load_sample("abrupt"))
    assert slab.inclination > 0.0
    assert slab.relief.surface.std() == pytest.approx(2 * NM)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("thin: 25 nm, thick: 110 nm", "thin: 110 nm, thick: 25 nm", "thickest"),
        ("inclination: [0 deg, 5 deg]", "inclination: [0 deg, 50 deg]", "edge-on"),
        ("  wedge:", "  lamella_thickness: 100 nm\n  wedge:", "one of the two"),
    ],
)
def test_a_lamella_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(SampleError, match=says):
        load_sample(rewritten(tmp_path, (old, new)))


def test_a_plain_thickness_makes_parallel_faces(tmp_path: Path) -> None:
    path = rewritten(tmp_path)
    path.write_text(path.read_text().split("environment:")[0] + "environment: {lamella_thickness: 80 nm}\n")
    assert load_sample(path).environment.cut.at(np.array([-1e-6, 1e-6])) / NM == pytest.approx([80.0, 80.0])


def test_relief_is_as_rough_as_the_contact_says_and_shallow_lamellae_see_more_of_it() -> None:
    relief = Relief.of(Contact(roughness=2 * NM, correlation=20 * NM), 110 * NM, np.random.default_rng(1))
    thick, thin = (Wedge.model_construct(thin=t, thick=t, start=0.0, end=1.0) for t in (110 * NM, 20 * NM))
    assert relief.shift(thin).std() > 1.5 * relief.shift(thick).std()
    for cut in (thick, thin):  # what the mean along y has and what is left in depth make up the whole
        assert np.hypot(relief.shift(cut).std(), relief.rest(cut.thin)) == pytest.approx(2 * NM, rel=0.05)


def test_the_lines_of_a_hidden_scan_lean_and_give_the_same_dose() -> None:
    world = make_world(_contact(0.0), seed=2, hidden_errors=True)
    skew, scale = world.truth.scan_skew, world.truth.scan_scale
    assert 0.002 < abs(skew) <= 0.01
    top, bottom = (_edge(_profile(world, start, y))[0] for start, y in ((0.0, 1.5e-6), (1e3, -1.5e-6)))
    assert bottom - top == pytest.approx(skew * 3e3, abs=2.0)
    u, v, cell = grid((0.0, 1.2e-6), 200 * NM, 50)
    counted = world.truth.fluence().map.sum()
    world.column.raster(u, v, cell, 1e-4, 2e3)
    received = (world.truth.fluence().map.sum() - counted) * 16 * NM**2
    assert received == pytest.approx(world.truth.beam_current * (2500 * 1e-4 + 49 * 2e-6) / e, rel=1e-6)
    x = np.linspace(-80, 80, 17) * NM + 38 * NM + skew * scale * 1.2e-6
    inside = world._received.at(x, np.full_like(x, scale * 1.2e-6))
    each = world.truth.beam_current * 1e-4 / e / (4 * NM * scale) ** 2
    assert inside == pytest.approx(np.full(17, each), rel=0.02)


def test_the_probe_of_a_hidden_world_is_wider_or_narrower_by_up_to_30_percent() -> None:
    widths = [make_world(seed=seed, hidden_errors=True).truth.probe_fwhm / (0.5 * NM) for seed in range(3, 9)]
    assert 0.7 <= min(widths) < 0.95
    assert 1.05 < max(widths) <= 1.3
    assert make_world().truth.probe_fwhm == 0.5 * NM


def test_carbon_grows_where_the_beam_dwells_and_shines() -> None:
    world = make_world(sample_with(lithium_shell=0.0, carbon=0.0, drift=still()), current=10e-9)
    u, v, cell = grid((-0.8e-6, 0.0), 100 * NM, 10)
    seen = []
    for start in range(3):
        world.column.raster(u, v, cell, 1e-2, float(start))
        _, energies = world.eds.photons(1e9)
        seen.append(np.count_nonzero(np.abs(energies - 277.0) < 60.0))
    assert seen[2] > seen[1] > seen[0] + 30
    assert world.truth.fluence().map.max() / E_PER_A2 > 1e5


def test_a_world_that_was_tilted_goes_on_tilted(tmp_path: Path) -> None:
    world, again = make_world(_contact(5.0 * DEG)), make_world(_contact(5.0 * DEG))
    start = _tilted(world, 5.0 * DEG)
    _profile(world, start)
    world.save(tmp_path / "world.npz")
    again.load(tmp_path / "world.npz")
    assert _edge(_profile(again, start + 100.0))[1] <= 3.0
