"""Draws one picture each: an image with its scale bar, and a profile with its ramps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from numpy.typing import NDArray

from acquisition.datafile import Column
from drivers.ticket import Frame
from physics.dose import E_PER_A2

COLOURS = {"P": "#d55e00", "N": "#0072b2", "O": "#009e73"}  # told apart by all eyes (Okabe and Ito)
OTHER = "#444444"
BARS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)  # nm
SMALL = 8  # points
MARK = "#e69f00"
ARROW = 0.3  # of the field: half the length of the arrow that stands for the line-scan


def draw_image(axes: Axes, image: NDArray[Any], frame: Frame, found: Mapping[str, Any]) -> None:
    """Draw an image (rows, columns); found: results with the place of the interphase, marked where there are any."""
    low, high = np.percentile(image, [0.2, 99.8])
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(1.1 * high, low + 1), interpolation="nearest")
    _mark(axes, frame, found)
    draw_scale_bar(axes, image.shape, frame.size)


def draw_profile(axes: Axes, table: Mapping[str, Column], found: Mapping[str, Any]) -> None:
    """Draw each element of a profile in per cent of the film, with the ramp that fits it and its 95 % interval.

    table: position (m) first, then the elements with errors.  found: the results of the step that filed it.
    """
    (_, position), *elements = table.items()
    across = position.values * 1e9
    for element, column in elements:
        colour = COLOURS.get(element, OTHER)
        errors = np.ones(across.size) if column.errors is None else column.errors
        ramp = found.get("profiles", {}).get(element)
        if ramp is None:
            foot, full = 0.0, float(np.median(column.values[-max(across.size // 5, 1) :]))
        else:
            foot, full = _foot_and_full(across, column.values, errors, ramp["from_nm"], ramp["to_nm"])
        scale = 100.0 / full if full > 0.0 else 1.0
        axes.errorbar(
            across,
            column.values * scale,
            yerr=None if column.errors is None else column.errors * scale,
            fmt=".",
            markersize=3,
            linewidth=0.5,
            color=colour,
            alpha=0.65,
        )
        if ramp is not None:
            low, high = (_ramp(across, ramp, extent, foot * scale) for extent in ramp["ci95_nm"])
            axes.fill_between(across, low, high, color=colour, alpha=0.3, linewidth=0)
            axes.plot(across, _ramp(across, ramp, ramp["ramp_nm"], foot * scale), color=colour, linewidth=1.6)
        axes.plot([], [], color=colour, linewidth=2, label=_said(element, ramp))
    _bracket(axes, found)
    axes.set_xlabel("distance from the interface (nm)")
    axes.set_ylabel("counts, % of those in the film")
    axes.set_xlim(across[0], across[-1])
    axes.set_ylim(-10, 150)
    axes.legend(fontsize=SMALL, loc="lower right", title="0 to 100 % over (95 % interval)", title_fontsize=SMALL)


def _foot_and_full(
    across: NDArray[np.float64], values: NDArray[np.float64], errors: NDArray[np.float64], start: float, end: float
) -> tuple[float, float]:
    """The values before and after a ramp that fit best."""
    rise = np.clip((across - start) / max(end - start, 1e-3), 0.0, 1.0)
    # a bin without a count has no error, but is no surer than the others
    weight = 1.0 / np.maximum(errors, 0.3 * np.median(errors) + 1e-300)
    design = np.stack([1.0 - rise, rise], axis=1) * weight[:, None]
    foot, full = np.linalg.lstsq(design, values * weight, rcond=None)[0]
    return float(foot), float(full)


def _ramp(across: NDArray[np.float64], ramp: Mapping[str, Any], extent: float, foot: float) -> NDArray[np.float64]:
    middle = (ramp["from_nm"] + ramp["to_nm"]) / 2
    rise = np.clip((across - middle) / max(extent, 1e-3) + 0.5, 0.0, 1.0)
    return np.asarray(foot + (100.0 - foot) * rise)


def _said(element: str, ramp: Mapping[str, Any] | None) -> str:
    if ramp is None:
        return f"{element}  no ramp"
    if ramp.get("upper_bound_nm") is not None:
        return f"{element}  below {ramp['upper_bound_nm']:.0f} nm"
    low, high = ramp["ci95_nm"]
    return f"{element}  {ramp['ramp_nm']:.0f} nm ({low:.0f} to {high:.0f})"


def _bracket(axes: Axes, found: Mapping[str, Any]) -> None:
    """The width of the interphase above the profile."""
    edges = _edges(found)
    if edges is None:
        return
    width = found["interphase"]
    text = f"interphase {width['width_nm']:.0f} nm\n(95 %: {width['ci95_nm'][0]:.0f} to {width['ci95_nm'][1]:.0f})"
    if width.get("upper_bound_nm") is not None:
        text = f"interphase\nbelow {width['upper_bound_nm']:.0f} nm"
    axes.annotate("", (edges[0], 120), (edges[1], 120), arrowprops={"arrowstyle": "<->", "shrinkA": 0, "shrinkB": 0})
    axes.text(sum(edges) / 2, 124, text, ha="center", va="bottom", fontsize=SMALL)


def _edges(found: Mapping[str, Any]) -> tuple[float, float] | None:
    """The earliest 0 % and the latest 100 % of all ramps, nm from the interface; None where none was measured."""
    ramps = found.get("profiles", {}).values()
    if not ramps or "interphase" not in found:
        return None
    return min(ramp["from_nm"] for ramp in ramps), max(ramp["to_nm"] for ramp in ramps)


def say(axes: Axes, text: str) -> None:
    """Write something, such as the dose, into the upper right corner of an image."""
    axes.text(
        0.98,
        0.98,
        text,
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=SMALL,
        color="white",
        bbox={"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 2},
    )


def said_dose(planned: float, at_most: float) -> str:
    """What was given to a place and what it can have received in all (m^-2), for people."""
    return f"{planned / E_PER_A2:.0f} e/A$^2$; at most {at_most / E_PER_A2:.0f} in all"


def _mark(axes: Axes, frame: Frame, found: Mapping[str, Any]) -> None:
    """The two edges of the interphase as dashed lines, and the line-scan across it as an arrow."""
    edges = _edges(found)
    if edges is None or "interface" not in found:
        return
    angle = math.radians(found["interface"]["angle_deg"])
    columns, rows = frame.pixels
    for edge in edges:
        distance = (found["interface"]["position_nm"] + edge) * 1e-9
        # in pixels from the upper left, along the normal from the middle, and then along the interface
        x = distance * math.cos(angle) / frame.pitch[0] + (columns - 1) / 2
        y = distance * math.sin(angle) / frame.pitch[1] + (rows - 1) / 2
        along = -math.sin(angle) / frame.pitch[0], math.cos(angle) / frame.pitch[1]
        axes.axline((x, y), (x + along[0] * 1e-9, y + along[1] * 1e-9), color=MARK, linewidth=1.3, linestyle="--")
    middle = found["interface"]["position_nm"] * 1e-9 + sum(edges) / 2 * 1e-9
    tail, head = (
        (
            (middle + end) * math.cos(angle) / frame.pitch[0] + (columns - 1) / 2,
            (middle + end) * math.sin(angle) / frame.pitch[1] + (rows - 1) / 2,
        )
        for end in (-ARROW * min(frame.size), ARROW * min(frame.size))
    )
    axes.annotate("", head, tail, arrowprops={"arrowstyle": "-|>", "color": MARK, "linewidth": 2.0})


def draw_scale_bar(axes: Axes, shape: tuple[int, ...], size: tuple[float, float]) -> None:
    """Draw a bar of a round length, at most a third of the field, into an image, and take the axes away.

    shape: (rows, columns) as drawn.  size: (width, height) of the field, m.
    """
    rows, columns = shape
    length = max((n for n in BARS if n * 1e-9 <= size[0] / 3), default=BARS[0])
    pixels = length * 1e-9 / size[0] * columns
    left, bottom = 0.05 * columns, 0.94 * rows
    (bar,) = axes.plot([left, left + pixels], [bottom, bottom], color="white", linewidth=3, solid_capstyle="butt")
    text = axes.text(
        left + pixels / 2, bottom - 0.02 * rows, f"{length} nm", color="white", ha="center", va="bottom", fontsize=9
    )
    for item, width in ((bar, 4.5), (text, 2.5)):  # legible on bright and on dark
        item.set_path_effects([patheffects.withStroke(linewidth=width, foreground="black")])
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_aspect(size[1] / rows / (size[0] / columns))
    axes.set_axis_off()
