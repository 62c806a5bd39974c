"""What a map is taken for: how sure its ramps are to be, looked at while it is taken."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.eds_map import EdsMap, half_widths
from acquisition.analysis.stacking import Stack
from acquisition.datafile import PassRecord
from drivers.rigfile import Optics
from drivers.ticket import Frame
from physics.quantities import Metres

LOOKS = 10  # at most, while a map is taken
FIRST = 0.2  # of the passes: earlier a few lucky counts may look sure
IN_A_ROW = 3  # looks that must agree: to stop at the first lucky one would favour ramps that look short
Target = dict[str, Metres]
"""By element, m: half of the 95 % interval of its ramp, as far as counting makes it."""


class Aim:
    """A map so far, and whether its ramps are as sure as they are meant to be."""

    def __init__(
        self,
        target: Mapping[str, float],
        optics: Optics,
        elements: tuple[str, ...],
        energies: NDArray[np.floating],
        passes: int,
    ) -> None:
        self._target, self._optics, self._elements, self._energies = target, optics, elements, energies
        self._every, self._first = max(1, passes // LOOKS), max(2, round(FIRST * passes))
        self._heard: list[tuple[int, NDArray[np.integer], NDArray[np.integer]]] = []
        self._done: list[PassRecord] = []
        self._stack: Stack | None = None
        self._frame: Frame | None = None
        self.found: dict[str, float] = {}
        self._in_a_row = 0

    def hear(self, index: int, pixels: NDArray[np.integer], channels: NDArray[np.integer]) -> None:
        """Events of a pass."""
        if self._target:
            self._heard.append((index, pixels, channels))

    def see(self, record: PassRecord, image: NDArray[np.uint16], frame: Frame) -> None:
        """A pass is over."""
        if self._target and record.live_time > 0.0:
            self._stack = self._stack or Stack(frame.pixels, frame.pitch)
            self._stack.add(image, record.drift, record.pixels_done)
            self._frame = self._frame or frame
            self._done.append(record)

    def met(self) -> bool:
        """Whether every element of the target was as sure as asked three times in a row; looks every few passes."""
        done = len(self._done)
        if not self._target or done < self._first or (done - self._first) % self._every:
            return False
        self.found = half_widths(self._so_far(), self._optics, tuple(self._target))
        sure = all(self.found.get(element, np.inf) <= wanted for element, wanted in self._target.items())
        self._in_a_row = self._in_a_row + 1 if sure else 0
        return self._in_a_row >= IN_A_ROW

    def _so_far(self) -> EdsMap:
        assert self._stack is not None and self._frame is not None
        order = {record.index: place for place, record in enumerate(self._done)}
        heard = [part for part in self._heard if part[0] in order]
        empty = np.empty(0, dtype=np.int64)
        return EdsMap(
            passes=np.concatenate([np.full(p.size, order[i], dtype=np.int64) for i, p, _ in heard] or [empty]),
            pixels=np.concatenate([p.astype(np.int64) for _, p, _ in heard] or [empty]),
            channels=np.concatenate([c.astype(np.int64) for _, _, c in heard] or [empty]),
            energies=self._energies.astype(np.float64),
            elements=self._elements,
            frame=self._frame,
            pixels_done=tuple(record.pixels_done for record in self._done),
            shifts=tuple(record.drift for record in self._done),
            dark_field=self._stack.mean(),
            electrons=1.0,
        )
