"""The simulated boxes of a rig on real ports: one world behind them, its time as fast as the operator likes."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Serving:
    """A rig that is being served: each device's address, those of HTTP devices from outside, and the world behind."""

    addresses: Mapping[str, str]
    outside: Mapping[str, str]
    world: Any
    ports: Served


def serve_rig(rig: RigText, wanted: Wanted, console: Console) -> None:
    """Serve every device of a simulated rig until Ctrl-C; the files are written when all of them listen.

    Raises RigFileError for a rig that is not simulated, OSError for a port or a file that cannot be had.
    """
    for file in (wanted.addresses, wanted.rig_file):
        if file is not None:
            file.parent.stat()  # before anything is served
            file.unlink(missing_ok=True)  # of an earlier time: nobody is to take it for this one's
    with serving(rig, wanted) as now:
        _tell(rig, wanted, now, console)
        if wanted.rig_file is not None:
            _put(wanted.rig_file, served_rig(rig, now.addresses, wanted.speed))
        if wanted.addresses is not None:
            _put(wanted.addresses, json.dumps(dict(now.addresses), indent=2) + "\n")
        with suppress(KeyboardInterrupt):
            while True:
                now.ports.wait(LOOK)
    console.print("stopped; the sample that was served is no more")


@contextmanager
def serving(rig: RigText, wanted: Wanted) -> Iterator[Serving]:
    """Serve every device of a simulated rig until the block ends; raises as `serve_rig` does."""
    if not rig.model.simulated:
        raise RigFileError(f"rig {rig.name}: only simulated boxes can be served; give every device its sim: link.")
    if wanted.host is not None and not any(rig.kind(name).port == "http" for name in rig.model.devices):
        raise RigFileError(f"rig {rig.name}: has no HTTP device, and no other is ever reached from outside.")
    clock = PacedClock(wanted.speed)
    world = make_world(rig, clock, wanted.seed, wanted.sample)
    boxes = simulated_boxes(rig, world, served=True)
    devices = rig.model.devices
    with serve(clock, _ports(rig, boxes, wanted), tick=world.catch_up) as ports:
        addresses = {name: ports[entry.link] for name, entry in devices.items()}
        for name, entry in devices.items():
            if rig.kind(name).stream:
                addresses[name] += f"?stream={ports[_stream(entry.link)]}"
        outside = {name: ports[at] for name, entry in devices.items() if (at := _outside(entry.link)) in ports}
        yield Serving(addresses, outside, world, ports)


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
    _date(content, VirtualClock().utc().isoformat(timespec="seconds"))
    if speed != 1.0:
        content["clock"] = {"speed": speed}
    text = StringIO()
    yaml.dump(content, text)
    read_rig(text.getvalue(), f"{rig.name}, served")
    return text.getvalue()


def _date(content: Any, today: str) -> None:
    """Give every calibration that is taken at opening a date."""
    if isinstance(content, dict):
        if content.get("taken") == "at opening":
            content["taken"] = today
        for part in content.values():
            _date(part, today)


def _ports(rig: RigText, boxes: Mapping[str, Any], wanted: Wanted) -> dict[str, Port]:
    """By the link's text; what is pushed besides, and what is reached from outside, has names of its own."""
    ports: dict[str, Port] = {}
    for name, entry in rig.model.devices.items():
        kind, box = rig.kind(name), boxes[entry.link]
        ports[entry.link] = Port(box, kind.port)
        if kind.stream:
            ports[_stream(entry.link)] = Port(box.stream, "stream")
        if kind.port == "http" and wanted.host is not None and wanted.token:
            ports[_outside(entry.link)] = Port(box, "http", host=wanted.host, token=wanted.token)
    return ports


def _tell(rig: RigText, wanted: Wanted, now: Serving, console: Console) -> None:
    widest = max(map(len, now.addresses))
    for name, address in now.addresses.items():
        console.print(f"{name:{widest}}  {address}  ({rig.model.devices[name].driver})", markup=False)
        if name in now.outside:
            console.print(f"{'':{widest}}  {now.outside[name]}  (from outside, with the token)", markup=False)
    sample = sample_behind(rig, wanted.sample)
    console.print(
        f"One simulated sample ({sample.stem if sample else 'none'}, seed {wanted.seed}) is behind all of them. "
        f"Its time runs {wanted.speed:g} times as fast as real time"
        + (", slower where this computer cannot keep up." if wanted.speed > 1.0 else "."),
        markup=False,
    )
    if any("unblanked" in rig.kind(name).outputs for name in now.addresses):
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
