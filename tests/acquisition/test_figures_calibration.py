"""What was calibrated can be seen: edge, widths against the tilt, rings and spots, each with its fit and its units."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from acquisition.datafile import Column, open_record
from acquisition.figures.calibration import panels
from tests.acquisition.known_map import STARTED, begin

N = np.linspace(1.0, 8.0, 40)
TABLES = {
    "edge_profile": {
        "position": Column(N, "nm"),
        "dark_field": Column(N, "electrons", N),
        "fit": Column(N, "electrons"),
    },
    "edge_widths": {"tilt": Column(N, "deg"), "width": Column(N, "nm", N / 10)},
    "edge_width_fit": {"tilt": Column(N, "deg"), "width": Column(N, "nm")},
    "thon_rings": {name: Column(N, "1") for name in ("frequency", "power", "fit", "without_rings")},
    "lattice_spots": {"frequency": Column(N, "1/nm"), "ring": Column(np.where(N > 4, N, 0.0), "1/nm")},
}
RESULTS = {
    "tilt_deg": 2.1,
    "lean_bound_deg": 0.4,
    "of_believed": 1.01,
    "calibrations": {"lattice_scale": {"value": 1.01, "uncertainty": 0.004}},
}


def drawn(folder: Path) -> dict[str, Any]:
    file, _, _ = begin(folder / "0003-calibrate.nxs", step="calibrate")
    with file:
        for name, table in TABLES.items():
            file.table(name, table)
        file.finish(status="complete", ended=STARTED + timedelta(seconds=9), results=RESULTS)
    found = {}
    with open_record(folder / "0003-calibrate.nxs") as record:
        for panel in panels(record):
            figure = Figure()
            FigureCanvasAgg(figure)
            found[panel.name] = figure.subplots()
            panel.draw(found[panel.name], {})
    return found


def test_every_table_of_a_calibration_becomes_a_picture_with_units(tmp_path: Path) -> None:
    pictures = drawn(tmp_path)
    assert set(pictures) == {"calibrate-edge", "calibrate-widths", "calibrate-rings", "calibrate-spots"}
    for axes in pictures.values():
        assert "(" in axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_legend() is not None
    said = [text.get_text() for text in pictures["calibrate-widths"].get_legend().get_texts()]
    assert any("2.10°" in text and "0.40°" in text for text in said)
    assert "1.0100" in pictures["calibrate-spots"].get_legend().get_texts()[0].get_text()
