"""What the engine costs a step: against one fsync on the same disk, and against one message of bluesky.

A step that does nothing is journalled twice, each time with an fsync: before it is begun and with its result.  The
RunEngine of bluesky, in its own process, does `null` messages and writes nothing, so it is compared with the step as it
is and with the step without its journal.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from acquisition.chain import Chain, Entry
from acquisition.control import RunControl
from acquisition.engine import Engine, Run
from benchmarks.figure import Figure, side_by_side
from drivers.clock import VirtualClock
from drivers.links import AbortFlag

ROOT = Path(__file__).parents[1]
LINE = b"x" * 200 + b"\n"  # as long as the journal's line for such a step
LONGEST = 120.0  # wall s that the peer may take


@dataclass
class Nothing:
    """A step that does nothing."""

    do: str = "nothing"
    once: ClassVar[bool] = False

    def parameters(self) -> dict[str, Any]:
        """None."""
        return {}


class Unwritten(Chain):
    """A journal kept in memory only: what is left is the engine's own work."""

    def append(self, kind: str, **facts: Any) -> Entry:
        """Add an entry that nobody writes down."""
        entry: Entry = {"kind": kind, **facts}
        self.entries.append(entry)
        return entry


def run_steps(folder: Path, journal: type[Chain], steps: int) -> None:
    """Run a recipe of so many steps into a new journal."""

    def recipe(run: Run) -> None:
        for _ in range(steps):
            run.do(Nothing())

    chain = journal(folder / "journal.jsonl")
    control = RunControl(
        VirtualClock(),
        AbortFlag(),
        folder / "control",
        blank=lambda: None,
        changed=lambda state, why: None,
        tick=lambda: None,
    )
    engine = Engine(chain, control, perform=lambda execution: {}, make_safe=list, prepare=lambda: None, seed=1)
    engine.run(recipe)
    chain.close()


def fsync_lines(path: Path, lines: int) -> None:
    """Append so many lines to a file, each followed by an fsync."""
    with path.open("ab") as file:
        for _ in range(lines):
            file.write(LINE)
            file.flush()
            os.fsync(file.fileno())


def bluesky_seconds(python: str, messages: int) -> tuple[float, str]:
    """Wall seconds of so many messages in bluesky's RunEngine, and its version; RuntimeError if it cannot run."""
    command = [python, "-m", "benchmarks.bluesky_messages", str(messages)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(str(error)) from None
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    told = json.loads(done.stdout)
    return float(told["seconds"]), str(told["version"])


@contextmanager
def _folders(disk: Path) -> Iterator[Iterator[Path]]:
    """Fresh folders on a disk, one after the other."""
    with TemporaryDirectory(dir=disk, prefix="engine-") as top:
        yield (Path(top) / str(number) for number in count())


def main(steps: int = 300, rounds: int = 9, disk: Path | None = None, bluesky: str = sys.executable) -> None:
    """Print the time of a step against an fsync, and against a bluesky message with and without the journal.

    disk: a folder on the disk that is to be measured; by default the current one, where runs go.  bluesky: the
    interpreter of an environment that has it.
    """
    with _folders(disk or Path.cwd()) as folders:
        durable, fsync, unwritten = side_by_side(
            rounds,
            lambda: run_steps(next(folders), Chain, steps),
            lambda: fsync_lines(next(folders).with_suffix(".lines"), steps),
            lambda: run_steps(next(folders), Unwritten, steps),
        )
    step, own = 1e6 * durable / steps, 1e6 * unwritten / steps
    Figure.beside(
        "engine, a step journalled twice", step, "us", "one fsync on the same disk", 1e6 * fsync / steps
    ).show()
    messages = 10 * steps  # they are quick
    try:
        seconds, version = bluesky_seconds(bluesky, messages)
    except RuntimeError as why:
        print(f"engine against bluesky: skipped: {why}", file=sys.stderr)
        return
    message, peer = 1e6 * seconds / messages, f"one message of bluesky {version}"
    Figure.beside("engine, a step journalled twice", step, "us", f"{peer}, which writes nothing", message).show()
    Figure.beside("engine, a step without its journal", own, "us", peer, message).show()


if __name__ == "__main__":
    main()
