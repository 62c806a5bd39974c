"""The simulated microscope behind temscript: what it says, what it refuses, and what its beam does to the sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.constants import e

from drivers.clock import VirtualClock
from drivers.links import AbortFlag, MemoryLink
from drivers.scan import Scan
from drivers.wire import temscript as wire
from drivers.wire.http import Request, Response
from drivers.wire.temscript import Endpoint, Position, StemSetting
from drivers.wire.temscript_image import acquire, image
from simulators.boxes.column import ColumnServer
from simulators.boxes.http import Later
from simulators.boxes.scan import ScanServer
from simulators.world import World
from tests.drivers.scan_bench import CURRENT, SMALL, Office, a_world
from tests.drivers.scan_bench import a_driver as a_scan
from tests.simulators.bench import make_world
from tests.simulators.waited import answered

NM, UM = 1e-9, 1e-6


class Tem:
    """A world, its microscope, and who asks it."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or a_world(VirtualClock())
        self.clock: Any = self.world.clock
        self.server = ColumnServer(self.world)

    def ask(self, request: Request) -> Response:
        return answered(self.server, request, self.clock)

    def get(self, endpoint: Endpoint[Any], detector: str = "") -> Any:
        return endpoint.value(self.ask(endpoint.get(detector)))

    def put(self, endpoint: Endpoint[Any], value: Any, **query: str) -> Response:
        return self.ask(endpoint.put(value, **query))

    def open_beam(self) -> None:
        wire.see_done(self.put(wire.BEAM_BLANKED, False))

    def electrons(self) -> float:
        """What the lamella has received so far."""
        self.world.catch_up()
        fluence = self.world.truth.fluence()
        return float(fluence.map.sum()) * fluence.step**2

    def with_scan_box(self) -> tuple[Scan, Office]:
        """A scan box on the same column, opened: it holds the beam."""
        scan = a_scan(MemoryLink("scan", ScanServer(self.world), self.clock, AbortFlag()))
        scan.open()
        return scan, Office()


@pytest.fixture
def tem() -> Tem:
    return Tem()


def run(scan: Scan, office: Office) -> Any:
    """One small frame of the scan box, read to its end."""
    frame = scan.commanded(SMALL)
    scan.start(frame, office.ticket(frame))
    parts = []
    while not scan.finished():
        parts.append(scan.read(0.1))
    return np.concatenate(parts)


# --- what it says


def test_it_was_left_blanked_in_stem_with_its_valves_open(tem: Tem) -> None:
    assert tem.get(wire.VERSION) == "2.1.0"
    assert tem.get(wire.VOLTAGE) == 200e3
    assert tem.get(wire.BEAM_BLANKED) is True
    assert tem.get(wire.VALVES) is tem.get(wire.VACUUM).column_valves_open is True
    assert tem.get(wire.MODE) == "STEM"
    assert tem.get(wire.CONVERGENCE) == 25e-3
    tem.clock.sleep(100.0)
    assert tem.electrons() == 0.0


def test_every_name_of_the_api_is_answered(tem: Tem) -> None:
    for endpoint in wire.TABLE.values():
        tem.get(endpoint, "HAADF" if endpoint.named else "")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (Request("GET", "/v1/beam_tilt"), 404),
        (Request("GET", "/v2/voltage"), 404),
        (Request("PUT", "/v1/voltage", (), b"100"), 404),
        (Request("GET", "/v1/stem_detector_param/BF"), 404),
        (Request("PUT", "/v1/beam_blanked", (), b"maybe"), 500),
        (Request("PUT", "/v1/beam_blanked", (), b"1" * 5000), 500),
        (Request("PUT", "/v1/column_valves_open", (), b"true"), 500),
        (Request("PUT", "/v1/stage_position", (("method", "RUN"),), b'{"x": 0}'), 500),
        (Request("PUT", "/v1/stage_position", (("speed", "0.5"),), b'{"x": 0}'), 500),
        (Request("PUT", "/v1/stage_position", (), b'{"x": 0.002}'), 500),
        (Request("PUT", "/v1/stage_position", (), b'{"b": 0.1}'), 500),
        (Request("PUT", "/v1/stem_acquisition_param", (), b'{"binning": 3}'), 500),
        (Request("PUT", "/v1/stem_acquisition_param", (), b'{"image_size": "HALF"}'), 500),
        (Request("PUT", "/v1/stem_acquisition_param", (), b'{"dwell_time(s)": 1}'), 500),
        (Request("PUT", "/v1/stem_detector_param/HAADF", (), b'{"contrast": 2}'), 500),
        (Request("GET", "/v1/acquire", (("detectors", "CCD"),)), 500),
        (Request("GET", "/v1/acquire"), 500),
        (Request("POST", "/v1/beam_blanked", (), b"false"), 501),
    ],
)
def test_what_it_does_not_do_is_refused_with_a_reason(tem: Tem, request_: Request, status: int) -> None:
    refused = tem.ask(request_)
    assert refused.status == status
    assert len(wire.reason(refused)) > 10
    assert tem.get(wire.BEAM_BLANKED) is True
    assert tem.get(wire.VALVES) is True


