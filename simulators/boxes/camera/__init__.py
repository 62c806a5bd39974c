"""A DECTRIS camera in front of the world's diffraction."""

from simulators.boxes.camera.server import CameraServer

__all__ = ["CameraServer"]
