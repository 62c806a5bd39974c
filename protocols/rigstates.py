"""What the interlocks ask of an open rig: for each state, what there is to say while it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from drivers.interlocks import RigState

if TYPE_CHECKING:
    from protocols.rig import Rig

Says = Callable[[], str]


def states_of(rig: Rig, latched: Callable[[], bool]) -> dict[RigState, Says]:
    """Of each state, a function that says "" while it does not hold; latched: while a trip waits for a person."""
    calibrations = rig.file.calibrations
    return {
        RigState.LATCHED: lambda: "latched" if latched() else "",
        RigState.CURRENT_STALE: lambda: rig.stale(calibrations.beam_current),
        RigState.SCALE_STALE: lambda: rig.stale(calibrations.scan_scale),
        RigState.NEEDLE_IN: lambda: _needle_in(rig),
        RigState.SCAN_OPEN: lambda: _scan_open(rig),
        RigState.SCAN_HOLDS: lambda: "" if _scan_open(rig) else "it is known to be blanked",
        RigState.COLUMN_BLANKED: lambda: _column_blanked(rig),
        RigState.COLUMN_OPEN: lambda: _column_open(rig),
        RigState.FLOOD_STALE: lambda: _flood_stale(rig),
    }


def _column_blanked(rig: Rig) -> str:
    """ "" also where there is no column."""
    return "it reads blanked" if "column" in rig.devices and rig.column.blanked() else ""


def _column_open(rig: Rig) -> str:
    if "column" not in rig.devices:
        return "the rig has none"
    return "" if rig.column.blanked() else "it reads open"


def _scan_open(rig: Rig) -> str:
    """Unless the scan box is known to hold the beam."""
    if "scan" not in rig.devices:
        return "the rig has none"
    return "" if rig.scan.status()["blanked"] else "it has not said so"


def _needle_in(rig: Rig) -> str:
    """Unless the needle is known to be parked, or there is none."""
    return "it is not known to be parked" if "needle" in rig.devices and rig.needle.inserted() else ""


def _flood_stale(rig: Rig) -> str:
    tem = rig.column.settings.tem
    if tem is None:
        return "the rig file has none"
    ages = {"current": rig.stale(tem.current), "diameter": rig.stale(tem.diameter)}
    return "; ".join(f"its {what} was {age}" for what, age in ages.items() if age)
