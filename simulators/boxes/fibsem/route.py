"""What the parts of the simulated fibsem server share: the instrument, routes, and how a box says no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from drivers.clock import Clock
from drivers.wire.fibsem import Call
from simulators.fibsem.chamber import Chamber
from simulators.fibsem.milling import Milling

A = TypeVar("A")
T = TypeVar("T")


class Trouble(Exception):
    """The box cannot do it: a bare 500."""


@dataclass(frozen=True)
class After(Generic[T]):
    """What is told once it is over, at a clock time, s; it may turn out to take longer."""

    at: float
    told: Callable[[], T | After[T]]


@dataclass(frozen=True)
class Route:
    """A call and what answers it."""

    call: Call[Any, Any]
    answer: Callable[[Any], Any]


def route(call: Call[A, T], answer: Callable[[A], T | After[T]]) -> Route:
    """A call that `answer` answers now or later."""
    return Route(call, answer)


class ChamberWorld(Protocol):
    """What this server needs of the world."""

    @property
    def clock(self) -> Clock: ...

    @property
    def chamber(self) -> Chamber: ...

    @property
    def processes(self) -> list[Callable[[float], None]]: ...

    def catch_up(self) -> None: ...


@dataclass(frozen=True)
class Instrument:
    """What stands behind the server."""

    world: ChamberWorld
    milling: Milling

    @property
    def chamber(self) -> Chamber:
        """Stage, columns, sample."""
        return self.world.chamber

    def now(self) -> float:
        """Clock time, s."""
        return self.world.clock.now()

    def see_at_rest(self) -> None:
        """Raise Trouble while the stage moves or the ion beam mills."""
        if self.chamber.stage.moving:
            raise Trouble("the stage moves")
        self.see_no_milling()

    def see_no_milling(self) -> None:
        """Raise Trouble while the ion beam mills."""
        if self.milling.state == "RUNNING":
            raise Trouble("the ion beam mills")
