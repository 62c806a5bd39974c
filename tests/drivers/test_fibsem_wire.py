"""The fibsem API held to its own source: every golden line is read, and said again, key by key."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import WireError
from drivers.wire import fibsem as wire
from drivers.wire.fibsem import Call, Setting
from drivers.wire.fibsem_json import decode, encode
from drivers.wire.fibsem_milling import RunMilling
from drivers.wire.fibsem_model import Acquire, Column, OfBeam, Position, SetTo, Told
from drivers.wire.fibsem_pattern import Circle, Line, Patterns, Polygon, Rectangle
from drivers.wire.fibsem_stage import MillingAngle, StagePosition, SystemTold, ToMillingAngle
from drivers.wire.http import JSON, Request, Response
from tests.drivers.golden import golden, pairs

CALLS: dict[tuple[str, str], Call[Any, Any]] = {}
for each in vars(wire).values():
    for call in (each,) if isinstance(each, Call) else (each.get, each.set) if isinstance(each, Setting) else ():
        CALLS[call.method, call.path] = call
CONVERSATIONS = ("system", "stage", "angles", "beams", "milling")


def asked(line: bytes) -> Request:
    method, path, body = (line + b"  ").split(b" ", 2)
    body = body.strip()
    return Request(method.decode(), path.decode(), body=body, content_type=JSON if body else "")


def answered(line: bytes) -> Response:
    status, _, body = line.partition(b" ")
    return Response(int(status), body, JSON)


LINES = [(name, *pair) for name in CONVERSATIONS for pair in pairs(golden("fibsem", name))]
EXCHANGES = [
    pytest.param(asked(said), answered(reply), id=f"{name} {said[:40].decode()}") for name, said, reply in LINES
]


def same(one: Any, other: Any) -> bool:
    """Equal JSON; of numbers, as floats that may have been turned from degrees and back."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-30)
    return bool(one == other)


@pytest.mark.parametrize(("request_", "response"), EXCHANGES)
def test_what_the_host_asks_is_read_and_asked_again(request_: Request, response: Response) -> None:
    call = CALLS[request_.method, request_.path]
    again = wire.request(call, wire.asked(call, request_))
    assert (again.method, again.path) == (request_.method, request_.path)
    assert same(json.loads(again.body or b"{}"), json.loads(request_.body or b"{}"))


@pytest.mark.parametrize(("request_", "response"), EXCHANGES)
def test_what_the_server_answers_is_read_and_answered_again(request_: Request, response: Response) -> None:
    call = CALLS[request_.method, request_.path]
    again = wire.response(call, wire.told(call, response))
    assert again.status == 200
    assert same(json.loads(again.body), json.loads(response.body))


def test_every_path_of_the_server_is_there_once() -> None:
    paths = {path for _, path in CALLS}
    assert (len(paths), len(CALLS)) == (68, 69)  # as fibsem 0.5.3 tells of itself; one path has GET and POST
    assert {"/health", "/acquire_image", "/milling_angle/is_close", "/detector_brightness/set"} <= paths


def test_refusals_are_told_in_one_line() -> None:
    said = [wire.said_no(answered(reply)) for _, reply in pairs(golden("fibsem", "refusals"))]
    assert said == [
        "422 Unknown beam_type: 'LIGHT'. Use 'ELECTRON' or 'ION'.",
        "422 Field required",
        "404 Not Found",
        "405 Method Not Allowed",
    ]
    assert wire.said_no(Response(500, b"Internal Server Error", "text/plain")) == "500 Internal Server Error"
    assert wire.said_no(Response(200, b"{}", JSON)) == ""
    assert wire.said_no(Response(502, b"<html>\n" + b"x" * 5000)).count("\n") == 0
    assert len(wire.said_no(Response(502, b"y" * 5000))) < 400


def test_angles_of_the_configuration_are_rad_here_and_degrees_there() -> None:
    (reply,) = [reply for said, reply in pairs(golden("fibsem", "system")) if said == b"GET /system"]
    system = decode(SystemTold, answered(reply).body).system
    assert system.ion.column_tilt == pytest.approx(math.radians(52.0))
    assert system.stage.shuttle_pre_tilt == pytest.approx(math.radians(35.0))
    assert system.stage.rotation_180 == pytest.approx(math.pi)


