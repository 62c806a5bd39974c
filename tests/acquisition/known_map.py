"""A small map with known numbers, and the file it makes; shared by the tests of the record and of its readers."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.datafile import About, Column, DataFile, EventWriter, ImageWriter, PassRecord
from drivers.rigfile import Optics
from drivers.ticket import Frame

STARTED = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
FRAME = Frame(centre=(20e-9, -10e-9), size=(40e-9, 24e-9), pixels=(10, 6), dwell=2e-3)
REQUESTED = Frame(centre=(20e-9, -10e-9), size=(40.3e-9, 24.1e-9), pixels=(10, 6), dwell=2.1e-3)
PASSES = 4
CHANNELS = 64
DRIFT = (
    (0.0, 0.0),
    (4e-9, 0.0),
    (4e-9, -4e-9),
    (0.0, 0.0),
)  # whole pixels of 4 nm, so that sums can be said in advance
FEATURE = (3, 4)  # row, column where the bright pixel stands in the first pass


def about(**changes: object) -> About:
    """What the file says of its run; nothing is left out."""
    values: dict[str, object] = {
        "title": "EDS map of interface",
        "step": "eds_map",
        "ordinal": 4,
        "run_id": "2f1c9a54-6c1e-4a39-9f0a-6a4a5a1f0b77",
        "started": STARTED,
        "sample": "wafer-7/lamella-2",
        "atom_types": ("Li", "P", "O", "N"),
        "sample_thickness": 105e-9,
        "simulated": True,
        "recipe_name": "dose-limited-map",
        "recipe_text": "recipe: 1\nname: map within 12000 e/Å^2\n",
        "recipe_sha256": "a" * 64,
        "recipe_type": "text/x-yaml",
        "rig_name": "bench",
        "rig_text": "rig: 1\nname: bench\n",
        "requested": {"dose": 1e24, "passes": PASSES, "elements": ["P", "N", "O"]},
        "state": {"cryostat": {"stage": 98.7, "heater": True}, "eds": {"firmware": "6.09"}},
        "versions": {"cryolift": "0.1.0", "numpy": np.__version__},
        "passport_sha256": "b" * 64,
        "command_line": "cryolift run dose-limited-map",
        "optics": Optics(
            beam_energy=200e3,
            convergence=0.0214,
            probe_fwhm=0.4e-9,
            dark_field=(0.06, 0.2),
            eds_solid_angle=0.7,
            eds_elevation=0.384,
            eds_azimuth=0.785,
            eds_fwhm_mn=128.0,
        ),
        "beam_current": 51e-12,
        "beam_current_uncertainty": 0.03,
        "stage_temperature": 98.7,
    }
    return About(**{**values, **changes})  # type: ignore[arg-type]


def image_of(index: int) -> NDArray[np.uint16]:
    """The dark field of a pass: 10 everywhere, 1000 on the feature, which drifts."""
    image = np.full((6, 10), 10, np.uint16)
    image[row_and_column(index)] = 1000
    return image


def row_and_column(index: int) -> tuple[int, int]:
    """Where the feature stands in a pass."""
    dx, dy = DRIFT[index]
    return FEATURE[0] + round(dy / 4e-9), FEATURE[1] + round(dx / 4e-9)


def events_of(index: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    """Seven X-rays in channel 20 from the feature, and one in channel 5 from every pixel."""
    row, column = row_and_column(index)
    pixels = np.concatenate([np.full(7, row * 10 + column), np.arange(60)]).astype(np.uint32)
    return pixels, np.array([20] * 7 + [5] * 60, np.uint16)


def pass_record(index: int, **changes: object) -> PassRecord:
    """What a pass of the map says of itself."""
    values: dict[str, object] = {
        "index": index,
        "exposure_id": f"0004-{index:04d}",
        "start": STARTED + timedelta(seconds=1.5 * index, microseconds=3),
        "seconds": 0.12,
        "pixels_done": 60,
        "fluence_planned": 2.5e23,
        "fluence_charged": 2.6e23,
        "dose_before": 1e23 + 2.6e23 * index,
        "dose_after": 1e23 + 2.6e23 * (index + 1),
        "drift": DRIFT[index],
        "drift_score": None if index == 0 else 0.8,
        "live_time": 0.108,
        "real_time": 0.12,
        "fast_counts": 75,
        "slow_counts": 67,
    }
    return PassRecord(**{**values, **changes})  # type: ignore[arg-type]


def begin(path: Path, **changes: object) -> tuple[DataFile, ImageWriter, EventWriter]:
    """A map's file, started."""
    file = DataFile.create(path, about(**changes))
    image = file.image(
        "dark_field",
        title="Dark field",
        frame=FRAME,
        requested=REQUESTED,
        passes=PASSES,
        detector="DF",
        counts_per_electron=12.5,
    )
    events = file.events(
        frame=FRAME,
        requested=REQUESTED,
        passes=PASSES,
        channels=CHANNELS,
        ev_per_channel=10.0,
        offset_ev=-20.0,
        elements=("P", "N", "O"),
    )
    file.start()
    return file, image, events


def take_pass(file: DataFile, image: ImageWriter, events: EventWriter, index: int, **changes: object) -> None:
    """One pass, whose pixels come in runs that do not end with rows."""
    flat = image_of(index).ravel()
    for first, last in ((0, 13), (13, 14), (14, 60)):
        image.write(index, first, flat[first:last])
    events.append(index, *events_of(index))
    file.temperature(1.5 * index, 98.0 + index)
    file.pass_done(pass_record(index, **changes))


def write_map(path: Path) -> Path:
    """The whole map, finished, with a line and a table made of it."""
    file, image, events = begin(path)
    with file:
        for index in range(PASSES):
            take_pass(file, image, events, index)
        position = np.arange(5) * 4e-9
        file.spectrum_line(
            "across",
            title="EDS line across the interface",
            positions=position,
            spectra=np.arange(5 * CHANNELS, dtype=np.uint32).reshape(5, CHANNELS),
            ev_per_channel=10.0,
            offset_ev=-20.0,
            elements=("P", "N", "O"),
            live_time=0.4,
            real_time=0.5,
            frame=FRAME,
        )
        nitrogen = Column(np.array([0.0, 1.0, 4.0, 9.0, 16.0]), "", errors=np.array([1.0, 1.0, 2.0, 3.0, 4.0]))
        file.table("profile", {"position": Column(position * 1e9, "nm"), "N": nitrogen, "P": nitrogen}, title="Profile")
        file.finish(
            status="complete", ended=STARTED + timedelta(seconds=9), results={"counts": {"N": 30}, "width_nm": None}
        )
    return path


if __name__ == "__main__":
    write_map(Path(sys.argv[1]))
