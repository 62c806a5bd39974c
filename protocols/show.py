"""Shows a run folder or one data file to a person, or everything of it as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from acquisition.chain import Entry
from acquisition.datafile import describe
from acquisition.results import gather
from protocols.books import books_now
from protocols.display import duration
from protocols.job import RunError, job_of, journal_of
from protocols.runner import is_running


def show_path(path: Path, console: Console, *, as_json: bool) -> None:
    """Print what a run did at what dose, or what a .nxs file holds; raises RunError, DataFileError."""
    if path.name == "run.nxs" and path.is_file():
        path = path.parent  # the index stands for its run
    if path.is_file():
        _print_file(describe(path), console, as_json)
    elif path.is_dir():
        _print_run(path, console, as_json)
    else:
        raise RunError(f"{path} is neither a run folder nor a .nxs file.")


def _print_file(facts: dict[str, Any], console: Console, as_json: bool) -> None:
    if as_json:
        console.print_json(json.dumps(facts, default=str))
        return
    for key, value in facts.items():
        console.print(f"{key}: {json.dumps(value, default=str) if isinstance(value, dict | list) else value}")


def _print_run(folder: Path, console: Console, as_json: bool) -> None:
    journal = journal_of(folder)
    results_file = folder / "results.json"
    results = json.loads(results_file.read_text(encoding="utf-8")) if results_file.is_file() else {}
    running = is_running(folder)
    if journal and (running or journal[-1]["kind"] != "end"):  # what it came to so far stands in journal and passport
        results = gather(journal, books_now(job_of(folder)))
        results["status"] = _state(journal) if running else "killed"
    if as_json:
        console.print_json(json.dumps({"results": results, "journal": journal}))
        return
    if not journal:
        raise RunError(f"{folder}: nothing was begun in it.")
    run = journal[0]
    console.print(f"{run['recipe']} on {run['rig']}{' (simulated)' if run['simulated'] else ''}, seed {run['seed']}")
    console.print(f"status: {results.get('status', 'not ended')}, rig time {duration(results.get('rig_seconds', 0.0))}")
    done = {e["ordinal"]: e["result"] for e in journal if e["kind"] == "result"}
    steps = Table("step", "", "", box=None, padding=(0, 2))
    for ordinal, do in {e["ordinal"]: e["do"] for e in journal if e["kind"] == "step"}.items():
        result = done.get(ordinal)
        state = (
            ("under way" if running else "torn") if result is None else "skipped" if result.get("skipped") else "done"
        )
        steps.add_row(str(ordinal), do, f"{state}  {result.get('file', '') if result else ''}")
    console.print(steps)
    dose = Table("area", "spent, at most (e/A^2)", "budget", box=None, padding=(0, 2))
    for area in results.get("dose", {}).get("areas", []):
        dose.add_row(area["name"], f"{area['spent_max_e_per_A2']:.1f}", f"{area['budget_e_per_A2']:.0f}")
    console.print(dose)
    for element, ramp in results.get("profiles", {}).items():
        console.print(f"{element}: {_extent('rises', ramp, ramp['ramp_nm'])}, {ramp['counts']:.0f} counts")
    if "interphase" in results:
        found = results["interphase"]
        console.print(f"interphase: {_extent('reaches', found, found['width_nm'])}")
    if (folder / "figures").is_dir():
        console.print(f"pictures: {folder / 'figures'}")


def _state(journal: list[Entry]) -> str:
    """The last state that a running run wrote down."""
    return next((str(e["state"]) for e in reversed(journal) if e["kind"] == "state"), "opening the rig")


def _extent(verb: str, found: dict[str, Any], nanometres: float) -> str:
    """How far something extends, with its interval; only the bound where no extent is resolved."""
    if "upper_bound_nm" in found:
        return f"no extent resolved, below {found['upper_bound_nm']:.1f} nm (95 %)"
    low, high = found["ci95_nm"]
    return f"{verb} over {nanometres:.1f} nm (95 %: {low:.1f} to {high:.1f})"
