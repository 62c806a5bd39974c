"""DECTRIS SIMPLON REST 1.8, both ways: the version, the parameters and the commands of a camera, as HTTP and JSON.

Source: DEigerClient of DECTRIS (in libertem_live, MIT): paths, methods, content types, "sequence id"; github
dectris/documentation, stream_v2/README.md: parameters of the stream, several at once; areaDetector/ADEiger, restApi.cpp
and eigerParam.cpp: by what a parameter is described, "series id" as the other name.  A parameter is absolute, so a PUT
of one may be repeated; a command may not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from drivers.errors import DeviceError, WireError
from drivers.wire.http import JSON, Request, Response, json_bytes, read_json
from drivers.wire.simplon_frames import is_count

VERSION = "1.8.0"  # of the API; it is in every path, and no other is spoken here
LARGEST = 1 << 18  # bytes of a reply; the longest tells all parameters

Module = Literal["detector", "stream", "filewriter", "monitor", "system"]
Task = Literal["version", "config", "status", "command"]
Scalar = float | int | str | bool
Value = Scalar | list[Any] | None

_CONTENT = f"{JSON}; charset=utf-8"
_SERIES = ("sequence id", "series id")
_NAME = re.compile(r"(?:[A-Za-z0-9_]{1,64}/){0,3}[A-Za-z0-9_]{1,64}")  # "count_time", "threshold/1/energy"
_PATH = re.compile(
    rf"/(?P<module>{'|'.join(get_args(Module))})/api/"
    rf"(?:(?P<asked>version)|{re.escape(VERSION)}/(?P<task>config|status|command)(?:/(?P<name>{_NAME.pattern}))?)/?"
)
_MOST = 1024  # names in a list
_LARGEST_NUMBER = 1e300  # JSON knows larger ones, and what divides by them does not


class BadRequest(WireError):
    """A request that is none of SIMPLON, with the status by which the box says so."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(what)
        self.status = status


@dataclass(frozen=True)
class Asked:
    """What a host asks.

    name: of the parameter or command, "" for all of them.  put: whether it is to be set or done.  value: what the
    parameter is to become or the command is done with; of all of them, a mapping by name; None where nothing is said.
    """

    module: Module
    task: Task
    name: str = ""
    put: bool = False
    value: Value | Mapping[str, Value] = None

    def encode(self) -> Request:
        """The request that asks it."""
        if self.task == "version":
            return Request("GET", f"/{self.module}/api/version/")
        path = f"/{self.module}/api/{VERSION}/{self.task}/{self.name}"
        if not self.put:
            return Request("GET", path)
        if self.value is None:
            return Request("PUT", path)
        body: Any = {"value": self.value}
        if isinstance(self.value, Mapping):
            body = {name: {"value": value} for name, value in self.value.items()}
        return Request("PUT", path, body=json_bytes(body), content_type=_CONTENT)


@dataclass(frozen=True)
class Parameter:
    """A parameter as the box tells it; "" or None is what it does not say.

    kind: "float", "uint", "int", "bool", "string" or another word of its own.  mode: "r", "w" or "rw".  low, high: its
    bounds, in its unit.
    """

    value: Value
    kind: str = ""
    mode: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    allowed: tuple[Scalar, ...] = ()


def version() -> Request:
    """Ask which API the camera speaks, before anything else: all other paths have it in them."""
    return Asked("detector", "version").encode()


def get(module: Module, task: Literal["config", "status"], name: str) -> Request:
    """Ask for a parameter."""
    return Asked(module, task, name).encode()


def put(module: Module, name: str, value: Scalar) -> Request:
    """Set a parameter; others may change with it, and the reply names them."""
    return Asked(module, "config", name, put=True, value=value).encode()


def command(name: str, value: Scalar | None = None, *, module: Module = "detector") -> Request:
    """Have something done: initialize, arm, trigger (with an exposure, s, in trigger mode "inte"), disarm, abort."""
    return Asked(module, "command", name, put=True, value=value).encode()


def read_request(request: Request) -> Asked:
    """What a request asks; raises BadRequest."""
    found = _PATH.fullmatch(request.path)
    if found is None:
        raise BadRequest(f"{request.path[:100]} is no path of SIMPLON {VERSION}", 404)
    module: Module = found["module"]  # type: ignore[assignment]  # the pattern knows no other
    task: Task = found["asked"] or found["task"]  # type: ignore[assignment]
    name = found["name"] or ""
    gets, puts = task != "command" or name in ("", "keys"), task == "config" or (task == "command" and name)
    if request.method == "GET" and gets:
        return Asked(module, task, name)
    if request.method == "PUT" and puts:
        return Asked(module, task, name, put=True, value=_value(request.body, name, task))
    raise BadRequest(f"{request.method[:10]} is not done to {request.path[:100]}", 405)


