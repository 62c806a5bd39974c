"""A Lake Shore 336 in front of the world's cryostat: bytes in, bytes out.

Output 1 heats the stage; input A reads the stage, input B the shield; nothing is plugged into the others.  Source of
the quirks: Model 336 user's manual, chapter 6, and what the maker's own Python client relies on.  `assumed`: while the
set point ramps, SETP? tells where it is, not where it goes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from drivers.errors import WireError
from drivers.wire import lakeshore as wire
from drivers.wire.lakeshore import Event, Reading
from drivers.wire.text import LineSplitter, Message, OutOfBounds, Values, split_compound
from simulators.boxes.line import ByteBox
from simulators.stages.thermal import Cryostat, Node
from simulators.world import World

LATENCY = 0.01  # s from the end of a question to its answer, typical of the maker's controllers
FULL_POWER = (0.0, 0.1, 1.0, 10.0)  # W by heater range: decades (manual 2.10); 10 W by the user current limit, assumed
SENSORS: Final[dict[str, Node]] = {"A": "stage", "B": "shield"}
CLOSED_LOOP, STAGE_NUMBER = 1, 1
PLATINUM = {"type": 2, "autorange": 1, "span": 0, "compensation": 1, "units": 1}
DISABLED = {"type": 0, "autorange": 0, "span": 0, "compensation": 0, "units": 1}
NO_ALARM = {"on": 0, "high": 0.0, "low": 0.0, "deadband": 0.0, "latch": 0, "audible": 0, "visible": 0}


class Refuse(Exception):
    """The message is well formed and the box cannot do it: an execution error."""


@dataclass
class _Unplugged:
    """What the box keeps for an output that heats nothing; the same verbs as the world's cryostat."""

    target: float = 0.0
    pid: tuple[float, float, float] = (50.0, 20.0, 0.0)
    heater_limit: float = 0.0

    @property
    def set_point(self) -> float:
        return self.target

    def go_to(self, target: float) -> None:
        self.target = target

    def set_ramp(self, rate: float | None) -> None:
        pass  # without a sensor the set point has nothing to ramp from

    def ramping(self) -> bool:
        return False

    def heater_power(self) -> float:
        return 0.0


@dataclass
class _Output:
    """Front-panel settings of one output that the world does not keep."""

    range: int = 0
    ramp_on: int = 0
    ramp_rate: float = 10.0  # K/min
    mode: dict[str, int] = field(default_factory=lambda: {"mode": 0, "number": 0, "on": 0})
    manual: float = 0.0


@dataclass
class _Input:
    name: str
    limit: float = 0.0
    alarm: dict[str, Any] = field(default_factory=lambda: dict(NO_ALARM))
    alarmed: dict[str, int] = field(default_factory=lambda: {"high": 0, "low": 0})


