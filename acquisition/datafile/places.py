"""Where each thing of About stands in the file: one table, used for writing and for reading."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import h5py
import numpy as np

from acquisition.datafile.records import About
from acquisition.datafile.tags import field, group, note, programs, text_of
from drivers.rigfile import Optics

SCHEMA = ("cryolift-hdf5", "1.0.0")
NXEM = ("v2026.01", "https://manual.nexusformat.org/classes/applications/NXem.html")


@dataclass(frozen=True)
class Kind:
    """How a value is put into a field and taken out of it."""

    put: Callable[[Any], Any]
    take: Callable[[Any], Any]


TEXT = Kind(str, bytes.decode)
TIME = Kind(lambda t: t.astimezone(UTC).isoformat(), lambda raw: datetime.fromisoformat(raw.decode()))
URN = Kind(lambda uuid: f"urn:uuid:{uuid}", lambda raw: raw.decode().removeprefix("urn:uuid:"))
WORDS = Kind(", ".join, lambda raw: tuple(word for word in raw.decode().split(", ") if word))
REAL = Kind(float, float)
TRUTH = Kind(np.bool_, bool)
WHOLE = Kind(int, int)


@dataclass(frozen=True)
class Place:
    """One field of the entry; `says` is the attribute of About, or of its optics. What is None is not written."""

    path: str
    says: str
    kind: Kind
    unit: str = ""
    type: str = ""


PLACES = (
    Place("title", "title", TEXT),
    Place("start_time", "started", TIME),
    Place("identifier_experiment", "run_id", URN, type="URN"),
    Place("sampleID/name", "sample", TEXT),
    Place("sampleID/atom_types", "atom_types", WORDS),
    Place("sampleID/thickness", "sample_thickness", REAL, "m"),
    Place("sampleID/temperature", "stage_temperature", REAL, "K"),
    Place("sampleID/is_simulation", "simulated", TRUTH),
    Place("profiling/command_line_call", "command_line", TEXT),
    Place("measurement/instrument/name", "rig_name", TEXT),
    Place("step/name", "step", TEXT),
    Place("step/ordinal", "ordinal", WHOLE),
    Place("step/recipe_name", "recipe_name", TEXT),
    Place("step/recipe_sha256", "recipe_sha256", TEXT),
    Place("step/recipe_type", "recipe_type", TEXT),
    Place("step/passport_sha256", "passport_sha256", TEXT),
    Place("calibrations/beam_current", "beam_current", REAL, "A"),
    Place("calibrations/beam_current_uncertainty", "beam_current_uncertainty", REAL),
)
OPTICS = (
    Place("calibrations/beam_energy", "beam_energy", REAL, "eV"),
    Place("calibrations/convergence", "convergence", REAL, "rad"),
    Place("calibrations/probe_fwhm", "probe_fwhm", REAL, "m"),
    Place("calibrations/dark_field", "dark_field", Kind(np.array, lambda pair: tuple(map(float, pair))), "rad"),
    Place("calibrations/eds_solid_angle", "eds_solid_angle", REAL, "sr"),
    Place("calibrations/eds_elevation", "eds_elevation", REAL, "rad"),
    Place("calibrations/eds_azimuth", "eds_azimuth", REAL, "rad"),
    Place("calibrations/eds_fwhm_mn", "eds_fwhm_mn", REAL, "eV"),
)
GROUPS = {
    "step": "NXcollection",
    "calibrations": "NXcollection",
    "sampleID": "NXsample",
    "profiling": "NXcs_profiling",
    "consistent_rotations": "NXparameters",
    "measurement": "NXem_measurement",
    "measurement/instrument": "NXem_instrument",
    "measurement/instrument/fabrication": "NXfabrication",
    "measurement/instrument/ebeam_column": "NXebeam_column",
    "measurement/instrument/stage": "NXmanipulator",
    "measurement/instrument/stage/temperature_sensor": "NXsensor",
    "processing_reference_frame": "NXcoordinate_system",
    "passes": "NXcollection",
}
FIXED = {
    "consistent_rotations/rotation_handedness": "counter_clockwise",
    "consistent_rotations/rotation_convention": "passive",
    "consistent_rotations/euler_angle_convention": "zxz",
    "consistent_rotations/axis_angle_convention": "rotation_angle_on_interval_zero_to_pi",
    "consistent_rotations/sign_convention": "p_minus_one",
    "processing_reference_frame/alias": "from the middle of the field, x along columns, y down rows, z with the beam",
    "processing_reference_frame/type": "cartesian",
    "processing_reference_frame/x_direction": "east",
    "processing_reference_frame/y_direction": "south",
    "processing_reference_frame/z_direction": "in",
    "measurement/instrument/type": "tem",
    "measurement/instrument/stage/design": "cryo",
    "measurement/instrument/stage/temperature_sensor/measurement": "temperature",
    "measurement/instrument/stage/temperature_sensor/name": "stage",
}


def write_about(file: h5py.File, about: About) -> None:
    """Write the root tags and everything of About below /entry."""
    started = about.started.astimezone(UTC).isoformat()
    file.attrs.update(
        {
            "NX_class": "NXroot",
            "default": "entry",
            "file_time": started,
            "file_update_time": started,
            "creator": SCHEMA[0],
            "creator_version": SCHEMA[1],
            "NeXus_version": NXEM[0],
            "HDF5_Version": h5py.version.hdf5_version,
            "h5py_version": h5py.__version__,
            "file_format": "HyperSpy",  # the two tags that make HyperSpy's own reader take the file
            "file_format_version": "3.3",
            "acquisition_status": "in_progress",
        }
    )
    entry = group(file, "entry", "NXentry")
    field(entry, "definition", "NXem", version=NXEM[0], URL=NXEM[1])
    field(entry, "definition_local", SCHEMA[0], version=SCHEMA[1])
    for path, nx_class in GROUPS.items():
        group(entry, path, nx_class)
    for path, text in FIXED.items():
        field(entry, path, text)
    for place, value in [(p, getattr(about, p.says)) for p in PLACES] + [
        (p, getattr(about.optics, p.says)) for p in OPTICS
    ]:
        if value is not None:
            field(entry, place.path, place.kind.put(value), place.unit, **({"type": place.type} if place.type else {}))
    for axis, vector in zip("xyz", np.eye(3), strict=True):
        field(entry, f"processing_reference_frame/{axis}", vector, "m")
    # NXem wants a date; the record knows none earlier than this one
    field(entry, "sampleID/preparation_date", started)
    field(entry, "profiling/start_time", started)
    field(entry, "measurement/instrument/fabrication/vendor", "simulated" if about.simulated else "not stated")
    field(entry, "measurement/instrument/fabrication/model", about.rig_name)
    programs(entry["profiling"], about.versions)
    note(entry, "note_recipe", about.recipe_text, kind=about.recipe_type, file_name=about.recipe_name)
    note(entry, "note_rig", about.rig_text, kind="text/x-yaml", file_name="rig.yaml")
    note(entry, "note_requested", as_json(about.requested), kind="application/json", file_name="requested.json")
    note(entry, "note_state_before", as_json(about.state), kind="application/json", file_name="state.json")


def read_about(file: h5py.File) -> About:
    """Read back what write_about wrote."""
    entry = file["entry"]

    def values(places: tuple[Place, ...]) -> dict[str, Any]:
        return {p.says: p.kind.take(entry[p.path][()]) if p.path in entry else None for p in places}

    named = {
        text_of(found, "program"): str(found["program"].attrs["version"])
        for name, found in sorted(entry["profiling"].items(), key=lambda item: (len(item[0]), item[0]))
        if name.startswith("programID")
    }
    return About(
        **values(PLACES),
        optics=Optics(**values(OPTICS)),
        versions=named,
        recipe_text=text_of(entry, "note_recipe/data"),
        rig_text=text_of(entry, "note_rig/data"),
        requested=json.loads(text_of(entry, "note_requested/data")),
        state=json.loads(text_of(entry, "note_state_before/data")),
    )


def as_json(value: Any) -> str:
    """JSON as every note holds it: sorted, and null where a number is not finite (JSON has no NaN)."""
    return json.dumps(_finite(value), sort_keys=True, allow_nan=False, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
