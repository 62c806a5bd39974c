"""A rig whose lines break in a declared way, at a declared place of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

import protocols.rig as composition
from drivers.clock import Clock
from drivers.links import AbortFlag, Fault, FaultyLink, Link, Peer
from protocols.job import Job
from tests.protocols.whole_run import do


@contextmanager
def broken(device: str, faults: Sequence[Fault], *, seed: int = 1) -> Iterator[list[FaultyLink]]:
    """Every rig that is opened inside has these faults on the line of one device; gives the lines made."""
    plain: Callable[..., Link] = composition.MemoryLink
    made: list[FaultyLink] = []

    def link(name: str, peer: Peer, clock: Clock, abort: AbortFlag) -> Link:
        inner = plain(name, peer, clock, abort)
        if name != device:
            return inner
        made.append(FaultyLink(inner, faults, seed=seed))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "MemoryLink", link)
        yield made


def transfers(job: Job, device: str) -> tuple[int, int, int]:
    """Requests to a device in a run: at the first light, in the middle of the map, and at the end."""
    seen: list[int] = []
    with broken(device, []) as made:

        def count(told: object, now: object) -> None:
            do_, text = getattr(now, "do", ""), getattr(now, "text", "")
            if (do_ == "stem_image" and not seen) or (do_ == "eds_map" and text.startswith("pass 3 ")):
                seen.append(made[0].transfers)

        do(job, at_progress=count)
        return seen[0], seen[1], made[0].transfers
