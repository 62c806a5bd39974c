"""The first bytes of an HDF5 file: whether a writer still claims it, and where it ends.

Source: HDF5 File Format Specification 3.0, section II.A (superblock versions 2 and 3) and its appendix on the checksum,
which is Bob Jenkins' lookup3 (hashlittle, initial value 0; public domain, 2006).
"""

from __future__ import annotations

import struct
from pathlib import Path

from acquisition.datafile.records import DataFileError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FLAGS = 11  # byte of the file consistency flags: 1 open for writing, 4 open for SWMR writing
_END = 28  # byte of the end-of-file address, after the flags, the base and the extension address
_MASK = 0xFFFFFFFF
# (word changed, word mixed in, rotation) of the two steps of lookup3; words a, b, c are 0, 1, 2
_FINAL = ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24))
_MIX = ((0, 2, 4, 1), (1, 0, 6, 2), (2, 1, 8, 0), (0, 2, 16, 1), (1, 0, 19, 2), (2, 1, 4, 0))


def claim_and_end(path: Path) -> tuple[int, int]:
    """(consistency flags, address of the end of the file) as the superblock has them; raises DataFileError."""
    head = _head(path)
    return head[_FLAGS], struct.unpack_from("<Q", head, _END)[0]


def repair(path: Path) -> None:
    """Take back a dead writer's claim and set the end to what the file has; raises DataFileError.

    Clearing the flags alone is not enough: a killed SWMR writer has not yet written where the file ends.
    """
    head = bytearray(_head(path))
    head[_FLAGS] = 0
    struct.pack_into("<Q", head, _END, path.stat().st_size)
    struct.pack_into("<I", head, len(head) - 4, lookup3(bytes(head[:-4])))
    with path.open("rb+") as file:
        file.write(head)


def lookup3(data: bytes) -> int:
    """The 32-bit checksum of HDF5's metadata."""
    words = [(0xDEADBEEF + len(data)) & _MASK] * 3
    if not data:
        return words[2]
    padded = data + bytes(-len(data) % 12)
    last = len(padded) - 12
    for start in range(0, len(padded), 12):
        for index, word in enumerate(struct.unpack_from("<III", padded, start)):
            words[index] = (words[index] + word) & _MASK
        if start < last:
            for changed, mixed, bits, grown in _MIX:
                words[changed] = (words[changed] - words[mixed]) & _MASK ^ _turned(words[mixed], bits)
                words[mixed] = (words[mixed] + words[grown]) & _MASK
    for changed, mixed, bits in _FINAL:
        words[changed] = ((words[changed] ^ words[mixed]) - _turned(words[mixed], bits)) & _MASK
    return words[2]


def _turned(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) & _MASK


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(12)
        if head[:8] != SIGNATURE or len(head) < 12 or head[8] not in (2, 3) or head[9] != 8:
            raise DataFileError(
                "does not begin like a record (HDF5, superblock 2 or 3)",
                where=path,
                way_out="Was it cut off or replaced?",
            )
        return head + file.read(4 * 8 + 4)
