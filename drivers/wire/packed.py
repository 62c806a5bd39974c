"""Pixels of one image as a camera packs them: LZ4 or bitshuffled LZ4 blocks in the framing of the HDF5 filters.

Source: HDF5 filters 32008 (bitshuffle, bshuf_h5filter.c of kiyo-masui/bitshuffle) and 32004 (LZ4_HDF5_format.md of
HDFGroup/hdf5_plugins): 8 bytes uncompressed size and 4 bytes block size, big endian, then each block after its own
compressed size (4 bytes, big endian).  A packed image is therefore an HDF5 chunk as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
_SWAPS = tuple(
    (np.uint64(shift), np.uint64(mask))  # of single bits, of squares of 2 x 2, of 4 x 4
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0))
)
_AT_HAND = 1 << 17  # bytes
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
        block = lz4.block.compress(raw, store_size=False)
        block = block if len(block) < len(raw) else raw
        return Packed(shape, dtype, codec, _header(len(raw), len(raw)) + len(block).to_bytes(4, "big") + block)
    whole = len(raw) - _left_over(len(raw), dtype.itemsize)
    shuffled = _by_blocks(raw[:whole], BLOCK, dtype.itemsize, _apart)
    parts = [_header(len(raw), BLOCK)]
    for start in range(0, whole, BLOCK):
        block = lz4.block.compress(shuffled[start : start + BLOCK], store_size=False)
        parts += (len(block).to_bytes(4, "big"), block)
    return Packed(shape, dtype, codec, b"".join((*parts, raw[whole:])))


def unpack(packed: Packed) -> NDArray[Any]:
    """The pixels (rows, columns); raises WireError when the bytes are not exactly an image of that shape and type."""
    if packed.codec == "none":
        check(packed)
        return np.frombuffer(packed.data, packed.dtype).reshape(packed.shape)
    raw = b"".join(_unpacked_blocks(packed))
    if packed.codec == "bslz4":
        step, (size, block) = packed.dtype.itemsize, _true_sizes(packed)
        raw = _by_blocks(raw, block, step, _together) + packed.data[len(packed.data) - _left_over(size, step) :]
    return np.frombuffer(raw, packed.dtype).reshape(packed.shape)


def header_zeroed(packed: Packed) -> bool:
    """Whether a size at the front is left out, so that no HDF5 reader could read it as a chunk."""
    return packed.codec != "none" and packed.size > 0 and 0 in _sizes(packed)


def with_header(packed: Packed) -> Packed:
    """The same with sizes at the front that are true, fit to be stored as an HDF5 chunk; nothing else is changed.

    Raises WireError when the blocks are not as many and as long as such an image has.
    """
    check(packed)
    if not header_zeroed(packed):
        return packed
    return replace(packed, data=_header(*_true_sizes(packed)) + packed.data[HEADER:])


def framed(shape: tuple[int, int], dtype: Dtype, block: bytes) -> Packed:
    """An image that came as one bare LZ4 block, as an HDF5 chunk; raises WireError."""
    packed = Packed(shape, dtype, "lz4", b"")
    size = packed.size
    if len(block) == size:  # a block as long as the image would be read as stored, not as packed
        block = _unpacked(block, size)
    packed = replace(packed, data=_header(size, size) + len(block).to_bytes(4, "big") + block)
    check(packed)
    return packed


def unframed(packed: Packed) -> bytes:
    """The image of an HDF5 chunk of LZ4 as one bare LZ4 block."""
    return bytes(lz4.block.compress(unpack(packed).tobytes(), store_size=False))


def check(packed: Packed) -> None:
    """Raise WireError unless the sizes at the front and the blocks are those of an image of that shape and type.

    Sizes that are zeroed are taken for the image's own, and for a block of 8192 bytes (bslz4) or of the whole (lz4).
    """
    if packed.codec == "none":
        if len(packed.data) != packed.size:
            raise WireError(f"an image of {packed.size} bytes is due, {len(packed.data)} came")
        return
    for _ in _blocks(packed):
        pass


def _blocks(packed: Packed) -> Iterator[tuple[int, int, int]]:
    """Where each block's bytes start and end, and how many they unpack to; ends where the data end, or raises."""
    data, (size, block) = packed.data, _true_sizes(packed)
    left = _left_over(size, packed.dtype.itemsize) if packed.codec == "bslz4" else 0
    at = HEADER
    for start in range(0, size - left, block):
        here = at + 4
        at = here + int.from_bytes(data[at:here], "big")
        if at > len(data):
            raise WireError(f"a packed image ends in its block at byte {start} of {size}")
        yield here, at, min(block, size - left - start)
    if len(data) - at != left:
        raise WireError(f"{len(data) - at} bytes follow the blocks of a packed image; {left} are due")


