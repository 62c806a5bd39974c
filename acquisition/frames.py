"""What a passport tells in the frame of another run: it outlives the run, the origin of the run's frame does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from acquisition.chain import Entry
from acquisition.dosemap import DoseMap, Rectangle


@dataclass(frozen=True)
class Wander:
    """Bounds of where a place may be found again. position: how well it is found, m.  drift: unseen, m/s."""

    position: float
    drift: float

    def between(self, then: datetime | None, now: datetime) -> float:
        """How far a place may have moved from one first light to a later one, m; inf where nobody can know."""
        if then is None or now < then:  # no time stands there, or somebody has set the clock back
            return math.inf
        return self.position + self.drift * (now - then).total_seconds()


def received(passport: Sequence[Entry], frame: str, wander: Wander, now: datetime) -> DoseMap:
    """What each cell has received, in the coordinates of a frame whose first light was, or else is, `now`.

    The first exposure of a run sets the origin of its frame, wherever the sample stands then.  So what was booked in
    another frame may lie off by all that the sample moved between the two first lights: it is booked dilated by that.
    An exposure never settled counts in full, and one without a frame or a time of its own may lie anywhere.
    """
    maps: dict[str | None, DoseMap] = {}
    lit: dict[str | None, datetime | None] = {}
    for entry in passport:
        if entry["kind"] == "reserve":
            name, utc = entry.get("frame"), entry.get("utc")
            lit.setdefault(name, datetime.fromisoformat(utc) if utc is not None else None)
            maps.setdefault(name, DoseMap()).add(Rectangle(*entry["where"]), entry["fluence"])
    origin = lit.get(frame) or now
    whole = maps.pop(frame, DoseMap())
    for name, theirs in maps.items():
        whole.include(theirs.dilated(wander.between(lit[name], origin)))
    return whole
