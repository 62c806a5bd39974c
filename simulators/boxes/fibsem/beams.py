"""The beams of the simulated fibsem server: what they are set to, and frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from drivers.ticket import Beam
from drivers.wire import fibsem as wire
from drivers.wire import fibsem_model as message
from drivers.wire.fibsem import Setting
from drivers.wire.fibsem_image import Metadata, encode_tiff
from drivers.wire.fibsem_model import Done, OfBeam, Pixels, Point, SetTo, Told
from drivers.wire.fibsem_stage import BeamSystem
from drivers.wire.http import Response
from physics.units import parse
from simulators.boxes.fibsem.route import After, Instrument, Route, Trouble, route
from simulators.boxes.fibsem.stage import StageApi
from simulators.constants import constants
from simulators.fibsem.chamber import BEAMS

V = TypeVar("V")
DETECTORS, MODES = ("ETD", "TLD"), ("SecondaryElectrons", "BackscatteredElectrons")
DIRECTIONS = ("TopToBottom", "BottomToTop", "LeftToRight", "RightToLeft")
APPLICATIONS = ("Si", "Si-ccs", "Si-multipass", "Si-new")
VOLTAGES = {"electron": (1e3, 2e3, 3e3, 5e3, 10e3, 20e3, 30e3), "ion": (500.0, 1e3, 2e3, 5e3, 8e3, 16e3, 30e3)}
LARGEST_FRAME = 6144, 4096
DWELLS = 25e-9, 1e-3  # s
LARGEST_SHIFT = 50e-6  # m
WORKING_DISTANCES = 1e-3, 60e-3  # m
FOCUS_FRAMES, FOCUS_PIXELS, FOCUS_DWELL = 9, (768, 512), 300e-9
FOCUS_ERROR = 2e-6  # m, rms


@dataclass
class Scan:
    """What the server keeps of a beam's frames."""

    resolution: Pixels = (1536, 1024)
    dwell: float = 1e-6
    detector: str = "ETD"
    mode: str = "SecondaryElectrons"
    stigmation: Point = field(default_factory=lambda: Point(0.0, 0.0))
    last: tuple[NDArray[np.uint8], Metadata] | None = None


