"""A camera's frames from ZeroMQ to the closed, finished record, against what limits it and what it replaces.

A scan of 256 x 256 positions with frames of 128 x 128 pixels, bslz4, of 8 and of 16 bits; another process sends them
(`camera_stream`).  The limits are the same link that only receives the same messages, and the same bytes written to
the same disk in pieces of a scan row; both files are synced at their end.  What it replaces: every frame unpacked, and
packed again by h5py and hdf5plugin.  The peak memory is that of a process which files a whole scan, against one that
files a quarter of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np

from acquisition.datafile import About, DataFile, Form
from acquisition.datafile.tags import LIBVER, PAYLOAD
from benchmarks.camera_stream import DIFFERENT, PITCH, SHAPE, patterns
from benchmarks.figure import Figure, side_by_side
from drivers.clock import RealClock
from drivers.links.messages import Message
from drivers.links.zeromq import ZmqLink
from drivers.rigfile import Optics
from drivers.ticket import Frame
from drivers.wire import simplon_stream
from drivers.wire.packed import Packed, unpack
from drivers.wire.simplon_frames import CHANNEL, StreamImage

ROOT = Path(__file__).parents[1]
AT_A_TIME = 256  # images handed to the writer together, as the camera's driver does
WAITING = 1024  # messages at most that wait in the link: a quarter of a scan fills it, too
SILENCE = 10.0  # s without a message
SHORT = 100  # bytes: the end of a series is shorter, an image longer


Making = Callable[[Path], None]
"""Makes a file under a new name."""


class Sender:
    """The stream in a process of its own, one series after another."""

    def __init__(self, bits: int, images: int) -> None:
        command = [sys.executable, "-m", "benchmarks.camera_stream", str(bits), str(images)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._address = f"tcp://127.0.0.1:{int(self._process.stdout.readline())}"

    def series(self, images: int) -> Iterator[Message]:
        """The messages of a series of so many images, as the link brings them, the end message last."""
        stdin = self._process.stdin
        assert stdin is not None
        link = ZmqLink("camera", self._address, RealClock(1.0), high_water=WAITING)
        try:
            print(images, file=stdin, flush=True)
            ends, silence = False, 0.0
            while not ends:
                message = link.receive(0.5)
                if message is None:
                    silence += 0.5
                    if silence > SILENCE:
                        raise RuntimeError("the stream does not go on")
                    continue
                ends = len(message[0]) < SHORT
                yield message
        finally:
            link.close()

    def close(self) -> None:
        """Let the process end."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


@contextmanager
def sending(bits: int, images: int) -> Iterator[Sender]:
    """A sender that is closed at the end."""
    sender = Sender(bits, images)
    try:
        yield sender
    finally:
        sender.close()


def scan(side: int) -> Frame:
    """So many positions each way, as far apart as those of the shipped map."""
    return Frame((0.0, 0.0), (side * PITCH, side * PITCH), (side, side), 1e-4)


def about() -> About:
    """What the record says of a run that is none."""
    now = datetime.now(UTC)
    return About(
        title="camera benchmark",
        step="benchmark",
        ordinal=1,
        run_id="00000000-0000-0000-0000-000000000000",
        started=now,
        sample="none",
        atom_types=("Li",),
        sample_thickness=None,
        simulated=True,
        recipe_name="benchmark",
        recipe_text="",
        recipe_sha256="",
        recipe_type="text/x-yaml",
        rig_name="bench",
        rig_text="",
        requested={},
        state={},
        versions={},
        passport_sha256="",
        command_line="python -m benchmarks camera",
        optics=Optics(
            beam_energy=200e3,
            convergence=0.02,
            probe_fwhm=0.5e-9,
            dark_field=(0.06, 0.2),
            eds_solid_angle=0.7,
            eds_elevation=0.4,
            eds_azimuth=0.0,
            eds_fwhm_mn=128.0,
        ),
        beam_current=51e-12,
        beam_current_uncertainty=0.03,
        stage_temperature=None,
    )


def images(messages: Iterator[Message]) -> Iterator[list[StreamImage]]:
    """The images of a series, some at a time."""
    some: list[StreamImage] = []
    for message in messages:
        streamed = simplon_stream.decode(message)
        if isinstance(streamed, StreamImage):
            some.append(streamed)
            if len(some) == AT_A_TIME:
                yield some
                some = []
    yield some


