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
from drivers.cryostat import Cryostat
from drivers.errors import LinkError, LinkTimeout, Refused
from drivers.links import AbortFlag, HttpLink, Link, MemoryLink, ReplayLink, read_transcript
from drivers.scan import Scan
from protocols import riglock
from protocols.doctor import LET_GO, examine
from protocols.rig import Rig, open_rig
from protocols.rigtext import RigText, load_rig, read_rig, unattended_findings
from simulators.boxes.cryostat import CryostatServer
from simulators.boxes.eds import EdsServer
from simulators.boxes.scan import ScanServer
from simulators.world import World
from tests.drivers.scan_bench import a_world
from tests.protocols.test_rig_files import SHIPPED, real

SERVERS = {"cryostat": CryostatServer, "scan": ScanServer, "eds": EdsServer}
REAL = real(SHIPPED)
VALVE = "blank_channel: valve V4\n"


@pytest.fixture
def dead() -> set[str]:
    """The devices that cannot be reached."""
    return set()


@pytest.fixture
def reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead: set[str]) -> list[str]:
    """Real links lead to simulated boxes here, and the user has nothing on disk; which links were opened."""
    worlds: dict[Clock, World] = {}
    names: list[str] = []

    def link(name: str, address: str, clock: Clock, abort: AbortFlag) -> Link:
        assert not address.startswith("sim:")
        if name in dead:
            raise LinkError(f"the link {name} cannot reach it", way_out="Is the box on?")
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


@pytest.mark.parametrize("only_safe", [False, True], ids=["doctor", "safe"])
@pytest.mark.parametrize("gone", ["cryostat", "scan"])
def test_what_does_not_answer_is_told_and_the_others_are_looked_at_and_left_safe(
    reached: list[str], dead: set[str], gone: str, only_safe: bool
) -> None:
    dead.add(gone)
    well, said = said_of(read_rig(REAL, "my.yaml"), only_safe=only_safe)
    assert not well
    alive = [name for name in ("scan", "cryostat", "eds") if name != gone]
    assert sorted(reached) == sorted(alive)
    lines = said.splitlines()
    assert f"{gone}: open: the link {gone} cannot reach it. Is the box on?" in lines
    assert [line for line in lines if line.endswith(": safe")] == [f"{name}: safe" for name in alive]
    assert f"1 of 3 devices did not answer as they should: {gone}" in lines
    assert (LET_GO in lines) == (gone != "scan")  # a line that never was lets go of nothing
    dead.clear()
    opened(read_rig(REAL, "my.yaml")).close()  # nobody holds the rig


def test_a_column_keeps_the_beam_while_the_scan_box_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str, str]] = []
    clock = VirtualClock()

    def broken(device: Scan) -> None:
        raise LinkTimeout("got no answer in 0.5 s", device=device.name)

    monkeypatch.setattr(Scan, "open", broken)
    looked_at = open_rig(
        load_rig("bench"),
        clock=clock,
        abort=AbortFlag(),
        wait=clock.sleep,
        latched=lambda: False,
        seed=1,
        sample=None,
        missing=lambda name, error: told.append((name, str(error))),
    )
    assert told == [("scan", "scan: open got no answer in 0.5 s.")]
    assert looked_at.column.blanked()
    looked_at.close()


def test_a_device_that_stops_answering_while_it_is_asked_keeps_no_other_from_being_heard(
    reached: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(device: Cryostat) -> None:
        raise LinkTimeout("got no answer in 0.5 s", device=device.name, action="status")

    monkeypatch.setattr(Cryostat, "status", broken)
    well, said = said_of(read_rig(REAL + VALVE, "my.yaml"))
    assert not well
    assert "\ncryostat: status got no answer in 0.5 s.\n" in said
    assert "\nscan: blanked True" in said
    assert "\neds: exposure" in said


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


@pytest.mark.parametrize("only_safe", [False, True], ids=["doctor", "safe"])
def test_who_looks_or_makes_safe_never_lets_go_of_the_column_s_blanker(tmp_path: Path, only_safe: bool) -> None:
    console = Console(file=io.StringIO())
    assert examine(load_rig("bench"), console, only_safe=only_safe, record=tmp_path / "seen")
    said = [line.data for line in read_transcript(tmp_path / "seen" / "column.txt") if line.direction == ">"]
    orders = [data.partition(b"\r\n\r\n")[2] for data in said if data.startswith(b"PUT /v1/beam_blanked")]
    assert orders
    assert set(orders) == {b"true"}
