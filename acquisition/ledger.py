"""The dose ledger: no beam without a reservation, nothing unsettled forgotten, a passport that outlives the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from acquisition.budget import Aim, Area, BeamBelief, Books, FloodBelief
from acquisition.chain import Chain, Entry
from acquisition.dosemap import Rectangle
from acquisition.frames import Wander, received
from drivers.errors import TicketError
from drivers.ticket import Exposed, Ticket


class Ledger(Books):
    """Reserves, spends and settles exposures of one sample; issues the tickets.

    passport: the sample's chain; what it holds is booked first, an exposure never settled in full.  areas: with their
    budgets.  note: told of every reservation, opening and settlement, for the journal of the run.  frame: whose origin
    the first exposure of the run sets.  wander, utc: how far, and since when, what other frames booked may have moved.
    Only tickets that this very ledger issued are good: one from before the passport was opened again is not.
    """

    def __init__(
        self,
        passport: Chain,
        areas: Mapping[str, Area],
        belief: BeamBelief,
        note: Callable[[str, Entry], None],
        *,
        frame: str,
        wander: Wander,
        utc: Callable[[], datetime],
        flood: FloodBelief | None = None,
    ) -> None:
        super().__init__(areas, belief, flood)
        self._passport = passport
        self._note = note
        self._frame = frame
        self._wander = wander
        self._utc = utc
        self._issued: dict[str, Ticket] = {}
        self._spent: dict[str, Ticket] = {}
        reserved = [entry for entry in passport.entries if entry["kind"] == "reserve"]
        self._reserved: dict[str, Entry] = {entry["exposure_id"]: entry for entry in reserved}
        self._lit = any(entry.get("frame") == frame for entry in reserved)
        self._book_passport()

    @property
    def passport_sha256(self) -> str:
        """Hash that stands for everything the sample has received so far."""
        return self._passport.sha256

    def before_light(self) -> None:
        """Until the run's first exposure: book what other frames received as far off as it may be by now."""
        if not self._lit:
            self._book_passport()

    def rehearsal(self) -> Books:
        """The books as they stand, to plan on; nothing booked there reaches the passport."""
        books = Books({area.name: area for area in self.areas}, self.belief, self.flood)
        books.map = self.map.copy()
        return books

    def reserve(self, area: str, work: Exposed, aim: Aim, exposure_id: str, *, step: str) -> Ticket:
        """Put one exposure on the books, durably, and hand out its ticket; raises BudgetError."""
        if exposure_id in self._reserved:
            raise TicketError(f"exposure {exposure_id} was reserved before", device="ledger")
        self.before_light()
        self.require(area, work, aim, step=step)
        where, beam = self.footprint(work, aim), self.reckoning(work)
        entry = self._passport.append(
            "reserve",
            exposure_id=exposure_id,
            frame=self._frame,
            utc=self._utc().isoformat(),
            area=area,
            body="lamella",
            face="top",
            step=step,
            where=[where.left, where.top, where.right, where.bottom],
            fluence=beam.highest_fluence(work),
            pixels=work.count,
            seconds=work.seconds,
            current=beam.current,
        )
        self.map.add(Rectangle(*entry["where"]), entry["fluence"])  # in full, whether or not it is ever settled
        self._reserved[exposure_id] = entry
        self._lit = True
        self._note("reserve", entry)
        ticket = self._issued[exposure_id] = Ticket(exposure_id, area, work, self)
        return ticket

    def spend(self, ticket: Ticket) -> None:
        """Journal that the beam opens on a ticket; raises TicketError when it is not open or already spent."""
        if self._issued.get(ticket.exposure_id) != ticket:
            raise TicketError(f"ticket {ticket.exposure_id} is not open", device="ledger", way_out="Reserve a new one.")
        self._spent[ticket.exposure_id] = self._issued.pop(ticket.exposure_id)
        self._note("begin", {"exposure_id": ticket.exposure_id})

    def settle(self, ticket: Ticket) -> float:
        """Close a reservation that was delivered whole and is known to be blanked; the fluence charged, m^-2."""
        if self._spent.get(ticket.exposure_id) != ticket:
            raise TicketError(f"ticket {ticket.exposure_id} was not spent, or is settled", device="ledger")
        fluence = self._reserved[ticket.exposure_id]["fluence"]
        settled = self._passport.append("settle", exposure_id=ticket.exposure_id, fluence=fluence)
        del self._spent[ticket.exposure_id]
        self._note("settle", settled)
        return float(fluence)

    def _book_passport(self) -> None:
        self.map = received(self._passport.entries, self._frame, self._wander, self._utc())
