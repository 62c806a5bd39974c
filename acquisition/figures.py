"""Pictures of a run, for people who would rather look than read: dark field, maps, spectrum, profile, overview."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from acquisition.datafile import Recorded, open_record
from acquisition.panels import draw_image, draw_map, draw_profile, draw_spectrum
from drivers.ticket import Frame
from physics.xray_detector import fwhm
from physics.xrays import lines

DOTS = 110  # an inch
CHARACTERS = 44  # of a title that stand in one line

Found = dict[str, Any]


@dataclass(frozen=True)
class _Panel:
    """One picture: its file name, its title, its shape, and what draws it, given the results of the run."""

    name: str
    title: str
    shape: Literal["square", "wide"]
    draw: Callable[[Axes, Found], None]


def write_figures(run_folder: Path) -> list[Path]:
    """Draw what the data files of a run hold into RUN/figures/*.png; returns the pictures, overview.png last.

    Of steps that were done several times the latest finished one counts. The overview shows the map with its dark
    field, spectrum and profile, or the images where there is no map. Raises DataFileError.
    """
    panels: dict[str, _Panel] = {}
    found: Found = {}
    heading = ""
    for path in sorted((run_folder / "data").glob("*.nxs")):
        with open_record(path) as record:
            about = record.about
            heading = f"{about.sample}: {about.recipe_name}" + (" (simulated)" if about.simulated else "")
            found |= {
                key: value for key, value in record.results.items() if key in ("profiles", "interphase", "interface")
            }
            for panel in _panels(record):
                panels.pop(panel.name, None)
                panels[panel.name] = panel
    folder = run_folder / "figures"
    folder.mkdir(exist_ok=True)
    written = [_save(folder / f"{panel.name}.png", [panel], found, "") for panel in panels.values()]
    shown = _overview(list(panels.values()))
    if shown:
        written.append(_save(folder / "overview.png", shown, found, heading))
    return written


def _overview(panels: Sequence[_Panel]) -> list[_Panel]:
    """The latest map with what belongs to it; without one, the latest images."""
    of_map = [panel for panel in panels if panel.name.startswith("eds_")]
    return of_map or [panel for panel in panels if not panel.name.startswith("focus")][-4:]


def _panels(record: Recorded) -> Iterator[_Panel]:
    step = record.about.step
    for name in record.images:
        image = record.image(name)
        if image.ndim == 2 and not (record.has_events and name == "dark_field"):
            yield _image(step, record.image_title(name), image, record.frame(name), mapped=record.has_events)
    if record.has_events and record.status in ("complete", "aborted"):  # only then its passes were judged
        yield from _of_events(record, step)
    if "profile_table" in record.tables:
        table = record.table("profile_table")
        yield _Panel(
            f"{step}-profile",
            "profile across the interface",
            "wide",
            lambda axes, found: draw_profile(axes, table, found),
        )


def _image(step: str, title: str, image: NDArray[Any], frame: Frame, *, mapped: bool) -> _Panel:
    # only in the image of the map itself does the interface stand where the profile found it
    return _Panel(
        f"{step}-{frame.size[0] * 1e9:.0f}nm",
        title,
        "square",
        lambda axes, found: draw_image(axes, image, frame, found if mapped else {}),
    )


def _of_events(record: Recorded, step: str) -> Iterator[_Panel]:
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
    yield _Panel(
        f"{step}-spectrum",
        "sum spectrum",
        "wide",
        lambda axes, _: draw_spectrum(axes, spectrum, energies, optics.beam_energy),
    )


def _map(step: str, element: str, counts: NDArray[np.float64], frame: Frame) -> _Panel:
    title = f"{element}: {int(counts.sum())} counts in its line"
    return _Panel(f"{step}-{element}", title, "square", lambda axes, _: draw_map(axes, counts, frame, element))


def _window(element: str, highest: float, beam_energy: float, fwhm_mn: float) -> tuple[float, float]:
    """Energies, eV, one FWHM to both sides of an element's strongest line in the spectrum."""
    seen = [line for line in lines(element, beam_energy) if line.energy < highest]
    line = max(seen, key=lambda each: each.cross_section)
    width = float(fwhm(line.energy, fwhm_mn))
    return line.energy - width, line.energy + width


def _save(path: Path, panels: Sequence[_Panel], found: Found, heading: str) -> Path:
    """Draw panels into one file: the square ones in a row, the wide ones below them side by side."""
    rows = [row for row in ([p for p in panels if p.shape == s] for s in ("square", "wide")) if row]
    widest = max(len(row) * (3.6 if row[0].shape == "square" else 5.4) for row in rows)
    figure = Figure(figsize=(widest, 3.7 * len(rows) + (0.3 if heading else 0.0)), layout="constrained")
    FigureCanvasAgg(figure)
    for place, row in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        for axes, panel in zip(place.subplots(1, len(row), squeeze=False)[0], row, strict=True):
            panel.draw(axes, found)
            axes.set_title(fill(panel.title, CHARACTERS), fontsize=10)
    if heading:
        figure.suptitle(heading, fontsize=12)
    figure.savefig(path, dpi=DOTS)
    return path