class CryostatServer(ByteBox[str]):
    """The `Peer` of one host.

    spacing: s; a message that begins earlier after the last exchange is lost, as on the serial line (manual 6.3.5: the
    host keeps 50 ms, or communication fails now and then).  Over Ethernet the maker's own client keeps none: 0.
    """

    def __init__(self, world: World, *, spacing: float = wire.SPACING) -> None:
        super().__init__(world, LineSplitter(b"\n"))
        self._world = world
        self._spacing = spacing
        self._free_from = 0.0
        self._events = Event.POWER_ON  # stale until somebody reads it
        self._masks = {"*ESE": 0, "*SRE": 0}
        self._lock = {"on": 0, "code": 123}
        self._remote = 0
        self._inputs = {letter: _Input(SENSORS.get(letter, "").capitalize()) for letter in "ABCD"}
        self._outputs = {number: _Output() for number in (1, 2, 3, 4)}
        self._outputs[1].mode = {"mode": CLOSED_LOOP, "number": STAGE_NUMBER, "on": 0}
        self._show(world.cryostat)
        self._loops: dict[int, Any] = {1: world.cryostat} | {number: _Unplugged() for number in (2, 3, 4)}
        self._heaters = {number: {"ohms": 1, "preset": 0, "current": 0.632, "display": 2} for number in (1, 2)}
        world.processes.append(self._watch_limits)

    # --- lines

    def _mishear(self, error: WireError) -> None:
        self._events |= Event.COMMAND_ERROR

    def _hear(self, line: str) -> None:
        now = self._clock.now()
        blank = not line.strip()  # the maker's client opens with a bare line feed
        if blank or now < self._free_from - 1e-9:  # clocks round
            return
        parts = (self._answer(part.strip().removeprefix(":")) for part in split_compound(line))
        answered = [reply for reply in parts if reply is not None]
        if answered:
            now = max(now, self._replies[-1][0] if self._replies else 0.0) + LATENCY
            self._say(";".join(answered).encode("ascii") + b"\r\n", now)
        self._free_from = now + self._spacing

    def _answer(self, text: str) -> str | None:
        """What one message answers; None after a command and after an error, which only the event register tells."""
        error = Event.COMMAND_ERROR
        for message in MESSAGES.get(text.partition(" ")[0].upper(), ()):
            try:
                said = message.request.read(text, any_case=True)
                if said is None:
                    continue
                told = ANSWERS[message](self, said)
                return message.reply.write(told) if message.reply is not None else None
            except (OutOfBounds, Refuse):
                error = Event.EXECUTION_ERROR
        self._events |= error
        return None

    # --- inputs

    def _kelvin(self, letter: str) -> float:
        node = SENSORS.get(letter)
        if node is None or self._world.cryostat.sensor_open(node):
            return 0.0  # an open sensor reads +000.000: only RDGST? tells it from a temperature
        return self._world.cryostat.sensor(node)

    def _reading(self, letter: str) -> Reading:
        node = SENSORS.get(letter)
        if node is None:
            return Reading.INVALID
        return Reading.SENSOR_OVERRANGE if self._world.cryostat.sensor_open(node) else Reading(0)

    def _ohms(self, letter: str) -> float:
        return platinum(kelvin) if (kelvin := self._kelvin(letter)) else 0.0

    def _all(self, read: Callable[[str], float]) -> Values:
        return {"a": read("A"), "b": read("B"), "c": read("C"), "d4": read("D")}

    def _watch_limits(self, now: float) -> None:
        """Temperature limit (manual, TLIMIT) and alarms: looked at whenever time has moved."""
        for letter, entry in self._inputs.items():
            kelvin = self._kelvin(letter)
            if 0.0 < entry.limit < kelvin:
                for number in self._outputs:
                    self._set_range(number, 0)
            if entry.alarm["on"] and kelvin:
                for side, beyond in (("high", kelvin > entry.alarm["high"]), ("low", kelvin < entry.alarm["low"])):
                    entry.alarmed[side] = int(beyond or (entry.alarm["latch"] and entry.alarmed[side]))

    def _set_alarm(self, said: Values) -> None:
        entry = self._inputs[said["input"]]
        entry.alarm = {name: said[name] for name in NO_ALARM} if len(said) > 1 else dict(NO_ALARM)
        entry.alarmed = {"high": 0, "low": 0}

    def _reset_alarms(self) -> None:
        for entry in self._inputs.values():
            entry.alarmed = {"high": 0, "low": 0}

    # --- outputs

    def _show(self, cryostat: Cryostat) -> None:
        """What the front panel tells of a stage that was heated and ramped before this process came."""
        if cryostat.heater_limit:
            self._outputs[1].range = FULL_POWER.index(cryostat.heater_limit)
        if cryostat.ramp_rate is not None:
            self._outputs[1].ramp_on, self._outputs[1].ramp_rate = 1, cryostat.ramp_rate * 60.0

    def _set_range(self, number: int, level: int) -> None:
        if number > 2 and level > 1:
            raise Refuse
        self._outputs[number].range = level
        # in the off mode the range has no effect (manual, RANGE)
        self._loops[number].heater_limit = FULL_POWER[level] if self._outputs[number].mode["mode"] else 0.0

    def _set_ramp(self, said: Values) -> None:
        if not (said["rate"] == 0.0 or said["rate"] >= 0.1):
            raise Refuse
        output = self._outputs[said["output"]]
        output.ramp_on, output.ramp_rate = said["on"], said["rate"]
        self._loops[said["output"]].set_ramp(said["rate"] / 60.0 if said["on"] and said["rate"] else None)

    def _set_mode(self, said: Values) -> None:
        number, wanted = said["output"], (said["mode"], said["number"])
        if number == 1 and wanted not in ((0, 0), (0, STAGE_NUMBER), (CLOSED_LOOP, STAGE_NUMBER)):
            raise Refuse  # simpler than the box: this output is either off or controls the stage
        self._outputs[number].mode = {"mode": said["mode"], "number": said["number"], "on": said["on"]}
        self._set_range(number, self._outputs[number].range)

    def _set_manual(self, said: Values) -> None:
        if said["output"] == 1 and said["percent"]:
            raise Refuse  # simpler than the box: nothing is added to what the loop gives
        self._outputs[said["output"]].manual = said["percent"]

    def _percent(self, number: int) -> float:
        loop = self._loops[number]
        return 100.0 * loop.heater_power() / loop.heater_limit if loop.heater_limit else 0.0

    def _heater(self, said: Values) -> int:
        if said["output"] not in self._heaters:
            raise Refuse
        return int(said["output"])

    # --- the box

    def _read_events(self) -> Values:
        bits, self._events = int(self._events), Event(0)
        return {"bits": bits}

    def _clear(self) -> None:
        self._events = Event(0)

    def _reset(self) -> None:
        for number in self._outputs:
            self._set_range(number, 0)

    def _status_byte(self) -> int:
        return 32 if self._events & self._masks["*ESE"] else 0

    def _set_mask(self, name: str, bits: int) -> None:
        self._masks[name] = bits


def platinum(kelvin: float) -> float:
    """Resistance of a Pt-100, ohm, at a temperature, K. Source: IEC 60751, Callendar-Van Dusen."""
    celsius = kelvin - 273.15
    cold = -4.183e-12 * (celsius - 100.0) * celsius**3 if celsius < 0.0 else 0.0
    return 100.0 * (1.0 + 3.9083e-3 * celsius - 5.775e-7 * celsius**2 + cold)


