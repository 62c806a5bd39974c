"""Budgets of areas: what an exposure would give each spot of the sample, and the refusal when that is too much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any, Protocol

from acquisition.dosemap import CELL, DoseMap, Rectangle
from drivers.errors import LimitError, Refused
from drivers.ticket import Exposed, Flood, Frame
from physics.dose import electrons
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


class Reckoning(Protocol):
    """What the books need to know of a beam, for one sort of exposure."""

    @property
    def current(self) -> float:
        """At the sample, A."""

    def fluence(self, work: Any) -> float:
        """Best estimate of what one exposure gives, m^-2."""

    def highest_fluence(self, work: Any) -> float:
        """Upper bound of what one exposure gives any cell it touches, m^-2."""

    def fluence_for(self, highest: float, work: Any) -> float:
        """What one exposure may be planned to give for its upper bound to be `highest`, both m^-2; may be negative."""

    def footprint(self, work: Any) -> Rectangle:
        """Everything it may touch of a sample that stands where it is believed, in scan coordinates."""


@dataclass(frozen=True)
class FloodBelief:
    """What is believed of the parallel beam, with the bounds that its dose is charged by.

    current: A, and diameter: of the disc, both with their relative bounds.  uneven: how much brighter than its mean the
    disc is anywhere, relative.  shutter: s for which the sample is lit besides the exposure of the camera, at most.
    placement: how far from where it was sent the disc may land, m, and shift_bound: what is added to that, a metre of
    the way from the middle of the scan field.  Raises LimitError unless all are finite and not negative, the current
    positive and the diameter's bound below 1.
    """

    current: float
    current_bound: float
    diameter_bound: float
    uneven: float
    shutter: float
    placement: float
    shift_bound: float

    def __post_init__(self) -> None:
        _see_countable(self, self.current, self.diameter_bound)

    def fluence(self, flood: Flood) -> float:
        """Best estimate of what one flood gives the disc, m^-2."""
        return electrons(self.current, flood.seconds) / flood.area

    def highest_fluence(self, flood: Flood) -> float:
        """Upper bound of what one flood gives any cell of the disc, m^-2."""
        return (self.fluence(flood) + self._shuttered(flood)) * self._worst

    def fluence_for(self, highest: float, flood: Flood) -> float:
        """What one flood may be planned to give for its upper bound to be `highest`, both m^-2; may be negative."""
        return highest / self._worst - self._shuttered(flood)

    def footprint(self, flood: Flood) -> Rectangle:
        """The square around the disc, grown by how far off it may land and how much wider it may be."""
        way = math.hypot(*flood.centre)
        off = self.placement + self.shift_bound * way + self.diameter_bound * flood.diameter / 2.0
        return Rectangle.around(flood.centre, (flood.diameter, flood.diameter)).grown(off)

    def _shuttered(self, flood: Flood) -> float:
        return electrons(self.current, self.shutter) / flood.area

    @property
    def _worst(self) -> float:
        return (1.0 + self.current_bound) * (1.0 + self.uneven) / (1.0 - self.diameter_bound) ** 2


@dataclass(frozen=True)
class BeamBelief:
    """What is believed of the focused beam, with the bounds that the dose is charged by.

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
        _see_countable(self, self.current, self.scale_bound)

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

    def footprint(self, frame: Frame) -> Rectangle:
        """Its rectangle, grown by how far outside it may land for a wrong scan width and probe tails."""
        corner = max(abs(frame.centre[0]) + frame.size[0] / 2, abs(frame.centre[1]) + frame.size[1] / 2)
        return Rectangle.around(frame.centre, frame.size).grown(self.scale_bound * corner + self.tail)

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
    """What each cell of the lamella has received or is promised, against the budgets of the areas it lies in.

    belief: of the focused beam.  flood: of the parallel one, where the rig has one.
    """

    def __init__(self, areas: Mapping[str, Area], belief: BeamBelief, flood: FloodBelief | None = None) -> None:
        self.belief = belief
        self.flood = flood
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

    def reckoning(self, work: Exposed) -> Reckoning:
        """What is believed of the beam that does it; raises BudgetError for one that the rig file says nothing of."""
        if isinstance(work, Frame):
            return self.belief
        if self.flood is None:
            raise BudgetError(
                "has nothing to count a parallel beam with",
                device="ledger",
                way_out="Write `tem:` with its calibrations into the settings of the rig's column.",
            )
        return self.flood

    def footprint(self, work: Exposed, aim: Aim) -> Rectangle:
        """Everything an exposure may touch, in the lamella's frame."""
        return self.reckoning(work).footprint(work).moved(-aim.offset[0], -aim.offset[1]).grown(aim.margin)

    def require(self, area: str, work: Exposed, aim: Aim, *, passes: int = 1, step: str) -> None:
        """Refuse an exposure of `passes` passes that does not fit; raises BudgetError.

        step: named in the message.  Each cell is held to the budget of the area it lies in, and where it lies in none
        to that of the area that is named.
        """
        if passes <= 0:
            return
        beam = self.reckoning(work)
        planned, highest = beam.fluence(work) * passes, beam.highest_fluence(work) * passes
        where, named = self.footprint(work, aim), self.area(area)
        others = [other for other in self.areas if other is not named]
        held = [(named, self.map.highest_outside(where, [other.where for other in others]))]
        for other in self.areas:
            shared = self.map.highest_in_both(where, other.where)
            if shared is not None:
                held.append((other, shared))
        tightest, spent = min(held, key=lambda pair: pair[0].limit - pair[1])
        if not spent + highest <= tightest.limit * (1.0 + ROUNDING):
            left = max(tightest.limit - spent, 0.0)
            fits = beam.fluence_for(left / passes, work) * passes
            raise BudgetError(
                f'would give area "{tightest.name}" {show(planned, UNIT)} (up to {show(highest, UNIT)} within the '
                f"calibration's bounds); {show(spent, UNIT)} of {show(tightest.limit, UNIT)} are spent, "
                f"{show(left, UNIT)} are left",
                action=step,
                way_out=f"Largest fluence that fits: {show(_round_down(fits), UNIT)}.",
            )

    def book(self, area: str, work: Exposed, aim: Aim, *, passes: int = 1, step: str) -> None:
        """Promise an exposure, as a rehearsal does; raises BudgetError."""
        self.require(area, work, aim, passes=passes, step=step)
        self.map.add(self.footprint(work, aim), self.reckoning(work).highest_fluence(work) * passes)

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


def _see_countable(belief: BeamBelief | FloodBelief, current: float, bound: float) -> None:
    finite = all(0.0 <= value < math.inf for value in astuple(belief))
    if not (finite and current > 0.0 and bound < 1.0):
        raise LimitError(f"{belief} is nothing to count a dose with", way_out="Calibrate the beam again.")


def _round_down(fluence: float) -> float:
    """Three digits, never up: what the message promises must fit."""
    if not fluence > 0.0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(fluence)) - 2)
    return math.floor(fluence / step) * step
