"""Draws what the data files of a run hold: dark field, maps, spectrum, profile, overview."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from acquisition.datafile import Recorded, open_record
from acquisition.figures import calibration, diffraction, eds, lattice, phases, scans
from acquisition.figures.panel import Found, Panel, save

LAYERS = "phase_map-layers"
SOURCES: tuple[Callable[[Recorded], Iterator[Panel]], ...] = (
    scans.panels,
    eds.panels,
    lattice.panels,
    diffraction.panels,
    phases.panels,
    calibration.panels,
)
"""What makes pictures of a data file; each gives those that it knows how to draw."""

SHARED = frozenset({"profiles", "interphase", "interface", "thickness_slope"}) | {
    "film_thickness_nm",
    "film_thickness_uncertainty_nm",
}
"""Results that pictures of other files show as well."""
ALONE = ("thickness", "spectra", "counts")  # the last word of names of pictures that the overview has no room for


def write_figures(run_folder: Path) -> list[Path]:
    """Draw what the data files of a run hold into RUN/figures/*.png; returns the pictures, overview.png last.

    Of steps that were done several times the latest finished one counts. The overview shows the map with its dark
    field, spectrum and profile, or the images where there is no map. Raises DataFileError.
    """
    panels: dict[str, Panel] = {}
    found: Found = {}
    heading = ""
    for path in sorted((run_folder / "data").glob("*.nxs")):
        with open_record(path) as record:
            about = record.about
            heading = f"{about.sample}: {about.recipe_name}" + (" (simulated)" if about.simulated else "")
            found |= {key: value for key, value in record.results.items() if key in SHARED}
            for panel in (panel for source in SOURCES for panel in source(record)):
                panels.pop(panel.name, None)
                panels[panel.name] = panel
    folder = run_folder / "figures"
    folder.mkdir(exist_ok=True)
    written = [save(folder / f"{panel.name}.png", [panel], found, "") for panel in panels.values()]
    shown = _overview(list(panels.values()))
    if shown:
        written.append(save(folder / "overview.png", shown, found, heading))
    return written


def _overview(panels: Sequence[Panel]) -> list[Panel]:
    """The latest map with what belongs to it, and the layers that were found; without a map, the latest images."""
    of_map = [panel for panel in panels if panel.name.startswith("eds_") and not panel.name.endswith(ALONE)]
    of_map += [panel for panel in panels if of_map and panel.name == LAYERS]
    return of_map or [panel for panel in panels if not panel.name.startswith("focus")][-4:]
