"""Whatever fails in a run ends in a named error, with the beam blanked and a journal from which it can be gone on."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from typer.testing import CliRunner

from acquisition.chain import ChainError
from acquisition.control import State
from acquisition.datafile import DataFileError, open_record
from acquisition.engine import TornStep
from drivers.errors import DeviceError, InterlockError, LinkClosed, LinkError, LinkTimeout, RigError
from drivers.links import Fault, FaultKind, one_of_each
from protocols.bench import Progress
from protocols.cli import DONE, FAILED, app
from protocols.job import Job
from protocols.outlook import StepError
from tests.faults.broken_lines import broken, transfers
from tests.protocols.seen_through import begun_passes, see_it_through
from tests.protocols.whole_run import (
    COOL,
    IMAGE,
    MAP,
    MAP_ORDINAL,
    Told,
    compare,
    do,
    journal,
    make_job,
    recipe_text,
    results,
    rig_text,
)

DEVICES = ("scan", "eds", "cryostat")
NAMED = (RigError, StepError, DataFileError)
COLD = "- cool_down: {to: 100 K, ramp: 20 K/min}\n"
NIGHT = COLD + IMAGE + "- wait: {for: 3 h}\n" + MAP


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[int, int, int]]]:
    """Requests to each device of a run without faults."""
    yield {
        device: transfers(make_job(tmp_path_factory.mktemp(device), rig=rig_text(column=True)), device)
        for device in DEVICES
    }


def end_of(job: Job, told: Told) -> BaseException | None:
    """Do a job and give the error it ended in, having seen that what it left is sound."""
    error: BaseException | None = None
    try:
        do(job, told)
    except NAMED as caught:
        error = caught
        assert str(error)
    entries = journal(job.folder)
    assert entries[-1]["kind"] == "end"
    done = error is None and told.states[-1][0] is State.DONE  # a rig that could not be made safe is not done
    assert results(job.folder)["status"] == ("done" if done else "failed")
    for path in (job.folder / "data").glob("*.nxs"):
        with open_record(path) as record:
            assert record.status in ("complete", "recovered", "aborted")
    ids = [e["exposure_id"] for e in entries if e["kind"] == "begin"]
    assert len(ids) == len(set(ids))
    if told.bench is not None:
        assert {attempt.split(":")[0] for attempt in journal(job.folder, "safe")[-1]["tried"]} >= set(DEVICES)
    return error


def strike(folder: Path, device: str, fault: Fault, seed: int = 1) -> None:
    """A run with one fault, and then without: an error that is named, nothing exposed unbooked, and a way on."""
    job, told = make_job(folder, rig=rig_text(column=True)), Told()
    with broken(device, [fault], seed=seed):
        error = end_of(job, told)
    if isinstance(error, LinkError | DeviceError):
        assert error.device == device
    # also where a lost line makes the scan box let go of its blanker: the column's closes then
    if told.bench is not None:
        assert compare(told.world, told.ledger).below() == 0
    see_it_through(job)


# device, where (0: before the first light, 1: in the map), what
SHORT = [
    ("scan", 1, FaultKind.CLOSE, False),
    ("scan", 1, FaultKind.SILENCE, True),
    ("scan", 0, FaultKind.LOSS, False),
    ("scan", 1, FaultKind.GARBLE, False),
    ("eds", 1, FaultKind.CLOSE, False),
    ("eds", 1, FaultKind.SILENCE, True),
    ("eds", 1, FaultKind.GARBLE, False),
    ("cryostat", 1, FaultKind.CLOSE, False),
    ("cryostat", 0, FaultKind.SILENCE, True),
    ("cryostat", 1, FaultKind.GARBAGE, True),
]


@pytest.mark.parametrize(("device", "where", "kind", "forever"), SHORT)
def test_a_fault_on_a_line_ends_named_and_the_run_can_be_gone_on_with(
    counted: dict[str, tuple[int, int, int]], tmp_path: Path, device: str, where: int, kind: FaultKind, forever: bool
) -> None:
    strike(tmp_path, device, Fault(kind, counted[device][where] + 1, forever, longest=8))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("device", DEVICES)
def test_any_fault_on_any_request_ends_named_and_the_run_can_be_gone_on_with(
    counted: dict[str, tuple[int, int, int]], tmp_path: Path, device: str
) -> None:
    end = counted[device][2]
    places = sorted({1 + end * part // 16 for part in range(16)})
    for number, (place, forever) in enumerate(product(places, (False, True))):
        for kind, fault in enumerate(one_of_each(place, forever=forever)):
            if (number + kind) % 3 == 0:
                folder = tmp_path / f"{number}-{kind}"
                folder.mkdir()
                strike(folder, device, fault, seed=number)


def test_a_line_lost_in_a_map_is_named_journalled_and_made_safe(
    counted: dict[str, tuple[int, int, int]], tmp_path: Path
) -> None:
    job = make_job(tmp_path)
    with broken("eds", [Fault(FaultKind.CLOSE, counted["eds"][1] + 20)]), pytest.raises(LinkClosed, match=r"^eds: "):
        do(job)
    assert journal(job.folder, "state")[-1]["state"] == "failed"
    assert "eds" in journal(job.folder, "state")[-1]["why"]
    tried = journal(job.folder, "safe")[-1]["tried"]
    assert "scan: safe" in tried
    assert any(attempt.startswith("eds: FAILED: ") for attempt in tried)
    assert begun_passes(job.folder)[-1] == 2


def test_a_device_that_is_silent_from_the_start_begins_nothing(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    with broken("eds", [Fault(FaultKind.LOSS, forever=True)]), pytest.raises(LinkTimeout, match=r"^eds: "):
        do(job)
    assert journal(job.folder, "step") == []
    assert results(job.folder)["status"] == "failed"
    see_it_through(job)


# --- the cold stage


def at_the_wait(told: Told, now: Progress) -> bool:
    """True at the first progress of the wait."""
    return now.do == "wait" and sum(each.do == "wait" for each in told.progress) == 1


def lose_ln2(told: Told, now: Progress) -> None:
    """Empty the dewar as the wait begins."""
    if at_the_wait(told, now):
        told.world.faults.lose_ln2()


@pytest.fixture
def night(tmp_path: Path) -> Job:
    """A cold run whose nitrogen can be lost before the map."""
    return make_job(tmp_path, recipe_text(NIGHT), rig=rig_text(ceiling="133 K"))


def test_a_stage_that_warms_suspends_the_run_and_one_that_is_too_warm_latches_it(night: Job) -> None:
    told = Told()
    with pytest.raises(
        InterlockError, match=r"cryostat: tripped: the stage is at 13\d\.\d K, above .* ceiling of 133 K"
    ):
        do(night, told, at_progress=lose_ln2)
    assert [state for state, _ in told.states] == [State.RUNNING, State.SUSPENDED, State.LATCHED]
    assert "instead of 100 K" in told.states[1][1]
    assert len(journal(night.folder, "begin")) == 1  # the image; nothing after it
    assert results(night.folder)["status"] == "failed"
    assert journal(night.folder, "safe")[-1]["tried"][0] == "scan: safe"


def test_what_is_latched_waits_for_a_named_person(night: Job) -> None:
    with pytest.raises(InterlockError):
        do(night, at_progress=lose_ln2)
    with pytest.raises(InterlockError, match=r"^cryostat: (tripped|set_temperature refused): "):
        do(night)
    folder = str(night.folder)
    assert CliRunner().invoke(app, ["reset", folder, "--reason", "LN2 refilled"]).exit_code not in (DONE, FAILED)
    reset = CliRunner().invoke(app, ["reset", folder, "--by", "A. Operator", "--reason", "LN2 refilled"])
    assert reset.exit_code == DONE, reset.output
    entry = journal(night.folder, "reset")[-1]
    assert (entry["by"], entry["reason"]) == ("A. Operator", "LN2 refilled")
    assert CliRunner().invoke(app, ["reset", folder, "--by", "A. Operator", "--reason", "again"]).exit_code == FAILED

    def refill(told: Told, state: State) -> None:
        if state is State.RUNNING:
            told.world.cryostat.nitrogen = 0.5  # kg

    assert do(night, at_state=refill).states[-1][0] is State.DONE
    assert [e["do"] for e in journal(night.folder, "step")] == ["cool_down", "stem_image", "wait", "wait", "eds_map"]


def test_a_run_goes_on_by_itself_when_the_stage_is_cold_again(night: Job) -> None:
    def refill(told: Told, state: State) -> None:
        if state is State.SUSPENDED:
            told.world.cryostat.nitrogen = 0.5  # kg

    told = do(night, at_progress=lose_ln2, at_state=refill)
    states = [state for state, _ in told.states]
    assert states == [State.RUNNING, State.SUSPENDED, State.RUNNING, State.DONE]
    assert len(begun_passes(night.folder)) == 0  # the map is the fourth step here
    assert len(journal(night.folder, "begin")) == 7
    assert compare(told.world, told.ledger).below() == 0


def test_a_stage_that_warms_in_the_middle_of_a_frame_lets_it_end_blanked_and_count_in_full(tmp_path: Path) -> None:
    long = MAP.replace("field: 100 nm", "field: 1 um")
    steps = COLD + long.replace("[32, 32]", "[64, 64]")  # 8 s a frame
    job, told = make_job(tmp_path, recipe_text(steps), rig=rig_text(ceiling="133 K")), Told()

    def quench(told: Told, now: Progress) -> None:
        if now.do == "eds_map" and now.text.startswith("pass 1 "):
            told.world.faults.quench()

    with pytest.raises(InterlockError, match="cryostat: tripped"):
        do(job, told, at_progress=quench)
    assert [state for state, _ in told.states] == [State.RUNNING, State.SUSPENDED, State.LATCHED]
    suspended = next(e["t"] for e in journal(job.folder, "state") if e["state"] == "suspended")
    opened = journal(job.folder, "begin")[-1]["t"]
    assert 0.0 < suspended - opened < 8.1  # s: within the frame or at its blanked end
    assert len(journal(job.folder, "settle")) == len(journal(job.folder, "begin")) - 1
    assert compare(told.world, told.ledger).below() == 0


def test_a_sensor_that_breaks_ends_the_run_named(night: Job) -> None:
    def break_lead(told: Told, now: Progress) -> None:
        if at_the_wait(told, now):
            told.world.faults.sensor_open("stage")

    with pytest.raises(RigError, match=r"^cryostat: "):
        do(night, at_progress=break_lead)
    assert results(night.folder)["status"] == "failed"


def test_a_beam_that_loses_its_current_is_still_charged_in_full(tmp_path: Path) -> None:
    def drop(told: Told, now: Progress) -> None:
        if now.do == "eds_map" and now.text.startswith("pass 3 "):
            told.world.faults.beam_drop(0.5)

    told = do(make_job(tmp_path), at_progress=drop)
    compared = compare(told.world, told.ledger)
    assert compared.below() == 0
    assert compared.ratio(40e-9).min() > 1.2


def test_a_current_measured_too_long_ago_opens_no_beam(tmp_path: Path) -> None:
    rig = rig_text().replace("valid_for: 12 h", "valid_for: 20 min", 1)
    job = make_job(tmp_path, recipe_text(COOL + IMAGE + "- wait: {for: 20 min}\n" + MAP), rig=rig)
    with pytest.raises(InterlockError, match="the calibration of the beam current does not hold now"):
        do(job)
    assert len(journal(job.folder, "begin")) == 1
    assert results(job.folder)["status"] == "failed"
    with pytest.raises(TornStep):
        do(job)


# --- the disk


@cache
def full() -> OSError:
    """What a full disk says."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("nth", [4, 12, 24])
def test_a_full_disk_ends_the_run_named_and_room_on_it_lets_it_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    job, calls, synced = make_job(tmp_path), [], os.fsync

    def fsync(number: int) -> None:
        calls.append(number)
        if len(calls) >= nth:
            raise full()
        synced(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises((ChainError, DataFileError, OSError), match="No space left on device"):
            do(job)
    see_it_through(job)


def test_what_cannot_be_journalled_is_not_exposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, told, synced = make_job(tmp_path), Told(), os.fsync

    def fsync(number: int) -> None:
        if told.progress and told.progress[-1].do == "stem_image":
            raise full()
        synced(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(ChainError, match="could not write entry"):
            do(job, told)
    assert not told.world.truth.fluence().map.any()
    assert MAP_ORDINAL not in {e["ordinal"] for e in journal(job.folder, "step")}
