"""Lake Shore 335/336 text messages.

Source: Model 336 user's manual, chapter 6 (names, formats, event and status bits).  A line may hold several messages
with `;` between them; it ends in LF (CR LF is as good), every answer in CR LF.  Commands answer nothing: what became of
them says the event register.  On the serial line 57600 baud, 7 data bits, odd parity; on Ethernet TCP port 7777.
"""

from __future__ import annotations

from enum import IntFlag

from drivers.errors import WireError
from drivers.wire.text import Vocabulary

SPACING = 0.05  # s from the end of one exchange to the next request, manual 6.3.5


class Event(IntFlag):
    """`*ESR?`, manual 6.2.5: what happened since it was last read."""

    OPERATION_COMPLETE = 1
    QUERY_ERROR = 4
    EXECUTION_ERROR = 16
    COMMAND_ERROR = 32
    POWER_ON = 128


class Reading(IntFlag):
    """`RDGST?`: why a reading cannot be believed."""

    INVALID = 1
    TOO_COLD = 16
    TOO_HOT = 32
    SENSOR_ZERO = 64
    SENSOR_OVERRANGE = 128


READING_BITS = sum(Reading)
EVENT_BITS = sum(Event)

_LAKE_SHORE = Vocabulary(
    input=("A", "B", "C", "D"),
    output=(1.0, 4.0),
    on=(0.0, 1.0),
    kelvin=(0.0, 999.999),
    celsius=(-273.15, 726.849),
    percent=(0.0, 100.0),
    rate=(0.0, 100.0),  # K/min; 0 jumps
    range=(0.0, 3.0),  # 0 off, 1 low, 2 medium, 3 high
    fault=(0.0, 2.0),  # 0 none, 1 open, 2 short
    bits=(0.0, 255.0),
    p=(0.1, 1000.0),
    i=(0.0, 1000.0),
    d=(0.0, 200.0),
)
_query, _action = _LAKE_SHORE.query, _LAKE_SHORE.action

IDENTITY = _query("*IDN?", "{maker},{model},{serial},{firmware}")
EVENTS = _query("*ESR?", "{bits:03d}", consuming=True)
CLEAR = _action("*CLS")
RESET = _action("*RST")
EVENT_MASK = _action("*ESE {bits:d}")
EVENT_MASK_IS = _query("*ESE?", "{bits:03d}")
SERVICE_MASK = _action("*SRE {bits:d}")
SERVICE_MASK_IS = _query("*SRE?", "{bits:03d}")
STATUS_BYTE = _query("*STB?", "{bits:03d}")
SELF_TEST = _query("*TST?", "{on:d}")
COMPLETE = _query("*OPC?", "{on:d}")

ALL_KELVIN = _query("KRDG? 0", "{a:+08.3f},{b:+08.3f},{c:+08.3f},{d4:+08.3f}")  # Model 336 only
KELVIN = _query("KRDG? {input}", "{kelvin:+08.3f}")
CELSIUS = _query("CRDG? {input}", "{celsius:+08.3f}")
ALL_SENSOR = _query("SRDG? 0", "{a:+08.3f},{b:+08.3f},{c:+08.3f},{d4:+08.3f}")
SENSOR = _query("SRDG? {input}", "{units:+08.3f}")
READING = _query("RDGST? {input}", "{bits:03d}")
SENSOR_TYPE = _query("INTYPE? {input}", "{type:d},{autorange:d},{span:d},{compensation:d},{units:d}")
NAME = _action('INNAME {input},"{name}"')
NAME_IS = _query("INNAME? {input}", "{name:<15}")
LIMIT = _action("TLIMIT {input},{kelvin:.3f}")  # 0: none
LIMIT_IS = _query("TLIMIT? {input}", "{kelvin:+08.3f}")
ALARM = _action(
    "ALARM {input},{on:d},{high:.3f},{low:.3f},{deadband:.3f},{latch:d},{audible:d},{visible:d}",
)
ALARM_OFF = _action("ALARM {input},0,,,,,,")
ALARM_IS = _query(
    "ALARM? {input}", "{on:d},{high:+08.3f},{low:+08.3f},{deadband:+08.3f},{latch:d},{audible:d},{visible:d}"
)
ALARM_STATE = _query("ALARMST? {input}", "{high:d},{low:d}")
ALARM_RESET = _action("ALMRST")

SETPOINT = _action("SETP {output:d},{kelvin:.3f}")
SETPOINT_IS = _query("SETP? {output:d}", "{kelvin:+08.3f}")
RAMP = _action("RAMP {output:d},{on:d},{rate:.1f}")  # K/min
RAMP_IS = _query("RAMP? {output:d}", "{on:d},{rate:.1f}")
RAMPING = _query("RAMPST? {output:d}", "{on:d}")
RANGE = _action("RANGE {output:d},{range:d}")
RANGE_OFF = _action("RANGE {output:d},0", safe=True)
RANGE_IS = _query("RANGE? {output:d}", "{range:d}")
HEATER = _query("HTR? {output:d}", "{percent:+06.1f}")
HEATER_FAULT = _query("HTRST? {output:d}", "{fault:d}")
HEATER_SETUP = _action("HTRSET {output:d},{ohms:d},{preset:d},{current:.3f},{display:d}")
HEATER_SETUP_IS = _query("HTRSET? {output:d}", "{ohms:d},{preset:d},{current:+06.3f},{display:d}")
ANALOG = _query("AOUT? {output:d}", "{percent:+06.1f}")
GAINS = _action("PID {output:d},{p:.1f},{i:.1f},{d:.1f}")
GAINS_ARE = _query("PID? {output:d}", "{p:+07.1f},{i:+07.1f},{d:+07.1f}")
MODE = _action("OUTMODE {output:d},{mode:d},{number:d},{on:d}")  # mode 0 off, 1 closed loop; input by number, 1 is A
MODE_IS = _query("OUTMODE? {output:d}", "{mode:d},{number:d},{on:d}")
MANUAL = _action("MOUT {output:d},{percent:.2f}")
MANUAL_IS = _query("MOUT? {output:d}", "{percent:+07.2f}")
LOCK = _action("LOCK {on:d},{code:d}")
LOCK_IS = _query("LOCK?", "{on:d},{code:03d}")
REMOTE = _action("MODE {remote:d}")
REMOTE_IS = _query("MODE?", "{remote:d}")


def events(bits: int) -> Event:
    """The event register by name. Raises WireError on a bit the box does not have."""
    if bits & ~EVENT_BITS:
        raise WireError(f"*ESR? answered {bits:03d}, which has bits this register does not have")
    return Event(bits)


def reading(bits: int) -> Reading:
    """The status of a reading by name. Raises WireError on a bit the box does not have."""
    if bits & ~READING_BITS:
        raise WireError(f"RDGST? answered {bits:03d}, which has bits this status does not have")
    return Reading(bits)
