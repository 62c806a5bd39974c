"""DECTRIS Stream V1 ("legacy"), both ways: JSON parts and a blob a message.

Source: libertem_live (MIT): recorded series and DEigerClient; areaDetector/ADEiger, streamApi.cpp: what the parts hold,
which encodings there are, that "lz4<" is one bare LZ4 block while the bitshuffled ones are framed as HDF5 does.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import Any

from drivers.errors import WireError
from drivers.wire.http import json_bytes, read_json
from drivers.wire.packed import U1, U2, U4, Codec, Packed, check, framed, unframed
from drivers.wire.simplon_frames import (
    CHANNEL,
    NANOSECONDS,
    Fields,
    Message,
    Ratio,
    Streamed,
    StreamEnd,
    StreamImage,
    StreamStart,
    is_count,
    whole_shape,
)

PORT = 9999

_HEADER, _IMAGE, _PIXELS, _TIMES, _END = (
    "dheader-1.0",
    "dimage-1.0",
    "dimage_d-1.0",
    "dconfig-1.0",
    "dseries_end-1.0",
)
_LARGEST = 1 << 16  # bytes of a JSON part
_DTYPES = {dtype.name: dtype for dtype in (U1, U2, U4)}
_DEPTHS = {8 * dtype.itemsize: dtype for dtype in (U1, U2, U4)}


class Decoder:
    """Reads messages in their order: a header may come as one message or as one message a part.

    Only its first half is remembered between messages; what else a series had is the driver's to know.
    """

    def __init__(self) -> None:
        self._series: int | None = None

    def decode(self, message: Message) -> Streamed | None:
        """What a message says; None after the first half of a header; raises WireError."""
        series, self._series = self._series, None
        if not message:
            raise WireError("a message of no parts came")
        fields = Fields(read_json(message[0], largest=_LARGEST), "the first part of a message")
        if series is not None and "htype" not in fields:
            return _start(series, fields)
        kind = fields.text("htype")
        if kind == _IMAGE:
            return _image(fields, message)
        if kind == _END and len(message) == 1:
            return StreamEnd(fields.count("series"), "")
        if kind != _HEADER:
            raise WireError(f'a message of {len(message)} parts and of the type "{kind[:20]}" is none of Stream V1')
        if fields.text("header_detail") == "none":
            raise WireError('the header says nothing of the detector: header_detail is "none"')
        if len(message) > 1:
            return _start(fields.count("series"), Fields(read_json(message[1], largest=_LARGEST), "the header"))
        self._series = fields.count("series")
        return None

    def reset(self) -> None:
        """Forget half a header."""
        self._series = None


def encode(streamed: Streamed) -> Message:
    """The message that says it; raises ValueError for an image of more than the one channel."""
    match streamed:
        case StreamStart():
            head = {"header_detail": "basic", "htype": _HEADER, "series": streamed.series}
            return json_bytes(head), json_bytes(_said_start(streamed))
        case StreamImage():
            return _said_image(streamed)
        case StreamEnd():
            return (json_bytes({"htype": _END, "series": streamed.series}),)


def _start(series: int, fields: Fields) -> StreamStart:
    depth = fields.count("bit_depth_image")
    if depth not in _DEPTHS:
        raise WireError(f"the header says images of {depth} bits")
    energy = next((name for name in ("incident_energy", "photon_energy") if name in fields), None)
    return StreamStart(
        series=series,
        unique_id="",
        images=fields.count("nimages") * fields.count("ntrigger"),
        channels=(CHANNEL,),
        dtype=_DEPTHS[depth],
        shape=fields.shape("y_pixels_in_detector", "x_pixels_in_detector"),
        count_time=fields.real("count_time"),
        frame_time=fields.real("frame_time"),
        thresholds={CHANNEL: fields.real("threshold_energy")} if "threshold_energy" in fields else {},
        saturation=fields.maybe_count("countrate_correction_count_cutoff"),
        incident_energy=fields.real(energy) if energy else None,
        pixel=(fields.real("x_pixel_size"), fields.real("y_pixel_size")) if "x_pixel_size" in fields else None,
        sensor_material=fields.text("sensor_material", ""),
        sensor_thickness=fields.maybe_real("sensor_thickness"),
        description=fields.text("description", ""),
        serial_number=fields.text("detector_number", ""),
        armed=fields.text("data_collection_date", ""),
        trigger_mode=fields.text("trigger_mode", ""),
        triggers=fields.count("ntrigger"),
    )


def _image(fields: Fields, message: Message) -> StreamImage:
    if not 4 <= len(message) <= 5:  # the fifth is what a user asked to be sent along
        raise WireError(f"an image of {len(message)} parts came; Stream V1 has 4 or 5")
    pixels = Fields(read_json(message[1], largest=_LARGEST), "the second part of an image")
    times = Fields(read_json(message[3], largest=_LARGEST), "the fourth part of an image")
    if (pixels.text("htype"), times.text("htype")) != (_PIXELS, _TIMES):
        raise WireError(f"the parts of an image are not {_PIXELS} and {_TIMES}")
    if pixels.count("size") != len(message[2]):
        raise WireError(f"an image announces {pixels.count('size')} bytes; {len(message[2])} came")
    start, stop, real = ((times.count(name), NANOSECONDS) for name in ("start_time", "stop_time", "real_time"))
    channels = {CHANNEL: _packed(pixels, message[2])}
    return StreamImage(fields.count("series"), "", fields.count("frame"), start, stop, real, channels)


def _packed(fields: Fields, data: bytes) -> Packed:
    name, encoding = fields.text("type"), fields.text("encoding")
    match fields.any("shape"):
        case [columns, rows] if is_count(columns) and is_count(rows) and name in _DTYPES:
            shape, dtype = whole_shape((rows, columns)), _DTYPES[name]
        case _:
            raise WireError("the second part of an image says no shape of two numbers, or no type of 8, 16 or 32 bits")
    if encoding == "lz4<":
        return framed(shape, dtype, data)
    codecs: dict[str, Codec] = {"<": "none", f"bs{8 * dtype.itemsize}-lz4<": "bslz4"}
    codec = codecs.get(encoding)
    if codec is None:
        raise WireError(f'the encoding "{encoding[:20]}" of {name} is none that is read')
    packed = Packed(shape, dtype, codec, data)
    check(packed)
    return packed


def _said_start(start: StreamStart) -> dict[str, Any]:
    if start.dtype is None:
        raise ValueError("a header of Stream V1 says how many bits a pixel has")
    rows, columns = start.shape
    width, height = start.pixel or (None, None)
    said = {
        "bit_depth_image": 8 * start.dtype.itemsize,
        "count_time": start.count_time,
        "countrate_correction_count_cutoff": start.saturation,
        "data_collection_date": start.armed or None,
        "description": start.description or None,
        "detector_number": start.serial_number or None,
        "frame_time": start.frame_time,
        "incident_energy": start.incident_energy,
        "nimages": start.images // start.triggers,
        "ntrigger": start.triggers,
        "sensor_material": start.sensor_material or None,
        "sensor_thickness": start.sensor_thickness,
        "threshold_energy": start.thresholds.get(CHANNEL),
        "trigger_mode": start.trigger_mode or None,
        "x_pixel_size": width,
        "x_pixels_in_detector": columns,
        "y_pixel_size": height,
        "y_pixels_in_detector": rows,
    }
    return {name: value for name, value in said.items() if value is not None}


def _said_image(image: StreamImage) -> Message:
    if list(image.channels) != [CHANNEL]:
        raise ValueError(f"Stream V1 has the one channel {CHANNEL}, not {list(image.channels)}")
    packed = image.channels[CHANNEL]
    rows, columns = packed.shape
    encodings = {"none": "<", "lz4": "lz4<", "bslz4": f"bs{8 * packed.dtype.itemsize}-lz4<"}
    data = unframed(packed) if packed.codec == "lz4" else packed.data
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    pixels = {
        "encoding": encodings[packed.codec],
        "htype": _PIXELS,
        "shape": [columns, rows],
        "size": len(data),
        "type": packed.dtype.name,
    }
    times = {"real_time": _nanoseconds(image.real), "start_time": _nanoseconds(image.start)}
    return (
        json_bytes({"frame": image.image, "hash": digest, "htype": _IMAGE, "series": image.series}),
        json_bytes(pixels),
        data,
        json_bytes({"htype": _TIMES, **times, "stop_time": _nanoseconds(image.stop)}),
    )


def _nanoseconds(time: Ratio) -> int:
    return round(Fraction(*time) * NANOSECONDS)
