"""Budgets of areas: what a frame would give each spot of the sample, and the refusal when that is too much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass

from acquisition.dosemap import CELL, DoseMap, Rectangle
from drivers.errors import LimitError, Refused
from drivers.ticket import Frame
from physics.dose import fluence as planned_fluence
from physics.units import show

UNIT = "e/A^2"
ROUNDING = 1e-9  # of a budget, which the sum of many passes may lose in the floats


class BudgetError(Refused):
    """The exposure would take an area past its budget."""


@dataclass(frozen=True)
class Area:
    """A named part of the sample with its budget.

    where: in the lamella's frame, m.  limit: highest fluence any of its cells may receive, m^-2.  notify: from where on
    the operator is told, m^-2, or None.  Raises LimitError for a budget that is no number.
    """

    name: str
    where: Rectangle
    limit: float
    notify: float | None = None

    def __post_init__(self) -> None:
        if not (self.limit >= 0.0 and (self.notify is None or self.notify >= 0.0)):
            raise LimitError(f'area "{self.name}": a budget of {self.limit} m^-2 (told from {self.notify}) is none')


@dataclass(frozen=True)
class BeamBelief:
    """What is believed of the beam, with the bounds that the dose is charged by.

    current: A, with its relative bound.  scale: relative bound of the scan field's width.  flyback: s a row with the
    beam on, at most.  tail: how far beyond its pixel the probe reaches, m.  grain: smallest step of the scan, m.
    Raises LimitError unless all are finite and not negative, the current positive and the scale's bound below 1.
    """

    current: float
    current_bound: float
    scale_bound: float
    flyback: float
    tail: float
    grain: float

    def __post_init__(self) -> None:
        finite = all(0.0 <= value < math.inf for value in astuple(self))
        if not (finite and self.current > 0.0 and self.scale_bound < 1.0):
            raise LimitError(f"{self} is nothing to count a dose with", way_out="Calibrate the beam again.")

    def fluence(self, frame: Frame) -> float:
        """Best estimate of what one pass of a frame gives, m^-2."""
        return planned_fluence(self.current, frame.dwell, *frame.pitch)

    def highest_fluence(self, frame: Frame) -> float:
        """Upper bound of what one pass of a frame gives any cell inside it, m^-2."""
        return (self.fluence(frame) + self._flown_back(frame)) * self._worst(frame)

    def fluence_for(self, highest: float, frame: Frame) -> float:
        """What one pass may be planned to give for its upper bound to be `highest`, both m^-2; may be negative.

        The pass dwells longer or shorter in the same frame; what the beam gives on its way back stays.
        """
        return highest / self._worst(frame) - self._flown_back(frame)

    def reach(self, frame: Frame) -> float:
        """How far outside its nominal rectangle a frame may land for a wrong scan width and probe tails, m."""
        corner = max(abs(frame.centre[0]) + frame.size[0] / 2, abs(frame.centre[1]) + frame.size[1] / 2)
        return self.scale_bound * corner + self.tail

    def _flown_back(self, frame: Frame) -> float:
        """What the beam gives, spread over each row, on the way back to it, m^-2."""
        return planned_fluence(self.current, self.flyback / frame.pixels[0], *frame.pitch)

    def _worst(self, frame: Frame) -> float:
        """How many times the best estimate a cell may receive."""
        # pixels closer than one step of the scan are unevenly spaced: one more may fall on a cell
        uneven = 1.0 if min(frame.pitch) > self.grain * (1 - 1e-6) else (1.0 + self.grain / CELL) ** 2
        return (1 + self.current_bound) * uneven / (1 - self.scale_bound) ** 2


@dataclass(frozen=True)
class Aim:
    """Where the sample stands in the scan field, m (it drifts), and how far off that may be, m, 0 or more."""

    offset: tuple[float, float]
    margin: float

    def __post_init__(self) -> None:
        if not self.margin >= 0.0:
            raise LimitError(f"the sample cannot be {self.margin} m off its place")


class Books:
    """What each cell of the lamella has received or is promised, against the budgets of the areas it lies in."""

    def __init__(self, areas: Mapping[str, Area], belief: BeamBelief) -> None:
        self.belief = belief
        self.map = DoseMap()
        self._areas = dict(areas)

    @property
    def areas(self) -> tuple[Area, ...]:
        """All areas with budgets."""
        return tuple(self._areas.values())

    def area(self, name: str) -> Area:
        """An area by name; raises BudgetError for a name without a budget."""
        if name not in self._areas:
            known = ", ".join(sorted(self._areas)) or "none"
            raise BudgetError(
                f'has no budget for area "{name}"', device="ledger", way_out=f"Areas with budgets: {known}."
            )
        return self._areas[name]

    def footprint(self, frame: Frame, aim: Aim) -> Rectangle:
        """Everything a frame may touch, in the lamella's frame."""
        on_sample = frame.centre[0] - aim.offset[0], frame.centre[1] - aim.offset[1]
        return Rectangle.around(on_sample, frame.size).grown(aim.margin + self.belief.reach(frame))

    def require(self, area: str, frame: Frame, aim: Aim, *, passes: int = 1, step: str) -> None:
        """Refuse an exposure of `passes` passes that does not fit; raises BudgetError.

        step: named in the message.  Each cell is held to the budget of the area it lies in, and where it lies in none
        to that of the area that is named.
        """
        if passes <= 0:
            return
        planned, highest = self.belief.fluence(frame) * passes, self.belief.highest_fluence(frame) * passes
        where, named = self.footprint(frame, aim), self.area(area)
        others = [other for other in self.areas if other is not named]
        held = [(named, self.map.highest_outside(where, [other.where for other in others]))]
        for other in self.areas:
            shared = self.map.highest_in_both(where, other.where)
            if shared is not None:
                held.append((other, shared))
        tightest, spent = min(held, key=lambda pair: pair[0].limit - pair[1])
        if not spent + highest <= tightest.limit * (1.0 + ROUNDING):
            left = max(tightest.limit - spent, 0.0)
            fits = self.belief.fluence_for(left / passes, frame) * passes
            raise BudgetError(
                f'would give area "{tightest.name}" {show(planned, UNIT)} (up to {show(highest, UNIT)} within the '
                f"calibration's bounds); {show(spent, UNIT)} of {show(tightest.limit, UNIT)} are spent, "
                f"{show(left, UNIT)} are left",
                action=step,
                way_out=f"Largest fluence that fits: {show(_round_down(fits), UNIT)}.",
            )

    def book(self, area: str, frame: Frame, aim: Aim, *, passes: int = 1, step: str) -> None:
        """Promise an exposure, as a rehearsal does; raises BudgetError."""
        self.require(area, frame, aim, passes=passes, step=step)
        self.map.add(self.footprint(frame, aim), self.belief.highest_fluence(frame) * passes)

    def spent(self, area: str) -> tuple[float, float]:
        """Highest and mean fluence charged within an area, m^-2; the mean is over the cells that were hit at all."""
        cells = self.map.within(self.area(area).where)
        hit = cells[cells > 0.0]
        return (float(hit.max()), float(hit.mean())) if hit.size else (0.0, 0.0)

    def left(self, area: str) -> float:
        """What the most exposed cell of an area may still receive, m^-2."""
        return max(self.area(area).limit - self.spent(area)[0], 0.0)

    def notices(self) -> list[str]:
        """One line for each area past its `notify` level."""
        return [
            f'area "{area.name}" has received {show(self.spent(area.name)[0], UNIT)} of {show(area.limit, UNIT)}'
            for area in self.areas
            if area.notify is not None and self.spent(area.name)[0] >= area.notify
        ]


def _round_down(fluence: float) -> float:
    """Three digits, never up: what the message promises must fit."""
    if not fluence > 0.0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(fluence)) - 2)
    return math.floor(fluence / step) * step
