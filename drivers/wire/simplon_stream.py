"""DECTRIS Stream V2, both ways: one CBOR map a message.

Source: github dectris/documentation, stream_v2/README.md and cbor/dectris-compression-tag.md; RFC 8949 (CBOR), RFC 8746
(typed arrays).
"""

from __future__ import annotations

from drivers.wire.simplon_frames import Message, Streamed

PORT = 31001


def decode(message: Message) -> Streamed:
    """What a message says; raises WireError."""
    raise NotImplementedError


def encode(streamed: Streamed) -> Message:
    """The message that says it, in one part."""
    raise NotImplementedError
