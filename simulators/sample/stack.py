"""The layers of a sample: films, and the interphase between two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from drivers.rigfile import Strict
from physics import materials
from physics.quantities import Fraction, IonFluence, Metres, Radians


def _known(name: str) -> str:
    materials.material(name)
    return name


def positive(value: float) -> float:
    """The value, if it is more than zero; ValueError otherwise."""
    if not value > 0.0:
        raise ValueError("must be more than zero")
    return value


def _not_negative(value: float) -> float:
    if not value >= 0.0:
        raise ValueError("must not be negative")
    return value


MaterialName = Annotated[str, AfterValidator(_known)]
Thickness = Annotated[Metres, AfterValidator(positive)]
Length = Annotated[Metres, AfterValidator(_not_negative)]
Implanted = Annotated[IonFluence, AfterValidator(_not_negative)]


class Film(Strict):
    """A layer of one material."""

    layer: str
    thickness: Thickness
    material: MaterialName


class Crystals(Strict):
    """Nanocrystals of one phase, spread evenly between two depths of the interphase."""

    phase: MaterialName
    start: Length = Field(alias="from")
    end: Length = Field(alias="to")
    radius: tuple[Length, Length]
    volume_fraction: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> Crystals:
        if not (self.start < self.end and self.radius[0] <= self.radius[1] and 0.0 <= self.volume_fraction <= 1.0):
            raise ValueError(
                "`from` must lie before `to`, the smaller radius first, the volume fraction within 0 and 1"
            )
        return self


class Contact(Strict):
    """How the interface lies in the as-cut lamella.

    inclination: to edge-on, or a range that the seed draws it from.  roughness: rms.  correlation: length along it.
    """

    inclination: Radians | tuple[Radians, Radians] = 0.0
    roughness: Length = 0.0
    correlation: Thickness = 20e-9

    def lean(self, random: np.random.Generator) -> float:
        """The inclination, rad: that of the file, or one from its range."""
        ends = self.inclination if isinstance(self.inclination, tuple) else (self.inclination, self.inclination)
        return float(random.uniform(*ends))

    @model_validator(mode="after")
    def _nearly_edge_on(self) -> Contact:
        if not np.all(np.abs(self.inclination) < np.pi / 4):
            raise ValueError("an interface inclined by 45 deg or more is not edge-on")
        return self


class Wedge(Strict):
    """Thickness of the lamella along the interface (y): straight from the thin end to the thick one, then constant."""

    thin: Thickness
    thick: Thickness
    start: Metres = Field(alias="from")
    end: Metres = Field(alias="to")

    def at(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Thickness at places along the interface, both m."""
        return np.interp(y, (self.start, self.end), (self.thin, self.thick))

    @model_validator(mode="after")
    def _rising(self) -> Wedge:
        if not (self.start < self.end and self.thin <= self.thick):
            raise ValueError("`from` must lie before `to`, and the lamella be thickest there")
        return self


class Interphase(Contact):
    """The layer between two others; elements go from the one to the other along ramps (all of it, if none is named)."""

    layer: Literal["interphase"]
    thickness: Thickness
    ramps: Mapping[str, tuple[Length, Length]]
    crystals: tuple[Crystals, ...] = ()

    @model_validator(mode="after")
    def _inside(self) -> Interphase:
        for element, (start, end) in self.ramps.items():
            materials.atom_mass(element)
            if not start < end <= self.thickness:
                raise ValueError(f"the ramp of {element} must rise within the thickness of the interphase")
        for crystals in self.crystals:
            if not crystals.end <= self.thickness:
                raise ValueError(f"crystals of {crystals.phase} lie beyond the interphase")
        return self

    def ramp(self, element: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the way from the layer before (0) to the layer after (1) at depths x, m."""
        start, end = self.ramps.get(element, (0.0, self.thickness))
        return np.clip((x - start) / (end - start), 0.0, 1.0)


Layer = Annotated[
    Annotated[Interphase, Tag("interphase")] | Annotated[Film, Tag("film")],
    Discriminator(lambda layer: "interphase" if _named_interphase(layer) else "film"),
]


def _named_interphase(layer: Any) -> bool:
    name = layer.get("layer") if isinstance(layer, Mapping) else getattr(layer, "layer", None)
    return bool(name == "interphase")
