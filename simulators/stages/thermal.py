"""The cold stage: cold finger and stage over liquid nitrogen, the heater and the control loop of its controller."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
from scipy.constants import Stefan_Boltzmann

from physics import liquid_nitrogen
from simulators.constants import constants

Node = Literal["stage", "shield"]


@dataclass
class HeatAccount:
    """Joules since the start: from the heater, leaked in from the room, taken by boiling nitrogen, stored in metal."""

    heater: float = 0.0
    leaked: float = 0.0
    boiled: float = 0.0
    stored: float = 0.0


class Cryostat:
    """Two thermal nodes ("shield": the cold finger; "stage") cooled from a dewar, as data/thermal.yaml describes them.

    pid: P, I, D as a Lake Shore 336 works them (manual, chapter 2, PID control): output in % of the heater's limit =
    P (e + integral of e over 1000 s / I + D/100 x 250 s / I x de/dt), the integral held while the output is at an end.
    heater_limit: W that the heater range allows (0: off).  ramp_rate: K/s, or None.  nitrogen: kg left in the dewar.
    Everything moves in steps of one second, however often somebody looks.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self._data = constants("thermal")
        self._random = random
        room = float(self._data["room"])
        self._temperatures: dict[str, float] = {"stage": room, "shield": room}
        self._open: set[str] = set()
        self._done = 0.0
        self._output = 0.0
        self._integral = 0.0  # %, the integral's share of the output
        self._last_error: float | None = None
        self._load = 0.0
        self._heater_broken = False
        self.nitrogen = float(self._data["dewar"]) * liquid_nitrogen.density()
        self.heat = HeatAccount()
        self.pid: tuple[float, float, float] = (50.0, 20.0, 0.0)
        self.heater_limit = 0.0
        self.ramp_rate: float | None = None
        self.target = room
        self.set_point = room

    def advance(self, now: float) -> None:
        """Let time pass up to a clock time, s."""
        step = float(self._data["step"])
        steps = int((now - self._done) / step)
        if steps > 0:
            self._done += steps * step
            self._steps(steps, step)

    def temperature(self, node: str) -> float:
        """True temperature of a node, K."""
        return self._temperatures[node]

    def sensor(self, node: Node) -> float:
        """What the sensor of a node reads now, K, with its noise; nan when its lead is open."""
        if node in self._open:
            return float("nan")
        return self._temperatures[node] + float(self._random.normal(0.0, self._data["sensor_noise"]))

    def sensor_open(self, node: Node) -> bool:
        """True when the lead of the node's sensor is broken."""
        return node in self._open

    def heater_power(self) -> float:
        """What the controller believes to put out, W."""
        return min(self._output, self.heater_limit)

    def ramping(self) -> bool:
        """True while the set point moves."""
        return self.set_point != self.target

    def go_to(self, target: float) -> None:
        """New target, K: the set point ramps there from where it stands, or jumps when no ramp is set."""
        if not (isfinite(target) and target >= 0.0):
            raise ValueError(f"a stage cannot go to {target} K")
        self.target = target
        if self.ramp_rate is None:
            self.set_point = target

    def set_ramp(self, rate: float | None) -> None:
        """Rate of the set point, K/s; None: it jumps."""
        if rate is not None and not rate > 0.0:
            raise ValueError(f"a set point cannot ramp at {rate} K/s")
        self.ramp_rate = rate
        if rate is None:
            self.set_point = self.target

    def state(self) -> dict[str, Any]:
        """Everything that a stage left alone overnight still has in the morning, as JSON."""
        return {
            "temperatures": self._temperatures,
            "open": sorted(self._open),
            "done": self._done,
            "output": self._output,
            "integral": self._integral,
            "load": self._load,
            "heater_broken": self._heater_broken,
            "nitrogen": self.nitrogen,
            "heat": asdict(self.heat),
            "pid": list(self.pid),
            "heater_limit": self.heater_limit,
            "ramp_rate": self.ramp_rate,
            "target": self.target,
            "set_point": self.set_point,
        }

    def recall(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._temperatures = dict(state["temperatures"])
        self._open = set(state["open"])
        self._done, self._output, self._integral = state["done"], state["output"], state["integral"]
        self._load, self._heater_broken = state["load"], state["heater_broken"]
        self._last_error = None
        self.nitrogen, self.heat = state["nitrogen"], HeatAccount(**state["heat"])
        proportional, integral, derivative = state["pid"]
        self.pid = (proportional, integral, derivative)
        self.heater_limit, self.ramp_rate = state["heater_limit"], state["ramp_rate"]
        self.target, self.set_point = state["target"], state["set_point"]

    def quench(self) -> None:
        """Let the insulating vacuum break."""
        self._load = float(self._data["quench"])

    def stall(self) -> None:
        """Let the heater's element open: no heat arrives any more, and no wire says so."""
        self._heater_broken = True

    def lose_ln2(self) -> None:
        """Empty the dewar."""
        self.nitrogen = 0.0

    def open_sensor(self, node: Node) -> None:
        """Break the lead of a sensor."""
        self._open.add(node)

    def _steps(self, steps: int, step: float) -> None:
        """Explicit Euler, with everything of the loop in local names: a night must cost a fraction of a second."""
        data, heat = self._data, self.heat
        room, cold = float(data["room"]), liquid_nitrogen.boiling_point()
        g1, g2, leak1, leak2 = (
            float(value)
            for value in (
                data["dewar_to_finger"],
                data["finger_to_stage"],
                data["finger"]["leak"],
                data["stage"]["leak"],
            )
        )
        radiating = Stefan_Boltzmann * float(data["stage"]["emitting"])
        mass1, mass2 = float(data["finger"]["capacity"]), float(data["stage"]["capacity"])
        low, high, floor = (float(data["heat_capacity"][name]) for name in ("cold", "warm", "floor"))
        rise = (1.0 - floor) / (high - low)
        static, latent = float(data["dewar_leak"]), liquid_nitrogen.latent_heat()
        finger, stage, nitrogen = self._temperatures["shield"], self._temperatures["stage"], self.nitrogen
        heater = leaked = boiled = stored = 0.0
        for _ in range(steps):
            if self.set_point != self.target:
                self._ramp(step)
            power = self._loop(stage, step)
            if self._heater_broken:
                power = 0.0
            drawn = g1 * (finger - cold) if nitrogen > 0.0 else 0.0
            across = g2 * (finger - stage)
            into_finger = leak1 * (room - finger)
            if nitrogen == 0.0:  # what leaks into the dewar has nothing left to boil and goes to the finger
                into_finger += static * (room - finger) / (room - cold)
            into_stage = leak2 * (room - stage) + radiating * (room**4 - stage**4) + self._load
            capacity1 = mass1 * (floor + rise * (finger - low) if finger < high else 1.0)
            capacity2 = mass2 * (floor + rise * (stage - low) if stage < high else 1.0)
            net1, net2 = into_finger - drawn - across, into_stage + across + power
            finger += step * net1 / capacity1
            stage += step * net2 / capacity2
            if nitrogen > 0.0:
                nitrogen = max(nitrogen - (drawn + static) * step / latent, 0.0)
            heater += power
            leaked += into_finger + into_stage
            boiled += drawn
            stored += net1 + net2
        self._temperatures = {"stage": stage, "shield": finger}
        self.nitrogen = nitrogen
        heat.heater += heater * step
        heat.leaked += leaked * step
        heat.boiled += boiled * step
        heat.stored += stored * step

    def _ramp(self, step: float) -> None:
        far = self.target - self.set_point
        reach = (self.ramp_rate or 0.0) * step
        self.set_point = self.target if abs(far) <= reach or reach == 0.0 else self.set_point + np.copysign(reach, far)

    def _loop(self, stage: float, step: float) -> float:
        """One step of the control loop, W."""
        if self.heater_limit == 0.0 or "stage" in self._open:
            self._output = self._integral = 0.0
            self._last_error = None
            return 0.0
        gain, reset, derivative = self.pid
        error = self.set_point - stage
        rate = (self._last_error is not None) * (error - (self._last_error or 0.0)) / step
        self._last_error = error
        lead = derivative / 100.0 * 250.0 / reset if reset > 0.0 else 0.0
        output = gain * (error + lead * rate) + self._integral
        if (output > 0.0 or error > 0.0) and (output < 100.0 or error < 0.0):
            self._integral = min(max(self._integral + gain * reset / 1000.0 * error * step, 0.0), 100.0)
        self._output = min(max(output, 0.0), 100.0) / 100.0 * self.heater_limit
        return self._output
