"""The chamber of the FIB-SEM: two columns that look at, and cut into, one flat piece on a stage that moves and tilts.

A 2.5-dimensional surface: what is milled is a depth below each place, so walls have no face of their own and nothing
can be undercut.  Everything else is true: an image shows what stands under that beam now, foreshortened by the tilt.
Stage coordinates are those of the point in the coincidence of the beams: x to the right and y up in the electron image,
y and z tilt with the stage, z grows as the stage sinks.  Its tilt turns the surface towards the ion column.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.constants import e
from scipy.ndimage import gaussian_filter

from drivers.clock import Clock
from drivers.pose import Pose
from drivers.ticket import Beam
from physics.units import parse
from simulators.constants import constants
from simulators.fibsem.stage import Stage
from simulators.fibsem.surface import Array, Surface
from simulators.sample.file import Sample
from simulators.sample.lamella import FWHM

BEAMS: tuple[Beam, Beam] = ("electron", "ion")
_GRAZING = np.radians(85.0)  # a surface seen flatter than this is not seen
_PASSES = 4  # of the search for the surface under a pixel; enough for slopes below 45 degrees


@dataclass
class Column:
    """What a column is set to, SI; contrast and brightness of its detector from 0 to 1.

    on: a beam comes out.  stuck: its aperture and its high voltage stay as they are, whatever is set.
    """

    voltage: float
    current: float
    working_distance: float
    field: float = 150e-6
    shift: tuple[float, float] = (0.0, 0.0)
    scan_rotation: float = 0.0
    contrast: float = 0.5
    brightness: float = 0.5
    on: bool = True
    stuck: bool = False


@dataclass(frozen=True)
class Hidden:
    """How far a column is from what it says: true over said current and field, and its angle, rad."""

    current: float
    field: float
    angle: float


class View(NamedTuple):
    """The piece as a beam sees it: a place (u, v) and depth to (x, y) in its image, m, and back."""

    pose: Pose
    lean: float  # from the surface's normal to the beam, rad
    height: float  # of the pristine surface, in z of the stage
    shift: tuple[float, float]
    rotation: float

    def image(self, u: Array, v: Array, depth: Array) -> tuple[Array, Array]:
        """(x, y) in the image of places on the surface."""
        cosine, sine = np.cos(self.pose.rotation), np.sin(self.pose.rotation)
        x, y = cosine * u - sine * v - self.pose.x, sine * u + cosine * v - self.pose.y
        y = y * np.cos(self.lean) - (self.height - depth - self.pose.z) * np.sin(self.lean)
        return _turn(x - self.shift[0], y - self.shift[1], self.rotation)

    def place(self, x: Array, y: Array, depth: Array | float) -> tuple[Array, Array]:
        """(u, v) of what is seen at (x, y), if it lies that deep."""
        across, along = _turn(x, y, -self.rotation)
        along = along + self.shift[1] + (self.height - depth - self.pose.z) * np.sin(self.lean)
        return _turn(across + self.shift[0] + self.pose.x, along / np.cos(self.lean) + self.pose.y, -self.pose.rotation)


@dataclass(frozen=True)
class Chamber:
    """Stage, columns and surface.

    Every frame is charged to the surface, whoever reads it: electrons as fluence, ions as fluence and as depth.
    """

    clock: Clock
    stage: Stage
    surface: Surface
    random: np.random.Generator
    hidden: dict[Beam, Hidden]
    height: float
    columns: dict[Beam, Column] = field(default_factory=lambda: {beam: _column(beam) for beam in BEAMS})

    @classmethod
    def of(cls, sample: Sample, clock: Clock, random: np.random.Generator, *, hidden_errors: bool) -> Chamber:
        """A chamber with a piece of the sample in the coincidence of its beams."""
        numbers = constants("chamber")
        errors = random.uniform(-1.0, 1.0, 6) * hidden_errors
        hidden = {
            beam: Hidden(
                current=1.0 + float(errors[index]) * numbers["hidden_current"],
                field=1.0 + float(errors[2 + index]) * numbers["hidden_field"],
                angle=float(errors[4]) * parse(numbers["hidden_angle"], "angle") if beam == "ion" else 0.0,
            )
            for index, beam in enumerate(BEAMS)
        }
        eucentric = parse(numbers["eucentric"], "length")
        height = eucentric + float(errors[5]) * parse(numbers["hidden_height"], "length")
        stage = Stage(Pose(0.0, 0.0, eucentric, 0.0, 0.0), clock, random)
        return cls(clock, stage, Surface(sample, random), random, hidden, height)

    def view(self, beam: Beam) -> View:
        """How a beam sees the piece now."""
        column, pose = self.columns[beam], self.stage.true()
        towards = parse(constants("chamber")["ion_angle"], "angle") + self.hidden["ion"].angle if beam == "ion" else 0.0
        return View(pose, pose.tilt - towards, self.height, column.shift, column.scan_rotation)

    def current(self, beam: Beam) -> float:
        """What truly reaches the sample, A; nothing without a voltage."""
        column = self.columns[beam]
        return column.current * self.hidden[beam].current if column.on and column.voltage > 0.0 else 0.0

    def frame(self, beam: Beam, pixels: tuple[int, int], dwell: float) -> NDArray[np.uint8]:
        """Expose a whole frame and return it, (rows, columns).

        pixels: columns and rows.  dwell: s.  Brightness goes with secondary electrons a primary one of the current that
        is set, times contrast; what is lost in current is seen as darkness.
        """
        column = self.columns[beam]
        signal = self._look(beam, pixels)
        self._expose(beam, pixels, dwell)
        primaries = self.current(beam) * dwell / e
        counts = self.random.poisson(signal * primaries + constants("chamber")["dark_counts"])
        asked = max(column.current * dwell / e, 1e-9)
        grey = column.brightness - 0.5 + 0.8 * column.contrast * counts / max(asked, 1.0)
        return np.asarray(np.clip(np.round(255.0 * grey), 0, 255), np.uint8)

    def focused(self, beam: Beam) -> float:
        """The working distance at which the middle of the frame is sharp, m."""
        view, nominal = self.view(beam), parse(constants("chamber")["working_distance"][beam], "length")
        x, y = (np.zeros(1), np.zeros(1))
        u, v = view.place(x, y, 0.0)
        depth = self.surface.at(u, v)[0].astype(np.float64)
        along = float(view.place(x, y, depth)[1][0] * np.cos(view.pose.rotation) + np.sin(view.pose.rotation) * u[0])
        above = self.height - float(depth[0]) - view.pose.z
        return float(nominal - ((along - view.pose.y) * np.sin(view.lean) + above * np.cos(view.lean)))

    def probe(self, beam: Beam) -> float:
        """FWHM of the beam at its present current, m."""
        if beam == "electron":
            return parse(constants("chamber")["electron_probe"], "length")
        table = constants("chamber")["ion_probe"]
        currents = [parse(current, "current") for current in table]
        widths = [parse(width, "length") for width in table.values()]
        return float(np.interp(self.columns["ion"].current, currents, widths))

    def state(self) -> dict[str, Any]:
        """What another process needs besides the surface to go on."""
        kept = {beam: vars(column) for beam, column in self.columns.items()}
        return {"columns": kept, "stage": self.stage.state(), "dice": self.random.bit_generator.state}

    def recall(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        for beam in BEAMS:
            self.columns[beam] = Column(**state["columns"][beam] | {"shift": tuple(state["columns"][beam]["shift"])})
        self.stage.recall(state["stage"])
        self.random.bit_generator.state = state["dice"]

    def _look(self, beam: Beam, pixels: tuple[int, int]) -> Array:
        """Secondary electrons for each that arrives, by pixel, (rows, columns), without noise."""
        view, column = self.view(beam), self.columns[beam]
        if not abs(view.lean) < _GRAZING:
            return np.zeros(pixels[::-1])
        pitch = column.field * self.hidden[beam].field / pixels[0]
        x = (np.arange(pixels[0]) - (pixels[0] - 1) / 2.0) * pitch
        y = ((pixels[1] - 1) / 2.0 - np.arange(pixels[1])) * pitch
        x, y = np.meshgrid(x, y)
        u, v = view.place(x, y, 0.0)
        window = self.surface.window(*_bounds(u, v, slack=50e-6))
        depths = window.maps[0].astype(np.float64)
        milled = bool(depths.any())
        depth = np.zeros_like(x)
        for _ in range(_PASSES if milled else 0):
            depth = depths[self.surface.places(window, u, v)]
            u, v = view.place(x, y, depth)
        signal = self.surface.brightness(u, v, depth)
        if milled:
            signal = signal * self._slope(depths, view.lean)[self.surface.places(window, u, v)]
        else:
            signal = signal / np.cos(view.lean)
        probe, half_angle = self.probe(beam), parse(constants("chamber")["aperture"][beam], "angle")
        out_of_focus = abs(column.working_distance - self.focused(beam)) * half_angle
        blur = np.hypot(probe / FWHM, out_of_focus) / pitch
        return gaussian_filter(signal, min(blur, pixels[0] / 4.0), mode="nearest") if blur > 0.3 else signal

    def _slope(self, depths: Array, lean: float) -> Array:
        """How much brighter each cell is for leaning away from the beam: one over the cosine, at most ten times."""
        if min(depths.shape) < 2:
            return np.full_like(depths, 1.0 / np.cos(lean))
        down_v, down_u = np.gradient(depths, self.surface.cell)
        # normal (down_u, down_v, 1) and, in the frame of the stage, beam (0, sin, cos); rotation turns both
        rotation = self.stage.true().rotation
        along = np.sin(rotation) * down_u + np.cos(rotation) * down_v
        facing = np.cos(lean) + along * np.sin(lean)
        return np.asarray(np.clip(np.sqrt(1.0 + down_u**2 + down_v**2) / np.maximum(facing, 0.1), 1.0, 10.0))

    def _expose(self, beam: Beam, pixels: tuple[int, int], dwell: float) -> None:
        view, column = self.view(beam), self.columns[beam]
        width = column.field * self.hidden[beam].field
        height = width * pixels[1] / pixels[0]
        coulombs = self.current(beam) * dwell * pixels[0] * pixels[1] / (width * height) * np.cos(view.lean)
        if not coulombs > 0.0:
            return
        x, y = np.array([-1.0, 1.0, 1.0, -1.0]) * width / 2.0, np.array([-1.0, -1.0, 1.0, 1.0]) * height / 2.0
        for tile, u, v in self.surface.tiles(*_bounds(*view.place(x, y, 0.0), slack=1e-6)):
            across, along = view.image(u, v, self.surface.at(u, v)[0].astype(np.float64))
            hit = self.surface.on_piece(u, v) & (np.abs(across) < width / 2.0) & (np.abs(along) < height / 2.0)
            if not hit.any():
                continue
            if beam == "electron":
                self.surface.deposit(tile, hit, coulombs / e)
            else:
                self.surface.etch(tile, hit, coulombs, column.voltage, abs(view.lean))


def _column(beam: Beam) -> Column:
    numbers = constants("chamber")
    usual = numbers[beam]
    return Column(
        voltage=parse(usual["voltage"], "voltage"),
        current=parse(usual["current"], "current"),
        working_distance=parse(numbers["working_distance"][beam], "length"),
    )


def _turn(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    return np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y


def _bounds(u: Array, v: Array, *, slack: float) -> tuple[float, float, float, float]:
    return float(u.min()) - slack, float(v.min()) - slack, float(u.max()) + slack, float(v.max()) + slack
