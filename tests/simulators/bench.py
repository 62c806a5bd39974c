"""A world as the tests need it: the shipped sample at 200 kV, with exactly the numbers a test asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.clock import VirtualClock
from drivers.rigfile import Optics, Wire
from simulators.sample.file import SHIPPED, Damage, DriftOfTheHolder, Sample, load_sample
from simulators.sample.slab import Slab
from simulators.sample.stack import Interphase
from simulators.world import World

FIELD = 4e-6  # m
CURRENT = 100e-12  # A
Array = NDArray[np.float64]


def optics(probe: float = 0.5e-9, solid_angle: float = 0.9, energy: float = 200e3) -> Optics:
    return Optics(
        beam_energy=energy,
        convergence=25e-3,
        probe_fwhm=probe,
        dark_field=(25e-3, 100e-3),
        eds_solid_angle=solid_angle,
        eds_elevation=float(np.radians(20.0)),
        eds_azimuth=0.0,
        eds_fwhm_mn=130.0,
    )


def make_world(
    sample: Sample | None = None,
    *,
    seed: int = 7,
    current: float = CURRENT,
    hidden_errors: bool = False,
    wiring: Sequence[Wire] = (),
    seen: Optics | None = None,
) -> World:
    return World(
        sample or sample_with(),
        seed=seed,
        clock=VirtualClock(),
        optics=seen or optics(),
        beam_current=current,
        hidden_errors=hidden_errors,
        full_field=FIELD,
        wiring=wiring,
    )


def grid(centre: tuple[float, float], size: float, pixels: int) -> tuple[Array, Array, tuple[float, float]]:
    """u, v and cell of a square raster; centre, m from the middle of the field; size, m."""
    steps = ((np.arange(pixels) + 0.5) / pixels - 0.5) * size
    u, v = np.meshgrid(0.5 + (centre[0] + steps) / FIELD, 0.5 + (centre[1] + steps) / FIELD)
    return u.ravel(), v.ravel(), (size / pixels / FIELD, size / pixels / FIELD)


def sample_with(interphase: dict[str, object] | None = None, **environment: object) -> Sample:
    """The shipped sample, 100 nm thick between parallel faces, inclined by 2 degrees, with 2 nm of oxide a face.

    Some values may be changed.
    """
    sample = load_sample("li-lipon")
    changed = {"inclination": float(np.radians(2.0)), **(interphase or {})}
    stack = tuple(
        layer.model_copy(update=changed) if isinstance(layer, Interphase) else layer for layer in sample.stack
    )
    plain = {"lamella_thickness": 100e-9, "wedge": None, "lithium_shell": 2e-9}
    surroundings = sample.environment.model_copy(update=plain | environment)
    return sample.model_copy(update={"stack": stack, "environment": surroundings})


def a_slab(sample: Sample, seed: int = 7) -> Slab:
    """The slab of a sample, its relief and its inclination drawn."""
    return Slab.of(sample, np.random.default_rng([seed, 1]), np.random.default_rng([seed, 31]))


def undamaged(sample: Sample) -> Sample:
    """The same sample, and the beam takes nothing from it."""
    return sample.model_copy(update={"damage": Damage(loss={})})


def still() -> DriftOfTheHolder:
    return DriftOfTheHolder(per_hour=0.0, settling=0.0, settling_time=900.0)


def rewritten(folder: Path, *swaps: tuple[str, str]) -> Path:
    """A file of the shipped sample with pieces of its text swapped."""
    text = (SHIPPED / "li-lipon.yaml").read_text(encoding="utf-8")
    for old, new in swaps:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "changed.yaml"
    path.write_text(text, encoding="utf-8")
    return path
