"""One exposure: one loop in one thread that opens the beam on a ticket and reads every listener in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from acquisition.budget import Aim
from acquisition.control import RunControl
from acquisition.ledger import Ledger
from drivers.errors import DeviceError
from drivers.ticket import Frame, Ticket

LISTEN = 0.25  # s; the longest bounded read of one listener
LATE = 2.0  # s past its last pixel after which a frame is called stalled
UNWORTHY = 1.0  # s; a pass that ends sooner than this is finished before a pause


class Beam(Protocol):
    """What a scan does for an exposure."""

    def start(self, frame: Frame, ticket: Ticket) -> None:
        """Spend the ticket and let the frame run."""

    def read(self, timeout: float) -> NDArray[np.uint16]:
        """Pixels that came since the last read."""

    def finished(self) -> bool:
        """True when every pixel came and the beam is known to be blanked."""

    def stop(self) -> int:
        """End the frame, blank, confirm; pixels known to be delivered."""


@dataclass(frozen=True)
class Delivered:
    """What an exposure gave: pixels, fluence charged (upper bound, m^-2), how long it took, s, and if it is whole."""

    pixels: int
    charged: float
    seconds: float
    whole: bool


def expose(
    beam: Beam,
    ledger: Ledger,
    ticket: Ticket,
    control: RunControl,
    *,
    pixels: Callable[[int, NDArray[np.uint16]], None],
    listeners: Sequence[Callable[[], None]] = (),
) -> Delivered:
    """Run one frame on its ticket, hand pixels and listeners their data, and settle what was delivered.

    pixels: called with the index of the first pixel and the new ones.  listeners: bounded reads of the devices that
    hear the frame.  When a pause is asked for, a pass that would last longer is stopped and blanked.  If anything is
    raised the ticket stays unsettled and counts in full. Raises DeviceError when the frame stalls.
    """
    frame, clock = ticket.frame, control.clock
    began = clock.now()
    heard = began
    beam.start(frame, ticket)
    got = 0
    while not beam.finished():
        values = beam.read(LISTEN)
        if values.size:
            pixels(got, values)
            got += values.size
            heard = clock.now()
        for listen in listeners:
            listen()
        control.poll()
        left = began + frame.seconds - clock.now()
        if control.pause_asked and left > UNWORTHY:
            known = beam.stop()
            elapsed = clock.now() - began
            reached = min(frame.count, max(known, got, int(elapsed / frame.dwell) + 1))
            return Delivered(got, ledger.settle(ticket, pixels=reached), elapsed, whole=False)
        if clock.now() - max(heard, began + min(frame.seconds, frame.pixels[0] * frame.dwell)) > LATE + frame.dwell:
            raise DeviceError(
                f"stalled after {got} of {frame.count} pixels; nothing came for {clock.now() - heard:.1f} s",
                device="scan",
                action="expose",
                way_out="The exposure counts in full. Look at the scan box, then resume the run.",
            )
    return Delivered(got, ledger.settle(ticket, pixels=frame.count), clock.now() - began, whole=got == frame.count)


class Tracker:
    """Follows the sample in the scan field: set by registration, less and less sure with time.

    position: how well a place is found, m.  drift: bound, m/s.  Positions are scan coordinates.
    """

    def __init__(self, *, position: float, drift: float, now: float) -> None:
        self._position = position
        self._drift = drift
        self._offset = (0.0, 0.0)
        self._sighted = now

    def aim(self, now: float) -> Aim:
        """Where the sample is believed to stand at `now` and how far off that may be."""
        return Aim(self._offset, self._position + self._drift * max(now - self._sighted, 0.0))

    def sighted(self, moved: tuple[float, float], now: float) -> None:
        """A registration found the sample moved by (x, y), m, from where it was believed."""
        self._offset = (self._offset[0] + moved[0], self._offset[1] + moved[1])
        self._sighted = now

    def first_light(self, now: float) -> None:
        """The first exposure fixes the frame: where it hits is the origin, whatever moved before."""
        self._sighted = now
