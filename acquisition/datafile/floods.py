"""The event of a camera's images with a parallel beam: what the light was, and where the image lies."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
from scipy import constants

from acquisition.datafile.records import PER_SQUARE_ANGSTROM, About
from acquisition.datafile.tags import field, group
from drivers.ticket import Flood

FLOOD = "collection/flood"


@dataclass(frozen=True)
class ParallelBeam:
    """What is believed of the beam and the lens: current in the disc, A; spherical aberration, m.

    pixel_uncertainty: relative, a bound, of the size of a pixel.
    """

    current: float
    spherical: float
    pixel_uncertainty: float


def add_flood_event(file: h5py.File, about: About, camera: str, flood: Flood, beam: ParallelBeam) -> h5py.Group:
    """An event of a camera of the microscope: a disc of light, and the state of the column meanwhile."""
    measurement = file["entry/measurement"]
    number = sum(name.startswith("event") for name in measurement) + 1
    event = group(measurement, f"event{number}", "NXem_event_data")
    static = group(measurement, f"instrument/detector_{camera}", "NXdetector")
    if "name" not in static:
        field(static, "name", camera)
    detector = group(event, f"instrument/detector_{camera}", "NXdetector")
    field(detector, "operation_mode", "integrating")
    group(event, "instrument", "NXem_instrument")
    column = group(event, "instrument/ebeam_column", "NXebeam_column")
    field(column, "operation_mode", "TEM")
    field(group(column, "electron_source", "NXsource"), "voltage", about.optics.beam_energy, "V")
    optics = group(event, "instrument/optics", "NXem_optical_system")
    field(optics, "probe_current", beam.current, "A")
    field(optics, "defocus", flood.defocus, "m", comment="positive is underfocus")
    field(optics, "field_of_view", flood.size[0], "m")
    field(optics, "dose_management", "ledger: every exposure is in /entry/passes and /entry/dose")
    rate = beam.current / constants.e / flood.area
    field(optics, "dose_rate", rate * PER_SQUARE_ANGSTROM, "1/(angstrom^2*s)")
    place = group(event, FLOOD, "NXcollection")
    field(place, "centre", np.array(flood.centre), "m")
    field(place, "size", np.array(flood.size), "m")
    field(place, "pixels", np.array(flood.pixels))
    for name, value, unit in (
        ("diameter", flood.diameter, "m"),
        ("exposure", flood.seconds, "s"),
        ("defocus", flood.defocus, "m"),
        ("current", beam.current, "A"),
        ("spherical_aberration", beam.spherical, "m"),
        ("pixel_uncertainty", beam.pixel_uncertainty, ""),
    ):
        field(place, name, value, unit)
    return event


def read_flood(event: h5py.Group) -> Flood:
    """The flood of an event, exactly as it was given."""
    place = event[FLOOD]
    x, y = map(float, place["centre"])
    width, height = map(float, place["size"])
    columns, rows = map(int, place["pixels"])
    diameter, seconds, defocus = (float(place[name][()]) for name in ("diameter", "exposure", "defocus"))
    return Flood((x, y), (width, height), (columns, rows), diameter, seconds, defocus)


def read_beam(event: h5py.Group) -> ParallelBeam:
    """The beam of an event."""
    place = event[FLOOD]
    return ParallelBeam(*(float(place[name][()]) for name in ("current", "spherical_aberration", "pixel_uncertainty")))
