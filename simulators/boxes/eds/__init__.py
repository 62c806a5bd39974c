"""An Amptek DP5 in front of the world's X-rays."""

from simulators.boxes.eds.server import EdsServer

__all__ = ["EdsServer"]
