"""At which tilt an interface stands along the beam: from how its dark-field edge widens to both sides of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from acquisition.analysis.interface import TEN_TO_NINETY, Interface, coordinates

Array = NDArray[np.float64]

_SURE = 3.841  # chi^2 of one parameter at 95 %
_BEYOND = math.radians(10.0)  # outside the tilts that were looked at, as far as an answer is looked for
_REACH = 2.5  # widths of the edge to both sides that are fitted
_LEAST_BINS = 24
_FEW_ROUNDS = 8  # of a fit that starts beside its end
_STEPS = 12  # towards one end of an interval, at most
_SMALL = 1e-6  # of a parameter, for its derivative
_POINTS = 25  # of the curve of widths
_FLAT = 0.02  # of the edge's width: no ramp and no smear is narrower in the model
_STEEPEST, _FLATTEST = 0.02, 4.0  # of the edge's width: the ramps and the blur that are tried


@dataclass(frozen=True)
class EdgeProfile:
    """The dark field across an interface, averaged along it.

    position: (bins,), m from the interface, growing towards the bright side.  level, error: (bins,), counts a pixel and
    their standard uncertainty.  interface: as fitted to the frame.
    """

    position: Array
    level: Array
    error: Array
    interface: Interface

    def width(self, reach: float) -> tuple[float, float]:
        """10-90 % width, m, of the blurred step that fits best within `reach`, m, and its standard uncertainty."""
        near = np.abs(self.position) <= reach
        return _blurred_step(self.position[near], self.level[near], 1 / self.error[near], self.interface.width)


@dataclass(frozen=True)
class EdgeOn:
    """Where an interface is edge-on.

    tilt: rad, of the axis that the frames were taken at, where the edge is sharpest.  low, high: its 95 % interval;
    infinite where the widths do not tell.  thickness: of the foil, m, as the widening says, with its factor of
    uncertainty (one standard deviation).  widths, errors: 10-90 %, m, of a blurred step fitted to each profile,
    (tilts,), within `reach`, m.  curve: tilts, rad, and what the same fit makes of the shape that was found, m,
    (2, points).
    """

    tilt: float
    low: float
    high: float
    thickness: float
    thickness_factor: float
    widths: Array
    errors: Array
    curve: Array
    reach: float

    @property
    def bound(self) -> float:
        """How far from edge-on the interface may be at `tilt`, rad, 95 %."""
        return max(self.high - self.tilt, self.tilt - self.low)


def edge_profile(image: ArrayLike, pitch: tuple[float, float], found: Interface, bin_width: float) -> EdgeProfile:
    """Average a dark-field frame (rows, columns), counts, along the interface found in it.

    bin_width: m.  Every bin is averaged over the same length of the interface, so that a foil of uneven thickness
    makes no step. The errors come from what neighbours along the interface differ by.  ValueError for a frame that
    gives too few bins.
    """
    counts = np.asarray(image, dtype=np.float64)
    x, y = coordinates((counts.shape[0], counts.shape[1]), pitch)
    cos, sin = found.normal
    half = min(counts.shape[1] * pitch[0], counts.shape[0] * pitch[1]) / 2 / (abs(cos) + abs(sin))
    across = x[None, :] * cos + y[:, None] * sin
    along = y[:, None] * cos - x[None, :] * sin
    reach = half - abs(found.position)
    bins = 2 * int(reach / bin_width)
    if bins < _LEAST_BINS:
        raise ValueError(f"{max(bins, 0)} bins of {bin_width * 1e9:.3g} nm across the interface are too few")
    place = np.floor((across - found.position) / bin_width).astype(np.int64) + bins // 2
    kept = (np.abs(along) <= half) & (place >= 0) & (place < bins)
    # rows where the interface stands more upright, columns where it lies: neighbours along it differ by noise alone
    difference = np.diff(counts, axis=0 if abs(cos) >= abs(sin) else 1)
    pairs = kept[: difference.shape[0], : difference.shape[1]]
    number = np.bincount(place[kept], minlength=bins)
    level = np.asarray(np.bincount(place[kept], weights=counts[kept], minlength=bins) / np.maximum(number, 1.0))
    inside = place[: difference.shape[0], : difference.shape[1]][pairs]
    noise = np.bincount(inside, weights=difference[pairs] ** 2 / 2, minlength=bins).astype(np.float64)
    noise = noise / np.maximum(np.bincount(inside, minlength=bins), 1)
    # a bin where by chance nothing was counted is no surer than the darkest others
    noise = np.maximum(noise, np.quantile(noise, 0.1) + 1e-12)
    position = bin_width * (np.arange(bins) - bins // 2 + 0.5)
    sound = number > 0
    errors = np.asarray(np.sqrt(noise[sound] / number[sound]), dtype=np.float64)
    return EdgeProfile(np.asarray(position[sound], dtype=np.float64), level[sound], errors, found)


def find_edge_on(
    profiles: Sequence[EdgeProfile], tilts: Sequence[float], *, thickness: float, thickness_factor: float
) -> EdgeOn:
    """Find the tilt at which an interface is edge-on, from its profiles at several tilts (rad) about an axis in it.

    thickness: of the foil, m, believed to within thickness_factor (one standard deviation).  An interface that leans
    by L smears over t sin L on top of the shape that it has anyway: two ramps blurred by a Gaussian, the same at every
    tilt but for foreshortening. Of each profile place, levels and their slopes are free, so a wide ramp hides a small
    lean and the interval says so.  ValueError for fewer than three tilts.
    """
    if len(profiles) < 3 or len(profiles) != len(tilts):
        raise ValueError("an interface is found edge-on from three tilts at least, with a profile each")
    model = _Model(profiles, np.asarray(tilts, dtype=np.float64), thickness, math.log(thickness_factor))
    best = model.fit()
    scale = max(model.spread(best), 1.0)
    error = math.sqrt(scale * float(np.linalg.pinv(best.jac.T @ best.jac)[0, 0]))
    ends = [_end(model, best, side, error, _SURE * scale) for side in (-1.0, 1.0)]
    factor = math.sqrt(scale * float(np.linalg.pinv(best.jac.T @ best.jac)[1, 1]))
    curve = np.linspace(min(tilts), max(tilts), _POINTS)
    widths, errors = np.array([profile.width(model.reach) for profile in profiles]).T
    return EdgeOn(
        tilt=float(best.x[0]),
        low=ends[0],
        high=ends[1],
        thickness=math.exp(best.x[1]),
        thickness_factor=math.exp(min(factor, math.log(thickness_factor))),
        widths=widths,
        errors=errors,
        curve=np.array([curve, model.widths(best.x, curve)]),
        reach=model.reach,
    )


def _end(model: _Model, best: optimize.OptimizeResult, side: float, error: float, worse: float) -> float:
    """How far the tilt can go to one side until chi^2 is worse by so much; infinite where it never is."""
    centre, limit = float(best.x[0]), model.limits[0 if side < 0 else 1]
    inside, outside, at = 0.0, math.inf, min(max(1.96 * error, 1e-5), abs(limit - centre))
    start = best.x
    for _ in range(_STEPS):
        fitted = model.fit_at(centre + side * at, start)
        excess = 2 * (fitted.cost - best.cost)
        if abs(excess - worse) < 0.05 * worse:
            return centre + side * at
        if excess < worse:
            inside, start = at, fitted.x
            if at >= abs(limit - centre):
                return side * math.inf
        else:
            outside = at
        # chi^2 grows as a square near its least
        guess = at * math.sqrt(worse / max(excess, 0.05 * worse))
        middle = (inside + outside) / 2 if math.isfinite(outside) else 2 * at
        at = guess if inside < guess < min(outside, 4 * at) else middle
        at = min(at, abs(limit - centre))
    return centre + side * (outside if math.isfinite(outside) else at)


class _Model:
    """Profiles at several tilts as one shape smeared more or less.

    Parameters: tilt of the least smear, log of the thickness, then of the shape: distance of the second ramp from the
    first and logs of both their lengths (in units of the edge's width), logit of the first one's share, log of the
    blur; then the place of the edge in each profile.
    """

    def __init__(self, profiles: Sequence[EdgeProfile], tilts: Array, thickness: float, thickness_error: float) -> None:
        widest = max(p.interface.width for p in profiles)
        self.reach = max(_REACH * widest, _LEAST_BINS / 2 * float(np.diff(profiles[0].position).min()))
        bins = min(int((np.abs(p.position) <= self.reach).sum()) for p in profiles)
        cut = [slice((p.position.size - bins) // 2, (p.position.size - bins) // 2 + bins) for p in profiles]
        self._x = np.array([p.position[c] for p, c in zip(profiles, cut, strict=True)])
        self._level = np.array([p.level[c] for p, c in zip(profiles, cut, strict=True)])
        self._weight = 1 / np.array([p.error[c] for p, c in zip(profiles, cut, strict=True)])
        self._tilts = tilts
        self._thickness, self._thickness_error = math.log(thickness), max(thickness_error, 1e-3)
        widths = np.array([p.interface.width for p in profiles])
        self._unit = float(max(widths.min(), 2 * np.diff(self._x[0]).min()))
        self._measured = widths
        self.limits = float(tilts.min()) - _BEYOND, float(tilts.max()) + _BEYOND

    def fit(self) -> optimize.OptimizeResult:
        """The best of fits that start at several tilts."""
        middle = np.array([self._guess(), self._tilts.min(), self._tilts.max()])
        rough = [self._solve(self._start(tilt), (), _FEW_ROUNDS) for tilt in np.unique(middle)]
        return self._solve(min(rough, key=lambda each: float(each.cost)).x, (), 60)

    def fit_at(self, tilt: float, start: Array) -> optimize.OptimizeResult:
        """The best fit at a given tilt, from the parameters of one beside it."""
        begun = start.copy()
        begun[0] = tilt
        return self._solve(begun, (0,), _FEW_ROUNDS)

    def spread(self, best: optimize.OptimizeResult) -> float:
        """Chi^2 of a fit per degree of freedom."""
        return float(2 * best.cost / max(self._x.size - 4 * len(self._tilts) - best.x.size, 1))

    def widths(self, p: Array, tilts: Array) -> Array:
        """10-90 % width, m, that a blurred step fitted to the shape has at some tilts, (tilts,)."""
        x, weight = self._x[0], self._weight.mean(axis=0)
        levels = self._levels(self._share(p, self._tilts, self._x, p[7:] * self._unit)).mean(axis=0)
        places = np.full(len(tilts), p[7:].mean() * self._unit)
        shares = self._share(p, tilts, np.broadcast_to(x, (len(tilts), x.size)), places)
        return np.array([_blurred_step(x, _sides(x, share) @ levels, weight, self._unit)[0] for share in shares])

    def _start(self, tilt: float) -> Array:
        return np.array([tilt, self._thickness, 0.2, -0.5, -1.0, 0.0, -1.2, *np.zeros(len(self._tilts))])

    def _guess(self) -> float:
        """The tilt at the least of a parabola through the squares of the fitted widths."""
        square, slope, _ = np.polyfit(self._tilts, self._measured**2, 2)
        least = -slope / (2 * square) if square > 0 else 0.0
        return float(np.clip(least, *self.limits)) * 0.999

    def _solve(self, start: Array, held: tuple[int, ...], rounds: int) -> optimize.OptimizeResult:
        free = np.array([i for i in range(start.size) if i not in held])
        low = np.array([self.limits[0], self._thickness - 2, -3, *[math.log(_STEEPEST)] * 2, -4, math.log(_STEEPEST)])
        high = np.array([self.limits[1], self._thickness + 2, 3, *[math.log(_FLATTEST)] * 2, 4, math.log(_FLATTEST)])
        room = np.full(len(self._tilts), 2.0)
        low, high = np.concatenate([low, -room]), np.concatenate([high, room])

        def residual(q: Array) -> Array:
            p = start.copy()
            p[free] = q
            return self._residual(p)

        def slopes(q: Array) -> Array:
            p = start.copy()
            p[free] = q
            return self._slopes(p)[:, free]

        inner = np.clip(start, low + 1e-9, high - 1e-9)[free]
        bounds = low[free], high[free]
        fitted = optimize.least_squares(
            residual, inner, jac=slopes, bounds=bounds, max_nfev=rounds, x_scale="jac", xtol=1e-5, ftol=1e-6
        )
        whole = start.copy()
        whole[free] = fitted.x
        fitted.x = whole
        return fitted

    def _residual(self, p: Array) -> Array:
        share = self._share(p, self._tilts, self._x, p[7:] * self._unit)
        left = (_sides(self._x, share) @ self._levels(share)[:, :, None])[:, :, 0] - self._level
        # what the data cannot tell of a sharp edge's shape is kept near its start
        shape = (p[2:7] - np.array([0.0, -0.5, -1.0, 0.0, -1.2])) / np.array([2.0, 3.0, 3.0, 3.0, 3.0])
        thickness = (p[1] - self._thickness) / self._thickness_error
        return np.concatenate([(left * self._weight).ravel(), [thickness], shape])

    def _slopes(self, p: Array) -> Array:
        """Derivatives of the residual by the parameters; the place of one profile moves no other."""
        here, shape, count = self._residual(p), p.size - len(self._tilts), self._x.size
        slopes = np.zeros((here.size, p.size))
        for number in range(shape):
            moved = p.copy()
            moved[number] += _SMALL
            slopes[:, number] = (self._residual(moved) - here) / _SMALL
        moved = p.copy()
        moved[shape:] += _SMALL
        by_place = ((self._residual(moved) - here)[:count] / _SMALL).reshape(self._x.shape)
        for number, row in enumerate(by_place):
            slopes[number * row.size : (number + 1) * row.size, shape + number] = row
        return slopes

    def _levels(self, share: Array) -> Array:
        """Levels and slopes of both sides that fit best at each tilt, (tilts, 4)."""
        design = _sides(self._x, share) * self._weight[:, :, None]
        square = np.einsum("tbi,tbj->tij", design, design)
        square += 1e-9 * np.trace(square, axis1=1, axis2=2)[:, None, None] * np.eye(4)
        return np.asarray(
            np.linalg.solve(square, np.einsum("tbi,tb->ti", design, self._level * self._weight)[:, :, None])[:, :, 0]
        )

    def _share(self, p: Array, tilts: Array, x: Array, places: Array) -> Array:
        """How far from dark to bright, (tilts, bins)."""
        shorter = np.cos(tilts)[:, None]
        smear = math.exp(p[1]) * np.sin(p[0] - tilts)[:, None] / math.cos(p[0])
        smear = np.hypot(smear, _FLAT * self._unit)
        blur = math.exp(p[6]) * self._unit
        first = 1 / (1 + math.exp(-p[5]))
        share = np.zeros(x.shape)
        for part, place, length in ((first, 0.0, p[3]), (1 - first, p[2], p[4])):
            ramp = math.exp(length) * self._unit * shorter
            share += part * _blurred(x - places[:, None] - place * self._unit * shorter, ramp, smear, blur)
        return share


def _sides(x: Array, share: Array) -> Array:
    """What is linear in a profile, (..., bins, 4): the level of the dark side, the step, and a slope of each."""
    slope = x / np.abs(x).max()
    return np.stack([np.ones_like(share), share, slope, slope * share], axis=-1)


def _blurred_step(x: Array, level: Array, weight: Array, unit: float) -> tuple[float, float]:
    """10-90 % width, m, of the blurred step that fits best, and its standard uncertainty."""
    dark, bright = float(level[:3].mean()), float(level[-3:].mean())

    def left(q: Array) -> Array:
        share = special.ndtr((x - q[0] * unit) / (unit * math.exp(q[1])))
        return np.asarray((dark + (bright - dark) * (q[2] + q[3] * share) - level) * weight)

    fitted = optimize.least_squares(left, [0.0, math.log(0.4), 0.0, 1.0])
    width = TEN_TO_NINETY * unit * math.exp(fitted.x[1])
    return width, width * math.sqrt(float(np.linalg.pinv(fitted.jac.T @ fitted.jac)[1, 1]))


def _blurred(x: Array, ramp: Array, smear: Array, blur: float) -> Array:
    """A step averaged over two lengths and blurred by a Gaussian: the second difference of its third integral."""
    total = np.zeros(x.shape)
    for sign, off in ((1, ramp + smear), (-1, ramp - smear), (-1, smear - ramp), (1, -ramp - smear)):
        u = (x + off / 2) / blur
        total += sign * ((u**2 + 1) * special.ndtr(u) + u * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)) / 2
    return total * blur**2 / (ramp * smear)
