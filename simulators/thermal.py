"""The cold stage: cold finger and stage over liquid nitrogen, with the heater and the control loop of its controller."""

from __future__ import annotations

from typing import Literal

import numpy as np

Node = Literal["stage", "shield"]


class Cryostat:
    """Two thermal nodes ("stage", "shield") cooled from a dewar; set point, ramp and PID as the controller works them.

    pid: (P, I, D) as set on a Lake Shore: output in % = P (e + I/1000 s * integral of e - D/100 * ... de/dt).
    heater_limit: W the heater may give (0: range off).  ramp_rate: K/s or None.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self.pid: tuple[float, float, float] = (50.0, 20.0, 0.0)
        self.heater_limit = 0.0
        self.ramp_rate: float | None = None
        self.target = 295.0
        self.set_point = 295.0

    def advance(self, now: float) -> None:
        """Let time pass up to a clock time, s."""
        raise NotImplementedError

    def sensor(self, node: Node) -> float:
        """What the sensor of a node reads now, K, with 20 mK of noise; nan when its lead is open."""
        raise NotImplementedError

    def sensor_open(self, node: Node) -> bool:
        """True when the lead of the node's sensor is broken."""
        raise NotImplementedError

    def temperature(self, node: str) -> float:
        """True temperature of a node, K."""
        raise NotImplementedError

    def heater_power(self) -> float:
        """What the controller puts out now, W."""
        raise NotImplementedError

    def ramping(self) -> bool:
        """True while the set point moves."""
        raise NotImplementedError

    def go_to(self, target: float) -> None:
        """New target, K: the set point ramps there from where it stands, or jumps when no ramp is set."""
        raise NotImplementedError

    def set_ramp(self, rate: float | None) -> None:
        """Rate of the set point, K/s; None: it jumps."""
        raise NotImplementedError
