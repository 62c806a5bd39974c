"""One process a real rig: a second line to the scan box would let go of the blanker in the middle of a frame."""

from __future__ import annotations

import os
import re
import sys

from filelock import FileLock, Timeout
from platformdirs import user_data_path

from drivers.clock import Clock
from drivers.errors import Refused


def take(rig: str, clock: Clock) -> FileLock:
    """Hold the rig of that name for this process until the lock is released or the process ends.

    Raises Refused, with who holds it, when another process of this user has it open.
    """
    folder = user_data_path("cryolift") / "rigs"
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", rig)
    lock, holder = FileLock(folder / f"{name}.lock"), folder / f"{name}.holder"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text(encoding="utf-8") if holder.is_file() else "another process"
        raise Refused(
            f"refused: {who} has the rig open",
            device=f"rig {rig}",
            action="open",
            way_out="Wait until it is done, or end it: `cryolift abort RUN` ends a run, blanked.",
        ) from None
    command = " ".join(["cryolift", *sys.argv[1:]])
    holder.write_text(f"process {os.getpid()} ({command}, since {clock.utc():%Y-%m-%d %H:%M} UTC)", encoding="utf-8")
    return lock
