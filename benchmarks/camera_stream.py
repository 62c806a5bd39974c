"""A camera's stream without a camera: prepared Stream V2 messages, pushed as fast as they are taken.

The patterns are those of a bright-field disk of 30 pixels radius with a halo, 256 different ones, Poisson counted, at
the electrons a pixel of the shipped map receives: 400 nm over 256 pixels at 1e4 e/A^2 (16 bit) or 1e3 e/A^2 (8 bit).
"""

from __future__ import annotations

import sys

import numpy as np
import zmq

from drivers.wire import simplon_stream
from drivers.wire.packed import Packed, pack
from drivers.wire.simplon_frames import CHANNEL, StreamEnd, StreamImage
from physics.dose import E_PER_A2

SHAPE = (128, 128)
PITCH = 400e-9 / 256  # m
FLUENCE = {8: 1e3 * E_PER_A2, 16: 1e4 * E_PER_A2}  # m^-2
DIFFERENT = 256
RADIUS, HALO = 30.0, 40.0  # pixels
TICKS = 50_000_000  # a second
EVERY = 5_000  # ticks from image to image: 10 kHz
SERIES, ULID, DATE = 1, "01J00000000000000000000000", "2026-01-01T00:00:00.000+00:00"


def patterns(bits: int, different: int = DIFFERENT) -> list[Packed]:
    """Different frames of as many bits, packed as bslz4."""
    random = np.random.default_rng(bits)
    rows, columns = SHAPE
    y, x = np.mgrid[:rows, :columns]
    radius = np.hypot(y - (rows - 1) / 2, x - (columns - 1) / 2)
    expected = (radius < RADIUS) + 0.05 * np.exp(-((radius / HALO) ** 2))
    expected *= FLUENCE[bits] * PITCH**2 / expected.sum()
    most = (1 << bits) - 2  # the largest is NODATA
    drawn = (np.minimum(random.poisson(expected), most).astype(f"<u{bits // 8}") for _ in range(different))
    return [pack(counts, "bslz4") for counts in drawn]


def main(bits: int, images: int) -> None:
    """Print the port, then push a series of as many images, at most `images`, as each line that comes on stdin says."""
    packed = patterns(bits, min(images, DIFFERENT))
    heads = [_head(number, packed[number % DIFFERENT]) for number in range(images)]
    bodies = [one.data for one in packed]
    (end,) = simplon_stream.encode(StreamEnd(SERIES, ULID))
    context = zmq.Context()
    socket = context.socket(zmq.PUSH)
    print(socket.bind_to_random_port("tcp://127.0.0.1"), flush=True)
    for line in sys.stdin:
        for number, head in enumerate(heads[: int(line)]):
            socket.send(head + bodies[number % DIFFERENT])
        socket.send(end)
    socket.close(linger=0)
    context.term()


def _head(number: int, packed: Packed) -> bytes:
    """The message of an image up to its pixels, which are its last bytes."""
    start = number * EVERY
    image = StreamImage(
        SERIES, ULID, number, (start, TICKS), (start + EVERY, TICKS), (EVERY, TICKS), {CHANNEL: packed}, DATE
    )
    (message,) = simplon_stream.encode(image)
    return message[: -len(packed.data)]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
