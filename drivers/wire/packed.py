"""Pixels of one image as a camera packs them: LZ4 or bitshuffled LZ4 blocks in the framing of the HDF5 filters.

Source: HDF5 filters 32008 (bitshuffle, bshuf_h5filter.c of kiyo-masui/bitshuffle) and 32004 (LZ4_HDF5_format.md of
HDFGroup/hdf5_plugins): 8 bytes uncompressed size and 4 bytes block size, big endian, then each block after its own
compressed size (4 bytes, big endian).  A packed image is therefore an HDF5 chunk as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import lz4.block
import numpy as np
from numpy.typing import NDArray

from drivers.errors import WireError

Codec = Literal["none", "lz4", "bslz4"]
Dtype = np.dtype[Any]

U1, U2, U4 = np.dtype("u1"), np.dtype("<u2"), np.dtype("<u4")
DTYPES = (U1, U2, U4)
HEADER = 12  # bytes
BLOCK = 8192  # bytes of a bitshuffle block unless the header says otherwise (bshuf_default_block_size)
LARGEST = 1 << 28  # bytes of one image unpacked; the largest detector of the family has 4362 x 4148 x 4
_GROUP = 8  # elements a bitshuffle block is a multiple of; what is left over is stored as it is


@dataclass(frozen=True, slots=True)
class Packed:
    """One image of one channel as it came.

    shape: (rows, columns).  dtype: uint8, uint16 or uint32, little endian.  data: for "none" the pixels, otherwise an
    HDF5 chunk of the filter, whose header may be zeroed (see `header_zeroed`).
    """

    shape: tuple[int, int]
    dtype: Dtype
    codec: Codec
    data: bytes

    @property
    def size(self) -> int:
        """Bytes of the image unpacked."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


def nodata(dtype: Dtype) -> int:
    """The value of a pixel that measured nothing: the largest of its type (SIMPLON: masked, saturated, in a gap)."""
    return int(np.iinfo(dtype).max)


def pack(pixels: NDArray[Any], codec: Codec) -> Packed:
    """Pixels (rows, columns) of uint8, uint16 or uint32 as a camera would send them; raises ValueError."""
    dtype = pixels.dtype.newbyteorder("<")
    if pixels.ndim != 2 or dtype not in DTYPES:
        raise ValueError(f"an image of {pixels.dtype} with {pixels.ndim} dimensions cannot be packed")
    raw = np.ascontiguousarray(pixels, dtype).tobytes()
    shape = (pixels.shape[0], pixels.shape[1])
    if codec == "none":
        return Packed(shape, dtype, codec, raw)
    if codec == "lz4":
        return Packed(shape, dtype, codec, _header(len(raw), len(raw)) + _lz4_block(raw))
    step = dtype.itemsize
    whole = len(raw) // (step * _GROUP) * (step * _GROUP)
    parts = [_header(len(raw), BLOCK)]
    for block in _blocks(whole, BLOCK, _bits_apart(raw[:whole], step)):
        packed = lz4.block.compress(block, store_size=False)
        parts += (len(packed).to_bytes(4, "big"), packed)
    return Packed(shape, dtype, codec, b"".join((*parts, raw[whole:])))


def unpack(packed: Packed) -> NDArray[Any]:
    """The pixels (rows, columns); raises WireError when the bytes are not exactly an image of that shape and type."""
    raise NotImplementedError


def header_zeroed(packed: Packed) -> bool:
    """Whether the sizes at the front are left out, so that no HDF5 reader could read it as a chunk."""
    return packed.codec != "none" and 0 in _sizes(packed)


def with_header(packed: Packed) -> Packed:
    """The same with sizes at the front that are true, fit to be stored as an HDF5 chunk; nothing else is changed.

    Raises WireError when the blocks are not as long as the image is.
    """
    raise NotImplementedError


def check(packed: Packed) -> None:
    """Raise WireError unless sizes (where they are not zeroed) and blocks are those of an image of that shape."""
    raise NotImplementedError
