"""What spots each candidate phase may show, alone and in pairs, at the temperature of the sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import spatial

from acquisition.analysis.patches import LONGEST, SHORTEST
from physics.crystals import reflections
from physics.elastic import form_factor

Array = NDArray[np.float64]

CANDIDATES = (
    *("Li", "Li2O", "Li3N", "Li3PO4", "gamma-Li3PO4"),
    *("Li3P", "LiOH", "Li2CO3", "ice", "Cu"),
)
POLYMORPHS = {"gamma-Li3PO4": "Li3PO4"}  # reported under one name
TILT = 0.10e9  # 1/m: how far off the Ewald sphere spots of small crystals still show, standard deviation
_FAINT = 1.3  # V: of this strength every second reflection at 1/3 A shows in a film of some ten nanometres
_AT = 3.3e9  # 1/m
_UNSEEN = 0.06  # a reflection that shows less often than this is left out
_PLANE = math.radians(8.0)  # pairs of reflections at smaller angles than this are left out, but for
_LINE = 1e-3  # rad: those on one line, orders of one another

_REACH = 0.035  # relative, of lengths
_REACH_ANGLE = 0.045  # rad


@dataclass(frozen=True)
class Lattice:
    """One phase as far as its spots go.

    g: in the crystal's own frame, 1/m, (n, 3).  length: (n,).  shows: how often each shows when it lies on the Ewald
    sphere, 0 to 1, (n,): a weak guess from its strength.  labels: indices as people write them.
    pairs: two of them each, (m, 2), and how many alike there are, (m,).  key: both lengths and the angle, (m, 3).
    """

    phase: str
    g: Array
    length: Array
    shows: Array
    labels: tuple[str, ...]
    pairs: NDArray[np.intp]
    alike: Array
    key: Array

    @property
    def reported(self) -> str:
        """The name that results give it."""
        return POLYMORPHS.get(self.phase, self.phase)

    def nearest(self, length: float) -> int:
        """Return the reflection with a length, 1/m, nearest to this one, that has the fewest minus signs."""
        off = np.abs(self.length - length)
        alike = np.flatnonzero(off < off.min() * (1 + 1e-6) + 1e-4 * length)
        return int(min(alike, key=lambda number: (self.labels[number].count("-"), off[number])))

    @cached_property
    def doubles(self) -> float:
        """How often a crystal of any orientation shows two spots at an angle, 0 to 1; a guess as good as `shows`."""
        apart = np.sin(self.key[:, 2])
        shown = self.alike * self.shows[self.pairs].prod(axis=1) / (self.length[self.pairs].prod(axis=1) * apart + 1)
        # either order, and either of each Friedel pair
        return 1 - math.exp(-float(shown[apart > math.sin(_PLANE)].sum()) * TILT**2 / 16)


@dataclass(frozen=True)
class Lattices:
    """Several phases as far as their spots go, one after another, so that all of them are fitted at once.

    parts: each of them, n.  starts: number of the first reflection of each and of what would come next, (n + 1,).
    of: which of the phases a reflection is of; g, length, shows: as those of one.  pairs, alike, key: as those of one,
    with their reflections counted through; tree: of the keys.
    """

    parts: tuple[Lattice, ...]
    starts: NDArray[np.intp]
    of: NDArray[np.intp]
    g: Array
    length: Array
    shows: Array
    pairs: NDArray[np.intp]
    alike: Array
    key: Array
    tree: spatial.cKDTree

    def label(self, number: int) -> str:
        """Return the indices of a reflection."""
        of = int(self.of[number])
        return self.parts[of].labels[number - int(self.starts[of])]

    def ring(self, expected: Array, length: Array, error: Array) -> Array:
        """Return the density of single spots of crystals of any orientation at distances (s,), m^2.

        expected: how many crystals of each phase, (n,).  Of half the plane, as one of each Friedel pair is counted;
        error: of the distances, 1/m.
        """
        # share of orientations that each reflection shows in
        found = math.sqrt(2 * math.pi) * TILT / (2 * self.length) * self.shows * expected[self.of]
        off = (length[:, None] - self.length[None, :]) / error[:, None]
        line = np.exp(-0.5 * off**2) @ found / (math.sqrt(2 * math.pi) * error)
        density: Array = line / (2 * math.pi * length)
        return density

    def pairs_near(self, lengths: Array, angles: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return which pairs of spots may be which pairs of reflections: numbers of both, (m,) each.

        lengths: of the pairs of spots, (n, 2), 1/m.  angles: between them, 0 to pi, (n,).
        """
        asked = _scaled(np.concatenate([lengths, angles[:, None]], axis=1))
        near = self.tree.query_ball_point(asked, r=1.0, p=np.inf)
        numbers = np.repeat(np.arange(len(asked)), [len(each) for each in near])
        return numbers, np.array([pair for each in near for pair in each], dtype=np.intp)


