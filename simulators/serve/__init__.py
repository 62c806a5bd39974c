"""Simulated boxes on real ports, for other people's clients: TCP, UDP, HTTP, ZeroMQ and serial lines."""

from simulators.serve.pace import PacedClock
from simulators.serve.pump import Port, Served, serve

__all__ = ["PacedClock", "Port", "Served", "serve"]
