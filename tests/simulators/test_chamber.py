"""The chamber: its images show what the stage and the ion beam did, and its truth is charge by yield."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.constants import e
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from drivers.clock import VirtualClock
from drivers.pose import Pose
from drivers.wire.fibsem_pattern import Rectangle
from physics.sputter import removal
from simulators.fibsem.chamber import Chamber, Column
from simulators.fibsem.milling import Milling
from tests.drivers.fibsem_bench import DEG, SmallWorld
from tests.simulators.bench import make_world

PIXELS = 192, 128
FIELD = 40e-6
PITCH = FIELD / PIXELS[0]
HOME = Pose(0.0, 0.0, 4e-3, 0.0, 0.0)


class Bench:
    def __init__(self, *, hidden_errors: bool = False, seed: int = 1) -> None:
        self.clock = VirtualClock()
        self.world = SmallWorld(self.clock, seed=seed, hidden_errors=hidden_errors)
        self.chamber: Chamber = self.world.chamber
        self.milling = Milling(self.chamber, self.clock)
        for column in self.chamber.columns.values():
            column.field = FIELD

    def go(self, **axes: float) -> None:
        self.clock.sleep(self.chamber.stage.go(replace(HOME, **axes)) - self.clock.now() + 1e-6)

    def image(self, beam: str = "electron", dwell: float = 1e-4) -> NDArray[np.float64]:
        return self.chamber.frame(beam, PIXELS, dwell).astype(float)  # type: ignore[arg-type]

    def mill(self, pattern: Rectangle, seconds: float | None = None) -> None:
        self.milling.start([pattern], parallel=False)
        self.clock.sleep(seconds if seconds is not None else self.milling.ends() - self.clock.now() + 1e-6)
        self.milling.stop()

    def depth(self, u: float = 0.0, v: float = 0.0) -> float:
        return float(self.chamber.surface.at(np.array([u]), np.array([v]))[0][0])

    def maps(self) -> NDArray[np.float32]:
        return self.chamber.surface.window(-1.0, -1.0, 1.0, 1.0).maps


@pytest.fixture
def bench() -> Bench:
    return Bench()


def shift(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """How far features moved from one image to the other, m, right and up."""
    a, b = (gaussian_filter(image - image.mean(), 1.0) for image in (one, other))
    found = fftconvolve(b, a[::-1, ::-1], mode="full")
    row, column = np.unravel_index(int(np.argmax(found)), found.shape)
    return (column - (PIXELS[0] - 1)) * PITCH, -(row - (PIXELS[1] - 1)) * PITCH


@pytest.mark.parametrize("beam", ["electron", "ion"])
def test_moving_the_stage_moves_the_image_the_other_way(bench: Bench, beam: str) -> None:
    tilt = 52 * DEG if beam == "ion" else 0.0
    bench.go(tilt=tilt)
    before = bench.image(beam)
    bench.go(x=3e-6, y=2e-6, tilt=tilt)
    assert shift(before, bench.image(beam)) == pytest.approx((-3e-6, -2e-6), abs=2.5 * PITCH)


def test_tilt_foreshortens(bench: Bench) -> None:
    bench.go(tilt=60 * DEG)
    before = bench.image()
    bench.go(tilt=60 * DEG, y=8e-6)
    assert shift(before, bench.image())[1] == pytest.approx(-4e-6, abs=2.5 * PITCH)


def test_rotation_turns_the_image(bench: Bench) -> None:
    before = bench.image()
    bench.go(rotation=np.pi)
    assert np.corrcoef(before.ravel(), np.rot90(bench.image(), 2).ravel())[0, 1] > 0.5


def test_raising_the_stage_moves_the_ion_image_and_not_the_electron_image(bench: Bench) -> None:
    bench.go(tilt=30 * DEG)
    before = bench.image(), bench.image("ion")
    height = 5e-6  # down the electron beam: along y and z of the tilted stage
    bench.go(tilt=30 * DEG, y=height * np.sin(30 * DEG), z=4e-3 + height * np.cos(30 * DEG))
    assert shift(before[0], bench.image()) == pytest.approx((0.0, 0.0), abs=2.5 * PITCH)
    assert shift(before[1], bench.image("ion"))[1] == pytest.approx(-height * np.sin(52 * DEG), abs=2.5 * PITCH)


def test_a_beam_shift_moves_the_view_and_a_scan_rotation_turns_it(bench: Bench) -> None:
    before = bench.image()
    bench.chamber.columns["electron"].shift = (3e-6, -2e-6)
    assert shift(before, bench.image()) == pytest.approx((-3e-6, 2e-6), abs=2.5 * PITCH)
    bench.chamber.columns["electron"] = replace(
        bench.chamber.columns["electron"], shift=(0.0, 0.0), scan_rotation=np.pi
    )
    assert np.corrcoef(before.ravel(), np.rot90(bench.image(), 2).ravel())[0, 1] > 0.5


def test_milling_is_seen_by_both_beams_where_it_was(bench: Bench) -> None:
    bench.go(tilt=52 * DEG)
    before = {beam: bench.image(beam) for beam in ("electron", "ion")}
    bench.chamber.columns["ion"].current = 2e-9
    bench.mill(Rectangle(8e-6, 6e-6, 2.3e-6, centre_x=10e-6))  # through the lithium
    bench.chamber.columns["ion"].current = 20e-12
    after = {beam: bench.image(beam) for beam in ("electron", "ion")}
    hole = np.s_[54:74, 128:160]
    assert after["ion"][hole].mean() > 1.5 * before["ion"][hole].mean()  # LiPON is brighter than lithium
    assert np.abs(after["ion"][:, :96] - before["ion"][:, :96]).mean() < 3.0
    assert np.abs(after["electron"] - before["electron"]).max() > 50.0


def test_the_sides_of_a_hole_are_seen_at_a_tilt(bench: Bench) -> None:
    bench.go(tilt=52 * DEG)
    bench.chamber.columns["ion"].current = 2e-9
    bench.mill(Rectangle(10e-6, 4e-6, 1e-6))
    bench.go(tilt=20 * DEG)
    signal = bench.chamber._look("electron", PIXELS)
    assert signal.max() > 2.0 * np.median(signal)


def test_depth_is_charge_by_yield_over_the_pattern(bench: Bench) -> None:
    bench.go(tilt=52 * DEG)
    bench.chamber.columns["ion"].current = 1e-9
    bench.mill(Rectangle(10e-6, 5e-6, 1.0), seconds=100.0)
    expected = float(removal("Li", 30e3, 0.0)) * 1e-9 * 100.0 / (10e-6 * 5e-6)
    assert bench.depth() == pytest.approx(expected, rel=0.02)
    # all of it, too: the beam is on the pattern and nowhere else
    assert bench.maps()[0].sum() * 1e-14 == pytest.approx(expected * 50e-12, rel=0.03)
    assert bench.maps()[2].sum() * 1e-14 == pytest.approx(1e-9 * 100.0 / e, rel=1e-4)


def test_half_the_charge_is_half_the_depth_and_a_pause_is_none(bench: Bench) -> None:
    bench.go(tilt=52 * DEG)
    bench.chamber.columns["ion"].current = 1e-9
    bench.milling.start([Rectangle(10e-6, 5e-6, 1.0)], parallel=False)
    bench.clock.sleep(50.0)
    bench.milling.pause()
    half = bench.depth()
    bench.clock.sleep(1000.0)
    bench.milling.resume()
    bench.clock.sleep(50.0)
    bench.milling.stop()
    assert bench.depth() == pytest.approx(2.0 * half, rel=1e-3)


def test_at_a_grazing_angle_more_is_removed(bench: Bench) -> None:
    depths = []
    for tilt, x in ((52.0, 0.0), (0.0, 20e-6)):
        bench.go(tilt=tilt * DEG, x=x)
        bench.chamber.columns["ion"].current = 1e-9
        bench.mill(Rectangle(8e-6, 4e-6, 1.0), seconds=20.0)
        depths.append(bench.depth(x))
    ratio = float(removal("Li", 30e3, 52 * DEG) / removal("Li", 30e3, 0.0)) * np.cos(52 * DEG)
    assert depths[1] / depths[0] == pytest.approx(ratio, rel=0.03)


def test_below_the_lithium_it_goes_slower(bench: Bench) -> None:
    bench.go(tilt=52 * DEG)
    bench.chamber.columns["ion"].current = 4e-9
    area, current = 6e-6 * 5e-6, 4e-9
    to_the_lipon = 2e-6 * area / (float(removal("Li", 30e3, 0.0)) * current)
    bench.mill(Rectangle(6e-6, 5e-6, 1.0), seconds=to_the_lipon + 60.0)
    below = float(removal("LiPON", 30e3, 0.0)) * current * 60.0 / area
    assert bench.depth() == pytest.approx(2e-6 + below, rel=0.03)


def test_every_frame_is_charged_to_the_surface(bench: Bench) -> None:
    bench.image("electron", dwell=1e-5)
    electrons = bench.maps()[1]
    count = 50e-12 * 1e-5 * PIXELS[0] * PIXELS[1] / e
    assert electrons.sum() * 1e-14 == pytest.approx(count, rel=0.01)
    assert bench.maps()[2].max() == 0.0
    bench.go(tilt=52 * DEG)
    bench.image("ion", dwell=1e-5)
    ions = 20e-12 * 1e-5 * PIXELS[0] * PIXELS[1] / e
    assert bench.maps()[2].sum() * 1e-14 == pytest.approx(ions, rel=0.01)
    assert bench.depth() == pytest.approx(
        float(removal("Li", 30e3, 0.0)) * ions * e / (FIELD * FIELD * PIXELS[1] / PIXELS[0]), rel=0.01
    )


def test_a_tilted_surface_receives_less_over_more(bench: Bench) -> None:
    bench.go(tilt=60 * DEG)
    bench.image("electron", dwell=1e-5)
    electrons = bench.maps()[1]
    flat = 50e-12 * 1e-5 * PIXELS[0] * PIXELS[1] / e / (FIELD * FIELD * PIXELS[1] / PIXELS[0])
    assert electrons.max() == pytest.approx(flat / 2.0, rel=0.01)
    assert electrons.sum() * 1e-14 == pytest.approx(flat * FIELD**2 * PIXELS[1] / PIXELS[0], rel=0.02)


@pytest.mark.parametrize("how", ["off", "no voltage"])
def test_without_a_beam_a_frame_is_dark_and_charges_nothing(bench: Bench, how: str) -> None:
    column: Column = bench.chamber.columns["electron"]
    column.on, column.voltage = (False, 2e3) if how == "off" else (True, 0.0)
    lit, dark = Bench().image().mean(), bench.image().mean()
    assert dark < 1.0 < 20.0 < lit
    assert bench.maps().max() == 0.0


def test_a_beam_that_lost_current_is_darker(bench: Bench) -> None:
    before = bench.image().mean()
    bench.chamber.hidden["electron"] = replace(bench.chamber.hidden["electron"], current=0.5)
    assert bench.image().mean() == pytest.approx(before / 2.0, rel=0.05)


def test_noise_is_that_of_counted_electrons(bench: Bench) -> None:
    bench.chamber.columns["electron"].contrast = 0.4
    spread = []
    for dwell in (1e-6, 4e-6):
        one, other = bench.image(dwell=dwell), bench.image(dwell=dwell)
        spread.append((one - other).std() / np.sqrt(2.0))
    assert spread[0] / spread[1] == pytest.approx(2.0, rel=0.1)
    assert bench.image(dwell=1e-6).std() > 5.0


def test_out_of_focus_is_blurred(bench: Bench) -> None:
    sharp = bench.image(dwell=1e-3)
    bench.chamber.columns["electron"].working_distance += 200e-6
    blurred = bench.image(dwell=1e-3)
    assert np.abs(np.diff(blurred, axis=1)).mean() < 0.6 * np.abs(np.diff(sharp, axis=1)).mean()
    bench.go(z=4e-3 + 200e-6)  # the sample sinks by as much
    assert np.abs(np.diff(bench.image(dwell=1e-3), axis=1)).mean() > 0.8 * np.abs(np.diff(sharp, axis=1)).mean()


def test_beside_the_piece_is_the_holder(bench: Bench) -> None:
    bench.go(x=128e-6)
    image = bench.image()
    assert image[:, :80].mean() > 2.0 * image[:, 112:].mean()
    assert bench.maps()[1].sum() * 1e-14 == pytest.approx(50e-12 * 1e-4 * PIXELS[0] * PIXELS[1] / e / 2.0, rel=0.02)


def test_a_surface_seen_from_behind_is_not_seen(bench: Bench) -> None:
    bench.go(tilt=-10 * DEG, rotation=0.0)
    bench.chamber.hidden["ion"] = replace(bench.chamber.hidden["ion"], angle=30 * DEG)
    assert bench.image("ion").mean() < 1.0
    assert bench.maps().max() == 0.0


def test_the_stage_takes_its_time_and_refuses_a_second_move(bench: Bench) -> None:
    arrives = bench.chamber.stage.go(replace(HOME, x=1e-3))
    assert arrives == pytest.approx(1.5)
    bench.clock.sleep(0.75)
    assert bench.chamber.stage.read().x == pytest.approx(0.5e-3)
    with pytest.raises(ValueError, match="moves"):
        bench.chamber.stage.go(HOME)
    bench.clock.sleep(0.76)
    with pytest.raises(ValueError, match="cannot go there"):
        bench.chamber.stage.go(replace(HOME, z=20e-3))


def test_the_stage_stands_a_little_beside_where_it_says(bench: Bench) -> None:
    beside = []
    for _ in range(50):
        bench.go(x=1e-4)
        beside.append(bench.chamber.stage.true().x - bench.chamber.stage.read().x)
        bench.go()
    assert np.std(beside) == pytest.approx(100e-9, rel=0.3)


def test_hidden_errors_are_drawn_from_the_seed() -> None:
    one, same, other = Bench(hidden_errors=True), Bench(hidden_errors=True), Bench(hidden_errors=True, seed=2)
    assert one.chamber.hidden == same.chamber.hidden != other.chamber.hidden
    assert 0.0 < abs(one.chamber.hidden["ion"].current - 1.0) <= 0.05
    assert 0.0 < abs(one.chamber.hidden["ion"].angle) <= 0.3 * DEG
    assert np.array_equal(one.image(), same.image())


def test_another_process_goes_on_with_the_same_surface() -> None:
    bench, other = Bench(), Bench(seed=3)
    bench.go(tilt=52 * DEG)
    bench.chamber.columns["ion"].current = 2e-9
    bench.mill(Rectangle(6e-6, 4e-6, 0.5e-6))
    other.chamber.surface.recall(bench.chamber.surface.state())
    other.chamber.recall(bench.chamber.state())
    assert np.array_equal(other.maps(), bench.maps())
    assert other.chamber.stage.true() == bench.chamber.stage.true()
    assert other.chamber.columns == bench.chamber.columns
    assert other.chamber.random.integers(1 << 30) == bench.chamber.random.integers(1 << 30)


def test_a_world_that_is_kept_keeps_its_chamber(tmp_path: Path) -> None:
    world, other = make_world(), make_world()
    world.clock.sleep(world.chamber.stage.go(replace(HOME, tilt=52 * DEG)))
    world.chamber.columns["ion"].field = 20e-6
    world.chamber.frame("ion", PIXELS, 1e-5)
    world.save(tmp_path / "world.npz")
    other.load(tmp_path / "world.npz")
    assert world.chamber.surface.window(-1.0, -1.0, 1.0, 1.0).maps[2].max() > 0.0
    assert other.chamber.state() == world.chamber.state()
    for one, two in zip(other.chamber.surface.state().values(), world.chamber.surface.state().values(), strict=True):
        assert np.array_equal(one, two)
