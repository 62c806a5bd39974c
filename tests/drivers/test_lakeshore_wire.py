"""Lake Shore messages, held to the manual's formats from both ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import WireError
from drivers.wire import lakeshore as wire
from drivers.wire.text import LONGEST, LineSplitter, OutOfBounds, answers, compound, split_compound
from tests.drivers.golden import golden, pairs

SAID = {
    "*IDN?": (
        wire.IDENTITY(),
        [{"maker": "LSCI", "model": "MODEL336", "serial": "LSA3361/LSO3362", "firmware": "2.9"}],
    ),
    "KRDG? A": (wire.KELVIN(input="A"), [{"kelvin": 77.35}]),
    "KRDG? B": (wire.KELVIN(input="B"), [{"kelvin": 0.0}]),
    "RDGST? A": (wire.READING(input="A"), [{"bits": 0}]),
    "RDGST? B": (wire.READING(input="B"), [{"bits": 128}]),
    "CRDG? A": (wire.CELSIUS(input="A"), [{"celsius": -195.8}]),
    "SETP? 1": (wire.SETPOINT_IS(output=1), [{"kelvin": 90.0}]),
    "RAMP? 1": (wire.RAMP_IS(output=1), [{"on": 1, "rate": 10.0}]),
    "RAMPST? 1": (wire.RAMPING(output=1), [{"on": 1}]),
    "RANGE? 1": (wire.RANGE_IS(output=1), [{"range": 3}]),
    "HTR? 1": (wire.HEATER(output=1), [{"percent": 25.5}]),
    "HTRST? 1": (wire.HEATER_FAULT(output=1), [{"fault": 0}]),
    "PID? 1": (wire.GAINS_ARE(output=1), [{"p": 50.0, "i": 20.0, "d": 0.0}]),
    "OUTMODE? 1": (wire.MODE_IS(output=1), [{"mode": 1, "number": 1, "on": 0}]),
    "INTYPE? A": (
        wire.SENSOR_TYPE(input="A"),
        [{"type": 2, "autorange": 1, "span": 0, "compensation": 1, "units": 1}],
    ),
}
GOLDEN = [
    (request, reply)
    for part in ("identity", "readings", "loop")
    for request, reply in pairs(golden("lakeshore", part))
    if b";" not in request
]


@pytest.mark.parametrize(("request_", "reply"), GOLDEN, ids=[request.decode().strip() for request, _ in GOLDEN])
def test_both_ends_write_and_read_what_the_manual_shows(request_: bytes, reply: bytes) -> None:
    said, values = SAID[request_.decode().strip()]
    line = reply.decode().removesuffix("\r\n")
    assert compound([said]) == request_
    assert answers([said], line) == values
    assert said.message.request.read(request_.decode().strip()) is not None
    assert said.message.reply is not None
    assert said.message.reply.write(values[0]) == line


@pytest.mark.parametrize("at", range(1, len(b"000;+077.350;+077.352\r\n")))
def test_every_split_of_a_reply_reads_the_same(at: int) -> None:
    splitter = LineSplitter()
    data = b"000;+077.350;+077.352\r\n"
    splitter.feed(data[:at])
    early = splitter.next()
    splitter.feed(data[at:])
    assert (early, splitter.next(), splitter.next()) == (None, "000;+077.350;+077.352", None)


@pytest.mark.parametrize(
    "text",
    [
        "77.350",  # no sign: the front may be lost
        "7.350",
        "+77",
        "+077.35O",
        "+077,350",
        "-077.350",  # below absolute zero
        "+1077.350",  # beyond any sensor
        "+nan",
        "+inf",
        "+077.350 ",
        " +077.350",
        "+٠77.350",
        "",
        "+077.350;000",
        "000",
    ],
)
def test_what_is_not_a_reading_is_an_error(text: str) -> None:
    with pytest.raises(WireError):
        answers([wire.KELVIN(input="A")], text)


@pytest.mark.parametrize("bits", [2, 4, 8, 129 | 2, 255])
def test_a_status_bit_the_box_does_not_have_is_an_error(bits: int) -> None:
    with pytest.raises(WireError):
        wire.reading(bits)


@pytest.mark.parametrize("bits", [2, 8, 64])
def test_an_event_bit_the_box_does_not_have_is_an_error(bits: int) -> None:
    with pytest.raises(WireError):
        wire.events(bits)


def test_a_value_the_message_cannot_carry_is_not_sent() -> None:
    with pytest.raises(OutOfBounds):
        wire.SETPOINT(output=1, kelvin=float("nan"))
    with pytest.raises(OutOfBounds):
        wire.RANGE(output=5, range=1)
    with pytest.raises(OutOfBounds):
        wire.KELVIN(input="E")


@pytest.mark.parametrize("text", ["krdg? a", "KRDG? a", "Krdg? A"])
def test_commands_are_read_without_regard_to_case(text: str) -> None:
    assert wire.KELVIN.request.read(text, any_case=True) == {"input": "A"}


def test_a_semicolon_in_a_name_does_not_end_the_message() -> None:
    assert split_compound('INNAME A,"a;b";*ESR?') == ['INNAME A,"a;b"', "*ESR?"]


def test_the_event_register_is_never_asked_again_and_readings_are() -> None:
    assert not wire.EVENTS.safe
    assert not wire.SETPOINT.safe
    assert wire.KELVIN.safe
    assert wire.RANGE_OFF.safe  # absolute, and towards the safe state


def test_a_line_without_end_is_an_error_and_the_next_line_is_read() -> None:
    splitter = LineSplitter()
    for _ in range(50):
        splitter.feed(b"x" * LONGEST)
        assert splitter.next() is None
    splitter.feed(b"\r\n+077.350\r\n")
    with pytest.raises(WireError):
        splitter.next()
    assert splitter.next() == "+077.350"


@pytest.mark.parametrize("byte", [0x00, 0x07, 0x0A, 0x0D, 0x7F, 0x80, 0xFF])
def test_a_byte_outside_printable_ascii_is_an_error(byte: int) -> None:
    splitter = LineSplitter()
    splitter.feed(b"+07" + bytes([byte]) + b".350\r\n+077.350\r\n")
    with pytest.raises(WireError):
        splitter.next()
    assert splitter.next() == "+077.350"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_lines_or_errors(data: bytes) -> None:
    splitter = LineSplitter()
    splitter.feed(data + b"\r\n")
    for _ in range(len(data) + 1):
        try:
            line = splitter.next()
        except WireError:
            continue
        if line is None:
            break
        assert line.isascii()
        assert line.isprintable() or not line


@settings(max_examples=100, deadline=None)
@given(st.floats(0.0, 999.999))
def test_a_temperature_survives_the_wire_to_half_a_millikelvin(kelvin: float) -> None:
    assert wire.KELVIN.reply is not None
    (found,) = answers([wire.KELVIN(input="A")], wire.KELVIN.reply.write({"kelvin": kelvin}))
    assert found["kelvin"] == pytest.approx(kelvin, abs=0.00051)
