"""Liquid nitrogen at atmospheric pressure. Constants: data/liquid_nitrogen.yaml."""

from physics.tables import table
from physics.units import parse


def boiling_point() -> float:
    """Return the boiling point in K."""
    return parse(table("liquid_nitrogen")["boiling_point"], "temperature")


def density() -> float:
    """Return the density of the liquid in kg/m^3."""
    return parse(table("liquid_nitrogen")["density"], "density")


def latent_heat() -> float:
    """Return the heat of vaporisation in J/kg."""
    return float(table("liquid_nitrogen")["latent_heat"])


def boil_off(power: float) -> float:
    """Return the mass of liquid in kg/s that a heat load (W) boils away."""
    return power / latent_heat()
