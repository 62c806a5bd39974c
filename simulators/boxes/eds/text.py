"""The DP5's text parameters that this simulated box knows, what each may be, and how the box rounds it.

Source: DP5 Programmer's Guide, chapter 5 (names, units, ON/OFF forms). Ranges and roundings are `assumed`; a real box
says what it took when it is read back, and so does this one.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from drivers.wire.dp5 import CHANNELS, Ack


class TextError(ValueError):
    """A command the box refuses, and the code by which it does."""

    def __init__(self, command: str, ack: Ack) -> None:
        super().__init__(command)
        self.command = command
        self.ack = ack


Rule = Callable[[str], str | None]
"""The value as the box keeps it, or None when it is refused."""


def _one_of(*values: str) -> Rule:
    return lambda value: value if value in values else None


def _steps(low: str, high: str, step: str, *, off: bool = False) -> Rule:
    """A number from low to high, kept in whole steps; or OFF."""

    def rule(value: str) -> str | None:
        if off and value == "OFF":
            return value
        try:
            number = Decimal(value)
        except InvalidOperation:
            return None
        if not number.is_finite() or not Decimal(low) <= number <= Decimal(high):
            return None
        return str((number / Decimal(step)).to_integral_value() * Decimal(step))

    return rule


DEFAULTS = {
    "MCAC": "1024",
    "MCAS": "NORM",
    "GAIN": "100.000",
    "TPEA": "2.40",
    "TFLA": "0.20",
    "TPFA": "100",
    "THSL": "1.000",
    "THFA": "5.00",
    "TLLD": "OFF",
    "PURE": "ON",
    "PRET": "OFF",
    "PRER": "OFF",
    "PREC": "OFF",
    "GATE": "OFF",
    "SYNC": "INT",
    "CLKL": "100",
}

RULES: dict[str, Rule] = {
    "MCAC": _one_of(*map(str, CHANNELS)),
    "MCAS": _one_of("NORM"),
    "GAIN": _steps("0.750", "500.000", "0.001"),
    "TPEA": _steps("0.05", "102.40", "0.05"),
    "TFLA": _steps("0.05", "51.20", "0.05"),
    "TPFA": _one_of("50", "100", "200", "400"),
    "THSL": _steps("0.000", "24.900", "0.001"),
    "THFA": _steps("0.00", "511.94", "0.01"),
    "TLLD": _steps("0", "8191", "1", off=True),
    "PURE": _one_of("ON"),
    "PRET": _steps("0.0", "99999999.9", "0.1", off=True),
    "PRER": _steps("0.000", "4294967.295", "0.001", off=True),
    "PREC": _one_of("OFF"),
    "GATE": _one_of("OFF"),
    "SYNC": _one_of("INT", "FRAME"),
    "CLKL": _one_of("100", "1000"),
}


def checked(name: str, value: str) -> str:
    """The value as the box keeps it; raises TextError for an unknown name or a refused value."""
    if name not in RULES:
        raise TextError(name, Ack.UNRECOGNISED)
    if (kept := RULES[name](value)) is None:
        raise TextError(f"{name}={value}", Ack.BAD_PARAMETER)
    return kept
