"""The measured streams as NXem events: where the beam went, which detector listened, and its axes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import constants

from acquisition.datafile.floods import FLOOD, read_flood
from acquisition.datafile.records import PER_SQUARE_ANGSTROM, About, Column
from acquisition.datafile.tags import Axis, field, group, plot, text_of
from drivers.ticket import Exposed, Frame

EVENTS = 4096  # events a chunk: a chunk is written once it is full, or when its pass ends


@dataclass(frozen=True)
class Channels:
    """The energy axis of an EDS spectrum: the middle of channel c is offset_ev + c * ev_per_channel."""

    count: int
    ev_per_channel: float
    offset_ev: float

    @property
    def energies(self) -> NDArray[np.float64]:
        """The middle of each channel (count,), eV."""
        return np.asarray(self.offset_ev + np.arange(self.count) * self.ev_per_channel)

    @property
    def axis(self) -> Axis:
        """The same in keV, as spectra are drawn."""
        return Axis("axis_energy", "X-ray energy", "keV", self.energies * 1e-3)


def image_axes(frame: Exposed) -> tuple[Axis, Axis]:
    """Pixel middles of an image, rows then columns, nm in scan coordinates."""

    def middles(along: int) -> NDArray[np.float64]:
        start = frame.centre[along] - frame.size[along] / 2
        return np.asarray((start + (np.arange(frame.pixels[along]) + 0.5) * frame.pitch[along]) * 1e9)

    return Axis("axis_j", "y", "nm", middles(1)), Axis("axis_i", "x", "nm", middles(0))


def pass_axis(passes: int) -> Axis:
    """The first axis of a stack."""
    return Axis("indices_image", "pass", "", np.arange(passes, dtype=np.int32))


def add_event(file: h5py.File, about: About, detector: str, frame: Frame, requested: Frame) -> h5py.Group:
    """An event: one detector, the commanded and the requested frame, and the state of the column while it listened."""
    measurement = file["entry/measurement"]
    number = sum(name.startswith("event") for name in measurement) + 1
    event = group(measurement, f"event{number}", "NXem_event_data")
    static = group(measurement, f"instrument/detector_{detector}", "NXdetector")
    if "name" not in static:
        field(static, "name", detector)
    field(group(event, f"instrument/detector_{detector}", "NXdetector"), "operation_mode", "counting")
    group(event, "instrument", "NXem_instrument")
    column = group(event, "instrument/ebeam_column", "NXebeam_column")
    field(column, "operation_mode", "STEM")
    field(group(column, "electron_source", "NXsource"), "voltage", about.optics.beam_energy, "V")
    scan = group(column, "scan_controller", "NXscan_controller")
    field(scan, "scan_schema", "raster")
    field(scan, "dwell_time", frame.dwell, "s")
    optics = group(event, "instrument/optics", "NXem_optical_system")
    field(optics, "probe_current", about.beam_current, "A")
    field(optics, "semi_convergence_angle", about.optics.convergence, "rad")
    field(optics, "field_of_view", frame.size[0], "m")
    field(optics, "dose_management", "ledger: every exposure is in /entry/passes and /entry/dose")
    rate = about.beam_current / constants.e / (frame.size[0] * frame.size[1])
    field(optics, "dose_rate", rate * PER_SQUARE_ANGSTROM, "1/(angstrom^2*s)")
    collection = group(event, "collection", "NXcollection")
    for name, kept in (("commanded", frame), ("requested", requested)):
        place = group(collection, name, "NXcollection")
        field(place, "centre", np.array(kept.centre), "m")
        field(place, "size", np.array(kept.size), "m")
        field(place, "pixels", np.array(kept.pixels))
        field(place, "dwell", kept.dwell, "s")
    return event


def read_frame(event: h5py.Group, name: str) -> Frame:
    """The "commanded" or the "requested" frame of an event, exactly as it was given."""
    place = event["collection"][name]
    x, y = map(float, place["centre"])
    width, height = map(float, place["size"])
    columns, rows = map(int, place["pixels"])
    return Frame((x, y), (width, height), (columns, rows), float(place["dwell"][()]))


def read_work(event: h5py.Group) -> Exposed:
    """What was exposed for an image: the commanded frame, or the flood."""
    return read_flood(event) if FLOOD in event else read_frame(event, "commanded")


def add_image(
    event: h5py.Group, name: str, *, title: str, detector: str, frame: Exposed, passes: int, dtype: str
) -> h5py.Dataset:
    """An image (rows, columns), or for several passes a stack (passes, rows, columns); one row a chunk."""
    made = group(event, f"image_{name}", "NXimage")
    field(group(made, "process", "NXprocess"), "detector_identifier", f"detector_{detector}")
    axes: tuple[Axis, ...] = image_axes(frame)
    if passes > 1:
        axes = (pass_axis(passes), *axes)
    return plot(
        made,
        "stack_2d" if passes > 1 else "image_2d",
        title=title,
        signal="real",
        signal_title="detector counts",
        axes=axes,
        dtype=dtype,
        chunks=(1,) * (len(axes) - 1) + (frame.pixels[0],),
        shows="image",
    )


def describe_eds(event: h5py.Group, about: About, channels: Channels, elements: tuple[str, ...]) -> None:
    """Say of the event's X-ray detector where it stands, how it counts and what was looked for."""
    detector = event["instrument/detector_eds"]
    field(detector, "azimuthal_angle", about.optics.eds_azimuth, "rad")
    field(detector, "polar_angle", math.pi / 2 - about.optics.eds_elevation, "rad")
    field(detector, "solid_angle", about.optics.eds_solid_angle, "sr")
    settings = group(detector, "eds_settings", "NXcollection")
    field(settings, "elevation_angle", about.optics.eds_elevation, "rad")
    field(settings, "energy_resolution_MnKa", about.optics.eds_fwhm_mn, "eV")
    field(settings, "channels", channels.count)
    field(settings, "dispersion", channels.ev_per_channel, "eV")
    field(settings, "offset", channels.offset_ev, "eV")
    field(settings, "elements", ", ".join(elements))


