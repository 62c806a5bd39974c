"""Pictures of a diffraction map: virtual and recorded dark field, where spots are, the patterns, the radial profile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import Circle
from numpy.typing import NDArray

from acquisition.datafile import Column, Recorded
from acquisition.figures.axes import MARK, SMALL, draw_scale_bar, said_dose, say
from acquisition.figures.panel import Panel
from drivers.ticket import Frame
from physics.electrons import wavelength

FRAMES = "diffraction"
DISK, RING = "#56b4e9", MARK  # told apart by all eyes (Okabe and Ito)

Floats = NDArray[np.float64]


def panels(record: Recorded) -> Iterator[Panel]:
    """Of an evaluated diffraction map: four images of the field, two patterns and the radial profile."""
    if FRAMES not in record.cameras or not {"positions", "patterns", "radial_profile"} <= set(record.tables):
        return
    frame, found = record.frame(FRAMES), record.results
    passes = record.passes()
    dose = said_dose(passes[0].fluence_planned, passes[0].dose_after) if passes else ""
    stem = record.path.stem.partition("-")[2]
    images = {name: column.values.reshape(frame.pixels[::-1]) for name, column in record.table("positions").items()}
    recorded = np.asarray(record.image("dark_field"), np.float64) / record.counts_per_electron("dark_field")
    yield _image(f"{stem}-virtual", "virtual dark field on the camera (electrons)", images["dark_field"], frame, dose)
    yield _image(f"{stem}-recorded", "dark field of its own detector (electrons)", recorded, frame, dose)
    yield _image(f"{stem}-bright", "virtual bright field (electrons)", images["bright_field"], frame, dose)
    spots = found["spots"]
    title = f"{spots['positions']} positions with spots; {spots['by_chance']:.0f} are expected by chance"
    yield _image(f"{stem}-spots", title, images["spot_score"], frame, dose, (spots["threshold"], "score of a spot"))
    form, optics = record.camera(FRAMES).form, record.about.optics
    patterns = {name: column.values.reshape(form.shape) for name, column in record.table("patterns").items()}
    circles = (found["disk"]["radius_mrad"], *(angle * 1e3 for angle in optics.dark_field))
    for name, said in (("mean", "mean of all patterns"), ("maximum", "most counts of any pattern")):
        yield _pattern(f"{stem}-{name}", said, patterns[name], form.pixel_angle, found, circles, dose)
    edge = 2.0 * np.sin(found["disk"]["radius_mrad"] * 1e-3 / 2.0) / wavelength(optics.beam_energy) * 1e-9
    yield _profile(f"{stem}-profile", record.table("radial_profile"), found, float(edge), dose)


def _image(
    name: str, title: str, image: Floats, frame: Frame, dose: str, threshold: tuple[float, str] | None = None
) -> Panel:
    def draw(axes: Axes, found: object) -> None:
        seen = image[np.isfinite(image)]
        low, high = np.percentile(seen, [0.2, 99.8]) if seen.size else (0.0, 1.0)
        if threshold is None:
            shown = axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), interpolation="nearest")
        else:
            passed = threshold[0]
            shown = axes.imshow(image, cmap="inferno", vmin=passed, vmax=max(high, passed + 1.0))
        draw_scale_bar(axes, image.shape, frame.size)
        say(axes, dose)
        bar = axes.figure.colorbar(shown, ax=axes, fraction=0.046, pad=0.02)
        bar.set_label("electrons a position" if threshold is None else threshold[1], fontsize=SMALL)
        bar.ax.tick_params(labelsize=SMALL)

    return Panel(name, title, "square", draw)


def _pattern(
    name: str,
    title: str,
    pattern: Floats,
    angle: float,
    found: dict[str, Any],
    circles: tuple[float, ...],
    dose: str,
) -> Panel:
    step = angle * 1e3
    down, across = found["disk"]["middle_pixels"]
    rows, columns = pattern.shape

    def draw(axes: Axes, _: object) -> None:
        seen = pattern[np.isfinite(pattern) & (pattern > 0.0)]
        low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.5, 1.0)
        sides = (
            (-0.5 - across) * step,
            (columns - 0.5 - across) * step,
            (rows - 0.5 - down) * step,
            (-0.5 - down) * step,
        )
        shown = axes.imshow(
            np.where(pattern > 0.0, pattern, np.nan),
            cmap="viridis",
            norm=LogNorm(low, max(high, low * 1.01)),
            extent=sides,
            interpolation="nearest",
        )
        for radius, colour in zip(circles, (DISK, RING, RING), strict=True):
            axes.add_patch(Circle((0.0, 0.0), radius, fill=False, edgecolor=colour, linewidth=0.9, linestyle="--"))
        axes.set_xlim(sides[0], sides[1])
        axes.set_ylim(sides[2], sides[3])
        axes.set_xlabel("scattering angle (mrad)")
        axes.set_ylabel("scattering angle (mrad)")
        say(axes, dose)
        bar = axes.figure.colorbar(shown, ax=axes, fraction=0.046, pad=0.02)
        bar.set_label("electrons a pixel and pattern", fontsize=SMALL)
        bar.ax.tick_params(labelsize=SMALL)

    return Panel(name, title, "square", draw)


def _profile(name: str, table: dict[str, Column], found: dict[str, Any], edge: float, dose: str) -> Panel:
    (reciprocal, counts) = table.values()

    def draw(axes: Axes, _: object) -> None:
        errors = np.zeros_like(counts.values) if counts.errors is None else counts.errors
        lit = counts.values > 0.0
        at, values, error = reciprocal.values[lit], counts.values[lit], errors[lit]
        axes.plot(at, values, color="black", linewidth=1.0, label=dose)
        axes.fill_between(at, np.maximum(values - error, values * 1e-3), values + error, color="black", alpha=0.25)
        axes.axvline(edge, color=DISK, linestyle="--", linewidth=1.0, label="edge of the central disk")
        if found["halo"] is not None:
            peak, unsure = found["halo"]["per_nm"], found["halo"]["error_per_nm"]
            axes.axvspan(peak - unsure, peak + unsure, color=RING, alpha=0.4, linewidth=0)
            axes.axvline(peak, color=RING, linewidth=1.0, label=f"halo at {peak:.2f} /nm ({10.0 / peak:.2f} angstrom)")
        axes.set_yscale("log")
        axes.set_xlabel("1/d (1/nm)")
        axes.set_ylabel("electrons a pixel and pattern")
        axes.legend(fontsize=SMALL)

    return Panel(name, "radial profile of the mean pattern", "wide", draw)
