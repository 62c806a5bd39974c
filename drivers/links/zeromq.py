"""A link over ZeroMQ: what a detector pushes, pulled message by message."""

from __future__ import annotations

import math

import zmq

from drivers.clock import Clock, wall_seconds
from drivers.errors import LinkClosed, LinkError, WireError
from drivers.links.base import LOOK, AbortFlag
from drivers.links.messages import Message, MessageLink

HIGH_WATER = 16384  # messages kept for us while we write; past it the box keeps or drops them
LARGEST = 1 << 28  # bytes of a message: 256 MiB, an image of 64 million 32-bit pixels
MOST_PARTS = 16


class ZmqLink(MessageLink):
    """PULL from `address` ("tcp://HOST:PORT"); a box that is not there yet is waited for.

    high_water: messages that may wait here, set before connecting, or it would not count.  A second puller at the same
    box would take every other message.  Raises LinkError for an address that names nothing.
    """

    def __init__(
        self, name: str, address: str, clock: Clock, abort: AbortFlag | None = None, *, high_water: int = HIGH_WATER
    ) -> None:
        super().__init__(name, clock, abort)
        self.address = address
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        self._socket.setsockopt(zmq.RCVHWM, high_water)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)  # a longer one makes ZeroMQ drop the connection
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise LinkError(
                f"the link {name} cannot pull from {address} ({error})", way_out="Write HOST:PORT."
            ) from None

    def elapsed(self) -> float:
        """Wall seconds from an arbitrary zero."""
        return wall_seconds()

    def _receive(self, timeout: float) -> Message | None:
        deadline = self.elapsed() + timeout
        left = timeout
        while True:
            try:
                return self._take()
            except zmq.Again:
                if left <= 0.0:
                    return None
            except zmq.ZMQError as error:
                self.close()
                raise LinkClosed(f"the link {self.name} to {self.address} was lost ({error})") from None
            self._socket.poll(math.ceil(min(left, LOOK) * 1000.0))
            left = deadline - self.elapsed()
            self._ready()

    def _take(self) -> Message:
        parts = self._socket.recv_multipart(zmq.NOBLOCK)
        if len(parts) > MOST_PARTS:
            raise WireError(f"the link {self.name} brought a message of {len(parts)} parts; at most {MOST_PARTS}")
        return tuple(parts)

    def _close(self) -> None:
        self._socket.close()
        self._context.term()
