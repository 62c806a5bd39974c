"""The TEM side of the microscope's web server: its camera, shifts, focus and illumination, in front of the world's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivers.wire import temscript_tem as tem
from physics.units import parse
from simulators.beam.flooding import Flooding
from simulators.constants import constants

CAMERA = "BM-Ceta"


class Objection(Exception):
    """The microscope does not do it."""


class TemCamera:
    """What the microscope answers and does in TEM; raises Objection."""

    def __init__(self, flooding: Flooding) -> None:
        self._flooding = flooding
        self._numbers = constants("microscope")["tem"]

    def read(self, name: str) -> Any:
        """The value of an endpoint of the TEM table."""
        return _GET[name](self)

    def order(self, name: str, value: Any) -> None:
        """Set an endpoint of the TEM table."""
        _PUT[name](self, value)

    def cameras(self) -> tuple[tem.TemCamera, ...]:
        """The one camera."""
        side = self._numbers["full_frame"]
        return (tem.TemCamera(CAMERA, side, side, tuple(self._numbers["binnings"]), tem.SHUTTERS),)

    def camera(self) -> tem.CameraSetting:
        """How it is set."""
        settings = self._flooding.settings
        return tem.CameraSetting("FULL", settings.binning, settings.exposure, settings.shutter)

    def shifts(self) -> tuple[tem.Pair, tem.Pair]:
        """Of beam and image, m."""
        return self._flooding.settings.beam_shift, self._flooding.settings.image_shift

    def _set_camera(self, said: tem.CameraSetting) -> None:
        if said.image_size not in (None, "FULL"):
            raise Objection("no other image size than FULL is simulated")
        if said.binning is not None:
            if said.binning not in self._numbers["binnings"]:
                raise Objection(f"binning {said.binning} is not supported")
            self._flooding.set(binning=said.binning)
        if said.exposure is not None:
            low, high = (parse(limit, "time") for limit in self._numbers["exposure"])
            if not low <= said.exposure <= high:
                raise Objection(f"exposure time {said.exposure:g} is out of range")
            step = parse(self._numbers["exposure_step"], "time")
            self._flooding.set(exposure=round(said.exposure / step) * step)
        if said.shutter is not None:
            self._flooding.set(shutter=said.shutter)

    def _project(self, mode: str) -> None:
        if mode != "IMAGING":
            raise Objection("diffraction of a parallel beam is not simulated")

    def _magnify(self, index: int) -> None:
        if index not in self._numbers["magnifications"]:
            raise Objection(f"magnification index {index} is out of range")
        self._flooding.set(magnification=index)

    def _illuminate(self, diameter: float) -> None:
        low, high = (parse(limit, "length") for limit in self._numbers["illuminated_range"])
        if not low <= diameter <= high:
            raise Objection(f"illuminated area {diameter:g} is out of range")
        self._flooding.set(illuminated=diameter)

    def _shift(self, which: str, to: tem.Pair) -> None:
        farthest = parse(self._numbers["farthest_shift"], "length")
        if not max(map(abs, to)) <= farthest:
            raise Objection(f"a shift to {to} is out of range")
        self._flooding.set(**{which: to})


_GET: dict[str, Callable[[TemCamera], Any]] = {
    "cameras": TemCamera.cameras,
    "camera_param": TemCamera.camera,
    "projection_mode": lambda tem_: "IMAGING",
    "magnification_index": lambda tem_: tem_._flooding.settings.magnification,
    "illuminated_area": lambda tem_: tem_._flooding.settings.illuminated,
    "beam_shift": lambda tem_: tem_.shifts()[0],
    "image_shift": lambda tem_: tem_.shifts()[1],
    "defocus": lambda tem_: -tem_._flooding.settings.defocus,  # the microscope counts towards overfocus
}
_PUT: dict[str, Callable[[TemCamera, Any], None]] = {
    "camera_param": TemCamera._set_camera,
    "projection_mode": TemCamera._project,
    "magnification_index": TemCamera._magnify,
    "illuminated_area": TemCamera._illuminate,
    "beam_shift": lambda tem_, to: tem_._shift("beam_shift", to),
    "image_shift": lambda tem_, to: tem_._shift("image_shift", to),
    "defocus": lambda tem_, value: tem_._flooding.set(defocus=-value),
}
