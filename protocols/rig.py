"""Composition, in one place: reads the rig file, makes links (a `sim:` link makes the world), hands them to drivers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from pydantic import BaseModel, ValidationError

from acquisition.engine import Attempt
from drivers import cryostat, eds, scan
from drivers.clock import Clock
from drivers.cryostat import Cryostat
from drivers.cryostat_settings import CryostatSettings
from drivers.eds import Eds
from drivers.errors import RigError
from drivers.interlocks import Interlocks, RigState
from drivers.limits import Limits, Range
from drivers.links import AbortFlag, Link, MemoryLink, Peer, Wait
from drivers.links.address import open_link
from drivers.rigfile import Calibration, DeviceEntry, RigFile, Wire
from drivers.scan import Scan
from drivers.scan_settings import ScanSettings
from physics.units import show
from protocols import riglock
from protocols.yamlfile import Located, Place, YamlError, read_yaml, text_of
from simulators.cryostat_server import CryostatServer
from simulators.eds_server import EdsServer
from simulators.sample import SampleError, load_sample, sample_file
from simulators.scan_server import ScanServer
from simulators.world import World


@dataclass(frozen=True)
class Kind:
    """A driver a rig file may name: its class, the limits that follow from its settings, and the box's simulation.

    output, input: the sockets for trigger cables on the box; a driver with an input is given INPUT_latency, s, of the
    one cable that must end there.
    """

    driver: type[Cryostat] | type[Scan] | type[Eds]
    ranges: Callable[[Any], dict[str, Range]]
    server: Callable[[World], Peer]
    output: str | None = None
    input: str | None = None


KINDS = {
    "lakeshore": Kind(Cryostat, cryostat.ranges, CryostatServer),
    "open-beam-interface": Kind(Scan, scan.ranges, ScanServer, output="unblanked"),
    "amptek-dp5": Kind(Eds, eds.ranges, EdsServer, input="sync"),
}
D = TypeVar("D", Cryostat, Scan, Eds)
S = TypeVar("S", bound=BaseModel)


class RigFileError(Exception):
    """The rig file cannot be used; says where and what."""


@dataclass(frozen=True)
class RigText:
    """A rig file as read: its model, its text for the record, and where things stand in it."""

    model: RigFile
    text: str
    name: str
    located: Located


@dataclass
class Rig:
    """An open rig: every device answered and is in a known state."""

    file: RigFile
    text: str
    clock: Clock
    abort: AbortFlag
    interlocks: Interlocks
    world: World | None
    opened: float
    links: list[Link] = field(default_factory=list)
    devices: dict[str, Cryostat | Scan | Eds] = field(default_factory=dict)
    lock: FileLock | None = None  # of a real rig, which is open in one process at a time

    @property
    def cryostat(self) -> Cryostat:
        """The stage's temperature."""
        return self._device("cryostat", Cryostat)

    @property
    def scan(self) -> Scan:
        """The scan generator with its detectors and blanker."""
        return self._device("scan", Scan)

    @property
    def eds(self) -> Eds:
        """The X-ray pulse processor."""
        return self._device("eds", Eds)

    def status(self) -> dict[str, dict[str, Any]]:
        """What every device says of itself, for the record."""
        return {name: dict(device.status()) for name, device in self.devices.items()}

    def blank(self) -> None:
        """Close the beam now; raises what the scan raises."""
        if "scan" in self.devices:
            self.scan.make_safe()

    def make_safe(self) -> list[Attempt]:
        """Blank, stop, heater off, on every device, whatever happened before; never raises, says what was tried."""
        tried: list[Attempt] = []
        with self.abort.ignored():
            for name, device in self.devices.items():  # in the order they were opened: the beam first
                try:
                    device.make_safe()
                    tried.append(Attempt(f"{name}: safe", safe=True))
                except Exception as error:  # one device that fails must not keep the others from being made safe
                    tried.append(Attempt(f"{name}: FAILED: {error}", safe=False))
        return tried

    def close(self) -> None:
        """Close every link, the beam's last: a scan box that loses its line lets go of the blanker."""
        for link in reversed(self.links):
            link.close()
        if self.lock is not None:
            self.lock.release()

    def stale(self, calibration: Calibration) -> str:
        """How old a calibration is and how old it may be, when it must not be counted with; "" while it is valid."""
        if isinstance(calibration.taken, datetime):
            age = (self.clock.utc() - calibration.taken).total_seconds()
        else:
            age = self.clock.now() - self.opened
        if 0.0 <= age <= calibration.valid_for:
            return ""
        hours = show(round(abs(age), -1), "h")
        when = f"measured {hours} ago" if age > 0.0 else f"dated {hours} after now"
        return f"{when}, valid for {show(calibration.valid_for, 'h')}"

    def _device(self, name: str, kind: type[D]) -> D:
        device = self.devices.get(name)
        if not isinstance(device, kind):
            raise RigFileError(f'rig "{self.file.name}" has no {name}; add one under `devices:`')
        return device


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
        rig = RigText(RigFile.model_validate(located.content, context={"typed": True}), text, name, located)
    except YamlError as error:
        raise RigFileError(f"rig {name} {error}") from None
    except ValidationError as error:
        raise RigFileError("\n".join(f"rig {name} {line}" for line in _plain(error, located, ()))) from None
    for device, entry in rig.model.devices.items():
        _settings(rig, device, entry, _kind(rig, device, entry).driver.Settings)
    for number, wire in enumerate(rig.model.wiring):
        _see_socket(rig, ("wiring", number, "from"), wire.source, lambda kind: kind.output)
        _see_socket(rig, ("wiring", number, "to"), wire.to, lambda kind: kind.input)
    for device, entry in rig.model.devices.items():
        _see_wired(rig, device, _kind(rig, device, entry).input)
    return rig


