"""Talking to a fibsem server in the name of one device: questions asked until two answers agree, commands said once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from drivers.errors import DeviceError, LinkError, WireError
from drivers.links.http import HttpExchange, HttpLink
from drivers.ticket import Beam
from drivers.wire import fibsem as wire
from drivers.wire.fibsem import NOTHING, Call, Setting
from drivers.wire.fibsem_image import Tiff, decode_tiff
from drivers.wire.fibsem_milling import MillingState
from drivers.wire.fibsem_model import Acquire, Done, Nothing, OfBeam, SetTo
from drivers.wire.http import Response

A = TypeVar("A")
T = TypeVar("T")
V = TypeVar("V")
PATIENCE = 10.0  # s for an answer that moves nothing; the server asks the instrument's own software for most of them
DOING = 60.0  # s for what moves an aperture or ramps a voltage; assumed
ASKINGS = 4  # until two in a row agree
LOOK_AT_LOG = "The log of the server on the microscope PC says why."


class FibsemApi:
    """One device's share of the line to a fibsem server."""

    def __init__(self, link: HttpLink, device: str) -> None:
        self.link = link
        self._device = device
        self._exchange = HttpExchange(link, device, timeout=PATIENCE)

    def open(self) -> str:
        """See that a fibsem server answers; the class that drives its instrument. Raises LinkError, WireError."""
        return self.ask("open", wire.HEALTH, NOTHING).manufacturer

    def ask(self, action: str, call: Call[A, T], asked: A, same: Callable[[T, T], bool] = lambda a, b: a == b) -> T:
        """What a question is answered, when two answers in a row are the `same`: a flipped bit is another number.

        Raises LinkError, WireError (also where answers do not agree), DeviceError.
        """
        request = wire.request(call, asked)
        answers: list[T] = []
        trouble: LinkError | WireError | None = None
        for _ in range(ASKINGS):
            try:
                answers.append(self._exchange.ask_for(action, request, lambda r: self._told(call, r), safe=False))
            except (LinkError, WireError) as error:
                if trouble is not None or self.link.closed:  # a safe question is asked once more, and only once
                    raise
                trouble = error
                continue
            if len(answers) > 1 and same(answers[-2], answers[-1]):
                return answers[-1]
        raise WireError(
            f"gave no two answers in a row that agree, the last of them {answers[-2:]}",
            device=self._device,
            action=action,
        )

    def do(self, action: str, call: Call[A, T], asked: A, *, timeout: float = DOING) -> T:
        """Have something done, asked once; raises LinkError (done or not), WireError, DeviceError."""
        request = wire.request(call, asked)
        return self._exchange.ask_for(action, request, lambda r: self._told(call, r), safe=False, timeout=timeout)

    def order(self, action: str, call: Call[Nothing, Done]) -> None:
        """Have something done that takes no parameters; raises as `do`."""
        self.do(action, call, NOTHING)

    def frame(self, action: str, beam: Beam, *, timeout: float, largest: int) -> Tiff:
        """Expose a frame as the beam is set up, once, and bring it. Raises LinkError, WireError, DeviceError."""
        request = wire.request(wire.ACQUIRE, Acquire(beam))

        def read(response: Response) -> Tiff:
            self._see(request.path, response)
            if response.content_type != wire.TIFF:
                raise WireError(f"a frame came as {response.content_type or 'nothing that says what it is'}")
            return decode_tiff(response.body)

        return self._exchange.ask_for(action, request, read, safe=False, timeout=timeout, largest=largest)

    def number(self, action: str, setting: Setting[float], beam: Beam, *, share: float = 0.0) -> float:
        """A number of a beam; two readings may differ by a share of it."""
        return self.ask(action, setting.get, OfBeam(beam), lambda a, b: near(a.value, b.value, share)).value

    def set(self, action: str, setting: Setting[V], beam: Beam, value: V) -> None:
        """Set something of a beam; what the answer says is not believed: read it back."""
        self.do(action, setting.set, SetTo(value, beam))

    def milling_state(self, action: str) -> MillingState:
        """Whether the ion beam mills."""
        return self.ask(action, wire.MILLING_STATE, NOTHING).state

    def no(self, action: str, what: str, way_out: str = "") -> DeviceError:
        """The error that says what the instrument does not do, to be raised."""
        return DeviceError(what, device=self._device, action=action, way_out=way_out)

    def _told(self, call: Call[A, T], response: Response) -> T:
        self._see(call.path, response)
        return wire.told(call, response)

    def _see(self, path: str, response: Response) -> None:
        if said := wire.said_no(response):
            raise DeviceError(f"{path} was refused by the server ({said})", way_out=LOOK_AT_LOG)


def near(found: float, wanted: float, share: float) -> bool:
    """Whether two numbers differ by no more than a share of either; NaN is near to nothing."""
    return math.isclose(found, wanted, rel_tol=max(share, 1e-12), abs_tol=0.0)