def test_a_magnification_is_the_nearest_it_has(tem: Tem) -> None:
    tem.put(wire.STEM_MAGNIFICATION, 300e3)
    assert tem.get(wire.STEM_MAGNIFICATION) == 320e3


def test_the_valves_take_their_time_to_close_and_cut_the_beam(tem: Tem) -> None:
    tem.open_beam()
    wire.see_done(tem.put(wire.VALVES, False))
    assert tem.clock.now() == pytest.approx(1.5)
    assert tem.get(wire.VALVES) is False
    assert tem.electrons() == pytest.approx(1.5 * CURRENT / e, rel=1e-6)
    tem.clock.sleep(10.0)
    assert tem.electrons() == pytest.approx(1.5 * CURRENT / e, rel=1e-6)


def test_the_screen_reads_the_beam_only_while_it_is_down_and_hit(tem: Tem) -> None:
    def reads() -> float:
        return float(np.mean([tem.get(wire.SCREEN_CURRENT) for _ in range(100)]))

    tem.put(wire.SCREEN_POSITION, "DOWN")
    assert reads() == pytest.approx(0.0, abs=1e-12)
    tem.open_beam()
    assert reads() == pytest.approx(CURRENT, abs=1e-12)
    tem.put(wire.SCREEN_POSITION, "UP")
    assert tem.get(wire.SCREEN_POSITION) == "UP"
    assert reads() == pytest.approx(0.0, abs=1e-12)


# --- the beam


def test_an_open_beam_that_scans_nothing_burns_a_spot_at_the_edge_of_the_field(tem: Tem) -> None:
    tem.open_beam()
    tem.clock.sleep(2.0)
    assert tem.electrons() == pytest.approx(2.0 * CURRENT / e, rel=1e-6)
    truth = tem.world.truth.fluence()
    row, column = np.unravel_index(truth.map.argmax(), truth.map.shape)
    # the field of a magnification of 320000 is 312.5 nm wide
    assert truth.y0 + row * truth.step == pytest.approx(-156 * NM, abs=8 * NM)
    tem.put(wire.BEAM_BLANKED, True)
    tem.clock.sleep(100.0)
    assert tem.electrons() == pytest.approx(2.0 * CURRENT / e, rel=1e-6)
    assert column > 0


def test_a_blanked_column_and_closed_valves_leave_the_scan_box_in_the_dark(tem: Tem) -> None:
    scan, office = tem.with_scan_box()
    dark = run(scan, office).mean()
    tem.open_beam()
    assert run(scan, office).mean() > 1.5 * dark
    received = tem.electrons()
    assert received == pytest.approx(SMALL.seconds * CURRENT / e, rel=0.02)  # and the ways back
    tem.world.eds.photons(1e9)
    tem.put(wire.VALVES, False)
    assert run(scan, office).mean() == pytest.approx(dark, rel=0.01)
    assert tem.electrons() == received
    assert len(tem.world.eds.photons(1e9)[0]) == 0


def test_a_released_column_is_dark_while_the_scan_box_holds_the_beam(tem: Tem) -> None:
    tem.with_scan_box()
    tem.open_beam()
    tem.clock.sleep(50.0)
    assert tem.electrons() == 0.0


def test_a_scan_box_that_lets_go_leaves_the_beam_to_the_microscope(tem: Tem) -> None:
    scan, _ = tem.with_scan_box()
    tem.open_beam()
    scan.close()
    tem.clock.sleep(3.0)
    assert tem.electrons() == pytest.approx(3.0 * CURRENT / e, rel=1e-6)


def test_a_blanked_column_covers_a_scan_box_that_lets_go(tem: Tem) -> None:
    scan, _ = tem.with_scan_box()
    scan.close()
    tem.clock.sleep(1000.0)
    assert tem.electrons() == 0.0


