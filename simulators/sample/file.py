"""The sample file: what is really there, layer by layer, in the simulated sample."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from drivers.rigfile import Strict
from physics import damage, materials
from physics.quantities import Fluence, Fraction, Kelvin, Pascals, Seconds
from simulators.sample.stack import (
    Contact,
    Crystals,
    Film,
    Implanted,
    Interphase,
    Layer,
    Length,
    Thickness,
    Wedge,
    positive,
)

SHIPPED = Path(__file__).parents[1] / "samples"
_PER_NM3 = 1e27
_ROUNDING = 1e-9  # of the densest element: a matrix this little below zero is rounding


class SampleError(ValueError):
    """The sample file cannot be read, or describes what cannot be; says where."""


class _Misplaced(ValueError):
    """A fault between several keys, with the key to point at."""

    def __init__(self, what: str, at: tuple[str | int, ...]) -> None:
        super().__init__(what)
        self.at = at


class Loss(Strict):
    """Something leaves under the beam: critical fluence (1/e) at 300 kV and 100 K, and where the number is from.

    warm_divisor: by how much it is smaller at 295 K; left out: that of physics/data/damage.yaml.
    """

    critical: Annotated[Fluence, AfterValidator(positive)]
    source: str
    warm_divisor: Annotated[float, AfterValidator(positive)] | None = None

    def fluence(self, beam_energy: float, temperature: float) -> float:
        """Critical fluence, m^-2, of electrons of an energy (eV) at a temperature (K)."""
        return damage.critical_fluence(self.critical, beam_energy, temperature, self.warm_divisor)


class FalseCrystals(Loss):
    """Crystals that the beam makes in the electrolyte: of full growth all but 1/e is there after the critical fluence.

    volume_fraction: of the electrolyte once they are all there.
    """

    radius: tuple[Length, Length]
    volume_fraction: Fraction


class Deposit(Strict):
    """Carbon that the beam cracks where it dwells: thickness on both faces together when no more comes.

    fluence: after which all but 1/e of it is there.
    """

    thickness: Length
    fluence: Annotated[Fluence, AfterValidator(positive)]
    source: str

    def grown(self, fluence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Thickness, m, after fluences, m^-2."""
        return damage.grown(fluence, self.fluence) * self.thickness


class Damage(Strict):
    """What the beam does to the sample: by element, by phase of a crystal, and by phase that it makes itself.

    What is not named is not damaged, and does not grow.
    """

    loss: Mapping[str, Loss]
    lattice: Mapping[str, Loss] = {}
    growth: Mapping[str, FalseCrystals] = {}
    carbon: Deposit | None = None


class DriftOfTheHolder(Strict):
    """per_hour: steady drift in an hour.  settling: added to it in all after first light, with settling_time (1/e)."""

    per_hour: Length
    settling: Length
    settling_time: Annotated[Seconds, AfterValidator(positive)]


class Environment(Strict):
    """Lamella and surroundings.

    lamella_thickness: between parallel faces, or else a wedge.  lithium_shell: Li2O on each face of metallic lithium
    (or a range that the seed draws it from), part of it (shell_crystals, a share) as nanocrystals with radii within
    shell_radius.  carbon, copper: films that
    stand for contamination and for electrons scattered into the grid.  gallium: ions that stayed in both faces.
    platinum: film that lies on the lamella where it was used for cutting it.  window_ice: on the EDS detector.
    shielding: share of water molecules the cold shields let through.  contact_drop: how much warmer than the stage the
    lamella is.
    """

    lamella_thickness: Thickness | None = None
    wedge: Wedge | None = None
    lithium_shell: Length | tuple[Length, Length]
    shell_crystals: Fraction
    shell_radius: tuple[Thickness, Thickness]
    carbon: Length
    copper: Length
    gallium: Implanted
    platinum: Length
    window_ice: Length
    water_pressure: Pascals
    shielding: Fraction
    contact_drop: Kelvin
    drift: DriftOfTheHolder

    @property
    def cut(self) -> Wedge:
        """Thickness of the lamella from place to place."""
        if self.lamella_thickness is None and self.wedge is not None:
            return self.wedge
        flat = self.lamella_thickness or 0.0
        return Wedge.model_construct(thin=flat, thick=flat, start=0.0, end=1.0)

    @property
    def shell(self) -> float:
        """Li2O on each face of metallic lithium, m; the middle of its range where none was drawn from it."""
        return float(np.mean(self.lithium_shell))

    @model_validator(mode="after")
    def _one_thickness(self) -> Environment:
        if (self.lamella_thickness is None) == (self.wedge is None):
            raise ValueError("give the lamella a `lamella_thickness` or a `wedge`, one of the two")
        return self


