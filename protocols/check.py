"""The dry run: plans every dose and every minute, then does the recipe on a simulated rig, and writes what it found."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from rich.console import Console

from acquisition.datafile import DataFileError
from acquisition.engine import RecipeDiverged, TornStep
from acquisition.results import write_json
from drivers.errors import Aborted, RigError
from drivers.rigfile import Pace, RigFile, Simulation
from physics.units import UnitError
from protocols.books import Preview, look
from protocols.display import Display, duration
from protocols.job import Job, RunError
from protocols.outlook import StepError
from protocols.passports import passport_path
from protocols.plan import Finding, summary
from protocols.rigtext import unattended_findings
from protocols.runner import begin, carry_out

STAND_IN = Simulation(sample="li-lipon", hidden_errors=True)  # behind a real rig's links while it is rehearsed
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


def check(job: Job, console: Console) -> Report:
    """Plan the job, rehearse it on a simulated rig in a folder that is thrown away, write check.json and check.html.

    Raises Aborted when somebody stops the rehearsal: nothing is found then.
    """
    preview = look(job)
    findings = list(preview.findings)
    content: dict[str, Any] = {
        "schema": 1,
        "recipe": {"name": job.recipe.heading.name, "sha256": job.recipe.sha256},
        "rig": {"name": job.rig.model.name, "simulated": job.rig.model.practice},
        **summary(*preview),
    }
    if not findings:
        content["rehearsal"], problem = _rehearse(job, preview, console)
        findings += [problem] if problem is not None else []
    findings += [Finding(0, "rig", said) for said in unattended_findings(job.rig)]
    content["findings"] = [{"step": f.step, "do": f.do, "what": f.what} for f in findings]
    content["verdict"] = "rejected" if findings else "clean"
    content["not_checked"] = list(CANNOT)
    job.folder.mkdir(parents=True, exist_ok=True)
    write_json(job.folder / "check.json", content)
    (job.folder / "check.html").write_text(_page(content), encoding="utf-8")
    return Report(findings, content)


def _rehearse(job: Job, preview: Preview, console: Console) -> tuple[dict[str, Any], Finding | None]:
    with tempfile.TemporaryDirectory(prefix="cryolift-check-") as folder:
        rehearsal = _stand_in(job, Path(folder) / "run")
        on = {"on": _said_of(job)}
        begin(rehearsal, preview)
        display = Display(console, rehearsal, preview.plans)
        try:
            with display:
                carry_out(rehearsal, display.watching())
        except Aborted:  # by whoever watches; it says nothing against the recipe
            raise
        except (RigError, StepError, RunError, UnitError, DataFileError, RecipeDiverged, TornStep) as error:
            return {**on, "status": "failed"}, Finding(0, "rehearsal", str(error))
        return {**on, **_outcome(rehearsal.folder)}, None


def _stand_in(job: Job, folder: Path) -> Job:
    """The job as it is rehearsed: on the same rig with simulated boxes, on a copy of the sample's passport."""
    rig = job.rig.model if job.rig.model.simulated else simulated(job.rig.model)
    sample = job.recipe.heading.sample
    passport = passport_path(job.rig.model, sample, job.folder)
    if not job.rig.model.simulated and passport.is_file():
        folder.mkdir(parents=True)
        shutil.copyfile(passport, passport_path(rig, sample, folder))
    return replace(job, folder=folder, rig=replace(job.rig, model=rig))


def simulated(rig: RigFile) -> RigFile:
    """A real rig with a simulated box behind every link, calibrated as it opens."""
    fresh = {
        name: getattr(rig.calibrations, name).model_copy(update={"taken": "at opening"})
        for name in ("beam_current", "scan_scale")
    }
    boxes: dict[str, str] = {}
    for name, entry in rig.devices.items():
        boxes.setdefault(entry.link, f"sim:{name}")  # devices on one link are one box
    devices = {
        name: entry.model_copy(update={"link": boxes[entry.link], "settings": _freshly(entry.settings)})
        for name, entry in rig.devices.items()
    }
    calibrations = rig.calibrations.model_copy(update=fresh)
    made = {"devices": devices, "calibrations": calibrations, "simulation": STAND_IN, "clock": Pace()}
    return rig.model_copy(update=made)


def _freshly(settings: Any) -> Any:
    """The settings of a device with every calibration among them taken as the rig opens."""
    if not isinstance(settings, Mapping):
        return settings
    return {key: "at opening" if key == "taken" else _freshly(value) for key, value in settings.items()}


def _said_of(job: Job) -> str:
    if job.rig.model.simulated:
        return "the simulated rig itself"
    return f"the same rig with simulated links and the shipped sample {STAND_IN.sample}, freshly calibrated"


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
