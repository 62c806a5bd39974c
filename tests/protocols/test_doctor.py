"""A rig of real links: open in one process at a time, looked at by `doctor`, made safe by `safe`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import protocols.rig as composition
from drivers.clock import Clock, VirtualClock
from drivers.errors import LinkError, Refused
from drivers.links import AbortFlag, HttpLink, Link, MemoryLink, ReplayLink, read_transcript
from protocols import riglock
from protocols.doctor import LET_GO, examine
from protocols.rig import Rig, open_rig
from protocols.rigtext import RigText, load_rig, read_rig, unattended_findings
from simulators.cryostat_server import CryostatServer
from simulators.eds_server import EdsServer
from simulators.scan_server import ScanServer
from simulators.world import World
from tests.drivers.scan_bench import a_world
from tests.protocols.test_rig_files import SHIPPED, real

SERVERS = {"cryostat": CryostatServer, "scan": ScanServer, "eds": EdsServer}
REAL = real(SHIPPED)
VALVE = "blank_channel: valve V4\n"


@pytest.fixture
def reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Real links lead to simulated boxes here, and the user has nothing on disk; which links were opened."""
    worlds: dict[Clock, World] = {}
    names: list[str] = []

    def link(name: str, address: str, clock: Clock, abort: AbortFlag) -> Link:
        assert not address.startswith("sim:")
        world = worlds.setdefault(clock, a_world(clock))
        names.append(name)
        return MemoryLink(name, SERVERS[name](world), clock, abort)

    monkeypatch.setattr(composition, "open_link", link)
    monkeypatch.setattr(riglock, "user_data_path", lambda name: tmp_path / name)
    return names


def opened(rig: RigText) -> Rig:
    clock = VirtualClock()
    return open_rig(rig, clock=clock, abort=AbortFlag(), wait=clock.sleep, latched=lambda: False, seed=1, sample=None)


def said_of(rig: RigText, *, only_safe: bool = False) -> tuple[bool, str]:
    """Whether all was well, and what was printed."""
    paper = io.StringIO()
    well = examine(rig, Console(file=paper, width=1000), only_safe=only_safe)
    return well, paper.getvalue()


def test_a_real_rig_is_open_once_and_the_refusal_says_where(reached: list[str]) -> None:
    rig = read_rig(REAL, "my.yaml")
    first = opened(rig)
    before = list(reached)
    with pytest.raises(
        Refused, match=rf"rig bench: open refused: process {os.getpid()} \(cryolift.* UTC\) has the rig"
    ):
        opened(rig)
    assert reached == before  # not even a line was opened
    first.close()
    opened(rig).close()


def test_another_process_cannot_open_a_real_rig_either(reached: list[str]) -> None:
    rig = opened(read_rig(REAL, "my.yaml"))
    assert rig.lock is not None
    code = "import sys; from filelock import FileLock; FileLock(sys.argv[1]).acquire(timeout=0)"
    other = subprocess.run([sys.executable, "-c", code, rig.lock.lock_file], capture_output=True, check=False)
    assert b"Timeout" in other.stderr
    rig.close()


def test_rigs_of_other_names_may_be_open_at_the_same_time(reached: list[str]) -> None:
    first = opened(read_rig(REAL, "my.yaml"))
    opened(read_rig(REAL.replace("name: bench", "name: stem 2/left"), "other.yaml")).close()
    first.close()


def test_simulated_rigs_may_be_open_as_often_as_one_likes(reached: list[str]) -> None:
    rigs = [opened(load_rig("bench")) for _ in range(2)]
    assert [rig.lock for rig in rigs] == [None, None]


