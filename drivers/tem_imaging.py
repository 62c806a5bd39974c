"""Images with a parallel beam: the microscope in TEM mode, its camera, its shifts and its focus."""

from __future__ import annotations

import math

from drivers.column_settings import TemSettings
from drivers.errors import LimitError
from drivers.limits import Limits
from drivers.links.base import Wait
from drivers.microscope import Microscope
from drivers.ticket import Flood
from drivers.wire import temscript as wire
from drivers.wire import temscript_tem as tem
from drivers.wire.temscript_image import Image

SAME = 1e-3  # relative; a number read back
SAME_LENGTH = 0.5e-9  # m; a shift or a focus read back
DARK = "PRE_SPECIMEN"  # the shutter that keeps the sample dark while the camera is read out


def see_flood(limits: Limits, device: str, flood: Flood) -> None:
    """Refuse a flood beyond the rig's limits of its exposure, its shift and its focus; raises LimitError."""
    limits.check(device, "acquire", exposure=flood.seconds, shift=math.hypot(*flood.centre), defocus=flood.defocus)


class TemImaging:
    """Sets a microscope up for one image of its camera while the beam is blanked, and brings it back to STEM.

    With its shifts at zero the scan coordinates hold: they are brought there before the mode changes back.
    """

    def __init__(self, scope: Microscope, settings: TemSettings, limits: Limits, wait: Wait) -> None:
        self._scope, self._settings, self._limits, self._wait = scope, settings, limits, wait

    def see(self, flood: Flood) -> int:
        """The binning that gives the image; raises LimitError for one that this camera and this beam do not take."""
        settings, device = self._settings, self._scope.http.device
        see_flood(self._limits, device, flood)
        columns, rows = flood.pixels
        binning = settings.full_frame // columns
        side = settings.pixel.value * settings.full_frame
        whole = columns == rows and settings.full_frame % columns == 0
        if not whole or not all(math.isclose(one, side, rel_tol=1e-9) for one in flood.size):
            raise LimitError(
                f"refused: {flood} is no image of {settings.camera}",
                device=device,
                action="acquire",
                way_out=f"Choose {settings.full_frame} pixels over a binning; they see {side * 1e9:.5g} nm.",
            )
        if not math.isclose(flood.diameter, settings.diameter.value, rel_tol=1e-9):
            raise LimitError(
                f"refused: {flood} is another disc than that of the rig file, {settings.diameter.value * 1e9:.5g} nm",
                device=device,
                action="acquire",
                way_out="Reserve the disc that the rig's calibration is for.",
            )
        return binning

    def set_up(self, flood: Flood, binning: int) -> None:
        """Set everything the image is taken with, and read it all back, while the beam is blanked.

        Raises LinkError, WireError, DeviceError.
        """
        settings, scope = self._settings, self._scope
        self.enter("acquire")
        self._see_camera(binning)
        for what, wanted, found in (
            ("projection", "IMAGING", scope.set("acquire", tem.PROJECTION, "IMAGING")),
            ("screen", "UP", scope.set("acquire", wire.SCREEN_POSITION, "UP")),
            ("magnification", settings.magnification, scope.set("acquire", tem.MAGNIFICATION, settings.magnification)),
        ):
            if found != wanted:
                raise scope.no("acquire", f"has its {what} at {found}, not at {wanted}", "Set it at the microscope.")
        area = settings.illuminated_area
        scope.set_and_see("acquire", "illuminated area", tem.ILLUMINATED, area, tolerance=SAME * area)
        # underfocus is positive here, and negative there
        scope.set_and_see("acquire", "defocus", tem.DEFOCUS, -flood.defocus, tolerance=SAME_LENGTH)
        self._shift("acquire", flood.centre)
        setting = tem.CameraSetting("FULL", binning, flood.seconds, DARK)
        back = scope.set("acquire", tem.CAMERA, setting, settings.camera)
        if (back.image_size, back.binning, back.shutter) != ("FULL", binning, DARK):
            raise scope.no("acquire", f"took {back.image_size}, binning {back.binning} and the shutter {back.shutter}")
        scope.see("acquire", "exposure", back.exposure or math.nan, flood.seconds, SAME * flood.seconds)

    def image(self, flood: Flood) -> Image:
        """The image; nothing is answered until it is taken and read out. Raises LinkError, WireError, DeviceError."""
        return self._scope.image("acquire", self._settings.camera, flood, flood.seconds, self._settings.readout)

    def enter(self, action: str) -> None:
        """Bring the microscope to TEM, and wait for its lenses; the beam is blanked meanwhile.

        Raises LinkError, WireError, DeviceError.
        """
        self._to_mode(action, "TEM")

    def leave(self, action: str) -> None:
        """Bring the shifts to zero, then the microscope back to STEM; the beam is blanked meanwhile.

        Raises LinkError, WireError, DeviceError.
        """
        self._shift(action, (0.0, 0.0))
        self._to_mode(action, "STEM")

    def _to_mode(self, action: str, mode: str) -> None:
        if self._scope.ask(action, wire.MODE) == mode:
            return
        if (found := self._scope.set(action, wire.MODE, mode)) != mode:
            raise self._scope.no(action, f"stays in {found} mode", f"Switch the microscope to {mode}.")
        self._wait(self._settings.settle)

    def _see_camera(self, binning: int) -> None:
        """See that the camera is there, has the binning, and can keep the sample dark while it is read out."""
        settings = self._settings
        there = {one.name: one for one in self._scope.agreed("acquire", tem.CAMERAS)}
        if (camera := there.get(settings.camera)) is None:
            raise self._scope.no(
                "acquire",
                f"has no camera {settings.camera} ({', '.join(there) or 'none at all'})",
                "Write its name into the rig file.",
            )
        side = settings.full_frame
        if (camera.width, camera.height) != (side, side) or binning not in camera.binnings:
            raise self._scope.no(
                "acquire",
                f"has a {settings.camera} of {camera.width} x {camera.height} pixels and binning "
                f"{', '.join(map(str, camera.binnings))}, not of {side} and {binning}",
                "Choose other pixels, or write what it has into the rig file.",
            )
        if DARK not in camera.shutters:
            raise self._scope.no(
                "acquire",
                f"has a {settings.camera} without a shutter before the specimen, which would burn while it is read out",
                "Let the camera use the beam blanker as its shutter.",
            )

    def _shift(self, action: str, to: tuple[float, float]) -> None:
        for what, endpoint in (("beam shift", tem.BEAM_SHIFT), ("image shift", tem.IMAGE_SHIFT)):
            back = self._scope.set(action, endpoint, to)
            for found, wanted in zip(back, to, strict=True):
                self._scope.see(action, what, found, wanted, SAME_LENGTH)
