"""The parallel beam in the world: where its light falls, what its camera sees, and what nobody is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.clock import VirtualClock
from drivers.errors import DeviceError
from drivers.wire import temscript as wire
from drivers.wire import temscript_tem as tem
from drivers.wire.temscript_image import acquire, image
from simulators.beam.flooding import _blurred
from simulators.boxes.column.tem_camera import CAMERA
from simulators.sample.dose import STEP, FluenceMap
from simulators.world import World
from tests.drivers.scan_bench import a_world
from tests.simulators.bench import make_world
from tests.simulators.flood_bench import DISC, ELECTRONS, NM, vacuum
from tests.simulators.test_column_server import Tem, run


class Flooded(Tem):
    """A microscope in TEM mode with a camera of 256 x 256 pixels."""

    def __init__(self, world: World | None = None, shutter: str = "PRE_SPECIMEN", exposure: float = 0.1) -> None:
        super().__init__(world)
        self.world.flooding.sees = vacuum
        wire.see_done(self.put(wire.MODE, "TEM"))
        wire.see_done(self.ask(tem.CAMERA.put(tem.CameraSetting("FULL", 16, exposure, shutter), CAMERA)))

    def shift(self, to: tuple[float, float]) -> None:
        for endpoint in (tem.BEAM_SHIFT, tem.IMAGE_SHIFT):
            wire.see_done(self.put(endpoint, to))

    def take(self) -> Any:
        return image(self.ask(acquire(CAMERA)), CAMERA, (256, 256))

    def centre(self) -> tuple[float, float]:
        """Where the light fell, (x, y) from the middle of the scan field at first light, m."""
        found = self.world.truth.fluence()
        rows, columns = np.nonzero(found.map)
        x = np.average(columns + 0.5, weights=found.map[rows, columns]) * STEP + found.x0 - 38 * NM
        return float(x), float(np.average(rows + 0.5, weights=found.map[rows, columns]) * STEP + found.y0)


def test_a_disc_gives_each_cell_its_share_and_keeps_its_electrons() -> None:
    received = FluenceMap()
    received.disc((3.3 * NM, -901.7 * NM), (150 * NM, 150 * NM), 1e21, 0.03)
    found = received.whole()
    assert found.map.sum() * STEP**2 == pytest.approx(1e21 * DISC, rel=2e-4)
    assert found.map.max() == pytest.approx(1.03e21, rel=1e-3)
    edge = received.at(np.array([3.3 * NM + 140 * NM, 3.3 * NM + 160 * NM]), np.array([-901.7 * NM] * 2))
    assert edge[0] == pytest.approx(1e21 * (1 + 0.03 * (1 - 2 * (140 / 150) ** 2)), rel=2e-3)
    assert edge[1] == 0.0


def test_with_a_shutter_before_the_specimen_it_is_lit_only_while_the_camera_is_exposed_and_a_little_longer() -> None:
    bench = Flooded()
    bench.open_beam()
    bench.clock.sleep(60.0)
    assert bench.electrons() == 0.0
    bench.take()
    assert bench.electrons() == pytest.approx((0.1 + 0.02) * ELECTRONS, rel=1e-3)
    bench.clock.sleep(60.0)
    assert bench.electrons() == pytest.approx((0.1 + 0.02) * ELECTRONS, rel=1e-3)


def test_with_a_shutter_after_the_specimen_it_burns_as_long_as_the_column_is_open() -> None:
    bench = Flooded(shutter="POST_SPECIMEN")
    bench.open_beam()
    bench.clock.sleep(2.0)
    bench.take()  # 0.1 s, and 1 s until it is read out
    wire.see_done(bench.put(wire.BEAM_BLANKED, True))
    burnt = bench.electrons()
    assert burnt == pytest.approx(3.1 * ELECTRONS, rel=1e-3)
    bench.clock.sleep(60.0)
    assert bench.electrons() == burnt


def test_a_screen_in_the_way_a_closed_column_or_a_scan_box_that_holds_the_beam_make_dark_images() -> None:
    bench = Flooded()
    assert bench.take().mean() < 10.0  # blanked
    bench.open_beam()
    bright = bench.take()
    assert bright.mean() > 1000.0
    wire.see_done(bench.put(wire.SCREEN_POSITION, "DOWN"))
    before = bench.electrons()
    assert bench.take().mean() < 10.0
    assert bench.electrons() > before  # the screen is below the sample
    wire.see_done(bench.put(wire.SCREEN_POSITION, "UP"))
    scan, _ = bench.with_scan_box()
    before = bench.electrons()
    assert bench.take().mean() < 10.0
    assert bench.electrons() == before
    scan.let_go()
    assert bench.take().mean() > 1000.0


def test_the_light_falls_where_it_was_sent_and_the_scan_knows_nothing_of_it() -> None:
    bench = Flooded(a_world(VirtualClock()))
    bench.shift((100 * NM, -300 * NM))
    bench.open_beam()
    bench.take()
    bench.electrons()
    assert bench.centre() == pytest.approx((100 * NM, -300 * NM), abs=2 * NM)
    scan, office = bench.with_scan_box()
    before = bench.electrons()
    assert run(scan, office).mean() < 300.0  # dark: there is no probe in TEM
    assert bench.electrons() == before
    bench.shift((0.0, 0.0))
    wire.see_done(bench.put(wire.MODE, "STEM"))
    assert run(scan, office).mean() > 300.0


def test_a_beam_shift_that_is_left_moves_the_scan_field() -> None:
    bench = Flooded()
    bench.shift((0.0, 500 * NM))
    wire.see_done(bench.put(wire.MODE, "STEM"))
    scan, office = bench.with_scan_box()
    bench.open_beam()
    run(scan, office)
    bench.electrons()
    assert bench.centre()[1] == pytest.approx(500 * NM, abs=5 * NM)


def test_the_instrument_s_numbers_are_a_little_off_and_stay_so() -> None:
    others = [make_world(seed=seed, hidden_errors=True).flooding for seed in (1, 1, 2)]
    for flooding in others:
        assert abs(flooding.current / 1e-9 - 1.0) <= 0.05
        assert abs(flooding.diameter / 300e-9 - 1.0) <= 0.02
        assert abs(flooding.pixel_scale - 1.0) <= 0.02
        assert abs(flooding.defocus_offset) <= 30 * NM
    assert others[0].pixel_scale == others[1].pixel_scale != others[2].pixel_scale
    assert a_world(VirtualClock()).flooding.pixel_scale == 1.0


def test_a_column_that_loses_current_loses_it_here_too() -> None:
    bench = Flooded()
    bench.world.faults.beam_drop(0.5)
    bench.open_beam()
    bench.take()
    assert bench.electrons() == pytest.approx(0.06 * ELECTRONS, rel=1e-3)


def test_what_the_microscope_has_not_it_objects_to() -> None:
    bench = Flooded()
    for endpoint, value, why in (
        (tem.MAGNIFICATION, 3, "out of range"),
        (tem.ILLUMINATED, 1e-9, "out of range"),
        (tem.BEAM_SHIFT, (1e-3, 0.0), "out of range"),
        (tem.PROJECTION, "DIFFRACTION", "not simulated"),
    ):
        with pytest.raises(DeviceError, match=why):
            wire.see_done(bench.put(endpoint, value))  # type: ignore[arg-type]
    for setting in (tem.CameraSetting(binning=3), tem.CameraSetting(exposure=1e3), tem.CameraSetting("HALF")):
        with pytest.raises(DeviceError, match=r"is not supported|out of range|is simulated"):
            wire.see_done(bench.ask(tem.CAMERA.put(setting, CAMERA)))
    with pytest.raises(DeviceError, match="No image of HAADF; there is BM-Ceta"):
        wire.see_done(bench.ask(acquire("HAADF")))
    wire.see_done(bench.put(wire.MODE, "STEM"))
    with pytest.raises(DeviceError, match="No image of BM-Ceta; there is HAADF"):
        wire.see_done(bench.ask(acquire(CAMERA)))


def test_exposures_are_whole_milliseconds() -> None:
    bench = Flooded(exposure=0.1004)
    assert bench.get(tem.CAMERA, CAMERA).exposure == pytest.approx(0.1)


def test_what_moves_while_it_is_exposed_is_blurred_along_its_way() -> None:
    stripes = np.broadcast_to(np.cos(2 * np.pi * np.arange(64) / 8), (64, 64)).astype(np.float32)
    assert _blurred(stripes, [0.05, 0.0]) is stripes
    assert np.abs(_blurred(stripes, [8.0, 0.0])).max() < 1e-5
    np.testing.assert_allclose(_blurred(stripes, [0.0, 8.0]), stripes, atol=1e-5)
    assert _blurred(stripes, [4.0, 0.0]).max() == pytest.approx(2 / np.pi, rel=1e-3)


def test_a_world_that_was_saved_goes_on_with_its_shifts_and_its_mode(tmp_path: Path) -> None:
    bench = Flooded()
    bench.shift((0.0, -200 * NM))
    bench.world.save(tmp_path / "world.npz")
    again = a_world(VirtualClock())
    again.load(tmp_path / "world.npz")
    assert again.flooding.settings == bench.world.flooding.settings
    assert again.column.shift == (0.0, -200 * NM)
    assert again.column.parallel
