"""Every device of the shipped rig over its real port, with time that runs faster: drivers and boxes keep their pace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from drivers.clock import RealClock, wall_seconds
from drivers.errors import InterlockError
from drivers.links import AbortFlag
from drivers.needle import NeedlePosition
from drivers.ticket import Frame
from protocols import riglock
from protocols.rig import Rig, open_rig
from protocols.rigtext import load_rig, read_rig
from protocols.serving import Wanted, served_rig, serving
from tests.drivers.scan_bench import Office

SPEED = 20.0
PATIENCE = 20.0  # s of wall time


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The shipped rig, open over real ports."""
    folder, bench = tmp_path_factory.mktemp("user"), load_rig("bench-exact")
    with pytest.MonkeyPatch.context() as patch, serving(bench, Wanted(speed=SPEED)) as now:
        patch.setattr(riglock, "user_data_path", lambda name: folder / name)
        served = read_rig(served_rig(bench, now.addresses, SPEED), "served.yaml")
        clock = RealClock(SPEED)
        opened = open_rig(
            served, clock=clock, abort=AbortFlag(), wait=clock.sleep, latched=lambda: False, seed=0, sample=None
        )
        yield opened
        assert all(attempt.safe for attempt in opened.make_safe())
        opened.close()


def test_every_device_says_how_it_is(rig: Rig) -> None:
    status = rig.status()
    assert status.keys() == rig.file.devices.keys()
    assert status["scan"]["blanked"] is True
    assert 280.0 < status["cryostat"]["stage"] < 300.0
    assert status["camera"]["state"] == "idle"


def test_the_camera_is_gated_by_the_scan_and_no_image_is_lost(rig: Rig) -> None:
    camera, scan, frame = rig.devices["camera"], rig.scan, Frame((0.0, 0.0), (50e-9, 50e-9), (16, 16), 1e-3)
    commanded = scan.commanded(frame)
    rig.devices["column"].release()
    camera.configure(frame.count, commanded.dwell, gated=True)
    camera.arm("exposure")
    scan.start(commanded, Office().ticket(commanded))
    images, pixels, end = [], 0, wall_seconds() + PATIENCE
    while not (camera.finished() and scan.finished()):
        pixels += scan.read(0.01).size
        images += camera.read(0.05)
        assert wall_seconds() < end
    tally = camera.finish()
    assert pixels == frame.count
    assert (tally.received, tally.missing, tally.dropped) == (frame.count, (), 0)
    assert len([*images, *tally.rest]) == frame.count


def test_a_stage_that_takes_its_time_arrives(rig: Rig) -> None:
    stage, began = rig.devices["stage"], rig.clock.now()
    stage.reference()
    here = stage.position()
    assert rig.clock.now() - began > 1.0
    assert here.x == pytest.approx(0.0, abs=1e-6)


def test_the_needle_steps_and_the_chamber_stage_moves_while_it_is_parked(rig: Rig) -> None:
    needle, stage = rig.devices["needle"], rig.devices["chamber_stage"]
    with pytest.raises(InterlockError, match="needle"):
        stage.move_to(stage.position())
    needle.fix(NeedlePosition(x=400e-6, y=0.0, z=400e-6, rotation=0.0), 1e-6)
    needle.move_by("x", 5e-6, clearance=100e-6)
    assert needle.position().x == pytest.approx(405e-6, abs=1e-6)
    before = stage.position()
    there = stage.move_to(replace(before, x=before.x + 100e-6))
    assert there.x - before.x == pytest.approx(100e-6, abs=1e-6)
