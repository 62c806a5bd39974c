"""The two beams of a FIB-SEM: settings, always read back, and frames, each on its ticket (a fibsem server)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from drivers.beams_settings import BeamsSettings, ranges
from drivers.errors import LimitError, Refused, WireError
from drivers.fibsem_api import FibsemApi, near
from drivers.interlocks import Guard
from drivers.limits import Limits
from drivers.links.base import Wait
from drivers.links.http import HttpLink
from drivers.ticket import Beam, Frame, Ticket
from drivers.wire import fibsem as wire
from drivers.wire.fibsem import NOTHING, Setting
from drivers.wire.fibsem_image import LARGEST_DATA, LARGEST_SIDE, Grey, Metadata
from drivers.wire.fibsem_model import OfBeam, Point
from physics.units import show

__all__ = ["Beams", "BeamsSettings", "Image", "ranges"]

BEAMS: tuple[Beam, Beam] = ("electron", "ion")
SAME = 1e-6  # relative; a field or a dwell is what its ticket says
ROUNDED = 1e-3  # relative; a size that the box works out
FLOOR = {"shift": 1e-9, "stigmation": 1e-4, "scan_rotation": 1e-4}  # what numbers around zero may differ by
FRAME_PATIENCE, FRAME_SHARE = 30.0, 1.5  # s, and of the frame's own time: flyback, and what brings it here
TIFF_EXTRA = 1 << 20  # bytes of a file besides its pixels
BRING = "Set it at the microscope, or ask for what the column has."


@dataclass(frozen=True)
class Image:
    """A frame as it came.

    pixels: (rows, columns), 8 or 16 bits.  pitch: m a pixel.  voltage: V.  current: A, as the box said with it.
    """

    pixels: Grey
    beam: Beam
    field: float
    pitch: float
    dwell: float
    voltage: float
    current: float
    metadata: Metadata


class Beams:
    """Electron and ion column behind a fibsem server.

    There is no blanker on this wire, and nothing that ends a frame early: a frame is finite by construction, and
    `make_safe` has nothing to do.  A beam exposes nothing before `set_beam` has confirmed its voltage and current.
    A frame is one question, answered when it is over: the control wait that every driver is given is not needed.
    """

    Settings = BeamsSettings

    def __init__(
        self,
        link: HttpLink,
        settings: BeamsSettings,
        *,
        limits: Limits,
        guard: Guard,
        wait: Wait,
        name: str = "beams",
    ) -> None:
        self.name = name
        self._api = FibsemApi(link, name)
        self._settings = settings
        self._limits = limits
        self._guard = guard
        self._confirmed: dict[Beam, tuple[float, float]] = {}  # voltage and current, V and A

    def open(self) -> None:
        """See that a fibsem server answers that has both beams. Raises LinkError, WireError, DeviceError."""
        self._api.open()
        system = self._api.ask("open", wire.SYSTEM, NOTHING).system
        for beam, enabled in (("electron", system.electron.enabled), ("ion", system.ion.enabled)):
            if not enabled:
                raise self._api.no("open", f"the server has no {beam} beam", "Look at its configuration.")

    def close(self) -> None:
        """Close the line; the beams stay as they are."""
        self._api.link.close()

    def make_safe(self) -> None:
        """Nothing: a frame ends by itself, and this wire has no blanker."""

    def set_beam(self, beam: Beam, voltage: float, current: float) -> None:
        """Set voltage, V, and current, A, of a beam and have both confirmed; voltage first, for currents go with it.

        Raises LimitError, InterlockError, LinkError, WireError, DeviceError; after these the beam exposes nothing.
        """
        action = "set_beam"
        self._limits.check(self.name, action, **{f"{beam}_voltage": voltage, f"{beam}_current": current})
        self._guard(f"{self.name}.{action}")
        self._confirmed.pop(beam, None)
        self._api.set(action, wire.VOLTAGE, beam, voltage)
        self._api.set(action, wire.CURRENT, beam, current)
        self._see_column(action, beam, voltage, current)
        self._confirmed[beam] = voltage, current

    def set_optics(
        self,
        beam: Beam,
        *,
        working_distance: float | None = None,
        shift: tuple[float, float] | None = None,
        stigmation: tuple[float, float] | None = None,
        scan_rotation: float | None = None,
    ) -> None:
        """Focus, shift, correct and turn a beam, whichever is given, and read each back.

        working_distance: m.  shift: (x, y), m.  stigmation: (x, y), -1 to 1.  scan_rotation: rad.
        Raises LimitError, InterlockError, LinkError, WireError, DeviceError.
        """
        action = "set_optics"
        if working_distance is not None:
            self._limits.check(self.name, action, working_distance=working_distance)
        for along in shift or ():
            self._limits.check(self.name, action, shift=along)
        if scan_rotation is not None:
            self._limits.check(self.name, action, scan_rotation=scan_rotation)
        if not all(abs(along) <= 1.0 for along in stigmation or ()):
            raise LimitError(f"refused: a stigmation of {stigmation}", device=self.name, action=action)
        self._guard(f"{self.name}.{action}")
        if working_distance is not None:
            self._set_number(action, "working distance", wire.WORKING_DISTANCE, beam, working_distance)
        if scan_rotation is not None:
            floor = FLOOR["scan_rotation"]
            self._set_number(action, "scan rotation", wire.SCAN_ROTATION, beam, scan_rotation, floor=floor)
        if shift is not None:
            self._set_pair(action, "shift", wire.SHIFT, beam, shift)
        if stigmation is not None:
            self._set_pair(action, "stigmation", wire.STIGMATION, beam, stigmation)

    def set_detector(
        self,
        beam: Beam,
        *,
        kind: str | None = None,
        mode: str | None = None,
        contrast: float | None = None,
        brightness: float | None = None,
    ) -> None:
        """Choose detector and mode, set contrast and brightness, 0 to 1, whichever is given, and read each back.

        Raises LimitError, InterlockError, LinkError, WireError, DeviceError.
        """
        action = "set_detector"
        if not all(0.0 <= share <= 1.0 for share in (contrast or 0.0, brightness or 0.0)):
            raise LimitError("refused: contrast and brightness go from 0 to 1", device=self.name, action=action)
        self._guard(f"{self.name}.{action}")
        for what, text, word in (("detector", wire.DETECTOR_TYPE, kind), ("detector mode", wire.DETECTOR_MODE, mode)):
            if word is not None:
                self._api.set(action, text, beam, word)
                found = self._api.ask(action, text.get, OfBeam(beam)).value
                if found != word:
                    raise self._api.no(action, f"the {what} reads back as {found}, set was {word}", BRING)
        for what, setting, share in (
            ("contrast", wire.CONTRAST, contrast),
            ("brightness", wire.BRIGHTNESS, brightness),
        ):
            if share is not None:
                self._set_number(action, what, setting, beam, share, floor=self._settings.tolerance)

    def acquire(self, frame: Frame, beam: Beam, ticket: Ticket) -> Image:
        """Spend the ticket, expose one whole frame and bring it, checked against what was asked for.

        frame: centred in the view, as high as its pixels are square.  Field, pixels and dwell are set and confirmed;
        what would expose more than the frame says is refused.  Raises LimitError, InterlockError, Refused, TicketError,
        LinkError (it may have been exposed), WireError, DeviceError.
        """
        action = "acquire"
        field, pitch = frame.size[0], frame.pitch[0]
        self._limits.check(self.name, action, field=field, dwell=frame.dwell, frame_time=frame.seconds)
        if max(frame.pixels) > LARGEST_SIDE or 2 * frame.count > LARGEST_DATA:
            raise LimitError(
                f"refused: {frame} is more than an image may have, so nobody would ever see it",
                device=self.name,
                action=action,
                way_out="Take fewer pixels.",
            )
        if frame.centre != (0.0, 0.0) or not near(frame.pitch[1], pitch, SAME):
            raise LimitError(
                f"refused: a frame of {frame}",
                device=self.name,
                action=action,
                way_out="This wire takes whole frames of square pixels, centred at (0, 0): shift beam or stage.",
            )
        if beam not in self._confirmed:
            raise Refused(
                f"refused: voltage and current of the {beam} beam are not confirmed",
                device=self.name,
                action=action,
                way_out="Set them with set_beam first.",
            )
        self._guard(f"{self.name}.{action}")
        if (state := self._api.milling_state(action)) not in ("IDLE", "PAUSED"):
            raise self._api.no(action, f"the ion beam mills ({state})", "Wait until it is done, or pause it.")
        self._set_up(action, beam, frame)
        self._see_column(action, beam, *self._confirmed[beam])
        ticket.spend(frame, beam)
        file = self._api.frame(
            action,
            beam,
            timeout=FRAME_PATIENCE + FRAME_SHARE * frame.seconds,
            largest=2 * frame.count + TIFF_EXTRA,
        )
        try:
            return self._image(beam, frame, file.pixels, file.metadata)
        except WireError as error:
            raise error.at(self.name, action) from None

    def column(self, beam: Beam) -> tuple[float, float]:
        """Voltage, V, and current, A, that a beam has now. Raises LinkError, WireError, DeviceError."""
        share = self._settings.tolerance
        voltage = self._api.number("column", wire.VOLTAGE, beam, share=share)
        return voltage, self._api.number("column", wire.CURRENT, beam, share=share)

    def status(self) -> dict[str, float | str | bool]:
        """For the record: voltage, V, current, A, and whether they are confirmed, of each beam."""
        found: dict[str, float | str | bool] = {}
        for beam in BEAMS:
            voltage, current = self.column(beam)
            found |= {
                f"{beam}_voltage": voltage,
                f"{beam}_current": current,
                f"{beam}_confirmed": beam in self._confirmed,
            }
        return found

    # --- what an action is made of

    def _set_number(
        self, action: str, what: str, setting: Setting[float], beam: Beam, value: float, *, floor: float = 0.0
    ) -> None:
        self._api.set(action, setting, beam, value)
        self._see(action, what, self._read(action, setting, beam, floor), value, floor)

    def _read(self, action: str, setting: Setting[float], beam: Beam, floor: float) -> float:
        def same(one: float, other: float) -> bool:
            return abs(one - other) <= floor or near(one, other, self._settings.tolerance)

        return self._api.ask(action, setting.get, OfBeam(beam), lambda a, b: same(a.value, b.value)).value

    def _set_pair(self, action: str, what: str, setting: Setting[Point], beam: Beam, to: tuple[float, float]) -> None:
        floor = FLOOR[what]
        self._api.set(action, setting, beam, Point(*to))
        found = self._api.ask(
            action,
            setting.get,
            OfBeam(beam),
            lambda a, b: abs(a.value.x - b.value.x) <= floor and abs(a.value.y - b.value.y) <= floor,
        ).value
        for along, is_at, wanted in (("x", found.x, to[0]), ("y", found.y, to[1])):
            self._see(action, f"{what} along {along}", is_at, wanted, floor)

    def _see_column(self, action: str, beam: Beam, voltage: float, current: float) -> None:
        """Read voltage and current back; raises DeviceError, and the beam is no longer confirmed."""
        volts, amps = self.column(beam)
        for what, found, wanted, unit in (("voltage", volts, voltage, "kV"), ("current", amps, current, "pA")):
            if not near(found, wanted, self._settings.tolerance):
                self._confirmed.pop(beam, None)
                raise self._api.no(
                    action,
                    f"the {what} of the {beam} beam reads back as {show(found, unit)}, set was {show(wanted, unit)}",
                    BRING,
                )

    def _see(self, action: str, what: str, found: float, wanted: float, floor: float) -> None:
        if not (abs(found - wanted) <= floor or near(found, wanted, self._settings.tolerance)):
            raise self._api.no(action, f"the {what} reads back as {found:g}, set was {wanted:g}", BRING)

    def _set_up(self, action: str, beam: Beam, frame: Frame) -> None:
        """Field, pixels and dwell of the frame; never ones that would expose more than it says."""
        self._api.set(action, wire.RESOLUTION, beam, frame.pixels)
        pixels = self._api.ask(action, wire.RESOLUTION.get, OfBeam(beam)).value
        if pixels != frame.pixels:
            raise self._api.no(
                action,
                f"a frame has {pixels[0]} x {pixels[1]} pixels, asked was {frame.pixels[0]} x {frame.pixels[1]}",
                BRING,
            )
        for what, setting, wanted, unit in (
            ("field", wire.FIELD, frame.size[0], "um"),
            ("dwell", wire.DWELL, frame.dwell, "us"),
        ):
            self._api.set(action, setting, beam, wanted)
            found = self._api.number(action, setting, beam, share=SAME)
            if not near(found, wanted, SAME):
                raise self._api.no(
                    action, f"the {what} reads back as {show(found, unit)}, set was {show(wanted, unit)}", BRING
                )

    def _image(self, beam: Beam, frame: Frame, pixels: Grey, metadata: Metadata | None) -> Image:
        """The image, if it is the frame that was asked for; raises WireError."""
        columns, rows = frame.pixels
        if pixels.shape != (rows, columns):
            raise WireError(f"brought {pixels.shape[1]} x {pixels.shape[0]} pixels; the frame has {columns} x {rows}")
        if metadata is None:
            raise WireError("brought an image that does not say what it is of")
        state = metadata.microscope_state.electron_beam if beam == "electron" else metadata.microscope_state.ion_beam
        said = metadata.image
        if said.beam_type != beam or state is None or state.voltage is None or state.beam_current is None:
            raise WireError(f"brought an image that does not say it is of the {beam} beam")
        voltage, current = self._confirmed[beam]
        share = self._settings.tolerance
        for what, found, wanted, within in (
            ("field", said.hfw, frame.size[0], SAME),
            ("dwell", said.dwell_time, frame.dwell, SAME),
            ("pixel size", metadata.pixel_size.x, frame.pitch[0], ROUNDED),
            ("pixel size", metadata.pixel_size.y, frame.pitch[1], ROUNDED),
            ("voltage", state.voltage, voltage, share),
            ("current", state.beam_current, current, share),
        ):
            if found is None or not (math.isfinite(found) and near(found, wanted, within)):
                raise WireError(f"brought an image whose {what} is {found}, not {wanted:g}")
        return Image(
            pixels, beam, frame.size[0], frame.pitch[0], frame.dwell, state.voltage, state.beam_current, metadata
        )