def test_a_real_rig_that_does_not_open_is_free_for_the_next(
    reached: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = read_rig(REAL, "my.yaml")
    with monkeypatch.context() as patch:

        def no_link(name: str, address: str, clock: Clock, abort: AbortFlag) -> Link:
            raise LinkError(f"the link {name} cannot reach {address}")

        patch.setattr(composition, "open_link", no_link)
        with pytest.raises(LinkError):
            opened(rig)
    opened(rig).close()


@pytest.mark.parametrize("only_safe", [False, True], ids=["doctor", "safe"])
def test_without_a_blank_channel_one_is_told_last_that_the_blanker_is_let_go(
    reached: list[str], only_safe: bool
) -> None:
    well, said = said_of(read_rig(REAL, "my.yaml"), only_safe=only_safe)
    assert well
    assert said.splitlines()[-1] == LET_GO
    assert "the beam may be ON" in LET_GO
    assert "close its valve" in LET_GO


def test_with_a_blank_channel_or_a_simulated_beam_there_is_no_such_word(reached: list[str]) -> None:
    for rig in (read_rig(REAL + VALVE, "my.yaml"), read_rig(SHIPPED, "simulated.yaml")):
        well, said = said_of(rig, only_safe=True)
        assert well
        assert said.splitlines() == ["scan: safe", "cryostat: safe", "eds: safe"]


def test_the_doctor_opens_no_second_line_while_a_run_has_the_rig(reached: list[str]) -> None:
    rig = read_rig(REAL, "my.yaml")
    running = opened(rig)
    before = list(reached)
    well, said = said_of(rig, only_safe=True)
    assert not well
    assert "has the rig open" in said
    assert "lets go" not in said  # nothing was closed
    assert reached == before
    running.close()


def test_the_doctor_names_the_calibrations_that_are_too_old(reached: list[str]) -> None:
    text = SHIPPED.replace("taken: at opening", "taken: 2001-01-01T08:00:00Z")
    _, said = said_of(read_rig(text, "my.yaml"))
    for name, validity in (("beam current", "12 h"), ("scan scale", "720 h")):
        (line,) = (line for line in said.splitlines() if line.startswith(f"{name}: measured "))
        assert line.endswith(f" h ago, valid for {validity}; no exposure will be allowed")


@pytest.mark.parametrize("missing", ["", 'blank_channel: ""\n', 'blank_channel: " "\n'])
def test_a_real_rig_without_a_blank_channel_may_not_be_left_alone(missing: str) -> None:
    (finding,) = unattended_findings(read_rig(REAL + missing, "my.yaml"))
    assert finding.startswith("declares no independent blank channel")


def test_a_simulated_rig_and_one_with_a_blank_channel_may_be_left_alone() -> None:
    assert unattended_findings(load_rig("bench")) == []
    assert unattended_findings(read_rig(REAL + VALVE, "my.yaml")) == []


def replayed(folder: Path, name: str, clock: Clock) -> ReplayLink:
    return ReplayLink(name, read_transcript(folder / f"{name}.txt"), clock)


def test_what_passed_every_link_is_written_down_and_plays_again_under_its_driver(tmp_path: Path) -> None:
    paper, folder = io.StringIO(), tmp_path / "seen"
    assert examine(load_rig("bench"), Console(file=paper, width=1000), record=folder)
    assert {path.stem for path in folder.iterdir()} >= {"cryostat", "scan", "eds", "column", "camera", "camera-stream"}
    rig = load_rig("bench")
    for name in ("stage", "chamber_stage", "column"):
        clock, kind = VirtualClock(), rig.kind(name)
        line = replayed(folder, name, clock)
        device = kind.driver(
            HttpLink(line) if kind.port == "http" else line,
            rig.settings(name, kind.driver.Settings),
            limits=rig.limits(name),
            guard=lambda command: None,
            wait=clock.sleep,
            name=name,
            **{number: getattr(rig.model.optics, number) for number in kind.optics},
        )
        device.open()  # what the driver says now, it said then; else TranscriptMismatch shows both, aligned


def test_a_recording_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "seen").mkdir()
    with pytest.raises(FileExistsError):
        examine(load_rig("bench"), Console(file=io.StringIO()), record=tmp_path / "seen")
