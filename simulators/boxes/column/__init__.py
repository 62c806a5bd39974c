"""A temscript server in front of the world's column, STEM and TEM."""

from simulators.boxes.column.server import ColumnServer

__all__ = ["ColumnServer"]