def test_the_milling_angle_is_in_degrees_where_it_is_told_and_in_rad_where_it_moves() -> None:
    assert decode(MillingAngle, b'{"milling_angle": 38.0}').angle == pytest.approx(math.radians(38.0))
    assert json.loads(encode(MillingAngle, MillingAngle(math.radians(15.0)))) == {"milling_angle": pytest.approx(15.0)}
    assert decode(ToMillingAngle, b'{"milling_angle": 0.26}').milling_angle == 0.26
    assert json.loads(encode(ToMillingAngle, ToMillingAngle(0.26))) == {"milling_angle": 0.26, "rotation": None}


def test_a_position_is_in_rad_both_ways() -> None:
    told = decode(
        StagePosition, b'{"position":{"x":0,"y":0,"z":0,"r":0.1,"t":0.9,"name":null,"coordinate_system":null}}'
    )
    assert (told.position.r, told.position.t) == (0.1, 0.9)
    assert json.loads(encode(StagePosition, told))["position"]["t"] == 0.9


@pytest.mark.parametrize(
    "body",
    [
        b'{"value": NaN}',
        b'{"value": Infinity}',
        b'{"value": 1e999}',
        b'{"value": "2e-11"}',
        b'{"value": true}',
        b'{"value": null}',
        b'{"value": 1, "value": 2}',
        b'{"value": 1, "unit": "nA"}',
        b'{"values": 1}',
        b"[1]",
        b"",
        b'{"value": 1' + b"0" * 400 + b"}",
        b"[" * 100_000,
        b'{"value": ' + b" " * (1 << 20) + b"1}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_number_is_an_error_and_never_a_number(body: bytes) -> None:
    with pytest.raises(WireError):
        decode(Told[float], body)


def test_a_beam_of_another_name_is_an_error() -> None:
    assert decode(OfBeam, b'{"beam_type": "Ion"}').beam_type == "ion"  # the server takes any case, too
    for name in (b'"LIGHT"', b"2", b"null"):
        with pytest.raises(WireError, match="beam_type of OfBeam"):
            decode(OfBeam, b'{"beam_type": ' + name + b"}")


def test_what_a_newer_server_adds_to_a_description_changes_nothing() -> None:
    column = decode(Column, b'{"beam_type": "ION", "voltage": 3e4, "lens_3": {"on": true}}')
    assert (column.voltage, column.beam_current) == (30000.0, None)


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (StagePosition, b'{"position": {"x": 1, "unit": "mm"}}'),
        (SetTo[float], b'{"value": 1, "beam_type": "ION", "after": 3}'),
        (RunMilling, b'{"milling_current": 1e-9, "milling_voltage": 3e4, "passes": 10}'),
        (
            Patterns,
            b'{"patterns": [{"type": "Line", "start_x": 0, "end_x": 1, "start_y": 0, "end_y": 0, "depth": 1, "n": 2}]}',
        ),
    ],
)
def test_what_could_change_a_value_or_a_cut_is_not_overlooked(model: type[Any], body: bytes) -> None:
    with pytest.raises(WireError):
        decode(model, body)


def test_a_number_that_is_not_finite_is_never_said() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        wire.request(wire.CURRENT.set, SetTo(math.nan, "ion"))


@pytest.mark.parametrize(
    "response",
    [Response(200, b"{}", "text/html"), Response(204), Response(500, b"{}", JSON), Response(200, b"{", JSON)],
)
def test_an_answer_of_another_kind_tells_nothing(response: Response) -> None:
    with pytest.raises(WireError):
        wire.told(wire.CURRENT.get, response)


def test_what_is_asked_of_the_server_may_leave_its_settings_out() -> None:
    request = wire.request(wire.ACQUIRE, Acquire("ion"))
    assert json.loads(request.body) == {"beam_type": "ION", "image_settings": None}
    assert wire.asked(wire.ACQUIRE, Request("POST", "/acquire_image", body=b'{"beam_type":"ION"}')) == Acquire("ion")


# --- patterns


