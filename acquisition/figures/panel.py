"""One picture: what it is called, and what draws it; several of them saved as one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DOTS = 110  # an inch
CHARACTERS = {"square": 40, "wide": 66, "broad": 130}  # of a title that stand in one line
WIDTHS = {"square": 3.6, "wide": 5.4, "broad": 10.8}  # inches

Found = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One picture: its file name, its title, its shape, and what draws it, given the results of the run."""

    name: str
    title: str
    shape: Literal["square", "wide", "broad"]
    draw: Callable[[Axes, Found], None]


def save(path: Path, panels: Sequence[Panel], found: Found, heading: str) -> Path:
    """Draw panels into one file: the square ones in a row, the wide and the broad ones below them side by side."""
    rows = [row for row in ([p for p in panels if p.shape == s] for s in WIDTHS) if row]
    widest = max(len(row) * WIDTHS[row[0].shape] for row in rows)
    figure = Figure(figsize=(widest, 3.7 * len(rows) + (0.3 if heading else 0.0)), layout="constrained")
    FigureCanvasAgg(figure)
    for place, row in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        for axes, panel in zip(place.subplots(1, len(row), squeeze=False)[0], row, strict=True):
            panel.draw(axes, found)
            axes.set_title(fill(panel.title, CHARACTERS[panel.shape]), fontsize=10)
    if heading:
        figure.suptitle(heading, fontsize=12)
    figure.savefig(path, dpi=DOTS)
    return path
