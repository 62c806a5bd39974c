"""What is left when the writer is killed or the disk is full: everything that was flushed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from acquisition.datafile import DataFileError, open_record, rescue
from acquisition.datafile.superblock import claim_and_end, lookup3, repair
from tests.acquisition.known_map import STARTED, about, begin, events_of, image_of, pass_record, take_pass, write_map

ROOT = Path(__file__).parents[2]
PREPARE = "import sys\nfrom pathlib import Path\nfrom tests.acquisition.known_map import *\n"


def in_another_process(program: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own, because it is killed or spoils its HDF5."""
    return subprocess.run(
        [sys.executable, "-c", PREPARE + program, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A writer that was killed in the third row of its third pass."""
    path = tmp_path_factory.mktemp("killed") / "0004-eds_map.nxs"
    done = in_another_process(
        """
import os, signal
file, image, events = begin(Path(sys.argv[1]))
for index in range(2):
    take_pass(file, image, events, index)
image.write(2, 0, image_of(2).ravel()[:27])
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
""",
        path,
    )
    assert done.returncode != 0
    return path


@pytest.fixture
def torn(killed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(killed, tmp_path / killed.name))


def test_a_killed_file_does_not_open_plainly_but_our_reader_reads_it(killed: Path) -> None:
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(killed)
    with open_record(killed) as record:
        assert record.status == "in_progress"
        assert record.passes() == [pass_record(0), pass_record(1)]


def test_rescue_gives_a_plain_file_with_everything_that_was_flushed(torn: Path) -> None:
    rescued = rescue(torn)
    assert (rescued.status, rescued.unreadable, rescued.aside) == ("recovered", {}, None)
    assert rescued.chunks > 12
    with h5py.File(torn) as raw:
        assert raw.attrs["acquisition_status"] == "recovered"
        assert raw.attrs["recovered_unreadable"] == 0
    with open_record(torn) as record:
        assert record.about == about()
        assert record.passes() == [pass_record(0), pass_record(1)]
        assert list(record.lines_done("dark_field")) == [6, 6, 2, 0]
        assert np.array_equal(record.image("dark_field")[1], image_of(1))
        assert np.array_equal(record.image("dark_field")[2, :2], image_of(2)[:2])
        assert record.events()[0].size == 2 * 67
        assert record.verify() == ()
        assert record.ended is None


def test_a_rescued_map_has_its_sums_and_spectra_of_the_passes_that_were_settled(torn: Path) -> None:
    rescue(torn)
    with open_record(torn) as record:
        assert record.image("dark_field_sum")[3, 4] == 2000
        assert record.cube()[3, 4, 20] == 14


def test_rescuing_twice_changes_nothing(torn: Path) -> None:
    rescue(torn)
    before = torn.read_bytes()
    assert rescue(torn).status == "recovered"
    assert torn.read_bytes() == before


def test_a_finished_file_is_left_alone(tmp_path: Path) -> None:
    path = write_map(tmp_path / "a.nxs")
    before = path.read_bytes()
    assert rescue(path).status == "complete"
    assert path.read_bytes() == before


def test_a_file_that_was_closed_unfinished_is_finished_by_rescue(tmp_path: Path) -> None:
    file, image, events = begin(tmp_path / "a.nxs")
    with file:
        take_pass(file, image, events, 0)
    assert rescue(file.path).status == "recovered"


def test_a_flipped_bit_is_counted_and_the_killed_file_kept_aside(torn: Path) -> None:
    with h5py.File(torn, "r", swmr=True) as raw:
        where = raw["entry/measurement/event1/image_dark_field/stack_2d/real"].id.get_chunk_info(3).byte_offset
    spoiled = bytearray(torn.read_bytes())
    spoiled[where + 14] ^= 4
    torn.write_bytes(spoiled)
    rescued = rescue(torn)
    assert rescued.unreadable == {"/entry/measurement/event1/image_dark_field/stack_2d/real": 1}
    assert rescued.aside is not None
    assert rescued.aside.read_bytes() == spoiled
    with open_record(torn) as record:
        assert "dark_field_sum" not in record.images
        assert record.cube()[3, 4, 20] == 14


def test_what_is_no_record_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.nxs"
    path.write_bytes(b"not a record" * 20)
    with pytest.raises(DataFileError, match="does not begin like a record"):
        rescue(path)
    assert path.read_bytes() == b"not a record" * 20
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("part", [0.02, 0.2, 0.5, 0.8, 0.9, 0.95, 0.99])
def test_a_file_cut_short_is_rescued_or_refused_and_never_lost(torn: Path, part: float) -> None:
    cut = torn.read_bytes()[: round(part * torn.stat().st_size)]
    torn.write_bytes(cut)
    try:
        assert rescue(torn).status == "recovered"
    except DataFileError:
        assert torn.read_bytes() == cut


def test_a_writer_killed_before_it_started_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.nxs"
    program = "import os\nfile = DataFile.create(Path(sys.argv[1]), about())\nos.kill(os.getpid(), 9)"
    assert in_another_process(program, path).returncode != 0
    with pytest.raises(DataFileError, match=r"a\.nxs"):
        rescue(path)


def test_a_kill_while_finishing_costs_nothing(tmp_path: Path) -> None:
    """finish works on a copy, so the live file is whole until the finished one takes its place."""
    path = tmp_path / "a.nxs"
    done = in_another_process(
        """
import os, signal
import h5py
file, image, events = begin(Path(sys.argv[1]))
take_pass(file, image, events, 0)
class Fatal(dict):
    def items(self):
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
file.finish(status="complete", ended=STARTED, results={"deep": Fatal(a=1)})
""",
        path,
    )
    assert done.returncode != 0
    with h5py.File(path) as raw:
        assert raw.attrs["acquisition_status"] == "in_progress"
    assert rescue(path).status == "recovered"
    with open_record(path) as record:
        assert record.cube().sum() == 67


FULL = """
import resource
import numpy as np
file, image, events = begin(Path(sys.argv[1]))
take_pass(file, image, events, 0)
full = file.path.stat().st_size + {room}
resource.setrlimit(resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
from acquisition.datafile import DataFileError
try:
    {doing}
except DataFileError as failure:
    print(failure)
for later in (lambda: image.write(1, 0, image_of(1).ravel()), lambda: events.append(1, *events_of(1)),
              lambda: file.pass_done(pass_record(1)), lambda: file.temperature(1.0, 99.0),
              lambda: file.finish(status="aborted", ended=STARTED, results={{}})):
    try:
        later()
    except DataFileError:
        pass
    else:
        print("went on as if nothing had happened")
file.close()
print("alive")
"""
MEASURE = """
    for index in range(1, 4):
        image.write(index, 0, np.random.default_rng(index).integers(0, 65535, 60).astype(np.uint16))
        random = np.random.default_rng(index)
        events.append(index, random.integers(0, 60, 9000, np.uint32), random.integers(0, 64, 9000, np.uint16))
        file.pass_done(pass_record(index))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the full disk is made with RLIMIT_FSIZE, which Windows has not")
@pytest.mark.parametrize("room", [0, 20_000])
def test_a_full_disk_is_named_and_keeps_what_was_flushed(tmp_path: Path, room: int) -> None:
    path = tmp_path / "0004-eds_map.nxs"
    done = in_another_process(FULL.format(room=room, doing=MEASURE.strip()), path)
    said = done.stdout.splitlines()
    assert said[0].startswith("0004-eds_map.nxs: could not keep")
    assert "File too large" in said[0]
    assert said[0].endswith("then let `rescue` finish the file.")
    assert said[1:] == ["alive"]
    assert done.returncode == 0, done.stderr
    assert rescue(path).unreadable == {}
    with open_record(path) as record:
        assert record.passes()[0] == pass_record(0)
        assert np.array_equal(record.image("dark_field")[0], image_of(0))
        assert np.array_equal(record.events()[1][:67], events_of(0)[0])


@pytest.mark.skipif(sys.platform == "win32", reason="the full disk is made with RLIMIT_FSIZE, which Windows has not")
def test_a_disk_that_is_full_while_finishing_leaves_the_measured_file(tmp_path: Path) -> None:
    path = tmp_path / "0004-eds_map.nxs"
    finish = "file.finish(status='complete', ended=STARTED, results={})"
    done = in_another_process(FULL.format(room=100, doing=finish), path)
    assert done.stdout.splitlines()[0].startswith("0004-eds_map.nxs: could not finish the record: File too large")
    assert done.returncode == 0, done.stderr
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert rescue(path).status == "recovered"
    with open_record(path) as record:
        assert record.cube().sum() == 67


def test_the_checksum_of_the_superblock_is_lookup3() -> None:
    """Values from the self-test in Bob Jenkins' lookup3.c (driver5: the empty string and "Four score ...", seed 0)."""
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


def test_repair_changes_nothing_but_the_claim_and_the_end(torn: Path) -> None:
    before = torn.read_bytes()
    assert claim_and_end(torn)[0] & 5  # open for writing, under SWMR
    repair(torn)
    assert claim_and_end(torn) == (0, len(before))
    after = torn.read_bytes()
    assert [index for index in range(len(before)) if before[index] != after[index]][-1] < 48


def test_a_reader_does_not_keep_the_file_from_being_finished(tmp_path: Path) -> None:
    """A reader that holds the live file open does not keep it from being finished."""
    file, image, events = begin(tmp_path / "a.nxs")
    take_pass(file, image, events, 0)
    with open_record(file.path) as live:
        file.finish(status="complete", ended=STARTED, results={})
        assert live.status == "in_progress"
    with open_record(file.path) as record:
        assert record.status == "complete"
