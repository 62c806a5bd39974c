"""Which phase the spots of a patch belong to: lattices that were fitted to them, weighed against chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.fitting import Crystal, Fitting
from acquisition.analysis.lattices import CANDIDATES, lattices
from acquisition.analysis.patches import LONGEST, SHORTEST, false_density
from acquisition.analysis.spots import Spots

Array = NDArray[np.float64]

SURE = 0.9  # posterior from which a verdict is given
CRYSTALS = 0.3  # of each candidate a patch, before anything is known
_STRANGE = 0.5  # spots a patch that belong to none of the candidates


@dataclass(frozen=True)
class Verdict:
    """What a group of spots is: posterior of each reported phase; `nothing` for unrelated spots.

    phase: the likeliest, and crystal: its likeliest lattice.  lattices: the posterior of each candidate, polymorphs
    apart.  decided: whether the posterior of the phase is above the threshold.
    """

    phase: str
    crystal: Crystal
    posterior: Mapping[str, float]
    lattices: Mapping[str, float]
    decided: bool

    @property
    def confidence(self) -> float:
        """Posterior of the phase."""
        return self.posterior[self.phase]


class Candidates:
    """The phases that are looked for, at a temperature (K).

    expected: how many crystals of each a patch may hold.
    """

    def __init__(
        self, temperature: float, phases: Sequence[str] = CANDIDATES, expected: Mapping[str, float] | None = None
    ) -> None:
        self._known = lattices(tuple(phases), temperature)
        self.lattices = self._known.parts
        self.expected = {one.phase: CRYSTALS if expected is None else expected[one.phase] for one in self.lattices}
        self._expected = np.array(list(self.expected.values()))
        self._names = {one.phase: one.reported for one in self.lattices}

    def fitted(self, spots: Spots) -> Fitting:
        """Return the lattices that pairs of spots may belong to, whatever is expected of them."""
        return Fitting(self._known, spots)

    def verdicts(self, spots: Spots, sure: float = SURE, fitted: Fitting | None = None) -> list[Verdict]:
        """Return what the spots of one patch are, the clearest first; single spots decide nothing.

        fitted: what was fitted to them before, with other expectations.
        """
        free = self.crystals(spots, fitted)
        found: list[Verdict] = []
        while free:
            best = max(free, key=lambda each: each.evidence)
            if best.evidence < 0:
                break
            taken = set(best.spots)
            rivals = [each for each in free if not taken.isdisjoint(each.spots)]
            found.append(self._judge(best, rivals, sure))
            free = [each for each in free if taken.isdisjoint(each.spots)]
        return found

    def crystals(self, spots: Spots, fitted: Fitting | None = None) -> list[Crystal]:
        """Return every lattice that at least two spots at an angle may belong to, and its evidence."""
        if len(spots) < 2:
            return []
        return (fitted or self.fitted(spots)).crystals(np.log(self.chance(spots)), np.log(self._expected))

    def chance(self, spots: Spots) -> Array:
        """Return the density of unrelated spots at each spot, m^2: noise, what no candidate explains, single crystals.

        Of half the plane.  Noise gives few strong spots; crystals give spots above a ratio as its inverse.
        """
        of_crystals = spots.floor / spots.ratio**2
        area = math.pi / 2 * (SHORTEST**-2 - LONGEST**-2)
        density = false_density(spots.ratio, spots.side) / of_crystals + _STRANGE / area
        return np.asarray(density + self._known.ring(self._expected, spots.length, spots.along))

    def _judge(self, best: Crystal, rivals: Sequence[Crystal], sure: float) -> Verdict:
        names = self._names
        weights: dict[str, float] = {}
        for each in rivals:
            weights[each.phase] = weights.get(each.phase, 0.0) + math.exp(each.evidence - best.evidence)
        whole = sum(weights.values()) + math.exp(-best.evidence)
        lattices = {phase: weight / whole for phase, weight in weights.items()}
        of_phases: dict[str, float] = {}
        for phase, weight in lattices.items():
            of_phases[names[phase]] = of_phases.get(names[phase], 0.0) + weight
        posterior = dict(sorted(of_phases.items(), key=lambda item: -item[1]))
        phase = next(iter(posterior))
        crystal = max((each for each in rivals if names[each.phase] == phase), key=lambda each: each.evidence)
        return Verdict(phase, crystal, posterior, lattices, posterior[phase] >= sure)
