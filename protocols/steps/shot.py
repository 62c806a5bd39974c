"""One pass of one frame, from ticket to record: what images, focus and maps have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from acquisition.datafile import DataFile, ImageWriter, PassRecord
from acquisition.exposure import expose
from drivers.ticket import Ticket
from protocols.bench import StepRun
from protocols.plan import Framed

Side = Annotated[int, Field(ge=1, le=16384)]
Pixels = tuple[Side, Side]
"""Columns and rows of a frame; the scan box has 16384 places a side."""
FLUSH = 0.2  # s of beam that a killed process may lose of an image, at most; or one row


@dataclass(frozen=True)
class Shot:
    """The image of a pass (rows, columns), ADC counts, and its record."""

    image: NDArray[np.uint16]
    record: PassRecord


def square(field: float, pixels: Pixels) -> tuple[float, float]:
    """Width and height, m, of a field `field` wide with square pixels."""
    return field, field * pixels[1] / pixels[0]


def dark_field(file: DataFile, run: StepRun, title: str, frame: Framed, *, passes: int) -> ImageWriter:
    """The dataset of a dark-field image, or of a stack of `passes`."""
    return file.image(
        "dark_field",
        title=title,
        frame=frame.commanded,
        requested=frame.requested,
        passes=passes,
        detector="DF",
        counts_per_electron=run.rig.scan.gain(frame.commanded.dwell),
    )


def shoot(
    run: StepRun,
    ticket: Ticket,
    index: int,
    writer: ImageWriter,
    listeners: Sequence[Callable[[], None]] = (),
) -> Shot:
    """Expose on a ticket into pass `index` of `writer`; the file's table of passes is the caller's to fill."""
    frame, ledger, clock = ticket.frame, run.ledger, run.rig.clock
    image = np.zeros(frame.count, dtype=np.uint16)
    portion = max(frame.pixels[0], round(FLUSH / frame.dwell))
    got = kept = 0
    footprint = ledger.footprint(frame, run.tracker.aim(clock.now()))
    after = ledger.map.highest(footprint)
    start = clock.utc()

    def keep(first: int, values: NDArray[np.uint16]) -> None:
        nonlocal got, kept
        got = first + values.size
        image[first:got] = values
        if got - kept >= portion or got == frame.count:
            writer.write(index, kept, image[kept:got])
            kept = got

    try:
        delivered = expose(run.rig.scan, ledger, ticket, run.control, pixels=keep, listeners=listeners)
    finally:
        if got > kept:
            writer.write(index, kept, image[kept:got])
    planned = ledger.belief.fluence(frame)
    record = PassRecord(
        index=index,
        exposure_id=ticket.exposure_id,
        start=start,
        seconds=frame.seconds,
        pixels_done=frame.count,
        fluence_planned=planned,
        fluence_charged=delivered.charged,
        dose_before=max(after - ledger.belief.highest_fluence(frame), 0.0),
        dose_after=ledger.map.highest(footprint),
    )
    return Shot(image.reshape(frame.pixels[1], frame.pixels[0]), record)
