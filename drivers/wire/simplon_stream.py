"""DECTRIS Stream V2, both ways: one CBOR map a message.

Source: github dectris/documentation, stream_v2/README.md and cbor/dectris-compression-tag.md; RFC 8949 (CBOR), RFC 8746
(typed arrays).  Held to messages recorded from an EIGER2 R 500K.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.errors import WireError
from drivers.wire import cbor, simplon_image
from drivers.wire.cbor import Tag
from drivers.wire.simplon_frames import Fields, Message, Streamed, StreamEnd, StreamImage, StreamStart
from drivers.wire.simplon_image import MOST_CHANNELS, TYPED

PORT = 31001
_NAMES = {dtype.name: dtype for dtype in TYPED.values()}


def decode(message: Message) -> Streamed:
    """What a message says; raises WireError."""
    if len(message) != 1:
        raise WireError(f"a message of {len(message)} parts came; Stream V2 has one")
    return simplon_image.read_as_usual(message[0]) or _decode(message[0])


def encode(streamed: Streamed) -> Message:
    """The message that says it, in one part; what is not known is left out."""
    match streamed:
        case StreamStart():
            said = _said_start(streamed)
        case StreamImage():
            said = simplon_image.said(streamed)
        case StreamEnd():
            said = {"type": "end", "series_id": streamed.series, "series_unique_id": streamed.unique_id}
    return (cbor.write(Tag(cbor.SELF, {name: value for name, value in said.items() if value is not None})),)


def _decode(data: bytes) -> Streamed:
    """What any message says."""
    found = cbor.read(data)
    if isinstance(found, Tag) and found.number == cbor.SELF:
        found = found.value
    kind = Fields(found, "a message").text("type")
    fields = Fields(found, f"{kind[:20]} message")
    match kind:
        case "start":
            return _start(fields)
        case "image":
            return simplon_image.read(fields)
        case "end":
            return StreamEnd(fields.count("series_id"), fields.text("series_unique_id"))
    raise WireError(f'a message of the type "{kind[:20]}" is none of Stream V2')


def _start(fields: Fields) -> StreamStart:
    name = fields.text("image_dtype", "")
    if name and name not in _NAMES:
        raise WireError(f'start message: image_dtype "{name}" is none')
    return StreamStart(
        series=fields.count("series_id"),
        unique_id=fields.text("series_unique_id"),
        images=fields.count("number_of_images"),
        channels=_channels(fields.any("channels")),
        dtype=_NAMES.get(name),
        shape=fields.shape("image_size_y", "image_size_x"),
        count_time=fields.real("count_time"),
        frame_time=fields.real("frame_time"),
        thresholds=_energies(fields),
        saturation=fields.maybe_count("saturation_value"),
        incident_energy=fields.maybe_real("incident_energy"),
        pixel=(fields.real("pixel_size_x"), fields.real("pixel_size_y")) if "pixel_size_x" in fields else None,
        sensor_material=fields.text("sensor_material", ""),
        sensor_thickness=fields.maybe_real("sensor_thickness"),
        description=fields.text("detector_description", ""),
        serial_number=fields.text("detector_serial_number", ""),
        armed=simplon_image.date(fields, "arm_date"),
    )


def _channels(found: Any) -> tuple[str, ...]:
    if (
        not isinstance(found, list)
        or not 0 < len(found) <= MOST_CHANNELS
        or not all(isinstance(name, str) for name in found)
        or len(set(found)) < len(found)
    ):
        raise WireError("start message: channels is no list of names")
    return tuple(found)


def _energies(fields: Fields) -> Mapping[str, float]:
    if "threshold_energy" not in fields:
        return {}
    found = fields.any("threshold_energy")
    energies = Fields(found, "start message, threshold_energy")
    return {name: energies.real(name) for name in found}


def _said_start(start: StreamStart) -> dict[str, Any]:
    rows, columns = start.shape
    width, height = start.pixel or (None, None)
    return {
        "type": "start",
        "series_id": start.series,
        "series_unique_id": start.unique_id,
        "arm_date": Tag(simplon_image.DATE, start.armed) if start.armed else None,
        "channels": list(start.channels),
        "count_time": start.count_time,
        "detector_description": start.description or None,
        "detector_serial_number": start.serial_number or None,
        "frame_time": start.frame_time,
        "image_dtype": start.dtype.name if start.dtype is not None else None,
        "image_size_x": columns,
        "image_size_y": rows,
        "incident_energy": start.incident_energy,
        "number_of_images": start.images,
        "pixel_size_x": width,
        "pixel_size_y": height,
        "saturation_value": start.saturation,
        "sensor_material": start.sensor_material or None,
        "sensor_thickness": start.sensor_thickness,
        "threshold_energy": dict(start.thresholds) or None,
    }
