"""The ways to a box: memory, serial, TCP and UDP, a tap that records them, faults that break them."""

from drivers.links.base import LONGEST_WAIT, AbortFlag, Link, Wait
from drivers.links.exchange import Exchange, Splitter
from drivers.links.memory import MemoryLink, Peer
from drivers.links.tcp import TcpLink
from drivers.links.udp import UdpLink

__all__ = [
    "LONGEST_WAIT",
    "AbortFlag",
    "Exchange",
    "Link",
    "MemoryLink",
    "Peer",
    "Splitter",
    "TcpLink",
    "UdpLink",
    "Wait",
]
