"""The cryostat: temperatures of stage and shield, ramps of the stage, its heater (Lake Shore 335 or 336)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from drivers.conversation import Conversation
from drivers.cryostat_settings import CryostatSettings, Node, ranges
from drivers.errors import DeviceError, LimitError, LinkError, LinkTimeout, RigError, WireError
from drivers.interlocks import Guard
from drivers.limits import Limits
from drivers.links.base import Link, Wait
from drivers.wire import lakeshore as wire
from drivers.wire.text import Said

__all__ = ["Cryostat", "CryostatSettings", "ranges"]

POLL = 5.0  # s between looks at a ramp
AGREE = 0.2  # K; two readings 10 ms apart: ten times the noise of a sensor, twice what the fastest ramp moves in 50 ms
SAME_KELVIN = 0.0015  # K; set points are carried with three decimals
SAME_RATE = 0.051  # K/min; the box rounds rates to 0.1 K/min
MODELS = ("MODEL335", "MODEL336")
CLOSED_LOOP, KELVINS = 1, 1  # OUTMODE and INTYPE, manual chapter 6

BY_HAND = "Was it set at the front panel? Leave the controller alone and try again."


class Cryostat:
    """Lake Shore 335 or 336 with the stage on one heater output.

    A temperature is believed when its status says so and two readings agree.  A ramp that fails leaves the heater off.
    """

    Settings = CryostatSettings

    def __init__(
        self,
        link: Link,
        settings: CryostatSettings,
        *,
        limits: Limits,
        guard: Guard,
        wait: Wait,
        name: str = "cryostat",
    ) -> None:
        self.name = name
        self._link = link
        self._settings = settings
        self._limits = limits
        self._guard = guard
        self._wait = wait
        self._output = settings.output
        # the event register goes with the identity: what a lost message left there is not the next one's error
        self._conversation = Conversation(link, name, (wire.IDENTITY(), wire.EVENTS()), spacing=wire.SPACING)

    def open(self) -> None:
        """See that a Lake Shore 335 or 336 answers and is set up as the rig file says; empties its event register.

        Raises LinkError, WireError, DeviceError.
        """
        (identity,) = self._ask("open", wire.IDENTITY())
        if identity["maker"] != "LSCI" or identity["model"] not in MODELS:
            raise self._no(
                "open",
                f"found {identity['maker']} {identity['model']}, not a Lake Shore 335 or 336",
                "Does the link in the rig file lead to the cryostat's controller?",
            )
        self._ask("open", wire.EVENTS())  # what happened before we came is not our error
        stage = self._settings.inputs["stage"]
        (loop,) = self._ask("open", wire.MODE_IS(output=self._output))
        if loop["mode"] != CLOSED_LOOP or loop["number"] != "ABCD".index(stage) + 1:
            raise self._no(
                "open",
                f"output {self._output} does not control the stage (mode {loop['mode']}, input {loop['number']})",
                f"On the controller set output {self._output} to closed loop on input {stage}.",
            )
        (sensor,) = self._ask("open", wire.SENSOR_TYPE(input=stage))
        if sensor["units"] != KELVINS:
            raise self._no("open", f"input {stage} is not in kelvin, so neither are set points", "Set its units to K.")

    def close(self) -> None:
        """Close the line; the controller goes on as it is."""
        self._link.close()

    def set_temperature(self, kelvin: float, ramp_kelvin_per_second: float, tolerance: float = 0.5) -> None:
        """Ramp the stage to a temperature and return when it is held there.

        kelvin: target, K.  ramp_kelvin_per_second: K/s; the box takes steps of 0.1 K/min, never faster than asked.
        tolerance: K.  Raises LimitError, InterlockError, LinkError, WireError, DeviceError; Aborted leaves the ramp on.
        """
        action = "set_temperature"
        self._limits.check(self.name, action, temperature=kelvin, ramp=ramp_kelvin_per_second)
        if not AGREE <= tolerance < math.inf:
            raise LimitError(
                f"refused: a tolerance of {tolerance:g} K; two readings agree to {AGREE:g} K",
                device=self.name,
                action=action,
                way_out=f"Choose a tolerance of {AGREE:g} K or more.",
            )
        self._guard(f"{self.name}.{action}")
        rate = math.floor(ramp_kelvin_per_second * 600.0 + 1e-6) / 10.0  # K/min
        with self._heater_off_on_failure():
            start = self._control_from_here(action, rate)
            self._start_ramp(action, kelvin, rate)
            self._until_held(action, start, kelvin, rate, tolerance)

    def heater_off(self) -> None:
        """Switch the heater of the stage off; the cold takes it where it will. Raises InterlockError, LinkError."""
        self._guard(f"{self.name}.heater_off")
        self._switch_off("heater_off")

    def make_safe(self) -> None:
        """Heater off, whatever else is going on, and seen to be off. Raises LinkError, WireError, DeviceError."""
        with self._link.abort.ignored():
            self._switch_off("make_safe")

    def temperature(self) -> float:
        """Temperature of the stage, K, read twice. Raises LinkError, WireError, DeviceError."""
        return self._reading("temperature", "stage")

    def temperatures(self) -> dict[str, float]:
        """Temperature of everything that has a sensor, K, by its name in the rig file."""
        return {node: self._reading("temperatures", node) for node in self._settings.inputs}

    def heater(self) -> float:
        """What the heater gives, as a fraction of its range."""
        (heater,) = self._ask("heater", wire.HEATER(output=self._output))
        return float(heater["percent"]) / 100.0

    def set_point(self) -> float:
        """What the loop is working to, K."""
        (set_point,) = self._ask("set_point", wire.SETPOINT_IS(output=self._output))
        return float(set_point["kelvin"])

    def status(self) -> dict[str, float | str | bool]:
        """For the record: kelvins by node (or why there are none), set_point K, heater fraction, range, ramping."""
        found: dict[str, float | str | bool] = {}
        for node in self._settings.inputs:
            try:
                found[node] = self._reading("status", node)
            except DeviceError as error:
                found[node] = error.what
        set_point, heater, level, ramping = self._ask(
            "status",
            wire.SETPOINT_IS(output=self._output),
            wire.HEATER(output=self._output),
            wire.RANGE_IS(output=self._output),
            wire.RAMPING(output=self._output),
        )
        return found | {
            "set_point": set_point["kelvin"],
            "heater": heater["percent"] / 100.0,
            "heater_range": level["range"],
            "ramping": bool(ramping["on"]),
        }

    # --- what an action is made of

    def _control_from_here(self, action: str, rate: float) -> float:
        """Make the set point the present temperature, with no ramp; returns it."""
        here = round(self.temperature(), 3)
        self._limits.check(self.name, action, temperature=here)
        # a ramp starts from the old set point, not from the temperature (manual, RAMP): bring it here first;
        # in one line, for a ramp that is switched off on its way jumps to its end
        ramp, set_point = self._command(
            action,
            wire.RAMP(output=self._output, on=0, rate=rate),
            wire.SETPOINT(output=self._output, kelvin=here),
            wire.RAMP_IS(output=self._output),
            wire.SETPOINT_IS(output=self._output),
        )
        self._see(action, "ramp", ramp["on"], 0, 0.0)
        self._see(action, "set point", set_point["kelvin"], here, SAME_KELVIN)
        return here

    def _start_ramp(self, action: str, kelvin: float, rate: float) -> None:
        (ramp,) = self._command(
            action, wire.RAMP(output=self._output, on=1, rate=rate), wire.RAMP_IS(output=self._output)
        )
        self._see(action, "ramp", ramp["on"], 1, 0.0)
        self._see(action, "ramp rate", ramp["rate"], rate, SAME_RATE)
        self._command(action, wire.SETPOINT(output=self._output, kelvin=kelvin))
        self._heat(action)

    def _heat(self, action: str) -> None:
        """Switch the heater on: always after the set point, which is what it will heat to."""
        level = self._settings.heater_range
        (found,) = self._command(
            action, wire.RANGE(output=self._output, range=level), wire.RANGE_IS(output=self._output)
        )
        self._see(action, "heater range", found["range"], level, 0.0)

    def _switch_off(self, action: str) -> None:
        off = wire.RANGE_OFF(output=self._output)
        try:
            (found,) = self._ask(action, off, wire.RANGE_IS(output=self._output))
        except (LinkTimeout, WireError):
            self._conversation.say(off)  # the line may still carry one way
            raise
        if found["range"] != 0:
            raise self._no(
                action, f"the heater range is {found['range']} after it was switched off", "Switch it off by hand."
            )

    def _until_held(self, action: str, start: float, kelvin: float, rate: float, tolerance: float) -> None:
        clock = self._link.clock
        given_up = clock.now() + 2.0 * abs(kelvin - start) / rate * 60.0 + self._settings.patience
        inside_since = None
        while True:
            stage = self.temperature()
            set_point, level, ramping, fault = self._ask(
                action,
                wire.SETPOINT_IS(output=self._output),
                wire.RANGE_IS(output=self._output),
                wire.RAMPING(output=self._output),
                wire.HEATER_FAULT(output=self._output),
            )
            self._still_ramping(action, set_point["kelvin"], level["range"], fault["fault"], (start, kelvin))
            now = clock.now()
            arrived = not ramping["on"] and abs(set_point["kelvin"] - kelvin) <= SAME_KELVIN
            if not (arrived and abs(stage - kelvin) <= tolerance):
                inside_since = None
            elif inside_since is None:
                inside_since = now
            if inside_since is not None and now - inside_since >= self._settings.settle:
                return
            if now >= given_up:
                raise self._no(
                    action,
                    f"did not reach {kelvin:.2f} K: after twice the ramp and {self._settings.patience:g} s the "
                    f"stage is at {stage:.2f} K, the set point at {set_point['kelvin']:.2f} K",
                    "Is there liquid nitrogen, and is the heater whole?",
                )
            self._wait(POLL)

    def _still_ramping(
        self, action: str, set_point: float, level: int, fault: int, between: tuple[float, float]
    ) -> None:
        """See that nobody and nothing changed what we started."""
        if level != self._settings.heater_range:
            raise self._no(action, f"the heater range became {level}, set was {self._settings.heater_range}", BY_HAND)
        if fault:
            raise self._no(action, f"the heater is {'open' if fault == 1 else 'shorted'}", "Look at its leads.")
        if not min(between) - SAME_KELVIN <= set_point <= max(between) + SAME_KELVIN:
            raise self._no(
                action,
                f"the set point is {set_point:.3f} K, not on the way from {between[0]:g} K to {between[1]:g} K",
                BY_HAND,
            )

    @contextmanager
    def _heater_off_on_failure(self) -> Iterator[None]:
        try:
            yield
        except (LinkError, WireError, DeviceError) as error:
            try:
                self.make_safe()
            except RigError as second:
                error.add_note(f"and the heater was not seen to go off: {second}")
            raise

    # --- questions

    def _reading(self, action: str, node: Node) -> float:
        letter = self._settings.inputs[node]
        low, high = self._settings.plausible
        first: dict[str, Any] = {}
        second: dict[str, Any] = {}
        for _ in range(2):  # a line that garbled one reading may carry the next
            status, first, second = self._ask(
                action, wire.READING(input=letter), wire.KELVIN(input=letter), wire.KELVIN(input=letter)
            )
            if bad := wire.reading(status["bits"]):
                raise self._no(
                    action,
                    f"the sensor of the {node} on input {letter} gives no temperature ({bad.name})",
                    f"Is the lead of input {letter} plugged in?",
                )
            if abs(first["kelvin"] - second["kelvin"]) <= AGREE and low <= second["kelvin"] <= high:
                return float(second["kelvin"])
        raise WireError(
            f"the {node} read {first['kelvin']} K and then {second['kelvin']} K; believed are two equal readings "
            f"between {low:g} and {high:g} K",
            device=self.name,
            action=action,
        )

    def _ask(self, action: str, *said: Said) -> list[dict[str, Any]]:
        return self._conversation.ask(action, *said)

    def _command(self, action: str, *said: Said) -> list[dict[str, Any]]:
        """Send commands and questions, and see that no command was refused; what the questions were answered."""
        *found, register = self._ask(action, *said, wire.EVENTS())
        events = wire.events(register["bits"])
        if wire.Event.POWER_ON in events:
            raise self._no(
                action, "the controller was switched off and on again", "Find out why, then set the temperature again."
            )
        if bad := events & ~wire.Event.OPERATION_COMPLETE:
            commands = ";".join(one.text for one in said if one.message.reply is None)
            raise self._no(
                action,
                f'the controller refused "{commands}" ({bad.name})',
                "Does the controller allow it by hand? If so, the line garbled it: try again.",
            )
        return found

    def _see(self, action: str, what: str, found: float, wanted: float, same: float) -> None:
        if not abs(found - wanted) <= same:
            raise self._no(action, f"the {what} reads back as {found:g}, sent was {wanted:g}", BY_HAND)

    def _no(self, action: str, what: str, way_out: str = "") -> DeviceError:
        return DeviceError(what, device=self.name, action=action, way_out=way_out)
