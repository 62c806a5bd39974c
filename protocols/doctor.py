"""Looks whether everything is in place: versions, which code runs, and whether each device of a rig answers."""

from __future__ import annotations

import platform
from pathlib import Path

from rich.console import Console

import protocols
from drivers.clock import Clock, RealClock, VirtualClock
from drivers.errors import RigError
from drivers.links import AbortFlag
from protocols.bench import versions
from protocols.rig import RigFileError, RigText, open_rig


def examine(rig: RigText, console: Console, *, only_safe: bool = False) -> bool:
    """Open the rig, make it safe, and print what was found; False when something does not answer.

    only_safe: say nothing but what was made safe.
    """
    if not only_safe:
        console.print(f"{platform.platform()}, code in {Path(protocols.__file__).resolve().parent.parent}")
        console.print(", ".join(f"{name} {version}" for name, version in versions().items()))
    clock: Clock = VirtualClock() if rig.model.simulated else RealClock()
    try:
        opened = open_rig(
            rig, clock=clock, abort=AbortFlag(), wait=clock.sleep, latched=lambda: False, seed=0, sample=None
        )
    except (RigError, RigFileError) as error:
        console.print(str(error))
        return False
    try:
        if not only_safe:
            for name, facts in opened.status().items():
                console.print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in facts.items()))
            if opened.current_is_stale():
                console.print("beam current: calibrated too long ago; no exposure will be allowed")
        tried = opened.make_safe()
        for attempt in tried:
            console.print(attempt.said)
        return all(attempt.safe for attempt in tried)
    finally:
        opened.close()
