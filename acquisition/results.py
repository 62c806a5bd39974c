"""results.json: what a run found, rebuilt from its journal and the dose books alone."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acquisition.budget import Books
from acquisition.chain import Entry
from acquisition.control import State
from acquisition.inplace import put_in_place
from physics.dose import E_PER_A2

STATUS = {State.DONE: "done", State.ABORTED: "aborted", State.TORN: "torn"}


def gather(entries: Sequence[Entry], books: Books) -> dict[str, Any]:
    """The content of results.json, schema 1; units stand in the names.

    Steps add to it under `report` in their result; of two steps that report the same key the later one counts (each
    calibration by its own name), and none can say what only the journal and the books know.
    """
    run = next(e for e in entries if e["kind"] == "run")
    ends = [e for e in entries if e["kind"] == "end"]
    last = next((e for e in reversed(entries) if e["kind"] in ("end", "resumed")), run)
    reported: dict[str, Any] = {}
    for entry in entries:
        if entry["kind"] == "result":
            told = entry["result"].get("report", {})
            calibrations = reported.get("calibrations", {}) | told.get("calibrations", {})
            reported.update(told, **({"calibrations": calibrations} if calibrations else {}))
    facts = {
        "schema": 1,
        "status": last.get("status", "failed"),
        "recipe": {"name": run["recipe"], "sha256": run["recipe_sha256"]},
        "rig": {"name": run["rig"], "simulated": run["simulated"]},
        "rig_seconds": round(max((e["t"] for e in entries if "t" in e), default=0.0), 3),
        "wall_seconds": round(sum(e["wall_seconds"] for e in ends), 3),
        "dose": {"areas": dose_of_areas(books)},
    }
    return facts | {key: found for key, found in reported.items() if key not in facts}


def dose_of_areas(books: Books) -> list[dict[str, Any]]:
    """Budget and dose of every area, e/A^2, upper bounds as the ledger charges them."""
    rows = []
    for area in books.areas:
        highest, mean = books.spent(area.name)
        rows.append(
            {
                "name": area.name,
                "budget_e_per_A2": round(area.limit / E_PER_A2, 4),
                "spent_max_e_per_A2": round(highest / E_PER_A2, 4),
                "spent_mean_e_per_A2": round(mean / E_PER_A2, 4),
            }
        )
    return rows


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all; raises OSError."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    put_in_place(part, path)