class BeamsApi:
    """Everything about both columns; one frame at a time, none while the stage moves or the ion beam mills."""

    def __init__(self, instrument: Instrument, stage: StageApi) -> None:
        self._instrument, self._stage = instrument, stage
        self._columns = instrument.chamber.columns
        self._scans: dict[Beam, Scan] = {beam: Scan() for beam in BEAMS}
        self._free_from = 0.0

    def routes(self) -> Iterator[Route]:
        """Its part of the API."""
        column, scan = self._columns, self._scans
        yield from self._setting(wire.CURRENT, lambda beam: column[beam].current, self.set_current)
        yield from self._setting(wire.VOLTAGE, lambda beam: column[beam].voltage, self.set_voltage)
        yield from self._setting(wire.FIELD, lambda beam: column[beam].field, self.set_field)
        yield from self._setting(wire.WORKING_DISTANCE, lambda beam: column[beam].working_distance, self._focus)
        yield from self._setting(wire.DWELL, lambda beam: scan[beam].dwell, self._set_dwell)
        yield from self._setting(wire.RESOLUTION, lambda beam: scan[beam].resolution, self._set_resolution)
        yield from self._setting(wire.SCAN_ROTATION, lambda beam: column[beam].scan_rotation, self._rotate)
        yield from self._setting(wire.STIGMATION, lambda beam: scan[beam].stigmation, self._stigmate)
        yield from self._setting(wire.SHIFT, lambda beam: Point(*column[beam].shift), self._shift)
        yield from self._setting(wire.DETECTOR_TYPE, lambda beam: scan[beam].detector, self._set_detector)
        yield from self._setting(wire.DETECTOR_MODE, lambda beam: scan[beam].mode, self._set_mode)
        yield from self._setting(wire.CONTRAST, lambda beam: column[beam].contrast, self._set_contrast)
        yield from self._setting(wire.BRIGHTNESS, lambda beam: column[beam].brightness, self._set_brightness)
        yield route(wire.STATE, lambda _: message.StateTold(self.state(*BEAMS)))
        yield route(wire.SET_STATE, lambda asked: self._set_state(asked.microscope_state))
        yield route(wire.IMAGING, lambda asked: message.ImagingSettings(self._imaging(asked.beam_type)))
        yield route(wire.SET_IMAGING, lambda asked: self._set_imaging(asked.image_settings))
        yield route(wire.BEAM, lambda asked: message.ColumnSettings(self.column(asked.beam_type)))
        yield route(wire.SET_BEAM, lambda asked: self._set_column(asked.beam_settings))
        yield route(wire.DETECTOR, lambda asked: message.DetectorTold(self.detector(asked.beam_type)))
        yield route(wire.SET_DETECTOR, lambda asked: self._set_detectors(asked.detector_settings, asked.beam_type))
        yield route(wire.AVAILABLE, self._available)
        yield Route(wire.ACQUIRE, self._acquire)
        yield Route(wire.LAST_IMAGE, self._last_image)
        yield route(wire.AUTOCONTRAST, self._autocontrast)
        yield route(wire.AUTO_FOCUS, self._auto_focus)

    # --- what others ask of the beams

    def set_current(self, beam: Beam, amps: float) -> None:
        """The aperture nearest to it, of the ion beam; anything within its range, of the electron beam."""
        self._instrument.see_no_milling()
        if beam == "ion":
            apertures = [parse(text, "current") for text in constants("chamber")["ion_currents"]]
            _see(apertures[0] / 2.0 <= amps <= apertures[-1] * 2.0, f"no aperture of {amps} A")
            amps = min(apertures, key=lambda aperture: abs(np.log(aperture / amps)))
        else:
            low, high = (parse(text, "current") for text in constants("chamber")["electron"]["currents"])
            _see(low <= amps <= high, f"no beam of {amps} A")
        if not self._columns[beam].stuck:
            self._columns[beam].current = amps

    def set_voltage(self, beam: Beam, volts: float) -> None:
        """Within the column's range, or 0: no beam."""
        self._instrument.see_no_milling()
        low, high = (parse(text, "voltage") for text in constants("chamber")[beam]["voltages"])
        _see(volts == 0.0 or low <= volts <= high, f"no beam of {volts} V")
        if not self._columns[beam].stuck:
            self._columns[beam].voltage = volts

    def set_field(self, beam: Beam, width: float) -> None:
        """Clipped to what the column has, without a word."""
        self._instrument.see_no_milling()
        low, high = (parse(text, "length") for text in constants("chamber")[beam]["field"])
        self._columns[beam].field = min(max(width, low), high)

    def column(self, beam: Beam) -> message.Column:
        """All of a beam's settings."""
        column, scan = self._columns[beam], self._scans[beam]
        return message.Column(
            beam_type=beam,
            working_distance=column.working_distance,
            beam_current=column.current,
            voltage=column.voltage,
            hfw=column.field,
            resolution=scan.resolution,
            dwell_time=scan.dwell,
            stigmation=scan.stigmation,
            shift=Point(*column.shift),
            scan_rotation=column.scan_rotation,
        )

    def detector(self, beam: Beam) -> message.Detector:
        """A beam's detector."""
        column, scan = self._columns[beam], self._scans[beam]
        return message.Detector(scan.detector, scan.mode, column.brightness, column.contrast)

    def state(self, *beams: Beam) -> message.State:
        """Stage, and these beams."""
        return message.State(
            timestamp=self._instrument.world.clock.utc().timestamp(),
            stage_position=self._stage.position(),
            electron_beam=self.column("electron") if "electron" in beams else None,
            ion_beam=self.column("ion") if "ion" in beams else None,
            electron_detector=self.detector("electron") if "electron" in beams else None,
            ion_detector=self.detector("ion") if "ion" in beams else None,
        )

    def set_system(self, beam: Beam, to: BeamSystem) -> Done:
        """The settings among a column's system settings."""
        self._set_detectors(
            message.Detector(to.detector_type, to.detector_mode, to.detector_brightness, to.detector_contrast), beam
        )
        return self._set_column(
            message.Column(
                beam,
                to.working_distance,
                to.current,
                to.voltage,
                to.hfw,
                to.resolution,
                to.dwell_time,
                to.stigmation,
                to.shift,
                to.scan_rotation,
            )
        )

    # --- settings

    def _setting(
        self, setting: Setting[V], read: Callable[[Beam], V], change: Callable[[Beam, V], None]
    ) -> Iterator[Route]:
        def told(asked: OfBeam) -> Told[V]:
            return Told(read(asked.beam_type))

        def set_to(asked: SetTo[V]) -> Told[V]:
            change(asked.beam_type, asked.value)
            return Told(read(asked.beam_type))

        yield route(setting.get, told)
        yield route(setting.set, set_to)

    def _focus(self, beam: Beam, metres: float) -> None:
        _see(WORKING_DISTANCES[0] <= metres <= WORKING_DISTANCES[1], f"no working distance of {metres} m")
        self._columns[beam].working_distance = metres

    def _set_dwell(self, beam: Beam, seconds: float) -> None:
        _see(DWELLS[0] <= seconds <= DWELLS[1], f"no dwell of {seconds} s")
        self._scans[beam].dwell = seconds

    def _set_resolution(self, beam: Beam, pixels: Pixels) -> None:
        _see(0 < pixels[0] <= LARGEST_FRAME[0] and 0 < pixels[1] <= LARGEST_FRAME[1], f"no frame of {pixels}")
        self._scans[beam].resolution = pixels

    def _rotate(self, beam: Beam, radians: float) -> None:
        self._columns[beam].scan_rotation = radians

    def _stigmate(self, beam: Beam, to: Point) -> None:
        _see(max(abs(to.x), abs(to.y)) <= 1.0, f"no stigmation of {to}")
        self._scans[beam].stigmation = to

    def _shift(self, beam: Beam, to: Point) -> None:
        _see(max(abs(to.x), abs(to.y)) <= LARGEST_SHIFT, f"no shift of {to}")
        self._columns[beam].shift = to.x, to.y

    def _set_detector(self, beam: Beam, name: str) -> None:
        if name in DETECTORS:  # another is left as it is, with a line in the log
            self._scans[beam].detector = name

    def _set_mode(self, beam: Beam, name: str) -> None:
        if name in MODES:
            self._scans[beam].mode = name

    def _set_contrast(self, beam: Beam, share: float) -> None:
        _see(0.0 <= share <= 1.0, f"no contrast of {share}")
        self._columns[beam].contrast = share

    def _set_brightness(self, beam: Beam, share: float) -> None:
        _see(0.0 <= share <= 1.0, f"no brightness of {share}")
        self._columns[beam].brightness = share

    def _set_column(self, to: message.Column) -> Done:
        beam = to.beam_type
        _set(self._focus, beam, to.working_distance)
        _set(self.set_current, beam, to.beam_current)
        _set(self.set_voltage, beam, to.voltage)
        _set(self.set_field, beam, to.hfw)
        _set(self._set_resolution, beam, to.resolution)
        _set(self._set_dwell, beam, to.dwell_time)
        _set(self._stigmate, beam, to.stigmation)
        _set(self._shift, beam, to.shift)
        _set(self._rotate, beam, to.scan_rotation)
        return Done()

    def _set_detectors(self, to: message.Detector, beam: Beam) -> Done:
        _set(self._set_detector, beam, to.type)
        _set(self._set_mode, beam, to.mode)
        _set(self._set_brightness, beam, to.brightness)
        _set(self._set_contrast, beam, to.contrast)
        return Done()

    def _set_state(self, to: message.State) -> Done | After[Done]:
        for beam, column, detector in (
            ("electron", to.electron_beam, to.electron_detector),
            ("ion", to.ion_beam, to.ion_detector),
        ):
            if column is not None:
                self._set_column(column)
            if detector is not None:
                self._set_detectors(detector, "ion" if beam == "ion" else "electron")
        if to.stage_position is None:
            return Done()
        return After(self._stage.set_off(*self._stage.safe_way(self._stage.filled(to.stage_position))), Done)

    def _imaging(self, beam: Beam) -> message.ImageSettings:
        column, scan = self._columns[beam], self._scans[beam]
        return message.ImageSettings(beam, scan.resolution, scan.dwell, column.field)

    def _set_imaging(self, to: message.ImageSettings) -> Done:
        beam = to.beam_type or "electron"
        _set(self._set_resolution, beam, to.resolution)
        _set(self._set_dwell, beam, to.dwell_time)
        _set(self.set_field, beam, to.hfw)
        return Done()

    def _available(self, asked: message.Choices) -> message.Chosen:
        known: dict[str, tuple[float | str, ...]] = {
            "application_file": APPLICATIONS,
            "detector_type": DETECTORS,
            "detector_mode": MODES,
            "scan_direction": DIRECTIONS,
            "voltage": VOLTAGES.get(asked.beam_type or "", ()),
            "current": tuple(parse(text, "current") for text in constants("chamber")["ion_currents"]),
        }
        if asked.key == "current" and asked.beam_type == "electron":
            low, high = (parse(text, "current") for text in constants("chamber")["electron"]["currents"])
            known["current"] = tuple(float(amps) for amps in np.geomspace(low, high, 18))
        return message.Chosen(known.get(asked.key, ()))

    # --- frames

    def _acquire(self, asked: message.Acquire) -> After[Response]:
        settings = asked.image_settings or self._imaging(asked.beam_type)
        beam = settings.beam_type or "electron"  # of the settings, whatever was asked beside them
        if asked.image_settings is not None:
            self._set_imaging(settings)
        now = self._imaging(beam)
        passes = (settings.line_integration or 1) * (settings.frame_integration or 1)
        taken = replace(settings, beam_type=beam, resolution=now.resolution, dwell_time=now.dwell_time, hfw=now.hfw)
        over, pixels = self._expose(beam, self._scans[beam].resolution, self._scans[beam].dwell, passes)
        pitch = self._columns[beam].field / pixels.shape[1]
        metadata = Metadata(taken, Point(pitch, pitch), self.state(beam), version="v6")
        if (area := settings.reduced_area) is not None:
            top, left = int(area.top * pixels.shape[0]), int(area.left * pixels.shape[1])
            height, width = int(area.height * pixels.shape[0]), int(area.width * pixels.shape[1])
            pixels = pixels[top : top + height, left : left + width]
            _see(pixels.size > 0, "a frame without pixels")
        self._scans[beam].last = pixels, metadata
        return After(over, lambda: _image(pixels, metadata))

    def _last_image(self, asked: OfBeam) -> Response:
        last = self._scans[asked.beam_type].last
        if last is None:
            raise Trouble("no image was taken")
        return _image(*last)

    def _autocontrast(self, asked: OfBeam) -> After[Done]:
        column = self._columns[asked.beam_type]
        column.contrast = column.brightness = 0.5
        over, pixels = self._expose(asked.beam_type, FOCUS_PIXELS, FOCUS_DWELL, 1)
        column.contrast = float(np.clip(0.5 * 110.0 / max(pixels.mean(), 1.0), 0.05, 1.0))
        return After(over, Done)

    def _auto_focus(self, asked: OfBeam) -> After[Done]:
        chamber = self._instrument.chamber
        over, _ = self._expose(asked.beam_type, FOCUS_PIXELS, FOCUS_DWELL, FOCUS_FRAMES)
        error = float(chamber.random.normal(0.0, FOCUS_ERROR))
        self._columns[asked.beam_type].working_distance = chamber.focused(asked.beam_type) + error
        return After(over, Done)

    def _expose(self, beam: Beam, pixels: Pixels, dwell: float, passes: int) -> tuple[float, NDArray[np.uint8]]:
        """A frame, charged as a whole as it begins, for nothing on this wire can cut it short; when it is over."""
        self._instrument.see_at_rest()
        now = self._instrument.now()
        if now < self._free_from:
            raise Trouble("a frame is under way")
        frame = self._instrument.chamber.frame(beam, pixels, dwell * passes)
        self._free_from = now + pixels[0] * pixels[1] * dwell * passes
        return self._free_from, frame


def _see(fits: bool, what: str) -> None:
    if not fits:
        raise Trouble(what)


def _set(change: Callable[[Beam, V], None], beam: Beam, value: V | None) -> None:
    if value is not None:
        change(beam, value)


def _image(pixels: NDArray[np.uint8], metadata: Metadata) -> Response:
    return Response(200, encode_tiff(pixels, metadata), wire.TIFF)
