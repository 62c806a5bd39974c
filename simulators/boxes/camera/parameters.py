"""The parameters of a simulated SIMPLON camera, and which of them change when one is set.

Names, kinds and what changes with what: tickit-devices (Diamond Light Source) and DECTRIS' stream_v2/README.md; which
frame time makes how many bits: areaDetector/ADEiger, eiger.rst.  The numbers are those of data/camera.yaml.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from drivers.wire.simplon import Parameter, Value
from physics.units import parse
from simulators.constants import constants

TIMES = (
    "bit_depth_image",
    "bit_depth_readout",
    "count_time",
    "countrate_correction_count_cutoff",
    "frame_count_time",
    "frame_time",
)
"""What is named as changed when count_time or frame_time is set."""
ROUNDING = 1e-9  # relative; of a time that a host has written as a decimal number


class Unsuitable(Exception):
    """The box does not take this value."""


class NoSuch(Exception):
    """The box has no parameter of that name."""


@dataclass(frozen=True)
class Abilities:
    """What the detector can do: shortest time from image to image by bits a pixel, and the other times; s."""

    fastest: Mapping[int, float]
    long: float
    readout: float
    longest: float
    most: int
    pixels: tuple[int, int]

    @classmethod
    def known(cls) -> Abilities:
        """Those of data/camera.yaml."""
        numbers = constants("camera")
        rows, columns = numbers["pixels"]
        return cls(
            {int(bits): parse(time, "time") for bits, time in numbers["fastest"].items()},
            parse(numbers["long"], "time"),
            parse(numbers["readout"], "time"),
            float(numbers["longest"]),
            int(numbers["most"]),
            (rows, columns),
        )


class Configuration:
    """The parameters of one module, told and set by name."""

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self._parameters = dict(parameters)

    def __getitem__(self, name: str) -> Any:
        return self._parameters[name].value

    def names(self) -> Iterable[str]:
        """All there are."""
        return sorted(self._parameters)

    def tell(self, name: str) -> Parameter:
        """One of them; raises NoSuch."""
        if name not in self._parameters:
            raise NoSuch
        return self._parameters[name]

    def put(self, name: str, value: Value) -> list[str]:
        """Set one, and name all that have changed; raises NoSuch, Unsuitable."""
        was = self.tell(name)
        if was.mode != "rw":
            raise Unsuitable(f"{name} cannot be set")
        if not _KINDS[was.kind](value) or (was.allowed and value not in was.allowed):
            raise Unsuitable(f"{name} cannot be {value!r}")
        if isinstance(value, int | float) and not (was.low or 0) <= value <= (was.high or math.inf):
            raise Unsuitable(f"{name} cannot be {value!r}; it lies from {was.low} to {was.high}")
        self._force(name, float(value) if was.kind == "float" and isinstance(value, int | float) else value)
        return [name]

    def _force(self, name: str, value: Value) -> None:
        self._parameters[name] = replace(self._parameters[name], value=value)


class DetectorConfiguration(Configuration):
    """The parameters of the detector, coupled as they are."""

    def __init__(self, beam_energy: float) -> None:
        self.can = can = Abilities.known()
        rows, columns = can.pixels
        size = parse(constants("camera")["pixel_size"], "length")
        fastest = min(can.fastest.values())
        super().__init__(
            {
                "auto_summation": Parameter(True, "bool", "r"),
                "bit_depth_image": Parameter(16, "uint", "r"),
                "bit_depth_readout": Parameter(16, "uint", "r"),
                "compression": Parameter("bslz4", "string", "rw", allowed=("lz4", "bslz4", "none")),
                "count_time": Parameter(1e-3, "float", "rw", "s", 5e-8, can.longest),
                "countrate_correction_count_cutoff": Parameter((1 << 16) - 2, "uint", "r"),
                "description": Parameter("cryolift simulated detector", "string", "r"),
                "detector_number": Parameter("SIM-0001", "string", "r"),
                "detector_readout_time": Parameter(can.readout, "float", "r", "s"),
                "frame_count_time": Parameter(1e-3, "float", "r", "s"),
                "frame_time": Parameter(1e-3 + can.readout, "float", "rw", "s", fastest, can.longest),
                "incident_energy": Parameter(beam_energy, "float", "rw", "eV", 1e3, 1e6),
                "mask_to_zero": Parameter(False, "bool", "rw"),
                "nimages": Parameter(1, "uint", "rw", low=1, high=can.most),
                "ntrigger": Parameter(1, "uint", "rw", low=1, high=can.most),
                "number_of_excluded_pixels": Parameter(len(constants("camera")["dead_pixels"]), "uint", "r"),
                "roi_mode": Parameter("disabled", "string", "rw", allowed=("disabled", "merge2x2")),
                "sensor_material": Parameter("Si", "string", "r"),
                "sensor_thickness": Parameter(4.5e-4, "float", "r", "m"),
                "software_version": Parameter("1.8.0", "string", "r"),
                "threshold_energy": Parameter(beam_energy / 4.0, "float", "rw", "eV", 1e3, 1e6),
                "trigger_mode": Parameter("ints", "string", "rw", allowed=("ints", "exte")),
                "x_pixel_size": Parameter(size, "float", "r", "m"),
                "x_pixels_in_detector": Parameter(columns, "uint", "r"),
                "y_pixel_size": Parameter(size, "float", "r", "m"),
                "y_pixels_in_detector": Parameter(rows, "uint", "r"),
            }
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of an image."""
        return self["y_pixels_in_detector"], self["x_pixels_in_detector"]

    def put(self, name: str, value: Value) -> list[str]:
        if name == "trigger_mode" and value == "exte" and self["nimages"] != 1:
            raise Unsuitable("trigger_mode cannot be 'exte' unless nimages is 1")  # ADEiger, RELEASE.md, EIGER2
        if name == "nimages" and value != 1 and self["trigger_mode"] == "exte":
            raise Unsuitable("nimages is 1 in trigger_mode 'exte'")
        changed = super().put(name, value)
        if name == "count_time":
            self._force("frame_time", max(self["count_time"] + self.can.readout, min(self.can.fastest.values())))
        elif name == "frame_time":
            self._force("count_time", min(self["count_time"], self["frame_time"] - self.can.readout))
        elif name == "roi_mode":
            self._merge()
        else:
            return changed
        self._count_bits()
        return ["roi_mode", "count_time", "frame_time"] if name == "roi_mode" else list(TIMES)

    def _merge(self) -> None:
        """A change of the region sets the times back."""
        by = 2 if self["roi_mode"] == "merge2x2" else 1
        size = parse(constants("camera")["pixel_size"], "length")
        for axis, pixels in zip("yx", self.can.pixels, strict=True):
            self._force(f"{axis}_pixels_in_detector", pixels // by)
            self._force(f"{axis}_pixel_size", size * by)
        self._force("count_time", 1e-3)
        self._force("frame_time", 1e-3 + self.can.readout)

    def _count_bits(self) -> None:
        bits = 8 if self["frame_time"] < self.can.fastest[16] * (1.0 - ROUNDING) else 16
        self._force("bit_depth_readout", bits)
        bits = 32 if self["count_time"] > self.can.long else bits
        self._force("bit_depth_image", bits)
        self._force("countrate_correction_count_cutoff", (1 << bits) - 2)  # the value above it means no data
        self._force("frame_count_time", min(self["count_time"], self.can.long))


def stream_configuration() -> Configuration:
    """The parameters of the stream: off, and Stream V1, until a host sets them (stream_v2/README.md)."""
    return Configuration(
        {
            "format": Parameter("legacy", "string", "rw", allowed=("legacy", "cbor")),
            "header_appendix": Parameter("", "string", "rw"),
            "header_detail": Parameter("basic", "string", "rw", allowed=("all", "basic", "none")),
            "image_appendix": Parameter("", "string", "rw"),
            "mode": Parameter("disabled", "string", "rw", allowed=("enabled", "disabled")),
        }
    )


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_KINDS: dict[str, Callable[[Value], bool]] = {
    "float": _is_number,
    "uint": lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    "bool": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
}
