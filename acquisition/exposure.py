"""One exposure: one loop in one thread that opens the beam on a ticket and reads every listener in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from acquisition.budget import Aim
from acquisition.control import RunControl
from acquisition.ledger import Ledger
from drivers.errors import DeviceError
from drivers.ticket import Frame, Ticket

LISTEN = 0.05  # s; the longest bounded read of one listener, short enough for the EDS's buffer


class Beam(Protocol):
    """What a scan does for an exposure."""

    def start(self, frame: Frame, ticket: Ticket) -> None:
        """Spend the ticket and let the frame run."""

    def read(self, timeout: float) -> NDArray[np.uint16]:
        """Pixels that came since the last read."""

    def finished(self) -> bool:
        """True when every pixel came and the beam is known to be blanked."""


@dataclass(frozen=True)
class Delivered:
    """What an exposure gave: the fluence charged (upper bound, m^-2) and how long it took, s."""

    charged: float
    seconds: float


def expose(
    beam: Beam,
    ledger: Ledger,
    ticket: Ticket,
    control: RunControl,
    *,
    pixels: Callable[[int, NDArray[np.uint16]], None],
    listeners: Sequence[Callable[[], None]] = (),
) -> Delivered:
    """Run one frame on its ticket, hand pixels and listeners their data, and settle it.

    pixels: called with the index of the first pixel and the new ones.  listeners: bounded reads of the devices that
    hear the frame.  A frame is finite and cannot be cut short in the box, so a pause waits for its end; whatever is
    raised leaves the ticket unsettled, and it counts in full.  Raises DeviceError when pixels are missing.
    """
    clock = control.clock
    began, got = clock.now(), 0
    beam.start(ticket.frame, ticket)
    while not beam.finished():
        values = beam.read(LISTEN)
        if values.size:
            pixels(got, values)
            got += values.size
        for listen in listeners:
            listen()
        control.poll()
    rest = beam.read(0.0)
    if rest.size:
        pixels(got, rest)
        got += rest.size
    if got != ticket.frame.count:
        raise DeviceError(
            f"brought {got} pixels of the {ticket.frame.count} of exposure {ticket.exposure_id}; it counts in full",
            device="scan",
            action="read",
            way_out="Look at the scan box, then resume with --remainder, --skip or --redo.",
        )
    return Delivered(ledger.settle(ticket), clock.now() - began)


@dataclass(frozen=True)
class Sighting:
    """Where the sample was last seen: offset in the scan field, m, at a clock time, s, and how unsure that is, m."""

    offset: tuple[float, float]
    time: float
    unsure: float


class Tracker:
    """Follows the sample in the scan field: set by registration, less and less sure with time.

    position: how well a place is found, m.  drift: bound, m/s.  Positions are scan coordinates.
    """

    def __init__(self, *, position: float, drift: float, now: float) -> None:
        self._position = position
        self._drift = drift
        self.last = Sighting((0.0, 0.0), now, position)

    def aim(self, now: float) -> Aim:
        """Where the sample is believed to stand at `now` and how far off that may be."""
        return Aim(self.last.offset, self.last.unsure + self._drift * max(now - self.last.time, 0.0))

    def sighted(self, moved: tuple[float, float], now: float, *, unsure: float | None) -> None:
        """A registration found the sample moved by (x, y), m, from where it was believed.

        unsure: of the registration and of the place of the image it was made against, m; a registration tells no more
        than how far the sample moved since that.  None when one direction could not be told: it stays as it was.
        """
        offset = self.last.offset[0] + moved[0], self.last.offset[1] + moved[1]
        if unsure is None:
            self.last = replace(self.last, offset=offset)
        else:
            self.last = Sighting(offset, now, max(unsure, self._position))

    def first_light(self, now: float) -> None:
        """The first exposure fixes the frame: where it hits is the origin, whatever moved before."""
        self.last = Sighting((0.0, 0.0), now, self._position)
