"""What the toolkit measures, held against what is there: seeds x sample files, the whole of li-lipon-stem each.

    python -m benchmarks.fidelity --seeds 10 --workers 2

Prints a table for people, the cases that missed, and one line of JSON a figure: coverage of the 95 % intervals of the
P and N ramps and of the interphase's width, half-widths, upper bounds where there is no interphase, precision and
recall of phases.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.figure import Figure
from benchmarks.found_phases import Phases, phases_of
from drivers.clock import wall_seconds
from protocols.bench import Bench
from protocols.books import look
from protocols.job import Job
from protocols.recipe import load_recipe
from protocols.rigtext import load_rig
from protocols.runner import Watching, begin, carry_out
from simulators.sample.file import Sample, load_sample, sample_file

RECIPE = "li-lipon-stem"
COMPOSITION = str(Path(__file__).with_name("composition.py"))
SAMPLES = ("narrow", "medium", "li-lipon", "wide", "other-ramps", "no-li3n", "with-li3p", "abrupt")
HALF = {"P": 6.0, "N": 12.0}  # nm, of a 95 % interval
SHARE = 0.25  # and of the ramp
SCALED = 80.0  # nm; longer ramps have fewer counts a nanometre, and half-widths are allowed to grow as 1/sqrt(counts)
COVERED, PRECISE, RECALLED = 0.9, 0.9, 0.8
BEYOND = 6.0  # nm that an upper bound may exceed what roughness and inclination explain


@dataclass
class Case:
    """What was found in one run beside what is there, nm.

    found: "P", "N", "width" -> (value, low, high); true: the same names.  bound: upper bound of the width, and
    explained: what roughness and the lean that is left make of an abrupt contact.
    """

    sample: str
    seed: int
    seconds: float = 0.0
    found: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    true: dict[str, float] = field(default_factory=dict)
    bound: float | None = None
    explained: float | None = None
    phases: Phases = field(default_factory=Phases)
    error: str = ""

    def covered(self, name: str) -> bool | None:
        """Whether an interval holds the truth; None where there is none to hold."""
        if name not in self.true or name not in self.found:
            return None if name not in self.true else False
        _, low, high = self.found[name]
        return low <= self.true[name] <= high

    def half(self, name: str) -> float | None:
        """Half the width of an interval."""
        return (self.found[name][2] - self.found[name][1]) / 2.0 if name in self.found else None

    def narrow(self, name: str) -> bool | None:
        """Whether an interval is as narrow as is asked for."""
        if name not in self.true:
            return None
        half, ramp = self.half(name), self.true[name]
        if half is None:
            return False
        longer = math.sqrt(max(ramp / SCALED, 1.0))
        return half <= HALF[name] * longer and half <= SHARE * ramp


def run_case(name: str, seed: int, keep: str | None, recipe: str) -> Case:
    """Run one case to its end; what fails is told in the case."""
    case, began = Case(name, seed), wall_seconds()
    with tempfile.TemporaryDirectory(prefix="fidelity-") as scratch:
        folder = (Path(keep) if keep else Path(scratch)) / f"{name}-{seed}"
        try:
            _measure(case, folder, recipe)
        except Exception as error:  # one case that fails must not take the others with it
            case.error = f"{type(error).__name__}: {error}"
            if keep:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
    case.seconds = wall_seconds() - began
    return case


def _measure(case: Case, folder: Path, recipe: str) -> None:
    job = Job(load_recipe(recipe), load_rig("bench"), case.seed, sample_file(case.sample), folder)
    benches: list[Bench] = []

    def nothing(*_: object) -> None:
        return None

    preview = look(job)
    begin(job, preview)
    carry_out(job, Watching(progress=nothing, state=nothing, opened=benches.append, tick=nothing, unsafe=nothing))
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    world = benches[0].rig.world
    assert world is not None
    sample = load_sample(case.sample)
    _see_ramps(case, results, sample)
    if sample.interphase is None:
        lean = abs(world.truth.slab.inclination - world.goniometer.tilt(job_end(results)))
        case.bound = results.get("interphase", {}).get("upper_bound_nm", math.inf)
        rough = sample.interface.roughness * math.sqrt(12.0)  # the ramp with as much variance
        case.explained = 1e9 * math.hypot(rough, 100e-9 * math.tan(lean))
    case.phases = phases_of(folder, results, world)


def job_end(results: Mapping[str, Any]) -> float:
    """Rig time at the end, s."""
    return float(results["rig_seconds"])


def _see_ramps(case: Case, results: Mapping[str, Any], sample: Sample) -> None:
    interphase = sample.interphase
    if interphase is not None:
        ramps = {element: interphase.ramps.get(element, (0.0, interphase.thickness)) for element in ("P", "N", "O")}
        case.true = {element: 1e9 * (ramps[element][1] - ramps[element][0]) for element in ("P", "N")}
        case.true["width"] = 1e9 * (max(end for _, end in ramps.values()) - min(start for start, _ in ramps.values()))
    for element in ("P", "N"):
        if element in results.get("profiles", {}):
            said = results["profiles"][element]
            case.found[element] = (said["ramp_nm"], *said["ci95_nm"])
    if "interphase" in results:
        said = results["interphase"]
        case.found["width"] = (said["width_nm"], *said["ci95_nm"])


# --- what it comes to


def table(cases: Iterable[Case]) -> Iterator[str]:
    """One line a case, for people."""
    heads = " ".join(f"{name + ' (95 %; true), nm':27}" for name in ("P", "N", "width"))
    yield f"{'sample':12} {'seed':>4} {'s':>5}  {heads} {'bound':10} phases right/said seen/there"
    for case in cases:
        if case.error:
            yield f"{case.sample:12} {case.seed:4d} {case.seconds:5.0f}  {case.error}"
            continue
        cells = " ".join(f"{_cell(case, name):27}" for name in ("P", "N", "width"))
        bound = "" if case.bound is None or case.explained is None else f"{case.bound:.1f}/{case.explained:.1f}"
        p = case.phases
        yield (
            f"{case.sample:12} {case.seed:4d} {case.seconds:5.0f}  {cells} {bound:10} "
            f"{p.right}/{p.said} {p.seen}/{p.there} {'; '.join(p.wrong)}"
        )


def _cell(case: Case, name: str) -> str:
    if name not in case.found:
        return "-"
    value, low, high = case.found[name]
    true = case.true.get(name)
    mark = "" if case.covered(name) is not False else " !"
    wide = " w" if name in HALF and case.narrow(name) is False else ""
    return f"{value:.1f} ({low:.1f} to {high:.1f}; {'-' if true is None else f'{true:g}'}){mark}{wide}"


def figures(cases: list[Case]) -> Iterator[Figure]:
    """The figures, each beside its goal."""
    for name in ("P", "N", "width"):
        covered = [held for case in cases if (held := case.covered(name)) is not None]
        if covered:
            share = sum(covered) / len(covered)
            yield Figure.beside(
                f"fidelity, {name} within its 95 % interval", share, "of cases", "at least 0.9", COVERED
            )
    for name, limit in HALF.items():
        halves = [half for case in cases if case.true.get(name, math.inf) <= SCALED and (half := case.half(name))]
        narrow = [held for case in cases if (held := case.narrow(name)) is not None]
        if halves:
            yield Figure.beside(f"fidelity, half-width of {name}, median", median(halves), "nm", "at most", limit)
            yield Figure.beside(f"fidelity, half-width of {name}, largest", max(halves), "nm", "at most", limit)
            share = sum(narrow) / len(narrow)
            yield Figure.beside(f"fidelity, {name} as narrow as asked for", share, "of cases", "all", 1.0)
    over = [c.bound - c.explained for c in cases if c.bound is not None and c.explained is not None]
    if over:
        yield Figure.beside(
            "fidelity, upper bound beyond what is explained, largest", max(over), "nm", "at most", BEYOND
        )
    said, right = (sum(getattr(case.phases, name) for case in cases) for name in ("said", "right"))
    there, seen = (sum(getattr(case.phases, name) for case in cases) for name in ("there", "seen"))
    if said:
        yield Figure.beside("fidelity, precision of phases", right / said, "of those reported", "at least 0.9", PRECISE)
    if there:
        yield Figure.beside("fidelity, recall of phases", seen / there, "of visible ones", "at least 0.8", RECALLED)
    failed = sum(bool(case.error) for case in cases)
    yield Figure("fidelity, runs that failed", failed, "runs", "none", float(failed))


def main() -> None:
    """Run the cases and print the table and the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="seeds from 1 on [default: 10]")
    parser.add_argument("--first", type=int, default=1, help="the first of them [default: 1]")
    parser.add_argument("--samples", nargs="*", default=SAMPLES, metavar="NAME", help=f"of {', '.join(SAMPLES)}")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time [default: 2]")
    parser.add_argument("--composition", action="store_true", help="without lattice images: ramps and widths only")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the run folders there")
    asked = parser.parse_args()
    recipe = COMPOSITION if asked.composition else RECIPE
    wanted = [(name, seed) for seed in range(asked.first, asked.first + asked.seeds) for name in asked.samples]
    cases: list[Case] = []
    with ProcessPoolExecutor(asked.workers) as pool:
        for done in as_completed([pool.submit(run_case, name, seed, asked.keep, recipe) for name, seed in wanted]):
            cases.append(done.result())
            print(*list(table(cases[-1:]))[1:], flush=True)
            if asked.keep:
                with (Path(asked.keep) / "cases.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(cases[-1]), default=float) + "\n")
    cases.sort(key=lambda case: (asked.samples.index(case.sample), case.seed))
    print("\n".join(table(cases)))
    for figure in figures(cases):
        figure.show()


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
