"""The table of passes: one row an exposure, added while the beam is blanked, read back as records."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import isnan
from typing import Any

import h5py
import numpy as np

from acquisition.datafile.records import PER_SQUARE_ANGSTROM, Column, PassRecord

_MICROSECOND = timedelta(microseconds=1)
_COLUMNS: tuple[
    tuple[str, Any, str], ...
] = (  # field of PassRecord, type, unit; start counts from the entry's start_time
    ("index", "i4", ""),
    ("exposure_id", "S64", ""),
    ("start", "i8", "us"),
    ("seconds", "f8", "s"),
    ("pixels_done", "i8", ""),
    ("fluence_planned", "f8", "1/m^2"),
    ("fluence_charged", "f8", "1/m^2"),
    ("dose_before", "f8", "1/m^2"),
    ("dose_after", "f8", "1/m^2"),
    ("drift", ("f8", (2,)), "m"),
    ("drift_score", "f8", ""),
    ("live_time", "f8", "s"),
    ("real_time", "f8", "s"),
    ("fast_counts", "i8", ""),
    ("slow_counts", "i8", ""),
)
_ROW = np.dtype([(name, *(kind if isinstance(kind, tuple) else (kind,))) for name, kind, _ in _COLUMNS])
ID_BYTES = 64


def make_table(parent: h5py.Group) -> h5py.Dataset:
    """An empty table, without a filter: a filtered chunk rewritten under SWMR leaves its old copies in the file."""
    table = parent.create_dataset("table", shape=(0,), maxshape=(None,), chunks=(16,), dtype=_ROW)
    table.attrs["units"] = ", ".join(f"{name}: {unit}" for name, _, unit in _COLUMNS if unit)
    return table


def add_row(table: h5py.Dataset, record: PassRecord, started: datetime) -> None:
    """Append one exposure and flush it."""
    values = {
        **vars(record),
        "exposure_id": record.exposure_id.encode(),
        "start": (record.start - started) // _MICROSECOND,
        "drift_score": np.nan if record.drift_score is None else record.drift_score,
    }
    count = table.size
    table.resize((count + 1,))
    table[count] = np.array(tuple(values[name] for name, _, _ in _COLUMNS), _ROW)
    table.flush()


def read_rows(table: h5py.Dataset, started: datetime) -> list[PassRecord]:
    """Every exposure of the file, in the order it was made."""
    records = []
    for row in table[...]:
        values = {name: row[name].item() for name in row.dtype.names if name not in ("drift", "start", "exposure_id")}
        values["drift_score"] = None if isnan(values["drift_score"]) else values["drift_score"]
        records.append(
            PassRecord(
                **values,
                exposure_id=row["exposure_id"].decode(),
                start=started + int(row["start"]) * _MICROSECOND,
                drift=(float(row["drift"][0]), float(row["drift"][1])),
            )
        )
    return records


def dose_columns(records: list[PassRecord], started: datetime) -> dict[str, Column]:
    """The dose against time, s since the step started, in electrons per square angstrom."""
    ends = [(record.start - started).total_seconds() + record.seconds for record in records]
    fluences = {
        "cumulative_fluence": [record.dose_after for record in records],
        "fluence": [record.fluence_charged for record in records],
        "fluence_planned": [record.fluence_planned for record in records],
        "dose_before": [record.dose_before for record in records],
    }
    columns = {"time": Column(np.array(ends), "s")}
    for name, values in fluences.items():
        columns[name] = Column(np.array(values) * PER_SQUARE_ANGSTROM, "1/angstrom^2")
    return columns
