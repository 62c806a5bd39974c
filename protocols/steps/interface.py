"""Finds the interface in the dark field, and centres the area on it."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.edge_on import EdgeProfile, edge_profile
from acquisition.analysis.interface import Interface, find_interface
from acquisition.datafile import Column, DataFile
from acquisition.engine import Result
from physics.dose import dwell_for
from physics.quantities import Fluence, Metres
from protocols.bench import StepRun
from protocols.outlook import Exposure, Outlook, PostconditionError
from protocols.plan import Dwell, Plan
from protocols.steps.base import Positive, Step
from protocols.steps.line import SEEN
from protocols.steps.scanning import single_image
from protocols.steps.shot import Pixels, Shot, square

SURE_ANGLE = math.radians(5.0)  # standard uncertainty of a direction that is still one
SURE_PLACE = 0.05  # of the field, of a place
CONTRAST = 1.5  # bright over dark, at least: LiPON scatters many times what lithium does
BIN = 1.5  # px of a bin across the interface


class FindInterface(Step):
    """Find the contact of lithium and LiPON in one low-dose dark-field image, and centre the area on it.

    of: the area.  dose: of the image.  centre: later frames over the area have the interface in their middle.
    """

    do: Literal["find_interface"] = "find_interface"
    of: str | None = None
    dose: Annotated[Fluence, Positive]
    field: Annotated[Metres, Positive] = 600e-9
    pixels: Pixels = (256, 256)
    centre: bool = True

    @property
    def once(self) -> bool:
        return True

    def outlook(self, plan: Plan) -> Outlook:
        area = plan.area(self.of)
        frame = plan.frame(area, square(self.field, self.pixels), self.pixels, self._dwell(plan.books.belief.current))
        return Outlook(frame.seconds, (Exposure(area, frame),))

    def run(self, run: StepRun) -> Result:
        area = run.area(self.of)
        dwell = self._dwell(run.ledger.belief.current)
        frame = run.frame(area, square(self.field, self.pixels), self.pixels, dwell)
        pitch = frame.commanded.pitch

        def look(file: DataFile, shot: Shot) -> dict[str, Any]:
            electrons = run.rig.scan.electrons(shot.image, frame.commanded.dwell)
            found = see_interface(electrons, pitch, area, self.do)
            file_profile(file, edge_profile(electrons, pitch, found, BIN * max(pitch)))
            return {"found": facts(found, run.rig.file.calibrations.scan_scale.uncertainty)}

        name, _, said = single_image(run, area, frame, f"interface in {area}", look)
        found = said.pop("found")
        if self.centre:
            (x, y), (dx, dy) = run.middle(area), (found["x_nm"] * 1e-9, found["y_nm"] * 1e-9)
            run.centre(area, (x + dx, y + dy))
        return {"file": name, **said, "centred": self.centre, "interface": found, "report": {"interface": found}}

    def _dwell(self, current: float) -> Dwell:
        return lambda pitch: dwell_for(self.dose, current, *pitch)


def see_interface(
    electrons: NDArray[np.float64], pitch: tuple[float, float], area: str, do: str, *, block: int = 4
) -> Interface:
    """Find the interface in a frame, or say what is wrong; raises PostconditionError."""
    try:
        found = find_interface(electrons, pitch, block=block)
    except ValueError as error:
        raise PostconditionError(f'{do}: no interface is seen on area "{area}": {error}.') from error
    size = min(n * step for n, step in zip(electrons.shape[::-1], pitch, strict=True))
    what = ""
    if not found.score >= SEEN:
        what = f"a step explains {found.score:.2f} of the contrast, {SEEN} are needed"
    elif not found.bright >= CONTRAST * max(found.dark, 0.0):
        what = f"one side is only {found.bright / found.dark:.2f} times as bright as the other"
    elif not (found.angle_error <= SURE_ANGLE and found.position_error <= SURE_PLACE * size):
        what = f"its direction is unsure by {math.degrees(found.angle_error):.1f} deg"
    elif not abs(found.position) <= size / 2:
        what = f"it would lie {found.position * 1e9:.0f} nm from the middle, outside of the frame"
    if what:
        raise PostconditionError(
            f'{do}: no interface is believed on area "{area}": {what}. Look at the image; take a larger field or more '
            "dose, or name an area that holds the contact."
        )
    return found


def facts(found: Interface, scale_uncertainty: float) -> dict[str, Any]:
    """What is said of an interface; uncertainties are standard ones, the scan's scale in that of the width."""
    x, y = found.middle
    return {
        "position_nm": in_nm(found.position),
        "position_error_nm": in_nm(found.position_error),
        "x_nm": in_nm(x),
        "y_nm": in_nm(y),
        "angle_deg": in_degrees(found.angle),
        "angle_error_deg": in_degrees(found.angle_error),
        "width_nm": in_nm(found.width),
        "width_error_nm": in_nm(math.hypot(found.width_error, found.width * scale_uncertainty / 2.0)),
        "lithium_towards_deg": in_degrees(math.remainder(found.angle + math.pi, 2.0 * math.pi)),
        "bright_over_dark": round(found.bright / found.dark, 2) if found.dark > 0.0 else None,
        "score": round(found.score, 4),
    }


def file_profile(file: DataFile, profile: EdgeProfile) -> None:
    """File the dark field across an edge, and the blurred step that fits it."""
    found = profile.interface
    table = {
        "position": Column(profile.position * 1e9, "nm"),
        "dark_field": Column(profile.level, "electrons", profile.error),
        "fit": Column(found.step(profile.position), "electrons"),
    }
    file.table("edge_profile", table, title="dark field across the edge")


def in_degrees(angle: float) -> float:
    """An angle for people: degrees to three digits."""
    return round(math.degrees(angle), 3)


def in_nm(metres: float) -> float:
    """A length for people: nanometres to three digits."""
    return round(metres * 1e9, 3)
