"""A lamella with two budgets, the beam as a rig file may describe it, and a ledger on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from acquisition.budget import Aim, Area, BeamBelief
from acquisition.chain import Chain, Entry
from acquisition.dosemap import Rectangle
from acquisition.frames import Wander
from acquisition.ledger import Ledger
from drivers.ticket import Frame
from physics.dose import E_PER_A2

NM = 1e-9
BELIEF = BeamBelief(
    current=200e-12, current_bound=0.05, scale_bound=0.02, flyback=2.5e-6, tail=1.5 * NM, grain=0.195 * NM
)
SURE = BeamBelief(current=200e-12, current_bound=0.0, scale_bound=0.0, flyback=0.0, tail=0.0, grain=0.195 * NM)
WANDER = Wander(position=4 * NM, drift=360 * NM / 3600.0)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HERE = Aim((0.0, 0.0), 4 * NM)
FRAME = Frame(centre=(0.0, 0.0), size=(400 * NM, 400 * NM), pixels=(128, 128), dwell=1e-5)
INTERFACE = Area("interface", Rectangle.around((0.0, 0.0), (600 * NM, 600 * NM)), 12000 * E_PER_A2)
BESIDE = Area("beside", Rectangle.around((0.0, 1200 * NM), (600 * NM, 600 * NM)), 1e6 * E_PER_A2)


def areas(*wanted: Area) -> dict[str, Area]:
    """Areas by name; the usual two where none are given."""
    return {area.name: area for area in wanted or (INTERFACE, BESIDE)}


def of_dose(fluence: float, belief: BeamBelief = BELIEF, frame: Frame = FRAME) -> Frame:
    """The frame with the dwell that one pass needs to be planned at `fluence`, m^-2."""
    return replace(frame, dwell=frame.dwell * fluence / belief.fluence(frame))


Note = Callable[[str, Entry], None]


class Notes(list[tuple[str, Entry]]):
    """What a run's journal was told."""

    def __call__(self, kind: str, entry: Entry) -> None:
        self.append((kind, entry))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self]


@contextmanager
def opened(
    passport: Path,
    known: Mapping[str, Area] | None = None,
    belief: BeamBelief = BELIEF,
    notes: Note | None = None,
    *,
    frame: str = "today",
    utc: Callable[[], datetime] = lambda: NOON,
) -> Iterator[Ledger]:
    """A ledger on a passport, which is closed at the end."""
    chain = Chain(passport)
    known, notes = areas() if known is None else known, Notes() if notes is None else notes
    try:
        yield Ledger(chain, known, belief, notes, frame=frame, wander=WANDER, utc=utc)
    finally:
        chain.close()
