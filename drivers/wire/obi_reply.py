"""What an Open Beam Interface sends: pixels, and answers to Synchronize; both ways.

A pixel is a big-endian word, a 14-bit mean of ADC samples shifted left by two: a multiple of 4, whose lower byte is
never FF.  So the word FF FF begins an answer, and the word after it is the cookie.
Source: gateware of github nanographs/Open-Beam-Interface, 0f6e62c (CommandExecutor, ImageSerializer), run as simulated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import WireError
from drivers.wire.obi import Output

ADC_BITS = 14
MARK = b"\xff\xff"
PIXEL_BYTES = {Output.SIXTEEN_BIT: 2, Output.EIGHT_BIT: 1, Output.NONE: 0}

_MARK = 0xFFFF
_SPARE_BITS = 0b11  # below the 14 bits; always 0 in a pixel
_BOUND = 1 << 26  # bytes held back; the driver takes them as they come


@dataclass(frozen=True)
class Synchronized:
    """Everything before the Synchronize with this cookie was done."""

    cookie: int


@dataclass(frozen=True, eq=False)
class Pixels:
    """Consecutive pixels: 16-bit words, multiples of 4."""

    values: NDArray[np.uint16]


Reply = Synchronized | Pixels


def encode_pixels(codes: NDArray[np.uint16], output: Output) -> bytes:
    """The bytes of pixels from their ADC codes (0 to 16383) in one of the outputs."""
    if output is Output.NONE:
        return b""
    words = (codes << 2).astype(">u2")
    return words.tobytes() if output is Output.SIXTEEN_BIT else (words >> 8).astype(np.uint8).tobytes()


def encode_synchronized(cookie: int) -> bytes:
    """The answer to Synchronize."""
    return MARK + cookie.to_bytes(2, "big")


def cookies() -> Iterator[int]:
    """Cookies for one connection, none of which has a byte FF, so that a search for one finds nothing else."""
    while True:
        for number in range(1, 255 * 255):
            yield number // 255 << 8 | number % 255


class ReplySplitter:
    """Cuts 16-bit output into pixels and answers. WireError on a word that is neither."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._sought: bytes | None = None

    def feed(self, data: bytes) -> None:
        if len(self._held) + len(data) > _BOUND:
            self.reset()
            raise WireError(f"more than {_BOUND} bytes of pixels that nobody took")
        self._held += data

    def seek(self, cookie: int) -> None:
        """Throw away everything, whole or half, until the answer with this cookie."""
        self._sought = encode_synchronized(cookie)

    def next(self) -> Reply | None:
        """The pixels that have come, or the next answer; None until more bytes come. Raises WireError."""
        if self._sought is not None and not self._find(self._sought):
            return None
        whole = len(self._held) // 2
        if whole == 0:
            return None
        words = np.frombuffer(bytes(self._held[: 2 * whole]), dtype=">u2")
        odd = np.flatnonzero(words & _SPARE_BITS)
        pixels = int(odd[0]) if odd.size else whole
        if pixels:
            del self._held[: 2 * pixels]
            return Pixels(words[:pixels].astype(np.uint16))
        if words[0] != _MARK:
            self._held.clear()
            raise WireError(f"the word {int(words[0]):#06x} is neither a pixel nor the mark of an answer")
        if whole < 2:
            return None
        del self._held[:4]
        return Synchronized(int(words[1]))

    def reset(self) -> None:
        """Forget what is half read, and what is sought."""
        self._held.clear()
        self._sought = None

    def _find(self, answer: bytes) -> bool:
        at = self._held.find(answer)
        if at < 0:
            del self._held[: max(0, len(self._held) - len(answer) + 1)]
            return False
        del self._held[:at]
        self._sought = None
        return True
