"""The shipped recipe from the command line to its record: wall time and peak memory, each against its limit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figure import Figure, side_by_side

ROOT = Path(__file__).parents[1]
SECONDS = 60.0  # the limit on two cores
MEGABYTES = 1000.0  # the limit: a quarter of the memory of a small laptop


def main(recipe: str = "dose-limited-map", rounds: int = 1) -> None:
    """Print wall seconds and peak memory of `cryolift run RECIPE --seed 1`; raises CalledProcessError if it fails."""
    told: list[str] = []

    def run() -> None:
        with TemporaryDirectory(prefix="whole-run-") as folder:
            command = [sys.executable, "-m", "benchmarks.watched_run", recipe, str(Path(folder) / "run")]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        told.append(done.stdout.splitlines()[-1])

    (seconds,) = side_by_side(rounds, run)
    name = Path(recipe).stem
    Figure.beside(f"run {name}, wall time", seconds, "s", f"a limit of {SECONDS:g} s", SECONDS).show()
    peak = json.loads(told[-1])["peak"]
    if peak is None:
        print(f"run {name}, peak memory: skipped: this system has no `resource` module", file=sys.stderr)
        return
    Figure.beside(f"run {name}, peak memory", peak / 1e6, "MB", f"a limit of {MEGABYTES:g} MB", MEGABYTES).show()


if __name__ == "__main__":
    main()
