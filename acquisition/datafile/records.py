"""What a file says of its run and of each pass, and the error when it cannot be written or read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import RigError
from drivers.rigfile import Optics

PER_SQUARE_ANGSTROM = 1e-20  # fluence: 1/m^2 -> 1/angstrom^2, as people and the plots say it


class DataFileError(RigError):
    """A record could not be written or read; reads `file: what. Way out.`"""

    def __init__(self, what: str, *, where: Path, way_out: str = "") -> None:
        super().__init__(what, device=where.name, way_out=way_out)
        self.where = where


@dataclass(frozen=True)
class About:
    """What every file says of its run.

    run_id: a UUID.  started: with time zone.  sample_thickness: m.  recipe_type: "text/x-yaml" or "text/x-python".
    requested: the step's parameters, SI, JSON.  state: device status before the step, JSON.  versions: of programs, by
    name.  passport_sha256: of the sample's dose passport as the step began.  beam_current: A at the sample, with its
    relative uncertainty (bound).  stage_temperature: K.  None means: not known.
    """

    title: str
    step: str
    ordinal: int
    run_id: str
    started: datetime
    sample: str
    atom_types: tuple[str, ...]
    sample_thickness: float | None
    simulated: bool
    recipe_name: str
    recipe_text: str
    recipe_sha256: str
    recipe_type: str
    rig_name: str
    rig_text: str
    requested: dict[str, Any]
    state: dict[str, dict[str, Any]]
    versions: dict[str, str]
    passport_sha256: str
    command_line: str
    optics: Optics
    beam_current: float
    beam_current_uncertainty: float
    stage_temperature: float | None

    def __post_init__(self) -> None:
        if self.started.tzinfo is None:
            raise ValueError("About.started has no time zone")


@dataclass(frozen=True)
class PassRecord:
    """One exposure of one frame, as planned, charged and measured.

    index: which pass of the file's stacks and events it is; -1 for a frame that belongs to none (a focus frame).
    start: with time zone.  seconds: beam on.  pixels_done: visited, from the first.  fluence_planned, fluence_charged
    (upper bound): m^-2.  dose_before, dose_after: m^-2, highest in the frame, as the ledger counts.  drift: (x, y), m,
    how far the sample stands in this pass's image from where it stood in the first; drift_score: of that measurement,
    0 to 1.  live_time, real_time: s, of the EDS detector over the whole pass; live_time 0: its spectra are not valid.
    fast_counts, slow_counts: of the EDS pulse processor.
    """

    index: int
    exposure_id: str
    start: datetime
    seconds: float
    pixels_done: int
    fluence_planned: float
    fluence_charged: float
    dose_before: float
    dose_after: float
    drift: tuple[float, float] = (0.0, 0.0)
    drift_score: float | None = None
    live_time: float = 0.0
    real_time: float = 0.0
    fast_counts: int = 0
    slow_counts: int = 0


@dataclass(frozen=True)
class Column:
    """One column of a table: values (n,), their unit, their standard errors (n,) where known."""

    values: NDArray[np.float64]
    unit: str
    errors: NDArray[np.float64] | None = None
