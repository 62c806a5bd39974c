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

_BEYOND = math.radians(10.0)  # outside the tilts that were looked at, as far as an answer is looked for
_LEAST_BINS = 24
_LOST = 0.3  # of the frame's width, at most, that is given up for a profile along more of a turned interface
_OF_BOX = 0.74  # width of the blurred step that fits an edge smeared evenly, over the length of the smear
_OF_SHAPE = 1.25  # factor by which that may be another for another shape (one standard deviation)
_SCATTER = 0.003, 0.25  # of the width, that grains and roughness may make from tilt to tilt: least and most
_ALIKE = 0.9  # share of the variance of the scatter that is the same at tilts that are alike; assumed
_FAR_OFF = 6.0  # times the usual misfit, from which on a width is an outlier
_OUTLIERS = 2  # at most, that are left out
_GRID = {"tilt": 61, "least": 41, "smear": 13, "scatter": 12}
_ZOOMS = 6
_NEGLIGIBLE = 1e-7  # of the most likely
_POINTS = 49  # of the curve of widths


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

    def width(self) -> tuple[float, float]:
        """10-90 % width, m, of the blurred step that fits best, and its standard uncertainty."""
        return _blurred_step(self.position, self.level, 1 / self.error, self.interface.width)


@dataclass(frozen=True)
class EdgeOn:
    """Where an interface is edge-on.

    tilt: rad, of the axis that the frames were taken at, where the edge is least wide.  low, high: its 95 % interval.
    least: width there, m, 10-90 %.  scatter: share of the width by which it differs from tilt to tilt besides.
    smear: by which the foil seems to widen the edge, m a rad, where it leans.  widths, errors: of each profile, m,
    (tilts,).  curve: tilts, rad, and the fitted widths, m, (2, points).
    """

    tilt: float
    low: float
    high: float
    least: float
    scatter: float
    smear: float
    widths: Array
    errors: Array
    curve: Array

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
    half, length = _fitting(counts.shape[1] * pitch[0] / 2, counts.shape[0] * pitch[1] / 2, abs(cos), abs(sin))
    across = x[None, :] * cos + y[:, None] * sin
    along = y[:, None] * cos - x[None, :] * sin
    reach = half - abs(found.position)
    bins = 2 * int(reach / bin_width)
    if bins < _LEAST_BINS:
        raise ValueError(f"{max(bins, 0)} bins of {bin_width * 1e9:.3g} nm across the interface are too few")
    place = np.floor((across - found.position) / bin_width).astype(np.int64) + bins // 2
    kept = (np.abs(along) <= length) & (place >= 0) & (place < bins)
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


def _fitting(x: float, y: float, cos: float, sin: float) -> tuple[float, float]:
    """Half sides, across and along an interface, of a rectangle turned with it in a frame of half sides x and y, m."""
    across, along, straight, turned = (x, y, cos, sin) if cos >= sin else (y, x, sin, cos)
    length = min(along / (straight + turned), _LOST * across / max(turned, 1e-9)) if turned > 0 else along
    return (across - length * turned) / straight, length


def find_edge_on(
    profiles: Sequence[EdgeProfile], tilts: Sequence[float], *, thickness: float, thickness_factor: float, alike: float
) -> EdgeOn:
    """Find the tilt at which an interface is edge-on, from its profiles at several tilts (rad) about an axis in it.

    thickness: of the foil, m, believed to within thickness_factor (one standard deviation).  An interface that leans
    by L smears over t sin L; that adds, as squares, to the width that it has anyway, which is foreshortened. How much
    grains change the width from tilt to tilt is found out from the same widths; most of that is believed to be the same
    at tilts that differ by less than `alike`, rad, such as the angle of the beam's cone, and can look like a lean.
    An outlier is left out.  All of it is weighed on a grid (flat priors in tilt and width, in the logarithm of the
    scatter), so a wide ramp, which hides a small lean, gets a wide interval.  ValueError for fewer than four tilts.
    """
    if len(profiles) < 4 or len(profiles) != len(tilts):
        raise ValueError("an interface is found edge-on from four tilts at least, with a profile each")
    angles = np.asarray(tilts, dtype=np.float64)
    widths, errors = np.array([profile.width() for profile in profiles]).T
    factor = math.hypot(math.log(thickness_factor), math.log(_OF_SHAPE))
    belief = _Belief(angles, widths, errors, thickness, factor, alike)
    if (kept := belief.sound()).sum() >= max(4, len(profiles) - _OUTLIERS) and not kept.all():
        belief = _Belief(angles[kept], widths[kept], errors[kept], thickness, factor, alike)
    tilt, weight = belief.marginal("tilt")
    low, middle, high = (_quantile(tilt, weight, share) for share in (0.025, 0.5, 0.975))
    least, smear, scatter = (_quantile(*belief.marginal(name), 0.5) for name in ("least", "smear", "scatter"))
    curve = np.linspace(angles.min(), angles.max(), _POINTS)
    return EdgeOn(
        tilt=middle,
        low=low,
        high=high,
        least=least,
        scatter=scatter,
        smear=smear,
        widths=widths,
        errors=errors,
        curve=np.array([curve, _widened(curve, middle, least, smear)]),
    )


