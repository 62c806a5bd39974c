"""What a DECTRIS camera streams, whichever way it writes it: the start of a series, its images, its end.

Source: github dectris/documentation, stream_v2/README.md (messages, fields, units).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.wire.packed import Dtype, Packed

Ratio = tuple[int, int]
"""A time in seconds, as numerator and denominator (the camera's own ticks and their frequency)."""

Message = tuple[bytes, ...]
"""The parts of one ZeroMQ message."""

CHANNEL = "threshold_1"  # the one channel of a Stream V1, and the first of V2
DIFFERENCE = "difference"  # V2: between two thresholds


@dataclass(frozen=True, slots=True)
class StreamStart:
    """A series was armed.

    unique_id: "" in Stream V1.  images: how many are due in all.  shape: (rows, columns).  count_time, frame_time: s.
    thresholds: eV by channel.  saturation: largest value that counts, None when it is not said.  incident_energy: eV,
    None when it is not said.  armed: when, as the camera writes it (ISO 8601), "" when it is not said.
    """

    series: int
    unique_id: str
    images: int
    channels: tuple[str, ...]
    dtype: Dtype
    shape: tuple[int, int]
    count_time: float
    frame_time: float
    thresholds: Mapping[str, float] = field(default_factory=dict)
    saturation: int | None = None
    incident_energy: float | None = None
    armed: str = ""
    description: str = ""
    serial_number: str = ""


@dataclass(frozen=True, slots=True)
class StreamImage:
    """One exposure; start and stop count from the start of the series."""

    series: int
    unique_id: str
    image: int
    start: Ratio
    stop: Ratio
    real: Ratio
    channels: Mapping[str, Packed]


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """A series was disarmed; it does not say how many images there were."""

    series: int
    unique_id: str


Streamed = StreamStart | StreamImage | StreamEnd


def seconds(time: Ratio) -> float:
    """A time in seconds."""
    return time[0] / time[1]
