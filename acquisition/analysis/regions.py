"""What a map says of its three regions, metal, interphase and film: spectra, composition, and what the beam took."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.eds_map import EdsMap, Measured
from acquisition.analysis.interface import coordinates
from acquisition.analysis.quantify import Composition, Counts, Factors, Standard, factors, quantify
from acquisition.analysis.spectra import SpectrumFit, fit, line_shapes
from drivers.rigfile import Optics
from physics.materials import Material

METAL, INTERPHASE, FILM = "metal", "interphase", "film"
_REFERENCE = "P"  # of the factors: it absorbs its own X-rays least
_ICED = "O"
_CLEAR = 12e-9  # m kept from where an element begins or ends to rise
_FAR = 40e-9  # m from the interphase: there the film is what it is everywhere
_LEAST = 20e-9  # m across: of a region whose spectrum says something
_ANY = 1 / math.sqrt(12)  # standard deviation of something between 0 and 1


@dataclass(frozen=True)
class Region:
    """One region: from where to where, m from the interface; its spectrum (channels,), visits of a pixel, and fit.

    path: of X-rays through the lamella there, m.
    """

    start: float
    end: float
    spectrum: NDArray[np.uint32]
    visits: float
    fit: SpectrumFit
    path: float


@dataclass(frozen=True)
class Chemistry:
    """Compositions (at% of the seen atoms) by region; the film is the standard and is what it was said to be."""

    factors: Factors
    found: Mapping[str, Composition]


@dataclass(frozen=True)
class Loss:
    """Share of an element's counts in the first third of the passes that was gone in the last; standard uncertainty."""

    share: float
    uncertainty: float


def spectra(recorded: EdsMap, found: Measured) -> NDArray[np.uint32]:
    """Return the spectra (bins, channels) of the bins of the profile."""
    columns, rows = recorded.frame.pixels
    x, y = coordinates((rows, columns), recorded.frame.pitch)
    normal = np.array(found.interface.normal)
    across = (x[None, :] * normal[0] + y[:, None] * normal[1]).ravel() - found.interface.position
    moved = np.array(recorded.shifts).reshape(-1, 2) @ normal
    first = found.profile.position[0] - found.profile.bin_width / 2
    place = (across[recorded.pixels] - moved[recorded.passes] - first) / found.profile.bin_width
    bins, channels = found.profile.position.size, recorded.energies.size
    kept = (place >= 0) & (place < bins)
    number = place[kept].astype(np.int64)
    flat = np.bincount(number * channels + recorded.channels[kept], minlength=bins * channels)
    return flat.reshape(bins, channels).astype(np.uint32)


def regions(recorded: EdsMap, found: Measured, optics: Optics, in_bins: NDArray[np.uint32]) -> dict[str, Region]:
    """Return the regions that the map holds enough of, by name; in_bins: from `spectra`."""
    if not found.ramps:
        return {}
    start, end = min(r.start for r in found.ramps.values()), max(r.end for r in found.ramps.values())
    position, visits = found.profile.position, found.profile.visits.sum(axis=0)
    far = _FAR if position[-1] - end > _FAR + _LEAST else _CLEAR
    extents = {METAL: (position[0], start - _CLEAR), INTERPHASE: (start, end), FILM: (end + far, position[-1])}
    made = {}
    for name, (left, right) in extents.items():
        inside = (position >= left) & (position <= right)
        spectrum = in_bins[inside].sum(axis=0, dtype=np.uint32)
        if right - left < _LEAST or not spectrum.sum() > 0:
            continue
        middle = np.array([np.average(position[inside], weights=visits[inside])])
        path = found.films.path * float(found.films.relative(middle)[0])
        shapes = line_shapes(
            recorded.elements,
            recorded.energies,
            beam_energy=optics.beam_energy,
            fwhm_mn=optics.eds_fwhm_mn,
            film=found.films.dark if name == METAL else found.films.bright,
            path=path,
        )
        try:
            fitted = fit(spectrum, shapes)
        except ValueError:  # nothing above the noise of the detector
            continue
        made[name] = Region(float(left), float(right), spectrum, float(visits[inside].sum()), fitted, path)
    return made


def chemistry(found: Measured, by_name: Mapping[str, Region]) -> Chemistry | None:
    """Quantify the interphase with the far film as the standard; None where the map holds no far film.

    What oxygen there is on the metal's side is ice, which lies everywhere, or the metal's own shell, which does not:
    ice is taken as half of it, as uncertain as that is.
    """
    film = by_name.get(FILM)
    stated = found.films.bright.number_densities
    elements = tuple(e for e in found.profile.elements if e in stated and f"{e} K" in found.fit.shapes.names)
    if film is None or len(elements) < 2:
        return None
    elements = tuple(sorted(elements, key=lambda e: e != _REFERENCE))
    metal = by_name.get(METAL)
    iced = metal.fit.of(_ICED)[0] / metal.visits if metal is not None and _ICED in elements else 0.0
    standard = Standard(_net(film, elements, iced), found.films.bright, film.path, found.films.uncertainty)
    if not np.all(standard.counts.values > 0):
        return None
    there = {name: by_name[name] for name in (INTERPHASE,) if name in by_name}
    return Chemistry(
        factors(standard, elements[0]),
        {
            name: quantify(_net(region, elements, iced), standard, region.path, found.films.dark)
            for name, region in there.items()
        },
    )


def losses(recorded: EdsMap, found: Measured) -> dict[str, Loss]:
    """Return what became of each element's counts from the first third of the passes to the last; {} for few passes."""
    passes = len(recorded.pixels_done)
    third = passes // 3
    if third < 1:
        return {}
    visits = np.array([sum(recorded.pixels_done[:third]), sum(recorded.pixels_done[passes - third :])], dtype=float)
    made = {}
    for element in recorded.elements:
        worth = found.fit.worth(element)[recorded.channels]
        parts = [worth[recorded.passes < third], worth[recorded.passes >= passes - third]]
        (first, last), (before, after) = zip(
            *((float(p.sum()) / n, math.sqrt(float((p**2).sum())) / n) for p, n in zip(parts, visits, strict=True)),
            strict=True,
        )
        if first > 3 * before:
            ratio = last / first
            made[element] = Loss(1 - ratio, math.hypot(after / first, ratio * before / first))
    return made


def _net(region: Region, elements: tuple[str, ...], iced: float) -> Counts:
    """Counts of a region, without what ice may give of oxygen; iced: counts a visit on the metal's side."""
    counts = Counts.of(region.fit, elements, region.visits)
    if _ICED not in elements:
        return counts
    there = float(counts.values[elements.index(_ICED)])
    share = max(min(iced * region.visits / there, 1.0), 0.0) if there > 0 else 0.0
    return counts.less(_ICED, share / 2, share * _ANY)


def composition_of(film: Material, elements: tuple[str, ...]) -> dict[str, float]:
    """Return at% of some elements of a film among themselves, as it is stated."""
    whole = sum(film.number_densities[e] for e in elements)
    return {e: 100 * film.number_densities[e] / whole for e in elements}
