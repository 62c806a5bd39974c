"""SIMPLON's REST side against what DECTRIS's own client asks and other people's cameras answer."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import DeviceError, WireError
from drivers.wire import simplon
from drivers.wire.http import Request, Response
from drivers.wire.simplon import Asked, BadRequest, Parameter, read_request
from tests.drivers.golden import golden, pairs

CONVERSATIONS = ("version", "parameters", "changes", "commands", "refusals")


def the_request(line: bytes) -> Request:
    method, path, *body = line.decode().split(" ", 2)
    return Request(method, path, body="".join(body).encode())


def the_reply(line: bytes) -> Response:
    status, _, body = line.partition(b" ")
    return Response(int(status), body)


def conversation(name: str) -> list[tuple[Request, Response]]:
    return [(the_request(asked), the_reply(answered)) for asked, answered in pairs(golden("simplon", name))]


ASKED = [request for name in CONVERSATIONS for request, _ in conversation(name)]
WE_ASK = [
    simplon.version(),
    *(
        simplon.get("detector", "config", name)
        for name in ("count_time", "frame_time", "nimages", "compression", "trigger_mode", "x_pixels_in_detector")
    ),
    simplon.get("detector", "status", "state"),
    simplon.put("detector", "frame_time", 0.001),
    simplon.put("detector", "threshold/1/energy", 4020.5),
    simplon.put("stream", "header_detail", "basic"),
    Asked("stream", "config", put=True, value={"mode": "enabled", "format": "cbor"}).encode(),
    simplon.command("initialize"),
    simplon.command("arm"),
    simplon.command("trigger", 0.5),
    simplon.command("disarm"),
    simplon.command("arm", 1),
    simplon.put("detector", "count_time", 1.0),
]


def test_we_ask_what_the_maker_s_client_asks() -> None:
    assert [(one.method, one.path) for one in WE_ASK] == [(one.method, one.path) for one in ASKED]
    assert [one.body and json.loads(one.body) for one in WE_ASK] == [one.body and json.loads(one.body) for one in ASKED]
    assert {one.content_type for one in WE_ASK if one.body} == {"application/json; charset=utf-8"}


def test_a_request_is_understood_as_it_was_meant() -> None:
    for asked, request in zip(ASKED, WE_ASK, strict=True):
        assert read_request(asked) == read_request(request)
        assert read_request(request).encode() == request
    assert read_request(simplon.command("trigger", 0.5)) == Asked("detector", "command", "trigger", True, 0.5)
    assert read_request(WE_ASK[11]).value == {"mode": "enabled", "format": "cbor"}


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/detector/api/version", Asked("detector", "version")),  # as areaDetector asks
        ("/filewriter/api/version/", Asked("filewriter", "version")),
        ("/detector/api/1.8.0/config/keys", Asked("detector", "config", "keys")),
        ("/detector/api/1.8.0/command/keys", Asked("detector", "command", "keys")),
        ("/detector/api/1.8.0/config/", Asked("detector", "config")),
        ("/detector/api/1.8.0/status/board_000/th0_temp", Asked("detector", "status", "board_000/th0_temp")),
    ],
)
def test_other_clients_paths_are_understood(path: str, meant: Asked) -> None:
    assert read_request(Request("GET", path)) == meant


def test_the_version_is_read() -> None:
    ((_, reply),) = conversation("version")
    assert simplon.read_version(reply) == simplon.VERSION
    assert simplon.read_version(simplon.say_parameter(Parameter("1.6.0", "string"))) == "1.6.0"


def test_a_parameter_says_what_it_is_and_may_be() -> None:
    count, frame, images, compression, trigger, columns, state = (
        simplon.read_parameter(reply) for _, reply in conversation("parameters")
    )
    assert count == Parameter(0.001, "float", "rw", "s", 5e-08, 3600.0)
    assert frame == Parameter(0.0010001, "float", "rw", "s", 0.018518519)
    assert images == Parameter(1, "uint", "rw", low=1, high=2000000000)
    assert compression == Parameter("bslz4", "string", "rw", allowed=("lz4", "bslz4", "none"))
    assert trigger.allowed == ("exte", "exts", "inte", "ints")
    assert columns == Parameter(1028, "uint", "r")
    assert state.value == "idle" and "acquire" in state.allowed


def test_a_parameter_may_say_no_more_than_its_value() -> None:
    for value in (True, [0.0, 1.0], None, "on", 1.5):
        assert simplon.read_parameter(simplon.say_parameter(Parameter(value))) == Parameter(value)


def test_a_parameter_is_told_as_it_was_read() -> None:
    for _, reply in conversation("parameters"):
        assert json.loads(simplon.say_parameter(simplon.read_parameter(reply)).body) == json.loads(reply.body)


def test_a_put_names_what_changed_with_it() -> None:
    found = [simplon.read_names(reply) for _, reply in conversation("changes")]
    assert len(found[0]) == 6 and "count_time" in found[0] and "threshold/1/energy" in found[1]
    assert found[2:] == [(), ()]
    assert simplon.read_names(simplon.say_names(found[0])) == found[0]


def test_a_command_answers_with_its_series_under_either_name() -> None:
    assert [simplon.read_series(reply) for _, reply in conversation("commands")] == [None, 34, None, 34]
    assert simplon.say_series(34).body == b'{"sequence id":34}'
    assert simplon.read_series(simplon.say_series(34)) == 34


def test_a_refusal_says_what_the_box_said() -> None:
    path, value = (reply for _, reply in conversation("refusals"))
    with pytest.raises(DeviceError, match=r'was refused with 404 "error during request: path error: unknown path'):
        simplon.read_series(path)
    with pytest.raises(DeviceError, match="does not match file content"):
        simplon.read_names(value)
    with pytest.raises(DeviceError, match=r"was refused with 404 \"null\""):
        simplon.read_parameter(Response(404, b"null"))
    with pytest.raises(DeviceError, match="was refused with 308\\."):
        simplon.read_version(Response(308))
    assert simplon.say_no("no", 404) == Response(404, b"no", "text/plain; charset=utf-8")


def test_a_long_or_unprintable_refusal_is_told_in_a_line() -> None:
    with pytest.raises(DeviceError) as caught:
        simplon.read_names(Response(500, b"a\r\nb\x00\xff" + b"x" * 10_000))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "body",
    [
        b"1",
        b"{}",
        b'{"value":NaN}',
        b'{"value":1,"value":2}',
        b'{"value":1,"value_type":5}',
        b'{"value":1,"min":"0"}',
        b'{"value":1e999,"value_type":"float"}',
        b'{"value":1' + b"0" * 400 + b"}",
        b'{"value":1' + b"0" * 30 + b',"value_type":"uint"}',
        b'{"value":1,"max":1e999}',
        b'{"value":1,"allowed_values":"all"}',
        b'{"value":1,"allowed_values":[[1]]}',
        b'{"value":"1","value_type":"float"}',
        b'{"value":true,"value_type":"float"}',
        b'{"value":-1,"value_type":"uint"}',
        b'{"value":1.5,"value_type":"int"}',
        b'{"value":1,"value_type":"bool"}',
        b'{"value":1,"value_type":"string"}',
        b'{"value":' + b"[" * 1000,
        b'{"value":"' + b"x" * simplon.LARGEST + b'"}',
        b"",
    ],
)
def test_a_parameter_that_is_none_is_an_error(body: bytes) -> None:
    with pytest.raises(WireError):
        simplon.read_parameter(Response(200, body))


@pytest.mark.parametrize("body", [b'"count_time"', b"[1]", b'["../x"]', b'{"a":1}', b"[" + b'"a",' * 2000 + b'"a"]'])
def test_a_list_of_names_that_is_none_is_an_error(body: bytes) -> None:
    with pytest.raises(WireError):
        simplon.read_names(Response(200, body))


@pytest.mark.parametrize(
    "body", [b"[]", b"34", b'{"sequence id":-1}', b'{"sequence id":"34"}', b'{"sequence id":1,"series id":2}']
)
def test_a_series_that_is_none_is_an_error(body: bytes) -> None:
    with pytest.raises(WireError):
        simplon.read_series(Response(200, body))


def test_a_version_that_is_none_is_an_error() -> None:
    for value in ("latest", 1.8, ["1.8.0"]):
        with pytest.raises(WireError):
            simplon.read_version(simplon.say_parameter(Parameter(value)))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/detector/api/1.6.0/config/count_time", "", 404),
        ("GET", "/detector/api/1.8.0/setup/count_time", "", 404),
        ("GET", "/oven/api/1.8.0/config/count_time", "", 404),
        ("GET", "/detector/api/1.8.0/config/../count_time", "", 404),
        ("GET", "/", "", 404),
        ("GET", "/detector/api/1.8.0/command/arm", "", 405),
        ("DELETE", "/detector/api/1.8.0/config/count_time", "", 405),
        ("PUT", "/detector/api/version/", '{"value":1}', 405),
        ("PUT", "/detector/api/1.8.0/status/state", '{"value":1}', 405),
        ("PUT", "/detector/api/1.8.0/command/", "", 405),
        ("PUT", "/detector/api/1.8.0/config/count_time", "", 400),
        ("PUT", "/detector/api/1.8.0/config/count_time", "1", 400),
        ("PUT", "/detector/api/1.8.0/config/count_time", '{"value":1,"unit":"s"}', 400),
        ("PUT", "/detector/api/1.8.0/config/count_time", "{" * 1000, 400),
        ("PUT", "/stream/api/1.8.0/config", "{}", 400),
        ("PUT", "/stream/api/1.8.0/config", '{"value":1}', 400),
        ("PUT", "/stream/api/1.8.0/config", '{"mode":{"value":1},"..":{"value":2}}', 400),
    ],
)
def test_a_request_that_is_none_is_refused_with_a_status(method: str, path: str, body: str, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(Request(method, path, body=body.encode()))
    assert caught.value.status == status


@given(
    st.integers(100, 599),
    st.binary(max_size=80)
    | st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["value", "value_type", "min", "sequence id", "x"]), inner, max_size=4)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)
def test_any_reply_is_read_or_refused(status: int, body: bytes) -> None:
    readers: list[Any] = [simplon.read_version, simplon.read_parameter, simplon.read_names, simplon.read_series]
    for read in readers:
        with suppress(WireError, DeviceError):
            read(Response(status, body))


@given(
    st.sampled_from(["GET", "PUT", "POST"]),
    st.sampled_from([r.path for r in ASKED]) | st.text(max_size=60),
    st.binary(max_size=60),
)
def test_any_request_is_understood_or_refused(method: str, path: str, body: bytes) -> None:
    with suppress(BadRequest):
        read_request(Request(method, path, body=body))
