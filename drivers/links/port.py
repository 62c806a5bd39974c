"""What serial, TCP and UDP links share: time-outs in wall seconds, looked at in short slices for the abort flag."""

from __future__ import annotations

from abc import abstractmethod

from drivers.clock import wall_seconds
from drivers.links.base import LOOK, Link


class PortLink(Link):
    """A link on a real port.

    A box on a real line answers in wall time however fast the rig's clock runs, so `read` waits wall seconds.
    Subclasses wait at most one slice in `_poll`.
    """

    def elapsed(self) -> float:
        """Wall seconds from an arbitrary zero."""
        return wall_seconds()

    def _receive(self, timeout: float) -> bytes:
        deadline = self.elapsed() + timeout
        left = timeout
        while not (data := self._poll(min(left, LOOK))):
            left = deadline - self.elapsed()
            if left <= 0.0:
                return b""
            self._ready()
        return data

    @abstractmethod
    def _poll(self, seconds: float) -> bytes:
        """What arrives within `seconds` (0 to 0.05) s; b"" if nothing does. Raises LinkError."""