def add_times(event: h5py.Group, live_time: float, real_time: float) -> None:
    """The total times, s, of the event's X-ray detector."""
    detector = event["instrument/detector_eds"]
    field(detector, "real_time", real_time, "s")
    field(detector, "dead_time", real_time - live_time, "s")
    field(detector, "eds_settings/live_time", live_time, "s")


def read_channels(event: h5py.Group) -> Channels:
    """The energy axis that describe_eds was given."""
    settings = event["instrument/detector_eds/eds_settings"]
    return Channels(int(settings["channels"][()]), float(settings["dispersion"][()]), float(settings["offset"][()]))


def read_elements(event: h5py.Group) -> tuple[str, ...]:
    """The elements that describe_eds was given."""
    return tuple(text_of(event, "instrument/detector_eds/eds_settings/elements").split(", "))


def add_spectra(
    event: h5py.Group, name: str, *, title: str, axes: tuple[Axis, ...], dtype: str, chunks: tuple[int, ...]
) -> h5py.Dataset:
    """Spectra along a line (n, channels) or over a map (rows, columns, channels)."""
    made = group(event, f"spectrum_{name}", "NXspectrum")
    process = group(made, "process", "NXprocess")
    field(process, "detector_identifier", "detector_eds")
    field(process, "mode", "EDS")
    return plot(
        made,
        f"spectrum_{len(axes) - 1}d",
        title=title,
        signal="intensity",
        signal_title="X-ray counts",
        axes=axes,
        dtype=dtype,
        chunks=chunks,
        shows="spectrum",
    )


def add_table(entry: h5py.Group, name: str, title: str, columns: dict[str, Column]) -> h5py.Group:
    """A table as a plot: the first column is the axis, the second the signal, the others beside it."""
    axis, signal, *others = columns
    table = group(entry, name, "NXdata")
    field(table, "title", title)
    for column, kept in columns.items():
        field(table, column, kept.values, kept.unit).attrs["long_name"] = (
            f"{column} ({kept.unit})" if kept.unit else column
        )
        if kept.errors is not None:
            field(table, f"{column}_errors", kept.errors, kept.unit)
    table.attrs["interpretation"] = "spectrum"
    table.attrs["signal"] = signal
    table.attrs["axes"] = np.array([axis], dtype=object)
    table.attrs[f"{axis}_indices"] = np.uint32(0)
    if others:
        table.attrs["auxiliary_signals"] = np.array(others, dtype=object)
    return table
