"""The pictures of a run show what its files hold, with a scale, units and the intervals."""

from __future__ import annotations

import struct
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from acquisition.datafile import Column
from acquisition.figures.axes import draw_image, draw_profile
from acquisition.figures.eds_axes import draw_line_scan, draw_map, draw_spectrum
from acquisition.figures.write import write_figures
from drivers.ticket import Frame
from tests.acquisition.known_map import PASSES, STARTED, begin, take_pass

FIELD = Frame(centre=(0.0, 0.0), size=(400e-9, 200e-9), pixels=(128, 64), dwell=1e-4)
RAMP = {"ramp_nm": 76.0, "ci95_nm": [70.0, 83.0], "from_nm": -16.0, "to_nm": 60.0, "counts": 1e4}
FOUND: dict[str, Any] = {
    "profiles": {"P": RAMP},
    "interphase": {"width_nm": 76.0, "ci95_nm": [70.0, 83.0]},
    "interface": {"angle_deg": 0.0, "position_nm": -20.0},
}


def axes() -> Any:
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.subplots()


def texts(drawn: Any) -> str:
    return " | ".join(item.get_text() for item in drawn.texts)


def profile_table() -> dict[str, Column]:
    position = np.arange(-150, 200, 4.0)
    counts = 3.0 + 50.0 * np.clip((position + 16) / 76, 0, 1)
    return {"position": Column(position * 1e-9, "m"), "P": Column(counts, "1/s", np.full(counts.size, 1.0))}


def map_run(folder: Path, status: str = "complete") -> Path:
    """A run folder with one small map and the profile made of it."""
    data = folder / "data"
    data.mkdir()
    file, image, events = begin(data / "0005-eds_map.nxs")
    with file:
        for index in range(PASSES):
            take_pass(file, image, events, index)
        file.finish(status=status, ended=STARTED + timedelta(seconds=9), results={})  # type: ignore[arg-type]
    line, image, _ = begin(data / "0006-eds_line.nxs", step="eds_line")
    with line:
        line.table("profile_table", profile_table(), title="profile")
        line.finish(status="complete", ended=STARTED + timedelta(seconds=9), results=FOUND)
    return folder


def test_a_map_gives_all_its_pictures_over_old_ones_and_the_overview_last(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "overview.png").write_bytes(b"of the run before it was resumed")
    written = write_figures(map_run(tmp_path))
    names = [path.name for path in written]
    # the channels of this map end below P K
    assert {"eds_map-N.png", "eds_map-O.png", "eds_map-spectrum.png", "eds_line-profile.png"} <= set(names)
    assert names[-1] == "overview.png"
    for path in written:
        head = path.read_bytes()[:24]
        assert head.startswith(b"\x89PNG")
        assert min(struct.unpack(">II", head[16:24])) >= 300


def test_an_aborted_map_has_pictures_too(tmp_path: Path) -> None:
    assert any(path.name == "eds_map-N.png" for path in write_figures(map_run(tmp_path, "aborted")))


def test_a_run_without_data_has_no_pictures(tmp_path: Path) -> None:
    assert write_figures(tmp_path) == []


@pytest.mark.parametrize(
    ("width", "bar"), [(400e-9, "100 nm"), (50e-9, "10 nm"), (2e-6, "500 nm")]
)  # the longest of 1, 2, 5 x 10^n within a third of the field
def test_the_scale_bar_is_round_and_as_long_as_it_says(width: float, bar: str) -> None:
    frame = Frame(centre=(0.0, 0.0), size=(width, width), pixels=(100, 100), dwell=1e-4)
    drawn = axes()
    draw_image(drawn, np.ones((100, 100)), frame, {})
    assert texts(drawn) == bar
    left, right = drawn.lines[0].get_xdata()
    assert (right - left) * width / 100 * 1e9 == pytest.approx(float(bar.split()[0]))


def test_the_interphase_is_marked_where_it_was_found() -> None:
    drawn = axes()
    draw_image(drawn, np.ones((64, 128)), FIELD, FOUND)
    edges = sorted(line.get_xy1()[0] for line in drawn.lines if hasattr(line, "get_xy1"))
    nanometres = [(x - 63.5) * 400 / 128 for x in edges]
    assert nanometres == pytest.approx([-36.0, 40.0])


def test_a_map_says_what_its_colours_mean() -> None:
    drawn = axes()
    draw_map(drawn, np.where(np.arange(128) < 20, np.nan, 3.0) * np.ones((64, 1)), FIELD, "counts per second")
    (bar,) = (other for other in drawn.figure.axes if other is not drawn)
    assert bar.get_ylabel() == "counts per second"
    assert np.ma.getmaskarray(drawn.images[0].get_array())[:, :20].all()  # where nothing is known nothing is drawn


def test_a_line_scan_is_in_counts_per_second_with_its_errors() -> None:
    drawn = axes()
    faint = Column(profile_table()["P"].values / 12, "1/s", np.full(88, 0.3))
    draw_line_scan(drawn, profile_table() | {"N": faint}, FOUND)
    assert drawn.get_ylabel() == "counts per second"
    assert [text.get_text() for text in drawn.get_legend().get_texts()] == ["P", "N x 5", "interphase"]
    assert len(drawn.collections) == 2


def test_the_line_scan_is_an_arrow_on_the_image_of_the_map() -> None:
    drawn = axes()
    draw_image(drawn, np.ones((64, 128)), FIELD, FOUND)
    (arrow,) = (note for note in drawn.texts if getattr(note, "arrow_patch", None) is not None)
    assert arrow.xy[0] > arrow.xyann[0]  # from the metal into the film
    assert arrow.xy[1] == pytest.approx(31.5)


def test_lines_that_cannot_be_told_apart_share_a_label() -> None:
    energies = 10.0 * np.arange(1024)
    drawn = axes()
    draw_spectrum(drawn, np.full(1024, 10), energies, 200e3)
    assert texts(drawn) == "C K, P escape | N K | O K | Cu L | P K | Cu K"
    assert drawn.get_xlabel() == "X-ray energy (keV)"


def test_a_profile_stands_in_per_cent_of_the_film_with_its_interval() -> None:
    drawn = axes()
    draw_profile(drawn, profile_table(), FOUND)
    assert drawn.get_legend().get_texts()[0].get_text() == "P  76 nm (70 to 83)"
    assert "interphase 76 nm" in texts(drawn)
    curve = next(line for line in drawn.lines if line.get_linewidth() == 1.6)
    assert curve.get_ydata()[-1] == pytest.approx(100)
    assert curve.get_ydata()[0] == pytest.approx(100 * 3 / 53, abs=0.5)


def test_what_was_not_resolved_is_said_to_be_below_its_bound() -> None:
    drawn = axes()
    unresolved = {
        "profiles": {"P": RAMP | {"upper_bound_nm": 9.0}},
        "interphase": FOUND["interphase"] | {"upper_bound_nm": 10.0},
    }
    draw_profile(drawn, profile_table(), unresolved)
    assert drawn.get_legend().get_texts()[0].get_text() == "P  below 9 nm"
    assert "below 10 nm" in texts(drawn)


def test_an_element_without_a_ramp_is_drawn_and_said_to_have_none() -> None:
    drawn = axes()
    draw_profile(drawn, profile_table(), {})
    assert drawn.get_legend().get_texts()[0].get_text() == "P  no ramp"
