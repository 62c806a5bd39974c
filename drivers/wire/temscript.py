"""temscript's HTTP API, version 1: what a TEM of the Tecnai, Titan and Talos families is asked over its web server.

Fields and units: temscript 2.1.0 (BSD-3), server.py, marshall.py and the docstrings of base_microscope.py.  In here
angles are rad, lengths m, energies eV (the wire says kV).  Each line of the table reads and writes one endpoint's JSON.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from drivers.errors import DeviceError, WireError
from drivers.wire.http import JSON, Request, Response, json_bytes, read_json

PREFIX = "/v1/"
LARGEST_PUT = 4096  # bytes; the server reads no more
LARGEST_ANSWER = 1 << 16  # bytes of anything but an image
LONGEST_NAME = 64
AXES = ("x", "y", "z", "a", "b")
STAGE_STATES = ("READY", "DISABLED", "NOT_READY", "GOING", "MOVING", "WOBBLING")
UNDER_WAY = ("GOING", "MOVING", "WOBBLING")
VACUUM_STATES = ("UNKNOWN", "OFF", "CAMERA_AIR", "BUSY", "READY", "ELSE")
BEYOND = ("UNDERFLOW", "OVERFLOW")  # what a gauge says instead of a pressure
SIZES = ("FULL", "HALF", "QUARTER")
WAYS = ("GO", "MOVE")  # all axes at once; or tilts to zero, z, then x and y, then tilts
_MESSAGE = re.compile(r"<p>Message: (.*?)</p>", re.DOTALL)

T = TypeVar("T")


@dataclass(frozen=True)
class Position:
    """Where the goniometer stands or is to go: x, y, z in m, tilts a and b in rad; None for an axis left alone."""

    x: float | None = None
    y: float | None = None
    z: float | None = None
    a: float | None = None
    b: float | None = None

    def axes(self) -> dict[str, float]:
        """The axes that are said."""
        return {name: value for name in AXES if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class StageLimits:
    """(lowest, highest) of each axis of the goniometer, m and rad."""

    x: tuple[float, float]
    y: tuple[float, float]
    z: tuple[float, float]
    a: tuple[float, float]
    b: tuple[float, float]


@dataclass(frozen=True)
class Vacuum:
    """State of the vacuum; gauges in Pa, or UNDERFLOW or OVERFLOW."""

    status: str
    column_valves_open: bool
    pvp_running: bool
    gauges: tuple[tuple[str, float | str], ...] = ()


@dataclass(frozen=True)
class StemDetector:
    """A STEM detector that is selected on the microscope, and the binnings it has."""

    name: str
    binnings: tuple[int, ...]


@dataclass(frozen=True)
class DetectorSetting:
    """Brightness and contrast of a STEM detector, in the microscope's own measure; None for one left alone."""

    brightness: float | None = None
    contrast: float | None = None


@dataclass(frozen=True)
class StemSetting:
    """How a STEM image is taken: one of SIZES, the binning, the dwell in s; None for what is left alone."""

    image_size: str | None = None
    binning: int | None = None
    dwell: float | None = None


class Unknown(Exception):
    """A request for something this API does not have: the box answers 404."""


