"""The fibsem HTTP API, path by path, in both directions; images are in fibsem_image.

Source: fibsem 0.5.3 (MIT), fibsem/server/server.py, client.py and models.py.  A body is JSON; what is wrong with a
request comes back as 422 {"detail"}, what failed behind the server as a bare 500.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from drivers.errors import WireError
from drivers.wire import fibsem_milling as milling
from drivers.wire import fibsem_stage as stage
from drivers.wire.fibsem_json import decode, encode
from drivers.wire.fibsem_model import (
    Acquire,
    Choices,
    Chosen,
    ColumnSettings,
    DetectorOfBeam,
    DetectorTold,
    Done,
    Health,
    ImagingSettings,
    Nothing,
    OfBeam,
    Pixels,
    Point,
    SetTo,
    StateTold,
    Told,
)
from drivers.wire.fibsem_pattern import Patterns
from drivers.wire.http import JSON, Request, Response, json_bytes, read_json

A = TypeVar("A")
T = TypeVar("T")
TIFF = "image/tiff"
LONGEST_DETAIL = 300  # characters of a refusal that people are shown


@dataclass(frozen=True)
class Call(Generic[A, T]):
    """One path: what is asked (nothing, of a GET) and what is told."""

    method: Literal["GET", "POST"]
    path: str
    asked: type[A]
    told: type[T]


@dataclass(frozen=True)
class Setting(Generic[T]):
    """A setting of a beam: `path`/get and `path`/set; a set tells what the setting then is."""

    path: str
    told: type[Told[T]]
    set_to: type[SetTo[T]]

    @property
    def get(self) -> Call[OfBeam, Told[T]]:
        """Asks for it."""
        return Call("POST", f"/{self.path}/get", OfBeam, self.told)

    @property
    def set(self) -> Call[SetTo[T], Told[T]]:
        """Changes it."""
        return Call("POST", f"/{self.path}/set", self.set_to, self.told)


HEALTH = Call("GET", "/health", Nothing, Health)
SYSTEM = Call("GET", "/system", Nothing, stage.SystemTold)

STAGE_POSITION = Call("GET", "/stage_position", Nothing, stage.StagePosition)
STAGE_ORIENTATION = Call("GET", "/stage_orientation", Nothing, stage.StageOrientation)
MOVE_ABSOLUTE = Call("POST", "/move_stage_absolute", stage.StagePosition, stage.StagePosition)
MOVE_RELATIVE = Call("POST", "/move_stage_relative", stage.StagePosition, stage.StagePosition)
STABLE_MOVE = Call("POST", "/stable_move", stage.StableMove, stage.StagePosition)
PROJECT_STABLE_MOVE = Call("POST", "/project_stable_move", stage.ProjectStableMove, stage.StagePosition)
VERTICAL_MOVE = Call("POST", "/vertical_move", stage.VerticalMove, stage.StagePosition)
SAFE_MOVE = Call("POST", "/safe_absolute_stage_movement", stage.StagePosition, Done)
FLAT_TO_BEAM = Call("POST", "/move_flat_to_beam", OfBeam, Done)
MILLING_ANGLE = Call("GET", "/milling_angle", Nothing, stage.MillingAngle)
MILLING_ANGLE_AT = Call("POST", "/milling_angle/from_position", stage.MillingAngleAt, stage.MillingAngle)
SET_MILLING_ANGLE = Call("POST", "/milling_angle/set", stage.MillingAngle, Done)
TO_MILLING_ANGLE = Call("POST", "/milling_angle/move", stage.ToMillingAngle, stage.AtMillingAngle)
NEAR_MILLING_ANGLE = Call("POST", "/milling_angle/is_close", stage.NearMillingAngle, stage.Near)

STATE = Call("GET", "/microscope_state", Nothing, StateTold)
SET_STATE = Call("POST", "/microscope_state", StateTold, Done)
IMAGING = Call("POST", "/imaging_settings/get", OfBeam, ImagingSettings)
SET_IMAGING = Call("POST", "/imaging_settings/set", ImagingSettings, Done)
BEAM = Call("POST", "/beam_settings/get", OfBeam, ColumnSettings)
SET_BEAM = Call("POST", "/beam_settings/set", ColumnSettings, Done)
BEAM_SYSTEM = Call("POST", "/beam_system_settings/get", OfBeam, stage.BeamSystemTold)
SET_BEAM_SYSTEM = Call("POST", "/beam_system_settings/set", stage.BeamSystemTold, Done)
DETECTOR = Call("POST", "/detector_settings/get", OfBeam, DetectorTold)
SET_DETECTOR = Call("POST", "/detector_settings/set", DetectorOfBeam, Done)
AVAILABLE = Call("POST", "/available_values", Choices, Chosen)
AUTOCONTRAST = Call("POST", "/autocontrast", OfBeam, Done)
AUTO_FOCUS = Call("POST", "/auto_focus", OfBeam, Done)
# their answers are images; `told` is for what is refused
ACQUIRE = Call("POST", "/acquire_image", Acquire, Nothing)
LAST_IMAGE = Call("POST", "/last_image", OfBeam, Nothing)
CHAMBER_IMAGE = Call("POST", "/acquire_chamber_image", Nothing, Nothing)

CURRENT = Setting("beam_current", Told[float], SetTo[float])  # A
VOLTAGE = Setting("beam_voltage", Told[float], SetTo[float])  # V
FIELD = Setting("field_of_view", Told[float], SetTo[float])  # m, width
WORKING_DISTANCE = Setting("working_distance", Told[float], SetTo[float])  # m
DWELL = Setting("dwell_time", Told[float], SetTo[float])  # s
SCAN_ROTATION = Setting("scan_rotation", Told[float], SetTo[float])  # rad
RESOLUTION = Setting("resolution", Told[Pixels], SetTo[Pixels])
STIGMATION = Setting("stigmation", Told[Point], SetTo[Point])
SHIFT = Setting("beam_shift", Told[Point], SetTo[Point])  # m
DETECTOR_TYPE = Setting("detector_type", Told[str], SetTo[str])
DETECTOR_MODE = Setting("detector_mode", Told[str], SetTo[str])
CONTRAST = Setting("detector_contrast", Told[float], SetTo[float])  # 0 to 1
BRIGHTNESS = Setting("detector_brightness", Told[float], SetTo[float])  # 0 to 1

SET_UP_MILLING = Call("POST", "/setup_milling", milling.SetUpMilling, Done)
DRAW = Call("POST", "/draw_patterns", Patterns, Done)
RUN = Call("POST", "/run_milling", milling.RunMilling, Done)
START = Call("POST", "/start_milling", Nothing, Done)
STOP = Call("POST", "/stop_milling", Nothing, Done)
PAUSE = Call("POST", "/pause_milling", Nothing, Done)
RESUME = Call("POST", "/resume_milling", Nothing, Done)
FINISH = Call("POST", "/finish_milling", milling.FinishMilling, Done)
CLEAR = Call("POST", "/clear_patterns", Nothing, Done)
MILLING_STATE = Call("GET", "/milling_state", Nothing, milling.MillingStateTold)
MILLING_TIME = Call("GET", "/estimate_milling_time", Nothing, milling.MillingTime)

NOTHING = Nothing()


def request(call: Call[A, T], asked: A) -> Request:
    """The request of a call."""
    if call.method == "GET":
        return Request("GET", call.path)
    return Request("POST", call.path, body=encode(call.asked, asked), content_type=JSON)


def asked(call: Call[A, T], request: Request) -> A:
    """What a request of this call asks; raises WireError."""
    return decode(call.asked, request.body if call.method == "POST" and request.body else b"{}")


def response(call: Call[A, T], told: T) -> Response:
    """The response to a call."""
    return Response(200, encode(call.told, told), JSON)


def told(call: Call[A, T], response: Response) -> T:
    """What a good response tells; raises WireError, also for one that is no JSON."""
    if response.status != 200 or response.content_type != JSON:
        raise WireError(f"{call.path} was answered with {response.status} {response.content_type or 'of no type'}")
    return decode(call.told, response.body)


def refusal(status: int, detail: str) -> Response:
    """How the server says no: 500 is bare text, whatever went wrong."""
    if status == 500:
        return Response(500, b"Internal Server Error", "text/plain")
    return Response(status, json_bytes({"detail": detail}), JSON)


def unfit(request: Request, error: WireError) -> Response:
    """How the server refuses a body that is not what the call takes; of a beam it does not know it says so itself."""
    try:
        body = read_json(request.body)
    except WireError:
        body = None
    name = body.get("beam_type") if isinstance(body, dict) else None
    if isinstance(name, str) and name.lower() not in ("electron", "ion"):
        return refusal(422, f"Unknown beam_type: {name!r}. Use 'ELECTRON' or 'ION'.")
    fault = {"type": "value_error", "loc": ["body"], "msg": error.what}
    return Response(422, json_bytes({"detail": [fault]}), JSON)


def said_no(response: Response) -> str:
    """What a response of another status than 200 says, in one line; "" for a good one."""
    if response.status == 200:
        return ""
    text = response.body.decode("utf-8", "replace")
    if response.content_type == JSON:
        try:
            text = _detail(read_json(response.body))
        except WireError:
            text = "with a body that is no JSON"
    words = " ".join("".join(c if c.isprintable() else " " for c in text[:LONGEST_DETAIL]).split())
    return f"{response.status} {words}".strip()


def _detail(body: object) -> str:
    detail = body.get("detail") if isinstance(body, dict) else body
    if isinstance(detail, list):  # of faults of a body, each with a `msg`
        return "; ".join(str(fault.get("msg") if isinstance(fault, dict) else fault) for fault in detail[:4])
    return str(detail)
