"""Composition, in one place: makes links (a `sim:` link makes the world), hands them to the drivers, opens the rig."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from acquisition.engine import Attempt
from drivers.camera import Camera
from drivers.clock import Clock
from drivers.column import Column
from drivers.cryostat import Cryostat
from drivers.eds import Eds
from drivers.errors import RigError
from drivers.interlocks import Interlocks
from drivers.kind import Device, Kind
from drivers.links import (
    HIGH_WATER,
    AbortFlag,
    HttpAddress,
    HttpLink,
    Link,
    MemoryLink,
    MemoryMessages,
    MessageLink,
    TapLink,
    TapMessages,
    Wait,
    ZmqLink,
    open_link,
    parse_address,
)
from drivers.milling import Milling
from drivers.needle import Needle
from drivers.rigfile import Calibration, DeviceEntry, RigFile
from drivers.scan import Scan
from physics.units import show
from protocols import riglock
from protocols.rigstates import states_of
from protocols.rigtext import RigFileError, RigText, scan_settings
from simulators.boxes.http import HttpPeer
from simulators.sample.file import SampleError, load_sample, sample_file
from simulators.world import World

FEWEST = 16  # messages that may wait, however large
STREAM_PORT = 31001  # where a SIMPLON detector pushes Stream V2 from, unless it is told otherwise
SAFE_FIRST: dict[type, int] = {Column: 0, Scan: 0, Milling: 0, Camera: 2, Eds: 2}  # all others are 1
ROOM = 1 << 30  # bytes of images that may wait for us: a disk that stalls all night must not fill the memory
D = TypeVar("D")


@dataclass
class Rig:
    """An open rig: every device answered and is in a known state."""

    file: RigFile
    text: str
    clock: Clock
    abort: AbortFlag
    world: World | None
    opened: float
    links: list[Link | HttpLink | MessageLink] = field(default_factory=list)
    taps: list[TapLink | TapMessages] = field(default_factory=list)
    devices: dict[str, Device] = field(default_factory=dict)
    interlocks: Interlocks = field(init=False)
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

    @property
    def camera(self) -> Camera:
        """The pixelated detector in the far field."""
        return self._device("camera", Camera)

    @property
    def column(self) -> Column:
        """The column, its blanker and its goniometer."""
        return self._device("column", Column)

    @property
    def milling(self) -> Milling:
        """Cuts with the ion beam."""
        return self._device("milling", Milling)

    @property
    def needle(self) -> Needle:
        """The lift-out needle."""
        return self._device("needle", Needle)

    def status(self) -> dict[str, dict[str, Any]]:
        """What every device says of itself, for the record."""
        return {name: dict(device.status()) for name, device in self.devices.items()}

    def blank(self) -> None:
        """Close every beam that is on now; the column closes the scan's where the box does not.

        Raises what milling and scan raise.
        """
        try:
            if "milling" in self.devices:
                self.milling.pause()
        finally:
            if "scan" in self.devices:
                self._blank_scan()

    def _blank_scan(self) -> None:
        try:
            self.scan.make_safe()
        except RigError as error:
            if "column" in self.devices:
                self.column.make_safe()
                error.add_note("the column's blanker closed instead")
            raise

    def hand_beam_to_scan(self) -> None:
        """Let go of the column's blanker where the scan box holds the beam; raises what the column raises."""
        if {"scan", "column"} <= set(self.devices):
            self.column.release()

    def take_beam_from_scan(self) -> None:
        """Blank the column and have its beam parallel, then have the scan box let go of it; raises what they raise.

        A run may pause before the scan box lets go, not after.
        """
        self.column.blank(parallel=True)
        if "scan" in self.devices:
            self.scan.let_go()

    def give_beam_back(self) -> None:
        """Have the scan box hold the beam again, and let go of the column's blanker; raises what they raise."""
        if "scan" in self.devices:
            self.scan.blank()
        self.hand_beam_to_scan()

    def make_safe(self) -> list[Attempt]:
        """Blank, stop, heater off, on every device, whatever happened before; never raises, says what was tried."""
        tried: list[Attempt] = []
        with self.abort.ignored():
            # the beams first; a line that is dead keeps the others waiting, and a camera moves and opens nothing
            for name, device in sorted(self.devices.items(), key=lambda each: SAFE_FIRST.get(type(each[1]), 1)):
                try:
                    device.make_safe()
                    tried.append(Attempt(f"{name}: safe", safe=True))
                except Exception as error:  # one device that fails must not keep the others from being made safe
                    tried.append(Attempt(f"{name}: FAILED: {error}", safe=False))
        return tried

    def close(self) -> None:
        """Blank the column, then close every link, the beam's last: a scan box without a line lets go of it.

        What cannot be closed keeps nothing else open; it is raised when all was tried.
        """
        with ExitStack() as closing:  # the last in is the first out
            if self.lock is not None:
                closing.callback(self.lock.release)
            for link in self.links:
                closing.callback(link.close)
            if "column" in self.devices:
                with suppress(RigError), self.abort.ignored():  # a line that is gone cannot be asked
                    self.column.blank()

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
    record: Path | None = None,
    missing: Callable[[str, RigError], None] | None = None,
) -> Rig:
    """Open every device or none; raises RigFileError and what a device raises when it does not answer as it should.

    A real rig is held for this process until it is closed; raises Refused while another process has it.

    wait: the control wait.  latched: true while a tripped interlock waits for a person.  seed, sample: of the world
    behind `sim:` links.  remembered: where an earlier process left that world; it goes on from there.
    record: a folder in which what passes every link is written down.  missing: is told of each device that does not
    open and why, and the others open all the same: to look at a rig and to make it safe, never to use it.
    """
    world = make_world(rig, clock, seed, sample) if rig.model.simulation is not None else None
    if world is not None and remembered is not None and remembered.exists():
        world.load(remembered)
    roles = {stage: f"sample_stage@{station}" for station, stage in rig.model.sample_stage.items()}
    opened = Rig(rig.model, rig.text, clock, abort, world, clock.now())
    opened.interlocks = Interlocks(states_of(opened, latched), roles=roles)
    if not rig.model.simulated:
        opened.lock = riglock.take(rig.model.name, clock)

    def between_transactions(seconds: float) -> None:
        busy = [link.name for link in opened.links if link.in_transaction]
        if busy:
            raise RuntimeError(f"a control wait inside a transaction with {', '.join(busy)}")
        wait(seconds)

    try:
        lines = _Lines(opened, simulated_boxes(rig, world) if world is not None else {}, record)
        for name in _beam_first(rig):
            try:
                _open_device(rig, name, rig.model.devices[name], opened, lines, between_transactions)
            except RigError as error:
                error.at(name, "open")
                if missing is None:
                    raise
                missing(name, error)
        if missing is None:  # who only looks, or makes safe, lets go of nothing
            opened.hand_beam_to_scan()
    except BaseException:
        opened.make_safe()
        opened.close()
        raise
    return opened


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


