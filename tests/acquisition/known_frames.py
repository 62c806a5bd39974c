"""A small scan with a camera whose frames are known, and the file it makes; shared by the tests of the record."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.datafile import DataFile, Form, FrameWriter
from drivers.ticket import Frame
from drivers.wire.packed import Codec, Packed, pack
from drivers.wire.simplon_frames import CHANNEL, StreamImage
from tests.acquisition.known_map import STARTED, about, pass_record

SCAN = Frame(centre=(20e-9, -10e-9), size=(10e-9, 8e-9), pixels=(5, 4), dwell=1e-3)
SHAPE = (12, 10)
TICKS = 50_000_000
FORM = Form((CHANNEL,), SHAPE, np.dtype("<u2"), "bslz4", 1e-3)
STACK = f"entry/measurement/event1/image_diffraction_{CHANNEL}/image_4d/real"


def counts(number: int, form: Form = FORM, channel: str = CHANNEL) -> NDArray[Any]:
    """The counts of one frame of a channel; no two are alike."""
    random = np.random.default_rng([number, form.channels.index(channel)])
    return random.poisson(3.0, form.shape).astype(form.dtype)


def image(number: int, form: Form = FORM, **channels: Packed) -> StreamImage:
    """One exposure as it comes from the stream; channels: what comes in place of the known frames."""
    packed: Mapping[str, Packed] = {name: pack(counts(number, form, name), form.codec) for name in form.channels}
    start, real = (number * 50_000, TICKS), (45_000, TICKS)
    return StreamImage(7, "", number, start, (start[0] + 45_000, TICKS), real, {**packed, **channels})


def images(numbers: Iterable[int], form: Form = FORM) -> list[StreamImage]:
    """Several of them."""
    return [image(number, form) for number in numbers]


def form_of(dtype: str = "<u2", codec: Codec = "bslz4", *channels: str) -> Form:
    """The known form with another type and packing, or with other channels."""
    return replace(FORM, dtype=np.dtype(dtype), codec=codec, channels=channels or FORM.channels)


def begin(path: Path, form: Form = FORM, passes: int = 1, scan: Frame = SCAN) -> tuple[DataFile, FrameWriter]:
    """The scan's file, started."""
    file = DataFile.create(path, about(step="diffraction_map"))
    frames = file.frames("diffraction", title="Diffraction", frame=scan, requested=scan, passes=passes, form=form)
    file.start()
    return file, frames


def finish(file: DataFile, *, passes: int = 1, visited: int = SCAN.count) -> None:
    """The passes are over and the file is finished."""
    for index in range(passes):
        file.pass_done(pass_record(index, pixels_done=visited))
    file.finish(status="complete", ended=STARTED + timedelta(seconds=9), results={})


def write_scan(path: Path, form: Form = FORM, numbers: Iterable[int] = range(SCAN.count)) -> Path:
    """The whole scan, or some frames of it, finished."""
    file, frames = begin(path, form)
    with file:
        frames.write(0, images(numbers, form))
        finish(file)
    return path


def write_passes(path: Path) -> Path:
    """Two passes of two channels, of which one frame never came, finished."""
    form = form_of("<u4", "lz4", CHANNEL, "difference")
    file, frames = begin(path, form, passes=2)
    with file:
        frames.write(0, images(range(SCAN.count), form))
        frames.write(1, images([0, *range(2, SCAN.count)], form))
        finish(file, passes=2)
    return path


if __name__ == "__main__":
    write_scan(Path(sys.argv[1]))
