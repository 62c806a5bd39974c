"""Parameters, states and commands of a SIMPLON camera, over REST: every set is read back."""

from __future__ import annotations

import math

from drivers.errors import DeviceError, WireError
from drivers.links.base import Wait
from drivers.links.http import HttpExchange, HttpLink
from drivers.wire import simplon
from drivers.wire.simplon import Module, Scalar

INITIALIZING = 120.0  # s that it may take
ARMING = 30.0  # s
ABORTING = 10.0  # s; the other boxes of a rig that is made safe wait for it
SAME = 1e-6  # relative; a number read back may have other digits, not be another number
DETECTOR = frozenset(
    {
        "bit_depth_image",
        "compression",
        "count_time",
        "frame_time",
        "nimages",
        "ntrigger",
        "roi_mode",
        "trigger_mode",
        "x_pixels_in_detector",
        "y_pixels_in_detector",
    }
)
"""Parameters of the detector that a series hangs on; read again whenever they may have changed."""


class CameraControl:
    """The REST side of one camera; `known` is what was last read of each parameter of the detector."""

    def __init__(self, link: HttpLink, device: str, wait: Wait) -> None:
        self.link = link
        self.known: dict[str, Scalar] = {}
        self._device = device
        self._exchange = HttpExchange(link, device)
        self._wait = wait

    def see_version(self, action: str) -> None:
        """Raise DeviceError unless the camera speaks the SIMPLON that is spoken here."""
        version = self._exchange.agreed(action, simplon.version(), simplon.read_version)
        if version != simplon.VERSION:
            raise self.no(action, f"speaks SIMPLON {version}, and this driver {simplon.VERSION}")

    def told(self, action: str, name: str, module: Module = "detector") -> object:
        """A status; raises DeviceError where there is none of that name."""
        request = simplon.get(module, "status", name)
        return self._exchange.agreed(action, request, simplon.read_parameter).value

    def state(self, action: str) -> str:
        """What the detector is doing."""
        return str(self.told(action, "state"))

    def initialize(self, action: str) -> None:
        """Initialize a detector that is not, and wait for it."""
        self.command(action, "initialize", timeout=INITIALIZING)
        give_up = self.link.clock.now() + INITIALIZING
        while self.state(action) == "initialize" and self.link.clock.now() < give_up:
            self._wait(1.0)

    def see_idle(self, action: str) -> None:
        """See that it can be set up; a series that somebody left is ended."""
        if (state := self.state(action)) not in ("idle", "error", "na"):
            self.abort(action)
            state = self.state(action)
        if state != "idle":
            raise self.no(action, f'is in the state "{state}"', "Look at the camera's page, then open the rig again.")

    def abort(self, action: str) -> None:
        """End whatever series it is in; doing it twice does nothing more."""
        self._exchange.ask_for(action, simplon.command("abort"), simplon.read_series, safe=True, timeout=ABORTING)

    def command(self, action: str, name: str, *, timeout: float) -> int | None:
        """Have something done, once; the series it names."""
        return self._exchange.ask_for(action, simplon.command(name), simplon.read_series, safe=False, timeout=timeout)

    def set(self, action: str, name: str, value: Scalar, module: Module = "detector") -> None:
        """Set one parameter, read again what changed with it, and see that it is set."""
        changed = self._exchange.ask_for(action, simplon.put(module, name, value), simplon.read_names, safe=True)
        for other in sorted(DETECTOR.intersection(changed) - {name} if module == "detector" else ()):
            self.get(action, other)
        self.see(action, name, value, self.get(action, name, module))

    def get(self, action: str, name: str, module: Module = "detector") -> Scalar:
        """A parameter, asked until two answers agree."""
        request = simplon.get(module, "config", name)
        found = self._exchange.agreed(action, request, simplon.read_parameter).value
        if not isinstance(found, float | int | str):
            raise WireError(f"tells {name} to be {str(found)[:40]!r}", device=self._device, action=action)
        if module == "detector":
            self.known[name] = found
        return found

    def number(self, action: str, name: str) -> float:
        """A parameter that is a number."""
        found = self.get(action, name)
        if isinstance(found, str):
            raise WireError(f"tells {name} to be {found[:40]!r}", device=self._device, action=action)
        return float(found)

    def see(self, action: str, name: str, wanted: Scalar, found: Scalar) -> None:
        """Raise DeviceError unless a parameter is what it was set to."""
        if not _same(wanted, found):
            raise self.no(action, f"asked {name}={wanted}, but the camera took {found}", "Choose a value it has.")

    def no(self, action: str, what: str, way_out: str = "") -> DeviceError:
        """The error that says what the camera does not do, to be raised."""
        return DeviceError(what, device=self._device, action=action, way_out=way_out)


def _same(wanted: Scalar, found: Scalar) -> bool:
    if isinstance(wanted, float):
        return isinstance(found, float | int) and math.isclose(wanted, found, rel_tol=SAME)
    return wanted == found
