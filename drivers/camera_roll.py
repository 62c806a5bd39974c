"""The roll of a series: which images came, which did not, and which cannot be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivers.wire.simplon_frames import StreamImage

HALF = 0.5  # of the time from image to image


@dataclass(frozen=True)
class Tally:
    """What a series amounts to.

    due: images it was armed for.  received: of them, that were handed out, those in `rest` included.  missing: the
    others, as first and last numbers of gaps.  twice, late: images that came again, or after later ones.  broken:
    messages that could not be read or contradict the others.  foreign: messages of other series.  skipped: (image,
    gates): so many gates passed unanswered before that image, whose place in the frame is so much later.  dropped: by
    the camera's own count, None where it does not tell.  ended: the camera said that the series is over.  rest: images
    that came at the end; they follow those already read.
    """

    exposure_id: str
    series: int
    due: int
    received: int
    missing: tuple[tuple[int, int], ...]
    twice: int
    late: int
    broken: int
    foreign: int
    skipped: tuple[tuple[int, int], ...]
    dropped: int | None
    ended: bool
    rest: tuple[StreamImage, ...]

    @property
    def whole(self) -> bool:
        """True when every image came and each stands for the gate of its number."""
        return not self.missing and not self.skipped


class Roll:
    """Holds each image against its neighbours: numbers and start times must go on alike.

    No message has a checksum, and a number or time that a flipped bit has changed would put an image in a wrong place.
    So the first image is handed out with the second, and one that contradicts its forerunners with a second that bears
    it out (then gates were missed), or never.  A camera whose start times do not move is believed by its numbers.

    every: s from image to image.
    """

    def __init__(self, images: int, every: float) -> None:
        self.images = images
        self.twice = self.late = self.broken = 0
        self.skipped: list[tuple[int, int]] = []
        self._every = every
        self._came = np.zeros(images, dtype=np.bool_)
        self._last: StreamImage | None = None  # the furthest that was handed out
        self._held: StreamImage | None = None

    @property
    def received(self) -> int:
        """Images handed out."""
        return int(np.count_nonzero(self._came))

    @property
    def complete(self) -> bool:
        """True when every image was handed out."""
        return bool(self._came.all())

    def call(self, image: StreamImage) -> list[StreamImage]:
        """What can be handed out now that this image came, in the order of its coming."""
        held = self._held
        if not (0 <= image.image < self.images and image.start[1] > 0):
            self.broken += 1
        elif self._last is not None and self._agree(self._last, image):
            return self._out(image)
        elif held is not None and held.image != image.image and self._agree(held, image) and self._follows(held):
            self._held = None
            return self._out(held) + self._out(image)
        elif self.images == 1:
            return self._out(image)
        elif held is not None and (held.image, held.start) == (image.image, image.start):
            self.twice += 1
        else:
            self.broken += held is not None
            self._held = image
        return []

    def close(self) -> None:
        """No more will come: what was never borne out is broken."""
        self.broken += self._held is not None
        self._held = None

    def missing(self) -> tuple[tuple[int, int], ...]:
        """First and last number of each gap."""
        edges = np.flatnonzero(np.diff(np.concatenate([[True], self._came, [True]]).astype(np.int8)))
        return tuple((int(first), int(last) - 1) for first, last in zip(edges[::2], edges[1::2], strict=True))

    def _agree(self, one: StreamImage, other: StreamImage) -> bool:
        """Numbers and times go on alike from the one to the other."""
        numbers, slots = other.image - one.image, self._slots(one, other)
        return abs(slots - numbers) < HALF or (slots == 0.0 and one.start[0] == 0 == other.start[0])

    def _slots(self, one: StreamImage, other: StreamImage) -> float:
        """Time between two images, in images."""
        return (other.start[0] / other.start[1] - one.start[0] / one.start[1]) / self._every

    def _follows(self, held: StreamImage) -> bool:
        """Whether gates may have been missed between the last one and this; notes how many, if it is borne out."""
        if self._last is None:
            return True
        gates = round(self._slots(self._last, held)) - (held.image - self._last.image)
        if gates <= 0 or held.image <= self._last.image:
            return False
        self.skipped.append((held.image, gates))
        return True

    def _out(self, image: StreamImage) -> list[StreamImage]:
        number = image.image
        if self._came[number]:
            self.twice += 1
            return []
        self._came[number] = True
        if self._last is None or number > self._last.image:
            self._last = image
        else:
            self.late += 1
        return [image]