@lru_cache(maxsize=32)
def lattice(phase: str, temperature: float) -> Lattice:
    """Return a candidate at a temperature, K; ValueError for an unknown one."""
    found = reflections(phase, temperature, 1.02 / SHORTEST)
    strength, length = np.abs(found.potential), np.linalg.norm(found.g, axis=1)
    # an amorphous film and the shot noise leave less to hide weak reflections further out
    hidden = _FAINT * np.maximum(form_factor("O", length) / float(form_factor("O", _AT)), 0.35)
    shows = strength**2 / (strength**2 + hidden**2)
    kept = (shows > _UNSEEN) & (length > 0.98 / LONGEST)
    g, length, shows = found.g[kept], length[kept], shows[kept]
    pairs, alike, key = _pairs(g, length, shows)
    labels = tuple("".join(f"{i:d}" if abs(i) < 10 else f" {i:d} " for i in row) for row in found.indices[kept])
    return Lattice(phase, g, length, shows, labels, pairs, alike, key)


@lru_cache(maxsize=8)
def lattices(phases: tuple[str, ...], temperature: float) -> Lattices:
    """Return several candidates at a temperature, K; ValueError for an unknown one."""
    parts = tuple(lattice(phase, temperature) for phase in phases)
    starts = np.concatenate([[0], np.cumsum([len(one.g) for one in parts])]).astype(np.intp)
    key = np.concatenate([one.key for one in parts])
    return Lattices(
        parts,
        starts,
        np.repeat(np.arange(len(parts)), np.diff(starts)),
        np.concatenate([one.g for one in parts]),
        np.concatenate([one.length for one in parts]),
        np.concatenate([one.shows for one in parts]),
        np.concatenate([one.pairs + start for one, start in zip(parts, starts, strict=False)]),
        np.concatenate([one.alike for one in parts]),
        key,
        spatial.cKDTree(_scaled(key)),
    )


def _scaled(key: Array) -> Array:
    """Lengths and angles such that what may be alike is less than 1 apart."""
    lengths: Array = np.log(key[:, :2]) / _REACH
    return np.concatenate([lengths, key[:, 2:] / _REACH_ANGLE], axis=1)


def _pairs(g: Array, length: Array, shows: Array) -> tuple[NDArray[np.intp], Array, Array]:
    """Every kind of ordered pair of reflections at an angle, how many there are of it, and lengths and angle."""
    first, second = (part.ravel() for part in np.indices((len(g), len(g))))
    cosine = np.clip((g @ g.T).ravel() / (length[first] * length[second]), -1, 1)
    angle = np.arccos(cosine)
    apart = np.minimum(angle, math.pi - angle)
    kept = (apart > _PLANE) | ((apart < _LINE) & (np.abs(length[first] / length[second] - 1) > _REACH))
    first, second, angle = first[kept], second[kept], angle[kept]
    key = np.stack([length[first], length[second], angle], axis=1)
    # of pairs that look alike the one whose spots show best stands for all
    order = np.argsort(-shows[first] * shows[second], kind="stable")
    kind = np.rint(key[order] / np.array([1e4, 1e4, 1e-5])).astype(np.int64) @ np.array([1 << 40, 1 << 20, 1])
    _, where, counts = np.unique(kind, return_index=True, return_counts=True)
    where = order[where]
    return np.stack([first[where], second[where]], axis=1), counts.astype(np.float64), key[where]
