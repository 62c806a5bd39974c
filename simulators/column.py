"""The electron column: where the beam goes, what the dark-field detector counts, what the lamella receives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.constants import e

from drivers.rigfile import Optics
from physics import damage, elastic
from physics.materials import material
from physics.units import parse
from simulators.constants import constants
from simulators.dose import FluenceMap
from simulators.drift import Drift
from simulators.ice import Ice
from simulators.lamella import FWHM, Lamella
from simulators.sample import Damage
from simulators.xrays import Eds

Beam = Literal["none", "electron", "ion"]
Array = NDArray[np.float64]

_STILL = 0.2e-9  # m the lamella may drift within one deposit
_PARKED = 1.0  # s of a parked beam charged and shone on at a time


class Column:
    """One focused electron beam over the lamella; its field is centred on the middle of the interphase at first light.

    current: true, A.  field: true width of the scan field, m.
    Dark field: 1 - exp(-sum of n t sigma), incoherent, with sigma of physics/elastic.py, blurred by the probe and its
    spread; then electrons are counted one by one.
    """

    def __init__(
        self,
        lamella: Lamella,
        optics: Optics,
        *,
        received: FluenceMap,
        drift: Drift,
        ice: Ice,
        eds: Eds,
        losses: Damage,
        current: float,
        field: float,
        random: np.random.Generator,
    ) -> None:
        self._lamella, self._received, self._drift, self._ice, self._eds = lamella, received, drift, ice, eds
        self._energy, self._probe = optics.beam_energy, optics.probe_fwhm / FWHM
        self._losses = {element: loss.critical for element, loss in losses.loss.items() if element in lamella.areal}
        self.current, self._field, self._random = current, field, random
        self._selected: Beam = "electron"
        self._last = 0.0, 0.0, -1.0  # u, v of the last pixel and when it ended
        self._dark_counts = float(constants("column")["dark_counts"])
        self._way_back = parse(constants("column")["flyback"], "time")

        def scattered(element: str) -> float:
            return elastic.cross_section(element, optics.beam_energy, *optics.dark_field)

        per_element = {element: atoms * scattered(element) for element, atoms in lamella.areal.items()}
        lasting = sum(
            (value for el, value in per_element.items() if el not in self._losses), np.zeros(len(lamella.inside))
        )
        ice_column = sum(density * scattered(el) for el, density in material("ice").number_densities.items())
        leaving = [lamella.blurred(per_element[element]) for element in self._losses]
        self._scattering = np.column_stack(
            [lamella.blurred(lasting), lamella.blurred(lamella.inside * ice_column), *leaving]
        )

    def select(self, beam: Beam) -> None:
        """Which beam the scan moves: without the electron beam every pixel is dark and receives nothing."""
        self._selected = beam

    def raster(self, u: Array, v: Array, cell: tuple[float, float], dwell: float, start: float) -> Array:
        """Beam on, pixel after pixel; electrons counted by the dark-field detector in each, shape (n,).

        u, v: centre of each pixel as a fraction 0 to 1 of the DAC's full scale, u along +x, v along +y, shape (n,).
        cell: width and height of a pixel in the same fractions.  dwell: s.  start: clock time of the first pixel, s.
        """
        if len(u) == 0 or self._selected != "electron":
            return self.dark(len(u))
        self._drift.light(start)
        scan_x, scan_y = self._lamella.middle + (u - 0.5) * self._field, (v - 0.5) * self._field
        width = abs(cell[0]) * self._field, abs(cell[1]) * self._field
        counts, extra = np.empty(len(u)), self._fly_back(u, v, dwell, start)
        for part in self._quiet(len(u), dwell, start):
            began = start + part.start * dwell
            moved = self._drift.displacement(began + np.arange(part.stop - part.start) * dwell)
            counts[part] = self._expose(scan_x[part], scan_y[part], moved, width, dwell, began, extra[part])
        return counts + self.dark(len(u))

    def park(self, u: float, v: float, start: float, seconds: float) -> None:
        """Beam on, standing still at (u, v) of the DAC's full scale from a clock time, for some seconds."""
        pieces = max(int(np.ceil(seconds / _PARKED)), 1)
        if seconds > 0.0:
            self.raster(np.full(pieces, u), np.full(pieces, v), (0.0, 0.0), seconds / pieces, start)

    def dark(self, n: int) -> Array:
        """What the detector counts in n pixels with the beam blanked, shape (n,)."""
        return self._random.poisson(self._dark_counts, n).astype(np.float64)

    def drop(self, fraction: float) -> None:
        """Lose this fraction of the current, 0 to 1."""
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"a beam cannot lose {fraction} of its current")
        self.current *= 1.0 - fraction

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
        x, y = scan_x - moved[0], scan_y - moved[1]
        electrons = self.current * dwell / e
        before = self._received.at(x, y)
        middle = len(x) // 2
        self._received.deposit(
            scan_x - moved[0][middle], scan_y - moved[1][middle], electrons + extra, width, self._probe
        )
        fluence = (before + self._received.at(x, y)) / 2.0
        left = {
            element: damage.surviving(
                fluence, damage.critical_fluence(critical, self._energy, self._ice.lamella_temperature)
            )
            for element, critical in self._losses.items()
        }
        places = self._lamella.index(x, y)
        terms = self._scattering[places]
        depth = terms[:, 0] + terms[:, 1] * self._ice.thickness
        for column, share in enumerate(left.values(), start=2):
            depth += terms[:, column] * share
        self._eds.expose(places, electrons, left, self._ice.thickness, dwell, start)
        return np.asarray(self._random.poisson(-np.expm1(-depth) * electrons), dtype=np.float64)

    def _quiet(self, n: int, dwell: float, start: float) -> Iterator[slice]:
        """Runs of pixels short enough for the drift within each to be nothing."""
        first = 0
        while first < n:
            seconds = _STILL / max(self._drift.speed(start + first * dwell), 1e-15)
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
