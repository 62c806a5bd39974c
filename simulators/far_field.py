"""The far field of a lamella: disk, halo and spots for every depth of what the beam goes through.

Electrons start somewhere in the cone of the probe and are deflected as often as chance has it: by single atoms, and by
the lattice where there is lithium metal. Deflections add up (plural scattering); what leaves the detector is lost.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.rigfile import Optics
from physics import elastic
from physics.electrons import gamma, wavelength
from physics.materials import material
from physics.units import parse
from simulators.constants import constants
from simulators.lamella import Lamella
from simulators.patterns import STEP, Array, Pattern

Spectrum = NDArray[np.complex128]

_WIDEST = 0.3  # rad; beyond, nothing is scattered
_FINE = np.linspace(0.0, _WIDEST, 6001)
_KEPT = 512  # patterns
_ORDERS = 6  # Miller indices looked at
_CONE = 25  # directions along a side of the cone that Bragg's condition is averaged over


class FarField:
    """The far field of one lamella: a pattern for every depth, by convolution of the probe's cone with deflections.

    shape: (rows, columns) of the detector.  angle: that a pixel spans, rad.  random: decides where the optical axis
    lies and how the lithium is turned.
    """

    def __init__(
        self,
        lamella: Lamella,
        optics: Optics,
        shape: tuple[int, int],
        angle: float,
        random: np.random.Generator,
        *,
        hidden_errors: bool,
    ) -> None:
        numbers = constants("camera")
        self._optics, self._shape, self._angle, self._random = optics, shape, angle, random
        off = random.uniform(-1.0, 1.0, 2) * float(numbers["off_centre"]) * hidden_errors
        self._waves = np.fft.fftfreq(2 * shape[0])[:, None], np.fft.rfftfreq(2 * shape[1])[None, :]
        blur = np.exp(-2.0 * (np.pi * float(numbers["spread"])) ** 2 * (self._waves[0] ** 2 + self._waves[1] ** 2))
        self._cone = np.fft.rfft2(self._disk(optics.convergence, off)) * blur
        depths, spectra = self._processes(lamella, numbers)
        self._depths = np.ascontiguousarray(np.column_stack([lamella.blurred(depth) for depth in depths.values()]))
        self._spectra = np.stack([spectra[name] for name in depths]) - 1.0
        self._column = {name: column for column, name in enumerate(depths)}
        self._patterns: OrderedDict[bytes, Pattern] = OrderedDict()

    @property
    def processes(self) -> int:
        """Ways of being scattered."""
        return len(self._column)

    def depths(self, places: NDArray[np.intp], left: Mapping[str, Array], ice: float) -> NDArray[np.int16]:
        """Mean scatterings at places of the lamella's grid, in steps of 0.005, (places, processes)."""
        depths = self._depths[places]
        for element, share in left.items():
            depths[:, self._column[element]] *= share
        depths[:, self._column["ice"]] *= ice
        return np.rint(depths / STEP).astype(np.int16)

    def expected(self, depths: NDArray[np.int16]) -> Array:
        """Share of the electrons that each pixel gets, (rows, columns), at a depth as in `Light`, (processes,)."""
        whole = np.fft.irfft2(self._cone * np.exp(np.tensordot(depths * STEP, self._spectra, 1)))
        rows, columns = self._shape
        seen = whole[rows // 2 : rows // 2 + rows, columns // 2 : columns // 2 + columns]
        above = np.maximum(seen, 0.0)  # a disk moved by part of a pixel rings a little
        return np.asarray(above * (seen.sum() / above.sum()))

    def pattern(self, depth: NDArray[np.int16]) -> Pattern:
        """Where electrons land at a depth; the last 512 are kept."""
        key = depth.tobytes()
        if key in self._patterns:
            self._patterns.move_to_end(key)
        else:
            self._patterns[key] = Pattern(self.expected(depth).ravel())
            if len(self._patterns) > _KEPT:
                self._patterns.popitem(last=False)
        return self._patterns[key]

    # --- what scatters

    def _processes(self, lamella: Lamella, numbers: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Spectrum]]:
        """Mean scatterings along the lamella's grid, and the spectrum of one deflection, by process."""
        k = _FINE / wavelength(self._optics.beam_energy)
        glass = _structure(numbers["amorphous"], k)
        metal = lamella.metal * material("Li").number_densities["Li"]
        depths: dict[str, Array] = {}
        spectra: dict[str, Spectrum] = {}
        for element, areal in lamella.areal.items():
            cross_section, spectra[element] = self._single(elastic.form_factor(element, k) ** 2 * glass)
            depths[element] = np.maximum(areal - metal * (element == "Li"), 0.0) * cross_section
        water = material("ice").number_densities
        per_metre = sum(density * elastic.form_factor(el, k) ** 2 for el, density in water.items())
        cross_section, spectra["ice"] = self._single(np.asarray(per_metre) * glass)
        depths["ice"] = lamella.inside * cross_section  # a metre of it
        still = _still(k, numbers["lithium"])
        cross_section, spectra["vibration"] = self._single(elastic.form_factor("Li", k) ** 2 * (1.0 - still**2))
        depths["vibration"] = metal * cross_section
        shares, places = self._bragg(lamella.thickness, numbers)
        turns = places[:, 0, None, None] * self._waves[0] + places[:, 1, None, None] * self._waves[1]
        spectra["lattice"] = np.tensordot(shares / shares.sum(), np.exp(-2j * np.pi * turns), 1)
        depths["lattice"] = lamella.metal / lamella.thickness * -math.log1p(-shares.sum())
        return depths, spectra

    def _single(self, squared: Array) -> tuple[float, Spectrum]:
        """Cross-section of a squared form factor (m^2 along `_FINE`), and the spectrum of its deflections."""
        per_steradian = gamma(self._optics.beam_energy) ** 2 * squared
        ring = per_steradian * _FINE
        reaching = np.concatenate([[0.0], np.cumsum(np.diff(_FINE) * np.pi * (ring[1:] + ring[:-1]))])
        rows, columns = (np.fft.fftfreq(2 * n, 1.0 / (2 * n)) for n in self._shape)
        deflection = np.hypot(rows[:, None], columns[None, :]) * self._angle
        widest = min(self._shape) * self._angle
        map_ = np.where(deflection < widest, np.interp(deflection, _FINE, per_steradian, right=0.0), 0.0)
        map_ *= np.interp(widest, _FINE, reaching) / reaching[-1] / map_.sum()
        return float(reaching[-1]), np.fft.rfft2(map_)

    def _bragg(self, thickness: float, numbers: Mapping[str, Any]) -> tuple[Array, Array]:
        """Share of the electrons in each reflection of the one grain, (n,), and where it lies, pixels, (n, 2).

        Two beams at a time (Reimer and Kohl, chapter 7), over the directions in the cone; together at most a half.
        """
        energy, cell = self._optics.beam_energy, parse(numbers["lithium"]["cell"], "length")
        length = wavelength(energy)
        order = np.arange(-_ORDERS, _ORDERS + 1)
        indices = np.stack(np.meshgrid(order, order), axis=-1).reshape(-1, 2)
        indices = indices[(indices.sum(axis=1) % 2 == 0) & indices.any(axis=1)]  # bcc
        turn, way = self._random.uniform(0.0, 2.0 * np.pi, 2)
        tilt = self._random.uniform(0.0, parse(numbers["tilt"], "angle"))
        g = indices / cell @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        size = np.hypot(g[:, 0], g[:, 1])
        factor = 2.0 * elastic.form_factor("Li", size) * _still(size, numbers["lithium"])
        strength = length * gamma(energy) * factor / (np.pi * cell**3)  # 1 / extinction distance
        side = np.linspace(-1.0, 1.0, _CONE) * self._optics.convergence
        cone = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
        cone = cone[np.hypot(cone[:, 0], cone[:, 1]) <= self._optics.convergence]
        error = (cone + tilt * np.array([np.cos(way), np.sin(way)])) @ g.T - length * size**2 / 2.0
        beating = np.hypot(error, strength)
        share = np.mean((strength / beating * np.sin(np.pi * thickness * beating)) ** 2, axis=0)
        return share * min(1.0, 0.5 / share.sum()), g * length / self._angle

    def _disk(self, convergence: float, off: Array) -> Array:
        """The disk of a probe that met nothing, of sum 1, on twice the detector; edges are smooth to a fifth pixel."""
        rows, columns = self._shape
        fine = (np.arange(5) - 2.0) / 5.0
        y, x = (np.arange(2 * n) - (n // 2 + (n - 1) / 2.0) - o for n, o in zip((rows, columns), off, strict=True))
        parts = [np.hypot((y + a)[:, None], (x + b)[None, :]) * self._angle <= convergence for a in fine for b in fine]
        disk = np.sum(parts, axis=0, dtype=np.float64)
        return np.asarray(disk / disk.sum())


def _structure(numbers: Mapping[str, Any], k: Array) -> Array:
    """Structure factor of something amorphous: nothing at the smallest k, a first peak, then single atoms; k in 1/m."""
    inverse = k * 1e-10
    peak = (inverse - 1e-10 / parse(numbers["spacing"], "length")) / numbers["width"]
    return np.asarray(-np.expm1(-((inverse / numbers["low"]) ** 2)) + numbers["height"] * np.exp(-(peak**2) / 2.0))


def _still(k: Array, lithium: Mapping[str, Any]) -> Array:
    """Amplitude that vibration leaves to the lattice: exp(-B k^2 / 4), of k in 1/m."""
    return np.asarray(np.exp(-float(lithium["vibration"]) * (k * 1e-10) ** 2 / 4.0))
