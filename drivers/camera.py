"""The camera: images of the far field, gated by the scan or by its own clock (DECTRIS SIMPLON 1.8).

A camera only listens: what opens the beam has the ticket.  It is armed before the beam, and arming ends with the start
message of the series, so that a stream that does not come costs no dose.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.camera_control import ARMING, CameraControl
from drivers.camera_roll import Roll, Tally
from drivers.camera_settings import CameraSettings, ranges
from drivers.errors import DeviceError, LimitError, LinkError, LinkTimeout, Refused, RigError, WireError
from drivers.interlocks import Guard
from drivers.limits import Limits
from drivers.links.base import LONGEST_WAIT, Wait
from drivers.links.http import HttpLink
from drivers.links.messages import MessageLink
from drivers.wire import simplon_legacy, simplon_stream
from drivers.wire.simplon import Scalar
from drivers.wire.simplon_frames import Streamed, StreamEnd, StreamImage, StreamStart
from physics.units import show

__all__ = ["Camera", "CameraSettings", "Prepared", "Tally", "ranges"]

PATIENCE = 3.0  # s without a message that is due
LATE_TRIGGER = 10.0  # s past the last image of a trigger
AT_A_TIME = 256  # messages of one read
STALE = 1 << 17  # messages of lost series that are passed over before a new one
REST = 1024  # images at most that are still read at the end
MIXED = 0.1  # of an image that may show the pixel after its own


@dataclass(frozen=True)
class Prepared:
    """A series as the camera took it.

    images: of it.  gated: one a gate, otherwise all after one trigger.  frame_time: s from image to image; gated, what
    the camera expects.  count_time: s of them counted; gated, as long as the gate is high.  bits: of a pixel.
    shape: (rows, columns).
    """

    images: int
    gated: bool
    frame_time: float
    count_time: float
    bits: int
    shape: tuple[int, int]


class Camera:
    """A DECTRIS hybrid-pixel camera in the far field.

    gate_latency: s, of the wire that brings the scan's pixel clock to its trigger input.
    """

    Settings = CameraSettings

    def __init__(
        self,
        link: HttpLink,
        settings: CameraSettings,
        *,
        stream: MessageLink,
        gate_latency: float,
        limits: Limits,
        guard: Guard,
        wait: Wait,
        name: str = "camera",
    ) -> None:
        self.name = name
        self._control = CameraControl(link, name, wait)
        self._stream = stream
        self.settings = settings
        self._gate_latency = gate_latency
        self._limits = limits
        self._guard = guard
        self._legacy = simplon_legacy.Decoder()
        self._prepared: Prepared | None = None
        self._exposure_id = ""
        self._start: StreamStart | None = None
        self._roll: Roll | None = None
        self._foreign = self._unread = 0
        self._ended = False

    def open(self) -> None:
        """See that the camera speaks 1.8.0 and makes the images the rig file says; initialize it if it was not.

        A series that was left is ended.  Raises LinkError, WireError, DeviceError.
        """
        control = self._control
        control.see_version("open")
        if control.state("open") == "na":
            control.initialize("open")
        control.see_idle("open")
        for name, value in (("format", self.settings.stream_format), ("header_detail", "basic"), ("mode", "enabled")):
            control.set("open", name, value, "stream")
        control.set("open", "roi_mode", self.settings.roi_mode)
        found = tuple(control.number("open", f"{axis}_pixels_in_detector") for axis in "xy")
        columns, rows = self.settings.pixels
        if found != (columns, rows):
            raise control.no(
                "open",
                f"makes images of {found[0]:g} x {found[1]:g} pixels, not of {columns} x {rows}",
                "Correct pixels or roi_mode in the rig file.",
            )

    def configure(self, images: int, frame_time: float, *, gated: bool, bits: int | None = None) -> Prepared:
        """Prepare a series: every parameter is set, those that change with it are read again, and all are compared.

        images, frame_time, gated: see Prepared; frame_time is the pixel's dwell where it is gated.  bits: that a pixel
        must have; the camera chooses them by the times.
        Raises LimitError, InterlockError, LinkError, WireError, DeviceError.
        """
        self._limits.check(self.name, "configure", images=images, frame_time=frame_time)
        if gated and not self._gate_latency <= MIXED * frame_time:
            raise LimitError(
                f"refused: the gate comes {show(self._gate_latency, 'us')} late, so images of "
                f"{show(frame_time, 'us')} would show much of the next pixel",
                device=self.name,
                action="configure",
                way_out=f"Choose a dwell of {show(self._gate_latency / MIXED, 'us')} or more, or a shorter cable.",
            )
        self._guard(f"{self.name}.configure")
        self._prepared = None
        self._control.see_idle("configure")
        wanted: dict[str, Scalar] = {
            "compression": self.settings.compression,
            # the second makes room for the readout in the first (SIMPLON manual, quoted by libertem-live)
            "count_time": frame_time,
            "frame_time": frame_time,
            "ntrigger": 1,
            "nimages": 1,  # an EIGER2 refuses "exte" otherwise
            "trigger_mode": "exte" if gated else "ints",
        }
        for parameter, value in wanted.items():
            self._control.set("configure", parameter, value)
        many = "ntrigger" if gated else "nimages"
        self._control.set("configure", many, images)
        wanted[many] = images
        del wanted["count_time"]
        for parameter, value in wanted.items():
            self._control.see("configure", parameter, value, self._control.get("configure", parameter))
        self._prepared = self._as_taken(images, gated, bits)
        return self._prepared

    def arm(self, exposure_id: str) -> int:
        """Make it wait for gates or its trigger, and see the start of the series come; returns its number.

        Raises Refused, InterlockError, LinkError, WireError, DeviceError.
        """
        prepared = self._prepared
        if prepared is None:
            raise self._refused("arm", "no series is prepared", "Configure it first.")
        self._guard(f"{self.name}.arm")
        self._forget("arm")
        series = self._control.command("arm", "arm", timeout=ARMING)
        if series is None:
            raise WireError("was armed and names no series", device=self.name, action="arm")
        self._start = start = self._start_of(series)
        said = start.images, start.shape, start.dtype.itemsize * 8 if start.dtype is not None else prepared.bits
        if said != (prepared.images, prepared.shape, prepared.bits):
            raise self._control.no("arm", f"starts a series of {said} (images, shape, bits), not as it was configured")
        self._exposure_id = exposure_id
        self._roll = Roll(prepared.images, prepared.frame_time)
        return series

    def trigger(self) -> None:
        """Take all images of a series that is not gated, and return when they are over; then read them.

        Raises Refused, InterlockError, LinkError, WireError, DeviceError.
        """
        prepared = self._prepared
        if self._roll is None or prepared is None or prepared.gated:
            raise self._refused("trigger", "no series waits for a trigger", "Configure it so, and arm it.")
        self._guard(f"{self.name}.trigger")
        self._control.command("trigger", "trigger", timeout=prepared.images * prepared.frame_time + LATE_TRIGGER)

    def read(self, timeout: float) -> list[StreamImage]:
        """Images that came since the last read, as they came; it waits for the first at most `timeout` s (0 to 0.5).

        At most 256 messages are read at a time, and one image is kept back until the next bears it out.
        Raises Refused, LinkError, Aborted.
        """
        if self._roll is None:
            raise self._refused("read", "no series is armed", "Arm it first.")
        return [image for streamed in self._messages("read", timeout) for image in self._taken(streamed)]

    def finished(self) -> bool:
        """True when every image of the series was read, or its end."""
        return self._roll is not None and (self._roll.complete or self._ended)

    def finish(self) -> Tally:
        """End the series, read what is left of it, and tell what came and what did not.

        Raises Refused, LinkError, WireError, DeviceError.
        """
        roll, start = self._roll, self._start
        if roll is None or start is None:
            raise self._refused("finish", "no series is armed", "Arm it first.")
        if self._control.state("finish") not in ("idle", "na"):
            self._control.command("finish", "disarm", timeout=ARMING)
        rest: list[StreamImage] = []
        since = self._stream.elapsed()
        while not self._ended and self._stream.elapsed() - since <= PATIENCE:
            try:
                for streamed in self._messages("finish", LONGEST_WAIT):
                    if images := self._taken(streamed):  # what belongs to nothing may come for ever
                        rest += images
                        since = self._stream.elapsed()
            except LinkError:
                break  # what did not come is missing
            if len(rest) > REST:
                raise self._control.no(
                    "finish", f"has more than {REST} images left", "Read the series to its end first."
                )
        roll.close()
        self._roll = None
        return Tally(
            exposure_id=self._exposure_id,
            series=start.series,
            due=roll.images,
            received=roll.received,
            missing=roll.missing(),
            twice=roll.twice,
            late=roll.late,
            broken=roll.broken + self._unread,
            foreign=self._foreign,
            skipped=tuple(roll.skipped),
            dropped=self._dropped("finish"),
            ended=self._ended,
            rest=tuple(rest),
        )

    def angles(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Angles of the rows and of the columns of an image from its middle, rad, (rows,) and (columns,)."""
        columns, rows = self.settings.pixels
        angle = self.settings.angle_per_pixel
        down, across = ((np.arange(n, dtype=np.float64) - (n - 1) / 2.0) * angle for n in (rows, columns))
        return down, across

    def status(self) -> dict[str, float | str | bool]:
        """State and health, and how far the series is, for the record."""
        told = {name: self._control.told("status", name) for name in ("state", "temperature", "humidity")}
        return {
            "state": str(told["state"]),
            "temperature": _number(told["temperature"]),
            "humidity": _number(told["humidity"]),
            "exposure": self._exposure_id,
            "images": self._roll.received if self._roll else 0,
            "images_of_series": self._roll.images if self._roll else 0,
        }

    def make_safe(self) -> None:
        """End whatever series it is in, even while an abort is due; it opens no beam."""
        with self._control.link.abort.ignored():
            try:
                resting = self._control.state("make_safe") in ("idle", "na")
            except (LinkError, WireError):
                resting = False
            if not resting:
                self._control.abort("make_safe")

    def close(self) -> None:
        """Close both lines; the camera goes on as it is."""
        self._control.link.close()
        self._stream.close()

    def _as_taken(self, images: int, gated: bool, bits: int | None) -> Prepared:
        found = int(self._control.number("configure", "bit_depth_image"))
        frame_time, count_time = (self._control.number("configure", name) for name in ("frame_time", "count_time"))
        if bits is not None and found != bits:
            raise self._control.no(
                "configure",
                f"makes {found} bits a pixel of images of {show(frame_time, 'us')}, not {bits}",
                "Choose other times, or other bits.",
            )
        if not 0.0 < count_time <= frame_time * 1.000001:
            raise self._control.no("configure", f"would count for {count_time} s of {frame_time} s")
        columns, rows = self.settings.pixels
        return Prepared(images, gated, frame_time, count_time, found, (rows, columns))

    def _dropped(self, action: str) -> int | None:
        """Images the camera lost for want of room; not every firmware tells."""
        try:
            found = self._control.told(action, "dropped", "stream")
        except DeviceError:
            return None
        return found if isinstance(found, int) else None

    # --- messages

    def _forget(self, action: str) -> None:
        """Pass over what waits of earlier series."""
        self._roll, self._start, self._ended = None, None, False
        self._foreign = self._unread = 0
        self._legacy.reset()
        for _ in range(STALE):
            if self._receive(action, 0.0) is None:
                return
        raise WireError(f"{STALE} messages came that nobody asked for", device=self.name, action=action)

    def _start_of(self, series: int) -> StreamStart:
        give_up = self._stream.elapsed() + PATIENCE
        while self._stream.elapsed() <= give_up:
            for streamed in self._messages("arm", LONGEST_WAIT, most=1):
                if isinstance(streamed, StreamStart) and streamed.series == series:
                    return streamed
                self._foreign += 1
        raise LinkTimeout(
            f"was armed, but the start of series {series} did not come within {PATIENCE:g} s",
            device=self.name,
            action="arm",
            way_out="Is the stream's address right, and is no other program connected to it?",
        )

    def _messages(self, action: str, timeout: float, most: int = AT_A_TIME) -> Iterator[Streamed]:
        """What comes within `timeout` s, and what has already come then; what cannot be read is counted."""
        for number in range(most):
            try:
                message = self._receive(action, timeout if number == 0 else 0.0)
            except RigError:
                if number == 0:
                    raise
                return  # what came before is not lost; the next call meets the same
            if message is None:
                return
            try:
                streamed = (
                    simplon_stream.decode(message)
                    if self.settings.stream_format == "cbor"
                    else self._legacy.decode(message)
                )
            except WireError:
                self._unread += 1
                continue
            if streamed is not None:
                yield streamed

    def _receive(self, action: str, timeout: float) -> tuple[bytes, ...] | None:
        try:
            return self._stream.receive(timeout)
        except RigError as error:
            raise error.at(self.name, action) from None

    def _taken(self, streamed: Streamed) -> list[StreamImage]:
        """The images that can be handed out now that this came."""
        roll, start = self._roll, self._start
        assert roll is not None and start is not None
        if (streamed.series, streamed.unique_id) != (start.series, start.unique_id):
            self._foreign += 1
            return []
        if isinstance(streamed, StreamEnd):
            self._ended = True
        if not isinstance(streamed, StreamImage):
            return []
        if not self._fits(streamed, start):
            self._unread += 1
            return []
        return roll.call(streamed)

    def _fits(self, image: StreamImage, start: StreamStart) -> bool:
        """Channels, shape and type as the start of the series said; that blocks add up the decoders have seen."""
        assert self._prepared is not None
        return tuple(image.channels) == start.channels and all(
            packed.shape == start.shape and packed.dtype.itemsize * 8 == self._prepared.bits
            for packed in image.channels.values()
        )

    def _refused(self, action: str, what: str, way_out: str) -> Refused:
        return Refused(f"refused: {what}", device=self.name, action=action, way_out=way_out)


def _number(value: object) -> float:
    return float(value) if isinstance(value, float | int) else math.nan
