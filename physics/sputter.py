"""What a focused beam of gallium ions removes from a solid."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physics.tables import table

_ENERGIES = (30e3, 5e3, 2e3)  # eV, of the columns of data/sputter.yaml
_UM3_PER_NC = 1e-18 / 1e-9  # m^3/C
_GRAZING = 80.0  # degrees, of the column `grazing`


def removal(material: str, energy: float, angle: ArrayLike) -> NDArray[np.float64]:
    """Return the volume in m^3/C that ions remove, as an array of the shape of `angle`.

    material: a name of physics/materials.py.  energy: of the ions, eV.  angle: between beam and surface normal, rad; at
    90 degrees and beyond nothing is removed. Source: data/sputter.yaml, log-log between its energies and as between the
    last two outside; its angle curves, stretched to meet its 80-degree values. ValueError for another material.
    """
    entry = _entry(material)
    shares = (1.0, *entry["energies"])
    normal = entry["volume"] * _UM3_PER_NC * _log_log(energy, shares)
    curve = table("sputter")["angle"][entry["angle"]]
    degrees = table("sputter")["angle_degrees"]
    at = np.interp(np.abs(np.degrees(np.asarray(angle, dtype=np.float64))), degrees, curve)
    stretch = (_log_log(energy, tuple(entry["grazing"])) - 1.0) / (np.interp(_GRAZING, degrees, curve) - 1.0)
    return np.asarray(normal * np.where(at >= 1.0, 1.0 + (at - 1.0) * stretch, at), dtype=np.float64)


def _entry(material: str) -> Any:
    known = {name: entry for name, entry in table("sputter").items() if isinstance(entry, dict) and name != "angle"}
    if material not in known:
        raise ValueError(f'no "{material}" in sputter.yaml. There are: {", ".join(sorted(known))}')
    entry = known[material]
    return _entry(entry["like"]) if "like" in entry else entry


def _log_log(energy: float, values: tuple[float, ...]) -> float:
    """Interpolate over the energies of the table; ValueError for an energy that is not positive."""
    if not energy > 0.0:
        raise ValueError(f"ions of {energy} eV remove nothing")
    x = [math.log(known) for known in _ENERGIES]
    y = [math.log(value) for value in values]
    first = 0 if energy >= _ENERGIES[1] else 1
    slope = (y[first + 1] - y[first]) / (x[first + 1] - x[first])
    return math.exp(y[first] + slope * (math.log(energy) - x[first]))
