"""Over what distance an element rises across the interface: linear ramps, blurred by the probe, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from acquisition.analysis.profile import Profile

_TO_SIGMA = 1 / math.sqrt(8 * math.log(2))
_RESAMPLES = 400
_SMOOTH = 8e-9  # m: the variance of a bin is taken from its neighbourhood, or bins low by chance would weigh most
_FOUND = 25.0  # gain in chi2 of a step over none: five standard deviations, for it is looked for everywhere
_RESOLVED = 6.63  # gain in chi2 of a ramp over an abrupt contact: 99 % of chi2 with one degree of freedom
_ZOOMS = 3
TAILS = (0.02, 0.98)  # of resamples, for 95 %: a spread learnt from 32 strips is Student's, not Gauss's


class NoStep(ValueError):
    """An element does not rise across the interface."""


@dataclass(frozen=True)
class Ramp:
    """The linear ramp of an element across the interface.

    start, end: of 0 % and 100 %, m from the interface.  ci95: of its extent, m.  level: counts a visit of a pixel at
    100 % above the baselines.  counts: of the element in the whole profile.  resolved: whether a ramp fits better than
    what an abrupt contact would look like (95 %); when not, upper_bound is the extent (m) that it stays below with 95 %
    confidence, else None.  resamples: (n, 2), start and end in each resampled profile.
    """

    element: str
    start: float
    end: float
    ci95: tuple[float, float]
    level: float
    counts: float
    resolved: bool
    upper_bound: float | None
    resamples: NDArray[np.float64]

    @property
    def extent(self) -> float:
        """Distance from 0 % to 100 %, m."""
        return self.end - self.start


@dataclass(frozen=True)
class Baseline:
    """Counts of an element that are no part of its ramp: an amount left free on a known shape, (bins,).

    expected: counts a visit that it may be, standard deviation around 0; infinity for no idea.
    """

    shape: NDArray[np.float64]
    expected: float = math.inf


def resample(profile: Profile, rng: np.random.Generator, times: int = _RESAMPLES) -> NDArray[np.float64]:
    """Draw strips along the interface with replacement: how often each is taken, (times, strips).

    One draw serves all elements of a profile, so that what they share stays shared. Events and true differences along
    the interface (crystals, roughness) are thus both in the uncertainty.
    """
    strips = profile.visits.shape[0]
    return rng.multinomial(strips, np.full(strips, 1 / strips), size=times).astype(np.float64)


def blurred_ramp(
    position: NDArray[np.float64], middle: NDArray[np.float64], extent: NDArray[np.float64], sigma: float
) -> NDArray[np.float64]:
    """Return linear ramps from 0 to 1, convolved with a Gaussian of standard deviation sigma > 0.

    All lengths in m; position (bins,), middle and extent (n,); the result is (n, bins).
    """
    wide = np.maximum(extent, 0.02 * sigma)[:, None]

    def risen(u: NDArray[np.float64]) -> NDArray[np.float64]:  # integral of the blurred step
        whole = np.maximum(u, 0.0)
        near = np.abs(u) < 6 * sigma  # elsewhere the blur makes no difference, and most places are elsewhere
        z = u[near] / sigma
        whole[near] = u[near] * special.ndtr(z) + sigma / math.sqrt(2 * math.pi) * np.exp(-z * z / 2)
        return whole

    offset = position[None, :] - middle[:, None]
    return (risen(offset + wide / 2) - risen(offset - wide / 2)) / wide


@dataclass(frozen=True)
class View:
    """One guess at how the instrument shows a ramp.

    blur: standard deviation (m) of what it is blurred with; probe, lean and roughness of the contact.  transmission:
    (bins,), what of the element's X-rays leaves each place, of those of the bright side: absorption and thickness.
    """

    blur: float
    transmission: NDArray[np.float64]


def fit_ramp(
    profile: Profile,
    element: str,
    views: Sequence[View],
    resamples: NDArray[np.float64],
    *,
    baselines: Sequence[Baseline] = (),
) -> Ramp:
    """Fit the ramp of an element and, by resampling strips along the interface, its 95 % interval.

    views: how the ramp may be seen; the first is the likeliest, the others, all alike likely, are what the interval
    has to hold: each serves its share of the resamples.  resamples: from `resample`.  Least squares with the Poisson
    variance of the neighbourhood.  Raises NoStep when the element does not rise.
    """
    row = profile.elements.index(element)
    counts, visits = profile.counts[row].sum(axis=0), profile.visits.sum(axis=0)
    searches = [_search(profile, row, view, baselines) for view in views]
    likeliest, *others = searches
    first, last = float(profile.position[0]), float(profile.position[-1])
    span = last - first
    step = span / 40
    middles, extents = np.arange(first, last + step, step), np.arange(0.0, span, step)
    # baselines of a known size wait: on a coarse grid one may look like the ramp and lie closer to it
    free = likeliest.prior == 0
    coarse = replace(likeliest, shapes=likeliest.shapes[free], prior=likeliest.prior[free])
    best, gain, spread = coarse.best(middles, extents, counts[None], visits[None])
    if not gain[0] > _FOUND:
        raise NoStep(f"{element} does not rise across the interface (chi2 gains {gain[0]:.1f}, {_FOUND:g} needed)")
    reach = np.maximum(6 * spread, 2 * step)
    for _ in range(_ZOOMS):  # finer grids around the best, until they are just wide enough for every resample
        middles = best[0, 0] + np.linspace(-1, 1, 17) * reach[0]
        extents = np.linspace(max(best[0, 1] - reach[1], 0.0), best[0, 1] + reach[1], 21)
        best, gain, spread = likeliest.best(middles, extents, counts[None], visits[None])
        reach = np.maximum(7 * spread, reach / 5)
    # what the least and the most blurred view make of it lies within the grid, too
    blurs = 12 * (likeliest.sigma**2 - np.array([search.sigma for search in searches]) ** 2)
    seen = np.sqrt(np.maximum(best[0, 1] ** 2 + blurs, 0.0))
    extents = np.linspace(max(seen.min() - reach[1], 0.0), seen.max() + reach[1], 29)
    several = np.empty((len(resamples), 2))
    tops, abrupt = [], []
    for number, search in enumerate(others or searches):
        mine = slice(number, None, len(others or searches))
        taken = np.vstack([np.ones(len(profile.visits)), resamples[mine]])  # first all strips, once each
        found, gains, _ = search.best(middles, extents, taken @ profile.counts[row], taken @ profile.visits)
        several[mine] = found[1:]
        tops.append(gains[0])
        abrupt.append(search.best(middles, np.zeros(1), counts[None], visits[None])[1][0])
    low, high = np.quantile(several[:, 1], TAILS)
    resolved = bool(low > 0 and max(tops) - max(abrupt) > _RESOLVED)
    ends = several[:, :1] + several[:, 1:] * np.array([[-0.5, 0.5]])
    return Ramp(
        element=element,
        start=float(best[0, 0] - best[0, 1] / 2),
        end=float(best[0, 0] + best[0, 1] / 2),
        ci95=(float(low), float(high)),
        level=likeliest.level(best[0], counts, visits),
        counts=float(counts.sum()),
        resolved=resolved,
        upper_bound=None if resolved else float(np.quantile(several[:, 1], 0.95)),
        resamples=ends,
    )


def _search(profile: Profile, row: int, view: View, baselines: Sequence[Baseline]) -> _Search:
    visits = profile.visits.sum(axis=0)
    smooth = _SMOOTH / profile.bin_width
    noise = ndimage.gaussian_filter1d(profile.variance[row].sum(axis=0), smooth, mode="nearest")
    noise /= ndimage.gaussian_filter1d(visits, smooth, mode="nearest")
    return _Search(
        position=profile.position,
        sigma=math.hypot(view.blur, profile.bin_width / math.sqrt(12)),
        transmission=view.transmission,
        noise=np.maximum(noise, 1e-3 * noise.max()),
        shapes=np.array([b.shape for b in baselines]).reshape(-1, visits.size),
        prior=np.array([b.expected**-2.0 for b in baselines]),
    )


@dataclass(frozen=True)
class _Search:
    """Least squares over all ramps of a grid at once, for many profiles at once."""

    position: NDArray[np.float64]
    sigma: float
    transmission: NDArray[np.float64]
    noise: NDArray[np.float64]
    shapes: NDArray[np.float64]
    prior: NDArray[np.float64]

    def best(
        self,
        middles: NDArray[np.float64],
        extents: NDArray[np.float64],
        counts: NDArray[np.float64],
        visits: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Middle and extent (n, 2), gain in chi2 (n,) over no ramp, and for the first profile their standard errors."""
        pairs = np.stack([a.ravel() for a in np.meshgrid(middles, extents, indexing="ij")])
        ramps = blurred_ramp(self.position, pairs[0], pairs[1], self.sigma) * self.transmission
        scaled, weight = counts / self.noise, visits / self.noise  # (profiles, bins)
        signal, power = ramps @ scaled.T, ramps**2 @ weight.T  # (ramps, profiles)
        if self.prior.size:
            # what the baselines explain is taken off both
            normal = np.einsum("kb,pb,lb->pkl", self.shapes, weight, self.shapes) + np.diag(self.prior)
            overlap = np.stack([(ramps * shape) @ weight.T for shape in self.shapes], axis=-1)
            explained = np.linalg.solve(normal, (scaled @ self.shapes.T)[..., None])[..., 0]
            signal = signal - np.einsum("rpk,pk->rp", overlap, explained)
            power = power - np.einsum("rpk,pkl,rpl->rp", overlap, np.linalg.inv(normal), overlap, optimize=True)
        gains = np.where(power > 1e-9 * power.max(), np.maximum(signal, 0) ** 2 / np.maximum(power, 1e-300), 0.0)
        gains = gains.T.reshape(-1, middles.size, extents.size)
        return self._refine(gains, middles, extents)

    @staticmethod
    def _refine(
        gains: NDArray[np.float64], middles: NDArray[np.float64], extents: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The top of the parabola through the best point of the grid and its neighbours."""
        n = np.arange(len(gains))
        i, j = np.unravel_index(gains.reshape(len(gains), -1).argmax(axis=1), gains.shape[1:])
        top = gains[n, i, j]
        found = np.stack([middles[i], extents[j]], axis=1)
        spread = np.array([np.ptp(middles), np.ptp(extents)])
        for axis, (index, grid) in enumerate(((i, middles), (j, extents))):
            if grid.size < 3:
                continue
            inner = np.clip(index, 1, grid.size - 2)
            at = [(n, inner + d, j) if axis == 0 else (n, i, inner + d) for d in (-1, 0, 1)]
            below, middle, above = (gains[where] for where in at)
            bend = np.minimum(below - 2 * middle + above, -1e-12)
            offset = np.clip((below - above) / (2 * bend), -1, 1)
            spacing = grid[1] - grid[0]
            vertex = np.clip(grid[inner] + offset * spacing, grid[0], grid[-1])
            found[:, axis] = np.where(index == inner, vertex, grid[index])
            spread[axis] = spacing * math.sqrt(2 / -bend[0])
        return found, top, spread

    def level(self, ramp: NDArray[np.float64], counts: NDArray[np.float64], visits: NDArray[np.float64]) -> float:
        """Counts a visit at 100 %, above the baselines, for one ramp (middle, extent)."""
        shape = blurred_ramp(self.position, ramp[:1], ramp[1:], self.sigma) * self.transmission
        design = np.vstack([shape, self.shapes])
        normal = (design * visits / self.noise) @ design.T + np.diag([0.0, *self.prior])
        return float(np.linalg.solve(normal, design @ (counts / self.noise))[0])
