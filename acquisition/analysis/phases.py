"""Which phase the spots of a patch belong to: lattices fitted to pairs of spots and more, weighed against chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.lattices import CANDIDATES, TILT, Lattice, lattice, pairs_near
from acquisition.analysis.patches import LONGEST, SHORTEST, false_density
from acquisition.analysis.spots import Spots, place_spread

Array = NDArray[np.float64]

SURE = 0.9  # posterior from which a verdict is given
CRYSTALS = 0.3  # of each candidate a patch, before anything is known
_STRANGE = 0.5  # spots a patch that belong to none of the candidates
_FAR = 16.0  # squares of standard deviations that a pair may be off in all
_NEAR = 12.0  # and a further spot
_HIDES = 0.12e9  # 1/m around a spot
_MISSED = 0.7  # how often, of what should show, something does show
_WEAK = -3.0  # logarithm of the evidence below which a lattice is no rival of any other
_MOST = 400  # seeds of a phase that are followed in one patch, the likeliest


@dataclass(frozen=True)
class Crystal:
    """A lattice that explains some spots of a patch.

    phase: candidate.  spots: their numbers, ascending.  labels: indices of each.  evidence: logarithm of how many times
    likelier the spots are with this crystal than with spots of unrelated crystals and noise, with what was expected
    beforehand in it.
    """

    phase: str
    spots: tuple[int, ...]
    labels: tuple[str, ...]
    evidence: float


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
        self.lattices = tuple(lattice(phase, temperature) for phase in phases)
        self.expected = {one.phase: CRYSTALS if expected is None else expected[one.phase] for one in self.lattices}

    def verdicts(self, spots: Spots, sure: float = SURE) -> list[Verdict]:
        """Return what the spots of one patch are, the clearest first; single spots decide nothing."""
        crystals = self.crystals(spots)
        found: list[Verdict] = []
        taken: set[int] = set()
        while free := [each for each in crystals if not taken & set(each.spots)]:
            best = max(free, key=lambda each: each.evidence)
            if best.evidence < 0:
                break
            found.append(self._judge(best, free, sure))
            taken |= set(best.spots)
        return found

    def crystals(self, spots: Spots) -> list[Crystal]:
        """Return every lattice that at least two spots at an angle may belong to, and its evidence."""
        if len(spots) < 2:
            return []
        chance = np.log(self.chance(spots))
        return [
            each
            for one in self.lattices
            for each in _Fitting(one, spots, chance, math.log(self.expected[one.phase])).crystals()
        ]

    def chance(self, spots: Spots) -> Array:
        """Return the density of unrelated spots at each spot, m^2: noise, what no candidate explains, single crystals.

        Of half the plane.  Noise gives few strong spots; crystals give spots above a ratio as its inverse.
        """
        of_crystals = spots.floor / spots.ratio**2
        area = math.pi / 2 * (SHORTEST**-2 - LONGEST**-2)
        density = false_density(spots.ratio, spots.side) / of_crystals + _STRANGE / area
        for one in self.lattices:
            density = density + self.expected[one.phase] * one.ring(spots.length, spots.along)
        return np.asarray(density)

    def _judge(self, best: Crystal, free: Sequence[Crystal], sure: float) -> Verdict:
        names = {one.phase: one.reported for one in self.lattices}
        rivals = [each for each in free if set(each.spots) & set(best.spots)]
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


class _Fitting:
    """Fits one lattice to the spots of one patch: turns it so that two spots fit, and looks what else does.

    For n spots with positions k_i, of reflections that show with probability p_i on the Ewald sphere and
    exp(-s^2/2 TILT^2) off it, the evidence is the integral over all orientations of the product of their likelihoods,
    over the density of unrelated spots: Gaussian in the turn about the beam and in both tilts.
    """

    def __init__(self, one: Lattice, spots: Spots, chance: Array, expected: float) -> None:
        self._one, self._spots, self._chance = one, spots, chance
        self._prior = expected - math.log(8 * math.pi**2)

    def crystals(self) -> list[Crystal]:
        """Every set of spots that fits, once for each set."""
        seeds = self._seeds()
        if seeds is None:
            return []
        first, second, a, b, alike = seeds
        turned = self._turned(first, second, a, b)  # (seeds, reflections, 3)
        pair = np.full((len(first), len(self._spots)), -1, dtype=np.intp)
        rows = np.arange(len(first))
        pair[rows, first], pair[rows, second] = a, b
        best: dict[tuple[int, ...], Crystal] = {}
        sums: dict[tuple[int, ...], float] = {}
        more = self._more(turned, pair)
        longer = (more >= 0).sum(axis=1) > 2
        for owned, of, several in ((pair, turned, alike), (more[longer], turned[longer], alike[longer])):
            evidence = self._evidence(of, owned, np.log(several)) if len(owned) else np.empty(0)
            for seed in np.argsort(-evidence):
                if evidence[seed] < _WEAK:
                    break
                members = np.flatnonzero(owned[seed] >= 0)
                spots = tuple(members.tolist())
                if len(spots) == 2:
                    sums[spots] = np.logaddexp(sums.get(spots, -np.inf), evidence[seed])
                if spots not in best:
                    labels = tuple(self._one.labels[i] for i in owned[seed][members])
                    best[spots] = Crystal(self._one.phase, spots, labels, float(evidence[seed]))
        return [
            Crystal(each.phase, each.spots, each.labels, float(sums.get(each.spots, each.evidence)))
            for each in best.values()
        ]

    def _seeds(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], Array] | None:
        """Numbers of two spots and of the two reflections that they may be, and how many such pairs there are."""
        spots, one = self._spots, self._one
        first, second = np.triu_indices(len(spots), 1)
        length, along, across = spots.length, spots.along / spots.length, spots.across / spots.length
        lengths = np.stack([length[first], length[second]], axis=1)
        cosine = np.einsum("ij,ij->i", spots.k[first], spots.k[second]) / (lengths[:, 0] * lengths[:, 1])
        angles = np.arccos(np.clip(cosine, -1, 1))
        asked, found = pairs_near(one, lengths, angles)
        first, second = first[asked], second[asked]
        off = np.log(lengths[asked] / one.key[found, :2]) / np.stack([along[first], along[second]], axis=1)
        turned = (angles[asked] - one.key[found, 2]) / np.hypot(across[first], across[second])
        misfit = (off**2).sum(axis=1) + turned**2
        kept = np.flatnonzero(misfit < _FAR)
        if not kept.size:
            return None
        a, b = one.pairs[found].T
        worth = np.log(one.shows[a] * one.shows[b] * one.alike[found]) - misfit / 2
        kept = kept[np.argsort(-worth[kept])[:_MOST]]
        return first[kept], second[kept], a[kept], b[kept], one.alike[found[kept]]

    def _turned(
        self, first: NDArray[np.intp], second: NDArray[np.intp], a: NDArray[np.intp], b: NDArray[np.intp]
    ) -> Array:
        """All reflections in the frame of the beam, turned so that reflections a and b lie on two spots."""
        g, k = self._one.g, self._spots.k
        one, other = k[first], k[second]
        sense = np.sign(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
        x = g[a] / np.linalg.norm(g[a], axis=1)[:, None]
        z = np.cross(g[a], g[b]) * np.where(sense < 0, -1.0, 1.0)[:, None]
        on_line = np.linalg.norm(z, axis=1) < 1e-2 * np.linalg.norm(g[a], axis=1) * np.linalg.norm(g[b], axis=1)
        z[on_line] = np.cross(x[on_line], np.eye(3)[np.abs(x[on_line]).argmin(axis=1)])  # any that is across
        z /= np.linalg.norm(z, axis=1)[:, None]
        y = np.cross(z, x)
        of_b = np.arctan2(np.einsum("ij,ij->i", g[b], y), np.einsum("ij,ij->i", g[b], x))
        of_one, of_other = np.arctan2(one[:, 1], one[:, 0]), np.arctan2(other[:, 1], other[:, 0]) - of_b
        weight = (self._spots.length / self._spots.across) ** 2
        between = np.angle(np.exp(1j * (of_other - of_one)))
        turn = of_one + between * weight[second] / (weight[first] + weight[second])
        cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
        axes = np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=1)
        turned: Array = np.einsum("sij,mj->smi", axes, g)
        return turned

    def _more(self, turned: Array, pair: NDArray[np.intp]) -> NDArray[np.intp]:
        """Which reflection each spot may be besides, (seeds, spots); -1 for none."""
        spots, one = self._spots, self._one
        tilt = (turned[:, :, 2] / TILT) ** 2 / 3 - 2 * np.log(one.shows)[None, :]  # the two spots may still tilt it
        owned = pair.copy()
        for spot, (k, along, across) in enumerate(zip(spots.k, spots.along, spots.across, strict=True)):
            off, way = turned[:, :, :2] - k, k / np.hypot(*k)
            near = ((off @ way) / along) ** 2 + ((off[:, :, 0] * way[1] - off[:, :, 1] * way[0]) / across) ** 2
            cost = np.where(near < _NEAR, near + tilt, np.inf)
            which = cost.argmin(axis=1)
            gain = -cost.min(axis=1) / 2 - math.log(2 * math.pi * along * across) - self._chance[spot]
            owned[:, spot] = np.where(pair[:, spot] >= 0, pair[:, spot], np.where(gain > 0, which, -1))
        return owned

    def _evidence(self, turned: Array, owned: NDArray[np.intp], several: Array) -> Array:
        """Logarithm of the evidence of each seed with the spots that it owns, (seeds,); several: of how many alike."""
        spots, one = self._spots, self._one
        has = owned >= 0
        of = np.where(has, owned, 0)
        at = np.take_along_axis(turned, of[:, :, None], axis=1)  # (seeds, spots, 3)
        each = np.log(one.shows)[of] - (np.log(2 * math.pi * spots.along * spots.across) + self._chance)[None, :]
        total: Array = self._prior + several + np.where(has, each, 0.0).sum(axis=1)
        # turned about the beam
        off, way = spots.k[None] - at[:, :, :2], (spots.k / spots.length[:, None])[None]
        along = (off * way).sum(axis=2) / spots.along
        across = (way[:, :, 0] * off[:, :, 1] - way[:, :, 1] * off[:, :, 0]) / spots.across
        lever = spots.length / spots.across
        stiff = np.where(has, lever**2, 0.0).sum(axis=1)
        squares = np.where(has, along**2 + across**2, 0.0).sum(axis=1)
        squares = squares - np.where(has, across * lever, 0.0).sum(axis=1) ** 2 / stiff
        total += 0.5 * np.log(2 * math.pi / stiff) - squares / 2
        tilts, excited, free = self._tilts(at, has)
        total += tilts + self._places(has)
        worth = total > _WEAK  # what is missing only makes it less
        total[worth] += self._missing(turned[worth], excited[worth], free[worth])
        return total

    def _tilts(self, at: Array, has: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
        """Logarithm of the integral over both tilts; the likeliest tilt (seeds, 2); its covariance (seeds, 2, 2)."""
        lever = np.stack([at[:, :, 1], -at[:, :, 0]], axis=2) / TILT
        lever = np.where(has[:, :, None], lever, 0.0)
        height = np.where(has, at[:, :, 2] / TILT, 0.0)
        # about one axis of spots on a line it may be turned as it likes
        matrix = np.einsum("sia,sib->sab", lever, lever) + np.eye(2) / (2 * math.pi)
        free = np.linalg.inv(matrix)
        best = -np.einsum("sab,sib,si->sa", free, lever, height)
        rest = (height**2).sum(axis=1) - np.einsum("sa,sab,sb->s", best, matrix, best)
        whole: Array = math.log(2 * math.pi) - 0.5 * np.log(np.linalg.det(matrix)) - rest / 2
        return whole, best, free

    def _places(self, has: NDArray[np.bool_]) -> Array:
        """Logarithm of how much likelier their places are for one crystal than for several."""
        spots, wide = self._spots, place_spread(self._spots.side) ** 2
        variance = spots.place_error**2
        weight = np.where(has, 1 / variance, 0.0)
        pooled = 1 / (1 / wide + weight.sum(axis=1))
        middle = pooled[:, None] * (weight @ spots.place)
        apart = (weight * (spots.place**2).sum(axis=1)).sum(axis=1) - (middle**2).sum(axis=1) / pooled
        alone = (spots.place**2).sum(axis=1) / (2 * (wide + variance)) + np.log((wide + variance) / variance)
        result: Array = -0.5 * apart + np.log(pooled / wide) + np.where(has, alone, 0.0).sum(axis=1)
        return result

    def _missing(self, turned: Array, tilt: Array, free: Array) -> Array:
        """Logarithm of how likely it is that what else should show does not."""
        one = self._one
        lever = np.stack([turned[:, :, 1], -turned[:, :, 0]], axis=2) / TILT
        height = turned[:, :, 2] / TILT + np.einsum("sma,sa->sm", lever, tilt)
        wide = 1 + np.einsum("sma,sab,smb->sm", lever, free, lever)
        shows = _MISSED * one.shows[None, :] * np.exp(-0.5 * height**2 / wide) / np.sqrt(wide)
        lengths = np.hypot(turned[:, :, 0], turned[:, :, 1])
        upper = (turned[:, :, 1] > 0) & (lengths > 1 / LONGEST) & (lengths < 1 / SHORTEST)  # one of each Friedel pair
        unseen = np.where(upper, np.log1p(-shows), 0.0)
        for k in (*self._spots.k, *-self._spots.k):  # whatever else is there would hide it
            unseen[((turned[:, :, :2] - k) ** 2).sum(axis=2) < _HIDES**2] = 0.0
        whole: Array = unseen.sum(axis=1)
        return whole
