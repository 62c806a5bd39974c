"""The pictures of one data file: images as they were taken, element maps, the sum spectrum, the profile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.datafile import Recorded
from acquisition.figures.axes import draw_image, draw_map, draw_profile, draw_spectrum
from acquisition.figures.panel import Panel
from drivers.ticket import Frame
from physics.xray_detector import fwhm
from physics.xrays import lines


def panels(record: Recorded) -> Iterator[Panel]:
    """Images, and what there is of maps and profiles; those of an interrupted map only once it was judged."""
    step = record.about.step
    for name in record.images:
        work = record.work(name)
        if not isinstance(work, Frame):
            continue
        image = record.image(name)
        if image.ndim == 2 and not (record.has_events and name == "dark_field"):
            yield _image(step, record.image_title(name), image, work, mapped=record.has_events)
    if record.has_events and record.status in ("complete", "aborted"):  # only then its passes were judged
        yield from _of_events(record, step)
    if "profile_table" in record.tables:
        table = record.table("profile_table")
        yield Panel(
            f"{step}-profile",
            "profile across the interface",
            "wide",
            lambda axes, found: draw_profile(axes, table, found),
        )


def _image(step: str, title: str, image: NDArray[Any], frame: Frame, *, mapped: bool) -> Panel:
    # only in the image of the map itself does the interface stand where the profile found it
    return Panel(
        f"{step}-{frame.size[0] * 1e9:.0f}nm",
        title,
        "square",
        lambda axes, found: draw_image(axes, image, frame, found if mapped else {}),
    )


def _of_events(record: Recorded, step: str) -> Iterator[Panel]:
    """A map of each element, drift taken back by whole pixels, and the sum spectrum."""
    frame, energies, optics = record.frame(), record.energies(), record.about.optics
    passes, pixels, channels = record.events()
    valid = {each.index: each.drift for each in record.passes() if each.live_time > 0.0}
    kept = np.isin(passes, list(valid))
    passes, pixels, channels = passes[kept], pixels[kept].astype(np.int64), channels[kept]
    columns, rows = frame.pixels
    moved = np.zeros((1 + max(valid, default=0), 2), dtype=np.int64)
    for index, drift in valid.items():
        moved[index] = np.rint(np.divide(drift, frame.pitch))
    x, y = pixels % columns - moved[passes, 0], pixels // columns - moved[passes, 1]
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    for element in record.elements():
        low, high = _window(element, energies[-1], optics.beam_energy, optics.eds_fwhm_mn)
        in_line = inside & (energies[channels] >= low) & (energies[channels] <= high)
        flat = np.bincount(y[in_line] * columns + x[in_line], minlength=frame.count)
        yield _map(step, element, flat.reshape(rows, columns).astype(np.float64), frame)
    spectrum = np.bincount(channels, minlength=energies.size)
    yield Panel(
        f"{step}-spectrum",
        "sum spectrum",
        "wide",
        lambda axes, _: draw_spectrum(axes, spectrum, energies, optics.beam_energy),
    )


def _map(step: str, element: str, counts: NDArray[np.float64], frame: Frame) -> Panel:
    title = f"{element}: {int(counts.sum())} counts in its line"
    return Panel(f"{step}-{element}", title, "square", lambda axes, _: draw_map(axes, counts, frame, element))


def _window(element: str, highest: float, beam_energy: float, fwhm_mn: float) -> tuple[float, float]:
    """Energies, eV, one FWHM to both sides of an element's strongest line in the spectrum."""
    seen = [line for line in lines(element, beam_energy) if line.energy < highest]
    line = max(seen, key=lambda each: each.cross_section)
    width = float(fwhm(line.energy, fwhm_mn))
    return line.energy - width, line.energy + width
