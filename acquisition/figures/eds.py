"""The pictures of X-rays: element maps, thickness, the sum spectrum, the spectra of the regions, the line-scan."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from acquisition.analysis.binning import Binned, bin_map
from acquisition.analysis.interface import coordinates
from acquisition.analysis.spectra import SpectrumFit, fit, line_shapes
from acquisition.datafile import Recorded
from acquisition.figures.axes import said_dose, say
from acquisition.figures.eds_axes import draw_fits, draw_line_scan, draw_map, draw_spectrum
from acquisition.figures.panel import Found, Panel
from acquisition.figures.scans import dose_of_map
from drivers.ticket import Frame
from physics.materials import material

ERROR = 0.15  # of the film's counts: what a square of a map is uncertain by, at most
WEIGHED = "P"  # its counts give the thickness
NAMED = {"metal": "{dark}", "interphase": "interphase", "film": "{bright}"}


def panels(record: Recorded) -> Iterator[Panel]:
    """Maps and sum spectrum of events, once their passes were judged; spectra and line-scan of a profile."""
    step = record.about.step
    if record.has_events and record.status in ("complete", "aborted"):
        yield from _of_events(record, step)
    if "profile_table" in record.tables:
        table = record.table("profile_table")
        dose = dose_of_map(record)
        title = "line-scan along the arrow" + dose
        yield Panel(f"{step}-counts", title, "wide", lambda axes, found: draw_line_scan(axes, table, found))
        yield from _of_regions(record, step, tuple(table)[1:], dose)


def _of_events(record: Recorded, step: str) -> Iterator[Panel]:
    """Of the valid passes, drift taken back by whole pixels."""
    frame, energies, optics = record.frame(), record.energies(), record.about.optics
    passes, pixels, channels = record.events()
    valid = {each.index: each for each in record.passes() if each.live_time > 0.0}
    kept = np.isin(passes, list(valid))
    passes, pixels, channels = passes[kept], pixels[kept].astype(np.int64), channels[kept]
    spectrum = np.bincount(channels, minlength=energies.size)
    planned = sum(each.fluence_planned for each in record.passes())
    dose = said_dose(planned, max((each.dose_after for each in record.passes()), default=0.0))
    fitted = _fitted(spectrum, record, energies)
    if fitted is not None:
        moved = {index: np.rint(np.divide(each.drift, frame.pitch)).astype(np.int64) for index, each in valid.items()}
        visits = _visits(frame, {index: each.pixels_done for index, each in valid.items()}, moved)
        shift = np.zeros((1 + max(valid), 2), dtype=np.int64)
        for index, by in moved.items():
            shift[index] = by
        place = _placed(pixels, shift[passes], frame)
        live = sum(each.live_time for each in valid.values()) / max(sum(e.pixels_done for e in valid.values()), 1)
        known = {name.split()[0] for name in fitted.shapes.names}
        for element in (each for each in record.elements() if each in known):
            binned = _binned(element, fitted, place, channels, visits)
            yield _map(step, element, fitted, binned, frame, live, dose)
            if element == WEIGHED:
                yield _thickness(step, binned, frame, dose)
    yield Panel(
        f"{step}-spectrum",
        f"sum spectrum; {dose}",
        "wide",
        lambda axes, _: draw_spectrum(axes, spectrum, energies, optics.beam_energy),
    )


def _fitted(spectrum: NDArray[np.int64], record: Recorded, energies: NDArray[np.float64]) -> SpectrumFit | None:
    optics = record.about.optics
    shapes = line_shapes(record.elements(), energies, beam_energy=optics.beam_energy, fwhm_mn=optics.eds_fwhm_mn)
    try:
        return fit(spectrum, shapes)
    except ValueError:  # not one count
        return None


def _placed(pixels: NDArray[Any], moved: NDArray[np.int64], frame: Frame) -> NDArray[np.int64]:
    """Pixels (row-major) that the sample's places really are; -1 for those outside the frame."""
    columns, rows = frame.pixels
    x, y = pixels % columns - moved[..., 0], pixels // columns - moved[..., 1]
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    return np.asarray(np.where(inside, y * columns + x, -1))


def _visits(frame: Frame, done: dict[int, int], moved: dict[int, NDArray[np.int64]]) -> NDArray[np.float64]:
    """How often each pixel (rows, columns) was exposed."""
    visits = np.zeros(frame.count)
    for index, count in done.items():
        place = _placed(np.arange(count), moved[index], frame)
        visits[place[place >= 0]] += 1
    return visits.reshape(frame.pixels[1], frame.pixels[0])


