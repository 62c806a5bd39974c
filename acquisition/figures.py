"""Pictures of a run, for people who would rather look than read: dark field, maps, spectrum, profile, overview."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray
from scipy import ndimage

from acquisition.datafile import Column, Recorded, open_record
from drivers.ticket import Frame
from physics.xray_detector import fwhm
from physics.xrays import lines, silicon_escape_energy

COLOURS = {"P": "#d55e00", "N": "#0072b2", "O": "#009e73"}  # told apart by all eyes (Okabe and Ito)
OTHER = "#444444"
SMOOTH = 2.0  # pixels; standard deviation that a map of few counts is smoothed with, said on the map
BARS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)  # nm
LABELLED = (("C", "C K"), ("N", "N K"), ("O", "O K"), ("Cu", "Cu L"), ("P", "P K"), ("Cu", "Cu K"))
TICKS = (0.2, 0.3, 0.5, 1, 2, 3, 5, 10)  # keV
APART = 20.0  # eV; peaks closer than that share a label
INCHES, DOTS = 4.0, 110

Draw = Callable[[Axes], None]


@dataclass(frozen=True)
class _Panel:
    """One picture: its file name, its title, and what draws it."""

    name: str
    title: str
    draw: Draw


def write_figures(run_folder: Path) -> list[Path]:
    """Draw what the data files of a run hold into RUN/figures/*.png; returns the pictures, overview.png last.

    Of steps that were done several times the latest finished one counts for the overview. Raises DataFileError.
    """
    panels: dict[str, _Panel] = {}
    for path in sorted((run_folder / "data").glob("*.nxs")):
        with open_record(path) as record:
            for panel in _panels(record):
                panels[panel.name] = panel
    folder = run_folder / "figures"
    folder.mkdir(exist_ok=True)
    written = [_save(folder / f"{panel.name}.png", [panel]) for panel in panels.values()]
    told = [panel for name, panel in panels.items() if not name.startswith("focus")]
    if told:
        written.append(_save(folder / "overview.png", told[-6:]))
    return written


def _panels(record: Recorded) -> list[_Panel]:
    step = record.about.step
    panels = []
    for name in record.images:
        image = record.image(name)
        if image.ndim == 2 and not (record.has_events and name == "dark_field"):
            frame = record.frame(name)
            panels.append(_Panel(f"{step}-{_size(frame)}", record.image_title(name), _image(image, frame)))
    if record.has_events and record.status == "complete":  # only then its events were binned
        cube, energies, frame = record.cube(), record.energies(), record.frame()
        beam, sharp = record.about.optics.beam_energy, record.about.optics.eds_fwhm_mn
        for element in record.elements():
            counts = _in_line(cube, energies, element, beam, sharp)
            panels.append(
                _Panel(f"{step}-{element}", f"{element}, {int(counts.sum())} counts", _map(counts, frame, element))
            )
        panels.append(_Panel(f"{step}-spectrum", "sum spectrum", _spectrum(cube.sum(axis=(0, 1)), energies, beam)))
    for name in record.tables:
        if name == "profile_table":
            panels.append(
                _Panel(f"{step}-profile", "profile across the interface", _profile(record.table(name), record.results))
            )
    return panels


def _size(frame: Frame) -> str:
    return f"{frame.size[0] * 1e9:.0f}nm"


def _image(image: NDArray[Any], frame: Frame) -> Draw:
    low, high = np.percentile(image, [0.1, 99.9])

    def draw(axes: Axes) -> None:
        axes.imshow(image, cmap="gray", vmin=low, vmax=max(1.1 * high, low + 1), interpolation="nearest")
        _scale_bar(axes, image.shape, frame)

    return draw


def _map(counts: NDArray[np.float64], frame: Frame, element: str) -> Draw:
    smooth = ndimage.gaussian_filter(counts, SMOOTH)

    def draw(axes: Axes) -> None:
        drawn = axes.imshow(smooth, cmap="magma", vmin=0.0, interpolation="nearest")
        _scale_bar(axes, counts.shape, frame)
        bar = axes.figure.colorbar(drawn, ax=axes, fraction=0.046, pad=0.03)
        bar.set_label(
            f"{element} counts a pixel, smoothed over {2.355 * SMOOTH * frame.pitch[0] * 1e9:.0f} nm", fontsize=7
        )
        bar.ax.tick_params(labelsize=7)

    return draw


def _in_line(
    cube: NDArray[Any], energies: NDArray[np.float64], element: str, beam: float, fwhm_mn: float
) -> NDArray[np.float64]:
    """Counts (rows, columns) within one FWHM around an element's strongest line in the spectrum."""
    seen = [line for line in lines(element, beam) if line.energy < energies[-1]]
    line = max(seen, key=lambda each: each.cross_section)
    width = float(fwhm(line.energy, fwhm_mn))
    inside = np.abs(energies - line.energy) <= width
    return np.asarray(cube[:, :, inside].sum(axis=2), dtype=np.float64)


def _spectrum(counts: NDArray[Any], energies: NDArray[np.float64], beam: float) -> Draw:
    def draw(axes: Axes) -> None:
        axes.step(energies / 1e3, np.maximum(counts, 0.5), where="mid", color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(0.15, energies[-1] / 1e3)
        axes.set_ylim(0.7, 10.0 * counts.max())
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS], minor=False)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("energy (keV)")
        axes.set_ylabel("counts")
        for energy, label in _peaks(beam):
            near = np.abs(energies - energy) < 60.0
            if near.any():
                height = 1.3 * float(counts[near].max())
                axes.text(energy / 1e3, height, label, rotation=90, ha="center", va="bottom", fontsize=7)

    return draw


def _peaks(beam: float) -> list[tuple[float, str]]:
    """Energies, eV, and labels; what cannot be told apart shares one."""
    peaks: list[tuple[float, str]] = []
    for element, label in LABELLED:
        family = [line for line in lines(element, beam) if line.name.startswith(label[-1])]
        peaks.append((max(family, key=lambda line: line.cross_section).energy, label))
    phosphorus = next(energy for energy, label in peaks if label == "P K")
    escape = silicon_escape_energy(phosphorus)
    shared = [(e, f"{label}, P escape" if abs(e - escape) < APART else label) for e, label in peaks]
    return shared if shared != peaks else [*peaks, (escape, "P escape")]


def _profile(table: Mapping[str, Column], results: Mapping[str, Any]) -> Draw:
    (_, position), *elements = table.items()
    nanometres = position.values * 1e9

    def draw(axes: Axes) -> None:
        for element, column in elements:
            colour = COLOURS.get(element, OTHER)
            full = float(np.median(column.values[-max(len(column.values) // 5, 1) :]))
            ramp, text = results.get("profiles", {}).get(element), element
            if ramp is not None:
                low, high = ramp["ci95_nm"]
                text = f"{element}  {ramp['ramp_nm']:.0f} nm ({low:.0f} to {high:.0f})"
                before = column.values[nanometres < ramp["from_nm"]]
                foot = 100.0 * float(np.median(before)) / full if before.size and full > 0.0 else 0.0
                ends = [nanometres[0], ramp["from_nm"], ramp["to_nm"], nanometres[-1]]
                axes.plot(ends, [foot, foot, 100.0, 100.0], color=colour, linewidth=1.2)
            scale = 100.0 / full if full > 0.0 else 1.0
            errors = None if column.errors is None else column.errors * scale
            axes.errorbar(
                nanometres, column.values * scale, yerr=errors, fmt=".", markersize=3, linewidth=0.6, color=colour
            )
            axes.plot([], [], color=colour, label=text)
        axes.set_xlabel("distance from the interface (nm)")
        axes.set_ylabel("counts per second, % of the film")
        axes.set_ylim(-15, 150)
        axes.legend(fontsize=7, loc="upper left", title="0 to 100 % over (95 %)", title_fontsize=7)

    return draw


def _scale_bar(axes: Axes, shape: tuple[int, ...], frame: Frame) -> None:
    """A bar of a round length, at most a third of the field."""
    rows, columns = shape[0], shape[1]
    length = max((n for n in BARS if n * 1e-9 <= frame.size[0] / 3), default=BARS[0])
    pixels = length * 1e-9 / frame.pitch[0]
    left, bottom = 0.05 * columns, 0.93 * rows
    axes.plot([left, left + pixels], [bottom, bottom], color="white", linewidth=3, solid_capstyle="butt")
    axes.text(
        left + pixels / 2, bottom - 0.02 * rows, f"{length} nm", color="white", ha="center", va="bottom", fontsize=8
    )
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_axis_off()


def _save(path: Path, panels: list[_Panel]) -> Path:
    """Draw panels side by side, at most three in a row, into one file."""
    across = min(len(panels), 3)
    down = -(-len(panels) // across)
    figure = Figure(figsize=(INCHES * 1.15 * across, INCHES * down), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(down, across, squeeze=False).flat, panels, strict=False):
        panel.draw(axes)
        axes.set_title(panel.title, fontsize=9)
    for axes in figure.axes[len(panels) :]:
        if not axes.has_data():
            axes.remove()
    figure.savefig(path, dpi=DOTS)
    return path
