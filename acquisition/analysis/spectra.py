"""Counts of each element in EDS spectra: linear fit of known line shapes, escape peaks and bremsstrahlung."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from physics import xray_detector, xrays
from physics.materials import Material

ALSO_PRESENT = ("C", "Cu", "Ga")  # build-up of the beam, grid and weld, ion beam: in every lamella, asked for or not
BACKGROUND = "background"
_LOWEST = 180.0  # eV: below it stands the electronic noise of the detector
_FEWEST = 0.3  # counts expected in a channel: below it no channel weighs more
_TO_SIGMA = 1 / math.sqrt(8 * math.log(2))


@dataclass(frozen=True)
class LineShapes:
    """What one count of each line family looks like.

    names: families such as "P K" or "Cu L", and last the background.  energies: of the channels, eV.  shapes:
    (names, channels), each sums to 1 over all energies.  used: (channels,), True where the fit looks.
    """

    names: tuple[str, ...]
    energies: NDArray[np.float64]
    shapes: NDArray[np.float64]
    used: NDArray[np.bool_]

    def rows(self, element: str) -> list[int]:
        """Indices of the families of an element; ValueError when it has none here."""
        found = [i for i, name in enumerate(self.names) if name.split()[0] == element]
        if not found:
            raise ValueError(f"{element} has no line among {', '.join(self.names)}")
        return found


@dataclass(frozen=True)
class SpectrumFit:
    """Counts of each family in one spectrum.

    counts: (names,).  covariance: (names, names), Poisson.  model, background: (channels,) counts.  chi2: per degree of
    freedom (Pearson); well above 1 says that the shapes are not those of this detector.  estimator: (names, channels),
    what a count in a channel is worth to each family: summed over the events of any place it gives, without bias, the
    counts there.
    """

    shapes: LineShapes
    counts: NDArray[np.float64]
    covariance: NDArray[np.float64]
    model: NDArray[np.float64]
    background: NDArray[np.float64]
    chi2: float
    estimator: NDArray[np.float64]

    def of(self, element: str) -> tuple[float, float]:
        """Counts of all families of an element and their standard uncertainty."""
        rows = self.shapes.rows(element)
        return float(self.counts[rows].sum()), math.sqrt(float(self.covariance[np.ix_(rows, rows)].sum()))

    def worth(self, element: str) -> NDArray[np.float64]:
        """What a count in each channel is worth to an element."""
        worth: NDArray[np.float64] = self.estimator[self.shapes.rows(element)].sum(axis=0)
        return worth


def line_shapes(
    elements: Iterable[str],
    energies: ArrayLike,
    *,
    beam_energy: float,
    fwhm_mn: float,
    film: Material | None = None,
    path: float = 0.0,
) -> LineShapes:
    """Make the shapes of the lines of some elements, of those always present, and of the bremsstrahlung.

    energies: middle of each channel, eV, evenly spaced.  beam_energy, fwhm_mn (resolution at Mn Ka): eV.  film: which
    absorbs its own bremsstrahlung, along a path (m) of X-rays from its far face to the detector side; None for none.
    Within a family lines stand as their emission and the detector's efficiency say, and what escapes from the detector
    as Si K stands at the escape energy (physics.xrays, physics.xray_detector).
    """
    axis = np.asarray(energies, dtype=np.float64)
    names: list[str] = []
    shapes: list[NDArray[np.float64]] = []
    for element in dict.fromkeys((*elements, *ALSO_PRESENT)):
        families: dict[str, NDArray[np.float64]] = {}
        for line in xrays.lines(element, beam_energy):
            if not _LOWEST < line.energy < axis[-1]:
                continue
            escaped = xrays.silicon_escape_fraction(line.energy)
            peak = (1 - escaped) * _peak(axis, line.energy, fwhm_mn)
            if escaped:
                peak = peak + escaped * _peak(axis, xrays.silicon_escape_energy(line.energy), fwhm_mn)
            strength = line.cross_section * float(xray_detector.efficiency(line.energy))
            family = f"{element} {line.name[0]}"
            families[family] = families.get(family, np.zeros(axis.size)) + strength * peak
        for family, shape in families.items():
            names.append(family)
            shapes.append(shape / shape.sum())
    inside = np.maximum(axis, _LOWEST)
    # of thin things the shape is the same whatever they are made of
    background = xrays.bremsstrahlung({"C": 1.0}, beam_energy, inside) * xray_detector.efficiency(inside)
    if film is not None:
        chi = xrays.mass_attenuation(film.mass_fractions, inside) * film.density * path
        background *= xrays.absorption_factor(chi)
    used = axis >= _LOWEST
    background = np.where(used, background, 0.0)
    return LineShapes((*names, BACKGROUND), axis, np.stack([*shapes, background / background.sum()]), used)


def fit(spectrum: ArrayLike, shapes: LineShapes) -> SpectrumFit:
    """Fit the shapes to one spectrum (channels,), counts: least squares weighted with the fitted counts themselves.

    A few rounds make it the Poisson maximum likelihood.  ValueError for a spectrum of another length or without counts.
    """
    counts = np.asarray(spectrum, dtype=np.float64)
    if counts.shape != shapes.energies.shape:
        raise ValueError(f"a spectrum of shape {counts.shape} does not fit {shapes.energies.size} channels")
    used = shapes.used
    if not counts[used].sum() > 0:
        raise ValueError(f"the spectrum holds no count above {_LOWEST:g} eV")
    design, seen = shapes.shapes[:, used], counts[used]
    expected = np.full(seen.size, seen.mean())
    for _ in range(8):
        weighted = design / np.maximum(expected, _FEWEST)
        estimator = np.linalg.solve(weighted @ design.T, weighted)
        content = estimator @ seen
        # a family that is not there may come out below 0, an expected count may not
        expected = design.T @ np.maximum(content, 0)
    whole = np.zeros(shapes.shapes.shape)
    whole[:, used] = estimator
    floor = np.maximum(expected, _FEWEST)
    covariance = (estimator * floor) @ estimator.T
    chi2 = float(np.sum((seen - design.T @ content) ** 2 / floor)) / (seen.size - content.size)
    return SpectrumFit(
        shapes, content, covariance, content @ shapes.shapes, content[-1] * shapes.shapes[-1], chi2, whole
    )


def _peak(axis: NDArray[np.float64], energy: float, fwhm_mn: float) -> NDArray[np.float64]:
    """A Gaussian of area 1 integrated over each channel."""
    half = (axis[1] - axis[0]) / 2
    sigma = float(xray_detector.fwhm(energy, fwhm_mn)) * _TO_SIGMA
    edges = np.append(axis - half, axis[-1] + half)
    return np.diff(special.ndtr((edges - energy) / sigma))
