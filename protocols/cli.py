"""The command line: every command with an example, a failure in one or two plain lines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from acquisition.chain import Chain, ChainError, read_chain
from acquisition.control import State
from acquisition.datafile import DataFileError
from acquisition.engine import Decision, RecipeDiverged, TornStep
from drivers.clock import VirtualClock
from drivers.errors import Aborted, RigError
from physics.units import UnitError
from protocols.books import look, planned
from protocols.check import check as dry_run
from protocols.display import Display, Screen
from protocols.doctor import examine
from protocols.job import Job, RunError, job_of, journal_of
from protocols.outlook import StepError
from protocols.plan import Finding, StepPlan
from protocols.recipe import RecipeError, describe_shipped, load_recipe
from protocols.rig import see_sample
from protocols.rigtext import RigFileError, RigText, load_rig, network_findings, unattended_findings
from protocols.runner import begin, carry_out, is_latched, is_running, see_vacant
from protocols.serving import SHORTEST_TOKEN, Wanted, is_outside, serve_rig
from protocols.show import show_path

DONE, FAILED, USAGE, ABORTED, TORN = 0, 1, 2, 3, 4
EXPECTED = (
    RecipeError,
    RigFileError,
    RunError,
    StepError,
    RigError,
    UnitError,
    ChainError,
    DataFileError,
    RecipeDiverged,
    OSError,
)

PASSED_ON = (typer.Exit, typer.Abort, typer.BadParameter)

app = typer.Typer(
    name="cryolift",
    help="Cut, lift out, thin, image and map a beam-sensitive sample inside a dose budget.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
console = Screen(highlight=False, soft_wrap=True)
problems = Screen(stderr=True, highlight=False, soft_wrap=True)

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")]
RigName = Annotated[str, typer.Option("--rig", help="A rig file, or the name of a shipped rig.")]
SampleFile = Annotated[Path | None, typer.Option("--sample", help="Sample file of a simulated rig.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the simulated world.", min=0)]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder [default: runs/<date>-<recipe>].")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
Remainder = Annotated[int | None, typer.Option(metavar="STEP", help="Deliver only what the torn step did not.")]
Redo = Annotated[int | None, typer.Option(metavar="STEP", help="Do the torn step again from its start.")]
Skip = Annotated[int | None, typer.Option(metavar="STEP", help="Leave the torn step as it is.")]
NewRecipe = Annotated[
    str | None, typer.Option("--recipe", metavar="NEW", help="A recipe with the same finished steps.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the whole traceback of a failure.")]


@app.command()
def run(
    recipe: RecipeName,
    rig: RigName = "bench",
    sample: SampleFile = None,
    seed: Seed = 1,
    out: Out = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before moving a real instrument.")] = False,
    debug: Debug = False,
) -> None:
    """Do a recipe. Example: cryolift run dose-limited-map --seed 1"""
    with _plainly(debug):
        job = _job(recipe, load_rig(rig), sample, seed, out)
        see_vacant(job.folder)
        _warn(job.rig)
        preview = look(job)
        if preview.findings:
            _reject(preview.findings)
        if yes and (unattended := unattended_findings(job.rig)):
            raise RunError(f"rig {job.rig.model.name}: {' '.join(unattended)} Without --yes a person answers for it.")
        if not job.rig.model.simulated and not yes:
            _confirm(job)
        begin(job, preview)
        raise typer.Exit(_carry_out(job, preview.plans, None))


@app.command()
def check(
    recipe: RecipeName,
    rig: RigName = "bench",
    sample: SampleFile = None,
    seed: Seed = 1,
    out: Out = None,
    debug: Debug = False,
) -> None:
    """Dry run: plan, then the whole recipe on the simulated rig. Example: cryolift check dose-limited-map"""
    with _plainly(debug):
        job = _job(recipe, load_rig(rig), sample, seed, out)
        _warn(job.rig)
        report = dry_run(job, console)
        for finding in report.findings:
            problems.print(_line(finding))
        verdict = "rejected" if report.findings else "clean"
        console.print(f"{job.recipe.heading.name}: {verdict}. {job.folder / 'check.html'}")
        raise typer.Exit(FAILED if report.findings else DONE)


@app.command()
def resume(
    folder: RunFolder,
    remainder: Remainder = None,
    redo: Redo = None,
    skip: Skip = None,
    recipe: NewRecipe = None,
    debug: Debug = False,
) -> None:
    """Go on with a run: paused, aborted or killed. Example: cryolift resume runs/night --remainder 5"""
    with _plainly(debug):
        chosen = [
            (number, decision)
            for number, decision in ((remainder, Decision.REMAINDER), (redo, Decision.REDO), (skip, Decision.SKIP))
            if number is not None
        ]
        if len(chosen) > 1:
            raise typer.BadParameter("say one of --remainder, --redo and --skip")
        if _is_paused(folder):
            (folder / "control" / "continue").touch()
            console.print(f"{folder}: told to go on")
            raise typer.Exit(DONE)
        job = job_of(folder, recipe)
        if recipe is None and not chosen and _is_done(folder):
            console.print(f"{folder}: done, nothing is left to do")
            raise typer.Exit(DONE)
        raise typer.Exit(_carry_out(job, planned(job), chosen[0] if chosen else None))


@app.command()
def show(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A run folder or a .nxs file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """What was done, at what dose. Example: cryolift show runs/night"""
    with _plainly(debug):
        show_path(path, console, as_json=as_json)


@app.command()
def recipes() -> None:
    """Shipped recipes, one line each. Example: cryolift recipes"""
    for name, title in describe_shipped():
        console.print(f"{name:24} {title}")


@app.command()
def doctor(
    rig: RigName = "bench",
    record: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write what passes every link into this new folder.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Versions, which code runs, can every device be reached. Example: cryolift doctor --rig bench"""
    with _plainly(debug):
        raise typer.Exit(DONE if examine(load_rig(rig), console, record=record) else FAILED)