def test_what_the_scan_box_was_given_in_the_dark_is_received_when_the_column_opens_on_it(tem: Tem) -> None:
    scan, office = tem.with_scan_box()
    frame = scan.commanded(SMALL)  # 20 ms, all of which the box has at once
    scan.start(frame, office.ticket(frame))
    scan.read(0.0)
    tem.clock.sleep(0.01)
    tem.open_beam()
    tem.clock.sleep(1.0)
    assert tem.electrons() == pytest.approx((SMALL.seconds - 0.01) * CURRENT / e, rel=0.05)


# --- images of its own


def take(tem: Tem, pixels: int = 128) -> Any:
    return image(tem.ask(acquire("HAADF")), "HAADF", (pixels, pixels))


def set_up(tem: Tem, binning: int = 8, dwell: float = 4e-6) -> float:
    """Set what images are taken with; returns the time of one, s."""
    wire.see_done(tem.put(wire.STEM_SETTING, StemSetting("FULL", binning, dwell)))
    pixels: int = 1024 // binning
    return pixels**2 * dwell * 1.2


def test_an_image_takes_its_time_and_the_way_back_of_its_lines_is_charged(tem: Tem) -> None:
    lasting = set_up(tem)
    tem.open_beam()
    before = tem.clock.now()
    values = take(tem)
    assert values.dtype == np.int16
    assert tem.clock.now() - before == pytest.approx(lasting)
    tem.put(wire.BEAM_BLANKED, True)
    assert tem.electrons() == pytest.approx(lasting * CURRENT / e, rel=1e-6)


def test_an_image_of_a_blanked_column_is_dark_and_costs_nothing(tem: Tem) -> None:
    set_up(tem)
    values = take(tem)
    assert values.mean() == pytest.approx(400.0, abs=1.0)  # the dark level at half brightness
    assert values.std() < 20.0
    assert tem.electrons() == 0.0


def test_an_image_is_charged_as_it_is_taken(tem: Tem) -> None:
    lasting = set_up(tem)
    tem.open_beam()
    tem.server.answer(acquire("HAADF"))
    tem.clock.sleep(lasting / 4)
    assert tem.electrons() == pytest.approx(lasting / 4 * CURRENT / e, rel=0.02)  # whole lines
    tem.clock.sleep(10.0)  # nobody came for it: the beam stands on
    assert tem.electrons() == pytest.approx((lasting / 4 + 10.0) * CURRENT / e, rel=1e-6)


def test_everything_waits_while_an_image_is_taken(tem: Tem) -> None:
    lasting = set_up(tem)
    tem.open_beam()
    first = tem.server.answer(acquire("HAADF"))
    blank = tem.server.answer(wire.BEAM_BLANKED.put(True))
    after = tem.server.answer(wire.BEAM_BLANKED.get())
    second = tem.server.answer(acquire("HAADF"))
    assert isinstance(first, Later) and isinstance(blank, Later)
    assert isinstance(after, Later) and isinstance(second, Later)
    assert first.at == blank.at == after.at == pytest.approx(lasting)
    assert second.at == pytest.approx(2 * lasting)
    tem.clock.sleep(1000.0)  # whoever asked has gone; it is done all the same, and at its time
    assert wire.BEAM_BLANKED.value(after.make()) is True
    assert image(second.make(), "HAADF", (128, 128)).std() < 20.0
    assert tem.electrons() == pytest.approx(lasting * CURRENT / e, rel=1e-6)


def test_an_image_sees_nothing_while_the_scan_box_has_the_coils(tem: Tem) -> None:
    tem.with_scan_box()
    set_up(tem)
    tem.open_beam()
    assert take(tem).std() < 20.0
    assert tem.electrons() == 0.0


def test_brightness_and_contrast_are_those_of_the_detector(tem: Tem) -> None:
    set_up(tem)
    dim = take(tem).mean()
    tem.ask(wire.STEM_DETECTOR.put(wire.DetectorSetting(brightness=1.0), "HAADF"))
    assert take(tem).mean() == pytest.approx(2 * dim, rel=0.01)
    assert tem.get(wire.STEM_DETECTOR, "HAADF") == wire.DetectorSetting(1.0, 0.5)


def profile(tem: Tem, *, axis: int = 0) -> Any:
    """An image summed along the interface."""
    return take(tem, 256).astype(float).mean(axis=axis)


def edge(values: Any) -> float:
    """Where a profile passes half way from its lowest to its highest, in pixels."""
    smooth = np.convolve(values, np.ones(9) / 9, "valid")
    return float(np.argmin(np.abs(smooth - (smooth.min() + smooth.max()) / 2)))


