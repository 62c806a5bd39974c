"""Reads rig files: what is wrong with one is said with its line, before anything is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from drivers.column import Column
from drivers.column_settings import ColumnSettings
from drivers.cryostat import Cryostat
from drivers.cryostat_settings import CryostatSettings
from drivers.kind import Kind
from drivers.limits import Limits
from drivers.links import AddressError, HttpAddress, parse_address
from drivers.links.address import UdpAddress
from drivers.links.http import stays_here
from drivers.needle import Needle
from drivers.rigfile import Calibration, RigFile, Wire
from drivers.scan import Scan
from drivers.scan_settings import ScanSettings
from protocols.kinds import known_kinds
from protocols.plugins import PluginError
from protocols.yamlfile import Located, Place, YamlError, read_yaml, text_of

S = TypeVar("S", bound=BaseModel)
REACHED = {
    "tcp": "tcp://HOST:PORT or serial:PORT",
    "serial": "serial:PORT or tcp://HOST:PORT",
    "udp": "udp://HOST:PORT, tcp://HOST:PORT or serial:PORT",
    "http": "http://HOST:PORT",
}
"""Addresses of a driver's box, by what it speaks through."""
AT_OPENING = "literal['at opening']"  # how pydantic names that way to write a date
WORDS = {
    "missing": "is missing",
    "extra_forbidden": "there is no such key here",
    "dict_type": "keys with values belong here, one below the other",
    "model_type": "keys with values belong here, one below the other",
}
FITS = {"sync": "unblanked", "gate": "pixel_clock"}  # which output of the scan box says what the input waits for


class RigFileError(Exception):
    """The rig file cannot be used; says where and what."""


@dataclass(frozen=True)
class RigText:
    """A rig file as read: its model, its text for the record, where things stand in it, and the drivers it names."""

    model: RigFile
    text: str
    name: str
    located: Located
    kinds: Mapping[str, Kind]

    def kind(self, device: str) -> Kind:
        """What the rig file says the device is; raises RigFileError with its line where there is no such driver."""
        driver = self.model.devices[device].driver
        where = f"rig {self.name} {self.located.at(('devices', device, 'driver'))}"
        try:
            return self.kinds[driver]
        except KeyError:
            raise RigFileError(f'{where}: there is no driver "{driver}". Drivers: {", ".join(self.kinds)}.') from None
        except PluginError as error:
            raise RigFileError(f"{where}: {error}") from None

    def settings(self, device: str, model: type[S]) -> S:
        """The settings of a device; raises RigFileError with the line of each fault."""
        try:
            return model.model_validate(self.model.devices[device].settings, context={"typed": True})
        except ValidationError as error:
            lines = _plain(error, self.located, ("devices", device, "settings"))
            raise RigFileError("\n".join(f"rig {self.name} {line}" for line in lines)) from None

    def limits(self, device: str) -> Limits:
        """The limits of a device, each with its line in the rig file."""
        kind = self.kind(device)

        def where(quantity: str) -> str:
            return f"{self.name} {self.located.at(('devices', device, 'settings', 'limits', quantity))}"

        ranges = kind.ranges(self.settings(device, kind.driver.Settings))
        return Limits({quantity: replace(range_, where=where(quantity)) for quantity, range_ in ranges.items()})

    def wires_to(self, end: str) -> list[Wire]:
        """The trigger cables that end at a socket such as "eds.sync"."""
        return [wire for wire in self.model.wiring if wire.to == end]


def load_rig(name: str) -> RigText:
    """Read a rig file by path or shipped name; raises RigFileError."""
    path = Path(str(files("protocols") / "rigs" / f"{name}.yaml"))
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        raise RigFileError(f'rig "{name}" is neither a file nor shipped. Shipped: {", ".join(shipped_rigs())}.')
    try:
        return read_rig(text_of(path), path.name)
    except YamlError as error:
        raise RigFileError(f"rig {path.name} {error}") from None


def read_rig(text: str, name: str) -> RigText:
    """Check a rig file's text; raises RigFileError with the line of each fault."""
    try:
        located = read_yaml(text)
        model = RigFile.model_validate(located.content, context={"typed": True})
    except YamlError as error:
        raise RigFileError(f"rig {name} {error}") from None
    except ValidationError as error:
        raise RigFileError("\n".join(f"rig {name} {line}" for line in _plain(error, located, ()))) from None
    rig = RigText(model, text, name, located, known_kinds())
    for device in model.devices:
        settings = rig.settings(device, rig.kind(device).driver.Settings)
        if not model.simulated:
            _see_dates(rig, settings, ("devices", device, "settings"))
    _see_names(rig)
    _see_links(rig)
    for number, wire in enumerate(model.wiring):
        _see_socket(rig, ("wiring", number, "from"), wire.source, lambda kind: kind.outputs)
        _see_socket(rig, ("wiring", number, "to"), wire.to, lambda kind: (kind.input,) if kind.input else ())
    for device in model.devices:
        _see_wired(rig, device, rig.kind(device).input)
    return rig


