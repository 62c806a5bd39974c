"""A camera that listens to an exposure: its frames go to the record under the pixels whose gates they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from acquisition.datafile import Form, FrameWriter
from drivers.camera import Prepared
from drivers.camera_roll import Tally
from drivers.camera_settings import CameraSettings
from drivers.wire.simplon_frames import CHANNEL, StreamImage, seconds

READS = 64  # reads of one turn at most, so that the other listeners are heard
QUIET = 0.5  # s, the longest a link may wait
PATIENCE = 4  # such waits without an image, after which no more will come


class Camera(Protocol):
    """What a camera does for an exposure once it is armed."""

    def read(self, timeout: float) -> Sequence[StreamImage]:
        """Images that came since the last read, waiting for the first at most `timeout` s."""

    def finished(self) -> bool:
        """True when all of the series was read."""

    def finish(self) -> Tally:
        """End the series, read what is left and tell what came."""


class CameraListener:
    """One pass of a camera, to be heard in turn by `expose`, and finished after it.

    every: s from gate to gate.  first: number of the image that belongs to the first pixel of the pass.
    """

    def __init__(self, camera: Camera, frames: FrameWriter, pass_index: int, *, every: float, first: int = 0) -> None:
        self._camera, self._frames = camera, frames
        self._pass, self._first = pass_index, first
        self._every = every
        self._furthest: tuple[StreamImage, int] | None = None  # and the gates missed before it

    def __call__(self) -> None:
        """Keep what has come; waits for nothing."""
        for _ in range(READS):
            images = self._camera.read(0.0)
            if not images:
                return
            self._keep(images)

    def finish(self) -> Tally:
        """Read the series to its end, which the beam has passed, and bring all of it onto the disk.

        Images that never came are no error: they are in the tally, and missing in the record.
        """
        quiet = 0
        while quiet < PATIENCE and not self._camera.finished():
            images = self._camera.read(QUIET)
            quiet = 0 if images else quiet + 1
            self._keep(images)
        tally = self._camera.finish()
        self._keep(tally.rest)
        self._frames.settle()
        return tally

    def _keep(self, images: Sequence[StreamImage]) -> None:
        for missed, together in groupby(images, self._missed_before):
            self._frames.write(self._pass, together, first=self._first - missed)

    def _missed_before(self, image: StreamImage) -> int:
        """Gates that passed unanswered before this image: so many pixels further on it belongs.

        Its number does not tell, because a camera counts its answers; the time since an earlier one does.
        """
        if self._furthest is None:
            self._furthest = image, 0
            return 0
        furthest, missed = self._furthest
        numbers = image.image - furthest.image
        if image.start != furthest.start:  # a camera that does not tell times counts without a gap
            missed += round((seconds(image.start) - seconds(furthest.start)) / self._every) - numbers
        if numbers > 0:
            self._furthest = image, missed
        return missed


def form_of(settings: CameraSettings, prepared: Prepared) -> Form:
    """How the frames of a series will come."""
    dtype = np.dtype(f"<u{prepared.bits // 8}")
    return Form((CHANNEL,), prepared.shape, dtype, settings.compression, settings.angle_per_pixel)


def told(tally: Tally) -> dict[str, Any]:
    """What a step's results say of a series, as JSON: what was due, what came, and every gap."""
    facts = {part.name: getattr(tally, part.name) for part in fields(tally) if part.name != "rest"}
    return {**facts, "whole": tally.whole}
