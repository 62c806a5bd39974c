"""A whole EDS map measured: interface, elements, thickness, ramps, interphase."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.interface import Interface, find_interface
from acquisition.analysis.interphase import (
    EVERYWHERE,
    Doubts,
    Films,
    Width,
    film_thickness,
    interphase_width,
    measure_ramps,
)
from acquisition.analysis.profile import Profile, profile
from acquisition.analysis.ramps import Baseline, NoStep, Ramp, View, fit_ramp, resample
from acquisition.analysis.spectra import SpectrumFit, fit, line_shapes
from acquisition.analysis.thickness import Slope, slope_across
from drivers.rigfile import Optics
from drivers.ticket import Frame
from physics import elastic
from physics.materials import Material
from physics.xrays import way_out

_WEIGHED = "P"  # its counts give the thickness: of the film's elements it absorbs its own X-rays least
_ASSUMED_THICKNESS = 100e-9  # m, where no thickness could be measured
_QUICK_BIN, _QUICK = 4e-9, 100  # m, and resamples, of a look at a map that is still being taken
_UNSURE = 0.15  # of a thickness: ionisation and yield of phosphorus 10 %, solid angle 10 %, beam current 5 %; assumed
_CLEAR = 12e-9  # m beyond the end of the ramp: there the film is whole


@dataclass(frozen=True)
class EdsMap:
    """What was recorded.

    passes, pixels, channels: one entry an event, valid passes only, numbered from 0.  energies: of the channels, eV.
    pixels_done, shifts: of each pass; shifts (dx, dy), m, how far the sample stood from where it stands in
    `dark_field`. dark_field: (rows, columns), summed after drift correction.  electrons: on a pixel in a visit while
    the detector was live, mean.  tilt: of the lamella about y, rad, positive when its lit face turns towards +x.
    """

    passes: NDArray[np.int64]
    pixels: NDArray[np.int64]
    channels: NDArray[np.int64]
    energies: NDArray[np.float64]
    elements: tuple[str, ...]
    frame: Frame
    pixels_done: tuple[int, ...]
    shifts: tuple[tuple[float, float], ...]
    dark_field: NDArray[np.float64]
    electrons: float
    tilt: float = 0.0


@dataclass(frozen=True)
class Measured:
    """What the map says.

    films: with the thickness that was reckoned with.  slope, thickness: across the interface, and at it, m, from the
    phosphorus; None when that does not rise.  width: None when nothing rises.
    """

    interface: Interface
    fit: SpectrumFit
    profile: Profile
    ramps: dict[str, Ramp]
    width: Width | None
    films: Films
    slope: Slope | None
    thickness: float | None


def measure(
    recorded: EdsMap,
    optics: Optics,
    doubts: Doubts,
    *,
    dark: Material,
    bright: Material,
    bin_width: float,
    rng: np.random.Generator,
) -> Measured:
    """Measure a map of the contact of two films, dark and bright in the dark field.

    bin_width: of the profile, m.  A first look gives the thickness from the phosphorus, and where the film is whole;
    what the film absorbs, of its lines and of its bremsstrahlung, and what a wedge adds to each place, follow from it.
    ValueError for a frame without contrast, no counts, or a lamella that hides its face from the detector.
    """
    interface = find_interface(recorded.dark_field, recorded.frame.pitch)

    def look(films: Films) -> tuple[SpectrumFit, Profile]:
        fitted = _fit(recorded, optics, films)
        return fitted, _across(recorded, interface, fitted, bin_width)

    way = way_out(optics.eds_elevation, optics.eds_azimuth, recorded.tilt)
    films = Films(dark, bright, _ASSUMED_THICKNESS, way, _UNSURE)
    fitted, across = look(films)
    ramp = _first_ramp(across, doubts, rng)
    slope, thickness = None, None
    if ramp is not None:
        thickness = film_thickness(
            ramp,
            bright,
            electrons=recorded.electrons,
            beam_energy=optics.beam_energy,
            solid_angle=optics.eds_solid_angle,
        )
        slope = slope_across(
            recorded.dark_field,
            recorded.frame,
            interface,
            ramp.end + _CLEAR,
            across,
            _WEIGHED,
            depth=thickness * _scattering(bright, optics),
        )
        # the level is that of the whole film, half-way to the end of the profile
        thickness /= 1 + slope.value * max((ramp.end + float(across.position[-1])) / 2, 0.0)
        films = replace(films, thickness=thickness, slope=slope.value, slope_uncertainty=slope.uncertainty)
        fitted, across = look(films)
    ramps = measure_ramps(across, doubts, rng, films)
    return Measured(
        interface, fitted, across, ramps, interphase_width(ramps) if ramps else None, films, slope, thickness
    )


def half_widths(recorded: EdsMap, optics: Optics, elements: tuple[str, ...]) -> dict[str, float]:
    """Return half of the 95 % interval of the ramps of some elements, m, as far as counting makes it.

    For a map that is still being taken: nothing is corrected, and what a map cannot tell is left out. An element that
    does not rise (yet) is not among them.
    """
    try:
        interface = find_interface(recorded.dark_field, recorded.frame.pitch)
        fitted = _fit(recorded, optics, None)
    except ValueError:  # a frame without contrast, or no count at all
        return {}
    across = _across(recorded, interface, fitted, max(_QUICK_BIN, *recorded.frame.pitch))
    resamples = resample(across, np.random.default_rng(len(recorded.pixels_done)), times=_QUICK)
    view = View(optics.probe_fwhm / 2, np.ones(across.position.size))
    found = {}
    for element in elements:
        baselines = (Baseline(view.transmission),) if element == EVERYWHERE else ()
        try:
            low, high = fit_ramp(across, element, [view], resamples, baselines=baselines).ci95
        except NoStep:
            continue
        found[element] = (high - low) / 2
    return found


def _scattering(film: Material, optics: Optics) -> float:
    """Share of the beam that a metre of a film scatters into the dark field, 1/m."""
    return sum(
        density * elastic.cross_section(element, optics.beam_energy, *optics.dark_field)
        for element, density in film.number_densities.items()
    )


def _first_ramp(across: Profile, doubts: Doubts, rng: np.random.Generator) -> Ramp | None:
    if _WEIGHED not in across.elements:
        return None
    view = View(doubts.probe_fwhm / 2, np.ones(across.position.size))
    try:
        return fit_ramp(across, _WEIGHED, [view], resample(across, rng, times=2))
    except NoStep:
        return None


def _fit(recorded: EdsMap, optics: Optics, films: Films | None) -> SpectrumFit:
    shapes = line_shapes(
        recorded.elements,
        recorded.energies,
        beam_energy=optics.beam_energy,
        fwhm_mn=optics.eds_fwhm_mn,
        film=films.bright if films else None,
        path=films.path if films else 0.0,
    )
    return fit(np.bincount(recorded.channels, minlength=recorded.energies.size), shapes)


def _across(recorded: EdsMap, interface: Interface, fitted: SpectrumFit, bin_width: float) -> Profile:
    return profile(
        recorded.passes,
        recorded.pixels,
        recorded.channels,
        frame=recorded.frame,
        pixels_done=recorded.pixels_done,
        shifts=recorded.shifts,
        interface=interface,
        fit=fitted,
        elements=recorded.elements,
        bin_width=bin_width,
    )
