"""A whole run in a fraction of a second of wall time: a small map on a warm stage, and what it left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from acquisition.chain import Entry, read_chain
from acquisition.control import State
from acquisition.dosemap import CELL, Rectangle
from acquisition.engine import Decision
from acquisition.ledger import Ledger
from protocols import runner
from protocols.bench import Bench, Progress
from protocols.books import look
from protocols.job import Job
from protocols.recipe import load_recipe
from protocols.rigtext import read_rig
from protocols.runner import Watching, begin, carry_out
from simulators.world import World
from tests.protocols.small_rig import small

INTERPHASE = 76e-9  # m, of the shipped sample; the ledger counts from its middle, the world from its lithium side
SAMPLE = "wafer-7/lamella-2"
PASSPORT = "wafer-7_lamella-2-0dc7ca4a.passport.jsonl"
COOL = "- cool_down: {to: 285 K, ramp: 20 K/min}\n"
IMAGE = "- stem_image: {of: interface, pixels: [32, 32], field: 200 nm, dwell: 8 us}\n"
PASSES = 6
MAP = "- eds_map: {of: interface, elements: [P, N, O], dose: 600 e/A^2, passes: 6, pixels: [32, 32], field: 100 nm}\n"
IMAGE_ORDINAL, MAP_ORDINAL = 2, 3


def recipe_text(steps: str = COOL + IMAGE + MAP, *, limit: str = "1000 e/A^2") -> str:
    """A recipe on the shipped sample; `limit` is the budget of the interphase."""
    return (
        f"recipe: 1\nname: a small map\nsample: {SAMPLE}\nelements: [Li, P, O, N]\n"
        f"budgets: {{interface: {{limit: {limit}}}, beside: {{limit: 1e6 e/A^2}}}}\nsteps:\n{steps}"
    )


def rig_text(name: str = "bench-exact", ceiling: str = "300 K", *, column: bool = False) -> str:
    """A shipped rig, with what an electron-side recipe needs of it, for a sample that may be as warm as `ceiling`."""
    return small(name, column=column).replace("sample_ceiling: 133 K", f"sample_ceiling: {ceiling}")


def make_job(
    folder: Path, recipe: str | None = None, *, rig: str | None = None, seed: int = 1, suffix: str = "yaml"
) -> Job:
    """A job in `folder`/run, from texts."""
    path = folder / f"small.{suffix}"
    path.write_text(recipe or recipe_text(), encoding="utf-8")
    return Job(load_recipe(str(path)), read_rig(rig or rig_text(), "warm.yaml"), seed, None, folder / "run")


@dataclass
class Told:
    """What a run told whoever watched, and its bench."""

    progress: list[Progress] = field(default_factory=list)
    states: list[tuple[State, str]] = field(default_factory=list)
    bench: Bench | None = None

    @property
    def world(self) -> World:
        """The world behind the bench."""
        assert self.bench is not None
        assert self.bench.rig.world is not None
        return self.bench.rig.world

    @property
    def ledger(self) -> Ledger:
        """The ledger of the bench."""
        assert self.bench is not None
        return self.bench.ledger


def do(
    job: Job,
    told: Told | None = None,
    *,
    decision: tuple[int, Decision] | None = None,
    at_progress: Callable[[Told, Progress], None] | None = None,
    at_state: Callable[[Told, State], None] | None = None,
    pictures: bool = False,
) -> Told:
    """Begin a job, or go on with it, to its end; what it raises is raised.

    at_progress, at_state: called at each progress or new state, with what was told so far: the place to do something
    to the world.
    pictures: draw them; they take longer than everything else together.
    """
    told = told or Told()

    def progress(now: Progress) -> None:
        told.progress.append(now)
        if at_progress is not None:
            at_progress(told, now)

    def state(now: State, why: str) -> None:
        told.states.append((now, why))
        if at_state is not None:
            at_state(told, now)

    def opened(bench: Bench) -> None:
        told.bench = bench

    if not (job.folder / "journal.jsonl").exists():
        begin(job, look(job))
    watching = Watching(progress, state, opened, lambda: None)
    with pytest.MonkeyPatch.context() as patch:
        if not pictures:
            patch.setattr(runner, "write_figures", lambda folder: [])
        carry_out(job, watching, decision=decision)
    return told


def journal(folder: Path, kind: str | None = None) -> list[Entry]:
    """The journal of a run, or its entries of a kind."""
    entries = read_chain(folder / "journal.jsonl")
    return [entry for entry in entries if kind in (None, entry["kind"])]


def passport(folder: Path, kind: str) -> list[Entry]:
    """The entries of a kind in the sample's passport."""
    path = folder / PASSPORT
    return [entry for entry in read_chain(path) if entry["kind"] == kind] if path.exists() else []


def results(folder: Path) -> dict[str, Any]:
    """results.json of a run."""
    content: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return content


def area_dose(folder: Path, area: str = "interface") -> float:
    """What results.json says an area received at most, e/A^2."""
    return next(float(row["spent_max_e_per_A2"]) for row in results(folder)["dose"]["areas"] if row["name"] == area)


@dataclass(frozen=True)
class Compared:
    """The truth of the dose and what the ledger charged for the same places, m^-2, and where they are, m."""

    truth: NDArray[np.float64]
    charged: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def below(self) -> int:
        """How many places the ledger believes to have received less than they did."""
        return int((self.truth > self.charged * (1 + 1e-9) + 1e13).sum())  # 1e13 m^-2 is 1e-7 e/A^2

    def ratio(self, half: float) -> NDArray[np.float64]:
        """Charged over true within `half` m of the middle of the interphase."""
        inside = np.ix_(np.abs(self.y) < half, np.abs(self.x) < half)
        return np.asarray(self.charged[inside] / self.truth[inside])


def compare(world: World, ledger: Ledger, moved: tuple[float, float] = (0.0, 0.0)) -> Compared:
    """The ledger at every place of the world's own grid; of the cells a place lies in, the least charged.

    moved: how far the sample was from where the world's frame begins when the ledger's frame did, m.
    """
    truth = world.truth.fluence()
    rows, columns = truth.map.shape
    x = truth.x0 + (np.arange(columns) + 0.5) * truth.step - INTERPHASE / 2 + moved[0]
    y = truth.y0 + (np.arange(rows) + 0.5) * truth.step + moved[1]
    everything = Rectangle(x[0] - CELL, y[0] - CELL, x[-1] + CELL, y[-1] + CELL) if x.size and y.size else None
    if everything is None:
        return Compared(truth.map, truth.map, x, y)
    cells, (left, top, _, _) = ledger.map.within(everything), everything.cells()

    def charged(dx: float, dy: float) -> NDArray[np.float64]:
        columns = np.floor((x + dx) / CELL).astype(int) - left
        rows = np.floor((y + dy) / CELL).astype(int) - top
        return cells[np.ix_(rows.clip(0, cells.shape[0] - 1), columns.clip(0, cells.shape[1] - 1))]

    off = truth.step / 2 * (1 - 1e-6)
    corners = [charged(dx, dy) for dx in (-off, off) for dy in (-off, off)]
    return Compared(truth.map, np.minimum.reduce(corners), x, y)
