"""The matter of the lamella: its crystals one by one, and what a parallel beam goes through in a window of it.

Crystals are placed tile by tile when somebody looks there, each tile from a stream of its own, so that a seed has the
same crystals in whatever order it is looked at. Compositions are means: the glass between the crystals holds what the
ramps leave on average, and a column with more crystals than usual has less of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from physics.damage import grown, surviving
from physics.materials import material
from physics.units import parse
from simulators.constants import constants
from simulators.sample.composition import Composition, Means
from simulators.sample.file import Sample
from simulators.sample.placing import Grains, Placed, keep_off, mean_volume, stream, together, turns
from simulators.sample.scene import CrystalFilm, Crystals, Scene, Window
from simulators.sample.slab import Slab

Array = NDArray[np.float64]
Received = Callable[[Array, Array], Array]

CELL = 1e-9  # m, of a scene
_STREAM = 14
_INTERPHASE, _SHELL, _GROWN, _GRAINS, _GLASS = range(5)  # what the streams draw
_ROW = 64e-9  # m of the interface that are filled with crystals at a time
_PLATE = 128e-9  # m, side of a tile of the faces and of the electrolyte
_DEPTH = 4e-9  # m between the depths at which a column is looked at


@dataclass(frozen=True)
class _Group:
    """Crystals of one origin in the frame of the beam; phases: that `placed.kind` counts in."""

    phases: tuple[str, ...]
    placed: Placed
    left: Array


class Matter:
    """What the lamella of one seed is made of.

    beam_energy: of the electrons that damage it, eV. Everything is asked for in the frame of the beam (scene.py) under
    a tilt, rad; `fluence(x, y)` gives the m^-2 received at places of the lamella's own frame, m.
    """

    def __init__(self, sample: Sample, slab: Slab, seed: int, beam_energy: float) -> None:
        self._sample, self._slab, self._seed, self._energy = sample, slab, seed, beam_energy
        self._entries = sample.interphase.crystals if sample.interphase else ()
        self._false = tuple(sample.damage.growth)
        self._tiles: dict[tuple[int, ...], Placed] = {}
        self._grains: dict[str, Grains] = {}

    @cached_property
    def _composition(self) -> Composition:
        return Composition(self._sample)

    @property
    def phases(self) -> tuple[str, ...]:
        """All that its nanocrystals may be of."""
        return tuple(sorted({"Li2O", *(entry.phase for entry in self._entries), *self._false}))

    def crystals(self, window: Window, tilt: float, fluence: Received, temperature: float = 100.0) -> Crystals:
        """All nanocrystals that reach into a window; temperature: of the lamella, K, which decides what fades."""
        return _as_one(self._groups(window, tilt, fluence, temperature))

    def scene(self, window: Window, tilt: float, fluence: Received, ice: float, temperature: float) -> Scene:
        """What a parallel beam goes through in a window; ice: on both faces together, m.  temperature: K."""
        columns, rows = (max(int(np.ceil(side / CELL - 1e-6)), 1) for side in window.size)
        x = self._slab.met(window.corner[0] + (np.arange(columns, dtype=np.float64) + 0.5) * CELL, tilt)
        y = window.corner[1] + (np.arange(rows, dtype=np.float64) + 0.5) * CELL
        met, along = np.broadcast_to(x, (rows, columns)), np.broadcast_to(y[:, None], (rows, columns))
        received = fluence(met.ravel(), along.ravel()).reshape(met.shape)
        groups = self._groups(window, tilt, fluence, temperature)
        nano, shell = (_paths(group.placed, window, met.shape) for group in groups[:2])
        means, secant = self._means(met, y, tilt), 1.0 / np.cos(tilt)
        body = self._slab.cut.at(y)[:, None] * means.inside * secant
        surroundings = self._sample.environment
        oxide = 2.0 * surroundings.shell * means.metallic * secant
        # of a column with as many crystals as usual, all that is neither oxide
        room = np.maximum(body - oxide - nano, 0.0) / np.maximum(1.0 - means.crystals, 1e-3)
        glass = {element: density * room for element, density in means.glass.items()}
        for index, phase in enumerate(groups[2].phases):  # what the beam made holds atoms that the glass held before
            path = _paths(groups[2].placed.where(groups[2].placed.kind == index), window, met.shape)
            for element, density in material(phase).number_densities.items():
                glass[element] = np.maximum(glass[element] - density * path, 0.0)
        for element, loss in self._sample.damage.loss.items():
            if element in glass:
                glass[element] = glass[element] * surviving(received, loss.fluence(self._energy, temperature))
        carbon = np.full(met.shape, surroundings.carbon)
        if self._sample.damage.carbon is not None:
            carbon += self._sample.damage.carbon.grown(received)
        faces = means.inside * secant
        depths = {"C": carbon * faces, "ice": faces * ice, "Pt": faces * surroundings.platinum}
        depths["Li2O"] = (1.0 - surroundings.shell_crystals) * oxide
        for name, depth in depths.items():
            for element, density in material(name).number_densities.items():
                glass[element] = glass.get(element, 0.0) + density * depth
        glass["Ga"] = surroundings.gallium * faces
        films: list[CrystalFilm] = []
        for phase, share in means.films.items():
            more = shell - surroundings.shell_crystals * oxide if phase == "Li" else 0.0  # oxide that dug into it
            films += self._films(phase, np.maximum(share * room - more, 0.0), met, along, tilt, received, temperature)
        return Scene(
            window=window,
            cell=CELL,
            thickness=body,
            glass={element: atoms for element, atoms in sorted(glass.items()) if np.any(atoms > 0.0)},
            films=tuple(films),
            crystals=_as_one(groups),
            temperature=temperature,
            key=(self._seed, _STREAM, _GLASS),
        )

    def grains(self, phase: str, x: Array, y: Array, tilt: float) -> tuple[NDArray[np.intp], Array]:
        """Which grain of a film stands at places of the lamella's frame, m, as x, and the turns of those met."""
        if phase not in self._grains:
            size = parse(constants("matter")["grains"][phase], "length")
            self._grains[phase] = Grains(size, (self._seed, _STREAM, _GRAINS, sum(phase.encode())))
        grain, orientations = self._grains[phase].of(x, y)
        return grain, _turned(orientations, tilt)

    def left(self, phase: str, received: Array, temperature: float) -> Array:
        """What so many m^-2 at a temperature, K, left of the amplitude of a lattice."""
        loss = self._sample.damage.lattice.get(phase)
        if loss is None:
            return np.ones_like(received)
        return surviving(received, loss.fluence(self._energy, temperature))

    # --- crystals

    def _groups(self, window: Window, tilt: float, fluence: Received, temperature: float) -> tuple[_Group, ...]:
        """Crystals of the interphase, of the lithium's shell, and of what the beam made, that reach into a window."""
        largest = max(
            [
                self._sample.environment.shell_radius[1],
                *(entry.radius[1] for entry in self._entries),
                *(kind.radius[1] for kind in self._sample.damage.growth.values()),
            ]
        )
        low, high = window.corner[1] - largest, window.corner[1] + window.size[1] + largest
        groups = []
        for origin, phases in (
            (_INTERPHASE, tuple(entry.phase for entry in self._entries)),
            (_SHELL, ("Li2O",)),
            (_GROWN, self._false),
        ):
            reach = self._reach(window, largest, tilt)
            if origin == _INTERPHASE:
                tiles = [self._row(row) for row in range(int(low // _ROW), int(high // _ROW) + 1)]
            else:
                across = range(int(reach[0] // _PLATE), int(reach[1] // _PLATE) + 1)
                along = range(int(low // _PLATE), int(high // _PLATE) + 1)
                tiles = [self._plate(origin, column, row) for column in across for row in along]
            groups.append(self._seen(together(tiles), phases, origin, window, tilt, fluence, temperature))
        return tuple(groups)

    def _seen(
        self,
        film: Placed,
        phases: tuple[str, ...],
        origin: int,
        window: Window,
        tilt: float,
        fluence: Received,
        temperature: float,
    ) -> _Group:
        """Crystals in the frame of the film as the beam meets them, those that reach into the window."""
        x, y, z = film.centre.T
        x, z = self._slab.seen(x + self._slab.offset(y, z), z, tilt)
        inside = np.ones(len(film), np.bool_)
        for place, first, side in ((x, window.corner[0], window.size[0]), (y, window.corner[1], window.size[1])):
            inside &= (place + film.radius > first) & (place - film.radius < first + side)
        centre, film = np.column_stack([x, y, z])[inside], film.where(inside)
        received = fluence(self._slab.met(centre[:, 0], tilt), centre[:, 1])
        left = np.ones(len(film))
        there = np.ones(len(film), np.bool_)
        for index, phase in enumerate(phases):
            mine = film.kind == index
            if origin == _GROWN:  # what the beam makes it also keeps
                critical = self._sample.damage.growth[phase].fluence(self._energy, temperature)
                there[mine] = grown(received[mine], critical) > film.chance[mine, 1]
            else:
                left[mine] = self.left(phase, received[mine], temperature)
        turn = _turned(film.turn, tilt)
        return _Group(phases, Placed(film.kind, centre, film.radius, turn, film.chance).where(there), left[there])

    def _reach(self, window: Window, largest: float, tilt: float) -> tuple[float, float]:
        """Least and greatest x of the film that a window may show."""
        half = self._slab.cut.thick / 2.0
        beside = half * abs(np.tan(tilt) - np.tan(self._slab.inclination)) + largest / np.cos(tilt)
        beside += float(np.abs(self._slab.relief.surface).max())
        ends = self._slab.met(np.array([window.corner[0], window.corner[0] + window.size[0]]), tilt)
        return float(ends[0] - beside), float(ends[1] + beside)

    def _row(self, row: int) -> Placed:
        """Crystals of the interphase between two places along it; those of odd rows keep off the even ones beside."""
        key = (_INTERPHASE, row)
        if key not in self._tiles:
            random = stream(self._seed, _STREAM, *key)
            edges = row * _ROW + np.linspace(0.0, _ROW, 17)
            volume = float(np.mean(self._slab.cut.at(edges))) * _ROW
            counts = []
            for entry in self._entries:
                mean = entry.volume_fraction * volume * (entry.end - entry.start) / mean_volume(entry.radius)
                counts.append(int(mean + random.random()))
            kind = np.repeat(np.arange(len(counts)), counts)
            ends = np.array([entry.radius for entry in self._entries]).reshape(-1, 2)[kind]
            layers = np.array([(entry.start, entry.end) for entry in self._entries]).reshape(-1, 2)[kind]
            radius = random.uniform(ends[:, 0], ends[:, 1])

            def again(which: NDArray[np.intp]) -> Array:
                y = row * _ROW + random.random(len(which)) * _ROW
                depth = np.maximum(self._slab.cut.at(y) / 2.0 - radius[which], 0.0)
                middle = layers[which].mean(axis=1)
                room = np.maximum(np.diff(layers[which], axis=1)[:, 0] / 2.0 - radius[which], 0.0)
                x, z = (random.uniform(-1.0, 1.0, len(which)) for _ in range(2))
                return np.column_stack([middle + room * x, y, depth * z])

            every = np.arange(len(kind))
            placed = Placed(kind, again(every), radius, turns(len(kind), random), random.random((len(kind), 2)))
            beside = together([self._row(row - 1), self._row(row + 1)] if row % 2 else [])
            near = np.abs(beside.centre[:, 1] - (row + 0.5) * _ROW) < _ROW / 2.0 + 2.0 * radius.max(initial=0.0)
            self._tiles[key] = keep_off(placed, beside.where(near), again)
        return self._tiles[key]

    def _plate(self, origin: int, column: int, row: int) -> Placed:
        """Crystals on both faces, or those that the beam may yet make in the electrolyte, on a square of the film."""
        key = (origin, column, row)
        if key not in self._tiles:
            strewn = self._strewn(origin, column, row) if self._any(origin, column) else together([])
            means = self._composition.at(strewn.centre[:, 0])
            share = means.metallic if origin == _SHELL else means.electrolyte
            self._tiles[key] = strewn.where(strewn.chance[:, 0] < share)
        return self._tiles[key]

    def _any(self, origin: int, column: int) -> bool:
        """Whether there is lithium, or electrolyte, anywhere in a column of squares."""
        means = self._composition.at(np.linspace(column, column + 1.0, 300) * _PLATE)
        return bool(np.any((means.metallic if origin == _SHELL else means.electrolyte) > 0.0))

    def _strewn(self, origin: int, column: int, row: int) -> Placed:
        random, environment = stream(self._seed, _STREAM, origin, column, row), self._sample.environment
        radii, numbers = [environment.shell_radius], []
        if origin == _SHELL:
            volume = 2.0 * environment.shell * _PLATE**2 * environment.shell_crystals
            numbers.append(volume / mean_volume(environment.shell_radius))
        else:
            radii = [kind.radius for kind in self._sample.damage.growth.values()]
            thickness = float(np.mean(self._slab.cut.at((row + np.linspace(0.0, 1.0, 17)) * _PLATE)))
            for kind in self._sample.damage.growth.values():
                numbers.append(kind.volume_fraction * thickness * _PLATE**2 / mean_volume(kind.radius))
        which = np.repeat(np.arange(len(numbers)), [int(number + random.random()) for number in numbers])
        ends = np.array(radii).reshape(-1, 2)[which]
        radius = random.uniform(ends[:, 0], ends[:, 1])
        x, y, z = random.random((3, len(which)))
        x, y = (column + x) * _PLATE, (row + y) * _PLATE
        deepest = np.maximum(self._slab.cut.at(y) / 2.0 - radius, 0.0)
        depth = np.sign(z - 0.5) * deepest if origin == _SHELL else (2.0 * z - 1.0) * deepest
        chance = random.random((len(which), 2))
        return Placed(which, np.column_stack([x, y, depth]), radius, turns(len(which), random), chance)

    # --- columns

    def _means(self, met: Array, y: Array, tilt: float) -> Means:
        """Means over the depth of columns; met: x in the middle of the slab, (rows, columns).  y: of the rows, m."""
        thickness = self._slab.cut.at(y)
        count = max(int(np.ceil(float(thickness.max()) / _DEPTH)), 1)

        def depths() -> Iterator[Array]:
            for part in (np.arange(count) + 0.5) / count - 0.5:
                z = part * thickness
                yield met + (z * np.tan(tilt) - self._slab.offset(y, z))[:, None]

        return self._composition.mean(depths())

    def _films(
        self, phase: str, depth: Array, met: Array, y: Array, tilt: float, received: Array, temperature: float
    ) -> list[CrystalFilm]:
        """The grains of a film, one by one."""
        if not np.any(depth > 0.0):
            return []
        grain, turn = self.grains(phase, met, y, tilt)
        left = self.left(phase, received, temperature)
        found = [CrystalFilm(phase, turn[one], depth * (grain == one), left) for one in range(len(turn))]
        return [film for film in found if np.any(film.depth > 0.0)]


def _turned(turn: Array, tilt: float) -> Array:
    """Turns of the lamella's frame in that of the beam, as of Slab.seen."""
    cosine, sine = np.cos(tilt), np.sin(tilt)
    return np.asarray(np.array([[cosine, 0.0, -sine], [0.0, 1.0, 0.0], [sine, 0.0, cosine]]) @ turn)


def _as_one(groups: tuple[_Group, ...]) -> Crystals:
    phases = tuple(sorted({phase for group in groups for phase in group.phases}))
    every = together([group.placed for group in groups])
    kinds = [np.array([phases.index(p) for p in group.phases], np.intp)[group.placed.kind] for group in groups]
    left = np.concatenate([group.left for group in groups])
    return Crystals(phases, np.concatenate(kinds), every.centre, every.radius, every.turn, left)


def _paths(placed: Placed, window: Window, shape: tuple[int, ...]) -> Array:
    """Depth of spheres along the beam in the cells of a window, m; each sphere keeps its volume on whole cells."""
    rows, columns = shape
    if len(placed) == 0:
        return np.zeros(shape)
    reach = int(np.ceil(float(placed.radius.max()) / CELL)) + 1
    beside = np.arange(-reach, reach + 1)
    column = np.floor((placed.centre[:, 0] - window.corner[0]) / CELL).astype(np.intp)[:, None] + beside
    row = np.floor((placed.centre[:, 1] - window.corner[1]) / CELL).astype(np.intp)[:, None] + beside
    off_x = window.corner[0] + (column + 0.5) * CELL - placed.centre[:, :1]
    off_y = window.corner[1] + (row + 0.5) * CELL - placed.centre[:, 1:2]
    chord = placed.radius[:, None, None] ** 2 - off_y[:, :, None] ** 2 - off_x[:, None, :] ** 2
    chord = 2.0 * np.sqrt(np.maximum(chord, 0.0))
    volume = 4.0 / 3.0 * np.pi * placed.radius**3 / CELL**2
    chord *= (volume / np.maximum(chord.sum(axis=(1, 2)), 1e-12))[:, None, None]
    within = (
        (row[:, :, None] >= 0) & (row[:, :, None] < rows) & (column[:, None, :] >= 0) & (column[:, None, :] < columns)
    )
    place = (row[:, :, None] * columns + column[:, None, :])[within]
    return np.asarray(np.bincount(place, chord[within], rows * columns).reshape(shape), np.float64)
