"""What a benchmark prints, and how two works are timed so that a busy machine slows both alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

from drivers.clock import wall_seconds


@dataclass(frozen=True)
class Figure:
    """One measured value beside a peer or a limit.

    against: what the peer or limit is.  ratio: value over the peer's value, both in `unit`.
    """

    name: str
    value: float
    unit: str
    against: str
    ratio: float

    @classmethod
    def beside(cls, name: str, value: float, unit: str, against: str, peer: float) -> Figure:
        """A value and its ratio to a peer's value in the same unit, both to four digits."""
        return cls(name, _four_digits(value), unit, against, _four_digits(value / peer))

    def show(self) -> None:
        """Print it as one line of JSON."""
        print(json.dumps(asdict(self)), flush=True)


def side_by_side(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Median wall seconds of each work; they are done in turn, so that what else the machine does hits all of them."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for mine, work in zip(taken, works, strict=True):
            began = wall_seconds()
            work()
            mine.append(wall_seconds() - began)
    return [median(mine) for mine in taken]


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")
