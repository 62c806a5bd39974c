"""The column: its high tension, blanker, valves, goniometer, own STEM images and its camera's (temscript over HTTP).

Its blanker is the rig's second one, independent of the scan box's: closed first, opened last.  It is slow, and deaf
while an image is taken or, on some microscopes, the goniometer moves: it guards exposures, it does not time them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drivers.column_settings import ColumnSettings, ranges
from drivers.errors import DeviceError, LimitError, Refused, WireError
from drivers.goniometer import Goniometer, GoniometerPose
from drivers.interlocks import Guard
from drivers.limits import Limits
from drivers.links.base import Wait
from drivers.links.http import HttpLink
from drivers.microscope import PATIENCE, Microscope
from drivers.tem_imaging import TemImaging
from drivers.ticket import Exposed, Flood, Frame, Ticket
from drivers.wire import temscript as wire
from drivers.wire.temscript_image import Image
from physics.units import show

__all__ = ["Column", "ColumnImage", "ColumnSettings", "GoniometerPose", "ranges"]

SAME_ENERGY = 1e-3  # relative; the high tension as it is shown
SAME = 1e-3  # relative; a number read back, and a magnification that was rounded to one that exists
SAME_ANGLE = 1e-4  # rad
SAME_CURRENT = 0.1, 20e-12  # relative, and A; two readings of a noisy meter (assumed)
VALVES = 10.0  # s until they read closed
OLDEST = 2  # major version of temscript from which the API is as it is here


@dataclass(frozen=True)
class ColumnImage:
    """An image of the microscope's own scan, or of its camera.

    values: counts, (rows, columns).  work: what was exposed.  open_for: s the blanker was open at most; of a
    frame, what it exceeds `work.seconds` by is the way back of the lines, and a beam that stood before and after them.
    """

    values: Image
    work: Exposed
    open_for: float


class Column:
    """A TEM of the Tecnai, Titan or Talos family behind a temscript server.

    beam_energy: eV, what the rig's optics say; the column is used only while it has that.
    Column valves are closed here and opened by people.
    """

    Settings = ColumnSettings

    def __init__(
        self,
        link: HttpLink,
        settings: ColumnSettings,
        *,
        beam_energy: float,
        limits: Limits,
        guard: Guard,
        wait: Wait,
        name: str = "column",
    ) -> None:
        self.name = name
        self._link = link
        self.settings = settings
        self._energy = beam_energy
        self._limits = limits
        self._guard = guard
        self._wait = wait
        self._scope = Microscope(link, name)
        self._goniometer = Goniometer(self._scope.http, settings, wait)
        self._tem = TemImaging(self._scope, settings.tem, limits, wait) if settings.tem else None

    def open(self) -> None:
        """See that a temscript server answers, blank the beam, and see that the high tension is the rig's.

        Raises LinkError, WireError, DeviceError.
        """
        version = self._scope.ask("open", wire.VERSION)
        major = version.partition(".")[0]
        if not (major.isascii() and major.isdecimal() and int(major) >= OLDEST):
            raise self._scope.no(
                "open", f"found temscript {version!r}", "Install temscript 2.1.0 on the microscope's PC."
            )
        self._blank("open")
        self._see_energy("open")

    def close(self) -> None:
        """Close the line; the column stays as it is."""
        self._link.close()

    def blank(self, *, parallel: bool = False) -> None:
        """Blank the beam and see it blanked; parallel: and go to the TEM mode of this rig.

        A run may pause while the lenses settle.  So do it before a flood is reserved: a ticket believes the sample to
        stand where it stood then.  Raises Refused, LinkError, WireError, DeviceError, Aborted.
        """
        self._blank("blank")
        if parallel:
            self._parallel().enter("blank")

    def make_safe(self) -> None:
        """Blank the beam and see it blanked, even while an abort is due; where that fails, close the column valves.

        A goniometer on its way arrives: it cannot be stopped.  Raises LinkError, WireError, DeviceError.
        """
        with self._link.abort.ignored():
            self._blank("make_safe")

    def release(self) -> None:
        """Un-blank the column, so that the scan box, whose blanker must hold the beam, has it.

        Only with the rig's high tension, open valves, a ready vacuum and in STEM, to which it goes back from a TEM mode
        that this rig uses; what fails leaves it blanked.  Raises InterlockError, LinkError, WireError, DeviceError.
        """
        self._guard(f"{self.name}.release")
        if self._tem is not None and self._scope.ask("release", wire.MODE) == "TEM":
            self._blank("release")
            self._tem.leave("release")
        self._see_usable("release")
        try:
            self._scope.order("release", wire.BEAM_BLANKED, False)
            if self._scope.ask("release", wire.BEAM_BLANKED):
                raise self._scope.no("release", "reads blanked after it was released", "Is it blanked by hand?")
        except BaseException:
            with self._link.abort.ignored():
                self._blank("release")
            raise

    def close_valves(self) -> None:
        """Close the column valves and see them closed; they are opened at the microscope, by a person.

        Raises InterlockError, LinkError, WireError, DeviceError.
        """
        self._guard(f"{self.name}.close_valves")
        self._close_valves("close_valves")
        given_up = self._link.clock.now() + VALVES
        while self._scope.ask("close_valves", wire.VALVES):
            if self._link.clock.now() > given_up:
                raise self._scope.no(
                    "close_valves", f"reads open {VALVES:g} s after it was told to close", "Close by hand."
                )
            self._wait(0.5)

    def move_to(self, pose: GoniometerPose) -> None:
        """Bring the goniometer to a place, within the rig's limits and its own, and see that it stands there.

        x and y alone go straight; where z or a tilt takes part the tilts pass zero.  A move begun cannot be stopped.
        Raises LimitError, InterlockError, LinkError, WireError, DeviceError; Aborted lets it arrive by itself.
        """
        self._limits.check(self.name, "move_to", **pose.axes())
        self._guard(f"{self.name}.move_to")
        self._goniometer.go("move_to", pose)

    def acquire(self, work: Exposed, ticket: Ticket) -> ColumnImage:
        """Take one image: set up, un-blanked on the ticket, blanked again in any case.

        A frame is taken with the microscope's own scan: a square around the middle of the field, of `full_frame` over a
        binning pixels a side, and as wide as a magnification of the microscope makes it (another is refused, with the
        nearest there is, before any beam).  Before its first and after its last line the beam stands still: the area
        must not care for that spot.
        A flood is taken with a parallel beam and the camera of the rig's `tem:`, whose shutter times the light.  It
        leaves the microscope in TEM, until `release`; no other box may hold the beam.
        Raises LimitError, InterlockError, Refused, TicketError, LinkError, WireError, DeviceError, Aborted.
        """
        return self._flood(work, ticket) if isinstance(work, Flood) else self._scan(work, ticket)

    # --- what it tells

    def beam_energy(self) -> float:
        """Energy of the beam, eV; 0 while the high tension is off. Raises LinkError, WireError, DeviceError."""
        return self._scope.agreed("beam_energy", wire.VOLTAGE)

    def blanked(self) -> bool:
        """Whether the column's own blanker is closed. Raises LinkError, WireError, DeviceError."""
        return self._scope.ask("blanked", wire.BEAM_BLANKED)

    def pose(self) -> GoniometerPose:
        """Where the goniometer stands. Raises LinkError, DeviceError, and WireError while it moves."""
        return self._goniometer.pose("pose")

    def screen_current(self) -> float:
        """Current on the fluorescent screen, A, by two readings that agree to 10 % or 20 pA.

        It means something only with the screen down and the beam on it.  Raises LinkError, WireError, DeviceError.
        """
        return self._screen_current("screen_current")

    def status(self) -> dict[str, float | str | bool]:
        """For the record: SI, energies in eV; what the microscope does not tell says why."""
        said: dict[str, Callable[[], Any]] = {
            "beam_energy": lambda: self._scope.agreed("status", wire.VOLTAGE),
            "blanked": lambda: self._scope.ask("status", wire.BEAM_BLANKED),
            "valves_open": lambda: self._scope.ask("status", wire.VALVES),
            "vacuum": lambda: self._scope.ask("status", wire.VACUUM).status,
            "mode": lambda: self._scope.ask("status", wire.MODE),
            "goniometer": lambda: self._goniometer.state("status"),
            "screen": lambda: self._scope.ask("status", wire.SCREEN_POSITION),
            "screen_current": lambda: self._screen_current("status"),
            "stem_magnification": lambda: self._scope.agreed("status", wire.STEM_MAGNIFICATION),
            "stem_rotation": lambda: self._scope.agreed("status", wire.STEM_ROTATION),
            "convergence": lambda: self._scope.agreed("status", wire.CONVERGENCE),
            "probe_defocus": lambda: self._scope.agreed("status", wire.PROBE_DEFOCUS),
        }
        found: dict[str, float | str | bool] = {name: self._or_why(ask) for name, ask in said.items()}
        if found["goniometer"] == "READY":
            found |= self._goniometer.pose("status").axes()
        return found

    # --- what an action is made of

    def _scan(self, frame: Frame, ticket: Ticket) -> ColumnImage:
        binning = self._see_frame(frame)
        self._guard(f"{self.name}.acquire")
        self._see_usable("acquire")
        self._see_blanked()
        self._set_up(frame, binning)
        lasting, detector = frame.seconds * (1.0 + self.settings.flyback), self.settings.detector
        return self._opened(frame, ticket, lambda: self._scope.image("acquire", detector, frame, lasting, PATIENCE))

    def _flood(self, flood: Flood, ticket: Ticket) -> ColumnImage:
        tem = self._parallel()
        binning = tem.see(flood)
        self._guard(f"{self.name}.flood")
        self._see_usable("acquire", modes=("TEM", "STEM"))
        self._see_blanked()
        tem.set_up(flood, binning)
        return self._opened(flood, ticket, lambda: tem.image(flood))

    def _opened(self, work: Exposed, ticket: Ticket, take: Callable[[], Image]) -> ColumnImage:
        """The image that is taken while the blanker is open, on its ticket."""
        ticket.spend(work)
        opened = self._link.clock.now()
        try:
            self._scope.order("acquire", wire.BEAM_BLANKED, False)
            values = take()
        finally:
            with self._link.abort.ignored():
                self._blank("acquire")
        return ColumnImage(values, work, self._link.clock.now() - opened)

    def _screen_current(self, action: str) -> float:
        first, second = (self._scope.ask(action, wire.SCREEN_CURRENT) for _ in range(2))
        if not abs(first - second) <= SAME_CURRENT[0] * abs(first) + SAME_CURRENT[1]:
            raise WireError(
                f"two readings of the screen current, {first:g} and {second:g} A, differ",
                device=self.name,
                action=action,
            )
        return (first + second) / 2.0

    def _or_why(self, ask: Callable[[], Any]) -> float | str | bool:
        try:
            value: float | str | bool = ask()
        except DeviceError as error:  # a Tecnai has no convergence angle, a TEM without STEM no magnification of it
            return error.what
        return value

    def _see_frame(self, frame: Frame) -> int:
        """The binning that gives a frame's pixels; raises LimitError."""
        lasting = frame.seconds * (1.0 + self.settings.flyback)
        self._limits.check(self.name, "acquire", dwell=frame.dwell, field=frame.size[0], frame_time=lasting)
        columns, rows = frame.pixels
        square = columns == rows and math.isclose(*frame.size, rel_tol=1e-9)
        if not square or frame.centre != (0.0, 0.0) or self.settings.full_frame % columns:
            raise LimitError(
                f"refused: {frame} is no image of the microscope's own scan",
                device=self.name,
                action="acquire",
                way_out=f"Choose a square in the middle, of {self.settings.full_frame} pixels over a binning.",
            )
        return self.settings.full_frame // columns

    def _set_up(self, frame: Frame, binning: int) -> None:
        """Set what the image is taken with, and read it all back, while the beam is blanked."""
        detector = self.settings.detector
        there = {one.name: one.binnings for one in self._scope.agreed("acquire", wire.STEM_DETECTORS)}
        if binning not in there.get(detector, ()):
            offered = "; ".join(f"{name} with binning {', '.join(map(str, has))}" for name, has in there.items())
            raise self._scope.no(
                "acquire",
                f"has no {detector} with binning {binning} ({offered or 'no STEM detector at all'})",
                "Select the detector on the microscope, or choose other pixels.",
            )
        scale, width = self.settings.field_times_magnification, frame.size[0]
        found = self._scope.set("acquire", wire.STEM_MAGNIFICATION, scale / width)
        if not abs(found * width / scale - 1.0) <= SAME:
            raise self._scope.no(
                "acquire",
                f"has no magnification for a field of {show(width, 'nm')}; the nearest is {found:g}",
                f"Reserve and take a field of {scale / found * 1e9:.6g} nm." if found > 0.0 else "",
            )
        angle = self.settings.scan_rotation
        self._scope.set_and_see("acquire", "STEM rotation", wire.STEM_ROTATION, angle, tolerance=SAME_ANGLE)
        setting = wire.StemSetting("FULL", binning, frame.dwell)
        back = self._scope.set("acquire", wire.STEM_SETTING, setting)
        if (back.image_size, back.binning) != ("FULL", binning):
            raise self._scope.no(
                "acquire", f"took {back.image_size} and binning {back.binning}, not FULL and {binning}"
            )
        self._scope.see("acquire", "dwell", back.dwell or math.nan, frame.dwell, SAME * frame.dwell)

    def _parallel(self) -> TemImaging:
        if self._tem is None:
            raise self._refused("the rig file says nothing of the TEM mode", "Write `tem:` into the column's settings.")
        return self._tem

    def _see_blanked(self) -> None:
        if not self._scope.ask("acquire", wire.BEAM_BLANKED):
            raise self._refused("the column is released to the scan box", "Blank it first.")

    def _refused(self, what: str, way_out: str) -> Refused:
        return Refused(f"refused: {what}", device=self.name, action="acquire", way_out=way_out)

    def _see_usable(self, action: str, modes: tuple[str, ...] = ("STEM",)) -> None:
        """See that an open blanker would give the beam that the rig counts with, where it is counted."""
        self._see_energy(action)
        vacuum = self._scope.ask(action, wire.VACUUM)
        if vacuum.status != "READY":
            raise self._scope.no(action, f"has a vacuum that is {vacuum.status}, not READY", "Wait until it is.")
        if not vacuum.column_valves_open:
            raise self._scope.no(
                action, "has its column valves closed", "Open them at the microscope, if all is well there."
            )
        if (mode := self._scope.ask(action, wire.MODE)) not in modes:
            raise self._scope.no(action, f"is in {mode} mode", "Switch the microscope to STEM.")
        if (state := self._goniometer.state(action)) in wire.UNDER_WAY:  # a move that was aborted goes to its end
            raise self._scope.no(action, f"has a goniometer that is {state}", "Wait until it stands where it was sent.")

    def _see_energy(self, action: str) -> None:
        found = self._scope.agreed(action, wire.VOLTAGE)
        if not abs(found - self._energy) <= SAME_ENERGY * self._energy:
            raise self._scope.no(
                action,
                f"works at {show(found, 'keV')}, the rig's optics say {show(self._energy, 'keV')}",
                "Set the high tension, or write what it is into the rig file with its own calibrations.",
            )

    def _blank(self, action: str) -> None:
        """Blank and see it blanked; an order that may be lost on the way is given once more."""
        try:
            self._scope.order(action, wire.BEAM_BLANKED, True, safe=True)
            if not self._scope.ask(action, wire.BEAM_BLANKED):
                raise self._scope.no(action, "reads open after it was blanked", "Close the column valves by hand.")
        except (DeviceError, WireError) as error:  # it says no, or nothing that could be believed
            self._close_valves(action)
            error.way_out = "The column valves were told to close. Open them when the blanker works."
            raise

    def _close_valves(self, action: str) -> None:
        self._scope.order(action, wire.VALVES, False, safe=True)
