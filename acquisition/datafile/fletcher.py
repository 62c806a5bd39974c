"""The sum that HDF5's fletcher32 filter leaves behind a chunk: for chunks that go round HDF5's filters.

Source: HDF5 File Format Specification 3.0, IV.A.2.l (filter 3), after Fletcher 1982 on 16-bit words, big endian, modulo
65535, with the high half first.  Only a chunk of zeros sums to 0; everywhere else 65535 stands for 0.
"""

from __future__ import annotations

import numpy as np

SIZE = 4  # bytes of a sum, little endian behind its chunk
_WORDS = 8192  # words at a time: exact in double precision, and small enough for the fast memory
_ONES = np.ones(_WORDS)
_WEIGHTS = np.arange(_WORDS, 0.0, -1.0)


def fletcher32(chunk: bytes) -> int:
    """The sum over the bytes of a chunk; a last odd byte counts as the high half of a word."""
    if len(chunk) % 2:
        chunk += b"\0"
    words = np.frombuffer(chunk, "<u2")
    if len(words) <= _WORDS:
        plain, weighted = _sums(words)
    else:
        plain = weighted = 0
        for start in range(0, len(words), _WORDS):
            block = words[start : start + _WORDS]
            more, weighted_more = _sums(block)
            weighted += plain * len(block) + weighted_more
            plain += more
    # taken with their halves the other way round, words and sums are 256 times what they are, modulo 65535
    return _folded(256 * weighted) << 16 | _folded(256 * plain)


def _sums(words: np.ndarray[tuple[int], np.dtype[np.uint16]]) -> tuple[int, int]:
    """The sum of the words, and the sum of what the sum is after each: the first counts as often as there are words."""
    values, count = words.astype(np.float64), len(words)
    return int(values.dot(_ONES[:count])), int(values.dot(_WEIGHTS[_WORDS - count :]))


def _folded(total: int) -> int:
    return (total - 1) % 65535 + 1 if total else 0
