"""A scan of the simulated camera on real ports: HTTP, ZeroMQ and TCP on the way, every frame in the record."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from acquisition.camera import CameraListener, told
from acquisition.datafile import DataFile, Form, open_record
from acquisition.exposure import expose
from drivers.camera import Camera, ranges
from drivers.clock import RealClock
from drivers.limits import Limits
from drivers.links import HttpLink, ZmqLink, open_link
from drivers.ticket import Frame
from drivers.wire.simplon_frames import CHANNEL
from simulators.boxes.camera import CameraServer
from simulators.boxes.scan import ScanServer
from simulators.serve import PacedClock, Port, serve
from tests.acquisition.dose_bench import HERE, opened
from tests.acquisition.known_map import STARTED, about, pass_record
from tests.acquisition.run_bench import Desk
from tests.drivers.camera_bench import LATENCY, SETTINGS, WIRING
from tests.drivers.scan_bench import a_driver, a_world

SPEED = 20.0  # the camera takes 20 s to come up
SMALL = Frame(centre=(0.0, 0.0), size=(36e-9, 30e-9), pixels=(24, 20), dwell=20e-6)
WHOLE = Frame(centre=(0.0, 0.0), size=(384e-9, 384e-9), pixels=(256, 256), dwell=20e-6)
SLOWER = Frame(centre=(0.0, 0.0), size=(384e-9, 384e-9), pixels=(256, 256), dwell=50e-6)  # as 16 bits are
LONG = (pytest.mark.slow, pytest.mark.timeout(600))


@pytest.mark.parametrize(
    ("asked", "bits"),
    [
        pytest.param(SMALL, 8, id="24x20"),
        pytest.param(WHOLE, 8, id="256x256, 8 bit", marks=LONG),
        pytest.param(SLOWER, 16, id="256x256, 16 bit", marks=LONG),
    ],
)
def test_every_frame_of_a_scan_goes_through_zeromq_into_the_record(tmp_path: Path, asked: Frame, bits: int) -> None:
    clock = PacedClock(SPEED)
    world = a_world(clock, wiring=WIRING)
    box = CameraServer(world)
    ports = {"scan": Port(ScanServer(world)), "camera": Port(box, "http"), "stream": Port(box.stream, "stream")}
    with serve(clock, ports, tick=world.catch_up) as at, opened(tmp_path / "passport.jsonl") as ledger:
        mine = RealClock(SPEED)
        with (
            closing(a_driver(open_link("scan", at["scan"], mine))) as scan,
            closing(
                Camera(
                    HttpLink(open_link("camera", at["camera"], mine)),
                    SETTINGS,
                    stream=ZmqLink("camera", at["stream"], mine),
                    gate_latency=LATENCY,
                    limits=Limits(ranges(SETTINGS)),
                    guard=lambda command: None,
                    wait=mine.sleep,
                )
            ) as camera,
        ):
            scan.open()
            camera.open()
            desk = Desk(tmp_path / "control", mine)
            desk.running()
            frame = scan.commanded(asked)
            prepared = camera.configure(frame.count, frame.dwell, gated=True)
            assert prepared.bits == bits
            form = Form((CHANNEL,), prepared.shape, np.dtype(f"u{bits // 8}"), "bslz4", SETTINGS.angle_per_pixel)
            with DataFile.create(tmp_path / "a.nxs", about()) as file:
                frames = file.frames(
                    "diffraction", title="Diffraction", frame=frame, requested=asked, passes=1, form=form
                )
                file.start()
                ticket = ledger.reserve("interface", frame, HERE, "r-1", step="diffraction_map")
                camera.arm(ticket.exposure_id)
                listener = CameraListener(camera, frames, 0, every=prepared.frame_time)
                expose(scan, ledger, ticket, desk.control, pixels=lambda first, values: None, listeners=[listener])
                tally = listener.finish()
                file.pass_done(pass_record(0, pixels_done=frame.count))
                file.finish(status="complete", ended=STARTED, results={"camera": told(tally)})
    assert (tally.received, tally.due, tally.whole) == (frame.count, frame.count, True)
    with open_record(tmp_path / "a.nxs") as record:
        kept = record.camera("diffraction")
        assert kept.received.all()
        assert kept.missing == ()
        assert np.allclose(np.diff(kept.starts.ravel()), frame.dwell)
        assert record.verify() == ()
        assert kept.frame(10, 12).sum() > 0