def read_version(response: Response) -> str:
    """The version of the API, such as "1.8.0"; raises DeviceError or WireError."""
    found = read_parameter(response).value
    if not isinstance(found, str) or not re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,3}){2}", found):
        raise WireError(f"a version was due; {str(found)[:40]!r} came")
    return found


def read_parameter(response: Response) -> Parameter:
    """What a parameter is; raises DeviceError when the box refuses, WireError."""
    found = _read(response)
    if not isinstance(found, dict) or "value" not in found:
        raise WireError("a parameter came without a value")
    words = [found.get(name) or "" for name in ("value_type", "access_mode", "unit")]
    bounds = [found.get(name) for name in ("min", "max")]
    allowed = found.get("allowed_values") or []
    if (
        not all(isinstance(word, str) for word in words)
        or not all(bound is None or _is_number(bound) for bound in bounds)
        or not isinstance(allowed, list)
        or not all(isinstance(one, str | int | float) for one in allowed)
    ):
        raise WireError("a parameter came whose type, access, unit, bounds or allowed values are none")
    kind, mode, unit = words
    value = found["value"]
    if not _KINDS.get(kind, _is_any)(value):
        raise WireError(f"a parameter came that is said to be {kind[:20] or 'a value'} and is {str(value)[:40]!r}")
    return Parameter(value, kind, mode, unit, bounds[0], bounds[1], tuple(allowed))


def read_names(response: Response) -> tuple[str, ...]:
    """The parameters that a PUT changed, or all there are; raises DeviceError when the box refuses, WireError."""
    found = _read(response, empty=[])
    if not isinstance(found, list) or len(found) > _MOST or not all(_is_name(name) for name in found):
        raise WireError("a list of parameters was due, something else came")
    return tuple(found)


def read_series(response: Response) -> int | None:
    """The series a command answers with; None where it answers with none; raises DeviceError, WireError."""
    found = _read(response, empty={})
    if not isinstance(found, dict):
        raise WireError("a command was answered with no object")
    series = [found[name] for name in _SERIES if name in found]
    if not series:
        return None
    if len(series) > 1 or not is_count(series[0]):
        raise WireError(f"a command was answered with the series {str(series)[:40]}")
    return int(series[0])


def say_parameter(parameter: Parameter) -> Response:
    """The reply that tells a parameter; of the version too."""
    said = {
        "access_mode": parameter.mode,
        "allowed_values": list(parameter.allowed),
        "max": parameter.high,
        "min": parameter.low,
        "unit": parameter.unit,
        "value_type": parameter.kind,
    }
    told = {name: value for name, value in said.items() if value not in (None, "", [])}
    return _reply({**told, "value": parameter.value})


def say_names(names: Iterable[str]) -> Response:
    """The reply that names parameters: those a PUT changed, or all there are."""
    return _reply(list(names))


def say_series(series: int) -> Response:
    """The reply of a command."""
    return _reply({_SERIES[0]: series})


def say_no(what: str, status: int) -> Response:
    """The reply that refuses, in plain text."""
    return Response(status, what.encode(), "text/plain; charset=utf-8")


def _reply(value: Any) -> Response:
    return Response(200, json_bytes(value), _CONTENT)


def _read(response: Response, empty: Any = None) -> Any:
    """What a reply says, `empty` where it says nothing."""
    if not 200 <= response.status < 300:
        said = "".join(c if c.isprintable() else " " for c in response.body[:200].decode("utf-8", "replace")).strip()
        raise DeviceError(f"was refused with {response.status}" + (f' "{said}"' if said else ""))
    found = read_json(response.body, largest=LARGEST) if response.body.strip() else None
    return empty if found is None else found


def _value(body: bytes, name: str, task: str) -> Any:
    """What the body of a PUT says."""
    if task == "command" and not body:
        return None
    try:
        found = read_json(body, largest=LARGEST)
    except WireError as error:
        raise BadRequest(error.what, 400) from None
    if isinstance(found, dict) and (set(found) == {"value"} if name else found):
        if name:
            return found["value"]
        values = {key: one["value"] for key, one in found.items() if _is_name(key) and _has_value(one)}
        if len(values) == len(found):
            return values
    raise BadRequest('a PUT was due that says {"value": ...}', 400)


def _has_value(one: Any) -> bool:
    return isinstance(one, dict) and set(one) == {"value"}


def _is_name(found: Any) -> bool:
    return isinstance(found, str) and _NAME.fullmatch(found) is not None


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool) and abs(found) <= _LARGEST_NUMBER


def _is_any(found: Any) -> bool:
    return not isinstance(found, int | float) or isinstance(found, bool) or _is_number(found)


def _is_whole(found: Any) -> bool:
    return isinstance(found, int) and _is_number(found)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "float": _is_number,
    "int": _is_whole,
    "uint": is_count,
    "bool": lambda found: isinstance(found, bool),
    "string": lambda found: isinstance(found, str),
}
