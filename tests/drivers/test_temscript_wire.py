"""temscript's HTTP messages: read and written as typed from its source, and nothing else believed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import DeviceError, WireError
from drivers.wire import temscript as wire
from drivers.wire.http import JSON, Request, Response, json_bytes, read_json
from drivers.wire.temscript import (
    DetectorSetting,
    Endpoint,
    Position,
    StageLimits,
    StemDetector,
    StemSetting,
    Vacuum,
)
from drivers.wire.temscript_image import LARGEST_SIDE, TYPES, acquire, detectors_of, image, images, largest, packed
from tests.drivers.golden import golden, pairs

TILT = 0.5235987755982988  # rad, 30 deg


def request(line: bytes) -> Request:
    """`METHOD PATH BODY` as a request."""
    method, path, *body = line.decode().split(" ", 2)
    path, _, query = path.partition("?")
    said = body[0].encode() if body else b""
    pairs_ = tuple((key, value) for key, _, value in (one.partition("=") for one in query.split("&") if one))
    return Request(method, path, pairs_, said, JSON if said else "")


def response(line: bytes) -> Response:
    """`STATUS TYPE BODY` as a response."""
    status, *rest = line.decode().split(" ", 2)
    kind, body = rest if rest else ("", "")
    return Response(int(status), body.encode(), kind)


def typed(conversation: str) -> dict[bytes, bytes]:
    return dict(pairs(golden("temscript", conversation)))


# what each question of the transcript is made from, and what its answer stands for
ASKED: list[tuple[str, Endpoint[Any], str, Any]] = [
    ("identity", wire.VERSION, "", "2.1.0"),
    ("identity", wire.FAMILY, "", "TITAN"),
    ("column", wire.VOLTAGE, "", 200e3),
    ("column", wire.VACUUM, "", Vacuum("READY", False, False, (("IGPco", 2.5e-5), ("P1", "UNDERFLOW")))),
    ("column", wire.VALVES, "", False),
    ("column", wire.BEAM_BLANKED, "", True),
    ("column", wire.SCREEN_CURRENT, "", 1e-9),
    ("column", wire.SCREEN_POSITION, "", "DOWN"),
    (
        "goniometer",
        wire.STAGE_LIMITS,
        "",
        StageLimits((-1e-3, 1e-3), (-1e-3, 1e-3), (-3e-4, 3e-4), (-TILT, TILT), (-TILT, TILT)),
    ),
    ("goniometer", wire.STAGE_STATUS, "", "READY"),
    ("goniometer", wire.STAGE_POSITION, "", Position(1e-6, 0.0, 2e-5, 0.25, 0.0)),
    ("stem", wire.STEM_AVAILABLE, "", True),
    ("stem", wire.MODE, "", "STEM"),
    ("stem", wire.STEM_DETECTORS, "", (StemDetector("HAADF", (1, 2, 4, 8)),)),
    ("stem", wire.STEM_DETECTOR, "HAADF", DetectorSetting(0.5, 0.25)),
    ("stem", wire.STEM_SETTING, "", StemSetting("FULL", 4, 1e-6)),
    ("stem", wire.STEM_MAGNIFICATION, "", 320e3),
    ("stem", wire.STEM_ROTATION, "", 0.5),
    ("stem", wire.PROBE_DEFOCUS, "", 0.0),
    ("stem", wire.CONVERGENCE, "", 0.01),
]
TOLD: list[tuple[str, bytes, Request, Any]] = [
    ("column", b"PUT /v1/column_valves_open false", wire.VALVES.put(False), False),
    ("column", b"PUT /v1/beam_blanked true", wire.BEAM_BLANKED.put(True), True),
    (
        "goniometer",
        b'PUT /v1/stage_position?method=GO {"x":1e-06}',
        wire.STAGE_POSITION.put(Position(x=1e-6), method="GO"),
        Position(x=1e-6),
    ),
    (
        "goniometer",
        b'PUT /v1/stage_position?method=MOVE {"z":2e-05,"a":0.25}',
        wire.STAGE_POSITION.put(Position(z=2e-5, a=0.25), method="MOVE"),
        Position(z=2e-5, a=0.25),
    ),
    (
        "stem",
        b'PUT /v1/stem_acquisition_param {"image_size":"FULL","binning":4,"dwell_time(s)":1e-06}',
        wire.STEM_SETTING.put(StemSetting("FULL", 4, 1e-6)),
        StemSetting("FULL", 4, 1e-6),
    ),
    ("stem", b"PUT /v1/stem_magnification 320000.0", wire.STEM_MAGNIFICATION.put(320e3), 320e3),
    ("stem", b"PUT /v1/stem_rotation 0.5", wire.STEM_ROTATION.put(0.5), 0.5),
]


@pytest.mark.parametrize(("conversation", "endpoint", "detector", "value"), ASKED, ids=[one[1].name for one in ASKED])
def test_a_question_and_its_answer_are_those_of_the_transcript(
    conversation: str, endpoint: Endpoint[Any], detector: str, value: Any
) -> None:
    question = endpoint.get(detector)
    answer = response(typed(conversation)[f"GET {question.path}".encode()])
    assert endpoint.value(answer) == value
    assert wire.asked(question, wire.TABLE).endpoint is endpoint
    ours = endpoint.answer(value)
    assert (ours.status, ours.content_type, json.loads(ours.body)) == (200, JSON, json.loads(answer.body))


@pytest.mark.parametrize(("conversation", "line", "made", "value"), TOLD, ids=[one[1].decode() for one in TOLD])
def test_an_order_is_that_of_the_transcript(conversation: str, line: bytes, made: Request, value: Any) -> None:
    assert made == request(line)
    wire.see_done(response(typed(conversation)[line]))
    understood = wire.asked(made, wire.TABLE)
    assert understood.put
    assert understood.value == value
    assert understood.query == made.query


def test_an_image_is_that_of_the_transcript() -> None:
    (line, answer) = next(iter(typed("image").items()))
    assert acquire("HAADF") == request(line)
    assert detectors_of(request(line)) == ("HAADF",)
    found = image(response(answer), "HAADF", (3, 2))
    assert found.tolist() == [[1, 2, 3], [-1, 256, 32767]]
    assert json.loads(images({"HAADF": found.astype("<i2")}).body) == json.loads(response(answer).body)


def test_a_refusal_tells_why() -> None:
    unknown, prohibited = (response(answer) for answer in typed("refusals").values())
    with pytest.raises(DeviceError, match=r"does not know this: \"Unknown endpoint: 'nothing'\""):
        wire.BEAM_BLANKED.value(unknown)
    with pytest.raises(DeviceError, match="Opening of column valves is prohibited"):
        wire.see_done(prohibited)
    ours = wire.refusal(500, "a < b & c")
    assert wire.reason(ours) == "a < b & c"
    assert (ours.status, ours.content_type) == (500, "text/html")
    assert wire.reason(Response(500)) == "status 500"


# --- both directions


numbers = st.floats(-1e6, 1e6)
words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20)
flags = st.booleans()
ordered = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "version": words,
    "family": words,
    "microscope_id": words,
    "stage_holder": words,
    "voltage": st.integers(0, 400).map(lambda kilovolts: kilovolts * 1e3),
    "vacuum": st.builds(
        Vacuum,
        st.sampled_from(wire.VACUUM_STATES),
        flags,
        flags,
        st.lists(st.tuples(words, numbers | st.sampled_from(wire.BEYOND)), unique_by=lambda one: one[0]).map(tuple),
    ),
    "column_valves_open": flags,
    "beam_blanked": flags,
    "stem_available": flags,
    "instrument_mode": st.sampled_from(["TEM", "STEM"]),
    "screen_position": st.sampled_from(["UP", "DOWN", "UNKNOWN"]),
    "stage_status": st.sampled_from(wire.STAGE_STATES),
    "stage_position": st.builds(Position, *[numbers] * 5),
    "stage_limits": st.builds(StageLimits, *[ordered] * 5),
    "stem_detectors": st.lists(
        st.builds(StemDetector, words, st.lists(st.integers(1, 64), max_size=4).map(tuple)),
        unique_by=lambda one: one.name,
    ).map(tuple),
    "stem_detector_param": st.builds(DetectorSetting, numbers, numbers),
    "stem_acquisition_param": st.builds(
        StemSetting, st.sampled_from(wire.SIZES), st.integers(1, 16), st.floats(1e-9, 1.0)
    ),
}


@settings(max_examples=20, deadline=None)
@given(st.data())
@pytest.mark.parametrize("endpoint", wire.TABLE.values(), ids=wire.TABLE)
def test_what_the_box_says_the_host_hears(endpoint: Endpoint[Any], data: st.DataObject) -> None:
    value = data.draw(VALUES.get(endpoint.name, numbers))
    assert endpoint.value(endpoint.answer(value)) == value
    if endpoint.settable:
        told = wire.asked(endpoint.put(value, "HAADF" if endpoint.named else ""), wire.TABLE)
        assert told.value == value
        assert told.detector == ("HAADF" if endpoint.named else "")


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(TYPES), st.sampled_from("<>"), st.integers(1, 9), st.integers(1, 9), st.randoms())
def test_an_image_of_any_type_and_byte_order_comes_as_it_was(
    kind: str, end: str, columns: int, rows: int, random: Any
) -> None:
    dtype = np.dtype(kind.lower()).newbyteorder(end)
    values = np.array([random.randrange(100) for _ in range(columns * rows)], dtype).reshape(rows, columns)
    found = image(images({"BF": values}), "BF", (columns, rows))
    assert found.tolist() == values.tolist()
    assert found.dtype == np.dtype(kind.lower())
    assert len(images({"BF": values}).body) <= largest((columns, rows))


# --- what is not believed


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (wire.BEAM_BLANKED, b"1"),
        (wire.BEAM_BLANKED, b'"true"'),
        (wire.BEAM_BLANKED, b"tru"),
        (wire.VOLTAGE, b"true"),
        (wire.VOLTAGE, b"-1"),
        (wire.VOLTAGE, b"1e999"),
        (wire.VOLTAGE, b"NaN"),
        (wire.VOLTAGE, b"200000"),
        (wire.MODE, b'"SEM"'),
        (wire.STAGE_STATUS, b'"ready"'),
        (wire.STAGE_POSITION, b'{"x": 0, "y": 0, "z": 0, "a": 0}'),
        (wire.STAGE_POSITION, b"[0, 0, 0, 0, 0]"),
        (wire.STAGE_LIMITS, b'{"x": [0, 1], "y": [0, 1], "z": [0, 1], "a": [0, 1]}'),
        (wire.STAGE_LIMITS, b'{"x": [1, 0], "y": [0, 1], "z": [0, 1], "a": [0, 1], "b": [0, 1]}'),
        (wire.VACUUM, b'{"status": "READY", "column_valves_open": true}'),
        (wire.VACUUM, b'{"status": "FINE", "column_valves_open": true, "pvp_running": false, "gauges(Pa)": {}}'),
        (wire.VACUUM, b'{"status": "READY", "column_valves_open": 1, "pvp_running": false, "gauges(Pa)": {}}'),
        (wire.STEM_DETECTORS, b'{"HAADF": {"type": "CAMERA", "binnings": [1]}}'),
        (wire.STEM_DETECTORS, b'{"HAADF": {"type": "STEM_DETECTOR", "binnings": [0]}}'),
        (wire.STEM_DETECTORS, b'{"../x": {"type": "STEM_DETECTOR", "binnings": [1]}}'),
        (wire.STEM_SETTING, b'{"image_size": "FULL", "binning": 1}'),
        (wire.STEM_SETTING, b'{"image_size": "FULL", "binning": 1, "dwell_time(s)": 1e-6, "more": 1}'),
        (wire.STEM_SETTING, b'{"image_size": 0, "binning": 1, "dwell_time(s)": 1e-6}'),
        (wire.VERSION, b'"' + b"1" * 65 + b'"'),
        (wire.VERSION, b'"2.1\\u0000"'),
    ],
)
def test_an_answer_outside_the_grammar_is_no_value(endpoint: Endpoint[Any], body: bytes) -> None:
    with pytest.raises(WireError):
        endpoint.value(Response(200, body, JSON))


@pytest.mark.parametrize(
    "answer", [Response(204), Response(200, b"true", "application/python-pickle"), Response(302, b"true", JSON)]
)
def test_an_answer_of_another_kind_is_no_value(answer: Response) -> None:
    with pytest.raises(WireError):
        wire.BEAM_BLANKED.value(answer)


def said(**changed: Any) -> Response:
    whole = packed(np.zeros((2, 2), np.int16)) | changed
    return Response(200, json_bytes({"HAADF": {key: value for key, value in whole.items() if value is not None}}), JSON)


@pytest.mark.parametrize(
    "changed",
    [
        {"width": 3},
        {"width": 65536, "height": 65536},
        {"width": 2.0},
        {"width": True},
        {"height": None},
        {"type": "COMPLEX64"},
        {"type": ["INT16"]},
        {"type": "INT32"},
        {"endianness": "MIDDLE"},
        {"endianness": {}},
        {"encoding": "GZIP"},
        {"data": "AAAAAAAAAA=="},
        {"data": "AAAAAAAAAAA*"},
        {"data": "AAAAAAAAAA"},
        {"data": 7},
        {"type": "FLOAT16"},
    ],
)
def test_an_image_that_is_not_what_it_says_is_no_image(changed: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        image(said(**changed), "HAADF", (2, 2))


def test_an_image_of_something_else_or_without_numbers_is_no_image() -> None:
    with pytest.raises(WireError, match="BF"):
        image(said(), "BF", (2, 2))
    with pytest.raises(WireError, match="no numbers"):
        image(images({"BF": np.array([[np.nan]])}), "BF", (1, 1))
    with pytest.raises(WireError, match="65536"):
        image(Response(200, json_bytes({"BF": {"width": 65536, "height": 1}}), JSON), "BF", (LARGEST_SIDE + 1, 1))
    with pytest.raises(WireError, match="at most"):
        image(Response(200, b'{"BF":"' + b"A" * 9000 + b'"}', JSON), "BF", (2, 2))
    with pytest.raises(DeviceError, match="TIA is not running"):
        image(wire.refusal(500, "TIA is not running"), "BF", (2, 2))


def test_what_the_api_does_not_have_is_unknown() -> None:
    for path, method in [
        ("/v2/voltage", "GET"),
        ("/v1/voltage", "PUT"),
        ("/v1/stem_detector_param", "GET"),
        ("/", "GET"),
    ]:
        with pytest.raises(wire.Unknown):
            wire.asked(Request(method, path, (), b"1.0", JSON), wire.TABLE)
    with pytest.raises(ValueError, match="cannot be set"):
        wire.VOLTAGE.put(100e3)
    with pytest.raises(WireError, match="at most 4096"):
        wire.asked(Request("PUT", "/v1/beam_blanked", (), b" " * 5000 + b"true", JSON), wire.TABLE)


json_values = st.recursive(
    st.none() | flags | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
bodies = st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode())


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(wire.TABLE)), st.sampled_from([200, 204, 301, 404, 500]), bodies)
def test_any_bytes_are_an_answer_or_a_named_error(name: str, status: int, body: bytes) -> None:
    try:
        wire.TABLE[name].value(Response(status, body, JSON))
    except (WireError, DeviceError) as error:
        assert str(error)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*sorted(wire.TABLE), "stem_detector_param/HAADF"]) | st.text(max_size=20), bodies)
def test_any_bytes_are_an_order_or_are_refused(name: str, body: bytes) -> None:
    try:
        understood = wire.asked(Request("PUT", f"/v1/{name}", (), body, JSON), wire.TABLE)
    except (WireError, wire.Unknown):
        return
    assert understood.endpoint.settable


fields = st.fixed_dictionaries(
    {},
    optional={
        "width": st.integers() | json_values,
        "height": st.integers() | json_values,
        "type": st.sampled_from(TYPES) | json_values,
        "endianness": st.sampled_from(["LITTLE", "BIG"]) | json_values,
        "encoding": st.just("BASE64") | json_values,
        "data": st.text(max_size=20) | json_values,
    },
)


@settings(max_examples=200, deadline=None)
@given(fields | json_values, st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_any_fields_are_an_image_or_a_named_error(value: Any, pixels: tuple[int, int]) -> None:
    body = json.dumps({"HAADF": value}).encode()
    try:
        found = image(Response(200, body, JSON), "HAADF", pixels)
    except WireError:
        return
    assert found.shape == pixels[::-1]


@pytest.mark.parametrize("body", [b'"' + b'\\"' * 200_000, b'{"a":"' + b"A" * 900_000, b'"' * 300_001, b"[" * 70])
def test_a_body_that_would_keep_a_parser_busy_for_hours_is_refused_at_once(body: bytes) -> None:
    with pytest.raises(WireError):
        read_json(body)
