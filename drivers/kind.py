"""What a driver is to the rig: the name a rig file calls it by stands for a `Kind`; third parties bring their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from drivers.limits import Range

GROUP = "cryolift.drivers"
"""Entry-point group in which a package offers a `Kind` under the name that rig files use."""


class Device(Protocol):
    """What the rig does with every driver."""

    name: str

    def open(self) -> None:
        """See that the box answers and is what the rig file says."""

    def close(self) -> None:
        """Close the line."""

    def make_safe(self) -> None:
        """Blank, stop, hold: even while an abort is due, and whatever went before."""

    def status(self) -> Mapping[str, Any]:
        """What the record keeps of it."""


@dataclass(frozen=True)
class Kind:
    """A driver a rig file may name.

    driver: a class with `Settings` (a pydantic model), made as `driver(link, settings, limits=, guard=, wait=, name=)`.
    ranges: the limits that follow from its settings.
    server: the simulated box in front of the world; None if there is none: a simulated rig cannot have it then.
    served: the same box behind a real port, where it differs.
    port: what the box speaks through; the driver of an `http` box is given an HttpLink.
    stream: the box also pushes messages, and has them in its attribute `stream`; its driver is given `stream=`, a
    MessageLink.
    optics: which of the rig's `optics:` its driver is given as keywords.
    called: the one name such a device has in a rig file, because interlocks and steps know it by that; "" for any.
    outputs, input: the sockets for trigger cables on the box; a driver with an input is given `INPUT_latency=`, s, of
    the one cable that must end there.
    """

    driver: type[Any]
    ranges: Callable[[Any], dict[str, Range]]
    server: Callable[[Any], Any] | None = None
    served: Callable[[Any], Any] | None = None
    port: Literal["tcp", "udp", "serial", "http"] = "tcp"
    stream: bool = False
    called: str = ""
    optics: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    input: str | None = None
