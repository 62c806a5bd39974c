"""Five bands across the interface in a lattice image, fixed from the composition before any spot is looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from acquisition.analysis.interface import coordinates
from acquisition.analysis.patches import Patch, tile
from physics.materials import Material, atom_mass

Array = NDArray[np.float64]

BANDS = ("lithium", "lithium-side", "middle", "lipon-side", "lipon")
ENOUGH = 20  # patches of each
_BLOCK = 4e-9  # m: lattice fringes and most of the noise are averaged out
_TILTED = 0.03  # what illumination and a wedge may do to the intensity across the field, standard deviation
_TURNS = np.radians(np.arange(0.0, 360.0, 15.0))
_FOUND = 40.0  # gain in chi2, for the step is looked for everywhere and in every direction
_EXTENTS = np.array([2.0, 10.0, 20.0, 40.0, 60.0, 80.0, 110.0, 140.0]) * 1e-9
MARGIN = 12.8e-9  # m that control patches keep from the interphase, besides half of themselves


@dataclass(frozen=True)
class Composition:
    """How the mass a volume grows across the interface.

    ramps: element -> where it begins to rise and where it is as in the film, m from the interface; None as long as
    nothing but the lattice image itself tells.  metal, film: materials on the two sides.
    """

    metal: Material
    film: Material
    ramps: Mapping[str, tuple[float, float]] | None

    def extent(self) -> tuple[float, float]:
        """Return where the interphase begins and ends, m from the interface; ValueError when no ramp is known."""
        if not self.ramps:
            raise ValueError("no ramp across the interface is known")
        return min(start for start, _ in self.ramps.values()), max(end for _, end in self.ramps.values())

    def share(self, position: Array, extent: float) -> Array:
        """Return the share of the film's mass at places, m, 0 in the metal and 1 in the film.

        extent: of a single ramp around 0, m, that stands in where no ramps are known. What the line-scan does not see
        (lithium, or an element without a ramp) is taken to change with the phosphorus, or with the mean of all.
        """
        ramps = self.ramps or {"": (-extent / 2, extent / 2)}
        risen = {
            element: np.clip((position - start) / max(end - start, 1e-10), 0.0, 1.0)
            for element, (start, end) in ramps.items()
        }
        other = risen.get("P", sum(risen.values(), np.zeros_like(position)) / len(risen))
        whole = {element: density * atom_mass(element) for element, density in self.film.number_densities.items()}
        mass = sum(density * risen.get(element, other) for element, density in whole.items())
        mass = mass + self.metal.density * (1 - other)
        result: Array = (mass - self.metal.density) / (sum(whole.values()) - self.metal.density)
        return result

    def lithium(self, position: float) -> float:
        """Return the share of metal at a place, m: what the phosphorus leaves."""
        if not self.ramps:
            return 0.5
        start, end = self.ramps.get("P", self.extent())
        return float(np.clip((end - position) / max(end - start, 1e-10), 0.0, 1.0))


@dataclass(frozen=True)
class Placement:
    """Where a composition lies in a lattice image.

    position: of its zero, m from the middle of the image along the normal; angle: rad, of the normal, from the metal
    to the film, to +x towards +y.  error: standard uncertainty of the position, m.  step: how much darker the film is
    than the metal, as a logarithm.  score: chi2 that the composition gains over an even image.  extent: of the ramp
    that fits where none was known before, m.
    """

    position: float
    angle: float
    error: float
    step: float
    score: float
    extent: float

    def across(self, x: float, y: float) -> float:
        """Return how far a place, m from the middle of the image, is from the zero of the composition."""
        return x * math.cos(self.angle) + y * math.sin(self.angle) - self.position


@dataclass(frozen=True)
class Band:
    """Patches of one band of one image, and those of them that serve as controls."""

    name: str
    patches: tuple[Patch, ...]
    across: tuple[float, ...]
    control: tuple[bool, ...]


def locate(image: NDArray[np.floating], pitch: float, composition: Composition) -> Placement:
    """Find a composition in a lattice image (rows, columns), counts: heavier places scatter more out of the image.

    pitch: m.  Minus the logarithm of the mean of blocks is fitted by the share of the film's mass, its direction free,
    on top of uneven light and a wedge along the interface. ValueError when the image shows no such step.
    """
    side = max(round(_BLOCK / pitch), 1)
    rows, columns = (n // side for n in image.shape)
    if min(rows, columns) < 8:
        raise ValueError("the image is too small to find the interface in it")
    cut = image[: rows * side, : columns * side].reshape(rows, side, columns, side).mean(axis=(1, 3), dtype=np.float64)
    if not cut.min() > 0:
        raise ValueError("parts of the image are dark: the interface cannot be found in it")
    x_axis, y_axis = coordinates((rows, columns), (side * pitch, side * pitch))
    shift = (columns * side - image.shape[1]) * pitch / 2, (rows * side - image.shape[0]) * pitch / 2
    x, y = (part.ravel() for part in np.meshgrid(x_axis + shift[0], y_axis + shift[1]))
    search = _Search(-np.log(cut).ravel(), x, y, max(rows, columns) * side * pitch / 2, composition)
    extents = np.zeros(1) if composition.ramps else _EXTENTS
    reach = 0.9 * search.half
    coarse = [
        (search.misfit(place, turn, extent), place, turn, extent)
        for extent in extents
        for turn in _TURNS
        for place in np.linspace(-reach, reach, 37)
    ]
    _, place, turn, extent = min(coarse)
    scale = np.array([4e-9, math.radians(4.0), max(extent / 4, 2e-9)])[: 2 if composition.ramps else 3]
    start = np.array([place, turn, extent])[: scale.size]
    fit = optimize.minimize(
        lambda p: search.misfit(*(p * scale + start)),
        np.zeros(scale.size),
        method="Nelder-Mead",
        options={"xatol": 0.01, "fatol": 1e-9 * search.even, "initial_simplex": np.eye(scale.size + 1, scale.size, -1)},
    )
    found = fit.x * scale + start
    noise = search.misfit(*found) / (search.value.size - 8)
    score = (search.even - search.misfit(*found)) / noise
    step = search.step(*found)
    if not (score > _FOUND and step > 0):
        raise ValueError(f"the image shows no contact of metal and film (chi2 gains {score:.0f}, {_FOUND:.0f} needed)")
    bend = sum(search.misfit(found[0] + d, *found[1:]) - search.misfit(*found) for d in (-2e-9, 2e-9)) / (2e-9) ** 2
    error = math.sqrt(2 * noise / bend) if bend > 0 else math.inf
    wide = abs(float(found[2])) if scale.size == 3 else 0.0
    return Placement(float(found[0]), math.remainder(float(found[1]), 2 * math.pi), error, step, float(score), wide)


class _Search:
    """Least squares of minus the logarithm of blocks: even, uneven light, a wedge, and the composition."""

    def __init__(self, value: Array, x: Array, y: Array, half: float, composition: Composition) -> None:
        self.value, self.half, self._composition = value, half, composition
        self._x, self._y = x / half, y / half
        self._base = np.stack([np.ones_like(x), self._x, self._y, self._x**2 + self._y**2], axis=1)
        noise = max(float(np.var(np.diff(np.sort(value)[value.size // 20 : -value.size // 20]))), 1e-12)
        noise = max(noise, 1e-5)  # a block is never known better than to a third of a per cent
        self._ridge = np.diag([0.0, noise / _TILTED**2, noise / _TILTED**2, noise / _TILTED**2, 0.0, noise / 0.25])
        self.even = self._fit(self._base)[0]

    def misfit(self, place: float, turn: float, extent: float = 0.0) -> float:
        """Sum of squares."""
        return self._fit(self._design(place, turn, extent))[0]

    def step(self, place: float, turn: float, extent: float = 0.0) -> float:
        """How much the film darkens."""
        return float(self._fit(self._design(place, turn, extent))[1][4])

    def _design(self, place: float, turn: float, extent: float) -> Array:
        across = (self._x * math.cos(turn) + self._y * math.sin(turn)) * self.half - place
        along = -self._x * math.sin(turn) + self._y * math.cos(turn)
        share = self._composition.share(across, abs(extent))
        return np.concatenate([self._base, np.stack([share, share * along], axis=1)], axis=1)

    def _fit(self, design: Array) -> tuple[float, Array]:
        n = design.shape[1]
        ridge = self._ridge[:n, :n]
        solved = np.asarray(
            np.linalg.solve(design.T @ design + ridge + 1e-12 * np.eye(n), design.T @ self.value), dtype=np.float64
        )
        rest = self.value - design @ solved
        return float(rest @ rest + solved @ ridge @ solved), solved


def bands(
    shape: tuple[int, int],
    pitch: float,
    placed: Placement,
    interphase: tuple[float, float],
    side: float,
    margin: float = MARGIN,
) -> tuple[Band, ...]:
    """Divide the patches of an image of shape (rows, columns) among the five bands.

    interphase: where it begins and ends, m from the zero of the composition; its thirds are the three bands in the
    middle, by the middles of their patches, and those are never so thin that no patch has its middle in them.  side: m
    of the patches. Patches of both films keep half of themselves away from the interphase; controls are those of the
    film that keep away further, by the margin, m.
    """
    start, end = interphase
    least = 1.6 * side  # three bands of half a patch and a little
    if end - start < least:
        start, end = (start + end - least) / 2, (start + end + least) / 2
    edges = start + np.linspace(0.0, 1.0, 4) * (end - start)
    found: dict[str, list[tuple[Patch, float, bool]]] = {name: [] for name in BANDS}
    for patch in tile(shape, pitch, side):
        across = placed.across(*patch.centre(shape, pitch))
        if across < start - side / 2:
            found["lithium"].append((patch, across, False))
        elif across > end + side / 2:
            found["lipon"].append((patch, across, across > end + side / 2 + margin))
        elif start <= across < end:
            found[BANDS[1 + int(np.searchsorted(edges[1:3], across, side="right"))]].append((patch, across, False))
    result = []
    for name, members in found.items():
        if name == "lipon" and sum(control for _, _, control in members) < ENOUGH:
            members = [(patch, across, True) for patch, across, _ in members]
        patches, places, control = zip(*members, strict=True) if members else ((), (), ())
        result.append(Band(name, patches, places, control))
    return tuple(result)


def independent(patches: Sequence[Patch]) -> int:
    """Return how many of the patches of one image do not overlap, as they come."""
    kept: list[Patch] = []
    for patch in patches:
        if all(max(abs(patch.row - each.row), abs(patch.column - each.column)) >= patch.side for each in kept):
            kept.append(patch)
    return len(kept)
