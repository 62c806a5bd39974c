"""A fibsem server in front of the world's chamber."""

from simulators.boxes.fibsem.server import FibsemServer

__all__ = ["FibsemServer"]
