"""A whole EDS map measured: interface, elements, thickness, ramps, interphase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.interface import Interface, find_interface
from acquisition.analysis.interphase import Films, Width, film_thickness, interphase_width, measure_ramps
from acquisition.analysis.profile import Profile, profile
from acquisition.analysis.ramps import NoStep, Ramp, fit_ramp, resample
from acquisition.analysis.spectra import SpectrumFit, fit, line_shapes
from drivers.rigfile import Optics
from drivers.ticket import Frame
from physics.materials import Material

_WEIGHED = "P"  # its counts give the thickness: of the film's elements it absorbs its own X-rays least
_ASSUMED_THICKNESS = 100e-9  # m, where no thickness could be measured


@dataclass(frozen=True)
class EdsMap:
    """What was recorded.

    passes, pixels, channels: one entry an event, valid passes only, numbered from 0.  energies: of the channels, eV.
    pixels_done, shifts: of each pass; shifts (dx, dy), m, how far the sample stood from where it stands in
    `dark_field`. dark_field: (rows, columns), summed after drift correction.  electrons: on a pixel in a visit while
    the detector was live, mean.
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


@dataclass(frozen=True)
class Measured:
    """What the map says.

    thickness: of the bright film, m, from its phosphorus; None when it does not rise.  width: None when nothing rises.
    """

    interface: Interface
    fit: SpectrumFit
    profile: Profile
    ramps: dict[str, Ramp]
    width: Width | None
    thickness: float | None


def measure(
    recorded: EdsMap,
    optics: Optics,
    *,
    dark: Material,
    bright: Material,
    bin_width: float,
    scale_uncertainty: float,
    edge_on_within: float,
    rng: np.random.Generator,
) -> Measured:
    """Measure a map of the contact of two films, dark and bright in the dark field.

    bin_width: of the profile, m.  scale_uncertainty: relative bound of the scan field's size.  edge_on_within: rad, how
    far the interface may lean out of the beam.  A first look gives the thickness from the phosphorus; what the film
    absorbs, of its lines and of its bremsstrahlung, follows from that.
    """
    interface = find_interface(recorded.dark_field, recorded.frame.pitch)

    def look(thickness: float) -> tuple[Films, SpectrumFit, Profile]:
        films = Films(dark, bright, thickness, optics.eds_elevation, edge_on_within)
        fitted = _fit(recorded, optics, films)
        return films, fitted, _across(recorded, interface, fitted, bin_width)

    _, _, across = look(_ASSUMED_THICKNESS)
    thickness = _thickness(recorded, across, optics, bright, rng)
    films, fitted, across = look(thickness or _ASSUMED_THICKNESS)
    ramps = measure_ramps(across, optics.probe_fwhm, rng, films, scale_uncertainty)
    return Measured(interface, fitted, across, ramps, interphase_width(ramps) if ramps else None, thickness)


def _fit(recorded: EdsMap, optics: Optics, films: Films) -> SpectrumFit:
    shapes = line_shapes(
        recorded.elements,
        recorded.energies,
        beam_energy=optics.beam_energy,
        fwhm_mn=optics.eds_fwhm_mn,
        film=films.bright,
        path=films.path,
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


def _thickness(
    recorded: EdsMap, across: Profile, optics: Optics, bright: Material, rng: np.random.Generator
) -> float | None:
    if _WEIGHED not in across.elements:
        return None
    try:
        ramp = fit_ramp(across, _WEIGHED, optics.probe_fwhm, resample(across, rng, times=2))
    except NoStep:
        return None
    return film_thickness(
        ramp,
        bright,
        electrons=recorded.electrons,
        beam_energy=optics.beam_energy,
        solid_angle=optics.eds_solid_angle,
    )
