"""Lattices fitted to pairs of spots of a patch and more, and how much likelier they are than unrelated spots."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.lattices import TILT, Lattices
from acquisition.analysis.patches import LONGEST, SHORTEST
from acquisition.analysis.spots import Spots, place_spread

Array = NDArray[np.float64]
Numbers = NDArray[np.intp]

_FAR = 16.0  # squares of standard deviations that a pair may be off in all
_NEAR = 12.0  # and a further spot
_HIDES = 0.12e9  # 1/m around a spot
_MISSED = 0.7  # how often, of what should show, something does show
_WEAK = -3.0  # logarithm of the evidence below which a lattice is no rival of any other
_MOST = 400  # seeds of a phase that are followed in one patch, the likeliest
_UNLIKELY = 32.0  # squares of standard deviations off the Ewald sphere beyond which nothing is missed


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
class _Seeds:
    """Lattices turned so that two spots fit, those of one phase after those of another.

    first, second: numbers of the spots; a, b: of the reflections that they may be.  alike: how many such pairs of
    reflections there are.  of: which phase.  axes: of the beam in the frame of the crystal, x, y and z, (seeds, 3, 3).
    """

    first: Numbers
    second: Numbers
    a: Numbers
    b: Numbers
    alike: Array
    of: Numbers
    axes: Array


class Fitting:
    """Fits lattices to the spots of one patch: turns them so that two spots fit, and looks what else does.

    For n spots with positions k_i, of reflections that show with probability p_i on the Ewald sphere and
    exp(-s^2/2 TILT^2) off it, the evidence is the integral over all orientations of the product of their likelihoods,
    over the density of unrelated spots: Gaussian in the turn about the beam and in both tilts.
    """

    def __init__(self, known: Lattices, spots: Spots) -> None:
        self._known, self._spots = known, spots
        self._seeds = self._seeded()

    def crystals(self, chance: Array, expected: Array) -> list[Crystal]:
        """Every set of spots that fits a phase, once for each set.

        chance: logarithm of the density of unrelated spots at each spot.  expected: logarithm of how many crystals of
        each phase there are.
        """
        known, seeds = self._known, self._seeds
        if seeds is None:
            return []
        rows = np.arange(len(seeds.first))
        pair = np.full((len(rows), len(self._spots)), -1, dtype=np.intp)
        pair[rows, seeds.first], pair[rows, seeds.second] = seeds.a, seeds.b
        more = self._more(seeds, pair, chance)
        longer = np.flatnonzero((more >= 0).sum(axis=1) > 2)
        rows, owned = np.concatenate([rows, longer]), np.concatenate([pair, more[longer]])
        evidence = self._evidence(seeds, rows, owned, chance, expected)
        best: dict[tuple[int, tuple[int, ...]], tuple[Numbers, float]] = {}
        likely = np.flatnonzero(evidence >= _WEAK)
        for one in likely[np.argsort(-evidence[likely], kind="stable")]:
            members = np.flatnonzero(owned[one] >= 0)
            key = int(seeds.of[rows[one]]), tuple(members.tolist())
            if key not in best:
                best[key] = owned[one][members], float(evidence[one])
            elif len(members) == 2:
                reflections, so_far = best[key]
                best[key] = reflections, float(np.logaddexp(so_far, evidence[one]))
        return [
            Crystal(known.parts[of].phase, spots, tuple(known.label(i) for i in reflections.tolist()), worth)
            for (of, spots), (reflections, worth) in best.items()
        ]

    def _seeded(self) -> _Seeds | None:
        """Two spots and the two reflections that they may be, the likeliest of each phase; None without any."""
        spots, known = self._spots, self._known
        first, second = np.triu_indices(len(spots), 1)
        length, along, across = spots.length, spots.along / spots.length, spots.across / spots.length
        lengths = np.stack([length[first], length[second]], axis=1)
        cosine = (spots.k[first] * spots.k[second]).sum(axis=1) / (lengths[:, 0] * lengths[:, 1])
        angles = np.arccos(np.clip(cosine, -1, 1))
        asked, found = known.pairs_near(lengths, angles)
        first, second = first[asked], second[asked]
        off = np.log(lengths[asked] / known.key[found, :2]) / np.stack([along[first], along[second]], axis=1)
        turned = (angles[asked] - known.key[found, 2]) / np.hypot(across[first], across[second])
        misfit = (off**2).sum(axis=1) + turned**2
        kept = np.flatnonzero(misfit < _FAR)
        if not kept.size:
            return None
        first, second, misfit, alike = first[kept], second[kept], misfit[kept], known.alike[found[kept]]
        a, b = known.pairs[found[kept]].T
        of = known.of[a]
        order = np.lexsort((misfit / 2 - np.log(known.shows[a] * known.shows[b] * alike), of))
        ahead = np.searchsorted(of[order], np.arange(len(known.parts)))  # seeds of the phases before
        order = order[np.arange(len(order)) - ahead[of[order]] < _MOST]
        first, second, a, b = first[order], second[order], a[order], b[order]
        return _Seeds(first, second, a, b, alike[order], of[order], self._axes(first, second, a, b))

    def _axes(self, first: Numbers, second: Numbers, a: Numbers, b: Numbers) -> Array:
        """Axes of the beam in the frame of the crystal that put reflections a and b on two spots."""
        k, one, other = self._spots.k, self._known.g[a], self._known.g[b]
        of_k, of_l = k[first], k[second]
        sense = np.sign(of_k[:, 0] * of_l[:, 1] - of_k[:, 1] * of_l[:, 0])
        long = self._known.length[a]
        x = one / long[:, None]
        z = _cross(one, other) * np.where(sense < 0, -1.0, 1.0)[:, None]
        high = np.sqrt((z**2).sum(axis=1))
        on_line = high < 1e-2 * long * self._known.length[b]
        if on_line.any():
            z[on_line] = _cross(x[on_line], np.eye(3)[np.abs(x[on_line]).argmin(axis=1)])  # any that is across
            high = np.sqrt((z**2).sum(axis=1))
        z /= high[:, None]
        y = _cross(z, x)
        of_b = np.arctan2((other * y).sum(axis=1), (other * x).sum(axis=1))
        turn, of_other = np.arctan2(of_k[:, 1], of_k[:, 0]), np.arctan2(of_l[:, 1], of_l[:, 0]) - of_b
        weight = (self._spots.length / self._spots.across) ** 2
        turn = turn + np.angle(np.exp(1j * (of_other - turn))) * weight[second] / (weight[first] + weight[second])
        cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
        return np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=1)

    def _near_sphere(self, across: Array, of: Numbers, within: Array, reflections: Numbers) -> tuple[Numbers, Numbers]:
        """Which lattices have which of some reflections (ascending) at a height of less than `within` (lattices,).

        across: the direction in the frame of the crystal that heights are counted along, (lattices, 3).
        """
        known, rows, columns = self._known, [], []
        between = np.searchsorted(of, np.arange(len(known.parts) + 1))
        ends = np.searchsorted(reflections, known.starts)
        for part in np.flatnonzero((np.diff(between) > 0) & (np.diff(ends) > 0)):
            here, there = slice(*between[part : part + 2]), slice(*ends[part : part + 2])
            height = across[here] @ known.g[reflections[there]].T
            row, column = np.nonzero(np.abs(height) < within[here, None])
            rows.append(row + here.start)
            columns.append(column + there.start)
        if not rows:
            return np.empty(0, np.intp), np.empty(0, np.intp)
        return np.concatenate(rows), np.concatenate(columns)

    def _more(self, seeds: _Seeds, pair: Numbers, chance: Array) -> Numbers:
        """Which reflection each spot may be besides, (seeds, spots); -1 for none."""
        spots, known = self._spots, self._known
        gain = -np.log(2 * math.pi * spots.along * spots.across) - chance
        # further off the sphere than this nothing is gained: the two spots may still tilt it
        height = TILT * math.sqrt(6 * max(float(gain.max()), 0.0))
        reach = math.sqrt(_NEAR) * np.maximum(spots.along, spots.across)
        nearest, farthest = spots.length - reach, np.hypot(spots.length + reach, height)
        reflection, spot = np.nonzero((known.length[:, None] > nearest) & (known.length[:, None] < farthest))
        seed, which = self._near_sphere(seeds.axes[:, 2], seeds.of, np.full(len(pair), height), reflection)
        reflection, spot = reflection[which], spot[which]
        at = _turned(seeds.axes[seed], known.g[reflection])
        k, length = spots.k[spot], spots.length[spot]
        x, y = at[:, 0] - k[:, 0], at[:, 1] - k[:, 1]
        along, across = (x * k[:, 0] + y * k[:, 1]) / length, (x * k[:, 1] - y * k[:, 0]) / length
        near = (along / spots.along[spot]) ** 2 + (across / spots.across[spot]) ** 2
        cost = near + (at[:, 2] / TILT) ** 2 / 3 - 2 * np.log(known.shows[reflection])
        kept = np.flatnonzero((near < _NEAR) & (cost < 2 * gain[spot]))
        kept = kept[np.argsort(-cost[kept], kind="stable")]  # the likeliest comes last, and stays
        owned = np.full(pair.shape, -1, dtype=np.intp)
        owned[seed[kept], spot[kept]] = reflection[kept]
        return np.where(pair >= 0, pair, owned)

    def _evidence(self, seeds: _Seeds, rows: Numbers, owned: Numbers, chance: Array, expected: Array) -> Array:
        """Logarithm of the evidence of some seeds with the spots that each owns, (rows,)."""
        spots, known = self._spots, self._known
        has = owned >= 0
        of = np.where(has, owned, 0)
        axes = seeds.axes[rows]
        at = known.g[of] @ axes.transpose(0, 2, 1)  # (rows, spots, 3)
        each = np.log(known.shows)[of] - (np.log(2 * math.pi * spots.along * spots.across) + chance)[None, :]
        total: Array = expected[seeds.of[rows]] - math.log(8 * math.pi**2) + np.log(seeds.alike[rows])
        total += np.where(has, each, 0.0).sum(axis=1)
        # turned about the beam
        off, way = spots.k[None] - at[:, :, :2], (spots.k / spots.length[:, None])[None]
        along = (off * way).sum(axis=2) / spots.along
        across = (way[:, :, 0] * off[:, :, 1] - way[:, :, 1] * off[:, :, 0]) / spots.across
        lever = spots.length / spots.across
        stiff = np.where(has, lever**2, 0.0).sum(axis=1)
        squares = np.where(has, along**2 + across**2, 0.0).sum(axis=1)
        squares = squares - np.where(has, across * lever, 0.0).sum(axis=1) ** 2 / stiff
        total += 0.5 * np.log(2 * math.pi / stiff) - squares / 2
        tilts, excited, free = _tilts(at, has)
        total += tilts + self._places(has)
        worth = np.flatnonzero(total > _WEAK)  # what is missing only makes it less
        worth = worth[np.argsort(seeds.of[rows[worth]], kind="stable")]
        total[worth] += self._missing(axes[worth], seeds.of[rows[worth]], excited[worth], free[worth])
        return total

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

    def _missing(self, axes: Array, of: Numbers, tilt: Array, free: Array) -> Array:
        """Logarithm of how likely it is that what else should show does not, (lattices,).

        axes: of lattices, ordered by phase.  tilt: the likeliest, (lattices, 2); free: its covariance, as its three
        elements, (lattices, 3).
        """
        known, k = self._known, self._spots.k
        tilted = axes[:, 2] + (tilt[:, :1] * axes[:, 1] - tilt[:, 1:] * axes[:, 0]) / TILT
        widest = 1 + (free[:, 0] + free[:, 2]) * (float(known.length.max()) / TILT) ** 2
        every = np.arange(len(known.g))
        one, which = self._near_sphere(tilted, of, TILT * np.sqrt(_UNLIKELY * widest), every)
        at = _turned(axes[one], known.g[which])
        length = np.hypot(at[:, 0], at[:, 1])
        upper = (at[:, 1] > 0) & (length > 1 / LONGEST) & (length < 1 / SHORTEST)  # one of each Friedel pair
        one, which, at = one[upper], which[upper], at[upper]
        x, y = at[:, 1] / TILT, -at[:, 0] / TILT
        height = at[:, 2] / TILT + x * tilt[one, 0] + y * tilt[one, 1]
        wide = 1 + x**2 * free[one, 0] + 2 * x * y * free[one, 1] + y**2 * free[one, 2]
        likely = height**2 < _UNLIKELY * wide
        one, which, at, height, wide = one[likely], which[likely], at[likely], height[likely], wide[likely]
        shows = _MISSED * known.shows[which] * np.exp(-0.5 * height**2 / wide) / np.sqrt(wide)
        # whatever else is there would hide it
        off = [(at[:, 0, None] - sign * k[:, 0]) ** 2 + (at[:, 1, None] - sign * k[:, 1]) ** 2 for sign in (1, -1)]
        seen = (np.minimum(*off) < _HIDES**2).any(axis=1)
        return np.asarray(np.bincount(one, np.where(seen, 0.0, np.log1p(-shows)), len(axes)), np.float64)


def _tilts(at: Array, has: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """Logarithm of the integral over both tilts, the likeliest (rows, 2), and its covariance: xx, xy, yy, (rows, 3)."""
    x, y = np.where(has, at[:, :, 1] / TILT, 0.0), np.where(has, -at[:, :, 0] / TILT, 0.0)
    height = np.where(has, at[:, :, 2] / TILT, 0.0)
    # about one axis of spots on a line it may be turned as it likes
    loose = 1 / (2 * math.pi)
    xx, xy, yy = (x**2).sum(axis=1) + loose, (x * y).sum(axis=1), (y**2).sum(axis=1) + loose
    whole = xx * yy - xy**2
    free = np.stack([yy, -xy, xx], axis=1) / whole[:, None]
    of_x, of_y = (x * height).sum(axis=1), (y * height).sum(axis=1)
    best = -np.stack([free[:, 0] * of_x + free[:, 1] * of_y, free[:, 1] * of_x + free[:, 2] * of_y], axis=1)
    rest = (height**2).sum(axis=1) + best[:, 0] * of_x + best[:, 1] * of_y
    return math.log(2 * math.pi) - 0.5 * np.log(whole) - rest / 2, best, free


def _turned(axes: Array, g: Array) -> Array:
    """Vectors (n, 3) in the frames of the beam, of the axes (n, 3, 3)."""
    turned: Array = (axes @ g[:, :, None])[:, :, 0]
    return turned


def _cross(one: Array, other: Array) -> Array:
    """Vector product of (n, 3) with (n, 3)."""
    (a, b, c), (d, e, f) = one.T, other.T
    return np.stack([b * f - c * e, c * d - a * f, a * e - b * d], axis=1)