@app.command()
def safe(rig: RigName = "bench", debug: Debug = False) -> None:
    """Blank, stop, heater off; nothing else. Example: cryolift safe --rig my-rig.yaml"""
    with _plainly(debug):
        raise typer.Exit(DONE if examine(load_rig(rig), console, only_safe=True) else FAILED)


@app.command()
def serve(
    rig: RigName = "bench",
    sample: SampleFile = None,
    seed: Seed = 1,
    speed: Annotated[float, typer.Option(help="Rig seconds a real second.", min=0.01, max=1000.0)] = 1.0,
    addresses: Annotated[Path | None, typer.Option(help="Write {device: address} there, as JSON.")] = None,
    rig_file: Annotated[Path | None, typer.Option(help="Write the rig with these addresses there.")] = None,
    host: Annotated[str | None, typer.Option(help="Reach HTTP boxes there from outside, too; needs --token.")] = None,
    token: Annotated[str | None, typer.Option(help="What a request from outside must carry.")] = None,
    debug: Debug = False,
) -> None:
    """Simulated devices on real ports, until Ctrl-C. Example: cryolift serve --rig bench --speed 20"""
    with _plainly(debug):
        if host is not None and is_outside(host) and len(token or "") < SHORTEST_TOKEN:
            raise typer.BadParameter(f"--host {host} needs a --token of {SHORTEST_TOKEN} characters or more")
        if token is not None and (host is None or not is_outside(host)):
            raise typer.BadParameter("--token belongs to a --host outside this computer")
        if sample is not None:
            see_sample(sample)
        outside = host if host is not None and is_outside(host) else None
        serve_rig(load_rig(rig), Wanted(seed, sample, speed, addresses, rig_file, outside, token), console)


@app.command()
def pause(folder: RunFolder) -> None:
    """Ask a running run to pause, blanked, at the next safe point. Example: cryolift pause runs/night"""
    _request(folder, "pause")


@app.command()
def abort(folder: RunFolder) -> None:
    """Ask a running run to stop, blanked. Example: cryolift abort runs/night"""
    _request(folder, "abort")


@app.command()
def blank(folder: RunFolder) -> None:
    """Ask a running run to blank the beam and pause. Example: cryolift blank runs/night"""
    _request(folder, "blank")


@app.command()
def answer(folder: RunFolder, text: Annotated[str, typer.Argument(metavar="TEXT")]) -> None:
    """Answer what a run waits for. Example: cryolift answer runs/night "go on" """
    _request(folder, "answer", text)


