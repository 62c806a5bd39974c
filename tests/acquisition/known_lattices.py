"""Images and spots of known lattices, turned as one likes, without a simulator."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from acquisition.analysis.lattices import TILT, lattice
from acquisition.analysis.spots import Spots

Array = NDArray[np.float64]

PITCH = 40e-12
KELVIN = 100.0
SIDE = 12.8e-9


def turns(count: int, seed: int) -> Array:
    """Rotations, all alike likely, (count, 3, 3)."""
    return np.asarray(Rotation.random(count, random_state=np.random.RandomState(seed)).as_matrix())


def along_zone(first: Array, second: Array, angle: float) -> Array:
    """The rotation that brings two reflections into the picture, the first at an angle to x."""
    z = np.cross(first, second)
    frame = np.array([first / np.linalg.norm(first), np.zeros(3), z / np.linalg.norm(z)])
    frame[1] = np.cross(frame[2], frame[0])
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    return turn @ frame


def spots(
    phase: str, turn: Array, *, off: float = 0.0, faintest: float = 0.3, seed: int = 0, kelvin: float = KELVIN
) -> Spots:
    """The spots that a turned crystal shows, off by `off` standard errors."""
    one = lattice(phase, kelvin)
    g = one.g @ turn.T
    seen = (np.abs(g[:, 2]) < 0.7 * TILT) & (one.shows > faintest) & ((g[:, 1] > 0) | ((g[:, 1] == 0) & (g[:, 0] > 0)))
    return as_spots(g[seen][:, :2], off=off, seed=seed)


def as_spots(k: Array, *, off: float = 0.0, seed: int = 0, place: tuple[float, float] = (0.0, 0.0)) -> Spots:
    """Spots of ratio 60 at positions (n, 2), 1/m, all from one place."""
    random, n = np.random.default_rng(seed), len(k)
    along, across = np.full(n, 0.03e9), np.full(n, 0.015e9)
    way = k / np.hypot(*k.T)[:, None]
    side = np.stack([-way[:, 1], way[:, 0]], axis=1)
    moved = off * (along * random.standard_normal(n) * way.T + across * random.standard_normal(n) * side.T).T
    return Spots(
        k=k + moved,
        ratio=np.full(n, 60.0),
        along=along,
        across=across,
        place=np.full((n, 2), place) + off * 0.8e-9 * random.standard_normal((n, 2)),
        place_error=np.full(n, 0.9e-9),
        floor=11.9,
        side=SIDE,
    )


def fringes(
    side: int, waves: list[tuple[float, float, float]], at: tuple[float, float], radius: float, dose: float, seed: int
) -> Array:
    """Counts of a square image with fringes (k_x, k_y in 1/m, contrast) inside a disc at (x, y), m from its middle."""
    random = np.random.default_rng(seed)
    x = (np.arange(side) - (side - 1) / 2) * PITCH
    inside = np.maximum(1 - ((x[None, :] - at[0]) ** 2 + (x[:, None] - at[1]) ** 2) / radius**2, 0.0) ** 0.5
    image = np.ones((side, side))
    for across, down, contrast in waves:
        image += contrast * inside * np.cos(2 * np.pi * (across * x[None, :] + down * x[:, None]) + 1.0)
    return random.poisson(dose * np.maximum(image, 0.05)).astype(np.float64)
