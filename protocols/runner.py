"""One run, one folder: begins or resumes it, does the recipe, and leaves the record whole on every way out."""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from acquisition.chain import OWN, Chain, ChainError, Entry, read_chain
from acquisition.control import RunControl, State
from acquisition.datafile import DataFileError, open_record, rescue, write_index
from acquisition.engine import Attempt, Decision, Engine
from acquisition.exposure import Sighting, Tracker
from acquisition.figures.write import write_figures
from acquisition.ledger import Ledger
from acquisition.results import STATUS, gather, write_json
from drivers.clock import Clock, RealClock, VirtualClock, wall_seconds
from drivers.links import AbortFlag
from drivers.rigfile import RigFile
from protocols.bench import COLD_LOOK, Bench, Progress, versions
from protocols.books import Preview, open_ledger, places_of
from protocols.job import Job, RunError
from protocols.passports import open_passport
from protocols.plan import summary
from protocols.rig import Rig, open_rig, sample_behind

WORLD = "world.npz"  # what a simulated sample was when its process ended


@dataclass(frozen=True)
class Watching:
    """Who is told: of progress, of every new state, when the rig is open, and, as time passes, to look again.

    unsafe: what could not be made safe when the run ended.
    """

    progress: Callable[[Progress], None]
    state: Callable[[State, str], None]
    opened: Callable[[Bench], None]
    tick: Callable[[], None]
    unsafe: Callable[[str], None] = lambda said: None


def begin(job: Job, preview: Preview) -> None:
    """Make the run folder with recipe, rig and sample as they are; raises RunError when it exists already."""
    folder = job.folder
    see_vacant(folder)
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "py" if job.recipe.steps is None else "yaml"
    (folder / f"recipe.{suffix}").write_bytes(job.recipe.content)
    (folder / "rig.yaml").write_text(job.rig.text, encoding="utf-8")
    write_json(folder / "check.json", {"schema": 1, **summary(*preview)})
    sample = sample_behind(job.rig, job.sample)
    if sample is not None:
        (folder / "sample.yaml").write_bytes(sample.read_bytes())


def see_vacant(folder: Path) -> None:
    """See that no run was begun in a folder; raises RunError."""
    journal = folder / "journal.jsonl"
    if journal.exists() and read_chain(journal):
        raise RunError(f"{folder} holds a run already. Choose another --out, or `cryolift resume {folder}`.")


def carry_out(job: Job, watching: Watching, *, decision: tuple[int, Decision] | None = None) -> State:
    """Do or go on with a run that was begun; what fails is journalled, the rig made safe, and the error raised."""
    with _only_one(job.folder), _journal(job) as journal, open_passport(job) as passport:
        clock = _clock(job.rig.model, journal.entries)
        abort = AbortFlag()
        control = RunControl(
            clock,
            abort,
            job.folder / "control",
            blank=lambda: rig.blank(),
            changed=lambda state, why: _changed(journal, clock, watching, state, why),
            tick=watching.tick,
        )
        run_id = _run_entry(journal.entries)["run_id"]
        ledger = open_ledger(job, passport, run_id, clock.utc, lambda kind, entry: _note(journal, clock, kind, entry))
        began = wall_seconds()
        try:
            rig = open_rig(
                job.rig,
                clock=clock,
                abort=abort,
                wait=control.wait,
                latched=lambda: is_latched(job.folder, journal.entries),
                seed=job.seed,
                sample=job.sample,
                remembered=job.folder / WORLD,
            )
            try:
                bench = _bench(job, rig, control, journal, ledger, watching)
                engine = Engine(
                    journal,
                    control,
                    perform=bench.perform,
                    make_safe=lambda: _made_safe(rig, watching),
                    prepare=bench.prepare,
                    seed=job.seed,
                    decision=decision,
                )
                watching.opened(bench)
                with _ctrl_c(control):
                    engine.run(job.recipe.function)
            finally:
                with suppress(OSError):  # a simulated sample has received what it has, however the run ends
                    _remember(rig, job.folder)
                rig.close()
        except BaseException as error:
            with suppress(ChainError, DataFileError, OSError):  # of two failures the first is told
                if control.state is State.IDLE:
                    control.to(State.FAILED, f"{type(error).__name__}: {error}")
                _end(job, ledger, journal, control, wall_seconds() - began)
            raise
        _end(job, ledger, journal, control, wall_seconds() - began)
    return control.state


def is_latched(folder: Path, entries: Sequence[Entry]) -> bool:
    """True while a tripped interlock waits for a person; the journal knows it even if the process died right then."""
    said = [e for e in entries if e["kind"] == "reset" or (e["kind"] == "state" and e["state"] == State.LATCHED)]
    return (folder / "control" / "latched").exists() or (bool(said) and said[-1]["kind"] == "state")


def is_running(folder: Path) -> bool:
    """True while a process runs this folder."""
    lock = FileLock(folder / "lock")
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def _end(job: Job, ledger: Ledger, journal: Chain, control: RunControl, wall: float) -> None:
    journal.append("end", t=_seconds(control.clock), status=STATUS.get(control.state, "failed"), wall_seconds=wall)
    conclude(job, ledger, journal.entries)


