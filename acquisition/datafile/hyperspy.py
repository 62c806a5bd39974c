"""The HyperSpy face: /Experiments/TITLE holds axes and metadata as HyperSpy writes them, and a soft link to the data.

Names and units: HSPY format 3.3 and eXSpy's EDS metadata, as their readers use them.  Nothing is said here that the
NeXus tree does not say; a value eXSpy does not find it replaces by a default without a word, so all are written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import h5py
import numpy as np

from acquisition.datafile.records import About
from acquisition.datafile.tags import text_of
from drivers.ticket import Exposed, Flood

_NAMES = {"axis_i": "x", "axis_j": "y", "indices_image": "pass", "axis_energy": "Energy"}
_SCAN_NAMES = {"axis_i": "kx", "axis_j": "ky", "axis_k": "x", "axis_m": "y", "indices_image": "pass"}
_TEXT = h5py.string_dtype("utf-8")


def overlay(file: h5py.File, data: h5py.Group, metadata: Mapping[str, Any]) -> None:
    """Describe an NXdata as a HyperSpy experiment named by its title."""
    experiments = file.require_group("Experiments")
    title = text_of(data, "title").replace("/", " ")
    taken = sum(name == title or name.startswith(f"{title} (") for name in experiments)
    made = experiments.create_group(f"{title} ({taken + 1})" if taken else title)
    spectral = data.attrs["interpretation"] == "spectrum"
    # versions of the metadata's layout, not of what happens to be installed here
    made.attrs["package"], made.attrs["package_version"] = ("exspy", "0.3.2") if spectral else ("hyperspy", "2.5.0")
    signal = data[data.attrs["signal"]]
    made["data"] = h5py.SoftLink(signal.name)  # soft: programs that walk the file meet the data once
    names = _SCAN_NAMES if "axis_k" in data else _NAMES
    first_of_signal = signal.ndim - (1 if spectral else 2)
    for position, name in enumerate(data.attrs["axes"]):
        values, unit = data[name][...], data[name].attrs.get("units", "")
        made.create_group(f"axis-{position}").attrs.update(
            {
                "_type": "UniformDataAxis",
                "name": "position" if (name, signal.ndim) == ("axis_i", 2) and spectral else names[name],
                "scale": float(values[-1] - values[0]) / (values.size - 1) if values.size > 1 else 1.0,
                "offset": float(values[0]),
                "size": int(values.size),
                "units": unit,
                "navigate": position < first_of_signal,
                "is_binned": name == "axis_energy",
            }
        )
    tree = made.create_group("metadata")
    _write(tree, metadata)
    tree["General"].attrs["title"] = title
    made.create_group("original_metadata").attrs["nexus_path"] = data.name
    made.create_group("attributes")
    made.create_group("learning_results")


def image_metadata(about: About, work: Exposed) -> dict[str, Any]:
    """What HyperSpy is told of an image."""
    told = _metadata(about, "", "Electrons (Counts)", {})
    if isinstance(work, Flood):
        told["Acquisition_instrument"]["TEM"]["acquisition_mode"] = "TEM"
    return told


def spectrum_metadata(
    about: About, elements: tuple[str, ...], live_time: float, real_time: float, dwell: float, passes: int
) -> dict[str, Any]:
    """What eXSpy is told of spectra.  live_time, real_time: s, of one pixel: eXSpy multiplies by the pixels it sums."""
    optics = about.optics
    eds = {
        "azimuth_angle": math.degrees(optics.eds_azimuth),
        "elevation_angle": math.degrees(optics.eds_elevation),
        "energy_resolution_MnKa": optics.eds_fwhm_mn,
        "solid_angle": optics.eds_solid_angle,
        "live_time": live_time,
        "real_time": real_time,
        "dwell_time": dwell,
        "number_of_frames": passes,
    }
    return {**_metadata(about, "EDS_TEM", "X-rays (Counts)", {"EDS": eds}), "Sample": {"elements": list(elements)}}


def _metadata(about: About, signal_type: str, quantity: str, detector: dict[str, Any]) -> dict[str, Any]:
    optics, started = about.optics, about.started.astimezone(UTC)
    microscope = {
        "beam_energy": optics.beam_energy * 1e-3,
        "beam_current": about.beam_current * 1e9,
        "convergence_angle": optics.convergence * 1e3,
        "probe_area": math.pi / 4 * (optics.probe_fwhm * 1e9) ** 2,
        "acquisition_mode": "STEM",
        "microscope": about.rig_name,
        # the elevation is the one seen from the sample, so there is no tilt left to correct for
        "Stage": {"tilt_alpha": 0.0},
        "Detector": detector,
    }
    return {
        "General": {
            "date": started.date().isoformat(),
            "time": started.time().isoformat("seconds"),
            "time_zone": "UTC",
            "notes": f"{about.sample}, {about.recipe_name}, step {about.ordinal} {about.step}"
            + (" (simulated)" if about.simulated else ""),
        },
        "Signal": {"signal_type": signal_type, "quantity": quantity},
        "_HyperSpy": {
            "Folding": {
                "original_axes_manager": None,
                "original_shape": None,
                "signal_unfolded": False,
                "unfolded": False,
            }
        },
        "Acquisition_instrument": {"TEM": microscope},
    }


def _write(group: h5py.Group, tree: Mapping[str, Any]) -> None:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            _write(group.create_group(name), value)
        elif isinstance(value, list):
            group.create_dataset(f"_list_{name}", data=np.array(value, dtype=object), dtype=_TEXT)
        else:
            group.attrs[name] = "_None_" if value is None else value
