"""Quantities as people type and read them: a number, a unit, and nothing that could be misread.

Inside the program every value is a float in SI, but energies are in eV, angles in rad and fluences in m^-2.
"""

import math
import re
from decimal import Decimal
from functools import cache

import pint

from physics.tables import table

# dimension -> (unit used inside the program, unit people use, an example of it)
DIMENSIONS: dict[str, tuple[str, str, str]] = {
    "length": ("m", "nm", "100"),
    "time": ("s", "s", "100"),
    "temperature": ("K", "K", "100"),
    "temperature_rate": ("K/s", "K/min", "10"),
    "current": ("A", "pA", "100"),
    "fluence": ("e/m^2", "e/A^2", "12000"),
    "ion_fluence": ("ion/m^2", "ion/nm^2", "10"),
    "energy": ("eV", "keV", "200"),
    "angle": ("rad", "deg", "52"),
    "pressure": ("Pa", "mbar", "1e-7"),
    "charge": ("C", "nC", "1"),
    "voltage": ("V", "kV", "5"),
    "fraction": ("", "%", "5"),
    "frequency": ("Hz", "kHz", "10"),
    "power": ("W", "W", "1"),
    "solid_angle": ("sr", "sr", "0.9"),
    "dose_rate": ("e/m^2/s", "e/A^2/s", "100"),
    "density": ("kg/m^3", "g/cm^3", "2.3"),
}

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
_ATOM = r"[A-Za-z]+(?:\^-?[1-9])?"
_QUANTITY = re.compile(rf"({_NUMBER}) *({_ATOM}(?:[*/]{_ATOM})*)?", re.ASCII)
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:[ ,'_\u00a0\u2009\u202f][0-9]{3})+(?![0-9])")
_SPELLINGS = {
    "\u00b5": "u",
    "\u03bc": "u",
    "\u00c5": "angstrom",
    "\u212b": "angstrom",
    "\u00b0C": "degC",
    "\u00b0": "deg",
    "\u00b2": "^2",
    "\u00b3": "^3",
}
_CELSIUS = "degC"
_FREEZING = Decimal("273.15")  # 0 degC in K, by definition of the Celsius scale
_LONGEST = 80


class UnitError(ValueError):
    """A text is not a number with a unit of the dimension that is due."""


def parse(text: str, dimension: str) -> float:
    """Return the value of a text such as "12000 e/A^2" in the program's own unit of its dimension.

    dimension: a key of DIMENSIONS. `A` is the ampere, but the angstrom in A^2 and A^-2; temperatures may be in K or
    degC; only a fraction may be bare ("0.05" is "5 %"). The value is the float nearest to the exact decimal product, so
    that "400 nm" equals "0.4 um". Raises UnitError for a bare number, grouped digits, a number that is not finite, an
    unknown unit or another dimension.
    """
    typed = text.strip(" ")
    if len(typed) > _LONGEST:
        raise UnitError(
            f"{_named(dimension)} {typed[:20]!r}... is too long for a number and a unit. {_example(dimension)}"
        )
    if _GROUPED.match(typed):
        joined = re.sub(r"(?<=[0-9])[ ,'_\u00a0\u2009\u202f](?=[0-9]{3})", "", typed)
        raise UnitError(f'{_named(dimension)} "{typed}" has grouped digits. Write "{joined}" if that is meant.')
    match = _QUANTITY.fullmatch(_plain(typed))
    if match is None:
        raise UnitError(f'{_named(dimension)} "{typed}" is not a number with a unit. {_example(dimension)}')
    number, unit = Decimal(match[1]), match[2] or ""
    if not unit and dimension != "fraction":
        raise UnitError(
            f'{_named(dimension)} "{typed}" has no unit. Did you mean "{typed} {DIMENSIONS[dimension][1]}"?'
        )
    if unit == _CELSIUS and dimension == "temperature":
        exact = number + _FREEZING
    else:
        scale, found = _unit(unit)
        if found is None:
            raise UnitError(f'{_named(dimension)} "{typed}" has the unknown unit "{match[2]}". {_example(dimension)}')
        if found != dimension:
            raise UnitError(f'{_named(dimension)} "{typed}" has a unit of {_named(found)}. {_example(dimension)}')
        exact = number * scale
    value = float(exact)
    if not math.isfinite(value) or (value == 0 and number != 0 and exact != 0):
        raise UnitError(f'{_named(dimension)} "{typed}" is out of range of a floating-point number.')
    if dimension == "temperature" and not value >= 0:
        raise UnitError(f'temperature "{typed}" is below absolute zero.')
    return value


def show(value: float, unit: str) -> str:
    """Return a value in the program's own unit as text in `unit`, such as "12000 e/A^2".

    Five significant digits (whole numbers keep all), never grouped, no exponent from 1e-3 to 1e6. `unit` is any unit
    that parse() reads, or "" for a bare fraction. Raises UnitError if there is no such unit.
    """
    plain = _plain(unit)
    if plain == _CELSIUS:
        return f"{_digits(value - float(_FREEZING))} {unit}"
    scale, dimension = _unit(plain)
    if dimension is None:
        raise UnitError(f'unknown unit "{unit}"')
    return f"{_digits(value / float(scale))} {unit}".rstrip(" ")


def _digits(number: float) -> str:
    if number == 0 or not math.isfinite(number):
        return f"{number + 0.0:g}"
    if 1e-3 <= abs(number) < 1e6:
        decimals = max(0, 4 - math.floor(math.log10(abs(number))))
        fixed = f"{number:.{decimals}f}"
        return fixed.rstrip("0").rstrip(".") if "." in fixed else fixed
    mantissa, exponent = f"{number:.4e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _named(dimension: str) -> str:
    return dimension.replace("_", " ")


def _example(dimension: str) -> str:
    _, unit, number = DIMENSIONS[dimension]
    return f'Write for example "{number} {unit}".'


def _plain(text: str) -> str:
    """Replace the signs that people have on their keyboards by the ASCII names of units.yaml."""
    for sign, name in _SPELLINGS.items():
        text = text.replace(sign, name)
    return re.sub(r"(^|[0-9 ])%$", r"\1percent", text)


@cache
def _unit(unit: str) -> tuple[Decimal, str | None]:
    """Return the scale of a unit to the program's own, and its dimension (None if it has none that we know)."""
    if not unit:
        return Decimal(1), "fraction"
    angstroms = re.sub(r"\bA(?=\^-?2)", "angstrom", unit)
    if not all(name in _names() for name in re.findall(r"[A-Za-z]+", angstroms)):
        return Decimal(1), None
    quantity = _registry().Quantity(Decimal(1), angstroms).to_root_units()
    return quantity.magnitude, _dimensions().get(str(quantity.dimensionality))


@cache
def _dimensions() -> dict[str, str]:
    registry = _registry()
    return {str(registry.Quantity(Decimal(1), own).dimensionality): name for name, (own, _, _) in DIMENSIONS.items()}


@cache
def _names() -> frozenset[str]:
    """Every spelling of a unit that is read; pint alone would also take plurals ("nms") and mixtures."""
    units = table("units")
    return frozenset(prefix + name for prefix in ("", *units["prefixes"]) for name in units["units"])


@cache
def _registry() -> pint.UnitRegistry[Decimal]:
    units = table("units")
    registry: pint.UnitRegistry[Decimal] = pint.UnitRegistry(None, non_int_type=Decimal)
    registry.load_definitions(
        [f"{prefix}- = {scale}" for prefix, scale in units["prefixes"].items()]
        + [f"{name} = {definition}" for name, definition in units["units"].items()]
    )
    return registry
