"""The pictures of scans: images as they were taken, and the profile across the interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matplotlib.axes import Axes
from numpy.typing import NDArray

from acquisition.datafile import Recorded
from acquisition.figures.axes import draw_image, draw_profile, said_dose, say
from acquisition.figures.panel import Found, Panel
from drivers.ticket import Frame
from physics.dose import E_PER_A2


def panels(record: Recorded) -> Iterator[Panel]:
    """Images, the sum of a map's among them, and profiles."""
    step = record.about.step
    for name in record.images:
        work = record.work(name)
        if not isinstance(work, Frame):
            continue
        image = record.image(name)
        if image.ndim == 2 and not (record.has_events and name == "dark_field"):
            yield _image(step, record, name, image, work, mapped=record.has_events)
    if "profile_table" in record.tables:
        table = record.table("profile_table")
        yield Panel(
            f"{step}-profile",
            "profile across the interface" + dose_of_map(record),
            "wide",
            lambda axes, found: draw_profile(axes, table, found),
        )


def dose_of_map(record: Recorded) -> str:
    """What the map that a profile was made of gave to the sample; for the end of a title."""
    dose = record.results.get("dose_of_map")
    return (
        f"; {said_dose(*(v * E_PER_A2 for v in (dose['planned_e_per_A2'], dose['at_most_e_per_A2'])))}" if dose else ""
    )


def _image(step: str, record: Recorded, name: str, image: NDArray[Any], frame: Frame, *, mapped: bool) -> Panel:
    passes = record.passes()
    dose = said_dose(sum(p.fluence_planned for p in passes), max((p.dose_after for p in passes), default=0.0))

    def draw(axes: Axes, found: Found) -> None:
        # only in the image of the map itself does the interface stand where the profile found it
        draw_image(axes, image, frame, found if mapped else {})
        if passes:
            say(axes, dose)

    return Panel(f"{step}-{frame.size[0] * 1e9:.0f}nm", record.image_title(name), "square", draw)
