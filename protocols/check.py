"""The dry run: plans every dose and every minute, then does the recipe on a simulated rig, and writes what it found."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment

from acquisition.datafile import DataFileError
from acquisition.engine import RecipeDiverged, TornStep
from acquisition.results import write_json
from drivers.errors import RigError
from physics.units import UnitError
from protocols.display import Display, duration
from protocols.outlook import StepError
from protocols.plan import Finding, summary
from protocols.runner import Job, RunError, begin, carry_out, look

CANNOT = (
    "whether the instrument's numbers are as calibrated: the dose is planned at the upper bound of the rig file's "
    "uncertainties",
    "whether the sample looks like the simulated one",
)


@dataclass(frozen=True)
class Report:
    """What a check found; empty findings mean the recipe may run."""

    findings: list[Finding]
    content: dict[str, Any]


def check(job: Job, display: Display) -> Report:
    """Plan the job, rehearse it on a simulated rig in a folder that is thrown away, write check.json and check.html."""
    plans, findings, books = look(job)
    content: dict[str, Any] = {
        "schema": 1,
        "recipe": {"name": job.recipe.heading.name, "sha256": job.recipe.sha256},
        "rig": {"name": job.rig.model.name, "simulated": job.rig.model.simulated},
        **summary(plans, findings, books),
    }
    if not findings and job.rig.model.simulated:
        content["rehearsal"], problem = _rehearse(job, display)
        findings += [problem] if problem is not None else []
    if not job.rig.model.simulated and job.rig.model.blank_channel is None:
        findings.append(
            Finding(0, "rig", "declares no independent blank channel, so it may not run unattended (`blank_channel:`).")
        )
    content["findings"] = [{"step": f.step, "do": f.do, "what": f.what} for f in findings]
    content["verdict"] = "rejected" if findings else "clean"
    content["not_checked"] = list(CANNOT)
    job.folder.mkdir(parents=True, exist_ok=True)
    write_json(job.folder / "check.json", content)
    (job.folder / "check.html").write_text(_page(content), encoding="utf-8")
    return Report(findings, content)


def _rehearse(job: Job, display: Display) -> tuple[dict[str, Any], Finding | None]:
    with tempfile.TemporaryDirectory(prefix="cryolift-check-") as folder:
        rehearsal = replace(job, folder=Path(folder) / "run")
        begin(rehearsal)
        try:
            with display:
                carry_out(rehearsal, display.watching())
        except (RigError, StepError, RunError, UnitError, DataFileError, RecipeDiverged, TornStep) as error:
            return {"status": "failed"}, Finding(0, "rehearsal", str(error))
        return _outcome(rehearsal.folder), None


def _outcome(folder: Path) -> dict[str, Any]:
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "status": results["status"],
        "rig_seconds": results["rig_seconds"],
        "wall_seconds": results["wall_seconds"],
        "dose": results["dose"],
        "bytes": size,
    }


def _page(content: dict[str, Any]) -> str:
    template = (files("protocols") / "check.html").read_text(encoding="utf-8")
    return Environment(autoescape=True).from_string(template).render(check=content, duration=duration)
