"""Looks whether everything is in place: versions, which code runs, and whether each device of a rig answers."""

from __future__ import annotations

import platform
from pathlib import Path

from rich.console import Console

import protocols
from drivers.clock import Clock, RealClock, VirtualClock
from drivers.errors import Refused, RigError
from drivers.links import AbortFlag
from protocols.bench import versions
from protocols.kinds import known_kinds
from protocols.rig import Rig, open_rig
from protocols.rigtext import RigFileError, RigText, network_findings, unattended_findings

LET_GO = (
    "scan: the line is closed now, and with it the scan box lets go of the blanker: the beam may be ON, and the rig "
    "file names no `blank_channel` that holds it off. Blank at the column, or close its valve, NOW; then name what "
    "does so as `blank_channel:`."
)


def examine(rig: RigText, console: Console, *, only_safe: bool = False, record: Path | None = None) -> bool:
    """Open every device that answers, make it safe, and print what was found; False when one does not answer.

    only_safe: say nothing but what was made safe and what did not answer.  record: a folder for a transcript of
    every link.
    """
    if record is not None:
        record.mkdir(parents=True)
    if not only_safe:
        console.print(f"{platform.platform()}, code in {Path(protocols.__file__).resolve().parent.parent}")
        console.print(", ".join(f"{name} {version}" for name, version in versions().items()))
        _tell_of_third_parties(console)
    for warning in network_findings(rig):
        console.print(f"warning: {warning}", markup=False)
    clock: Clock = VirtualClock() if rig.model.simulated else RealClock(rig.model.clock.speed)
    missing: list[str] = []

    def tell_missing(name: str, error: RigError) -> None:
        missing.append(name)
        console.print(str(error), markup=False)

    try:
        opened = open_rig(
            rig,
            clock=clock,
            abort=AbortFlag(),
            wait=clock.sleep,
            latched=lambda: False,
            seed=0,
            sample=None,
            record=record,
            missing=tell_missing,
        )
    except (Refused, RigFileError) as error:  # no line was opened
        console.print(str(error), markup=False)
        return False
    try:
        if not only_safe:
            _tell(opened, console, missing)
        tried = opened.make_safe()
        for attempt in tried:
            console.print(attempt.said, markup=False)
    finally:
        opened.close()
        for broken in filter(None, (tap.broken for tap in opened.taps)):
            console.print(f"recording: {broken}", markup=False)
        if missing:
            many = f"{len(missing)} of {len(rig.model.devices)} devices"
            console.print(f"{many} did not answer as they should: {', '.join(missing)}")
        if "scan" in opened.devices and unattended_findings(rig):
            console.print(LET_GO, markup=False)
    return not missing and all(attempt.safe for attempt in tried)


def _tell_of_third_parties(console: Console) -> None:
    kinds = known_kinds()
    for offer in kinds.offers:
        console.print(f"driver of a third party: {kinds.fault(offer) or offer}", markup=False)


def _tell(rig: Rig, console: Console, missing: list[str]) -> None:
    for name, device in rig.devices.items():
        if name in missing:
            continue
        try:
            facts = ", ".join(f"{key} {value}" for key, value in device.status().items())
        except RigError as error:  # the others are to be heard all the same
            missing.append(name)
            console.print(str(error.at(name, "status")), markup=False)
        else:
            console.print(f"{name}: {facts}", markup=False)
    calibrations = rig.file.calibrations
    for name, calibration in (("beam current", calibrations.beam_current), ("scan scale", calibrations.scan_scale)):
        if stale := rig.stale(calibration):
            console.print(f"{name}: {stale}; no exposure will be allowed")