@dataclass(frozen=True)
class Endpoint(Generic[T]):
    """One name of the API: how its JSON is read (raises WireError) and written, and whether it can be set.

    named: the name of a detector follows in the path.  in_part: an order may leave fields out, an answer may not.
    """

    name: str
    read: Callable[[Any], T]
    write: Callable[[T], Any]
    settable: bool = False
    named: bool = False
    in_part: bool = False

    def get(self, detector: str = "") -> Request:
        """The question for its value."""
        return Request("GET", self._path(detector))

    def put(self, value: T, detector: str = "", **query: str) -> Request:
        """The order to make it `value`."""
        body = json_bytes(self.write(value))
        if not self.settable or len(body) > LARGEST_PUT:
            raise ValueError(f"{self.name} cannot be set to {value}")
        return Request("PUT", self._path(detector), tuple(query.items()), body, JSON)

    def answer(self, value: T) -> Response:
        """What the box answers to the question."""
        return Response(200, json_bytes(self.write(value)), JSON)

    def value(self, response: Response) -> T:
        """What the box answered. Raises DeviceError when it says no, WireError for what is no value."""
        see_done(response)
        if response.status != 200 or response.content_type != JSON:
            raise WireError(
                f"asked for {self.name}, but {response.status} came with {response.content_type or 'nothing'}"
            )
        found = self.read(read_json(response.body, largest=LARGEST_ANSWER))
        if self.in_part and (missing := [one.name for one in fields(found) if getattr(found, one.name) is None]):  # type: ignore[arg-type]
            raise WireError(f"{self.name} came without {missing[0]!r}")
        return found

    def _path(self, detector: str) -> str:
        if bool(detector) is not self.named:
            raise ValueError(f"{self.name} of {detector or 'no detector'}")
        return f"{PREFIX}{self.name}/{a_name(detector)}" if detector else f"{PREFIX}{self.name}"


def see_done(response: Response) -> None:
    """See that the box did what it was told. Raises DeviceError with its reason, WireError for another answer."""
    if response.status == 404:
        raise DeviceError(f"does not know this: {reason(response)}", way_out="Is it temscript 2.1.0 or later?")
    if response.status >= 400:
        raise DeviceError(f"was refused by the microscope: {reason(response)}")
    if response.status not in (200, 204):
        raise WireError(f"the status {response.status} came, which this API does not have")


def refusal(status: int, why: str) -> Response:
    """The box's answer to what it does not have (404) or cannot do (500), in the form of Python's web server."""
    page = f"<html><body><p>Error code: {status}</p><p>Message: {html.escape(why)}.</p></body></html>"
    return Response(status, page.encode("utf-8", "replace"), "text/html")


def reason(response: Response) -> str:
    """Why the box says no, as far as it says."""
    text = response.body[:LARGEST_ANSWER].decode("utf-8", "replace")
    found = _MESSAGE.search(text)
    said = html.unescape(found[1]).removesuffix(".") if found else f"status {response.status}"
    return " ".join("".join(c if c.isprintable() else " " for c in said).split())[:300]


@dataclass(frozen=True)
class Asked:
    """A request as the box understands it: what for, of which detector, the new value of a PUT, and its query."""

    endpoint: Endpoint[Any]
    detector: str
    put: bool
    value: Any
    query: tuple[tuple[str, str], ...]


def asked(request: Request, table: Mapping[str, Endpoint[Any]]) -> Asked:
    """What a request means. Raises Unknown for a name the API does not have, WireError for a body that is no value."""
    if not request.path.startswith(PREFIX):
        raise Unknown(f"Unknown API version: {request.path!r}")
    name, _, detector = request.path[len(PREFIX) :].partition("/")
    endpoint = table.get(name)
    put = request.method == "PUT"
    if endpoint is None or endpoint.named is not bool(detector) or (put and not endpoint.settable):
        raise Unknown(f"Unknown endpoint: {request.path[len(PREFIX) :]!r}")
    value = endpoint.read(read_json(request.body, largest=LARGEST_PUT)) if put else None
    return Asked(endpoint, detector, put, value, request.query)


# --- the values


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise WireError(f"{value!r:.40} came where true or false is due")
    return value


def a_number(value: Any) -> float:
    """A finite number. Raises WireError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        raise WireError(f"{value!r:.40} came where a number is due")
    return float(value)


def a_count(value: Any) -> int:
    """A whole number from 1. Raises WireError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1 << 16:
        raise WireError(f"{value!r:.40} came where a count is due")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not value.isprintable():
        raise WireError(f"{value!r:.40} came where a word is due")
    return value


