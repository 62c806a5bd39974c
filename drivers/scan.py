"""The scan: finite frames, each on its ticket, blanked before and after (Open Beam Interface).

The box does what it is sent in order and can cut nothing short: a frame goes out in one buffer with its own blanking,
so a host that dies leaves the beam blanked at the frame's end, and stopping waits for that end.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import LinkError, LinkTimeout, Refused, RigError, WireError
from drivers.interlocks import Guard
from drivers.limits import Limits
from drivers.links.base import LONGEST_WAIT, Link, Wait
from drivers.raster import Raster, raster, samples
from drivers.scan_settings import ScanSettings, ranges
from drivers.ticket import Frame, Ticket, unlike
from drivers.wire import obi
from drivers.wire.obi_reply import Pixels, Reply, ReplySplitter, Synchronized, cookies

__all__ = ["Scan", "ScanSettings", "ranges"]

PATIENCE = 2.0  # s past the moment at which all should have come
# as operands these end any command that was left half said, with the least it can do; as commands they do nothing
PADDING = bytes(12) + obi.encode(obi.Flush(), obi.Flush())
# the inline one replaces an unblanking that waits for a pixel; blanking comes first, the pins are taken last
HOLD = (
    obi.Blank(enable=True, inline=True),
    obi.Blank(enable=True, inline=False),
    obi.BeamSelect(obi.Beam.ELECTRON),
    obi.ExternalCtrl(enable=True),
)


@dataclass
class _Running:
    """The frame the box is working on."""

    pixels: int
    begin: int  # cookie before its first pixel
    end: int  # cookie after its last pixel and the blanking
    begun: bool = False
    got: int = 0
    done: bool = False
    lost: bool = False  # not wholly said, or something came that it cannot have brought


class Scan:
    """An Open Beam Interface on a STEM column.

    Closing the line, or losing it, makes the box let go of its blank pins: something else must hold the beam off then.
    A frame is read, never waited for: the control wait that every driver is given is not needed.
    """

    Settings = ScanSettings

    def __init__(
        self, link: Link, settings: ScanSettings, *, limits: Limits, guard: Guard, wait: Wait, name: str = "scan"
    ) -> None:
        self.name = name
        self._link = link
        self.settings = settings
        self._limits = limits
        self._guard = guard
        self._splitter = ReplySplitter()
        self._cookies = cookies()
        self._running: _Running | None = None
        self._unread: list[NDArray[np.uint16]] = []
        self._due = 0.0  # rig time by which everything asked for is done
        self._late_since: float | None = None
        self._blanked = False
        self._half_said = True  # the box may hold half a command, ours or a lost host's

    def open(self) -> None:
        """Take the blank pins, blanked, and see that the box answers. Raises LinkError, WireError."""
        self._confirm_blanked("open")

    def close(self) -> None:
        """Close the line; the box then lets go of its blank pins."""
        self._link.close()
        self._blanked = False

    def commanded(self, frame: Frame) -> Frame:
        """The frame the box would scan for `frame`: pitch and place in whole converter steps, dwell in 125 ns.

        Commanding it again changes nothing; the dose is counted on it.  Raises LimitError.
        """
        return self._raster(frame).frame

    def start(self, frame: Frame, ticket: Ticket) -> None:
        """Spend the ticket and let the frame run.

        frame: as `commanded` returns it.  Raises LimitError, InterlockError, Refused, TicketError, LinkError.
        """
        if self._running is not None and not self._running.done:
            raise self._refused("another frame is under way", "Read it to its end, or stop it.")
        if frame != (commanded := self.commanded(frame)):
            raise self._refused(
                f"the frame is {unlike(frame, commanded, 'the box would scan')}",
                "Reserve and start what commanded() returns.",
            )
        self._guard(f"{self.name}.start")
        begin, end = next(self._cookies), next(self._cookies)
        whole = self._frame_commands(frame, begin, end)
        ticket.spend(frame)
        self._running = _Running(frame.count, begin, end)
        self._blanked = False
        self._unread.clear()
        self._splitter.reset()
        self._splitter.seek(begin)
        self._expect(self._link.clock.now() + frame.seconds)
        with self._link.transaction():
            self._say("start", whole)

    def read(self, timeout: float) -> NDArray[np.uint16]:
        """Pixels that came since the last read, row by row, within `timeout` s (0 to 0.5); empty if none did.

        Values are multiples of 4 up to 65532.  Raises LinkError (also when the frame should long be over) and
        WireError: the frame is then lost, and only `stop` goes on; Aborted.
        """
        running = self._running
        if running is not None and running.lost:
            raise self._refused("the frame is lost", "Stop it first.", action="read")
        if running is not None and not running.done:
            try:
                self._listen(timeout)
                if not running.done:
                    self._see_in_time("the end of the frame")
            except (LinkError, WireError) as error:
                running.lost = True
                raise error.at(self.name, "read") from None
        unread, self._unread = self._unread, []
        return np.concatenate(unread) if unread else np.empty(0, np.uint16)

    def finished(self) -> bool:
        """True when every pixel of the frame came, and the answer that is sent after the beam was blanked."""
        return self._running is not None and self._running.done

    def stop(self) -> int:
        """See the frame to its end and the beam blanked, even while an abort is due; pixels known to be delivered.

        The box finishes what it has been sent: this may last as long as the rest of the frame.  What came meanwhile
        can still be read.  Raises LinkError, WireError.
        """
        self._blank("stop")
        delivered = self._running.got if self._running else 0
        self._running = None
        return delivered

    def blank(self) -> None:
        """Blank the beam and have the box confirm it, after the rest of a frame under way. Raises LinkError."""
        self._blank("blank")

    def let_go(self) -> None:
        """Let go of the blank pins and the coils, so that the microscope has its beam; `blank` takes them again.

        For when something else holds the beam.  Raises InterlockError, Refused, LinkError.
        """
        if self._running is not None and not self._running.done:
            raise self._refused("a frame is under way", "Read it to its end, or stop it.", action="let_go")
        self._guard(f"{self.name}.let_go")
        self._blanked = False
        with self._link.transaction():
            self._say("let_go", obi.encode(obi.ExternalCtrl(enable=False), obi.Flush()))

    def make_safe(self) -> None:
        """Blank the beam, confirmed, even while an abort is due. Raises LinkError, WireError."""
        self._blank("make_safe")

    def status(self) -> dict[str, float | str | bool]:
        """For the record: whether the beam is known to be blanked, and how far the frame is; asks the box nothing."""
        running = self._running
        return {
            "blanked": self._blanked,
            "pixels": running.got if running else 0,
            "pixels_of_frame": running.pixels if running else 0,
        }

    def gain(self, dwell: float) -> float:
        """What one counted electron adds to a pixel of `dwell` s, which is the mean of its 125 ns samples."""
        return self.settings.counts_per_electron / samples(dwell)

    def electrons(self, values: NDArray[np.uint16] | NDArray[np.float64], dwell: float) -> NDArray[np.float64]:
        """Electrons counted in each pixel, from its value.

        The box averages only the first 2^n samples of a dwell (largest power that fits): an estimate from those.
        """
        return (values.astype(np.float64) - self.settings.dark_level) / self.gain(dwell)

    # --- what goes out

    def _raster(self, frame: Frame) -> Raster:
        return raster(frame, self.settings, self._limits, self.name)

    def _frame_commands(self, frame: Frame, begin: int, end: int) -> bytes:
        scanned = self._raster(frame)
        longest = obi.LONGEST_RUN // frame.pixels[0] * frame.pixels[0]  # whole rows
        full_runs, rest = divmod(frame.count, longest)
        runs = [longest] * full_runs + [rest] * (rest > 0)
        return obi.encode(
            *HOLD,
            _synchronize(begin),
            obi.RasterRegion(*astuple(scanned.x), *astuple(scanned.y)),
            obi.Blank(enable=False, inline=True),
            *(obi.RasterPixelRun(pixels, scanned.samples) for pixels in runs),
            obi.Blank(enable=True, inline=False),
            _synchronize(end),
            obi.Flush(),
        )

    def _say(self, action: str, data: bytes) -> None:
        """Write all of `data`; what fails leaves the box with half a command, and the frame under way lost."""
        running, self._half_said = self._running, True
        try:
            self._link.write(data)
            self._half_said = False
        except RigError as error:
            raise error.at(self.name, action) from None
        finally:
            if self._half_said and running is not None and not running.done:
                running.lost = True

    # --- what comes back

    def _blank(self, action: str) -> None:
        with self._link.abort.ignored():
            self._confirm_blanked(action, obi.Abort())

    def _confirm_blanked(self, action: str, *first: obi.Command) -> None:
        """Blank and read up to the answer that is sent after it."""
        cookie = next(self._cookies)
        self._expect(max(self._due, self._link.clock.now()))
        said = obi.encode(*first, *HOLD, _synchronize(cookie), obi.Flush())
        with self._link.transaction():
            self._say(action, PADDING + said if self._half_said else said)
            running = self._running
            if running is None or running.done or running.lost:  # what may still come belongs to nothing
                self._splitter.reset()
                self._splitter.seek(cookie)
            confirmed = False
            while not confirmed:
                try:
                    confirmed = self._listen(LONGEST_WAIT, until=cookie)
                    if not confirmed:
                        self._see_in_time("word that the beam is blanked")
                except WireError:  # the frame is lost; the beam must be blanked all the same
                    if running is not None:
                        running.lost = True
                    self._splitter.seek(cookie)
                except LinkError as error:
                    raise error.at(self.name, action) from None
        self._due = self._link.clock.now()
        self._blanked = True

    def _listen(self, timeout: float, until: int | None = None) -> bool:
        """One bounded read; True when the answer `until` was in it. Raises WireError on what no frame may bring."""
        self._splitter.feed(self._link.read(timeout))
        while (reply := self._splitter.next()) is not None:
            if isinstance(reply, Synchronized) and reply.cookie == until:
                return True
            self._hear(reply)
            self._late_since = None  # words that belong to nothing are no sign of life
        return False

    def _hear(self, reply: Reply) -> None:
        running = self._running
        if running is None or running.done:
            raise WireError("something came that belongs to no frame")
        if isinstance(reply, Pixels):
            if not running.begun or running.got + reply.values.size > running.pixels:
                raise WireError(f"more pixels came than the {running.pixels} of the frame")
            running.got += reply.values.size
            self._unread.append(reply.values)
        elif reply.cookie == running.begin and not running.begun:
            running.begun = True
        elif reply.cookie == running.end and running.got == running.pixels:
            running.done = self._blanked = True
        else:
            raise WireError(f"cookie {reply.cookie:#06x} came after {running.got} of {running.pixels} pixels")

    def _expect(self, due: float) -> None:
        self._due = due
        self._late_since = None

    def _see_in_time(self, what: str) -> None:
        """Raise LinkTimeout when nothing that was asked for came for a while although all should be done."""
        if self._link.clock.now() < self._due:
            return
        now = self._link.elapsed()
        if self._late_since is None:
            self._late_since = now
        if now - self._late_since > PATIENCE:
            raise LinkTimeout(f"did not bring {what} within {PATIENCE:g} s", way_out="Is the box on and the cable in?")

    def _refused(self, what: str, way_out: str, action: str = "start") -> Refused:
        return Refused(f"refused: {what}", device=self.name, action=action, way_out=way_out)


def _synchronize(cookie: int) -> obi.Synchronize:
    return obi.Synchronize(cookie, raster=True, output=obi.Output.SIXTEEN_BIT)
