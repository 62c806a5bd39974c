"""What a rig file says about a SIMPLON camera, and the limits that follow from it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from drivers.limits import Range
from drivers.rigfile import Strict
from physics.quantities import PositiveSpan, Radians, Seconds


class CameraLimits(Strict):
    """What a series may be.

    frame_time: s from image to image, shortest and longest.  images: most of one series.
    """

    frame_time: PositiveSpan[Seconds]
    images: Annotated[int, Field(ge=1, le=1 << 24)] = 1 << 20


class CameraSettings(Strict):
    """How the camera is set up on the column.

    pixels: columns and rows of an image, as it comes in `roi_mode`.  angle_per_pixel: measured calibration, at the
    sample.  roi_mode: the camera's own word for a part or a binning of its detector.  compression: of the images.
    stream_format: "cbor" is Stream V2, on port 31001 unless the link says otherwise; "legacy" is V1, on 9999, for
    firmware older than 2022.1.
    """

    pixels: tuple[Annotated[int, Field(ge=1, le=8192)], Annotated[int, Field(ge=1, le=8192)]]
    angle_per_pixel: Annotated[Radians, Field(gt=0.0)]
    roi_mode: str = "disabled"
    compression: Literal["bslz4", "lz4", "none"] = "bslz4"
    stream_format: Literal["cbor", "legacy"] = "cbor"
    limits: CameraLimits

    @property
    def largest_image(self) -> int:
        """Bytes of an image of 32 bits a pixel that did not get smaller."""
        return self.pixels[0] * self.pixels[1] * 4


def ranges(settings: CameraSettings) -> dict[str, Range]:
    """The rig's limits of a camera by quantity."""
    limits = settings.limits
    return {"frame_time": Range(*limits.frame_time, "us"), "images": Range(1, limits.images, "")}