def shipped_rigs() -> list[str]:
    """Names of the rigs that come with the program."""
    return sorted(path.stem for path in Path(str(files("protocols") / "rigs")).glob("*.yaml"))


def unattended_findings(rig: RigText) -> list[str]:
    """What speaks against leaving this rig alone with a run, in words; nothing speaks against a simulated one."""
    if rig.model.practice or (rig.model.blank_channel or "").strip():
        return []
    return ["declares no independent blank channel, so it may not run unattended (`blank_channel:`)."]


def network_findings(rig: RigText) -> list[str]:
    """Which devices are spoken to in plain HTTP that leaves this machine, where others can overhear and forge it."""
    addresses = {name: parse_address(entry.link) for name, entry in rig.model.devices.items()}
    return [
        f"{name}: plain HTTP to {address.host} can be overheard and forged by whoever shares that network; "
        "use an SSH tunnel and a loopback address (docs/how-to/fib-sem.md)."
        for name, address in addresses.items()
        if isinstance(address, HttpAddress) and not stays_here(address.host)
    ]


def scan_settings(rig: RigText) -> ScanSettings:
    """The settings of the rig's scan box; raises RigFileError when it has none."""
    return rig.settings(_device_with(rig, Scan), ScanSettings)


def column_settings(rig: RigText) -> ColumnSettings | None:
    """The settings of the rig's column; None where it has none."""
    found = [name for name in rig.model.devices if rig.kind(name).driver is Column]
    return rig.settings(found[0], ColumnSettings) if found else None


def cryostat_settings(rig: RigText) -> CryostatSettings:
    """The settings of the rig's cryostat; raises RigFileError when it has none."""
    return rig.settings(_device_with(rig, Cryostat), CryostatSettings)


def limits_of(rig: RigText, driver: type) -> Limits:
    """What the rig allows the device with this driver; raises RigFileError when it has none."""
    return rig.limits(_device_with(rig, driver))


def has(rig: RigText, driver: type) -> bool:
    """Whether the rig has a device with this driver."""
    return any(rig.kind(name).driver is driver for name in rig.model.devices)


def _device_with(rig: RigText, driver: type) -> str:
    for name in rig.model.devices:
        if rig.kind(name).driver is driver:
            return name
    raise RigFileError(f"rig {rig.name}: has no {driver.__name__.lower()}; add one under `devices:`")


def _see_dates(rig: RigText, model: BaseModel, place: Place) -> None:
    """See that every calibration in the settings of a real device has a date."""
    for key in type(model).model_fields:
        value = getattr(model, key)
        if isinstance(value, Calibration) and value.taken == "at opening":
            at = (*place, key, "taken")
            where = f"rig {rig.name} {rig.located.at(at)}: {'.'.join(map(str, at))}"
            raise RigFileError(f"{where}: of a real rig a calibration has a date, such as 2026-05-04T09:00:00+00:00")
        if isinstance(value, BaseModel):
            _see_dates(rig, value, (*place, key))


def _see_names(rig: RigText) -> None:
    """See that each device has the name by which interlocks and steps know it, and that a needle has its stage.

    Under another name, or beside a stage that nobody called the sample's, no rule would ever refuse anything.
    """
    moving = [name for name in rig.model.devices if hasattr(rig.kind(name).driver, "move_to")]
    for name, entry in rig.model.devices.items():
        kind, where = rig.kind(name), f"rig {rig.name} {rig.located.at(('devices', name))}"
        if kind.called and name != kind.called:
            raise RigFileError(f"{where}: the device of {entry.driver} is called {kind.called}, not {name}; rename it")
        if kind.driver is Needle and entry.station != "fibsem":
            raise RigFileError(f"{where}: a needle stands at the fibsem; write `station: fibsem`")
        beside = [other for other in moving if rig.model.devices[other].station == entry.station]
        if kind.driver is Needle and beside and entry.station not in rig.model.sample_stage:
            raise RigFileError(
                f"{where}: `sample_stage:` does not say which stage carries the sample at the needle; is it "
                f"{' or '.join(beside)}?"
            )


