"""The TEM side of temscript's HTTP API: cameras, shifts, focus and illumination (temscript 2.1.0, BSD-3).

Fields and units: server.py, microscope.py and the docstrings of base_microscope.py.  Lengths m.  `defocus` counts
as the microscope does: more is towards overfocus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drivers.errors import WireError
from drivers.wire import temscript as wire
from drivers.wire.temscript import Endpoint

SHUTTERS = ("PRE_SPECIMEN", "POST_SPECIMEN", "BOTH")
PROJECTIONS = ("IMAGING", "DIFFRACTION")
MOST_INDEX = 1000

Pair = tuple[float, float]


@dataclass(frozen=True)
class TemCamera:
    """A camera of the microscope: its pixels, the binnings it has, and which shutters it can use."""

    name: str
    width: int
    height: int
    binnings: tuple[int, ...]
    shutters: tuple[str, ...]


@dataclass(frozen=True)
class CameraSetting:
    """How a camera takes an image: one of SIZES, binning, s of exposure, the shutter; None for what is left alone."""

    image_size: str | None = None
    binning: int | None = None
    exposure: float | None = None
    shutter: str | None = None


def _pair(value: Any) -> Pair:
    if not isinstance(value, list) or len(value) != 2:
        raise WireError(f"{value!r:.40} came where two numbers are due")
    return wire.a_number(value[0]), wire.a_number(value[1])


def _index(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_INDEX:
        raise WireError(f"{value!r:.40} came where an index is due")
    return value


def _cameras(value: Any) -> tuple[TemCamera, ...]:
    return tuple(_camera(wire.a_name(name), wire.a_mapping(said)) for name, said in wire.a_mapping(value).items())


def _camera(name: str, said: dict[str, Any]) -> TemCamera:
    binnings, shutters = said.get("binnings"), said.get("shutter_modes")
    if said.get("type") != "CAMERA" or not isinstance(binnings, list) or not isinstance(shutters, list):
        raise WireError(f"{said!r:.60} came where a camera is due")
    width, height = (wire.a_count(said.get(side)) for side in ("width", "height"))
    return TemCamera(
        name, width, height, tuple(map(wire.a_count, binnings)), tuple(map(wire.one_of(*SHUTTERS), shutters))
    )


def _camera_json(one: TemCamera) -> dict[str, Any]:
    return {
        "type": "CAMERA",
        "width": one.width,
        "height": one.height,
        "binnings": list(one.binnings),
        "shutter_modes": list(one.shutters),
    }


def _camera_setting(value: Any) -> CameraSetting:
    # what else a camera is asked or says (corrections, pre-exposures) stays as a person has set it
    said = wire.a_mapping(value)
    return CameraSetting(
        wire.one_of(*wire.SIZES)(said["image_size"]) if "image_size" in said else None,
        wire.a_count(said["binning"]) if "binning" in said else None,
        wire.a_number(said["exposure(s)"]) if "exposure(s)" in said else None,
        wire.one_of(*SHUTTERS)(said["shutter_mode"]) if "shutter_mode" in said else None,
    )


CAMERAS: Endpoint[tuple[TemCamera, ...]] = Endpoint(
    "cameras", _cameras, lambda found: {one.name: _camera_json(one) for one in found}
)
CAMERA: Endpoint[CameraSetting] = Endpoint(
    "camera_param",
    _camera_setting,
    lambda said: wire.what_is_said(said, exposure="exposure(s)", shutter="shutter_mode"),
    settable=True,
    named=True,
    in_part=True,
)
PROJECTION: Endpoint[str] = Endpoint("projection_mode", wire.one_of(*PROJECTIONS), str, settable=True)
MAGNIFICATION: Endpoint[int] = Endpoint("magnification_index", _index, int, settable=True)
ILLUMINATED: Endpoint[float] = Endpoint("illuminated_area", wire.a_number, float, settable=True)
IMAGE_SHIFT: Endpoint[Pair] = Endpoint("image_shift", _pair, list, settable=True)
BEAM_SHIFT: Endpoint[Pair] = Endpoint("beam_shift", _pair, list, settable=True)
DEFOCUS: Endpoint[float] = Endpoint("defocus", wire.a_number, float, settable=True)

TEM_TABLE: Mapping[str, Endpoint[Any]] = {
    one.name: one for one in (CAMERAS, CAMERA, PROJECTION, MAGNIFICATION, ILLUMINATED, IMAGE_SHIFT, BEAM_SHIFT, DEFOCUS)
}
WHOLE_TABLE: Mapping[str, Endpoint[Any]] = {**wire.TABLE, **TEM_TABLE}