def conclude(job: Job, ledger: Ledger, entries: list[Entry]) -> None:
    """Write what follows from the journal: results.json, the index, and the pictures."""
    results = gather(entries, ledger)
    write_json(job.folder / "results.json", results)
    for path in sorted((job.folder / "data").glob("*.nxs")):
        try:
            rescue(path)
        except DataFileError:  # for want of room on the disk, or because nothing is in it
            _put_aside_unless_readable(path)
    steps = [e for e in entries if e["kind"] in ("step", "result")]
    dose = [e for e in entries if e["kind"] in ("reserve", "settle")]
    write_index(
        job.folder, run=_run_entry(entries), steps=steps, dose=dose, recipe_text=job.recipe.text, results=results
    )
    write_figures(job.folder)


def _put_aside_unless_readable(path: Path) -> None:
    """Take a file that was killed before anything was in it out of the way of those who read the run; kept."""
    try:
        with open_record(path):
            pass
    except DataFileError:
        path.rename(path.with_suffix(".unreadable"))


def _note(journal: Chain, clock: Clock, kind: str, entry: Entry) -> None:
    """Journal what the ledger did to the passport."""
    journal.append(kind, t=_seconds(clock), **{key: value for key, value in entry.items() if key not in OWN})


def _bench(job: Job, rig: Rig, control: RunControl, journal: Chain, ledger: Ledger, watching: Watching) -> Bench:
    calibrations, run = rig.file.calibrations, _run_entry(journal.entries)
    tracker = Tracker(position=calibrations.position, drift=calibrations.drift_per_hour / 3600.0, now=rig.clock.now())
    exposed = [entry for entry in journal.entries if entry["kind"] == "reserve"]
    if exposed:
        tracker.first_light(exposed[0]["t"])
    for entry in journal.entries:
        if entry["kind"] == "sighted":
            tracker.last = Sighting(tuple(entry["offset"]), entry["time"], entry["unsure"])
    bench = Bench(
        rig=rig,
        ledger=ledger,
        control=control,
        journal=journal,
        tracker=tracker,
        folder=job.folder,
        recipe=job.recipe,
        run_id=run["run_id"],
        begun=datetime.fromisoformat(run["begun"]),
        places=places_of(job.recipe, rig.file),
        report=watching.progress,
        remember=lambda: _remember(rig, job.folder),
    )
    control.watch("cryostat", COLD_LOOK, bench.look_at_stage)
    return bench


def _remember(rig: Rig, folder: Path) -> None:
    if rig.world is not None:
        rig.world.save(folder / WORLD)


@contextmanager
def _journal(job: Job) -> Iterator[Chain]:
    journal = Chain(job.folder / "journal.jsonl")
    try:
        if not journal.entries:
            journal.append(
                "run",
                t=0.0,
                run_id=str(uuid.uuid4()),
                begun=VirtualClock().utc().isoformat(),
                recipe=job.recipe.heading.name,
                recipe_file=job.recipe.file_name,
                recipe_sha256=job.recipe.sha256,
                rig=job.rig.model.name,
                rig_file=job.rig.name,
                simulated=job.rig.model.practice,
                sample=job.recipe.heading.sample,
                seed=job.seed,
                versions=versions(),
            )
        else:
            journal.append("resumed", recipe_sha256=job.recipe.sha256)
        yield journal
    finally:
        journal.close()


def _clock(rig: RigFile, entries: list[Entry]) -> Clock:
    begun = datetime.fromisoformat(_run_entry(entries)["begun"])
    last = max((e["t"] for e in entries if "t" in e), default=0.0)
    return VirtualClock(begun, last) if rig.simulated else RealClock(rig.clock.speed, started=begun)


def _run_entry(entries: Sequence[Entry]) -> Entry:
    return next(e for e in entries if e["kind"] == "run")


def _seconds(clock: Clock) -> float:
    """Rig time as the journal has it, to the microsecond."""
    return round(clock.now(), 6)


def _made_safe(rig: Rig, watching: Watching) -> list[Attempt]:
    """Make the rig safe, and tell whoever looks what is not: they are the next who can close a beam."""
    tried = rig.make_safe()
    for attempt in tried:
        if not attempt.safe:
            watching.unsafe(attempt.said)
    return tried


def _changed(journal: Chain, clock: Clock, watching: Watching, state: State, why: str) -> None:
    journal.append("state", t=_seconds(clock), state=state, why=why)
    watching.state(state, why)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / "lock")
    try:
        with lock.acquire(timeout=0):
            yield
    except Timeout:
        raise RunError(f"{folder} is being run by another process. `cryolift abort {folder}` ends that.") from None


@contextmanager
def _ctrl_c(control: RunControl) -> Iterator[None]:
    """Ctrl-C once pauses, twice aborts to a blanked beam."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> Any:
        control.interrupt()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
