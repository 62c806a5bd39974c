"""The goniometer of a microscope behind temscript: goes to a place within all limits, and sees that it stands there."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from drivers.column_settings import ColumnSettings
from drivers.errors import DeviceError
from drivers.limits import Limits, Range
from drivers.links.base import Wait
from drivers.links.http import HttpExchange
from drivers.pose import Place
from drivers.wire import temscript as wire

POLL = 0.5  # s between looks at a move
SETTLE = 3.0  # s that it may stand ready beside its place: axes start and stop one after another
UNITS = {"x": "um", "y": "um", "z": "um", "a": "deg", "b": "deg"}


@dataclass(frozen=True)
class GoniometerPose(Place):
    """Where the goniometer stands: x, y, z in m; a, the tilt about the holder's axis, and b, the second one, in rad."""

    x: float
    y: float
    z: float
    a: float
    b: float


class Goniometer:
    """Moves of a column's goniometer.

    It can be asked where it is, and not be stopped: the API has no word for that, so a move begun goes to its end.
    """

    def __init__(self, http: HttpExchange, settings: ColumnSettings, wait: Wait) -> None:
        self._http, self._settings, self._wait = http, settings, wait

    def pose(self, action: str) -> GoniometerPose:
        """Where it reads to be, by two answers that agree."""
        found = self._http.agreed(action, wire.STAGE_POSITION.get(), wire.STAGE_POSITION.value)
        return GoniometerPose(**found.axes())

    def state(self, action: str) -> str:
        """READY, GOING, MOVING, WOBBLING, NOT_READY or DISABLED."""
        return self._http.ask_for(action, wire.STAGE_STATUS.get(), wire.STAGE_STATUS.value, safe=True)

    def go(self, action: str, target: GoniometerPose) -> None:
        """Go to a place; the rig's limits and interlocks have been seen to.

        x and y alone go straight; where z or a tilt takes part the tilts pass zero, clear of the pole piece.
        Raises LimitError (the microscope's own limits), LinkError, WireError, DeviceError; Aborted lets it arrive.
        """
        own = self._http.agreed(action, wire.STAGE_LIMITS.get(), wire.STAGE_LIMITS.value)
        ranges = {
            axis: Range(low, high, UNITS[axis], "the goniometer's own") for axis, (low, high) in asdict(own).items()
        }
        Limits(ranges).check(self._http.device, action, **target.axes())
        if (state := self.state(action)) != "READY":
            raise self._no(action, f"stands {state}, not READY", "Wait until it stands, or look at the stage's alarm.")
        wanted = self._off(self.pose(action), target)
        if not wanted:
            return
        order = wire.STAGE_POSITION.put(wire.Position(**wanted), method="GO" if set(wanted) <= {"x", "y"} else "MOVE")
        # a server that answers only when the stage has arrived is waited for; it does nothing else meanwhile
        self._http.ask_for(action, order, wire.see_done, safe=False, timeout=self._settings.move_time)
        self._arrive(action, target)

    def _arrive(self, action: str, target: GoniometerPose) -> None:
        clock = self._http.link.clock
        given_up = clock.now() + self._settings.move_time
        ready_since: float | None = None
        while True:
            state = self.state(action)
            now = clock.now()
            if state == "DISABLED":
                raise self._no(action, "was disabled on its way", "Look at the stage's alarm; then enable it there.")
            if state != "READY":
                ready_since = None
            elif not (off := self._off(self.pose(action), target)):
                return
            elif ready_since is None:
                ready_since = now
            elif now - ready_since > SETTLE:
                beside = ", ".join(f"{axis} {value:g}" for axis, value in off.items())
                raise self._no(action, f"stands READY, but has not reached {beside}", "Did it touch the pole piece?")
            if now > given_up:
                raise self._no(action, f"has not arrived after {self._settings.move_time:g} s ({state})")
            self._wait(POLL)

    def _off(self, here: GoniometerPose, target: GoniometerPose) -> dict[str, float]:
        """The axes of the target that `here` is not at."""
        landing = {axis: self._settings.landing_angle if axis in "ab" else self._settings.landing for axis in wire.AXES}
        there = target.axes()
        return {axis: there[axis] for axis, at in here.axes().items() if not abs(at - there[axis]) <= landing[axis]}

    def _no(self, action: str, what: str, way_out: str = "") -> DeviceError:
        return DeviceError(what, device=self._http.device, action=action, way_out=way_out)
