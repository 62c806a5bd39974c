"""The column: its high tension, blanker, valves, goniometer and own STEM images (temscript over HTTP).

Its blanker is the rig's second one, independent of the scan box's: closed first, opened last.  It is slow, and deaf
while an image is taken or, on some microscopes, the goniometer moves: it guards exposures, it does not time them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from drivers.column_settings import ColumnSettings, ranges
from drivers.errors import DeviceError, LimitError, Refused, WireError
from drivers.goniometer import Goniometer, GoniometerPose
from drivers.interlocks import Guard
from drivers.limits import Limits
from drivers.links.base import Wait
from drivers.links.http import HttpExchange, HttpLink
from drivers.ticket import Frame, Ticket
from drivers.wire import temscript as wire
from drivers.wire.temscript_image import Image, acquire, image, largest
from physics.units import show

__all__ = ["Column", "ColumnImage", "ColumnSettings", "GoniometerPose", "ranges"]

PATIENCE = 5.0  # s for an answer
SAME_ENERGY = 1e-3  # relative; the high tension as it is shown
SAME = 1e-3  # relative; a number read back, and a magnification that was rounded to one that exists
SAME_ANGLE = 1e-4  # rad
SAME_CURRENT = 0.1, 20e-12  # relative, and A; two readings of a noisy meter (assumed)
VALVES = 10.0  # s until they read closed
OLDEST = 2  # major version of temscript from which the API is as it is here

T = TypeVar("T")


@dataclass(frozen=True)
class ColumnImage:
    """An image of the microscope's own scan.

    values: counts, (rows, columns).  frame: what was exposed.  open_for: s the beam was on at most; what it exceeds
    `frame.seconds` by is the way back of the lines, and a beam that stood still before the first and after the last.
    """

    values: Image
    frame: Frame
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
        self._settings = settings
        self._energy = beam_energy
        self._limits = limits
        self._guard = guard
        self._wait = wait
        self._http = HttpExchange(link, name, timeout=PATIENCE, largest=wire.LARGEST_ANSWER)
        self._goniometer = Goniometer(self._http, settings, wait)
        self._deaf_until = -math.inf  # by link.elapsed(): the one thread of the server takes an image

    def open(self) -> None:
        """See that a temscript server answers, blank the beam, and see that the high tension is the rig's.

        Raises LinkError, WireError, DeviceError.
        """
        version = self._ask("open", wire.VERSION)
        major = version.partition(".")[0]
        if not (major.isascii() and major.isdecimal() and int(major) >= OLDEST):
            raise self._no("open", f"found temscript {version!r}", "Install temscript 2.1.0 on the microscope's PC.")
        self._blank("open")
        self._see_energy("open")

    def close(self) -> None:
        """Close the line; the column stays as it is."""
        self._link.close()

    def blank(self) -> None:
        """Blank the beam and see it blanked. Raises LinkError, WireError, DeviceError."""
        self._blank("blank")

    def make_safe(self) -> None:
        """Blank the beam and see it blanked, even while an abort is due; where that fails, close the column valves.

        A goniometer on its way arrives: it cannot be stopped.  Raises LinkError, WireError, DeviceError.
        """
        with self._link.abort.ignored():
            self._blank("make_safe")

    def release(self) -> None:
        """Un-blank the column, so that the scan box, whose blanker must hold the beam, has it.

        Only with the rig's high tension, open valves, a ready vacuum and in STEM; what fails leaves it blanked.
        Raises InterlockError, LinkError, WireError, DeviceError.
        """
        self._guard(f"{self.name}.release")
        self._see_usable("release")
        try:
            self._order("release", wire.BEAM_BLANKED, False)
            if self._ask("release", wire.BEAM_BLANKED):
                raise self._no("release", "reads blanked after it was released", "Is it blanked by hand?")
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
        while self._ask("close_valves", wire.VALVES):
            if self._link.clock.now() > given_up:
                raise self._no("close_valves", f"reads open {VALVES:g} s after it was told to close", "Close by hand.")
            self._wait(0.5)

    def move_to(self, pose: GoniometerPose) -> None:
        """Bring the goniometer to a place, within the rig's limits and its own, and see that it stands there.

        x and y alone go straight; where z or a tilt takes part the tilts pass zero.  A move begun cannot be stopped.
        Raises LimitError, InterlockError, LinkError, WireError, DeviceError; Aborted lets it arrive by itself.
        """
        self._limits.check(self.name, "move_to", **pose.axes())
        self._guard(f"{self.name}.move_to")
        self._goniometer.go("move_to", pose)

    def acquire(self, frame: Frame, ticket: Ticket) -> ColumnImage:
        """Take one image with the microscope's own scan: set up, un-blanked on the ticket, blanked again in any case.

        frame: a square around the middle of the field, of `full_frame` over a binning pixels a side, and as wide as a
        magnification of the microscope makes it (another is refused, with the nearest there is, before any beam).
        Before its first and after its last line the beam stands still: the area must not care for that spot.
        Raises LimitError, InterlockError, Refused, TicketError, LinkError, WireError, DeviceError, Aborted.
        """
        binning = self._see_frame(frame)
        self._guard(f"{self.name}.acquire")
        self._see_usable("acquire")
        if not self._ask("acquire", wire.BEAM_BLANKED):
            raise Refused(
                "refused: the column is released to the scan box",
                device=self.name,
                action="acquire",
                way_out="Blank it first.",
            )
        self._set_up(frame, binning)
        lasting = frame.seconds * (1.0 + self._settings.flyback)
        detector, clock = self._settings.detector, self._link.clock
        ticket.spend(frame)
        opened = clock.now()
        try:
            self._order("acquire", wire.BEAM_BLANKED, False)
            self._deaf_until = self._link.elapsed() + lasting
            values = self._http.ask_for(
                "acquire",
                acquire(detector),
                lambda response: image(response, detector, frame.pixels),
                safe=False,
                timeout=lasting + PATIENCE,
                largest=largest(frame.pixels),
            )
        finally:
            with self._link.abort.ignored():
                self._blank("acquire")
        return ColumnImage(values, frame, clock.now() - opened)

    # --- what it tells

    def beam_energy(self) -> float:
        """Energy of the beam, eV; 0 while the high tension is off. Raises LinkError, WireError, DeviceError."""
        return self._agreed("beam_energy", wire.VOLTAGE)

    def blanked(self) -> bool:
        """Whether the column's own blanker is closed. Raises LinkError, WireError, DeviceError."""
        return self._ask("blanked", wire.BEAM_BLANKED)

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
            "beam_energy": lambda: self._agreed("status", wire.VOLTAGE),
            "blanked": lambda: self._ask("status", wire.BEAM_BLANKED),
            "valves_open": lambda: self._ask("status", wire.VALVES),
            "vacuum": lambda: self._ask("status", wire.VACUUM).status,
            "mode": lambda: self._ask("status", wire.MODE),
            "goniometer": lambda: self._goniometer.state("status"),
            "screen": lambda: self._ask("status", wire.SCREEN_POSITION),
            "screen_current": lambda: self._screen_current("status"),
            "stem_magnification": lambda: self._agreed("status", wire.STEM_MAGNIFICATION),
            "stem_rotation": lambda: self._agreed("status", wire.STEM_ROTATION),
            "convergence": lambda: self._agreed("status", wire.CONVERGENCE),
            "probe_defocus": lambda: self._agreed("status", wire.PROBE_DEFOCUS),
        }
        found: dict[str, float | str | bool] = {name: self._or_why(ask) for name, ask in said.items()}
        if found["goniometer"] == "READY":
            found |= self._goniometer.pose("status").axes()
        return found

    # --- what an action is made of

    def _screen_current(self, action: str) -> float:
        first, second = (self._ask(action, wire.SCREEN_CURRENT) for _ in range(2))
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
        lasting = frame.seconds * (1.0 + self._settings.flyback)
        self._limits.check(self.name, "acquire", dwell=frame.dwell, field=frame.size[0], frame_time=lasting)
        columns, rows = frame.pixels
        square = columns == rows and math.isclose(*frame.size, rel_tol=1e-9)
        if not square or frame.centre != (0.0, 0.0) or self._settings.full_frame % columns:
            raise LimitError(
                f"refused: {frame} is no image of the microscope's own scan",
                device=self.name,
                action="acquire",
                way_out=f"Choose a square in the middle, of {self._settings.full_frame} pixels over a binning.",
            )
        return self._settings.full_frame // columns

    def _set_up(self, frame: Frame, binning: int) -> None:
        """Set what the image is taken with, and read it all back, while the beam is blanked."""
        detector = self._settings.detector
        there = {one.name: one.binnings for one in self._agreed("acquire", wire.STEM_DETECTORS)}
        if binning not in there.get(detector, ()):
            offered = "; ".join(f"{name} with binning {', '.join(map(str, has))}" for name, has in there.items())
            raise self._no(
                "acquire",
                f"has no {detector} with binning {binning} ({offered or 'no STEM detector at all'})",
                "Select the detector on the microscope, or choose other pixels.",
            )
        scale, width = self._settings.field_times_magnification, frame.size[0]
        found = self._set("acquire", wire.STEM_MAGNIFICATION, scale / width)
        if not abs(found * width / scale - 1.0) <= SAME:
            raise self._no(
                "acquire",
                f"has no magnification for a field of {show(width, 'nm')}; the nearest is {found:g}",
                f"Reserve and take a field of {scale / found * 1e9:.6g} nm." if found > 0.0 else "",
            )
        angle = self._settings.scan_rotation
        self._see("STEM rotation", self._set("acquire", wire.STEM_ROTATION, angle), angle, SAME_ANGLE)
        setting = wire.StemSetting("FULL", binning, frame.dwell)
        back = self._set("acquire", wire.STEM_SETTING, setting)
        if (back.image_size, back.binning) != ("FULL", binning):
            raise self._no("acquire", f"took {back.image_size} and binning {back.binning}, not FULL and {binning}")
        self._see("dwell", back.dwell or math.nan, frame.dwell, SAME * frame.dwell)

    def _see_usable(self, action: str) -> None:
        """See that an open blanker would give the beam that the rig counts with, where it is counted."""
        self._see_energy(action)
        vacuum = self._ask(action, wire.VACUUM)
        if vacuum.status != "READY":
            raise self._no(action, f"has a vacuum that is {vacuum.status}, not READY", "Wait until it is.")
        if not vacuum.column_valves_open:
            raise self._no(action, "has its column valves closed", "Open them at the microscope, if all is well there.")
        if (mode := self._ask(action, wire.MODE)) != "STEM":
            raise self._no(action, f"is in {mode} mode", "Switch the microscope to STEM.")
        if (state := self._goniometer.state(action)) in wire.UNDER_WAY:  # a move that was aborted goes to its end
            raise self._no(action, f"has a goniometer that is {state}", "Wait until it stands where it was sent.")

    def _see_energy(self, action: str) -> None:
        found = self._agreed(action, wire.VOLTAGE)
        if not abs(found - self._energy) <= SAME_ENERGY * self._energy:
            raise self._no(
                action,
                f"works at {show(found, 'keV')}, the rig's optics say {show(self._energy, 'keV')}",
                "Set the high tension, or write what it is into the rig file with its own calibrations.",
            )

    def _blank(self, action: str) -> None:
        """Blank and see it blanked; an order that may be lost on the way is given once more."""
        try:
            self._order(action, wire.BEAM_BLANKED, True, safe=True)
            if not self._ask(action, wire.BEAM_BLANKED):
                raise self._no(action, "reads open after it was blanked", "Close the column valves by hand.")
        except (DeviceError, WireError) as error:  # it says no, or nothing that could be believed
            self._close_valves(action)
            error.way_out = "The column valves were told to close. Open them when the blanker works."
            raise

    def _close_valves(self, action: str) -> None:
        self._order(action, wire.VALVES, False, safe=True)

    def _set(self, action: str, endpoint: wire.Endpoint[T], value: T) -> T:
        self._order(action, endpoint, value, safe=True)
        return self._agreed(action, endpoint)

    def _order(self, action: str, endpoint: wire.Endpoint[T], value: T, *, safe: bool = False) -> None:
        self._http.ask_for(action, endpoint.put(value), wire.see_done, safe=safe, timeout=self._patience())

    def _ask(self, action: str, endpoint: wire.Endpoint[T]) -> T:
        return self._http.ask_for(action, endpoint.get(), endpoint.value, safe=True, timeout=self._patience())

    def _agreed(self, action: str, endpoint: wire.Endpoint[T]) -> T:
        return self._http.agreed(action, endpoint.get(), endpoint.value)

    def _patience(self) -> float:
        """How long to wait for an answer: until the server can hear again, and a while."""
        return PATIENCE + max(self._deaf_until - self._link.elapsed(), 0.0)

    def _see(self, what: str, found: float, wanted: float, tolerance: float) -> None:
        if not abs(found - wanted) <= tolerance:
            raise self._no("acquire", f"took a {what} of {found:g} instead of {wanted:g}", "Choose one it has.")

    def _no(self, action: str, what: str, way_out: str = "") -> DeviceError:
        return DeviceError(what, device=self.name, action=action, way_out=way_out)
