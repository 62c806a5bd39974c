"""How the thickness of the lamella changes across the interface: from its dark field, and from its phosphorus."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.interface import Interface, coordinates
from acquisition.analysis.profile import Profile
from drivers.ticket import Frame

_LEAST = 25e-9  # m of whole film across: less says nothing of a slope
_PATCHES = 8  # along the interface, each with a slope of its own: their scatter is the uncertainty
_NOT_LINEAR = 0.1  # of the slope: ice and carbon scatter as well; assumed
_APART = 3.0  # standard deviations between two slopes that cannot both be true
_UNKNOWN = (
    0.85e6 / 2
)  # 1/m: standard uncertainty where no slope was measured; a steep wedge of 85 nm in 1 um is twice that


@dataclass(frozen=True)
class Slope:
    """By what share the lamella gets thicker in a metre across the interface, towards the bright side.

    uncertainty: standard.  source: `dark field`, `counts` of an element, or `assumed`.
    """

    value: float
    uncertainty: float
    source: str


def slope_across(
    dark_field: NDArray[np.float64],
    frame: Frame,
    interface: Interface,
    beyond: float,
    profile: Profile,
    element: str,
    *,
    depth: float,
) -> Slope:
    """Measure the slope where the film is whole, farther than `beyond` (m) from the interface.

    dark_field: electrons (rows, columns), in any unit that is 0 without a beam.  depth: of the film for scattering into
    the dark field, n t sigma.  The counts of an element of the film say the same with less precision: where the two
    contradict each other, the counts are believed.
    """
    counted = _of_counts(profile, element, beyond)
    seen = _of_dark_field(dark_field, frame, interface, beyond, depth)
    if counted is None:
        return Slope(0.0, _UNKNOWN, "assumed")
    if seen is None or abs(seen.value - counted.value) > _APART * math.hypot(seen.uncertainty, counted.uncertainty):
        return counted
    return seen


def _of_dark_field(
    dark_field: NDArray[np.float64], frame: Frame, interface: Interface, beyond: float, depth: float
) -> Slope | None:
    x, y = coordinates((frame.pixels[1], frame.pixels[0]), frame.pitch)
    normal = np.array(interface.normal)
    across = x[None, :] * normal[0] + y[:, None] * normal[1] - interface.position
    along = -x[None, :] * normal[1] + y[:, None] * normal[0]
    whole = across > beyond
    whole[:1], whole[-1:], whole[:, :1], whole[:, -1:] = False, False, False, False
    if not np.any(whole) or np.ptp(across[whole]) < _LEAST:
        return None
    place, middle = across[whole] - across[whole].mean(), float(across[whole].mean())
    patch = np.minimum(
        ((along[whole] - along[whole].min()) / np.ptp(along[whole]) * _PATCHES).astype(np.int64), _PATCHES - 1
    )
    values = []
    for number in range(_PATCHES):
        mine = patch == number
        there, level = place[mine], dark_field[whole][mine]
        tilt = (along[whole][mine] - along[whole][mine].mean()) if mine.any() else there
        if np.ptp(there) < _LEAST or not level.mean() > 0:
            continue
        design = np.stack([np.ones(there.size), there, tilt])
        base, step, _ = np.linalg.solve(design @ design.T, design @ level)
        step *= math.expm1(depth) / depth  # a thicker place scatters less than in proportion
        values.append(step / (base - step * middle))
    if len(values) < _PATCHES // 2:
        return None
    value = float(np.mean(values))
    scatter = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Slope(value, math.hypot(scatter, _NOT_LINEAR * value), "dark field")


def _of_counts(profile: Profile, element: str, beyond: float) -> Slope | None:
    counts, errors = profile.rate(element)
    whole = profile.position > beyond
    if whole.sum() < 4 or np.ptp(profile.position[whole]) < _LEAST:
        return None
    place, weight = profile.position[whole], 1 / np.maximum(errors[whole], 0.3 * np.median(errors[whole])) ** 2
    design = np.stack([np.ones(place.size), place])
    covariance = np.linalg.inv((design * weight) @ design.T)
    base, step = covariance @ (design * weight) @ counts[whole]
    if not base > 0:
        return None
    return Slope(float(step / base), math.sqrt(float(covariance[1, 1])) / float(base), f"counts of {element}")
