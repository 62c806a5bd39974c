"""Errors by whose fault it is: ours before any byte, the link's, the box's bytes, the box's verdict."""

from __future__ import annotations

from typing import Self


class RigError(Exception):
    """Something a device was asked to do did not happen; reads `device: action what. Way out.`"""

    def __init__(self, what: str, *, device: str = "", action: str = "", way_out: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.device = device
        self.action = action
        self.way_out = way_out

    def at(self, device: str, action: str) -> Self:
        """Name the device and the action where the raiser could not know them."""
        self.device = self.device or device
        self.action = self.action or action
        return self

    def __str__(self) -> str:
        where = f"{self.device}: " if self.device else ""
        colon = (
            ":" if self.what.startswith("the link ") else ""
        )  # a sentence of its own: "open: the link ... is closed"
        doing = f"{self.action}{colon} " if self.action else ""
        way_out = f" {self.way_out}" if self.way_out else ""
        return f"{where}{doing}{self.what.rstrip('.')}.{way_out}"


class Refused(RigError):
    """We refused before a byte was sent."""


class LimitError(Refused):
    """A value lies outside the rig's limits (or is not a number)."""


class InterlockError(Refused):
    """The state of the rig forbids the command."""


class TicketError(Refused):
    """A beam was asked for without a ticket that covers it."""


class LinkError(RigError):
    """The way to the box failed: nothing came back, or the line is closed."""


class LinkTimeout(LinkError):
    """No complete answer came in time."""


class LinkClosed(LinkError):
    """The line is closed or was lost."""


class WireError(RigError):
    """The box sent bytes its protocol does not allow, or a value outside the plausible range."""


class DeviceError(RigError):
    """The box understood and says no, or does not reach what it was told."""


class Aborted(RigError):
    """A person or a watch asked to stop."""
