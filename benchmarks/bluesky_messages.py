"""The peer's side of engine.py, run by the interpreter that has bluesky: its RunEngine does so many `null` messages."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from bluesky import Msg, RunEngine  # type: ignore[import-not-found]

from drivers.clock import wall_seconds


def plan(messages: int) -> Iterator[Any]:
    """Messages that do nothing."""
    for _ in range(messages):
        yield Msg("null")


def main(messages: int) -> None:
    """Print the wall seconds and the version as JSON."""
    engine = RunEngine({}, context_managers=[])
    engine(plan(1))  # what is done once is not counted
    began = wall_seconds()
    engine(plan(messages))
    print(json.dumps({"seconds": wall_seconds() - began, "version": version("bluesky")}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