def test_a_moved_goniometer_moves_the_image_and_a_rotated_scan_turns_it(tem: Tem) -> None:
    set_up(tem, binning=4, dwell=20e-6)
    tem.open_beam()
    before = edge(profile(tem))
    tem.put(wire.STAGE_POSITION, Position(x=40 * NM))
    tem.clock.sleep(5.0)
    moved = edge(profile(tem))
    pixel = 312.5 * NM / 256
    assert (moved - before) * pixel == pytest.approx(40 * NM, abs=6 * NM)
    tem.put(wire.STEM_ROTATION, np.pi / 2)
    turned = edge(profile(tem, axis=1))
    assert 255 - turned == pytest.approx(moved, abs=12)  # x of the sample now runs up the image


# --- the goniometer


def test_it_is_busy_while_it_moves_and_takes_no_second_order(tem: Tem) -> None:
    wire.see_done(tem.put(wire.STAGE_POSITION, Position(x=40 * UM), method="GO"))
    assert tem.get(wire.STAGE_STATUS) == "GOING"
    assert "not ready" in wire.reason(tem.put(wire.STAGE_POSITION, Position(y=1 * UM)))
    tem.clock.sleep(1.0)
    assert tem.get(wire.STAGE_POSITION).x == pytest.approx(20 * UM)  # 20 um/s
    tem.clock.sleep(1.0)
    assert tem.get(wire.STAGE_STATUS) == "READY"
    assert tem.get(wire.STAGE_POSITION) == Position(40 * UM, 0.0, 0.0, 0.0, 0.0)


def test_a_safe_move_takes_the_tilt_through_zero(tem: Tem) -> None:
    tem.put(wire.STAGE_POSITION, Position(a=0.1))
    tem.clock.sleep(10.0)
    tem.put(wire.STAGE_POSITION, Position(z=20 * UM, x=5 * UM), method="MOVE")
    assert tem.get(wire.STAGE_STATUS) == "MOVING"
    tem.clock.sleep(2.9)  # 0.1 rad at 2 deg/s
    half = tem.get(wire.STAGE_POSITION)
    assert half.a == pytest.approx(0.0, abs=1e-9)
    assert half.x == 0.0
    assert half.z > 0.0
    tem.clock.sleep(20.0)
    assert tem.get(wire.STAGE_POSITION).axes() == pytest.approx({"x": 5 * UM, "y": 0, "z": 20 * UM, "a": 0.1, "b": 0})


def test_a_beam_left_on_smears_along_the_way_of_the_stage(tem: Tem) -> None:
    tem.open_beam()
    tem.put(wire.STAGE_POSITION, Position(y=2 * UM))
    tem.clock.sleep(1.0)
    assert tem.electrons() == pytest.approx(CURRENT / e, rel=1e-6)
    hit = np.flatnonzero(tem.world.truth.fluence().map.any(axis=1))
    assert len(hit) >= 40
    assert (hit[-1] - hit[0]) * 4 * NM == pytest.approx(2 * UM, abs=60 * NM)


def test_a_sample_lands_beside_what_the_axes_read_when_errors_are_hidden() -> None:
    exact, loose = make_world(), make_world(hidden_errors=True)
    for world in (exact, loose):
        tem = Tem(world)
        tem.put(wire.STAGE_POSITION, Position(x=1 * UM))
        tem.clock.sleep(10.0)
        assert tem.get(wire.STAGE_POSITION).x == 1 * UM
    off = [world.goniometer.displacement(np.array([10.0]))[0][0] - 1 * UM for world in (exact, loose)]
    assert off[0] == 0.0
    assert 0.1 * NM < abs(off[1]) < 300 * NM


# --- across processes


def test_the_microscope_is_found_as_it_was_left(tem: Tem, tmp_path: Path) -> None:
    tem.put(wire.STAGE_POSITION, Position(x=3 * UM, a=0.1))
    tem.clock.sleep(10.0)
    tem.put(wire.STEM_ROTATION, 0.25)
    set_up(tem, binning=2)
    tem.put(wire.SCREEN_POSITION, "DOWN")
    tem.put(wire.VALVES, False)
    tem.open_beam()
    tem.world.save(tmp_path / "world.npz")
    again = a_world(VirtualClock(elapsed=tem.clock.now()))
    again.load(tmp_path / "world.npz")
    found = Tem(again)
    for endpoint in (
        *(wire.STAGE_POSITION, wire.STAGE_STATUS, wire.STEM_ROTATION, wire.STEM_SETTING),
        *(wire.SCREEN_POSITION, wire.VALVES, wire.BEAM_BLANKED),
    ):
        assert found.get(endpoint) == tem.get(endpoint)
    assert found.get(wire.BEAM_BLANKED) is False
    assert found.get(wire.SCREEN_CURRENT) == tem.get(wire.SCREEN_CURRENT)
