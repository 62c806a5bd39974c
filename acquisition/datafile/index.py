"""run.nxs: the index of a run, with links to the records that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from acquisition.datafile.disk import reworked
from acquisition.datafile.places import SCHEMA, as_json
from acquisition.datafile.tags import field, group, note

_TEXT = h5py.string_dtype("utf-8")


def write_index(
    run_folder: Path,
    *,
    run: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    dose: Sequence[Mapping[str, Any]],
    recipe_text: str,
    results: Mapping[str, Any],
) -> Path:
    """Write RUN/run.nxs anew from what exists, in one go, and return its path.

    run: what the run is (JSON).  steps, dose: rows of the step log and of the ledger; their keys become columns.  Each
    file in data/ becomes a link of its name to that file's entry, so that a viewer finds everything.
    Raises DataFileError.
    """
    path = run_folder / "run.nxs"
    with reworked(path, doing="write the index", anew=True) as file:
        creator, version = SCHEMA
        file.attrs.update({"NX_class": "NXroot", "default": "run", "file_name": path.name})
        file.attrs.update({"creator": creator, "creator_version": version})
        entry = group(file, "run", "NXentry")
        field(entry, "title", str(run.get("title", run_folder.name)))
        note(entry, "note_recipe", recipe_text, kind="text/plain", file_name="recipe")
        note(entry, "note_run", as_json(run), kind="application/json", file_name="run.json")
        note(entry, "note_results", as_json(results), kind="application/json", file_name="results.json")
        _columns(group(entry, "steps", "NXcollection"), steps)
        _columns(group(entry, "dose", "NXcollection"), dose)
        for data in sorted((run_folder / "data").glob("*.nxs")):
            file[data.stem] = h5py.ExternalLink(f"data/{data.name}", "/entry")
    return path


def _columns(parent: h5py.Group, rows: Sequence[Mapping[str, Any]]) -> None:
    """One array a key: numbers as f8 (NaN where a row has none), everything else as text (JSON where it is no text)."""
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(key) for row in rows]
        if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
            parent.create_dataset(key, data=np.array([np.nan if value is None else value for value in values], "f8"))
        else:
            texts = [value if isinstance(value, str) else "" if value is None else as_json(value) for value in values]
            parent.create_dataset(key, data=np.array(texts, dtype=object), dtype=_TEXT)
