"""Puts a written file in the place of another in one go, also while somebody on Windows has that one open."""

from __future__ import annotations

from pathlib import Path

from drivers.clock import wall_sleep

PATIENCE = 5.0  # s of wall time for a viewer or a virus scanner to let go of a file
LOOK = 0.1  # s between attempts


def put_in_place(part: Path, path: Path) -> None:
    """Let `part` take the place of `path`; raises PermissionError when that one is held for longer than PATIENCE."""
    for _ in range(round(PATIENCE / LOOK)):
        try:
            part.replace(path)
            return
        except PermissionError:  # Windows replaces no file that somebody reads
            wall_sleep(LOOK)
    part.replace(path)
