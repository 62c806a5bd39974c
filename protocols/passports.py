"""Where the dose passports of samples are kept: with the run for a simulated rig, with the user for a real one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_data_path

from acquisition.chain import Chain, Entry, read_chain
from drivers.rigfile import RigFile
from protocols.job import Job, RunError

LONGEST = 80  # characters of a sample's name in the name of its file


def passport_path(rig: RigFile, sample: str, folder: Path) -> Path:
    """The passport file of a sample: outlives the run on a real rig, in the run folder where no instrument can be.

    A part of the name's SHA-256 keeps samples apart whose names differ only in what a file name cannot hold.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", sample)[:LONGEST]
    mark = hashlib.sha256(sample.encode()).hexdigest()[:8]
    return (folder if rig.practice else user_data_path("cryolift") / "passports") / f"{name}-{mark}.passport.jsonl"


@contextmanager
def open_passport(job: Job) -> Iterator[Chain]:
    """The passport of the job's sample, to be written; raises RunError when it belongs to another sample."""
    passport = Chain(passport_path(job.rig.model, job.recipe.heading.sample, job.folder))
    try:
        if not passport.entries:
            passport.append("passport", sample=job.recipe.heading.sample)
        _see_owner(passport.path, passport.entries, job)
        yield passport
    finally:
        passport.close()


def passport_entries(job: Job) -> list[Entry]:
    """What the passport of the job's sample holds, only read; raises RunError when it belongs to another sample."""
    path = passport_path(job.rig.model, job.recipe.heading.sample, job.folder)
    entries = read_chain(path) if path.is_file() else []
    if entries:
        _see_owner(path, entries, job)
    return entries


def _see_owner(path: Path, entries: Sequence[Entry], job: Job) -> None:
    if (entries[0]["kind"], entries[0].get("sample")) != ("passport", job.recipe.heading.sample):
        owner = entries[0].get("sample", "nobody knows which sample")
        raise RunError(
            f"{path} is the passport of {owner}, not of {job.recipe.heading.sample}. Put it back where it belongs."
        )
