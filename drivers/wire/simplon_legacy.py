"""DECTRIS Stream V1 ("legacy"), both ways: JSON parts and a blob a message."""

from __future__ import annotations

from drivers.wire.simplon_frames import Message, Streamed

PORT = 9999


class Decoder:
    """Reads messages in their order: a header may come as one message of two parts or as two of one part each."""

    def decode(self, message: Message) -> Streamed | None:
        """What a message says; None after the first half of a header; raises WireError."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget half a header."""


def encode(streamed: Streamed) -> Message:
    """The message that says it; raises ValueError for an image of more than one channel."""
    raise NotImplementedError
