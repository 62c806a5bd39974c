"""The electron column: where the beam goes, what the dark-field detector counts, what the lamella receives."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.constants import e

from drivers.rigfile import Optics
from physics import damage
from physics.materials import material
from physics.units import parse
from simulators.beam.diffraction import Diffraction
from simulators.beam.scattering import Scattering
from simulators.beam.xrays import Eds
from simulators.constants import constants
from simulators.sample.dose import FluenceMap
from simulators.sample.file import Damage
from simulators.sample.lamella import FWHM, Exposed, Lamella
from simulators.stages.drift import Drift
from simulators.stages.goniometer import Goniometer
from simulators.stages.ice import Ice

Beam = Literal["none", "electron", "ion"]
Steering = Literal["box", "own"]
Array = NDArray[np.float64]

_STILL = 0.2e-9  # m the lamella may drift within one deposit
_PARKED = 1.0  # s of a parked beam charged and shone on at a time
_STANDING = 0.0, 0.0  # cell of a beam that scans nothing
_SMEAR = 50e-9  # m that the goniometer may go under a parked beam within a piece
_MOST_PIECES = 2000  # of one leg of its way, however long
_SKEW = 1e-9  # m: pixels that the skew of the scan moves by less from each other receive as if they were in line
_COARSE = np.radians(0.5)  # from one look to the next while the lamella turns


class Column:
    """One focused electron beam over the lamella; its field is centred on the middle of the interphase at first light.

    current: true, A.  field: true width of the scan field, m.  skew: what its lines lean along x, m a metre along y.
    The beam comes through the column valves and past the column's own blanker; `valves_open` and `blanked` change only
    through `let_through` and `blank`.  `fitted`: a microscope's own control stands in the rig; then the scan box moves
    the beam only while it has taken the coils (`external`), and may have the beam `held` by its blanker.
    Dark field: 1 - exp(-sum of n t sigma), incoherent but for the films' reflections, with sigma from the cone of the
    probe into the ring (scattering.py), blurred by the probe and its spread; then electrons are counted one by one.
    """

    def __init__(
        self,
        lamella: Lamella,
        optics: Optics,
        *,
        received: FluenceMap,
        drift: Drift,
        goniometer: Goniometer,
        ice: Ice,
        eds: Eds,
        diffraction: Diffraction,
        losses: Damage,
        current: float,
        field: float,
        skew: float = 0.0,
        random: np.random.Generator,
    ) -> None:
        self._lamella, self._received, self._drift, self._ice, self._eds = lamella, received, drift, ice, eds
        self._goniometer, self._diffraction, self._optics = goniometer, diffraction, optics
        self.beam_energy, self.convergence, self._probe = (
            optics.beam_energy,
            optics.convergence,
            optics.probe_fwhm / FWHM,
        )
        self._losses = {element: loss for element, loss in losses.loss.items() if element in lamella.elements}
        self._growing = losses.carbon
        self.current, self._field, self._skew, self._random = current, field, skew, random
        self._selected: Beam = "electron"
        self.blanked, self.valves_open = False, True
        self.fitted = self.external = self.held = False
        self.parallel = False  # in TEM: no probe, but a disc (flooding.py)
        self.shift = 0.0, 0.0  # m, by which the beam shift moves the probe
        self.screen_down = False  # the fluorescent screen, below the annular detector and above every camera
        self._missed: tuple[Array, Array, tuple[float, float], float, float] | None = None
        self._last = 0.0, 0.0, -1.0  # u, v of the last pixel and when it ended
        self._dark_counts = float(constants("column")["dark_counts"])
        self._way_back = parse(constants("column")["flyback"], "time")

    @cached_property
    def _scattering(self) -> Array:
        """What lasts, a metre of ice, a metre of carbon, and what leaves, at each place of the lamella's table."""

        scattering = Scattering(self._optics)

        def scattered(element: str) -> float:
            return scattering.into_dark_field(scattering.glass(element))

        lamella, inside = self._lamella, self._lamella.inside
        per_element = {element: atoms * scattered(element) for element, atoms in lamella.areal.items()}
        columns = [sum((v for el, v in per_element.items() if el not in self._losses), np.zeros(len(inside)))]
        for film in ("ice", "C"):
            each = sum(density * scattered(el) for el, density in material(film).number_densities.items())
            columns.append(inside * (each / np.cos(lamella.tilt)))
        columns += [per_element[element] for element in self._losses]
        return np.column_stack([lamella.blurred(column) for column in columns])

    def look_at(self, lamella: Lamella) -> None:
        """The lamella is another, such as one that was tilted."""
        self._lamella = lamella
        self.__dict__.pop("_scattering", None)
        self._eds.look_at(lamella)
        self._diffraction.look_at(lamella)

    def select(self, beam: Beam) -> None:
        """Which beam the scan moves: without the electron beam every pixel is dark and receives nothing."""
        self._selected = beam

    @property
    def lit(self) -> bool:
        """True while the beam comes as far as the scan; whether the scan box holds it there is another matter."""
        return self.valves_open and not self.blanked

    @property
    def steering(self) -> Steering:
        """Who moves the beam: the scan box, or the microscope's own scan."""
        return "own" if self.fitted and not self.external else "box"

    def steer(self, *, external: bool, held: bool) -> None:
        """The scan box takes the coils and its blanker, or lets go of both."""
        self.external, self.held = external, external and held

    def blank(self, on: bool, time: float) -> None:
        """Close or open the column's own blanker at a clock time."""
        self.blanked = on
        self._make_good(time)

    def let_through(self, open_: bool, time: float) -> None:
        """Open or close the column valves at a clock time."""
        self.valves_open = open_
        self._make_good(time)

    def raster(
        self, u: Array, v: Array, cell: tuple[float, float], dwell: float, start: float, *, by: Steering = "box"
    ) -> Array:
        """Beam on, pixel after pixel; electrons counted by the dark-field detector in each, shape (n,).

        u, v: centre of each pixel as a fraction 0 to 1 of the DAC's full scale, u along +x, v along +y, shape (n,).
        cell: width and height of a pixel in the same fractions.  dwell: s.  start: clock time of the first pixel, s.
        by: who asks; who has not got the coils moves nothing and sees nothing.  The way back is charged for the box.
        """
        if len(u) == 0 or self._selected != "electron" or by != self.steering or self.parallel:
            return self.dark(len(u))
        if not self.lit:
            self._missed = (u, v, cell, dwell, start) if by == "box" else None
            return self.dark(len(u))
        if cell != _STANDING:  # the lamella's frame begins with the first pixel that was scanned for somebody to see
            self._drift.light(start)
        scan_x = self._lamella.middle + self.shift[0] + (u - 0.5) * self._field
        scan_y = self.shift[1] + (v - 0.5) * self._field
        width = abs(cell[0]) * self._field, abs(cell[1]) * self._field
        counts, extra = np.empty(len(u)), np.zeros(len(u)) if by == "own" else self._fly_back(u, v, dwell, start)
        for part in self._quiet(len(u), dwell, start):
            began = start + part.start * dwell
            times = began + np.arange(part.stop - part.start) * dwell
            drifted, carried = self._drift.displacement(times), self._goniometer.displacement(times)
            moved = drifted[0] + carried[0], drifted[1] + carried[1]
            counts[part] = self._expose(scan_x[part], scan_y[part], moved, width, dwell, began, extra[part])
        return counts + self.dark(len(u))

    def park(self, u: float, v: float, start: float, seconds: float, *, by: Steering = "box") -> None:
        """Beam on, standing still at (u, v) of the DAC's full scale from a clock time, for some seconds."""
        end = start + seconds
        while start < end:
            speed, until = self._goniometer.steady(start)
            piece = min(until, end) - start
            pieces = max(int(np.ceil(piece / _PARKED)), min(int(np.ceil(speed * piece / _SMEAR)), _MOST_PIECES))
            self.raster(np.full(pieces, u), np.full(pieces, v), _STANDING, piece / pieces, start, by=by)
            start = min(until, end)

    def fraction(self, metres: float) -> float:
        """How much of the DAC's full scale a true distance in the scan field is."""
        return metres / self._field

    def dark(self, n: int) -> Array:
        """What the detector counts in n pixels with the beam blanked, shape (n,)."""
        return self._random.poisson(self._dark_counts, n).astype(np.float64)

    def drop(self, fraction: float) -> None:
        """Lose this fraction of the current, 0 to 1."""
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"a beam cannot lose {fraction} of its current")
        self.current *= 1.0 - fraction

    def state(self) -> dict[str, bool]:
        """For `recall`: how the column was left."""
        return {name: getattr(self, name) for name in ("blanked", "valves_open", "fitted", "screen_down", "parallel")}

    def recall(self, state: dict[str, bool]) -> None:
        """Go on from what `state` gave."""
        for name, value in state.items():
            setattr(self, name, value)

    def _make_good(self, time: float) -> None:
        """The box gives runs ahead of time: what was dark of them then, and is lit now, is received all the same."""
        missed, self._missed = self._missed, None
        if self.lit and missed is not None and self.steering == "box":
            u, v, cell, dwell, start = missed
            over = max(int(np.ceil((time - start) / dwell)), 0)
            self.raster(u[over:], v[over:], cell, dwell, start + over * dwell)
        elif not self.lit:
            self._missed = missed

    def _expose(
        self,
        scan_x: Array,
        scan_y: Array,
        moved: tuple[Array, Array],
        width: tuple[float, float],
        dwell: float,
        start: float,
        extra: Array,
    ) -> Array:
        """A run of pixels during which the lamella stands still to a fifth of a nanometre."""
        self._turn(start)
        skewed = self._skew * scan_y
        beam_x, y = scan_x + skewed - moved[0], scan_y - moved[1]
        x = self._lamella.slab.met(beam_x, self._lamella.tilt)
        electrons = self.current * dwell / e
        before = self._received.at(x, y)
        self._receive(scan_x, scan_y, skewed, moved, electrons + extra, width)
        fluence = (before + self._received.at(x, y)) / 2.0
        left = {
            element: damage.surviving(fluence, loss.fluence(self.beam_energy, self._ice.lamella_temperature))
            for element, loss in self._losses.items()
        }
        carbon = self._growing.grown(fluence) if self._growing is not None else np.zeros_like(fluence)
        places = self._lamella.index(x, y)
        terms = self._scattering[places]
        depth = terms[:, 0] + terms[:, 1] * self._ice.thickness + terms[:, 2] * carbon
        for column, share in enumerate(left.values(), start=3):
            depth += terms[:, column] * share
        run = Exposed(places, electrons, left, self._ice.thickness, dwell, start, carbon, beam_x, y, fluence)
        depth += self._diffraction.into_dark_field(run)
        self._eds.expose(run)
        if not self.screen_down:
            self._diffraction.expose(run)
        return np.asarray(self._random.poisson(-np.expm1(-np.maximum(depth, 0.0)) * electrons), dtype=np.float64)

    def _turn(self, time: float) -> None:
        """See the lamella as it is tilted at a clock time."""
        tilt = self._goniometer.tilt(time)
        if self._goniometer.moving(time):
            tilt = round(tilt / _COARSE) * _COARSE
        if tilt != self._lamella.tilt:
            self.look_at(self._lamella.tilted(tilt))

    def _receive(
        self,
        scan_x: Array,
        scan_y: Array,
        skewed: Array,
        moved: tuple[Array, Array],
        electrons: Array,
        width: tuple[float, float],
    ) -> None:
        """Deposit on the lamella, as if it stood still: m^-2 across the beam, at places of the lamella's frame."""
        middle, cosine, tilt = len(scan_x) // 2, np.cos(self._lamella.tilt), self._lamella.tilt
        step = np.rint(skewed / _SKEW)
        for one in np.unique(step):
            of = step == one
            x = self._lamella.slab.met(scan_x[of] + one * _SKEW - moved[0][middle], tilt)
            across = width[0] / cosine, width[1]
            self._received.deposit(x, scan_y[of] - moved[1][middle], electrons[of] / cosine, across, self._probe)

    def _quiet(self, n: int, dwell: float, start: float) -> Iterator[slice]:
        """Runs of pixels short enough for the drift within each to be nothing."""
        first = 0
        while first < n:
            now = start + first * dwell
            carried, until = self._goniometer.steady(now)
            seconds = min(_STILL / max(self._drift.speed(now) + carried, 1e-15), until - now)
            last = min(first + max(int(seconds / dwell), 1), n)
            yield slice(first, last)
            first = last

    def _fly_back(self, u: Array, v: Array, dwell: float, start: float) -> Array:
        """Electrons that each pixel receives besides its own: the way back to a new row is charged along that row.

        A row goes on over calls that follow each other; the first row of an exposure has no way back.
        """
        before_u, before_v, until = self._last
        follows = abs(start - until) < 1e-3 * dwell
        back = np.diff(u, prepend=before_u if follows else u[0]) < 0.0
        fresh = back & (np.diff(v, prepend=before_v if follows else v[0]) != 0.0)
        self._last = float(u[-1]), float(v[-1]), start + len(u) * dwell
        starts = np.flatnonzero(fresh)
        extra = np.zeros(len(u))
        if len(starts) > 0:
            lengths = np.diff(starts, append=len(u))
            extra[starts[0] :] = np.repeat(self.current * self._way_back / e / lengths, lengths)
        return extra
