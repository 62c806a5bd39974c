"""A record in a few lines: what `cryolift show FILE` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acquisition.datafile.reader import Recorded, open_record
from acquisition.datafile.records import PER_SQUARE_ANGSTROM
from drivers.ticket import Flood


def describe(path: Path) -> dict[str, Any]:
    """What a record says, as JSON with the units in the names; raises DataFileError."""
    with open_record(path) as record:
        about, passes = record.about, record.passes()
        kelvins = record.temperatures()[1]
        return {
            "file": path.name,
            "title": about.title,
            "status": record.status,
            "step": {"ordinal": about.ordinal, "name": about.step, "requested": about.requested},
            "started": about.started.isoformat(),
            "ended": None if record.ended is None else record.ended.isoformat(),
            "run_id": about.run_id,
            "sample": {
                "name": about.sample,
                "atom_types": list(about.atom_types),
                "thickness_nm": None if about.sample_thickness is None else about.sample_thickness * 1e9,
                "temperature_K": [float(kelvins.min()), float(kelvins.max())]
                if kelvins.size
                else about.stage_temperature,
            },
            "recipe": {"name": about.recipe_name, "sha256": about.recipe_sha256},
            "rig": {"name": about.rig_name, "simulated": about.simulated},
            "beam": {
                "energy_keV": about.optics.beam_energy * 1e-3,
                "current_pA": about.beam_current * 1e12,
                "current_uncertainty": about.beam_current_uncertainty,
                "probe_nm": about.optics.probe_fwhm * 1e9,
            },
            "images": {name: _image(record, name) for name in record.images},
            "cameras": {name: _camera(record, name) for name in record.cameras},
            "eds": _eds(record) if record.has_events else None,
            "tables": list(record.tables),
            "passes": len(passes),
            "dose_before_e_per_A2": min((p.dose_before for p in passes), default=0.0) * PER_SQUARE_ANGSTROM,
            "dose_after_e_per_A2": max((p.dose_after for p in passes), default=0.0) * PER_SQUARE_ANGSTROM,
            "results": record.results,
            "versions": about.versions,
            "passport_sha256": about.passport_sha256,
            "damaged": list(record.verify()) if record.status != "in_progress" else [],
        }


def _image(record: Recorded, name: str) -> dict[str, Any]:
    work = record.work(name)
    said = {
        "title": record.image_title(name),
        "shape": list(record.image(name).shape),
        "field_nm": [side * 1e9 for side in work.size],
    }
    if isinstance(work, Flood):
        return {**said, "exposure_s": work.seconds, "disc_nm": work.diameter * 1e9, "defocus_nm": work.defocus * 1e9}
    return {**said, "dwell_us": work.dwell * 1e6}


def _camera(record: Recorded, name: str) -> dict[str, Any]:
    frames, frame = record.camera(name), record.frame(name)
    form, received = frames.form, frames.received
    return {
        "scan": list(received.shape),
        "field_nm": [side * 1e9 for side in frame.size],
        "channels": list(form.channels),
        "frame": list(form.shape),
        "type": form.dtype.name,
        "codec": form.codec,
        "pixel_mrad": form.pixel_angle * 1e3,
        "received": int(received.sum()),
        "missing": sum(last - first + 1 for first, last in frames.missing),
    }


def _eds(record: Recorded) -> dict[str, Any]:
    frame, energies = record.frame(), record.energies()
    passes, _, _ = record.events()
    return {
        "elements": list(record.elements()),
        "pixels": list(frame.pixels),
        "channels": int(energies.size),
        "energy_keV": [float(energies[0]) * 1e-3, float(energies[-1]) * 1e-3],
        "events": int(passes.size),
        "live_time_s": sum(p.live_time for p in record.passes()),
    }
