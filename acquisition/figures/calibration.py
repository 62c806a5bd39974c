"""Pictures of how the instrument was measured: a sharp edge, its width against the tilt, Thon rings, a standard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes

from acquisition.datafile import Recorded
from acquisition.figures.axes import MARK, SMALL
from acquisition.figures.panel import Found, Panel
from physics.dose import E_PER_A2

Place = Literal["upper left", "upper right", "upper center"]
SEEN = "#0072b2"  # what was measured; a fit is in MARK: told apart by all eyes (Okabe and Ito)
BESIDE = "#777777"

Table = dict[str, tuple[Any, Any]]
"""Values and errors by the names of a table's columns."""


def panels(record: Recorded) -> Iterator[Panel]:
    """One picture for each table that a step which measures the instrument files."""
    step, dose, results = record.about.step, _dose(record), record.results
    if "edge_profile" in record.tables:
        edge = _read(record, "edge_profile")
        yield Panel(f"{step}-edge", "dark field across the edge", "wide", _edge(edge, results, dose))
    if "edge_widths" in record.tables:
        widths = _read(record, "edge_widths")
        curve = _read(record, "edge_width_fit")
        yield Panel(
            f"{step}-widths", "width of the edge against the tilt", "wide", _widths(widths, curve, results, dose)
        )
    if "thon_rings" in record.tables:
        rings = _read(record, "thon_rings")
        yield Panel(f"{step}-rings", "Thon rings", "wide", _rings(rings, results))
    if "lattice_spots" in record.tables:
        spots = _read(record, "lattice_spots")
        yield Panel(f"{step}-spots", "spots of the standard", "wide", _spots(spots, results))


def _read(record: Recorded, name: str) -> Table:
    return {column: (one.values, one.errors) for column, one in record.table(name).items()}


def _edge(table: Table, results: Found, dose: str) -> Callable[[Axes, Found], None]:
    said = results.get("found", {})
    blur = results.get("calibrations", {}).get("probe_fwhm")
    width = f"10-90 %: {said['width_nm']:.1f} nm" if "width_nm" in said else ""
    if blur is not None:
        width = f"FWHM {blur['value']:.2f} nm, 95 %: {blur['uncertainty']:.2f} nm"

    def draw(axes: Axes, found: Found) -> None:
        position, (level, error), fit = table["position"][0], table["dark_field"], table["fit"][0]
        axes.errorbar(position, level, yerr=error, fmt=".", markersize=3, linewidth=0.6, color=SEEN, label="dark field")
        axes.plot(position, fit, color=MARK, linewidth=1.6, label=f"blurred step\n{width}")
        axes.set_xlabel("distance from the edge (nm)")
        axes.set_ylabel("electrons a pixel")
        axes.set_xlim(position[0], position[-1])
        axes.set_ylim(bottom=0.0)
        _legend(axes, dose, "upper left")

    return draw


def _widths(table: Table, curve: Table, results: Found, dose: str) -> Callable[[Axes, Found], None]:
    def draw(axes: Axes, found: Found) -> None:
        tilt, (width, error) = table["tilt"][0], table["width"]
        if "tilt_deg" in results:
            middle, bound, decided = results["tilt_deg"], results["lean_bound_deg"], results.get("decided", True)
            label = f"{'edge-on' if decided else 'left'} at {middle:.2f}°\n95 %: {bound:.2f}°"
            axes.axvspan(middle - bound, middle + bound, color=MARK, alpha=0.15, linewidth=0)
            axes.axvline(middle, color=MARK, linewidth=1.0, linestyle="--", label=label)
        axes.plot(curve["tilt"][0], curve["width"][0], color=MARK, linewidth=1.6, label="fit")
        axes.errorbar(tilt, width, yerr=error, fmt="o", markersize=4, linewidth=1.0, color=SEEN, label="measured")
        axes.set_xlabel("tilt of the goniometer (°)")
        axes.set_ylabel("10-90 % width of the edge (nm)")
        axes.set_xlim(min(tilt) - 0.5, max(tilt) + 0.5)
        axes.set_ylim(0.0, 1.35 * float(np.max(width)))
        _legend(axes, dose, "upper center", columns=3)

    return draw


def _rings(table: Table, results: Found) -> Callable[[Axes, Found], None]:
    defocus = results.get("calibrations", {}).get("defocus")
    said = f"\n{defocus['value']:.0f} nm, 95 %: {defocus['uncertainty']:.1f} nm" if defocus else ""

    def draw(axes: Axes, found: Found) -> None:
        frequency = table["frequency"][0]
        axes.semilogy(frequency, table["power"][0], color=SEEN, linewidth=0.9, label="median of each ring")
        axes.semilogy(frequency, table["fit"][0], color=MARK, linewidth=1.4, label=f"fit{said}")
        axes.semilogy(
            frequency, table["without_rings"][0], color=BESIDE, linewidth=1.0, linestyle=":", label="background"
        )
        axes.set_xlabel("spatial frequency (1/nm)")
        axes.set_ylabel("power (arbitrary units)")
        axes.set_xlim(frequency[0], frequency[-1])
        _legend(axes, "", "upper right")

    return draw


def _spots(table: Table, results: Found) -> Callable[[Axes, Found], None]:
    scale = results.get("of_believed", 1.0)
    unsure = results.get("calibrations", {}).get("lattice_scale", {}).get("uncertainty", 0.0)

    def draw(axes: Axes, found: Found) -> None:
        frequency, ring = table["frequency"][0], table["ring"][0]
        on = ring > 0.0
        for each in np.unique(ring[on]):
            axes.axvline(each, color=BESIDE, linewidth=0.8, linestyle=":")
        axes.axhspan(scale - unsure, scale + unsure, color=MARK, alpha=0.2, linewidth=0)
        axes.axhline(scale, color=MARK, linewidth=1.4, label=f"pixel {scale:.4f} of that believed, 95 %: {unsure:.4f}")
        axes.plot(ring[on], frequency[on] / ring[on], "o", markersize=5, color=SEEN, label=f"{on.sum()} spots on rings")
        axes.plot([], [], " ", label=f"{(~on).sum()} on none, not used")
        axes.set_xlabel("1/d of the ring (1/nm)")
        axes.set_ylabel("1/d as believed / 1/d of the ring")
        spread = max(4.0 * unsure, 1.5 * float(np.max(np.abs(frequency[on] / ring[on] - scale), initial=0.0)), 1e-3)
        axes.set_ylim(scale - spread, scale + 2.0 * spread)
        _legend(axes, "", "upper right")

    return draw


def _legend(axes: Axes, dose: str, where: Place, *, columns: int = 1) -> None:
    axes.legend(fontsize=SMALL, loc=where, title=dose or None, title_fontsize=SMALL, ncols=columns)


def _dose(record: Recorded) -> str:
    """What the place had received after the last exposure of the file, at most; "" where nothing was exposed."""
    passes = record.passes()
    return f"after {max(p.dose_after for p in passes) / E_PER_A2:.3g} e/Å² at most" if passes else ""