def shipped_rigs() -> list[str]:
    """Names of the rigs that come with the program."""
    return sorted(path.stem for path in Path(str(files("protocols") / "rigs")).glob("*.yaml"))


def open_rig(
    rig: RigText,
    *,
    clock: Clock,
    abort: AbortFlag,
    wait: Wait,
    latched: Callable[[], bool],
    seed: int,
    sample: Path | None,
    remembered: Path | None = None,
) -> Rig:
    """Open every device or none; raises RigFileError and what a device raises when it does not answer as it should.

    A real rig is held for this process until it is closed; raises Refused while another process has it.

    wait: the control wait.  latched: true while a tripped interlock waits for a person.  seed, sample: of the world
    behind `sim:` links.  remembered: where an earlier process left that world; it goes on from there.
    """
    world = _world(rig, clock, seed, sample) if rig.model.simulation is not None else None
    if world is not None and remembered is not None and remembered.exists():
        world.load(remembered)
    calibrations = rig.model.calibrations
    states = {
        RigState.LATCHED: lambda: "latched" if latched() else "",
        RigState.CURRENT_STALE: lambda: opened.stale(calibrations.beam_current),
        RigState.SCALE_STALE: lambda: opened.stale(calibrations.scan_scale),
    }
    opened: Rig = Rig(rig.model, rig.text, clock, abort, Interlocks(states), world, clock.now())
    if not rig.model.simulated:
        opened.lock = riglock.take(rig.model.name, clock)

    def between_transactions(seconds: float) -> None:
        busy = [link.name for link in opened.links if link.in_transaction]
        if busy:
            raise RuntimeError(f"a control wait inside a transaction with {', '.join(busy)}")
        wait(seconds)

    try:
        for name, entry in sorted(rig.model.devices.items(), key=_beam_first):
            _open_device(rig, name, entry, opened, between_transactions)
    except BaseException:
        opened.make_safe()
        opened.close()
        raise
    return opened


def unattended_findings(rig: RigText) -> list[str]:
    """What speaks against leaving this rig alone with a run, in words; nothing speaks against a simulated one."""
    if rig.model.simulated or (rig.model.blank_channel or "").strip():
        return []
    return ["declares no independent blank channel, so it may not run unattended (`blank_channel:`)."]


def scan_settings(rig: RigText) -> ScanSettings:
    """The settings of the rig's scan box; raises RigFileError when it has none."""
    return _settings_of(rig, Scan, ScanSettings)


def cryostat_settings(rig: RigText) -> CryostatSettings:
    """The settings of the rig's cryostat; raises RigFileError when it has none."""
    return _settings_of(rig, Cryostat, CryostatSettings)


def limits_of(rig: RigText, driver: type[Scan] | type[Cryostat]) -> Limits:
    """What the rig allows its scan box or its cryostat; raises RigFileError when it has none."""
    name, entry = _entry_of(rig, driver)
    return _limits(rig, name, KINDS[entry.driver], _settings(rig, name, entry, driver.Settings))


def _settings_of(rig: RigText, driver: type, model: type[S]) -> S:
    name, entry = _entry_of(rig, driver)
    return _settings(rig, name, entry, model)


def _entry_of(rig: RigText, driver: type) -> tuple[str, DeviceEntry]:
    for name, entry in rig.model.devices.items():
        if entry.driver in KINDS and KINDS[entry.driver].driver is driver:
            return name, entry
    raise RigFileError(f"rig {rig.name}: has no {driver.__name__.lower()}; add one under `devices:`")


def _beam_first(item: tuple[str, DeviceEntry]) -> bool:
    """Sorts what holds the beam blanked before everything else: until it is opened the beam may be on."""
    kind = KINDS.get(item[1].driver)
    return kind is None or kind.driver is not Scan


def see_sample(path: Path) -> None:
    """See that a sample file can be used; raises RigFileError with its line."""
    try:
        load_sample(path)
    except SampleError as error:
        raise RigFileError(str(error)) from None


