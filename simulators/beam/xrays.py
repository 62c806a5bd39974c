"""X-rays: photons the EDS detector absorbs, one by one, with their arrival time and the energy they leave in it."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from drivers.rigfile import Optics
from physics.xray_detector import fwhm
from physics.xrays import silicon_escape_energy, silicon_escape_fraction
from simulators.beam.emission import CONTINUUM, Emission, Response
from simulators.sample.lamella import FWHM, Exposed, Lamella

Array = NDArray[np.float64]

_UNHEARD = 2_000_000  # photons kept while nobody reads them
_AT_A_TIME = 32768  # photons made: what fits into the processor's cache


class Eds:
    """The detector crystal: photons in, (time, energy) out; dead time and channels are the pulse processor's.

    Photons come as a Poisson process whose rate simulators/beam/emission.py gives for each pixel.
    """

    def __init__(
        self, lamella: Lamella, optics: Optics, random: np.random.Generator, response: Response | None = None
    ) -> None:
        self._optics, self._random, self.response = optics, random, response or Response()
        self._escape = np.array([silicon_escape_fraction(energy) for energy in CONTINUUM.tolist()])
        self._waiting: list[tuple[Array, Array]] = []
        self.look_at(lamella)

    def look_at(self, lamella: Lamella) -> None:
        """The lamella is another, such as one that was tilted."""
        self._lamella = lamella
        self.__dict__.pop("_emission", None)

    @cached_property
    def _emission(self) -> Emission:
        """Worked out when the beam first shines on it."""
        return Emission(self._lamella, self._optics, self.response)

    def photons(self, until: float) -> tuple[Array, Array]:
        """Clock times, s, and deposited energies, eV, of photons up to a time; each once, in order of time."""
        if not self._waiting:
            return np.empty(0), np.empty(0)
        times, energies = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        if np.any(times[1:] < times[:-1]):
            order = np.argsort(times, kind="stable")
            times, energies = times[order], energies[order]
        ready = int(np.searchsorted(times, until, side="right"))
        self._waiting = [(times[ready:], energies[ready:])] if ready < len(times) else []
        return times[:ready], energies[:ready]

    def expose(self, run: Exposed) -> None:
        """Make the photons of a run of pixels."""
        expected = self._emission.of(run)
        last = len(expected) - 1
        order = sorted(range(last), key=lambda number: -float(expected[number].sum()))  # those first that shine most
        edges = np.cumsum([expected[number] for number in (*order, last)], axis=0)
        reached = np.concatenate([[0.0], np.cumsum(edges[-1])]) * run.electrons
        count = int(self._random.poisson(reached[-1]))
        if count == 0:
            return
        # a Poisson process on the axis of expected counts: even there, ascending, and each falls into its pixel
        arrivals = np.cumsum(self._random.standard_exponential(count + 1))
        when = np.interp(
            arrivals[:-1] * (reached[-1] / arrivals[-1]), reached, np.arange(len(reached), dtype=np.float64)
        )
        when = np.minimum(when, np.nextafter(len(run.places), 0.0))
        for part in (when[first : first + _AT_A_TIME] for first in range(0, count, _AT_A_TIME)):
            energies = self._energies(part.astype(np.intp), edges, order, run.places)
            seen = np.flatnonzero(energies > 0.0)
            self._waiting.append((part[seen] * run.dwell + run.start, self._measured(energies[seen])))
        while len(self._waiting) > 1 and sum(len(part[0]) for part in self._waiting) > _UNHEARD:
            del self._waiting[0]

    def _energies(self, pixel: NDArray[np.intp], edges: Array, order: list[int], places: NDArray[np.intp]) -> Array:
        """Energy that each photon leaves in the crystal, eV; 0 where it never left the sample.

        pixel: of each.  edges: expected counts up to each family in this order, and to the continuum, (..., pixels).
        """
        energies = np.empty(len(pixel))
        drawn = self._random.random(len(pixel)) * edges[-1, pixel]
        rest, left = np.arange(len(pixel)), pixel  # photons whose source is yet to be found
        for edge, number in zip(edges, order, strict=False):
            here, family = drawn < edge[left], self._emission.families[number]
            mine, rest, left, drawn = rest[here], rest[~here], left[~here], drawn[~here]
            line = np.searchsorted(family.reached[:-1], self._random.random(len(mine)), side="right")
            energies[mine] = family.energies[line]
            if family.escape.any():
                self._let_escape(energies, mine, family.escape[line])
        fine = np.interp(self._random.random(len(rest)), self._emission.continuum, np.arange(len(CONTINUUM)))
        energies[rest] = np.interp(fine, np.arange(len(CONTINUUM)), CONTINUUM)
        coarse = np.rint(fine).astype(np.intp)
        self._let_escape(energies, rest, self._escape[coarse])
        kept = self._random.random(len(rest)) < self._emission.leaving(places[left], coarse)
        energies[rest[~kept]] = 0.0
        return energies

    def _let_escape(self, energies: Array, which: NDArray[np.intp], share: Array) -> None:
        """Some of these photons lose a silicon X-ray to the outside."""
        lost = which[self._random.random(len(which)) < share]
        energies[lost] += silicon_escape_energy(0.0)

    def _measured(self, energies: Array) -> Array:
        """What the crystal makes of what is left in it: charge comes in whole pairs."""
        spread = fwhm(energies, self._optics.eds_fwhm_mn) / FWHM
        return np.asarray(energies + spread * self._random.standard_normal(len(energies)))
