"""What the grains of metal films diffract where a probe goes through them, and what of it the dark field gets."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from drivers.rigfile import Optics
from physics.electrons import wavelength
from physics.materials import material
from simulators.beam.bragg import Bragg, Spots, joined
from simulators.beam.scattering import Scattering, ring_share
from simulators.sample.lamella import Exposed, Lamella
from simulators.sample.matter import Matter

Array = NDArray[np.float64]

_STEP = 2e-9  # m of a film, to which depths are rounded
_LEFT = 0.05  # of the lattice's amplitude, to which that is rounded
_KEPT = 4096  # reflections of so many pieces of film


class FilmSpots:
    """Reflections of the films of one lamella, grain by grain (simulators/beam/bragg.py).

    The dark field counts atoms one by one as if they stood in a glass (simulators/beam/scattering.py); in a metal what
    they scatter together goes into reflections instead, which a grain sends into the ring or past it as it happens to
    stand.
    """

    def __init__(self, lamella: Lamella, optics: Optics, bragg: Bragg, matter: Matter) -> None:
        self._bragg, self._matter = bragg, matter
        self._cone, self._ring = optics.convergence, optics.dark_field
        self._length = wavelength(optics.beam_energy)
        scattering = Scattering(optics)
        self._alone = {}
        for phase in lamella.grained:
            glass = material(phase).number_densities[phase] * scattering.glass(phase)
            self._alone[phase] = scattering.into_dark_field(glass - scattering.shaken(phase))
        self._met: OrderedDict[tuple[object, ...], tuple[Spots, float]] = OrderedDict()
        self.look_at(lamella)

    def look_at(self, lamella: Lamella) -> None:
        """The lamella is another, such as one that was tilted."""
        self._lamella = lamella
        self._depths = {phase: lamella.blurred(depth) for phase, depth in lamella.grained.items()}

    def under(self, run: Exposed, temperature: float) -> Spots:
        """Reflections at the pixels of a run; temperature: of the lamella, K."""
        pieces, which = self._pieces(run, temperature)
        return joined([Spots.none(1), *(spots for spots, _ in pieces)]).taken(which)

    def into_dark_field(self, run: Exposed, temperature: float) -> Array:
        """Mean scatterings into the ring of the dark field more than of as many atoms in a glass, (n,)."""
        pieces, which = self._pieces(run, temperature)
        return np.array([0.0, *(more for _, more in pieces)])[which]

    def _pieces(self, run: Exposed, temperature: float) -> tuple[list[tuple[Spots, float]], NDArray[np.intp]]:
        """The pieces of film in a run, and which of them each pixel meets, from 1; 0 of none."""
        tilt, kelvin = self._lamella.tilt, float(round(temperature))
        which = np.zeros(len(run.places), np.intp)
        pieces: list[tuple[Spots, float]] = []
        for phase, depths in self._depths.items():
            depth = np.rint(depths[run.places] / _STEP).astype(np.intp)
            here = np.flatnonzero(depth > 0)
            if len(here) == 0:
                continue
            grain, turns = self._matter.grains(phase, self._lamella.slab.met(run.x[here], tilt), run.y[here], tilt)
            left = np.rint(self._matter.left(phase, run.fluence[here], kelvin) / _LEFT).astype(np.intp)
            sizes = len(turns), int(depth.max()) + 1, int(left.max()) + 1
            key = np.ravel_multi_index((grain, depth[here], left), sizes)
            met = np.flatnonzero(np.bincount(key))
            number = np.zeros(int(met[-1]) + 1, np.intp)
            number[met] = 1 + len(pieces) + np.arange(len(met))
            which[here] = number[key]
            for one, deep, share in zip(*np.unravel_index(met, sizes), strict=True):
                pieces.append(self._piece(phase, turns[one], int(deep), int(share), kelvin))
        return pieces, which

    def _piece(self, phase: str, turn: Array, depth: int, left: int, kelvin: float) -> tuple[Spots, float]:
        key = phase, turn.tobytes(), depth, left, kelvin
        if key in self._met:
            self._met.move_to_end(key)
        else:
            g, share = self._bragg.film(phase, turn, depth * _STEP, left * _LEFT, kelvin)
            deflected = np.hypot(g[:, 0], g[:, 1]) * self._length
            gained = ring_share(deflected, self._cone, self._ring) - ring_share(np.zeros(1), self._cone, self._ring)
            more = float((share * gained).sum()) - depth * _STEP * self._alone[phase]
            self._met[key] = self._bragg.spots(g, share), more
            if len(self._met) > _KEPT:
                self._met.popitem(last=False)
        return self._met[key]