def _unpacked_blocks(packed: Packed) -> Iterator[bytes]:
    """The bytes of each block, still bitshuffled where they were."""
    for start, end, size in _blocks(packed):
        block = packed.data[start:end]
        if packed.codec == "bslz4" or len(block) != size:  # an LZ4 block that did not get smaller is stored as it is
            block = _unpacked(block, size)
        yield block


def _unpacked(block: bytes, size: int) -> bytes:
    try:
        raw: bytes = lz4.block.decompress(block, uncompressed_size=size)
    except (lz4.block.LZ4BlockError, ValueError) as error:
        raise WireError(f"a block of a packed image is no LZ4 ({error})") from None
    if len(raw) != size:
        raise WireError(f"a block of a packed image unpacks to {len(raw)} bytes; {size} are due")
    return raw


def _true_sizes(packed: Packed) -> tuple[int, int]:
    """Bytes of the image and of a block, as the header says or, where it is zeroed, as they must be."""
    size = packed.size
    if not 0 < size <= LARGEST:
        raise WireError(f"an image of {packed.shape} is none of at most {LARGEST} bytes")
    announced, block = _sizes(packed)
    if announced not in (0, size):
        raise WireError(f"a packed image announces {announced} bytes; {size} are due")
    if packed.codec == "lz4":
        return size, min(block or size, size)
    if block % (packed.dtype.itemsize * _GROUP):
        raise WireError(f"a bitshuffle block of {block} bytes is none of whole groups of 8 elements")
    return size, block or BLOCK


def _sizes(packed: Packed) -> tuple[int, int]:
    """Bytes of the image and of a block, as the header says."""
    if len(packed.data) < HEADER:
        raise WireError(f"a packed image of {len(packed.data)} bytes has no room for its sizes")
    return int.from_bytes(packed.data[:8], "big"), int.from_bytes(packed.data[8:HEADER], "big")


def _header(size: int, block: int) -> bytes:
    return size.to_bytes(8, "big") + block.to_bytes(4, "big")


def _left_over(size: int, step: int) -> int:
    """Bytes of the elements that fill no group of 8."""
    return size % (step * _GROUP)


def _by_blocks(raw: bytes, block: int, step: int, turn: Callable[[NDArray[np.uint8], int], bytes]) -> bytes:
    """Each block turned for itself; the last may be shorter.  As many at a time as a processor keeps at hand."""
    whole, many = len(raw) // block * block, max(_AT_HAND // block, 1) * block
    parts = [*(raw[at : min(at + many, whole)] for at in range(0, whole, many)), raw[whole:]]
    return b"".join(
        turn(np.frombuffer(part, np.uint8).reshape(-1, min(block, len(part))), step) for part in parts if part
    )


def _apart(blocks: NDArray[np.uint8], step: int) -> bytes:
    """Bits of the same weight gathered, from elements of `step` bytes, each row for itself."""
    elements = blocks.reshape(len(blocks), -1, _GROUP, step)
    octets = np.empty((len(blocks), step, elements.shape[1], _GROUP), np.uint8)
    for byte in range(step):
        octets[:, byte] = elements[..., byte]
    return _bits_across(octets).transpose(0, 1, 3, 2).tobytes()


def _together(blocks: NDArray[np.uint8], step: int) -> bytes:
    """The elements again of which `_apart` gathered the bits."""
    planes = blocks.reshape(len(blocks), step, _GROUP, -1).transpose(0, 1, 3, 2)
    octets = _bits_across(np.ascontiguousarray(planes))
    elements = np.empty((len(blocks), planes.shape[2], _GROUP, step), np.uint8)
    for byte in range(step):
        elements[..., byte] = octets[:, byte]
    return elements.tobytes()


def _bits_across(octets: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each 8 bytes of the last axis as a square of bits, mirrored in its diagonal."""
    squares = octets.view("<u8")
    for shift, mask in _SWAPS:
        swapped = squares >> shift
        swapped ^= squares
        swapped &= mask
        squares = squares ^ swapped
        swapped <<= shift
        squares ^= swapped
    return squares.view(np.uint8)
