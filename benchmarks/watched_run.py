"""Runs a recipe as `cryolift run` does and prints its own peak memory last: a process knows only its own."""

from __future__ import annotations

import json
import sys

from protocols.cli import app

KILO = 1 if sys.platform == "darwin" else 1024  # bytes in what the system calls its unit


def peak_memory() -> int | None:
    """Most memory this process ever held, bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILO


def main(recipe: str, folder: str) -> None:
    """Run into a folder; raises SystemExit when the run fails."""
    code = app(["run", recipe, "--seed", "1", "--out", folder], standalone_mode=False)
    if code:
        raise SystemExit(code)
    print(json.dumps({"peak": peak_memory()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