def _see_links(rig: RigText) -> None:
    """See that every link is an address of the right sort, and that only devices of one box share one."""
    first: dict[str, str] = {}
    for name, entry in rig.model.devices.items():
        kind, where = rig.kind(name), f"rig {rig.name} {rig.located.at(('devices', name, 'link'))}"
        try:
            address = parse_address(entry.link)
        except AddressError as error:
            raise RigFileError(f"{where}: {error}") from None
        if rig.model.clock.speed != 1.0 and not stays_here(getattr(address, "host", "localhost")):
            raise RigFileError(
                f"{where}: {entry.link} is on another computer, and a clock with a speed is for simulated boxes "
                "that are served on this one; an instrument has none."
            )
        fits = isinstance(address, HttpAddress) == (kind.port == "http")
        if not rig.model.simulated and not (fits and (kind.port == "udp" or not isinstance(address, UdpAddress))):
            raise RigFileError(f"{where}: {entry.driver} is reached at {REACHED[kind.port]}, not at {entry.link}")
        if rig.model.simulated and kind.server is None:
            raise RigFileError(f"{where}: {entry.driver} has no simulation; give the whole rig real links")
        other = first.setdefault(entry.link, name)
        if other != name and (kind.port != "http" or rig.kind(other).server is not kind.server):
            raise RigFileError(f"{where}: {entry.link} is the link of {other} already, which is another box")
    for name, entry in rig.model.devices.items():
        alone = sum(other.link == entry.link for other in rig.model.devices.values()) == 1
        if rig.model.simulated and alone and entry.link != f"sim:{name}":
            where = rig.located.at(("devices", name, "link"))
            raise RigFileError(f"rig {rig.name} {where}: the simulated box of this device is sim:{name}")


def _see_socket(rig: RigText, place: Place, end: str, sockets: Callable[[Kind], tuple[str, ...]]) -> None:
    device, _, named = end.partition(".")
    if named not in (has := sockets(rig.kind(device))):
        known = f"there is {', '.join(f'{device}.{socket}' for socket in has)}" if has else f"{device} has none"
        direction = "output" if place[-1] == "from" else "input"
        raise RigFileError(f'rig {rig.name} {rig.located.at(place)}: "{end}" is no trigger {direction}; {known}')


def _see_wired(rig: RigText, device: str, socket: str | None) -> None:
    """See that exactly one cable ends at a trigger input: its latency is part of every time that the box tells."""
    if socket is not None and (ends := len(rig.wires_to(f"{device}.{socket}"))) != 1:
        raise RigFileError(
            f"rig {rig.name} {rig.located.at(('devices', device))}: {ends or 'no'} trigger cables end at "
            f"{device}.{socket}, which needs one: nothing that {device} sees would have a known place in the frame. "
            f"Write it under `wiring:`, such as "
            f"{{from: scan.{FITS.get(socket, 'unblanked')}, to: {device}.{socket}, latency: 200 ns}}."
        )


def _plain(error: ValidationError, located: Located, prefix: Place) -> list[str]:
    """`line L, column C: KEY: what` for each fault; of a device's settings with its name in front."""
    lines = []
    owner = f"{prefix[1]}: " if prefix else ""
    for problem in error.errors():
        place = (*problem["loc"], *getattr(problem.get("ctx", {}).get("error"), "at", ()))
        if AT_OPENING in place:
            continue  # the other way to write a date; what is said of the first tells of both
        key = f"{'.'.join(str(part) for part in place if part != 'datetime')}: " if place else ""
        lines.append(f"{located.at((*prefix, *place))}: {owner}{key}{_in_words(problem)}")
    return lines


def _in_words(problem: ErrorDetails) -> str:
    """What is wrong with a value, for somebody who never wrote a program."""
    sort, context = problem["type"], problem.get("ctx", {})
    if sort in ("tuple_type", "list_type"):
        return "several values belong here, in brackets; of limits [LOWEST, HIGHEST]"
    if sort == "too_long":
        found, most = context["actual_length"], context["max_length"]
        return f"{found} values instead of {most}; a decimal comma is written as a point"
    if sort == "string_type":
        return f'is a text; write "{problem["input"]}", in quotes'
    if sort.startswith(("datetime_", "timezone_")):
        return "a date needs its time and zone, such as 2026-05-04T09:00:00+00:00; on a simulated rig also `at opening`"
    return WORDS.get(sort) or problem["msg"].removeprefix("Value error, ")