def test_patterns_know_their_edges_and_areas() -> None:
    assert Rectangle(4e-6, 2e-6, 1e-6, 1e-6, 0.0).bounds == pytest.approx((-1e-6, -1e-6, 3e-6, 1e-6))
    turned = Rectangle(4e-6, 2e-6, 1e-6, rotation=math.pi / 2)
    assert turned.bounds == pytest.approx((-1e-6, -2e-6, 1e-6, 2e-6))
    assert Circle(2e-6, 1e-6, thickness=1e-6).area == pytest.approx(math.pi * 3e-12)
    assert Polygon(((0.0, 0.0), (2e-6, 0.0), (0.0, 1e-6)), 1e-6).area == pytest.approx(1e-12)
    assert Line(3e-6, 0.0, 4e-6, 0.0, 1e-6).length == pytest.approx(5e-6)
    assert Line(3e-6, 0.0, 4e-6, 0.0, 1e-6).bounds == (0.0, 0.0, 3e-6, 4e-6)


def test_patterns_are_told_in_the_units_people_read() -> None:
    told = [
        str(Rectangle(10e-6, 5e-6, 1e-6)),
        str(Line(0.0, 5e-6, 0.0, 0.0, 1e-7)),
        str(Circle(2e-6, 1e-6)),
        str(Polygon(((0.0, 0.0), (2e-6, 0.0), (0.0, 1e-6)), 1e-6)),
    ]
    assert told == [
        "10 um x 5 um rectangle, 1 um deep, at (0 um, 0 um)",
        "line from (0 um, 0 um) to (5 um, 0 um), 0.1 um deep",
        "2 um radius circle, 1 um deep, at (0 um, 0 um)",
        "2 um x 1 um polygon of 3 vertices, 1 um deep, at (1 um, 0.5 um)",
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rectangle(0.0, 1e-6, 1e-6),
        lambda: Rectangle(1e-6, 1e-6, math.nan),
        lambda: Rectangle(1e-6, 1e-6, 1e-6, centre_x=math.inf),
        lambda: Rectangle(1e-6, 1e-6, 1e-6, time=-1.0),
        lambda: Line(0.0, 0.0, 0.0, 0.0, 1e-6),
        lambda: Circle(-1e-6, 1e-6),
        lambda: Circle(1e-6, 1e-6, thickness=2e-6),
        lambda: Circle(1e-6, 1e-6, end_angle=90.0),
        lambda: Polygon(((0.0, 0.0), (1e-6, 0.0)), 1e-6),
        lambda: Polygon(((0.0, 0.0), (1e-6, 0.0), (2e-6, 0.0)), 1e-6),
        lambda: Polygon(tuple((math.cos(a), math.sin(a)) for a in range(5000)), 1e-6),
    ],
)
def test_a_pattern_that_mills_nothing_or_everywhere_cannot_be(make: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot be|vertices|fit|whole turns"):
        make()


def test_no_more_patterns_than_a_box_would_take() -> None:
    many = Patterns(tuple(Rectangle(1e-6, 1e-6, 1e-6) for _ in range(257)))
    with pytest.raises(WireError, match="at most 256"):
        decode(Patterns, encode(Patterns, many))


# --- anything

KEYS = ["value", "beam_type", "position", "x", "t", "patterns", "type", "system", "state", "seconds", "detail", "msg"]
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)
MODELS = sorted({model for call in CALLS.values() for model in (call.asked, call.told)}, key=str)


@settings(max_examples=200)
@given(st.sampled_from(MODELS), st.binary(max_size=200) | JSONS.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_message_or_an_error(model: type[Any], body: bytes) -> None:
    try:
        message = decode(model, body)
    except WireError:
        return
    again = encode(model, decode(model, encode(model, message)))
    assert same(json.loads(again), json.loads(encode(model, message)))


@settings(max_examples=100)
@given(
    st.integers(100, 599), st.binary(max_size=100) | JSONS.map(lambda value: json.dumps(value).encode()), st.booleans()
)
def test_any_refusal_is_one_short_line(status: int, body: bytes, json_: bool) -> None:
    said = wire.said_no(Response(status, body, JSON if json_ else "text/plain"))
    assert (said == "") == (status == 200)
    assert len(said) < 400
    assert said.isprintable()


@given(
    st.builds(
        Position,
        *[st.none() | st.floats(allow_nan=False, allow_infinity=False) for _ in "xyzrt"],
        st.none() | st.text(max_size=5),
        st.sampled_from([None, "RAW"]),
    )
)
def test_a_position_comes_back_as_it_was(position: Position) -> None:
    told = StagePosition(position)
    assert decode(StagePosition, encode(StagePosition, told)) == told
