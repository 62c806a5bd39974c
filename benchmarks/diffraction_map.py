"""A diffraction map of the shipped sample, from the simulated beam through scan box, camera and driver into the file.

128 x 128 positions of 128 x 128 pixels over the interphase, its crystals among them, on the virtual clock: what takes
time is the world's work and the transport.  The limit is that of the issue that asked for it; the peer is numpy's
Poisson draw of every pixel.  Then what it takes to evaluate the map, against reading its frames; and the most memory
that takes, against the map.
"""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from acquisition.analysis.diffraction_spots import DRAWN, SpotTest, find_spots
from acquisition.analysis.virtual_detectors import central_disk, detect, gather, radial, ring
from acquisition.camera import CameraListener, form_of
from acquisition.datafile import DataFile, Recorded, open_record
from benchmarks.camera import about
from benchmarks.figure import Figure, side_by_side
from drivers.clock import VirtualClock, wall_seconds
from drivers.links import AbortFlag
from drivers.ticket import Frame, Ticket, Work
from protocols.rig import open_rig
from protocols.rigtext import load_rig

PITCH = 3.125e-9  # m
LIMIT = 20.0  # s
SEED = 1
PEER = 64  # patterns of the peer


class Leave:
    """Whoever asks may expose: no sample is harmed by a benchmark."""

    def spend(self, ticket: Ticket) -> None:
        """Take it back."""

    def ticket(self, work: Work) -> Ticket:
        """For one exposure."""
        return Ticket("benchmark", "interface", work, self)


def take(path: Path, side: int, dwell: float) -> float:
    """Take a map into a file; wall seconds from arming the camera to the finished file.

    Raises RuntimeError unless every pattern came.
    """
    clock = VirtualClock()
    rig = open_rig(
        load_rig("bench-exact"),
        clock=clock,
        abort=AbortFlag(),
        wait=clock.sleep,
        latched=lambda: False,
        seed=SEED,
        sample=None,
    )
    try:
        frame = rig.scan.commanded(Frame((0.0, 0.0), (side * PITCH, side * PITCH), (side, side), dwell))
        prepared = rig.camera.configure(frame.count, frame.dwell, gated=True)
        form = form_of(rig.camera.settings, prepared)
        with DataFile.create(path, about()) as file:
            frames = file.frames("diffraction", title="Diffraction", frame=frame, requested=frame, passes=1, form=form)
            file.start()
            began = wall_seconds()
            rig.camera.arm("benchmark")
            listener = CameraListener(rig.camera, frames, 0, every=prepared.frame_time)
            rig.scan.start(frame, Leave().ticket(frame))
            while not rig.scan.finished():
                rig.scan.read(0.05)
                listener()
            tally = listener.finish()
            file.finish(status="complete", ended=datetime.now(UTC), results={})
            seconds = wall_seconds() - began
    finally:
        rig.close()
    if not tally.whole:
        raise RuntimeError(f"{tally.received} of {tally.due} patterns came")
    return seconds


def read_only(record: Recorded) -> None:
    """Read every frame, and look at none."""
    for _ in record.camera("diffraction").rows():
        pass


def evaluate(record: Recorded, drawn: int) -> None:
    """What the step makes of a map."""
    camera = record.camera("diffraction")
    gathered = gather(camera.rows(), camera.nodata)
    disk = central_disk(gathered)
    profile = radial(gathered, disk, 0.5)
    detect(camera.rows(), [ring(disk, camera.form.shape, 15.0, 60.0)], gathered.blind)
    find_spots(camera.rows(), SpotTest(disk, gathered.blind, profile), seed=SEED, drawn=drawn)


def most_memory(work: Callable[[], None]) -> int:
    """Most bytes that a work holds at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main(side: int = 128, rounds: int = 1, drawn: int = DRAWN, disk: Path | None = None) -> None:
    """Print how long maps with short and with long dwells take, and the evaluation of one.

    drawn: patterns without a spot in that.  disk: a folder for the maps; the current one if left out.
    """
    with TemporaryDirectory(prefix="diffraction-", dir=disk or Path.cwd()) as folder:
        for dwell in (20e-6, 60e-6):
            path = Path(folder) / f"{dwell * 1e6:.0f}.nxs"
            seconds = take(path, side, dwell)
            name = f"diffraction map, {side} x {side} patterns, {dwell * 1e6:.0f} us each"
            Figure.beside(name, seconds, "s", f"a limit of {LIMIT:g} s", LIMIT).show()
            Figure.beside(name, seconds, "s", "numpy's Poisson draw of every pixel", _drawn(path) * side**2).show()
        with open_record(path) as record:
            evaluated, read = side_by_side(rounds, lambda: evaluate(record, drawn), lambda: read_only(record))
            Figure.beside("evaluating a diffraction map", evaluated, "s", "reading its frames", read).show()
            form = record.camera("diffraction").form
            size = side**2 * math.prod(form.shape) * form.dtype.itemsize
            most = most_memory(lambda: evaluate(record, drawn))
            Figure.beside("most memory of that", most / 1e6, "MB", "the map itself", size / 1e6).show()


def _drawn(path: Path) -> float:
    """Seconds that numpy takes for one pattern of a map, pixel by pixel."""
    random = np.random.default_rng(SEED)
    with open_record(path) as record:
        camera = record.camera("diffraction")
        mean = np.nan_to_num(gather(camera.rows(), camera.nodata).mean)
    (seconds,) = side_by_side(1, lambda: [random.poisson(mean) for _ in range(PEER)])
    return seconds / PEER


if __name__ == "__main__":
    main()
