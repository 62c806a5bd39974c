"""What a DECTRIS camera streams, whichever way it writes it: the start of a series, its images, its end.

Source: github dectris/documentation, stream_v2/README.md (messages, fields, units).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drivers.errors import WireError
from drivers.wire.packed import LARGEST, Dtype, Packed

Ratio = tuple[int, int]
"""A time in seconds, as numerator and denominator: the camera's own ticks and their frequency."""

Message = tuple[bytes, ...]
"""The parts of one ZeroMQ message."""

CHANNEL = "threshold_1"  # the one channel of a Stream V1, and the first of V2
NANOSECONDS = 10**9
LONGEST = 256  # characters of a name or a date


@dataclass(frozen=True, slots=True)
class StreamStart:
    """A series was armed.

    unique_id: "" in Stream V1.  images: how many are due in all.  dtype: None where an older camera does not say it
    (each image does).  shape: (rows, columns).  count_time, frame_time: s.  thresholds: eV by channel.  saturation:
    the largest value that counts.  incident_energy: eV.  pixel: (width, height), m.  sensor_thickness: m.  None or ""
    is what was not said.  armed: when, as the camera writes it (ISO 8601).  Only Stream V1 says trigger_mode, triggers.
    """

    series: int
    unique_id: str
    images: int
    channels: tuple[str, ...]
    dtype: Dtype | None
    shape: tuple[int, int]
    count_time: float
    frame_time: float
    thresholds: Mapping[str, float] = field(default_factory=dict)
    saturation: int | None = None
    incident_energy: float | None = None
    pixel: tuple[float, float] | None = None
    sensor_material: str = ""
    sensor_thickness: float | None = None
    description: str = ""
    serial_number: str = ""
    armed: str = ""
    trigger_mode: str = ""
    triggers: int = 1


@dataclass(frozen=True, slots=True)
class StreamImage:
    """One exposure.

    image: from 0.  start, stop: from the start of the series, which was at `date` (ISO 8601; "" in Stream V1).  real:
    how long it was exposed.  channels: by name, in the camera's order.
    """

    series: int
    unique_id: str
    image: int
    start: Ratio
    stop: Ratio
    real: Ratio
    channels: Mapping[str, Packed]
    date: str = ""


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """A series was disarmed; it does not say how many images there were."""

    series: int
    unique_id: str


Streamed = StreamStart | StreamImage | StreamEnd


def seconds(time: Ratio) -> float:
    """A time in seconds."""
    return time[0] / time[1]


class Fields:
    """The fields of one map of a message, each read as what it must be; raises WireError with its name."""

    def __init__(self, found: Any, what: str) -> None:
        if not isinstance(found, dict):
            raise WireError(f"{what} is no map")
        self._found: dict[str, Any] = found
        self._what = what

    def __contains__(self, name: str) -> bool:
        return self._found.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        return str(self._read(name, default, _is_text, f"no text of at most {LONGEST} characters"))

    def count(self, name: str) -> int:
        return int(self._read(name, None, is_count, "no whole number from 0"))

    def real(self, name: str) -> float:
        """A finite number from 0."""
        return float(self._read(name, None, _is_real, "no number from 0"))

    def maybe_count(self, name: str) -> int | None:
        return self.count(name) if name in self else None

    def maybe_real(self, name: str) -> float | None:
        return self.real(name) if name in self else None

    def any(self, name: str) -> Any:
        return self._read(name, None, lambda _: True, "")

    def shape(self, rows: str, columns: str) -> tuple[int, int]:
        return whole_shape((self.count(rows), self.count(columns)))

    def _read(self, name: str, default: Any, right: Any, wrong: str) -> Any:
        value = self._found.get(name, default)
        if value is None:
            raise WireError(f"{self._what} does not say {name}")
        if not right(value):
            raise WireError(f"{self._what}: {name} is {wrong}")
        return value


def whole_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """The shape (rows, columns), if an image can have it; raises WireError."""
    if not 0 < shape[0] * shape[1] <= LARGEST or shape[0] < 0:
        raise WireError(f"an image of {shape[0]} x {shape[1]} pixels is none")
    return shape


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 0 that 64 bits hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def _is_real(value: Any) -> bool:
    return is_count(value) or (isinstance(value, float) and math.isfinite(value) and value >= 0.0)