class Sample(Strict):
    """The whole sample. x runs along the film normal; x = 0 at the near side of the interphase, or first contact.

    contact: how the interface lies where there is no interphase to say so.
    """

    name: str
    source: str
    stack: tuple[Layer, ...]
    contact: Contact = Contact()
    damage: Damage
    environment: Environment

    def drawn(self, random: np.random.Generator) -> Sample:
        """The sample with an oxide shell drawn from the range of the file, if it gives a range."""
        shell = float(random.uniform(*np.broadcast_to(self.environment.lithium_shell, 2)))
        return self.model_copy(update={"environment": self.environment.model_copy(update={"lithium_shell": shell})})

    @property
    def interphase(self) -> Interphase | None:
        """The interphase, or None where the contact is abrupt."""
        return next((layer for layer in self.stack if isinstance(layer, Interphase)), None)

    @property
    def interface(self) -> Contact:
        """How the interface lies, with an interphase or without."""
        return self.interphase or self.contact

    @property
    def middle(self) -> float:
        """x of the middle of the interphase (0 where there is none), m."""
        return self.interphase.thickness / 2.0 if self.interphase else 0.0

    def bounds(self) -> NDArray[np.float64]:
        """x of the surface, of every contact and of the far end, m, shape (layers + 1,)."""
        edges = np.concatenate([[0.0], np.cumsum([layer.thickness for layer in self.stack])])
        zero = next((i for i, layer in enumerate(self.stack) if isinstance(layer, Interphase)), 1)
        return np.asarray(edges - edges[zero])

    def elements(self) -> tuple[str, ...]:
        """All elements of the layers, sorted."""
        films = [layer.material for layer in self.stack if isinstance(layer, Film)]
        return tuple(sorted({element for name in films for element in materials.material(name).number_densities}))

    def atoms(self, x: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Atoms of each element per m^3, crystals and matrix together, at places x, m; none in the vacuum around."""
        bounds = self.bounds()
        found = {element: np.zeros_like(x) for element in self.elements()}
        for index, layer in enumerate(self.stack):
            inside = (x >= bounds[index]) & (x < bounds[index + 1])
            for element, values in found.items():
                if isinstance(layer, Film):
                    values[inside] = _density(layer, element)
                else:
                    before, after = (_density(self.stack[index + step], element) for step in (-1, 1))
                    values[inside] = before + (after - before) * layer.ramp(element, x[inside])
        return found

    def metallic_lithium(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the column that is lithium metal, which oxidises at its faces; in the interphase what O left."""
        bounds, share = self.bounds(), np.zeros_like(x)
        for index, layer in enumerate(self.stack):
            inside = (x >= bounds[index]) & (x < bounds[index + 1])
            if isinstance(layer, Film):
                share[inside] = float(layer.material == "Li")
            elif _is_film(self.stack[index - 1], "Li"):
                share[inside] = 1.0 - layer.ramp("O", x[inside])
        return share

    @model_validator(mode="after")
    def _possible(self) -> Sample:
        if len(self.stack) < 2:
            raise _Misplaced("the stack needs at least two layers", ("stack",))
        layers = [index for index, layer in enumerate(self.stack) if isinstance(layer, Interphase)]
        if len(layers) > 1:
            raise _Misplaced("there can be one interphase only", ("stack", layers[1]))
        if layers and not 0 < layers[0] < len(self.stack) - 1:
            raise _Misplaced("the interphase must lie between two layers", ("stack", layers[0]))
        if layers:
            self._matrix_left(layers[0])
        return self

    def _matrix_left(self, index: int) -> None:
        """Refuse crystals that hold more of an element than the ramps give; totals are linear between the breaks."""
        layer = self.stack[index]
        assert isinstance(layer, Interphase)
        breaks = {0.0, layer.thickness, *(end for ramp in layer.ramps.values() for end in ramp)}
        breaks |= {end for crystals in layer.crystals for end in (crystals.start, crystals.end)}
        ordered = np.array(sorted(breaks))
        totals = self.atoms(np.minimum(ordered, np.nextafter(layer.thickness, 0.0)))
        for left, right in zip(range(len(ordered) - 1), range(1, len(ordered)), strict=True):
            middle = (ordered[left] + ordered[right]) / 2.0
            here = [(i, c) for i, c in enumerate(layer.crystals) if c.start < middle < c.end]
            for end in (left, right):
                held = {element: [(i, c.volume_fraction * _held(c, element)) for i, c in here] for element in totals}
                for element, parts in held.items():
                    rest = totals[element][end] - sum(part for _, part in parts)
                    if rest < -_ROUNDING * totals[element].max():
                        raise _Misplaced(
                            f"the amorphous matrix would hold {rest / _PER_NM3:.3g} {element}/nm^3 at "
                            f"x = {ordered[end] * 1e9:g} nm: the crystals hold more {element} than its ramp gives. "
                            "Lower their volume fraction or start them further in",
                            ("stack", index, "crystals", max(parts, key=lambda part: part[1])[0]),
                        )
        if sum(c.volume_fraction for c in layer.crystals) > 1.0:
            raise _Misplaced("the crystals fill more than the whole volume", ("stack", index, "crystals"))


def sample_file(source: str | Path) -> Path:
    """The file of a sample: a path, or the name of a shipped sample; raises SampleError when there is none."""
    path = SHIPPED / f"{source}.yaml"
    if not path.is_file():
        path = Path(source)
    if not path.is_file():
        shipped = ", ".join(sorted(found.stem for found in SHIPPED.glob("*.yaml")))
        raise SampleError(f'there is no sample file "{source}", nor a shipped sample of that name ({shipped})')
    return path


def load_sample(source: str | Path) -> Sample:
    """Read a sample file: a path, or the name of a shipped sample such as "li-lipon".

    Blocks `damage` and `environment`, or keys of theirs, that are left out are those of the shipped Li/LiPON sample.
    Raises SampleError with file, line and column.
    """
    path = sample_file(source)
    tree = _tree(path)
    usual = _tree(SHIPPED / "li-lipon.yaml")
    filled = dict(tree)
    for block in ("damage", "environment"):
        given = tree.get(block, {})
        filled[block] = {**usual[block], **given} if isinstance(given, Mapping) else given
    if "lamella_thickness" in tree.get("environment", {}) and "wedge" not in tree["environment"]:
        filled["environment"].pop("wedge", None)
    try:
        return Sample.model_validate(filled, context={"typed": True})
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        at = cause.at if isinstance(cause, _Misplaced) else first["loc"]
        what = str(cause) if cause is not None else f"{'.'.join(map(str, at))}: {first['msg']}"
        raise SampleError(f"{path.name} {_place(tree, at)}: {what}") from error


def _tree(path: Path) -> Any:
    try:
        tree = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise SampleError(f"{path.name}{place}: {error.problem}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise SampleError(f"{path.name}: {error}") from error
    if not isinstance(tree, Mapping):
        raise SampleError(f"{path.name} line 1: a sample file is a mapping of keys to values")
    return tree


def _place(tree: Any, at: tuple[str | int, ...]) -> str:
    """Line and column of the deepest key on the way that the file really holds."""
    line, column, node = 0, 0, tree
    position = attrgetter("lc")  # of ruamel's mappings and lists
    for key in at:
        if isinstance(node, Mapping) and key in node:
            line, column = position(node).value(key)
        elif isinstance(node, list) and isinstance(key, int) and key < len(node):
            line, column = position(node).item(key)
        else:
            continue
        node = node[key]
    return f"line {line + 1}, column {column + 1}"


def _density(layer: Film | Interphase, element: str) -> float:
    assert isinstance(layer, Film)
    return float(materials.material(layer.material).number_densities.get(element, 0.0))


def _is_film(layer: Film | Interphase, material: str) -> bool:
    return isinstance(layer, Film) and layer.material == material


def _held(crystals: Crystals, element: str) -> float:
    return float(materials.material(crystals.phase).number_densities.get(element, 0.0))
