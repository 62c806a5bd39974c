"""Reflections of crystals under a focused probe: how much of the beam goes where, averaged over the cone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from drivers.rigfile import Optics
from physics.crystals import reflections
from physics.electrons import interaction_constant, wavelength
from simulators.sample.scene import Crystals

Array = NDArray[np.float64]

LONGEST = 1.6e10  # 1/m; the reflections beyond are faint
_LOBES = 1.5  # excitation errors looked at, over 1/(path), besides the cone
_SMALL, _LARGE = 6, 96  # directions across the cone: enough for a crystal of 10 nm, and for a film
_BOUND = 0.5  # of the electrons may be diffracted
_FAINT = 5e-5  # of the electrons; a reflection with less is left out
FOLLOWED = 0.8  # so much of what small crystals diffract is more than that, and within their reflections' main lobes


@dataclass(frozen=True)
class Spots:
    """Reflections at places, one place after the other.

    first: those of place i are first[i] to first[i + 1], (places + 1,).  shift: by how many pixels, down and across,
    (n, 2).  share: of the electrons of its place, (n,).
    """

    first: NDArray[np.intp]
    shift: NDArray[np.float32]
    share: NDArray[np.float32]

    @classmethod
    def none(cls, places: int) -> Spots:
        """Nothing is diffracted."""
        return cls(np.zeros(places + 1, np.intp), np.empty((0, 2), np.float32), np.empty(0, np.float32))

    @classmethod
    def of(cls, places: int, where: NDArray[np.intp], shift: NDArray[Any], share: NDArray[Any]) -> Spots:
        """Reflections in any order, `where`: the place of each, (n,); those of a place never exceed a half."""
        order = np.argsort(where, kind="stable")
        where, share = where[order], share[order]
        whole = np.bincount(where, share, minlength=places)
        share = share * np.minimum(1.0, _BOUND / np.maximum(whole, _BOUND))[where]
        first = np.searchsorted(where, np.arange(places + 1))
        return cls(first, shift[order].astype(np.float32), share.astype(np.float32))

    def __len__(self) -> int:
        return len(self.first) - 1

    def at(self, place: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Shifts and shares of one place."""
        part = slice(self.first[place], self.first[place + 1])
        return self.shift[part], self.share[part]

    def taken(self, places: NDArray[np.intp]) -> Spots:
        """Those of some places, each as often as it is named."""
        counts = np.diff(self.first)[places]
        first = np.concatenate([[0], np.cumsum(counts)])
        which = np.arange(first[-1]) + np.repeat(self.first[places] - first[:-1], counts)
        return Spots(first, self.shift[which], self.share[which])

    def where(self) -> NDArray[np.intp]:
        """The place of each reflection, (n,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.first))


def joined(parts: Iterable[Spots]) -> Spots:
    """Several, one after the other."""
    spots = list(parts)
    ends = np.cumsum([0, *(each.first[-1] for each in spots)])
    first = [each.first[:-1] + end for each, end in zip(spots, ends, strict=False)]
    return Spots(
        np.concatenate([*first, ends[-1:]]).astype(np.intp),
        np.concatenate([each.shift for each in spots] or [np.empty((0, 2), np.float32)]),
        np.concatenate([each.share for each in spots] or [np.empty(0, np.float32)]),
    )


def together(one: Spots, other: Spots) -> Spots:
    """The reflections of both at the same places."""
    if not len(one.share):
        return other
    if not len(other.share):
        return one
    shift, share = np.concatenate([one.shift, other.shift]), np.concatenate([one.share, other.share])
    return Spots.of(len(one), np.concatenate([one.where(), other.where()]), shift, share)


class Bragg:
    """Reflections for one probe.

    Two beams at a time (Reimer and Kohl, chapter 7): share = sin^2(pi t sqrt(s^2 + 1/xi^2)) / (1 + (s xi)^2), with the
    extinction distance xi = pi/(sigma V_g), V_g times what the beam left of the lattice's amplitude, and s for every
    direction in the cone.  What is diffracted twice is left out.  angle: that a pixel spans, rad.
    """

    def __init__(self, optics: Optics, angle: float) -> None:
        self._cone, self._angle = optics.convergence, angle
        self._length = wavelength(optics.beam_energy)
        self._per_volt = interaction_constant(optics.beam_energy) / np.pi

    def under(self, crystals: Crystals, x: Array, y: Array, temperature: float) -> tuple[Spots, dict[str, Array]]:
        """Reflections of spheres under a thin probe at places x, y of their frame, m, (places,).

        And how many metres of each phase it goes through there, (places,).
        """
        tree = cKDTree(np.column_stack([x, y]))
        inside = tree.query_ball_point(crystals.centre[:, :2], crystals.radius) if len(crystals) else []
        counts = np.array([len(each) for each in inside], np.intp)
        if not counts.any():
            return Spots.none(len(x)), {}
        place: NDArray[np.intp] = np.concatenate([np.asarray(each, np.intp) for each in inside if each])
        sphere = np.repeat(np.arange(len(crystals)), counts)
        away = np.hypot(x[place] - crystals.centre[sphere, 0], y[place] - crystals.centre[sphere, 1])
        path = 2.0 * np.sqrt(np.maximum(crystals.radius[sphere] ** 2 - away**2, 0.0))
        phase = crystals.phase[sphere]
        paths = {
            crystals.phases[one]: np.asarray(np.bincount(place[phase == one], path[phase == one], len(x)), np.float64)
            for one in np.unique(phase)
        }
        met = np.flatnonzero(counts)
        first, error, shift, strength = self._near(crystals, met, temperature)
        number = np.zeros(len(crystals), np.intp)
        number[met] = np.arange(len(met))
        mine = number[sphere]
        many = np.diff(first)[mine]
        pair = np.repeat(np.arange(len(mine)), many)
        which = np.arange(len(pair)) + np.repeat(first[mine] - np.cumsum(many) + many, many)
        share = self._share(error[which], shift[which], strength[which], path[pair], _SMALL)
        kept = np.flatnonzero(share > _FAINT)
        return Spots.of(len(x), place[pair[kept]], self._pixels(shift[which[kept]]), share[kept]), paths

    def film(self, phase: str, turn: Array, depth: float, left: float, temperature: float) -> tuple[Array, Array]:
        """Of one grain through which the probe goes `depth` m: g across the beam, 1/m, (n, 2), and shares, (n,)."""
        found = reflections(phase, temperature, LONGEST)
        g = found.g @ np.asarray(turn).T
        length = np.linalg.norm(g, axis=1)
        error = -g[:, 2] - self._length * length**2 / 2.0
        near = np.abs(error) < self._cone * length + 10.0 * _LOBES / depth
        strength = self._per_volt * np.abs(found.potential[near]) * left
        share = self._share(error[near], g[near, :2], strength, np.full(near.sum(), depth), _LARGE)
        share *= min(1.0, _BOUND / max(share.sum(), _BOUND))
        kept = share > _FAINT
        return g[near][kept, :2], share[kept]

    def spots(self, g: Array, share: Array) -> Spots:
        """Those of a film as they stand at one place."""
        return Spots(np.array([0, len(share)]), self._pixels(g).astype(np.float32), share.astype(np.float32))

    def _near(
        self, crystals: Crystals, met: NDArray[np.intp], temperature: float
    ) -> tuple[NDArray[np.intp], Array, Array, Array]:
        """Reflections near Bragg's condition of some spheres, one after the other.

        Where those of each begin, (spheres + 1,); excitation error, 1/m; g across the beam, 1/m, (n, 2); 1/xi, 1/m.
        """
        owners, errors, across, strengths = [], [], [], []
        for phase in np.unique(crystals.phase[met]):
            mine = np.flatnonzero(crystals.phase[met] == phase)
            found = reflections(crystals.phases[phase], temperature, LONGEST)
            length = np.linalg.norm(found.g, axis=1)
            turn = crystals.turn[met[mine]]
            error = -(turn[:, 2, :] @ found.g.T) - self._length * length**2 / 2.0
            reach = self._cone * length + _LOBES / (2.0 * crystals.radius[met[mine], None])
            owner, reflection = np.nonzero(np.abs(error) < reach)
            owners.append(mine[owner])
            errors.append(error[owner, reflection])
            across.append(np.einsum("nij,nj->ni", turn[owner, :2], found.g[reflection]))
            left = crystals.left[met[mine]][owner]
            strengths.append(self._per_volt * np.abs(found.potential[reflection]) * left)
        owned = np.concatenate(owners)
        order = np.argsort(owned, kind="stable")
        first = np.searchsorted(owned[order], np.arange(len(met) + 1))
        error, shift, strength = (np.concatenate(each)[order] for each in (errors, across, strengths))
        return first, error, shift, strength

    def _share(self, error: Array, across: Array, strength: Array, path: Array, directions: int) -> Array:
        """Share of the electrons, mean over a cone evenly filled: along g its directions are a half circle."""
        turn = np.pi * np.arange(1, directions + 1) / (directions + 1)
        weight = 2.0 / (directions + 1) * np.sin(turn) ** 2
        spread = self._cone * np.hypot(across[:, 0], across[:, 1])
        share = np.zeros(len(error))
        for cosine, part in zip(np.cos(turn), weight, strict=True):
            beating = np.hypot(error - spread * cosine, strength)
            share += part * (strength * path * np.sinc(path * beating)) ** 2
        return share * np.pi**2

    def _pixels(self, g: Array) -> Array:
        """Rows and columns that a reflection is away: y down, x across."""
        return np.asarray(g[:, ::-1] * (self._length / self._angle))
