"""What a frame is in the units of an Open Beam Interface: converter steps and samples, and what it then covers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from drivers.errors import LimitError
from drivers.limits import Limits
from drivers.scan_settings import ScanSettings
from drivers.ticket import Frame
from drivers.wire import obi

ROUNDING = 1e-6  # of a converter step that floats may lose


@dataclass(frozen=True)
class Axis:
    """Pixels along one axis: first converter code, how many, and from one to the next in 1/256 of a step."""

    start: int
    count: int
    step: int


@dataclass(frozen=True)
class Raster:
    """A frame as the box can scan it; `step` is one converter step, m."""

    x: Axis
    y: Axis
    samples: int
    step: float

    @property
    def frame(self) -> Frame:
        """What it covers, as a frame; the raster of that frame is this raster."""
        (x, width), (y, height) = (self._covered(axis) for axis in (self.x, self.y))
        return Frame((x, y), (width, height), (self.x.count, self.y.count), self.samples * obi.SAMPLE)

    def _covered(self, axis: Axis) -> tuple[float, float]:
        """Centre and size along an axis, m."""
        centre = axis.start + _mean_code(axis.count, axis.step) - obi.DAC_STEPS / 2
        return centre * self.step, axis.count * axis.step * self.step / obi.STEP


def raster(frame: Frame, settings: ScanSettings, limits: Limits, device: str) -> Raster:
    """The raster nearest to a frame, within the rig's limits before and after rounding; raises LimitError.

    The pitch is a whole number of converter steps, so that pixels are evenly spaced and every part of the frame gets
    the same dose; only a pitch below one step keeps the box's fractions.  Where the nearest leaves the scan field the
    next smaller one is taken.  The dwell is a whole number of samples.
    """
    _check(frame, limits, device)
    try:
        return _rounded(frame, settings, limits, device, round)
    except LimitError:
        return _rounded(frame, settings, limits, device, math.floor)


def _rounded(
    frame: Frame, settings: ScanSettings, limits: Limits, device: str, to_whole: Callable[[float], int]
) -> Raster:
    step = settings.full_field / obi.DAC_STEPS
    x, y = (_axis(frame, number, step, device, to_whole) for number in (0, 1))
    found = Raster(x, y, samples(frame.dwell), step)
    _check(found.frame, limits, device)
    return found


def samples(dwell: float) -> int:
    """Dwell in whole samples of 125 ns, never longer than asked: a dose that fits must still fit when it is rounded."""
    return max(1, min(obi.LONGEST_DWELL, math.floor(dwell / obi.SAMPLE * (1.0 + ROUNDING))))


def _axis(frame: Frame, number: int, unit: float, device: str, to_whole: Callable[[float], int]) -> Axis:
    count, pitch = frame.pixels[number], frame.pitch[number] / unit
    if pitch < 1.0 - ROUNDING:
        step = math.floor(pitch * obi.STEP + ROUNDING)
    else:
        step = min(to_whole(pitch * (1.0 + ROUNDING)), obi.DAC_STEPS // count) * obi.STEP
    if not 1 <= step <= 0xFFFF:
        raise _beyond(
            device,
            f"a pitch of {frame.pitch[number] * 1e9:g} nm; the box steps {unit / obi.STEP * 1e9:.2g} to "
            f"{unit * 0xFFFF / obi.STEP * 1e9:.4g} nm",
        )
    start = round(obi.DAC_STEPS / 2 + frame.centre[number] / unit - _mean_code(count, step))
    if not 0 <= start <= start + ((count - 1) * step) // obi.STEP < obi.DAC_STEPS:
        raise _beyond(device, "a field that leaves the scan field by rounding")
    return Axis(start, count, step)


def _check(frame: Frame, limits: Limits, device: str) -> None:
    limits.check(device, "start", dwell=frame.dwell, frame_time=frame.seconds)
    for centre, size, pixels in zip(frame.centre, frame.size, frame.pixels, strict=True):
        limits.check(device, "start", field=size)
        limits.check(device, "start", position=centre - size / 2)
        limits.check(device, "start", position=centre + size / 2)
        if not 1 <= pixels <= obi.DAC_STEPS:
            raise _beyond(device, f"{pixels} pixels in a row or column; the box scans 1 to {obi.DAC_STEPS}")


def _beyond(device: str, what: str) -> LimitError:
    return LimitError(f"refused: {what}", device=device, action="start", way_out="Choose another field.")


def _mean_code(count: int, step: int) -> float:
    """Mean position of `count` pixels from the first, converter steps: the box drops the fraction of each."""
    return float(np.mean(np.arange(count) * step // obi.STEP))