ANSWERS: Final[dict[Message, Callable[[CryostatServer, Values], Any]]] = {
    wire.IDENTITY: lambda s, m: {"maker": "LSCI", "model": "MODEL336", "serial": "LSA0000/#######", "firmware": "2.9"},
    wire.EVENTS: lambda s, m: s._read_events(),
    wire.CLEAR: lambda s, m: s._clear(),
    wire.RESET: lambda s, m: s._reset(),
    wire.EVENT_MASK: lambda s, m: s._set_mask("*ESE", m["bits"]),
    wire.EVENT_MASK_IS: lambda s, m: {"bits": s._masks["*ESE"]},
    wire.SERVICE_MASK: lambda s, m: s._set_mask("*SRE", m["bits"]),
    wire.SERVICE_MASK_IS: lambda s, m: {"bits": s._masks["*SRE"]},
    wire.STATUS_BYTE: lambda s, m: {"bits": s._status_byte()},
    wire.SELF_TEST: lambda s, m: {"on": 0},
    wire.COMPLETE: lambda s, m: {"on": 1},
    wire.ALL_KELVIN: lambda s, m: s._all(s._kelvin),
    wire.KELVIN: lambda s, m: {"kelvin": s._kelvin(m["input"])},
    wire.CELSIUS: lambda s, m: {"celsius": k - 273.15 if (k := s._kelvin(m["input"])) else 0.0},
    wire.ALL_SENSOR: lambda s, m: s._all(s._ohms),
    wire.SENSOR: lambda s, m: {"units": s._ohms(m["input"])},
    wire.READING: lambda s, m: {"bits": int(s._reading(m["input"]))},
    wire.SENSOR_TYPE: lambda s, m: PLATINUM if m["input"] in SENSORS else DISABLED,
    wire.NAME: lambda s, m: setattr(s._inputs[m["input"]], "name", m["name"][:15]),
    wire.NAME_IS: lambda s, m: {"name": s._inputs[m["input"]].name},
    wire.LIMIT: lambda s, m: setattr(s._inputs[m["input"]], "limit", m["kelvin"]),
    wire.LIMIT_IS: lambda s, m: {"kelvin": s._inputs[m["input"]].limit},
    wire.ALARM: lambda s, m: s._set_alarm(m),
    wire.ALARM_OFF: lambda s, m: s._set_alarm(m),
    wire.ALARM_IS: lambda s, m: s._inputs[m["input"]].alarm,
    wire.ALARM_STATE: lambda s, m: s._inputs[m["input"]].alarmed,
    wire.ALARM_RESET: lambda s, m: s._reset_alarms(),
    wire.SETPOINT: lambda s, m: s._loops[m["output"]].go_to(m["kelvin"]),
    wire.SETPOINT_IS: lambda s, m: {"kelvin": s._loops[m["output"]].set_point},
    wire.RAMP: lambda s, m: s._set_ramp(m),
    wire.RAMP_IS: lambda s, m: {"on": (o := s._outputs[m["output"]]).ramp_on, "rate": o.ramp_rate},
    wire.RAMPING: lambda s, m: {"on": int(s._loops[m["output"]].ramping())},
    wire.RANGE: lambda s, m: s._set_range(m["output"], m["range"]),
    wire.RANGE_IS: lambda s, m: {"range": s._outputs[m["output"]].range},
    wire.HEATER: lambda s, m: {"percent": s._percent(s._heater(m))},
    wire.HEATER_FAULT: lambda s, m: {"fault": s._heater(m) and 0},  # never kinder: it does not tell why no heat comes
    wire.HEATER_SETUP: lambda s, m: s._heaters[s._heater(m)].update({k: v for k, v in m.items() if k != "output"}),
    wire.HEATER_SETUP_IS: lambda s, m: s._heaters[s._heater(m)],
    wire.ANALOG: lambda s, m: {"percent": 0.0},
    wire.GAINS: lambda s, m: setattr(s._loops[m["output"]], "pid", (m["p"], m["i"], m["d"])),
    wire.GAINS_ARE: lambda s, m: dict(zip("pid", s._loops[m["output"]].pid, strict=True)),
    wire.MODE: lambda s, m: s._set_mode(m),
    wire.MODE_IS: lambda s, m: s._outputs[m["output"]].mode,
    wire.MANUAL: lambda s, m: s._set_manual(m),
    wire.MANUAL_IS: lambda s, m: {"percent": s._outputs[m["output"]].manual},
    wire.LOCK: lambda s, m: s._lock.update(m),
    wire.LOCK_IS: lambda s, m: s._lock,
    wire.REMOTE: lambda s, m: setattr(s, "_remote", m["remote"]),
    wire.REMOTE_IS: lambda s, m: {"remote": s._remote},
}
"""What each message of the wire does in the world; None is told by commands."""

MESSAGES: Final[dict[str, tuple[Message, ...]]] = {
    mnemonic: tuple(message for message in ANSWERS if message.mnemonic == mnemonic)
    for mnemonic in {message.mnemonic for message in ANSWERS}
}
