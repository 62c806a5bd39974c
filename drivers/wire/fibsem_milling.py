"""What the fibsem API says of milling.

Source: fibsem 0.5.3, fibsem/server/models.py and fibsem/structures.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drivers.wire.fibsem_json import Beam, Closed, Open

MillingState = Literal["IDLE", "RUNNING", "STOPPING", "PAUSED", "ERROR"]


@dataclass(frozen=True)
class MillSettings(Open):
    """How patterns are milled.

    preset, spot_size, rate, dwell_time, spacing: of TESCAN instruments, whose preset alone decides current and voltage.
    """

    milling_current: float
    milling_voltage: float
    hfw: float
    application_file: str = "Si"
    patterning_mode: Literal["Serial", "Parallel"] = "Serial"
    milling_channel: Beam = "ion"
    preset: str = "30 keV; 2nA"
    spot_size: float = 1e-6
    rate: float = 1.3e-8
    dwell_time: float = 1e-6
    spacing: float = 0.005
    acquire_images: bool = False


@dataclass(frozen=True)
class SetUpMilling(Closed):
    """Makes the ion beam ready and forgets all patterns."""

    mill_settings: MillSettings


@dataclass(frozen=True)
class RunMilling(Closed):
    """Starts milling; without `asynch` the answer comes when it is over."""

    milling_current: float
    milling_voltage: float
    asynch: bool = False


@dataclass(frozen=True)
class FinishMilling(Closed):
    """Forgets the patterns and goes back to imaging."""

    imaging_current: float
    imaging_voltage: float


@dataclass(frozen=True)
class MillingStateTold(Closed):
    """Whether the beam is milling."""

    state: MillingState


@dataclass(frozen=True)
class MillingTime(Closed):
    """How long the patterns drawn will take by the box's own tables, s."""

    seconds: float