def _binned(
    element: str,
    fitted: SpectrumFit,
    place: NDArray[np.int64],
    channels: NDArray[np.uint16],
    visits: NDArray[np.float64],
) -> Binned:
    inside, worth = place >= 0, fitted.worth(element)[channels]
    counts, variance = (
        np.bincount(place[inside], weights=weight[inside], minlength=visits.size).reshape(visits.shape)
        for weight in (worth, worth**2)
    )
    return bin_map(counts, variance, visits, ERROR)


def _map(step: str, element: str, fitted: SpectrumFit, binned: Binned, frame: Frame, live: float, dose: str) -> Panel:
    counts, error = fitted.of(element)
    title = f"{element}: {counts:.0f} $\\pm$ {error:.0f} counts; {_squares(binned, frame)}"

    def draw(axes: Axes, _: Found) -> None:
        draw_map(axes, binned.values / max(live, 1e-12), frame, "counts per second")
        say(axes, dose)

    return Panel(f"{step}-{element}", title, "square", draw)


def _squares(binned: Binned, frame: Frame) -> str:
    """How uncertain the squares of a map are, and how large."""
    inside = binned.sides[np.isfinite(binned.values)]
    side = float(np.median(inside)) * frame.pitch[0] * 1e9 if inside.size else 0.0
    worst = float(np.nanquantile(binned.errors, 0.95)) / binned.level if inside.size else math.nan
    return f"squares of {side:.0f} nm, $\\pm$ {100 * worst:.0f} % of the film"


def _thickness(step: str, binned: Binned, frame: Frame, dose: str) -> Panel:
    """Where the film is whole, as thick as its phosphorus says; elsewhere these counts say nothing of it."""

    def draw(axes: Axes, found: Found) -> None:
        values = np.full(binned.values.shape, np.nan)
        if {"film_thickness_nm", "interface", "profiles"} <= set(found) and found["profiles"]:
            place, angle = found["interface"]["position_nm"], math.radians(found["interface"]["angle_deg"])
            x, y = coordinates(binned.values.shape, frame.pitch)
            across = (x[None, :] * math.cos(angle) + y[:, None] * math.sin(angle)) * 1e9 - place
            whole = (across > max(ramp["to_nm"] for ramp in found["profiles"].values())) & np.isfinite(binned.values)
            if whole.any():
                steeper = 1 + found.get("thickness_slope", {}).get("pct_per_100nm", 0.0) * 1e-4 * across[whole]
                mean = found["film_thickness_nm"] * float(steeper.mean())
                values[whole] = binned.values[whole] * mean / float(binned.values[whole].mean())
        draw_map(axes, values, frame, "thickness (nm)", colours="viridis")
        unsure = found.get("film_thickness_uncertainty_nm")
        say(axes, dose if unsure is None else f"{dose}\nscale known to $\\pm$ {unsure:.0f} nm")

    title = f"thickness of the film, from its phosphorus; {_squares(binned, frame)}"
    return Panel(f"{step}-thickness", title, "square", draw)


def _of_regions(record: Recorded, step: str, elements: tuple[str, ...], dose: str) -> Iterator[Panel]:
    """The spectra of metal, interphase and film, each with its fit."""
    told, optics = record.results, record.about.optics
    if not told.get("eds_regions"):
        return
    spectra = record.spectrum_line("profile")
    position = spectra.positions * 1e9
    fits = {}
    for name, region in sorted(told["eds_regions"].items(), key=lambda each: float(each[1]["from_nm"])):
        inside = (position >= region["from_nm"] - 1e-3) & (position <= region["to_nm"] + 1e-3)
        counts = spectra.counts[inside].sum(axis=0)
        shapes = line_shapes(
            elements,
            spectra.energies,
            beam_energy=optics.beam_energy,
            fwhm_mn=optics.eds_fwhm_mn,
            film=material(told["films"]["dark" if name == "metal" else "bright"]),
            path=region["path_nm"] * 1e-9,
        )
        fits[NAMED.get(name, name).format(**told["films"])] = counts, fit(counts, shapes)
    title = "spectra with fit and residual" + dose
    yield Panel(f"{step}-spectra", title, "broad", lambda axes, _: draw_fits(axes, fits, optics.beam_energy))
