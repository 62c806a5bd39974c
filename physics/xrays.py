"""Characteristic X-rays and bremsstrahlung of a thin sample under fast electrons, and their absorption in matter.

Energies are in eV. Atomic data (line energies, fluorescence yields, radiative rates, Coster-Kronig probabilities,
attenuation): xraylib. Its yield of N K is uncertain by -30 to +20 %; what is measured relative to it must say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import xraylib
from numpy.typing import ArrayLike, NDArray

from physics import ionisation
from physics.electrons import beta_squared
from physics.tables import table

# line name -> (shell that must be empty, transition of xraylib)
_TRANSITIONS: dict[str, tuple[str, str]] = {
    "Ka1": ("K", "KL3"),
    "Ka2": ("K", "KL2"),
    "Kb1": ("K", "KM3"),
    "Kb3": ("K", "KM2"),
    "Lb3": ("L1", "L1M3"),
    "Lb4": ("L1", "L1M2"),
    "Lb1": ("L2", "L2M4"),
    "Ln": ("L2", "L2M1"),
    "La1": ("L3", "L3M5"),
    "La2": ("L3", "L3M4"),
    "Ll": ("L3", "L3M1"),
    "Mb": ("M4", "M4N6"),
    "Ma1": ("M5", "M5N7"),
    "Ma2": ("M5", "M5N6"),
}
# shell -> the shells above it whose holes come down by Coster-Kronig transitions, with the name of the probability
_COSTER_KRONIG: dict[str, tuple[tuple[str, str], ...]] = {
    "L2": (("L1", "FL12"),),
    "L3": (("L1", "FL13"), ("L2", "FL23")),
    "M5": (("M4", "FM45"),),
}


@dataclass(frozen=True)
class Line:
    """A characteristic line: energy in eV, cross_section for its emission into all directions in m^2 an atom."""

    element: str
    name: str
    energy: float
    cross_section: float


@cache
def lines(element: str, beam_energy: float) -> tuple[Line, ...]:
    """Return the lines that electrons of an energy (eV) excite in an element, strongest first.

    Emission = ionisation (Bote-Salvat, holes moved by Coster-Kronig) x fluorescence yield x radiative rate. Lines
    below 100 eV are left out: lithium has none. ValueError for an unknown symbol.
    """
    z = xraylib.SymbolToAtomicNumber(element)
    holes = _holes(element, z, beam_energy)
    found = []
    for name, (shell, transition) in _TRANSITIONS.items():
        code = getattr(xraylib, f"{transition}_LINE")
        rate = _known(xraylib.RadRate, z, code)
        if shell not in holes or rate == 0:
            continue
        energy = 1e3 * _known(xraylib.LineEnergy, z, code)
        strength = holes[shell] * _known(xraylib.FluorYield, z, getattr(xraylib, f"{shell}_SHELL")) * rate
        if energy >= lowest_energy() and strength > 0:
            found.append(Line(element, name, energy, strength))
    return tuple(sorted(found, key=lambda line: -line.cross_section))


def lowest_energy() -> float:
    """Return the energy in eV below which no line or absorption is given."""
    return float(table("xrays")["lowest_energy"])


def mass_attenuation(mass_fractions: Mapping[str, float], energy: ArrayLike) -> NDArray[np.float64]:
    """Return the mass attenuation coefficient in m^2/kg of a mixture for photons of these energies (eV, any shape).

    mass_fractions: element -> share of the mass. Below 100 eV, where xraylib has no data, its value at 100 eV stands.
    """
    given = np.asarray(energy, dtype=np.float64)
    inside = np.maximum(given, 1.001 * lowest_energy()).ravel() / 1e3  # keV
    whole = np.zeros(inside.shape)
    for element, share in mass_fractions.items():
        z = xraylib.SymbolToAtomicNumber(element)
        # one by one: xraylib_np starts threads for every call, which costs 20 ms on a busy machine
        attenuation = np.fromiter((xraylib.CS_Total(z, kev) for kev in inside.tolist()), np.float64, inside.size)
        whole += share * 0.1 * attenuation  # cm^2/g = 0.1 m^2/kg
    return whole.reshape(given.shape)


def absorption_factor(chi: ArrayLike) -> NDArray[np.float64]:
    """Return (1 - exp(-chi))/chi: the share of X-rays, born evenly in depth, that leaves a layer.

    chi: attenuation along the whole way out, (mu/rho) rho t / sin(take-off angle), any shape. Goldstein et al.,
    Scanning Electron Microscopy and X-Ray Microanalysis.
    """
    depth = np.asarray(chi, dtype=np.float64)
    thick = np.maximum(depth, 1e-12)
    return np.where(depth < 1e-12, 1.0, -np.expm1(-thick) / thick)


def way_out(elevation: float, azimuth: float, tilt: float = 0.0) -> float:
    """Return how long the way of X-rays out of a slab is, over the slab's thickness along the beam.

    elevation, azimuth: of the detector seen from the sample, rad; the azimuth is 0 along +x.  tilt: of the slab about
    y, rad, positive when the face that the beam enters turns towards +x.  Without a tilt 1/sin(elevation). ValueError
    when the detector sees that face from behind.
    """
    rise = np.sin(elevation) + np.cos(elevation) * np.cos(azimuth) * np.tan(tilt)
    if not rise > 0:
        raise ValueError(f"the detector is behind a slab that is tilted by {np.degrees(tilt):.3g} deg")
    return float(1 / rise)


def bremsstrahlung(
    areal: Mapping[str, float], beam_energy: float, energies: ArrayLike, peak_to_background: float | None = None
) -> NDArray[np.float64]:
    """Return the bremsstrahlung of a thin layer, in photons per electron, steradian and eV, before absorption.

    areal: element -> atoms per m^2.  beam_energy: eV.  energies: of the photons, eV, any shape; none from the beam
    energy on.  peak_to_background: that of nickel in NiO at 200 keV with this detector, the one
    number that sets the scale; None takes data/xrays.yaml. Formula and constants: data/xrays.yaml.
    """
    given = table("xrays")["bremsstrahlung"]["peak_to_background"] if peak_to_background is None else peak_to_background
    return _braking(areal, beam_energy, energies) * _of_nickel_oxide() / float(given)


@cache
def _of_nickel_oxide() -> float:
    """Peak-to-background of NiO at 200 keV if the continuum went evenly into all directions.

    Ni Ka over the continuum under it in 10 eV: C. Fiori et al., in Principles of Analytical Electron Microscopy (1986).
    """
    family = [line for line in lines("Ni", 200e3) if line.name in ("Ka1", "Ka2")]
    peak = sum(line.cross_section for line in family) / (4 * np.pi)
    return float(peak / (10.0 * _braking({"Ni": 1.0, "O": 1.0}, 200e3, family[0].energy)))


def _braking(areal: Mapping[str, float], beam_energy: float, energies: ArrayLike) -> NDArray[np.float64]:
    """Bremsstrahlung as if it went evenly into all directions."""
    data = table("xrays")["bremsstrahlung"]
    charge = sum(atoms * xraylib.SymbolToAtomicNumber(element) ** 2 for element, atoms in areal.items())
    photon = np.asarray(energies, dtype=np.float64)
    share = photon / beam_energy
    with np.errstate(divide="ignore", invalid="ignore"):
        spectrum = np.where((share > 0) & (share < 1), (1 - data["slope"] * share) / photon, 0.0)
    per_steradian = float(data["scaled_cross_section"]) / beta_squared(beam_energy) / (4 * np.pi)
    photons: NDArray[np.float64] = charge * per_steradian * spectrum
    return photons


def silicon_escape_fraction(energy: float) -> float:
    """Return the share of detected photons of an energy (eV) that a silicon detector counts at the escape energy.

    0 below the silicon K edge. S. Reed and N. Ware, J. Phys. E 5 (1972) 582, normal incidence.
    """
    if not energy > 1e3 * xraylib.EdgeEnergy(14, xraylib.K_SHELL):
        return 0.0
    incoming = xraylib.CS_Total(14, energy / 1e3)
    own = xraylib.CS_Total(14, _silicon_k() / 1e3)
    jump = xraylib.JumpFactor(14, xraylib.K_SHELL)
    by_k = xraylib.FluorYield(14, xraylib.K_SHELL) * (jump - 1) / jump
    return float(0.5 * by_k * (1 - own / incoming * np.log1p(incoming / own)))


def silicon_escape_energy(energy: float) -> float:
    """Return the energy in eV at which escaped photons of an energy are counted: less by that of Si Ka."""
    return energy - _silicon_k()


def _silicon_k() -> float:
    return float(1e3 * xraylib.LineEnergy(14, xraylib.KL3_LINE))


def _holes(element: str, z: int, beam_energy: float) -> dict[str, float]:
    """Cross-section in m^2 for a hole in each shell, whether made there or come down from a shell above."""
    holes = {name: float(shell.cross_section(beam_energy)) for name, shell in ionisation.shells(element).items()}
    for shell, sources in _COSTER_KRONIG.items():
        for above, probability in sources:
            if shell in holes and above in holes:
                holes[shell] += holes[above] * _known(
                    xraylib.CosKronTransProb, z, getattr(xraylib, f"{probability}_TRANS")
                )
    return holes


def _known(function: object, z: int, code: int) -> float:
    """A datum of xraylib, or 0 where it has none (it raises then)."""
    try:
        return float(function(z, code))  # type: ignore[operator]
    except ValueError:
        return 0.0