def sample_behind(rig: RigText, sample: Path | None) -> Path | None:
    """The sample file behind `sim:` links; None for a real rig, and for a file that opening the rig will not find."""
    if rig.model.simulation is None:
        return None
    try:
        return sample_file(sample or rig.model.simulation.sample)
    except SampleError:
        return None


def _world(rig: RigText, clock: Clock, seed: int, sample: Path | None) -> World:
    simulation = rig.model.simulation
    assert simulation is not None
    try:
        body = load_sample(sample or simulation.sample)
    except SampleError as error:
        where = f"rig {rig.name} {rig.located.at(('simulation', 'sample'))}: " if sample is None else ""
        raise RigFileError(f"{where}{error}") from None
    return World(
        body,
        seed=seed,
        clock=clock,
        optics=rig.model.optics,
        beam_current=rig.model.calibrations.beam_current.value,
        hidden_errors=simulation.hidden_errors,
        full_field=scan_settings(rig).full_field,
        wiring=rig.model.wiring,
    )


def _open_device(rig: RigText, name: str, entry: DeviceEntry, opened: Rig, wait: Wait) -> None:
    kind = _kind(rig, name, entry)
    settings: Any = _settings(rig, name, entry, kind.driver.Settings)
    limits = _limits(rig, name, kind, settings)
    link = _link(name, entry, kind, opened)
    opened.links.append(link)
    latency: dict[str, Any] = (
        {f"{kind.input}_latency": wire.latency for wire in _wires_to(rig, f"{name}.{kind.input}")} if kind.input else {}
    )
    device = kind.driver(link, settings, limits=limits, guard=opened.interlocks.guard, wait=wait, name=name, **latency)
    opened.devices[name] = device  # one that fails to open is made safe with the others
    try:
        device.open()
    except RigError as error:
        raise error.at(name, "open") from None


def _limits(rig: RigText, name: str, kind: Kind, settings: Any) -> Limits:
    """The limits of a device, each with its line in the rig file."""

    def where(quantity: str) -> str:
        return f"{rig.name} {rig.located.at(('devices', name, 'settings', 'limits', quantity))}"

    return Limits({quantity: replace(r, where=where(quantity)) for quantity, r in kind.ranges(settings).items()})


def _kind(rig: RigText, name: str, entry: DeviceEntry) -> Kind:
    if entry.driver not in KINDS:
        where = rig.located.at(("devices", name, "driver"))
        raise RigFileError(f'rig {rig.name} {where}: there is no driver "{entry.driver}". Drivers: {", ".join(KINDS)}.')
    return KINDS[entry.driver]


def _see_socket(rig: RigText, place: Place, end: str, socket: Callable[[Kind], str | None]) -> None:
    device, _, named = end.partition(".")
    if named != (has := socket(_kind(rig, device, rig.model.devices[device]))):
        known = f"there is {device}.{has}" if has else f"{device} has none"
        direction = "output" if place[-1] == "from" else "input"
        raise RigFileError(f'rig {rig.name} {rig.located.at(place)}: "{end}" is no trigger {direction}; {known}')


def _see_wired(rig: RigText, device: str, socket: str | None) -> None:
    """See that exactly one cable ends at a trigger input: its latency is part of every time that the box tells."""
    if socket is not None and (ends := len(_wires_to(rig, f"{device}.{socket}"))) != 1:
        raise RigFileError(
            f"rig {rig.name} {rig.located.at(('devices', device))}: {ends or 'no'} trigger cables end at "
            f"{device}.{socket}, which needs one: nothing that {device} sees would have a known place in the frame. "
            f"Write it under `wiring:`, such as {{from: scan.unblanked, to: {device}.{socket}, latency: 200 ns}}."
        )


def _wires_to(rig: RigText, end: str) -> list[Wire]:
    return [wire for wire in rig.model.wiring if wire.to == end]


def _settings(rig: RigText, name: str, entry: DeviceEntry, model: type[S]) -> S:
    try:
        return model.model_validate(entry.settings, context={"typed": True})
    except ValidationError as error:
        lines = _plain(error, rig.located, ("devices", name, "settings"))
        raise RigFileError("\n".join(f"rig {rig.name} {line}" for line in lines)) from None


def _plain(error: ValidationError, located: Located, prefix: Place) -> list[str]:
    """`line L, column C: KEY: what` for each fault."""
    lines = []
    for problem in error.errors():
        place = (*problem["loc"], *getattr(problem.get("ctx", {}).get("error"), "at", ()))
        key = f"{'.'.join(map(str, place))}: " if place else ""
        lines.append(f"{located.at((*prefix, *place))}: {key}{problem['msg'].removeprefix('Value error, ')}")
    return lines


def _link(name: str, entry: DeviceEntry, kind: Kind, opened: Rig) -> Link:
    if not entry.link.startswith("sim:"):
        return open_link(name, entry.link, opened.clock, opened.abort)
    assert opened.world is not None
    return MemoryLink(name, kind.server(opened.world), opened.clock, opened.abort)
