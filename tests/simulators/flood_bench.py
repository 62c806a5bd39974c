"""A microscope with a TEM mode on a virtual clock, and a flood that its camera takes in no time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from drivers.column_settings import TemSettings
from drivers.rigfile import CurrentCalibration, LengthCalibration
from drivers.ticket import Flood
from simulators.sample.scene import Crystals, Scene, Window
from tests.simulators.column_bench import SETTINGS, ColumnBench, a_driver, column_bench

NM, PM = 1e-9, 1e-12


def a_length(value: float) -> LengthCalibration:
    return LengthCalibration(value=value, uncertainty=0.02, taken="at opening", valid_for=1e6)


TEM = TemSettings(
    camera="BM-Ceta",
    full_frame=4096,
    magnification=31,
    pixel=a_length(40 * PM),
    illuminated_area=300e-9,
    diameter=a_length(300e-9),
    current=CurrentCalibration(value=1e-9, uncertainty=0.05, taken="at opening", valid_for=1e6),
    uneven=0.03,
    shutter=0.025,
    placement=15 * NM,
    shift_uncertainty=0.02,
    spherical=1e-6,
    counts_per_electron=8.0,
    settle=5.0,
    readout=20.0,
)
WITH_TEM = SETTINGS.model_copy(update={"tem": TEM})
SIDE = 40 * PM * 4096
# 256 x 256 pixels of 0.64 nm, a tenth of a second: 88 e/A^2
FLOOD = Flood((0.0, -400e-9), (SIDE, SIDE), (256, 256), 300e-9, 0.1, 60e-9)
ELECTRONS = 1e-9 / 1.602176634e-19  # a second
DISC = math.pi / 4.0 * (300 * NM) ** 2


def vacuum(window: Window) -> Scene:
    """What stands where nothing stands."""
    nothing = np.zeros((1, 1))
    crystals = Crystals((), np.zeros(0, np.intp), np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3, 3)), np.zeros(0))
    return Scene(window, max(window.size), nothing, {}, (), crystals, 100.0, (0,))


def flood_bench() -> ColumnBench:
    """A microscope that is blanked and in STEM, under a driver that knows of its TEM mode; its camera sees vacuum."""
    bench = column_bench(opened=False)
    bench.world.flooding.sees = vacuum
    bench.column = a_driver(bench.link, WITH_TEM)
    bench.column.open()
    return bench


def elsewhere(**changed: object) -> Flood:
    """Another flood."""
    return replace(FLOOD, **changed)  # type: ignore[arg-type]
