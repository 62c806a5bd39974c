"""Draws what X-rays tell: element maps in squares of a stated error, spectra with fit and residual, a line-scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from acquisition.analysis.spectra import SpectrumFit
from acquisition.datafile import Column
from acquisition.figures.axes import COLOURS, MARK, OTHER, SMALL, draw_scale_bar
from drivers.ticket import Frame
from physics.xrays import lines, silicon_escape_energy

LABELLED = ("C K", "N K", "O K", "Cu L", "P K", "Cu K")
TICKS = (0.2, 0.3, 0.5, 1, 2, 3, 5, 10)  # keV
APART = 20.0  # eV; peaks closer than that share a label
SHOWN = (180.0, 2350.0)  # eV; of fitted spectra: all that is light
NOTHING = "#9a9a9a"  # where a map has no value
LOUDER = (1, 2, 5, 10, 20)  # what a faint profile may be multiplied with to be seen beside the others


def draw_map(axes: Axes, values: NDArray[np.float64], frame: Frame, unit: str, *, colours: str = "inferno") -> None:
    """Draw a map (rows, columns), nan where there is nothing to say; what a colour means stands beside it."""
    known = values[np.isfinite(values)]
    top = max(float(np.percentile(known, 99.5)), 1e-9) if known.size else 1.0
    map_of = colormaps[colours].with_extremes(bad=NOTHING)
    shown = np.ma.masked_invalid(values)
    drawn = axes.imshow(shown, cmap=map_of, vmin=0.0, vmax=top, interpolation="nearest")
    draw_scale_bar(axes, values.shape, frame.size)
    bar = axes.figure.colorbar(drawn, ax=axes, fraction=0.045, pad=0.02)
    bar.set_label(unit, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)


def draw_spectrum(axes: Axes, counts: NDArray[Any], energies: NDArray[Any], beam_energy: float) -> None:
    """Draw counts against energy (channels,), eV, with the lines that may stand there named."""
    axes.step(energies / 1e3, np.maximum(counts, 0.5), where="mid", color="black", linewidth=0.8)
    top = max(float(counts.max()), 1.0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(0.15, energies[-1] / 1e3)
    axes.set_ylim(0.7, 12.0 * top)
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS], minor=False)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("X-ray energy (keV)")
    axes.set_ylabel("counts a channel")
    for energy, label in _peaks(beam_energy):
        near = np.abs(energies - energy) < 60.0
        if near.any():
            height = 1.3 * max(float(counts[near].max()), 1.0)
            axes.text(energy / 1e3, height, label, rotation=90, ha="center", va="bottom", fontsize=SMALL)


def draw_fits(axes: Axes, fits: Mapping[str, tuple[NDArray[Any], SpectrumFit]], beam_energy: float) -> None:
    """Draw spectra side by side, each with its fit, its background, and below it the residual in standard deviations.

    fits: name -> counts (channels,) and the fit.
    """
    axes.set_axis_off()
    wide = 1.0 / max(len(fits), 1)
    for number, (name, (counts, fit)) in enumerate(fits.items()):
        left = number * wide
        upper = axes.inset_axes((left + 0.16 * wide, 0.36, 0.82 * wide, 0.56))
        lower = axes.inset_axes((left + 0.16 * wide, 0.12, 0.82 * wide, 0.19), sharex=upper)
        energies = fit.shapes.energies
        shown = (energies >= SHOWN[0]) & (energies <= SHOWN[1])
        kev, seen = energies[shown] / 1e3, np.asarray(counts, np.float64)[shown]
        model, background = fit.model[shown], fit.background[shown]
        upper.step(kev, seen, where="mid", color="black", linewidth=0.7, label="counts")
        upper.fill_between(kev, 0.0, background, color="#bbbbbb", linewidth=0, label="background")
        upper.plot(kev, model, color=MARK, linewidth=1.0, label="fit")
        upper.set_xlim(kev[0], kev[-1])
        # by its square root, so that equal heights are equally certain, and what is weak is seen beside what is strong
        upper.set_yscale("function", functions=(_root, np.square))
        upper.set_ylim(0.0, 1.5 * max(float(seen.max()), 1.0))
        upper.set_title(f"{name}; chi$^2$ {fit.chi2:.2f}", fontsize=SMALL + 1)
        for energy, label in _peaks(beam_energy):
            near = np.abs(energies[shown] - energy) < 40.0
            if near.any():
                upper.text(energy / 1e3, 1.06 * max(float(seen[near].max()), 4.0), label.partition(",")[0], **_UPRIGHT)
        sigma = np.sqrt(np.maximum(model, 1.0))
        lower.axhline(0.0, color="black", linewidth=0.6)
        lower.step(kev, (seen - model) / sigma, where="mid", color="#0072b2", linewidth=0.6)
        lower.set_ylim(-5.0, 5.0)
        lower.set_xlabel("X-ray energy (keV)", fontsize=SMALL)
        for each in (upper, lower):
            each.tick_params(labelsize=SMALL - 1)
        upper.tick_params(labelbottom=False)
        if number == 0:
            upper.set_ylabel("counts a channel", fontsize=SMALL)
            lower.set_ylabel("residual\n(std. dev.)", fontsize=SMALL)
            upper.legend(fontsize=SMALL - 1, loc="upper right", frameon=False)


def draw_line_scan(axes: Axes, table: Mapping[str, Column], found: Mapping[str, Any]) -> None:
    """Draw counts per second of each element along the line-scan, with bands of one standard error.

    table: position (m) first, then the elements with errors.  found: results, for the place of the interphase.
    """
    (_, position), *elements = table.items()
    across = position.values * 1e9
    loudest = max(_height(column) for _, column in elements)
    for element, column in elements:
        factor = _louder(loudest, _height(column))
        colour, values = COLOURS.get(element, OTHER), column.values * factor
        errors = np.zeros(across.size) if column.errors is None else column.errors * factor
        axes.fill_between(across, values - errors, values + errors, color=colour, alpha=0.35, linewidth=0)
        axes.plot(across, values, color=colour, linewidth=1.2, label=element + (f" x {factor}" if factor > 1 else ""))
    ramps: Sequence[Mapping[str, Any]] = list(found.get("profiles", {}).values())
    if ramps and "interphase" in found:
        edges = min(r["from_nm"] for r in ramps), max(r["to_nm"] for r in ramps)
        axes.axvspan(*edges, color=MARK, alpha=0.15, linewidth=0, label="interphase")
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.set_xlim(across[0], across[-1])
    axes.set_xlabel("distance along the arrow, from the interface (nm)")
    axes.set_ylabel("counts per second")
    axes.legend(fontsize=SMALL, loc="upper left", frameon=False)


_UPRIGHT: Mapping[str, Any] = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": SMALL - 1}


def _root(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.maximum(counts, 0.0))


def _height(column: Column) -> float:
    return max(float(np.percentile(column.values, 95)), 1e-12)


def _louder(loudest: float, height: float) -> int:
    return max((n for n in LOUDER if n * height <= 0.8 * loudest), default=1)


def _peaks(beam_energy: float) -> list[tuple[float, str]]:
    """Energies, eV, and labels; what cannot be told apart shares one."""
    peaks: list[tuple[float, str]] = []
    for label in LABELLED:
        element, shell = label.split()
        family = [line for line in lines(element, beam_energy) if line.name.startswith(shell)]
        peaks.append((max(family, key=lambda line: line.cross_section).energy, label))
    phosphorus = next(energy for energy, label in peaks if label == "P K")
    escape = silicon_escape_energy(phosphorus)
    shared = [(e, f"{label}, P escape" if abs(e - escape) < APART else label) for e, label in peaks]
    return shared if shared != peaks else [*peaks, (escape, "P escape")]
