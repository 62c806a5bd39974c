"""Events of an EDS map of a lithium/LiPON interface, drawn pass by pass from physics/, with the truth beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers.ticket import Frame
from physics import xray_detector, xrays
from physics.dose import E_PER_A2
from physics.materials import atom_mass, material

BEAM_ENERGY = 200e3
FWHM_MN = 130.0
SOLID_ANGLE = 0.9
TAKE_OFF = math.radians(20)
CHANNELS = 1024
ENERGIES = 10.0 * np.arange(CHANNELS)
THICKNESS = 100e-9
ATOMIC_NUMBER = {"Li": 3, "C": 6, "N": 7, "O": 8, "P": 15, "Cu": 29}


@dataclass(frozen=True)
class Scene:
    """What is under the beam: ramps in m from the interface, which stands at `position` along a normal of `angle`."""

    ramps: dict[str, tuple[float, float]] = field(
        default_factory=lambda: {"P": (0.0, 76e-9), "N": (0.0, 76e-9), "O": (0.0, 30e-9)}
    )
    position: float = -30e-9
    angle: float = 0.06
    roughness: float = 2e-9
    absorbing: bool = True
    oxide: float = 0.05  # oxygen of the lithium's shell, share of that of LiPON
    ice: float = 5e19  # oxygen of ice, areal, m^-2
    carbon: float = 30e18  # areal, m^-2
    copper: float = 8e18

    def distance(self, frame: Frame, shift: tuple[float, float], rng: np.random.Generator) -> NDArray[np.float64]:
        """Distance of each pixel (rows, columns) from the interface, m, with the sample moved by a shift."""
        columns, rows = frame.pixels
        x = (np.arange(columns) - (columns - 1) / 2) * frame.pitch[0] - shift[0]
        y = (np.arange(rows) - (rows - 1) / 2) * frame.pitch[1] - shift[1]
        normal = math.cos(self.angle), math.sin(self.angle)
        across = x[None, :] * normal[0] + y[:, None] * normal[1] - self.position
        along = -x[None, :] * normal[1] + y[:, None] * normal[0]
        knots = np.arange(-400e-9, 400e-9, 8e-9)
        rough = np.interp(along, knots, rng.normal(0, self.roughness, knots.size))
        return np.asarray(across - rough)


def rise(distance: NDArray[np.float64], ramp: tuple[float, float]) -> NDArray[np.float64]:
    """Share of the LiPON value at each distance."""
    return np.clip((distance - ramp[0]) / max(ramp[1] - ramp[0], 1e-12), 0, 1)


def dark_field(
    scene: Scene, frame: Frame, electrons: float, seed: int, shift: tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.uint16]:
    """A frame of `electrons` a pixel in LiPON, a tenth of them in lithium."""
    distance = scene.distance(frame, shift, np.random.default_rng(99))
    bright = 0.1 + 0.9 * (0.6 * rise(distance, scene.ramps["P"]) + 0.4 * rise(distance, scene.ramps["O"]))
    return np.random.default_rng(seed).poisson(electrons * bright).astype(np.uint16)


def events(
    scene: Scene, frame: Frame, *, fluence: float, shifts: list[tuple[float, float]], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pass, pixel and channel of every event of a map; fluence: of all passes together, m^-2."""
    rng = np.random.default_rng(seed)
    lipon = material("LiPON")
    electrons = fluence / len(shifts) * frame.pitch[0] * frame.pitch[1]
    out: list[tuple[NDArray[np.int64], ...]] = []
    for number, shift in enumerate(shifts):
        distance = scene.distance(frame, shift, np.random.default_rng(99)).ravel()
        share = {e: rise(distance, r) for e, r in scene.ramps.items()}
        areal = {e: lipon.number_densities[e] * THICKNESS * s for e, s in share.items()}
        areal["O"] += scene.oxide * lipon.number_densities["O"] * THICKNESS * (1 - share["P"])
        areal["O"] += scene.ice
        areal["Li"] = np.full(distance.size, lipon.number_densities["Li"] * THICKNESS)
        areal["C"] = np.full(distance.size, scene.carbon)
        areal["Cu"] = np.full(distance.size, scene.copper)
        for element in ("P", "N", "O", "C", "Cu"):
            for line in xrays.lines(element, BEAM_ENERGY):
                if not 180 < line.energy < ENERGIES[-1]:
                    continue
                leaves = transmission(areal, line.energy) if scene.absorbing else 1.0
                mean = electrons * areal[element] * line.cross_section * SOLID_ANGLE / (4 * math.pi) * leaves
                hit = np.repeat(np.arange(distance.size), rng.poisson(mean * xray_detector.efficiency(line.energy)))
                energy = np.full(hit.size, line.energy)
                escaped = rng.random(hit.size) < xrays.silicon_escape_fraction(line.energy)
                energy[escaped] = xrays.silicon_escape_energy(line.energy)
                energy += rng.normal(size=hit.size) * xray_detector.fwhm(energy, FWHM_MN) / 2.35482
                out.append((np.full(hit.size, number), hit, np.rint(energy / 10).astype(np.int64)))
        continuum = xrays.bremsstrahlung({"P": 1.0}, BEAM_ENERGY, np.maximum(ENERGIES, 100)) * xray_detector.efficiency(
            np.maximum(ENERGIES, 100)
        )
        continuum[ENERGIES < 100] = 0
        charge = sum(ATOMIC_NUMBER[e] ** 2 * a for e, a in areal.items()) / ATOMIC_NUMBER["P"] ** 2
        mean = electrons * charge * SOLID_ANGLE * 10 * continuum.sum()
        hit = np.repeat(np.arange(distance.size), rng.poisson(mean))
        channel = rng.choice(CHANNELS, hit.size, p=continuum / continuum.sum())
        if scene.absorbing:  # nearly all of it comes from the LiPON
            film = {e: np.asarray(n * THICKNESS) for e, n in lipon.number_densities.items()}
            left = rng.random(hit.size) < transmission(film, np.maximum(ENERGIES, 100))[channel]
            hit, channel = hit[left], channel[left]
        out.append((np.full(hit.size, number), hit, channel))
    passes, pixels, channels = (np.concatenate(part) for part in zip(*out, strict=True))
    inside = (channels >= 0) & (channels < CHANNELS)
    return passes[inside], pixels[inside], channels[inside]


def transmission(areal: dict[str, NDArray[np.float64]], energy: ArrayLike) -> NDArray[np.float64]:
    """Share of X-rays of an energy that leave the sample, for areal densities in m^-2."""
    chi = np.zeros(())
    for element, atoms in areal.items():
        chi = chi + atoms * atom_mass(element) * xrays.mass_attenuation({element: 1.0}, energy) / math.sin(TAKE_OFF)
    return xrays.absorption_factor(chi)


FULL = Frame(centre=(0.0, 0.0), size=(400e-9, 400e-9), pixels=(256, 256), dwell=1e-4)
DOSE = 1e4 * E_PER_A2
