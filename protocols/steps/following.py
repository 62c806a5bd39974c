"""Follows the sample while the goniometer tilts it: a lamella off the axis moves with every tilt, seen or not."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.registration import register
from acquisition.exposure import Sighting
from protocols.bench import StepRun

ASKEW = 0.1  # rad that the axis of the tilt may be off the interface, along which a shift is not seen; assumed
ACROSS = math.radians(30.0)  # a direction that is not seen must be this near to that of the interface
SURE = 3.0  # standard errors within which a height is believed
REACH = 1 / 3  # of the field, within which a shift is looked for


class Follower:
    """Predicts where a tilt takes the sample, measures it, and tells the tracker how unsure both are.

    start: tilt, rad, at which the first image is taken.  home: where the sample stood at that tilt before.
    place: (x, y), m, of what is looked at from the middle of the scan field, where the axis is believed to be, to
    within half a field.  height: m that the lamella may be off it.
    across: m that the sample was last believed to have moved along the normal of the interface.  sure: whether the last
    image showed that.
    """

    def __init__(self, run: StepRun, start: float, home: Sighting, place: tuple[float, float], height: float) -> None:
        self._run, self._start, self._home, self._place, self._worst = run, start, home, np.array(place), height
        self._seen: list[tuple[float, float]] = []  # differences of the tangents, and how far the sample moved
        self._height, self._unsure = 0.0, height
        self._tilt = self._aimed = start  # at which the sample was last seen, and where it was tilted to
        self._normal = np.array([1.0, 0.0])
        self._first = self._last = run.tracker.last
        self._reference: NDArray[np.uint16] | None = None
        self._pitch = (1.0, 1.0)
        self._margin = self._unseen = 0.0
        self._arrival: Sighting | None = None  # what is believed once the goniometer has arrived
        self.across, self.sure = 0.0, True

    def begin(
        self, image: NDArray[np.uint16], normal: tuple[float, float], pitch: tuple[float, float], margin: float
    ) -> None:
        """The image at the start, in which the interface has a normal; margin: how far off the sample may be in it."""
        self._reference, self._normal, self._pitch, self._margin = image, np.array(normal), pitch, margin
        self._first = self._last = self._run.tracker.last

    def going(self, stands: float, tilt: float) -> None:
        """The goniometer is about to go from where it stands: until it has arrived the sample may be here or there."""
        here = self._run.tracker.last
        if self._reference is None:  # a series that was torn goes back to where it began
            turned, shorter = math.tan(tilt) - math.tan(stands), math.cos(tilt) - math.cos(stands)
            unseen = self._worst * abs(turned) + self._half * abs(shorter)
            if unseen > 0.0:
                self._arrival = self._home
                self._run.resighted(replace(here, unsure=here.unsure + unseen))
            return
        turned, shorter = math.tan(tilt) - math.tan(self._tilt), math.cos(tilt) - math.cos(self._tilt)
        self._unseen = self._unsure * abs(turned) + self._half * abs(shorter)
        moved = (self._height * turned + self._beside * shorter) * self._normal
        offset = self._last.offset[0] + moved[0], self._last.offset[1] + moved[1]
        self._arrival = Sighting(offset, self._last.time, self._last.unsure + self._unseen)
        self._aimed = tilt
        way = math.dist(offset, here.offset)
        unsure = max(self._arrival.unsure, here.unsure + way)
        self._run.resighted(replace(self._arrival, unsure=unsure), torn=self._foreshortened(tilt))

    def arrived(self) -> None:
        """It stands at the tilt it was sent to: the sample is believed to stand where that takes it."""
        if self._arrival is not None:
            self._run.resighted(self._arrival, torn=self._foreshortened(self._aimed))
            self.across = self._along_normal(self._arrival.offset)
            self._arrival = None

    def follow(self, image: NDArray[np.uint16], began: float) -> dict[str, Any]:
        """Register an image taken since; began: clock time, s. What the table of passes says of it."""
        assert self._reference is not None
        reach = REACH * min(n * step for n, step in zip(image.shape[::-1], self._pitch, strict=True))
        shift = register(self._reference, image, self._pitch, reach=reach)
        believed = self._run.tracker.last
        offset = believed.offset[0] + shift.dx, believed.offset[1] + shift.dy
        blind = shift.unmeasured
        along = math.atan2(self._normal[0], -self._normal[1])
        usable = blind is None or abs(math.remainder(blind - along, math.pi)) <= ACROSS
        self.sure = shift.accepted and usable
        if self.sure:
            if blind is None:
                seen = Sighting(offset, began, self._margin + shift.error)
            else:  # along the interface it drifts on unseen, and the tilt may have carried it a little
                slid = ASKEW * (abs(self._along_normal(offset)) + self._unseen)
                seen = Sighting(offset, self._first.time, self._first.unsure + shift.error + slid)
            self._run.resighted(seen, torn=self._foreshortened(self._aimed))
            self._last, self._tilt = seen, self._aimed
            self.across = self._along_normal(offset)
            self._learn(shift.error, began)
        return {"drift": (shift.dx, shift.dy), "drift_score": shift.score}

    def leave(self, tilt: float) -> None:
        """The series is over: other places of the field are foreshortened by another amount than here."""
        believed = self._run.tracker.last
        self._run.resighted(replace(believed, unsure=believed.unsure + self._foreshortened(tilt)))

    def _foreshortened(self, tilt: float) -> float:
        """By how much any place of the field may be nearer to the axis than it was at the start, m."""
        return self._half * abs(math.cos(tilt) - math.cos(self._start))

    @property
    def _half(self) -> float:
        """Half of the scan field, m."""
        return self._run.rig.scan.settings.full_field / 2.0

    @property
    def _beside(self) -> float:
        """How far, m, along the normal of the interface the place is from the axis; as much of it is foreshortened."""
        return float(self._place @ self._normal)

    def _along_normal(self, offset: tuple[float, float]) -> float:
        return float((np.array(offset) - np.array(self._first.offset)) @ self._normal)

    def _learn(self, error: float, now: float) -> None:
        """The height off the axis that explains all moves so far, and how unsure it is."""
        turned = math.tan(self._tilt) - math.tan(self._start)
        if abs(turned) < 1e-6:
            return
        self._seen.append((turned, self.across - self._beside * (math.cos(self._tilt) - math.cos(self._start))))
        turns, moves = np.array(self._seen).T
        self._height = float(turns @ moves / (turns @ turns))
        drifted = self._run.rig.file.calibrations.drift_per_hour / 3600.0 * (now - self._first.time)
        self._unsure = min((SURE * error + drifted) / float(np.abs(turns).max()), self._worst)
