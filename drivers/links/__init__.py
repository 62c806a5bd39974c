"""The ways to a box: memory, serial, TCP, UDP, HTTP and ZeroMQ, a tap that records them, faults that break them."""

from drivers.links.address import AddressError, HttpAddress, open_link, parse_address
from drivers.links.base import LONGEST_WAIT, AbortFlag, Link, Wait
from drivers.links.exchange import Exchange, Splitter
from drivers.links.faults import Fault, FaultKind, FaultyLink, one_of_each
from drivers.links.http import HttpExchange, HttpLink
from drivers.links.memory import MemoryLink, Peer
from drivers.links.messages import FaultyMessages, MemoryMessages, Message, MessageLink, MessagePeer
from drivers.links.serial import SerialLink
from drivers.links.tap import (
    ReplayedMessages,
    ReplayLink,
    TapLink,
    TapMessages,
    TranscriptMismatch,
    compare,
    read_transcript,
)
from drivers.links.tcp import TcpLink
from drivers.links.udp import UdpLink
from drivers.links.zeromq import HIGH_WATER, ZmqLink

__all__ = [
    "HIGH_WATER",
    "LONGEST_WAIT",
    "AbortFlag",
    "AddressError",
    "Exchange",
    "Fault",
    "FaultKind",
    "FaultyLink",
    "FaultyMessages",
    "HttpAddress",
    "HttpExchange",
    "HttpLink",
    "Link",
    "MemoryLink",
    "MemoryMessages",
    "Message",
    "MessageLink",
    "MessagePeer",
    "Peer",
    "ReplayLink",
    "ReplayedMessages",
    "SerialLink",
    "Splitter",
    "TapLink",
    "TapMessages",
    "TcpLink",
    "TranscriptMismatch",
    "UdpLink",
    "Wait",
    "ZmqLink",
    "compare",
    "one_of_each",
    "open_link",
    "parse_address",
    "read_transcript",
]