@app.command()
def reset(
    folder: RunFolder,
    by: Annotated[str, typer.Option(metavar="NAME", help="Who looked.")],
    reason: Annotated[str, typer.Option(help="What was found.")],
) -> None:
    """Clear a tripped interlock. Example: cryolift reset runs/night --by "A. Operator" --reason "LN2 refilled" """
    with _plainly(False):
        if not is_latched(folder, journal_of(folder)):
            raise RunError(f"{folder}: no interlock is latched.")
        if is_running(folder):
            raise RunError(f"{folder}: is still being run. `cryolift abort {folder}` ends that.")
        journal = Chain(folder / "journal.jsonl")
        journal.append("reset", by=by, reason=reason)
        journal.close()
        (folder / "control" / "latched").unlink(missing_ok=True)
        console.print(f"{folder}: reset; `cryolift resume {folder}` goes on")


@app.command()
def sample(
    what: Annotated[str, typer.Argument(metavar="show", help="show: what the sample has received.")],
    passport: Annotated[Path, typer.Argument(metavar="PASSPORT", help="A sample's passport file.")],
) -> None:
    """The sample's dose passport. Example: cryolift sample show runs/night/SAMPLE.passport.jsonl"""
    with _plainly(False):
        if what != "show":
            raise typer.BadParameter('only "show" is known')
        for entry in read_chain(passport):
            console.print_json(json.dumps(entry))


def main() -> None:
    """Entry point of the `cryolift` command."""
    app()


def _job(name: str, rig: RigText, sample_file: Path | None, seed: int, out: Path | None) -> Job:
    recipe = load_recipe(name)
    if sample_file is not None and not rig.model.simulated:
        raise typer.BadParameter("--sample belongs to a simulated rig; a real one has its own sample")
    if sample_file is not None:
        see_sample(sample_file)
    date = VirtualClock().utc().strftime("%Y-%m-%d-%H%M%S")
    return Job(recipe, rig, seed, sample_file, out or Path("runs") / f"{date}-{Path(recipe.file_name).stem}")


def _is_done(folder: Path) -> bool:
    last = journal_of(folder)[-1]
    return bool(last["kind"] == "end" and last["status"] == "done")


def _carry_out(job: Job, plans: list[StepPlan], decision: tuple[int, Decision] | None) -> int:
    with Display(console, job, plans) as display:
        try:
            state = carry_out(job, display.watching(), decision=decision)
        except TornStep:
            return TORN
        except Aborted:  # the display has said why
            return ABORTED
    show_path(job.folder, console, as_json=False)
    return DONE if state is State.DONE else FAILED


def _confirm(job: Job) -> None:
    sort = "served, simulated rig" if job.rig.model.practice else "real rig"
    console.print(f"This moves the {sort} {job.rig.model.name}:")
    for name, entry in job.rig.model.devices.items():
        console.print(f"  {name}: {entry.driver} at {entry.link}")
    if typer.prompt("Type the rig's name to go on") != job.rig.model.name:
        raise RunError("that is not the rig's name; nothing was moved.")


def _warn(rig: RigText) -> None:
    for warning in network_findings(rig):
        problems.print(f"warning: {warning}")


def _reject(findings: list[Finding]) -> NoReturn:
    for finding in findings:
        problems.print(_line(finding))
    raise typer.Exit(FAILED)


def _line(finding: Finding) -> str:
    return f"step {finding.step} ({finding.do}): {finding.what}" if finding.step else f"{finding.do}: {finding.what}"


def _is_paused(folder: Path) -> bool:
    states = [e["state"] for e in journal_of(folder) if e["kind"] == "state"]
    return states[-1:] == [State.PAUSED] and is_running(folder)


def _request(folder: Path, name: str, text: str = "") -> None:
    with _plainly(False):
        journal_of(folder)
        if not is_running(folder):
            raise RunError(f"{folder}: nobody runs it now, so there is nothing to {name}. `cryolift show` says more.")
        part = folder / "control" / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / "control" / name)
        console.print(f"{folder}: asked to {name}")


class _plainly:  # noqa: N801  (reads as a phrase: with _plainly(debug))
    """Turn expected failures into one or two plain lines and an exit code."""

    def __init__(self, debug: bool) -> None:
        self._debug = debug

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._debug or error is None or isinstance(error, PASSED_ON):
            return
        if isinstance(error, Aborted | KeyboardInterrupt):
            problems.print(str(error) or "stopped by Ctrl-C", markup=False)
            sys.exit(ABORTED)
        said = str(error) if isinstance(error, EXPECTED) else f"{type(error).__name__}: {error} (--debug shows where)"
        if isinstance(error, OSError) and error.strerror:
            said = error.strerror
        if isinstance(error, OSError) and error.filename:
            said = f"{error.filename}: {error.strerror}. Choose another place."
        problems.print(said, markup=False)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
