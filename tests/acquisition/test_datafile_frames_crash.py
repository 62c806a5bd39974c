"""What is left of a camera's frames when the writer is killed or the disk is full: everything that was flushed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from acquisition.datafile import disk, open_record, rescue
from tests.acquisition.known_frames import SCAN, STACK, counts

ROOT = Path(__file__).parents[2]
PREPARE = "import os, signal, sys\nfrom pathlib import Path\nfrom tests.acquisition.known_frames import *\n"
KILL = "os.kill(os.getpid(), getattr(signal, 'SIGKILL', signal.SIGTERM))\n"


def in_another_process(program: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own, because it is killed or spoils its HDF5."""
    return subprocess.run(
        [sys.executable, "-c", PREPARE + program, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A writer that was killed in the third row of its scan, after one image had not come."""
    path = tmp_path_factory.mktemp("killed") / "0004-diffraction.nxs"
    program = "file, frames = begin(Path(sys.argv[1]))\nframes.write(0, images([0, 1, 2, *range(4, 13)]))\n" + KILL
    assert in_another_process(program, path).returncode != 0
    return path


@pytest.fixture
def torn(killed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(killed, tmp_path / killed.name))


def test_our_reader_reads_the_file_of_a_killed_writer(killed: Path) -> None:
    with open_record(killed) as record:
        frames = record.camera("diffraction")
        assert np.flatnonzero(frames.received).tolist() == [0, 1, 2, *range(4, 11)]
        assert np.array_equal(frames.frame(2, 0), counts(10))


@pytest.mark.parametrize("copied_in_memory", [True, False])
def test_rescue_keeps_what_was_flushed_and_lists_what_is_missing(
    torn: Path, monkeypatch: pytest.MonkeyPatch, copied_in_memory: bool
) -> None:
    monkeypatch.setattr(disk, "IN_MEMORY", 1 << 30 if copied_in_memory else 0)
    rescued = rescue(torn)
    assert (rescued.status, rescued.unreadable) == ("recovered", {})
    with h5py.File(torn) as raw:
        assert raw.attrs["recovered_unreadable"] == 0
        assert (raw[STACK][0, 3] == 65535).all()
    with open_record(torn) as record:
        frames = record.camera("diffraction")
        assert frames.received.sum() == 10
        assert frames.missing == ((3, 3),)  # what lies beyond the last was perhaps never exposed
        assert all(np.array_equal(frames.frame(*divmod(n, 5)), counts(n)) for n in (0, 1, 2, 4, 9, 10))
        assert record.verify() == ()


FULL = """
import resource
from acquisition.datafile import DataFileError
scan = Frame(SCAN.centre, SCAN.size, (20, 20), SCAN.dwell)
form = Form(FORM.channels, {shape}, np.dtype("<u2"), "none", 1e-3)
file, frames = begin(Path(sys.argv[1]), form, scan=scan)
frames.write(0, images(range(20), form))
# only one write meets the full disk: the limit would hold for files in memory as well
signal.signal(signal.SIGXFSZ, lambda *_: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2))
resource.setrlimit(resource.RLIMIT_FSIZE, (file.path.stat().st_size + {room}, resource.RLIM_INFINITY))
for doing in (lambda: frames.write(0, images(range(20, 400), form)), lambda: frames.write(0, images([399], form)),
              lambda: file.pass_done(pass_record(0)), lambda: finish(file)):
    try:
        doing()
    except DataFileError as failure:
        print(failure)
    else:
        print("went on as if nothing had happened")
file.close()
print("alive")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the full disk is made with RLIMIT_FSIZE, which Windows has not")
@pytest.mark.parametrize("shape", [(40, 50), (128, 160)])  # the larger ones HDF5 brings onto the disk by itself
@pytest.mark.parametrize("room", [100, 300_000])
def test_a_full_disk_is_named_and_keeps_what_was_flushed(tmp_path: Path, room: int, shape: tuple[int, int]) -> None:
    path = tmp_path / "0004-diffraction.nxs"
    done = in_another_process(FULL.format(room=room, shape=shape), path)
    assert done.returncode == 0, done.stderr
    first, *later, last = done.stdout.splitlines()
    assert first.startswith("0004-diffraction.nxs: could not keep camera frames: File too large")
    assert all("is closed already" in said for said in later)
    assert len(later) == 3
    assert last == "alive"
    assert rescue(path).unreadable == {}
    with open_record(path) as record:
        frames = record.camera("diffraction")
        received = np.flatnonzero(frames.received)
        assert received.size >= SCAN.count
        assert received.tolist() == list(range(received.size))
        assert all(np.array_equal(frames.frame(n // 20, n % 20), counts(n, frames.form)) for n in received.tolist())
