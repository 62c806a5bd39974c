"""Where the dose passports of samples are kept: with the run for a simulated rig, with the user for a real one."""

from __future__ import annotations

import re
from pathlib import Path

from platformdirs import user_data_path

from drivers.rigfile import RigFile


def passport_path(rig: RigFile, sample: str, folder: Path) -> Path:
    """The passport file of a sample: outlives the run on a real rig, stays in the run folder on a simulated one."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", sample) + ".passport.jsonl"
    return (folder if rig.simulated else user_data_path("cryolift") / "passports") / name
