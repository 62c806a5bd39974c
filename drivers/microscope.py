"""What is said to a temscript server: orders that are read back, questions, and how long an answer may take."""

from __future__ import annotations

import math
from typing import TypeVar

from drivers.errors import DeviceError
from drivers.links.http import HttpExchange, HttpLink
from drivers.ticket import Exposed
from drivers.wire import temscript as wire
from drivers.wire.temscript_image import Image, acquire, image, largest

PATIENCE = 5.0  # s for an answer
T = TypeVar("T")


class Microscope:
    """A temscript server, asked by a device of the rig; all raise LinkError, WireError, DeviceError."""

    def __init__(self, link: HttpLink, device: str) -> None:
        self.http = HttpExchange(link, device, timeout=PATIENCE, largest=wire.LARGEST_ANSWER)
        self._link = link
        self._deaf_until = -math.inf  # by link.elapsed(): the one thread of the server takes an image

    def order(self, action: str, endpoint: wire.Endpoint[T], value: T, *, safe: bool = False, of: str = "") -> None:
        """Set something; safe: it may be said twice.  of: which detector or camera."""
        self.http.ask_for(action, endpoint.put(value, of), wire.see_done, safe=safe, timeout=self._patience())

    def ask(self, action: str, endpoint: wire.Endpoint[T], of: str = "") -> T:
        """What it says."""
        return self.http.ask_for(action, endpoint.get(of), endpoint.value, safe=True, timeout=self._patience())

    def agreed(self, action: str, endpoint: wire.Endpoint[T], of: str = "") -> T:
        """What two answers in a row agree on."""
        return self.http.agreed(action, endpoint.get(of), endpoint.value)

    def set(self, action: str, endpoint: wire.Endpoint[T], value: T, of: str = "") -> T:
        """Set something, and what it reads then."""
        self.order(action, endpoint, value, safe=True, of=of)
        return self.agreed(action, endpoint, of)

    def set_and_see(
        self, action: str, what: str, endpoint: wire.Endpoint[float], value: float, *, tolerance: float
    ) -> None:
        """Set a number and see it set; raises DeviceError when it reads something else."""
        self.see(action, what, self.set(action, endpoint, value), value, tolerance)

    def see(self, action: str, what: str, found: float, wanted: float, tolerance: float) -> None:
        """Refuse a number that was not taken over."""
        if not abs(found - wanted) <= tolerance:
            raise self.no(action, f"took a {what} of {found:g} instead of {wanted:g}", "Choose one it has.")

    def image(self, action: str, detector: str, work: Exposed, lasting: float, patience: float) -> Image:
        """Have an image taken that lasts so many s; until it is here, `patience` s later at most, nothing is heard."""
        self._deaf_until = self._link.elapsed() + lasting
        return self.http.ask_for(
            action,
            acquire(detector),
            lambda response: image(response, detector, work.pixels),
            safe=False,
            timeout=lasting + patience,
            largest=largest(work.pixels),
        )

    def no(self, action: str, what: str, way_out: str = "") -> DeviceError:
        """What is wrong with the microscope, for raising."""
        return DeviceError(what, device=self.http.device, action=action, way_out=way_out)

    def _patience(self) -> float:
        """How long to wait for an answer: until the server can hear again, and a while."""
        return PATIENCE + max(self._deaf_until - self._link.elapsed(), 0.0)