def _widened(tilts: Array, edge_on: Array | float, least: Array | float, smear: Array | float) -> Array:
    """Width, m, of an edge at some tilts; smear: m a rad of lean."""
    lean = np.sin(edge_on - tilts) / np.cos(edge_on)
    return np.asarray(np.hypot(least * np.cos(tilts), smear * lean))


class _Belief:
    """How likely each tilt is, with width, smear and scatter: on a grid that closes in on what is likely at all."""

    def __init__(
        self, tilts: Array, widths: Array, errors: Array, thickness: float, factor: float, alike: float
    ) -> None:
        self._tilts, self._widths, self._errors = tilts, widths, errors
        apart = (tilts[:, None] - tilts[None, :]) / alike
        self._same = _ALIKE * np.exp(-(apart**2) / 2) + (1 - _ALIKE) * np.eye(tilts.size)
        believed = math.log(_OF_BOX * thickness)
        self._smear = believed, factor
        self._axes = {
            "tilt": np.linspace(tilts.min() - _BEYOND, tilts.max() + _BEYOND, _GRID["tilt"]),
            "least": np.linspace(0.0, 1.3 * float(np.median(widths)), _GRID["least"] + 1)[1:],
            "smear": np.exp(believed + factor * np.linspace(-2.5, 2.5, _GRID["smear"])),
            "scatter": np.geomspace(*_SCATTER, _GRID["scatter"]),
        }
        self._weight = self._weigh()
        for _ in range(_ZOOMS):
            for name in ("tilt", "least"):
                self._close_in(name)
            self._weight = self._weigh()

    def sound(self) -> NDArray[np.bool_]:
        """Which widths are no outliers, (tilts,)."""
        tilt, least, smear = (_quantile(*self.marginal(name), 0.5) for name in ("tilt", "least", "smear"))
        off = self._widths / _widened(self._tilts, tilt, least, smear) - 1
        off = np.abs(off - np.median(off))
        least_off = np.hypot(1.48 * float(np.median(off)), self._errors / self._widths)
        return np.asarray(off <= _FAR_OFF * least_off)

    def marginal(self, name: str) -> tuple[Array, Array]:
        """The points of a parameter and their probabilities."""
        axis = list(self._axes).index(name)
        weight = self._weight.sum(axis=tuple(i for i in range(4) if i != axis))
        return self._axes[name], np.asarray(weight / weight.sum())

    def _close_in(self, name: str) -> None:
        points, weight = self.marginal(name)
        likely = np.flatnonzero(weight > _NEGLIGIBLE * weight.max())
        low, high = points[max(likely[0] - 1, 0)], points[min(likely[-1] + 1, points.size - 1)]
        self._axes[name] = np.linspace(low, high, points.size)

    def _weigh(self) -> Array:
        tilt, least, smear, scatter = (self._axes[name] for name in ("tilt", "least", "smear", "scatter"))
        grid = np.meshgrid(tilt, least, smear, indexing="ij", sparse=True)
        off = np.stack([w - _widened(a, *grid) for a, w in zip(self._tilts, self._widths, strict=True)], axis=-1)
        centre, factor = self._smear
        log = np.empty((*off.shape[:-1], scatter.size))
        for number, share in enumerate(scatter):
            covariance = np.diag(self._errors**2) + share**2 * np.outer(self._widths, self._widths) * self._same
            root = np.linalg.cholesky(covariance)
            squares = np.square(off @ np.linalg.inv(root).T).sum(axis=-1)
            log[..., number] = -squares / 2 - float(np.log(np.diag(root)).sum())
        log -= ((np.log(grid[2]) - centre) ** 2 / (2 * factor**2))[..., None]
        return np.asarray(np.exp(log - log.max()))


def _quantile(points: Array, weight: Array, share: float) -> float:
    """Where so much of the probability lies below; probability lies evenly about each point."""
    edges = np.concatenate([[points[0]], (points[1:] + points[:-1]) / 2, [points[-1]]])
    return float(np.interp(share, np.concatenate([[0.0], np.cumsum(weight)]), edges))


def _blurred_step(x: Array, level: Array, weight: Array, unit: float) -> tuple[float, float]:
    """10-90 % width, m, of the blurred step that fits best, grains beside it forgiven, and its standard uncertainty."""
    dark, bright = float(level[:3].mean()), float(level[-3:].mean())

    def left(q: Array) -> Array:
        share = special.ndtr((x - q[0] * unit) / (unit * math.exp(q[1])))
        return np.asarray((dark + (bright - dark) * (q[2] + q[3] * share) - level) * weight)

    fitted = optimize.least_squares(left, [0.0, math.log(0.4), 0.0, 1.0], loss="soft_l1")
    width = TEN_TO_NINETY * unit * math.exp(fitted.x[1])
    return width, width * math.sqrt(float(np.linalg.pinv(fitted.jac.T @ fitted.jac)[1, 1]))
