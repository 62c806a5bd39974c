"""The images of temscript's HTTP API: `acquire`, and arrays packed in base64 (temscript 2.1.0, marshall.py)."""

from __future__ import annotations

import base64
import binascii
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import WireError
from drivers.wire.http import JSON, Request, Response, json_bytes, read_json
from drivers.wire.temscript import PREFIX, see_done

ACQUIRE = "acquire"
LARGEST_SIDE = 8192  # pixels
TYPES = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FLOAT32", "FLOAT64")
ENDS = {"LITTLE": "<", "BIG": ">"}
AROUND = 4096  # bytes of an answer besides its pixels

Image = NDArray[Any]


def acquire(detector: str) -> Request:
    """The order to take one image with a detector; nothing is answered until it is taken."""
    return Request("GET", PREFIX + ACQUIRE, (("detectors", detector),))


def detectors_of(request: Request) -> tuple[str, ...] | None:
    """The detectors that are to take an image; None when the request is for something else."""
    if request.method != "GET" or request.path != PREFIX + ACQUIRE:
        return None
    return tuple(value for key, value in request.query if key == "detectors")


def images(taken: dict[str, Image]) -> Response:
    """What the box answers: the image of each detector, arrays (rows, columns)."""
    return Response(200, json_bytes({name: packed(image) for name, image in taken.items()}), JSON)


def image(response: Response, detector: str, pixels: tuple[int, int]) -> Image:
    """The image of one detector, an array (rows, columns) of the type it came in.

    pixels: (columns, rows) it must have.  Raises DeviceError when the box says no, WireError for anything else.
    """
    see_done(response)
    if response.status != 200 or response.content_type != JSON:
        raise WireError(f"asked for an image, but {response.status} came with {response.content_type or 'nothing'}")
    found = read_json(response.body, largest=largest(pixels))
    if not isinstance(found, dict) or set(found) != {detector}:
        raise WireError(f"an image of {detector} was asked for, and something else came")
    return unpacked(found[detector], pixels)


def largest(pixels: tuple[int, int]) -> int:
    """Bytes that an answer with one image of (columns, rows) may have, whatever its type."""
    return _base64_size(pixels[0] * pixels[1] * 8) + AROUND


def packed(values: Image) -> dict[str, Any]:
    """An array (rows, columns) as the JSON of the wire. Raises ValueError for a type it has no name for."""
    kind = values.dtype.name.upper()
    if kind not in TYPES or values.ndim != 2:
        raise ValueError(f"an array of {values.ndim} dimensions of {values.dtype} cannot be packed")
    big = values.dtype.byteorder == ">" or (values.dtype.byteorder == "=" and sys.byteorder == "big")
    return {
        "width": values.shape[1],
        "height": values.shape[0],
        "type": kind,
        "endianness": "BIG" if big else "LITTLE",
        "encoding": "BASE64",
        "data": base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii"),
    }


def unpacked(said: Any, pixels: tuple[int, int]) -> Image:
    """The array that JSON of the wire stands for, in this machine's byte order; its size is seen before its data."""
    if not isinstance(said, dict):
        raise WireError("no fields came where an array is due")
    width, height = said.get("width"), said.get("height")
    counts = type(width) is int and type(height) is int
    if not counts or (width, height) != pixels or not 1 <= min(pixels) <= max(pixels) <= LARGEST_SIDE:
        raise WireError(f"an image of {width!r:.20} x {height!r:.20} pixels came instead of {pixels[0]} x {pixels[1]}")
    kind, end, data = said.get("type"), said.get("endianness"), said.get("data")
    if kind not in TYPES or end not in tuple(ENDS) or said.get("encoding") != "BASE64" or not isinstance(data, str):
        raise WireError(f"an image of {kind!r:.20}, {end!r:.20}, {said.get('encoding')!r:.20} came")
    dtype = np.dtype(kind.lower()).newbyteorder(ENDS[end])
    size = pixels[0] * pixels[1] * dtype.itemsize
    if len(data) != _base64_size(size):
        raise WireError(f"an image of {size} bytes came in {len(data)} characters; {_base64_size(size)} are due")
    try:
        whole = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireError(f"an image came that is no base64 ({error})") from None
    if len(whole) != size:
        raise WireError(f"an image of {len(whole)} bytes came; {size} are due")
    values: Image = np.frombuffer(whole, dtype).reshape(pixels[1], pixels[0])
    if not np.all(np.isfinite(values)):
        raise WireError("an image came with values that are no numbers")
    return np.asarray(values, dtype.newbyteorder("=")).copy()


def _base64_size(size: int) -> int:
    return (size + 2) // 3 * 4