def file_it(sender: Sender, bits: int, side: int, path: Path) -> None:
    """Receive a series into a record and finish it; raises RuntimeError unless every frame is in it."""
    frame = scan(side)
    form = Form((CHANNEL,), SHAPE, np.dtype(f"<u{bits // 8}"), "bslz4", 1e-3)
    with DataFile.create(path, about()) as file:
        frames = file.frames("camera", title="Camera", frame=frame, requested=frame, passes=1, form=form)
        file.start()
        for some in images(sender.series(side**2)):
            frames.write(0, some)
        file.finish(status="complete", ended=datetime.now(UTC), results={})
    if missing := frames.missing(0):
        raise RuntimeError(f"frames {missing} did not arrive")


def peak(bits: int, side: int, disk: Path) -> float | None:
    """Most memory, bytes, of a process that files such a scan; None where the system does not tell."""
    command = [sys.executable, "-m", "benchmarks.watched_scan", str(bits), str(side), str(disk)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: float | None = json.loads(done.stdout.splitlines()[-1])["peak"]
    return found


def receive_only(sender: Sender, side: int) -> None:
    """Receive a series and look at nothing."""
    for _ in sender.series(side**2):
        pass


def recompress(sender: Sender, bits: int, side: int, path: Path) -> None:
    """Receive a series, unpack every frame and let h5py pack it again."""
    with h5py.File(path, "x", libver=LIBVER) as file:
        shape, chunks = (side * side, *SHAPE), (1, *SHAPE)
        data = file.create_dataset("data", shape=shape, chunks=chunks, dtype=f"<u{bits // 8}", **PAYLOAD)
        for some in images(sender.series(side**2)):
            for image in some:
                data[image.image] = unpack(image.channels[CHANNEL])


def write_plainly(packed: list[Packed], side: int, path: Path) -> None:
    """Write the bytes of all frames, a scan row at a time, and sync them."""
    with path.open("xb", buffering=0) as file:
        for row in range(side):
            file.write(b"".join(packed[number % DIFFERENT].data for number in range(row * side, (row + 1) * side)))
        os.fsync(file.fileno())


def main(side: int = 256, rounds: int = 3, depths: Sequence[int] = (8, 16), disk: Path | None = None) -> None:
    """Print frames and bytes a second of a scan of `side` x `side` positions, and the most memory that one takes.

    depths: bits of a pixel.  disk: a folder on the disk that is meant; the current one if left out.
    """
    for bits in depths:
        with TemporaryDirectory(prefix="camera-", dir=disk or Path.cwd()) as folder:
            _speed(bits, side, rounds, Path(folder))
    with TemporaryDirectory(prefix="camera-", dir=disk or Path.cwd()) as folder:
        whole, quarter = (peak(depths[-1], of_side, Path(folder)) for of_side in (side, side // 2))
    if whole is None or quarter is None:
        print("camera frames, peak memory: skipped: this system has no `resource` module", file=sys.stderr)
        return
    name, against = f"peak memory of filing {side**2} camera frames", f"the same of {(side // 2) ** 2} frames"
    Figure.beside(name, whole / 1e6, "MB", against, quarter / 1e6).show()


def _speed(bits: int, side: int, rounds: int, disk: Path) -> None:
    number = count()

    def anew(make: Making) -> Callable[[], None]:
        """The work of making a file, which is then deleted."""

        def work() -> None:
            path = disk / f"{next(number)}.nxs"
            make(path)
            path.unlink()

        return work

    frames, few = side**2, (side // 2) ** 2
    packed = patterns(bits)
    size = sum(len(packed[number % DIFFERENT].data) for number in range(frames)) / 1e6
    with sending(bits, frames) as sender:
        filed, received, written = side_by_side(
            rounds,
            anew(lambda path: file_it(sender, bits, side, path)),
            lambda: receive_only(sender, side),
            anew(lambda path: write_plainly(packed, side, path)),
        )
        # the peer is slow
        (again,) = side_by_side(1, anew(lambda path: recompress(sender, bits, side // 2, path)))
    name = f"camera frames of {bits} bits to the closed file"
    Figure.beside(name, frames / filed, "1/s", "the same messages only received", frames / received).show()
    Figure.beside(name, frames / filed, "1/s", "each unpacked and packed again by h5py", few / again).show()
    Figure.beside(name, size / filed, "MB/s", "the same bytes written plainly to the same disk", size / written).show()


if __name__ == "__main__":
    main()
