"""The TEM side of temscript's messages: as typed from its source, both ways, and nothing else believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import DeviceError, WireError
from drivers.wire import temscript as wire
from drivers.wire import temscript_tem as tem
from drivers.wire.http import JSON, Request, Response
from drivers.wire.temscript import Endpoint
from drivers.wire.temscript_tem import CameraSetting, TemCamera
from tests.drivers.test_temscript_wire import request, response, typed

CCD = (TemCamera("CCD", 2048, 2048, (1, 2, 4, 8), ("POST_SPECIMEN",)),)
ASKED: list[tuple[Endpoint[Any], str, Any]] = [
    (tem.CAMERAS, "", CCD),
    (tem.CAMERA, "CCD", CameraSetting("FULL", 1, 1.0, "POST_SPECIMEN")),
    (tem.PROJECTION, "", "IMAGING"),
    (tem.MAGNIFICATION, "", 31),
    (tem.ILLUMINATED, "", 1e-8),
    (tem.BEAM_SHIFT, "", (1e-7, -1.2e-6)),
    (tem.IMAGE_SHIFT, "", (0.0, 0.0)),
    (tem.DEFOCUS, "", -60e-9),
]
TOLD: list[tuple[bytes, Request, Any]] = [
    (b'PUT /v1/instrument_mode "TEM"', wire.MODE.put("TEM"), "TEM"),
    (
        b'PUT /v1/camera_param/CCD {"image_size":"FULL","binning":2,"exposure(s)":0.5,"shutter_mode":"PRE_SPECIMEN"}',
        tem.CAMERA.put(CameraSetting("FULL", 2, 0.5, "PRE_SPECIMEN"), "CCD"),
        CameraSetting("FULL", 2, 0.5, "PRE_SPECIMEN"),
    ),
    (b'PUT /v1/projection_mode "IMAGING"', tem.PROJECTION.put("IMAGING"), "IMAGING"),
    (b"PUT /v1/magnification_index 31", tem.MAGNIFICATION.put(31), 31),
    (b"PUT /v1/illuminated_area 3e-07", tem.ILLUMINATED.put(300e-9), 300e-9),
    (b"PUT /v1/beam_shift [1e-07,-1.2e-06]", tem.BEAM_SHIFT.put((1e-7, -1.2e-6)), (1e-7, -1.2e-6)),
    (b"PUT /v1/image_shift [0.0,0.0]", tem.IMAGE_SHIFT.put((0.0, 0.0)), (0.0, 0.0)),
    (b"PUT /v1/defocus -6e-08", tem.DEFOCUS.put(-60e-9), -60e-9),
]


@pytest.mark.parametrize(("endpoint", "of", "value"), ASKED, ids=[one[0].name for one in ASKED])
def test_a_question_and_its_answer_are_those_of_the_transcript(endpoint: Endpoint[Any], of: str, value: Any) -> None:
    question = endpoint.get(of)
    assert endpoint.value(response(typed("tem")[f"GET {question.path}".encode()])) == value
    assert wire.asked(question, tem.WHOLE_TABLE).endpoint is endpoint
    assert endpoint.value(endpoint.answer(value)) == value


@pytest.mark.parametrize(("line", "made", "value"), TOLD, ids=[one[1].path for one in TOLD])
def test_an_order_is_that_of_the_transcript(line: bytes, made: Request, value: Any) -> None:
    assert made == request(line)
    wire.see_done(response(typed("tem")[line]))
    understood = wire.asked(made, tem.WHOLE_TABLE)
    assert (understood.put, understood.value) == (True, value)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (tem.CAMERAS, b'{"CCD": {"type": "STEM_DETECTOR", "binnings": [1]}}'),
        (tem.CAMERAS, b'{"CCD": {"type": "CAMERA", "width": 8, "height": 0, "binnings": [1], "shutter_modes": []}}'),
        (
            tem.CAMERAS,
            b'{"CCD": {"type": "CAMERA", "width": 8, "height": 8, "binnings": [1], "shutter_modes": ["OPEN"]}}',
        ),
        (tem.CAMERA, b'{"image_size": "FULL", "binning": 1, "exposure(s)": 1.0}'),
        (tem.CAMERA, b'{"image_size": "FULL", "binning": 1, "exposure(s)": "1", "shutter_mode": "BOTH"}'),
        (tem.BEAM_SHIFT, b"[0.0]"),
        (tem.BEAM_SHIFT, b"0.0"),
        (tem.BEAM_SHIFT, b"[0.0, NaN]"),
        (tem.MAGNIFICATION, b"31.0"),
        (tem.MAGNIFICATION, b"-1"),
        (tem.PROJECTION, b'"LATTICE"'),
    ],
)
def test_an_answer_outside_the_grammar_is_no_value(endpoint: Endpoint[Any], body: bytes) -> None:
    with pytest.raises(WireError):
        endpoint.value(Response(200, body, JSON))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
bodies = st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode())


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(tem.TEM_TABLE)), bodies)
def test_any_bytes_are_an_answer_or_a_named_error(name: str, body: bytes) -> None:
    try:
        tem.TEM_TABLE[name].value(Response(200, body, JSON))
    except (WireError, DeviceError) as error:
        assert str(error)
