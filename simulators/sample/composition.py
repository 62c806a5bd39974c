"""What the film is made of on average at each depth: glass, crystalline films, and how much of it nanocrystals fill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physics.materials import material
from simulators.constants import constants
from simulators.sample.file import Sample
from simulators.sample.placing import share_along
from simulators.sample.stack import Film

Array = NDArray[np.float64]

STEP = 0.5e-9  # m
_BEYOND = 20e-9  # m of vacuum kept at either end of the stack
_REACH = 6e-6  # m from the interface; beyond, it goes on as it ends
# what the electrolyte is told by
_MARK = "P"


@dataclass(frozen=True)
class Means:
    """Means over the depth of columns of the lamella, all of one shape.

    glass: element -> amorphous atoms per m^3 of the whole.  films: phase -> share of the volume that is film.
    crystals: that is nanocrystals.  metallic: that is lithium which oxidises at its faces.  electrolyte: 1 where it
    is, 0 in what it has not reached.  inside: 1 in the sample, 0 beside it.
    """

    glass: Mapping[str, Array]
    films: Mapping[str, Array]
    crystals: Array
    metallic: Array
    electrolyte: Array
    inside: Array


class Composition:
    """The profile of one sample along the film normal."""

    def __init__(self, sample: Sample) -> None:
        bounds = sample.bounds()
        self._origin = max(float(bounds[0]) - _BEYOND, -_REACH)
        x = np.arange(self._origin, min(float(bounds[-1]) + _BEYOND, _REACH), STEP)
        total = sample.atoms(x)
        metallic, crystals = sample.metallic_lithium(x), np.zeros_like(x)
        if sample.interphase is not None:
            for entry in sample.interphase.crystals:
                share = entry.volume_fraction * share_along(x, entry.start, entry.end, entry.radius)
                crystals += share
                for element, density in material(entry.phase).number_densities.items():
                    total[element] = total[element] - share * density
        grained = constants("matter")["grains"]
        films: dict[str, Array] = {}
        for layer, start, end in zip(sample.stack, bounds, bounds[1:], strict=False):
            if isinstance(layer, Film) and layer.material in grained:
                films.setdefault(layer.material, np.zeros_like(x))[(x >= start) & (x < end)] = 1.0
        if "Li" in films:  # and what is metal yet in the interphase, as far as there is lithium for it
            left = np.minimum(1.0 - crystals, total["Li"] / material("Li").number_densities["Li"])
            films["Li"] = np.minimum(np.maximum(films["Li"], metallic), np.maximum(left, 0.0))
        for phase, share in films.items():
            for element, density in material(phase).number_densities.items():
                total[element] = total[element] - share * density
        self.least = {element: float(left.min()) for element, left in total.items()}
        electrolyte = sample.atoms(x).get(_MARK, np.zeros_like(x)) / material("LiPON").number_densities[_MARK]
        inside = ((x >= bounds[0]) & (x < bounds[-1])).astype(np.float64)
        self._elements, self._films = tuple(total), tuple(films)
        glass = [np.maximum(total[element], 0.0) for element in self._elements]
        columns = [*glass, *films.values(), crystals, metallic, np.clip(electrolyte, 0.0, 1.0), inside]
        self._table = np.ascontiguousarray(np.column_stack(columns))

    def at(self, x: Array) -> Means:
        """What is at depths x, m."""
        return self.mean([x])

    def mean(self, depths: Iterable[Array]) -> Means:
        """Means over sets of depths x, m, of one shape each."""
        count, summed = 0, np.zeros(())
        for x in depths:
            place = np.clip(((x - self._origin) / STEP + 0.5).astype(np.intp), 0, len(self._table) - 1)
            summed = summed + self._table[place]
            count += 1
        columns = list(np.moveaxis(summed / count, -1, 0))
        elements, films = len(self._elements), len(self._films)
        return Means(
            dict(zip(self._elements, columns[:elements], strict=True)),
            dict(zip(self._films, columns[elements : elements + films], strict=True)),
            *columns[elements + films :],
        )
