"""The simulated boxes of a rig on real ports: one world behind them, its time as fast as the operator likes."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rich.console import Console
from ruamel.yaml import YAML

from drivers.clock import VirtualClock
from protocols.rig import make_world, sample_behind, simulated_boxes
from protocols.rigtext import RigFileError, RigText, read_rig
from simulators.serve import PacedClock, Port, Served, serve

LOOK = 0.5  # wall s between looks whether a box broke
SHORTEST_TOKEN = 16  # characters; a guess a second for a year finds no such token
BEAM = (
    "The scan box holds no beam back until its host takes the blank pins, and lets go of them when a host comes or "
    "goes, as the real one does: the dose of that is the sample's."
)


@dataclass(frozen=True)
class Wanted:
    """How a rig is to be served.

    speed: rig seconds a real second.  addresses: file for {device: address}.  rig_file: file for the rig with these
    addresses.  host, token: where HTTP boxes are to be reached from outside, too, and what a request must carry there.
    """

    seed: int = 1
    sample: Path | None = None
    speed: float = 1.0
    addresses: Path | None = None
    rig_file: Path | None = None
    host: str | None = None
    token: str | None = None


def serve_rig(rig: RigText, wanted: Wanted, console: Console) -> None:
    """Serve every device of a simulated rig until Ctrl-C; the files are written when all of them listen.

    Raises RigFileError for a rig that is not simulated, OSError for a port or a file that cannot be had.
    """
    if not rig.model.simulated:
        raise RigFileError(f"rig {rig.name}: only simulated boxes can be served; give every device its sim: link.")
    for file in (wanted.addresses, wanted.rig_file):
        if file is not None:
            file.unlink(missing_ok=True)  # of an earlier time: nobody is to take it for this one's
    clock = PacedClock(wanted.speed)
    world = make_world(rig, clock, wanted.seed, wanted.sample)
    boxes = simulated_boxes(rig, world, served=True)
    with serve(clock, _ports(rig, boxes, wanted), tick=world.catch_up) as served:
        addresses = _addresses(rig, served)
        _tell(rig, wanted, addresses, served, console)
        if wanted.rig_file is not None:
            _put(wanted.rig_file, served_rig(rig, addresses, wanted.speed))
        if wanted.addresses is not None:
            _put(wanted.addresses, json.dumps(addresses, indent=2) + "\n")
        with suppress(KeyboardInterrupt):
            while True:
                served.wait(LOOK)
    console.print("stopped; the sample that was served is no more")


def is_outside(host: str) -> bool:
    """True for a host that others can reach."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() != "localhost"


def served_rig(rig: RigText, addresses: Mapping[str, str], speed: float) -> str:
    """The text of the rig file with these addresses as links: its comments kept, its calibrations dated now."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 4096
    content = yaml.load(rig.text)
    content["name"] = f"{rig.model.name}-served"
    del content["simulation"]
    for name, entry in content["devices"].items():
        entry["link"] = addresses[name]
    for calibration in ("beam_current", "scan_scale"):
        if content["calibrations"][calibration]["taken"] == "at opening":
            content["calibrations"][calibration]["taken"] = VirtualClock().utc().isoformat(timespec="seconds")
    if speed != 1.0:
        content["clock"] = {"speed": speed}
    text = StringIO()
    yaml.dump(content, text)
    read_rig(text.getvalue(), f"{rig.name}, served")
    return text.getvalue()


def _ports(rig: RigText, boxes: Mapping[str, object], wanted: Wanted) -> dict[str, Port]:
    """By the link's text; what is pushed besides, and what is reached from outside, has names of its own."""
    ports: dict[str, Port] = {}
    for name, entry in rig.model.devices.items():
        kind, box = rig.kind(name), boxes[entry.link]
        ports[entry.link] = Port(box, kind.port)
        if kind.stream:
            ports[_stream(entry.link)] = Port(box.stream, "stream")  # type: ignore[attr-defined]
        if kind.port == "http" and wanted.host is not None and wanted.token:
            ports[_outside(entry.link)] = Port(box, "http", host=wanted.host, token=wanted.token)
    return ports


def _addresses(rig: RigText, served: Served) -> dict[str, str]:
    found = {}
    for name, entry in rig.model.devices.items():
        stream = served.get(_stream(entry.link)) if rig.kind(name).stream else None
        found[name] = served[entry.link] + (f"?stream={stream}" if stream else "")
    return found


def _tell(rig: RigText, wanted: Wanted, addresses: Mapping[str, str], served: Served, console: Console) -> None:
    widest = max(map(len, addresses))
    for name, address in addresses.items():
        entry = rig.model.devices[name]
        console.print(f"{name:{widest}}  {address}  ({entry.driver})", markup=False)
        if outside := served.get(_outside(entry.link)):
            console.print(f"{'':{widest}}  {outside}  (from outside, with the token)", markup=False)
    sample = sample_behind(rig, wanted.sample)
    console.print(
        f"One simulated sample ({sample.stem if sample else 'none'}, seed {wanted.seed}) is behind all of them. "
        f"Its time runs {wanted.speed:g} times as fast as real time"
        + (", slower where this computer cannot keep up." if wanted.speed > 1.0 else "."),
        markup=False,
    )
    if any("unblanked" in rig.kind(name).outputs for name in addresses):
        console.print(BEAM)
    if wanted.rig_file is not None:
        console.print(f"A recipe runs on it with --rig {wanted.rig_file}", markup=False)
    console.print("Ctrl-C stops.")


def _put(file: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    part = file.with_name(file.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


def _stream(link: str) -> str:
    return f"{link} stream"


def _outside(link: str) -> str:
    return f"{link} outside"
