"""What `eds_line` tells: ramps and interphase, thickness, composition and k-factors, and what the beam took."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from acquisition.analysis.eds_map import EdsMap, Measured
from acquisition.analysis.interphase import Doubts
from acquisition.analysis.ramps import Ramp
from acquisition.analysis.regions import Chemistry, Loss, Region, composition_of

SURE = 1.96  # standard errors of a 95 % uncertainty, as all calibrations have it
UNSEEN = "atoms that EDS sees; lithium is never seen"


def report(
    recorded: EdsMap,
    found: Measured,
    doubts: Doubts,
    by_name: Mapping[str, Region],
    composition: Chemistry | None,
    lost: Mapping[str, Loss],
) -> dict[str, Any]:
    """What goes into results.json."""
    told: dict[str, Any] = {"profiles": {element: _ramp_facts(ramp) for element, ramp in found.ramps.items()}}
    if found.width is not None:
        told["interphase"] = {"width_nm": _nm(found.width.value), "ci95_nm": [_nm(edge) for edge in found.width.ci95]}
        if found.width.upper_bound is not None:
            told["interphase"]["upper_bound_nm"] = _nm(found.width.upper_bound)
    if found.thickness is not None:
        told["film_thickness_nm"] = _nm(found.thickness)
        told["film_thickness_uncertainty_nm"] = _nm(found.thickness * found.films.uncertainty)
    if found.slope is not None:
        told["thickness_slope"] = {
            "pct_per_100nm": _rounded(found.slope.value * 1e-5),
            "uncertainty_pct_per_100nm": _rounded(found.slope.uncertainty * 1e-5),
            "from": found.slope.source,
        }
    told["interface"] = {
        "angle_deg": round(math.degrees(found.interface.angle), 3),
        "position_nm": _nm(found.interface.position),
        "averaged_along_nm": _nm(along(recorded, found)),
    }
    told["believed_of_the_map"] = {
        "probe_fwhm_nm": _nm(doubts.probe_fwhm),
        "probe_fwhm_bound_pct": _rounded(100 * doubts.probe_uncertainty),
        "lean_bound_deg": _rounded(math.degrees(doubts.lean)),
        "roughness_bound_nm": _nm(doubts.roughness),
        "scale_bound_pct": _rounded(100 * doubts.scale),
    }
    told["films"] = {"bright": found.films.bright.name, "dark": found.films.dark.name}
    told["eds_regions"] = {
        name: {
            "from_nm": _nm(region.start),
            "to_nm": _nm(region.end),
            "counts": int(region.spectrum.sum()),
            "chi2": _rounded(region.fit.chi2),
            "path_nm": _nm(region.path),
        }
        for name, region in by_name.items()
    }
    if composition is not None:
        told["composition"] = _composition(found, composition)
    told["loss_during_map"] = {
        element: {"lost_pct": _rounded(100 * loss.share), "uncertainty_pct": _rounded(100 * loss.uncertainty)}
        for element, loss in lost.items()
    }
    return told


def calibrations(composition: Chemistry | None, *, taken: str, file: str) -> dict[str, Any]:
    """The k-factors as calibrations of the run, with 95 % uncertainties; taken: ISO time.  file: with the spectra."""
    if composition is None:
        return {}
    found = composition.factors
    return {
        f"k_{element}_{found.reference}": {
            "value": _rounded(value),
            "unit": "1",
            "uncertainty": _rounded(SURE * found.errors[element]),
            "taken": taken,
            "from": file,
        }
        for element, value in found.values.items()
        if element != found.reference
    }


def along(recorded: EdsMap, found: Measured) -> float:
    """How much of the interface the profile is averaged along, m, where it crosses the interface."""
    visits = found.profile.visits.sum(axis=0)
    at = int(abs(found.profile.position).argmin())
    width, height = recorded.frame.pitch
    return float(visits[at]) / len(recorded.pixels_done) * width * height / found.profile.bin_width


def _composition(found: Measured, composition: Chemistry) -> dict[str, Any]:
    stated = composition_of(found.films.bright, tuple(composition.factors.values))
    told: dict[str, Any] = {
        "of": UNSEEN,
        "standard": {
            "material": found.films.bright.name,
            "stated_at_pct": {element: _rounded(share) for element, share in stated.items()},
        },
    }
    for name, there in composition.found.items():
        told[name] = {
            element: {"at_pct": _rounded(share), "uncertainty_at_pct": _rounded(there.errors[element])}
            for element, share in there.percent.items()
        }
    return told


def _ramp_facts(ramp: Ramp) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "ramp_nm": _nm(ramp.extent),
        "ci95_nm": [_nm(edge) for edge in ramp.ci95],
        "counts": round(ramp.counts, 1),
        "from_nm": _nm(ramp.start),
        "to_nm": _nm(ramp.end),
    }
    bound = ramp.ci95[1] if ramp.upper_bound is None and not ramp.ci95[0] > 0.0 else ramp.upper_bound
    if bound is not None:  # an extent that may as well be nothing is known only by its upper end
        facts["upper_bound_nm"] = _nm(bound)
    return facts


def _nm(metres: float) -> float:
    return round(metres * 1e9, 3)


def _rounded(value: float) -> float:
    return round(float(value), 4)
