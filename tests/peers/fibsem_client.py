"""Run by the Python that has fibsem: its own client against the server on a port; tells JSON of what it saw."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np
import requests
from fibsem.server.client import FibsemClient
from fibsem.structures import (
    BeamType,
    FibsemCircleSettings,
    FibsemLineSettings,
    FibsemMillingSettings,
    FibsemPolygonSettings,
    FibsemRectangleSettings,
    FibsemStagePosition,
    ImageSettings,
    Point,
)

SEEN = ImageSettings(resolution=(384, 256), hfw=60e-6, dwell_time=2e-5)


def at(**axes: float) -> FibsemStagePosition:
    return FibsemStagePosition(**{"x": 0.0, "y": 0.0, "z": 4e-3, "r": 0.0, "t": 0.0, **axes}, coordinate_system="RAW")


def picture(client: FibsemClient, beam: BeamType) -> np.ndarray[Any, Any]:
    SEEN.beam_type = beam
    return client.acquire_image(beam, SEEN).data.astype(float)


def alike(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def apart(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """How far the mean grey of any 16 x 16 pixels changed."""
    blocks = (one - other).reshape(one.shape[0] // 16, 16, one.shape[1] // 16, 16)
    return float(np.abs(blocks.mean(axis=(1, 3))).max())


def system(client: FibsemClient) -> dict[str, Any]:
    return {
        "health": client.health(),
        "ion_column_tilt": client.system.ion.column_tilt,
        "electron": client.system.electron.beam.voltage,
        "compustage": client.stage_is_compustage,
    }


def stage(client: FibsemClient) -> dict[str, Any]:
    here = client.get_stage_position()
    there = client.move_stage_absolute(at(x=1e-5, t=0.1))
    by = client.move_stage_relative(FibsemStagePosition(x=1e-6))
    projected = client.project_stable_move(1e-6, 1e-6, BeamType.ION, client.get_stage_position())
    stable = client.stable_move(1e-6, 1e-6, BeamType.ION)
    vertical = client.vertical_move(1e-6)
    client.safe_absolute_stage_movement(at(t=math.radians(30)))
    orientations = [client.get_stage_orientation()]
    for beam in (BeamType.ION, BeamType.ELECTRON):
        client.move_flat_to_beam(beam)
        orientations.append(client.get_stage_orientation())
    try:
        client.move_stage_absolute(at(x=5.0))
        refused = 200
    except requests.HTTPError as error:
        refused = error.response.status_code
    angle = client.get_current_milling_angle()
    client.set_milling_angle(30.0)
    client.move_to_milling_angle(math.radians(30))
    return {
        "here": here.to_dict(),
        "there": there.to_dict(),
        "by": by.x - there.x,
        "stable": [stable.y - by.y, projected.y - by.y],
        "vertical": vertical.z - stable.z,
        "orientations": orientations,
        "refused": refused,
        "still": client.get_stage_position().x,
        "angles": [angle, client.get_current_milling_angle()],
        "near": client.is_close_to_milling_angle(30.0),
    }


def beams(client: FibsemClient) -> dict[str, Any]:
    found: dict[str, Any] = {}
    client.set_microscope_state(client.get_microscope_state())
    for beam in BeamType:
        client.set_imaging_settings(client.get_imaging_settings(beam))
        client.set_beam_settings(client.get_beam_settings(beam))
        client.set_detector_settings(client.get_detector_settings(beam), beam)
        before = client.get_beam_settings(beam)
        found[beam.name] = {
            "system": client.get_beam_system_settings(beam).column_tilt,
            "current": client.set_beam_current(90e-12, beam),
            "voltage": client.set_beam_voltage(5e3, beam),
            "field": client.set_field_of_view(80e-6, beam),
            "working_distance": client.set_working_distance(6e-3, beam),
            "dwell": client.set_dwell_time(2e-6, beam),
            "resolution": client.set_resolution((384, 256), beam),
            "rotation": client.set_scan_rotation(0.5, beam),
            "stigmation": client.set_stigmation(Point(0.1, 0.2), beam).to_dict(),
            "shift": client.set_beam_shift(Point(1e-6, -1e-6), beam).to_dict(),
            "detector": [client.set_detector_type("TLD", beam), client.get_detector_mode(beam)],
            "levels": [client.set_detector_contrast(0.4, beam), client.set_detector_brightness(0.6, beam)],
            "read": [client.get_beam_current(beam), client.get_beam_voltage(beam), client.get_field_of_view(beam)],
            "choices": {key: client.get_available_values(key, beam) for key in ("current", "voltage", "nothing")},
        }
        client.set_beam_settings(before)
        client.set_detector_brightness(0.5, beam)
        client.set_detector_contrast(0.5, beam)
    found["files"] = client.get_available_values("application_file")
    return found


def images(client: FibsemClient) -> dict[str, Any]:
    client.move_stage_absolute(at())
    first = client.acquire_image(BeamType.ELECTRON, SEEN)
    last = client.last_image(BeamType.ELECTRON)
    metadata = first.metadata
    found = {
        "shape": list(first.data.shape),
        "dtype": str(first.data.dtype),
        "pixel": metadata.pixel_size.x,
        "beam": metadata.beam_type.name,
        "z": metadata.stage_position.z,
        "same": bool((first.data == last.data).all()),
    }
    one = picture(client, BeamType.ELECTRON)
    again = picture(client, BeamType.ELECTRON)
    client.move_stage_absolute(at(x=10e-6))
    moved = picture(client, BeamType.ELECTRON)
    step = round(10e-6 / 60e-6 * 384)
    client.autocontrast(BeamType.ELECTRON)
    client.auto_focus(BeamType.ELECTRON)
    shifted = max(alike(one[:, step + d :], moved[:, : -step - d]) for d in range(-2, 3))
    return found | {"again": alike(one, again), "moved": alike(one, moved), "moved_back": shifted}


def milling(client: FibsemClient) -> dict[str, Any]:
    client.move_stage_absolute(at(t=math.radians(52)))
    before = {beam: picture(client, beam) for beam in BeamType}
    imaging = client.get_beam_current(BeamType.ION)
    client.setup_milling(FibsemMillingSettings(milling_current=2e-9, milling_voltage=30e3, hfw=80e-6))
    client.draw_patterns(
        [
            FibsemRectangleSettings(8e-6, 6e-6, 2.3e-6, 0.0, 0.0),
            FibsemLineSettings(0.0, 5e-6, -10e-6, -10e-6, 1e-7),
            FibsemCircleSettings(2e-6, 1e-7, 10e-6, 5e-6),
            FibsemPolygonSettings(np.array([[-12e-6, 0.0], [-9e-6, 0.0], [-9e-6, 3e-6]]), 1e-7),
        ]
    )
    seconds = client.estimate_milling_time()
    client.run_milling(2e-9, 30e3, asynch=True)
    states = [client.get_milling_state().name]
    for act in (client.pause_milling, client.resume_milling, client.stop_milling):
        act()
        states.append(client.get_milling_state().name)
    client.run_milling(2e-9, 30e3)
    states.append(client.get_milling_state().name)
    client.finish_milling(imaging, 30e3)
    client.clear_patterns()
    after = {beam: picture(client, beam) for beam in BeamType}
    hole = np.s_[112:144, 172:212]
    return {
        "seconds": seconds,
        "states": states,
        "current": client.get_beam_current(BeamType.ION),
        "brighter": float(after[BeamType.ION][hole].mean() / before[BeamType.ION][hole].mean()),
        "seen_by_electrons": apart(before[BeamType.ELECTRON], after[BeamType.ELECTRON]),
        "beside": float(after[BeamType.ION][:, :60].mean() / before[BeamType.ION][:, :60].mean()),
    }


if __name__ == "__main__":
    its = FibsemClient("127.0.0.1", int(sys.argv[1]))
    print(json.dumps({each.__name__: each(its) for each in (system, stage, beams, images, milling)}))
