"""Counts of each element across the interface, integrated along it, from the events of an EDS map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acquisition.analysis.interface import Interface, coordinates
from acquisition.analysis.spectra import SpectrumFit
from drivers.ticket import Frame

_STRIPS = 32  # along the interface: what is resampled to learn how much a profile varies
_LEAST_EXPOSED = 0.05  # of the most exposed bin: the corners of a turned frame


@dataclass(frozen=True)
class Profile:
    """Counts across an interface, kept apart in strips along it.

    elements: in the order of the arrays.  position: (bins,), m from the interface, growing towards the bright side.
    visits: (strips, bins), how often a pixel there was exposed.  counts: (elements, strips, bins), fitted, so a
    bin without the element scatters around 0.  variance: of counts, Poisson.
    """

    elements: tuple[str, ...]
    position: NDArray[np.float64]
    visits: NDArray[np.float64]
    counts: NDArray[np.float64]
    variance: NDArray[np.float64]

    @property
    def bin_width(self) -> float:
        """Distance between bins, m."""
        return float(self.position[1] - self.position[0])

    def total(self, element: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Counts of an element in each bin, all strips together, and their standard uncertainty; (bins,) each."""
        row = self.elements.index(element)
        return self.counts[row].sum(axis=0), np.sqrt(self.variance[row].sum(axis=0))

    def rate(self, element: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same, per visit of a pixel: what can be compared between bins of unequal exposure."""
        counts, error = self.total(element)
        visits = self.visits.sum(axis=0)
        return counts / visits, error / visits


def profile(
    passes: ArrayLike,
    pixels: ArrayLike,
    channels: ArrayLike,
    *,
    frame: Frame,
    pixels_done: Sequence[int],
    shifts: Sequence[tuple[float, float]],
    interface: Interface,
    fit: SpectrumFit,
    elements: Sequence[str],
    bin_width: float,
) -> Profile:
    """Sort the events of a map by their distance from the interface.

    passes, pixels, channels: one entry an event; pixels counts row by row.  pixels_done: pixels exposed in each pass.
    shifts: (dx, dy), m, how far the sample stood from where `interface` was measured, in each pass.  fit: of the sum
    spectrum; each event is worth what its estimator says.  bin_width: m.  ValueError when the arrays disagree or
    nothing was exposed.
    """
    of_pass, of_pixel, of_channel = (np.asarray(a).astype(np.int64).ravel() for a in (passes, pixels, channels))
    if not of_pass.size == of_pixel.size == of_channel.size:
        raise ValueError("an event needs a pass, a pixel and a channel")
    if len(pixels_done) != len(shifts) or (of_pass.size and of_pass.max() >= len(shifts)):
        raise ValueError(f"{len(shifts)} shifts and {len(pixels_done)} passes do not cover the events")
    if not max(pixels_done, default=0) > 0:
        raise ValueError("no pixel was exposed: no profile")
    columns, rows = frame.pixels
    x, y = coordinates((rows, columns), frame.pitch)
    normal = np.array(interface.normal)
    across = (x[None, :] * normal[0] + y[:, None] * normal[1]).ravel() - interface.position
    along = (-x[None, :] * normal[1] + y[:, None] * normal[0]).ravel()
    moved = np.array(shifts, dtype=np.float64).reshape(-1, 2)
    moved_across = moved @ normal
    moved_along = moved @ np.array([-normal[1], normal[0]])

    first = int(np.floor((across.min() - moved_across.max()) / bin_width))
    bins = int(np.ceil((across.max() - moved_across.min()) / bin_width)) - first + 1
    lowest, length = along.min() - moved_along.max(), np.ptp(along) + np.ptp(moved_along)

    def cell(pixel: NDArray[np.int64], number: NDArray[np.int64]) -> NDArray[np.int64]:
        bin_ = np.floor((across[pixel] - moved_across[number]) / bin_width).astype(np.int64) - first
        strip = np.floor((along[pixel] - moved_along[number] - lowest) / (length * (1 + 1e-9)) * _STRIPS)
        return np.asarray(strip.astype(np.int64) * bins + bin_)

    size = _STRIPS * bins
    exposures = np.zeros(size, dtype=np.float64)
    for number, done in enumerate(pixels_done):
        exposures += np.bincount(cell(np.arange(done), np.full(done, number)), minlength=size)
    place = cell(of_pixel, of_pass)
    worth = [fit.worth(element)[of_channel] for element in elements]
    counts = np.array([np.bincount(place, weights=w, minlength=size) for w in worth]).reshape(-1, _STRIPS, bins)
    variance = np.array([np.bincount(place, weights=w**2, minlength=size) for w in worth]).reshape(-1, _STRIPS, bins)
    visits: NDArray[np.float64] = exposures.reshape(_STRIPS, bins)
    per_bin = visits.sum(axis=0)
    exposed = np.flatnonzero(per_bin > _LEAST_EXPOSED * per_bin.max())
    kept = slice(exposed[0], exposed[-1] + 1)
    position = bin_width * np.linspace(first + 0.5, first + bins - 0.5, bins)
    return Profile(tuple(elements), position[kept], visits[:, kept], counts[:, :, kept], variance[:, :, kept])