def make_world(rig: RigText, clock: Clock, seed: int, sample: Path | None) -> World:
    """The world behind the `sim:` links of a rig; raises RigFileError for a sample file that cannot be used."""
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


def simulated_boxes(rig: RigText, world: World, *, served: bool = False) -> dict[str, Any]:
    """The simulated box behind each link of a simulated rig, by the link's text; devices on one link share one.

    served: as they are behind real ports.
    """
    boxes: dict[str, Any] = {}
    for name, entry in rig.model.devices.items():
        kind = rig.kind(name)
        server = (served and kind.served) or kind.server
        if entry.link not in boxes and server is not None:
            boxes[entry.link] = server(world)
    return boxes


class _Lines:
    """The links of a rig that is being opened: one a box, however many devices share it."""

    def __init__(self, opened: Rig, boxes: Mapping[str, Any], record: Path | None) -> None:
        self._opened = opened
        self._boxes = boxes
        self._record = record
        self._made: dict[str, Link | HttpLink] = {}

    def to(self, name: str, entry: DeviceEntry, kind: Kind) -> Link | HttpLink:
        """The link to a device's box, opened where it is not."""
        if entry.link not in self._made:
            line = self._bytes(name, entry, kind)
            if self._record is not None:
                line = TapLink(line, self._record / f"{name}.txt")
                self._opened.taps.append(line)
            address = parse_address(entry.link)
            host = address.host if isinstance(address, HttpAddress) else "localhost"
            self._made[entry.link] = HttpLink(line, host) if kind.port == "http" else line
            self._opened.links.append(self._made[entry.link])
        return self._made[entry.link]

    def stream(self, name: str, entry: DeviceEntry, largest: int) -> MessageLink:
        """The link that a device's box pushes messages through, of `largest` bytes at most."""
        opened, address = self._opened, parse_address(entry.link)
        if isinstance(address, HttpAddress):
            place = address.stream or f"tcp://{address.host}:{STREAM_PORT}"
            stream: MessageLink = ZmqLink(
                name, place, opened.clock, opened.abort, high_water=max(min(ROOM // largest, HIGH_WATER), FEWEST)
            )
        else:
            stream = MemoryMessages(name, self._boxes[entry.link].stream, opened.clock, opened.abort)
        if self._record is not None:
            stream = TapMessages(stream, self._record / f"{name}-stream.txt")
            opened.taps.append(stream)
        opened.links.append(stream)
        return stream

    def _bytes(self, name: str, entry: DeviceEntry, kind: Kind) -> Link:
        opened = self._opened
        if not entry.link.startswith("sim:"):
            return open_link(name, entry.link, opened.clock, opened.abort)
        box = self._boxes[entry.link]
        peer = HttpPeer(box, opened.clock) if kind.port == "http" else box
        return MemoryLink(name, peer, opened.clock, opened.abort)


def _open_device(rig: RigText, name: str, entry: DeviceEntry, opened: Rig, lines: _Lines, wait: Wait) -> None:
    kind = rig.kind(name)
    link = lines.to(name, entry, kind)
    settings = rig.settings(name, kind.driver.Settings)
    more: dict[str, Any] = {}
    if kind.stream:
        more["stream"] = lines.stream(name, entry, getattr(settings, "largest_image", ROOM // HIGH_WATER))
    if kind.input:
        [wire] = rig.wires_to(f"{name}.{kind.input}")
        more[f"{kind.input}_latency"] = wire.latency
    more |= {number: getattr(rig.model.optics, number) for number in kind.optics}
    guard = opened.interlocks.guard
    device = kind.driver(link, settings, limits=rig.limits(name), guard=guard, wait=wait, name=name, **more)
    opened.devices[name] = device  # one that fails to open is made safe with the others
    device.open()


def _beam_first(rig: RigText) -> list[str]:
    """The devices, those first that hold the beam blanked, the column before the scan box.

    Until one of them is opened the beam may be on, and a line that a scan box gains makes it let go of its blanker.
    """
    order = {Column: 0, Scan: 1}
    return sorted(rig.model.devices, key=lambda name: order.get(rig.kind(name).driver, 2))
