"""A ZeroMQ PUSH port in front of a box that streams messages: they are made when somebody there takes them."""

from __future__ import annotations

import selectors

import zmq

from drivers.links.messages import Message, MessagePeer
from simulators.serve.lines import Line

HIGH_WATER = 256  # messages ZeroMQ keeps for a host that is slow; the others stay in the box
AT_A_TIME = 64  # messages before the other boxes have their turn


class MessageLine(Line):
    """One PUSH socket, bound to a port; several hosts would share the messages between them, as with the real box."""

    def __init__(self, host: str, number: int, peer: MessagePeer) -> None:
        self._peer = peer
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.bind(f"tcp://{host}:{number or '*'}")
        except zmq.ZMQError as error:
            self.close()
            raise OSError(error.errno, f"tcp://{host}:{number} cannot be had ({error})") from None
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._left: Message | None = None

    def start(self, selector: selectors.BaseSelector) -> None:
        # readable when anything about the socket may have changed, such as that a host came or has room again
        selector.register(self._socket.fileno(), selectors.EVENT_READ, self)
        self._peer.connected()

    def ready(self, which: object, mask: int) -> None:
        self._writable()  # asking is what makes the descriptor quiet again

    def speak(self, now: float) -> None:
        for _ in range(AT_A_TIME):
            if not self._writable():
                return
            if self._left is None:
                due = self._peer.due()
                self._left = self._peer.send() if due is not None and due <= now else None
            if self._left is None:
                return
            try:
                self._socket.send_multipart(self._left, zmq.NOBLOCK)
            except zmq.Again:
                return
            self._left = None

    def due(self) -> float | None:
        return self._peer.due() if self._left is None and self._writable() else None

    def stop(self) -> None:
        self._peer.disconnected()

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def _writable(self) -> bool:
        return bool(self._socket.poll(0, zmq.POLLOUT))