def a_name(value: Any) -> str:
    """The name of a detector or a camera. Raises WireError."""
    name = _text(value)
    if not name or not all(c.isalnum() or c in "-_. " for c in name):
        raise WireError(f"{name!r} came where the name of a detector is due")
    return name


def a_mapping(value: Any) -> dict[str, Any]:
    """Fields by name. Raises WireError."""
    if not isinstance(value, dict):
        raise WireError(f"{value!r:.40} came where fields are due")
    return value


def one_of(*words: str) -> Callable[[Any], str]:
    """What reads one of some words."""

    def read(value: Any) -> str:
        if value not in words:
            raise WireError(f"{value!r:.40} came where one of {', '.join(words)} is due")
        return str(value)

    return read


def _fields(value: Any, readers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Those of the named fields that are there; others are an error."""
    found = a_mapping(value)
    if unknown := set(found) - set(readers):
        raise WireError(f"the field {sorted(unknown)[0]!r:.40} came, which is not known here")
    return {key: readers[key](found[key]) for key in found}


def _all(found: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    if missing := [name for name in names if found.get(name) is None]:
        raise WireError(f"the field {missing[0]!r} is missing")
    return found


def _kilovolts(value: Any) -> float:
    volts = a_number(value) * 1e3
    if not 0.0 <= volts <= 2e6:
        raise WireError(f"a high tension of {volts:g} V came")
    return volts


def _range(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise WireError(f"{value!r:.40} came where a lowest and a highest value are due")
    low, high = (a_number(one) for one in value)
    if not low <= high:
        raise WireError(f"limits from {low:g} to {high:g} came")
    return low, high


def _pressure(value: Any) -> float | str:
    return value if isinstance(value, str) and value in BEYOND else a_number(value)


def _vacuum(value: Any) -> Vacuum:
    found = _all(a_mapping(value), ("status", "column_valves_open", "pvp_running", "gauges(Pa)"))
    gauges = a_mapping(found["gauges(Pa)"])
    return Vacuum(
        one_of(*VACUUM_STATES)(found["status"]),
        _flag(found["column_valves_open"]),
        _flag(found["pvp_running"]),
        tuple((_text(name), _pressure(pressure)) for name, pressure in gauges.items()),
    )


def _vacuum_json(vacuum: Vacuum) -> Any:
    return {
        "status": vacuum.status,
        "column_valves_open": vacuum.column_valves_open,
        "pvp_running": vacuum.pvp_running,
        "gauges(Pa)": dict(vacuum.gauges),
    }


def _position(value: Any) -> Position:
    # a request may carry more; the server passes over what is no axis, and so may we
    return Position(**{axis: a_number(number) for axis, number in a_mapping(value).items() if axis in AXES})


def _limits(value: Any) -> StageLimits:
    return StageLimits(**_all(_fields(value, dict.fromkeys(AXES, _range)), AXES))


def _detectors(value: Any) -> tuple[StemDetector, ...]:
    return tuple(StemDetector(a_name(name), _binnings(a_mapping(said))) for name, said in a_mapping(value).items())


def _binnings(said: dict[str, Any]) -> tuple[int, ...]:
    if said.get("type") != "STEM_DETECTOR" or not isinstance(said.get("binnings"), list):
        raise WireError(f"{said!r:.60} came where a STEM detector is due")
    return tuple(a_count(binning) for binning in said["binnings"])


def _detector_setting(value: Any) -> DetectorSetting:
    return DetectorSetting(**_fields(value, {"brightness": a_number, "contrast": a_number}))


def _stem_setting(value: Any) -> StemSetting:
    found = _fields(value, {"image_size": one_of(*SIZES), "binning": a_count, "dwell_time(s)": a_number})
    return StemSetting(found.get("image_size"), found.get("binning"), found.get("dwell_time(s)"))


def what_is_said(value: Any, **names: str) -> dict[str, Any]:
    """The fields of a dataclass that are not None, under the names of the wire."""
    found = {names.get(field.name, field.name): getattr(value, field.name) for field in fields(value)}
    return {name: one for name, one in found.items() if one is not None}


def _same(value: Any) -> Any:
    return value


VERSION: Endpoint[str] = Endpoint("version", _text, _same)
FAMILY: Endpoint[str] = Endpoint("family", _text, _same)
MICROSCOPE_ID: Endpoint[str] = Endpoint("microscope_id", _text, _same)
STAGE_HOLDER: Endpoint[str] = Endpoint("stage_holder", _text, _same)
VOLTAGE: Endpoint[float] = Endpoint(
    "voltage", _kilovolts, lambda volts: volts / 1e3
)  # eV an electron; 0 while the high tension is off
VACUUM: Endpoint[Vacuum] = Endpoint("vacuum", _vacuum, _vacuum_json)
VALVES: Endpoint[bool] = Endpoint("column_valves_open", _flag, _same, settable=True)
STAGE_POSITION: Endpoint[Position] = Endpoint("stage_position", _position, Position.axes, settable=True, in_part=True)
STAGE_LIMITS: Endpoint[StageLimits] = Endpoint(
    "stage_limits", _limits, lambda limits: {axis: list(getattr(limits, axis)) for axis in AXES}
)
STAGE_STATUS: Endpoint[str] = Endpoint("stage_status", one_of(*STAGE_STATES), _same)
BEAM_BLANKED: Endpoint[bool] = Endpoint("beam_blanked", _flag, _same, settable=True)
MODE: Endpoint[str] = Endpoint("instrument_mode", one_of("TEM", "STEM"), _same, settable=True)
SCREEN_POSITION: Endpoint[str] = Endpoint("screen_position", one_of("UNKNOWN", "UP", "DOWN"), _same, settable=True)
SCREEN_CURRENT: Endpoint[float] = Endpoint("screen_current", a_number, _same)
STEM_AVAILABLE: Endpoint[bool] = Endpoint("stem_available", _flag, _same)
STEM_DETECTORS: Endpoint[tuple[StemDetector, ...]] = Endpoint(
    "stem_detectors",
    _detectors,
    lambda found: {one.name: {"type": "STEM_DETECTOR", "binnings": list(one.binnings)} for one in found},
)
STEM_DETECTOR: Endpoint[DetectorSetting] = Endpoint(
    "stem_detector_param", _detector_setting, what_is_said, settable=True, named=True, in_part=True
)
STEM_SETTING: Endpoint[StemSetting] = Endpoint(
    "stem_acquisition_param",
    _stem_setting,
    lambda said: what_is_said(said, dwell="dwell_time(s)"),
    settable=True,
    in_part=True,
)
STEM_MAGNIFICATION: Endpoint[float] = Endpoint("stem_magnification", a_number, _same, settable=True)
STEM_ROTATION: Endpoint[float] = Endpoint("stem_rotation", a_number, _same, settable=True)
# 2.1.0 passes a PUT of these on to a property that cannot be set (_instrument_com.py): they are only read here
PROBE_DEFOCUS: Endpoint[float] = Endpoint("probe_defocus", a_number, _same)
CONVERGENCE: Endpoint[float] = Endpoint("convergence_angle", a_number, _same)

TABLE: Mapping[str, Endpoint[Any]] = {
    one.name: one
    for one in (
        *(VERSION, FAMILY, MICROSCOPE_ID, STAGE_HOLDER, VOLTAGE, VACUUM, VALVES, BEAM_BLANKED, MODE),
        *(STAGE_POSITION, STAGE_LIMITS, STAGE_STATUS, SCREEN_POSITION, SCREEN_CURRENT, STEM_AVAILABLE),
        *(STEM_DETECTORS, STEM_DETECTOR, STEM_SETTING, STEM_MAGNIFICATION, STEM_ROTATION, PROBE_DEFOCUS, CONVERGENCE),
    )
}
