"""From what was written live to the finished record: sums, cube, live time, dose, overlay, checksums, status."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from acquisition.datafile.camera import has_frames, is_stack, list_missing
from acquisition.datafile.hyperspy import image_metadata, overlay, spectrum_metadata
from acquisition.datafile.nexus import (
    add_image,
    add_spectra,
    add_table,
    add_times,
    image_axes,
    read_channels,
    read_elements,
    read_frame,
    read_work,
)
from acquisition.datafile.passes import dose_columns, read_rows
from acquisition.datafile.places import as_json, read_about
from acquisition.datafile.records import About, PassRecord
from acquisition.datafile.tags import default, field, group, note, text_of
from drivers.ticket import Exposed, Frame

Derived = Callable[[h5py.File], None]
_BLOCK = 1 << 23  # values handled at a time, so that memory stays small however large the cube


def complete(
    file: h5py.File,
    *,
    status: str,
    ended: datetime | None = None,
    results: dict[str, Any] | None = None,
    derived: Sequence[Derived] = (),
) -> None:
    """Add to an open file what follows from its measurement, and its status."""
    entry, about = file["entry"], read_about(file)
    passes = read_rows(entry["passes/table"], about.started)
    for name in [name for name in entry["measurement"] if name.startswith("event")]:
        _finish_event(file, entry["measurement"][name], about, passes)
    for file_it in derived:
        file_it(file)
    if passes:
        add_table(entry, "dose", "dose against time", dose_columns(passes, about.started))
    if results is not None:
        note(entry, "note_results", as_json(results), kind="application/json", file_name="results.json")
    if ended is not None:
        end = ended.astimezone(UTC).isoformat()
        field(entry, "end_time", end)
        field(entry["profiling"], "end_time", end)
        file.attrs["file_update_time"] = end
    _point_at_the_best(entry)
    checksums = group(entry, "checksums", "NXcollection")
    for data in payload(file):
        checksums.attrs[data.name[1:].replace("/", "|")] = f"sha256:{digest(data)}"
    file.attrs["acquisition_status"] = status


def payload(file: h5py.File) -> Iterator[h5py.Dataset]:
    """Every array of the measurement, the tables and what was made of them.

    Frames of a camera are not among them: each has its sum in their table, which is.
    """
    found: list[h5py.Dataset] = []
    file["entry"].visititems(
        lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) and item.ndim else None
    )
    return (
        data
        for data in found
        if "unreadable_chunks" not in data.attrs and data.dtype.kind != "O" and not is_stack(data)
    )


def digest(data: h5py.Dataset) -> str:
    """SHA-256 of the decoded values in row-major order."""
    total = hashlib.sha256()
    for rows in blocks(data.shape):
        total.update(np.ascontiguousarray(data[rows]).tobytes())
    return total.hexdigest()


def blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the first axis, of a bounded number of values each."""
    step = max(1, _BLOCK // max(1, int(np.prod(shape[1:]))))
    return (slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step))


def _finish_event(file: h5py.File, event: h5py.Group, about: About, passes: list[PassRecord]) -> None:
    work = read_work(event)
    if passes:
        field(event, "start_time", passes[0].start.astimezone(UTC).isoformat())
    stacked = {record.index: record for record in passes if record.index >= 0}
    for name in [name for name in event if name.startswith("image_")]:
        if "stack_2d" not in event[name]:
            (data,) = (data for kind, data in event[name].items() if kind.startswith(("image", "stack")))
            overlay(file, data, image_metadata(about, read_work(event)))
        else:
            overlay(file, event[name]["stack_2d"], image_metadata(about, read_work(event)))
            _sum_image(file, event, name, about, work, stacked)
    if has_frames(event):
        list_missing(event, {index: record.pixels_done for index, record in stacked.items()})
    if "collection/events" in event:
        valid = {index: record for index, record in stacked.items() if record.live_time > 0}
        _make_cube(file, event, about, read_frame(event, "commanded"), valid)


def _sum_image(
    file: h5py.File, event: h5py.Group, name: str, about: About, frame: Exposed, passes: dict[int, PassRecord]
) -> None:
    stack = event[name]["stack_2d/real"]
    if "unreadable_chunks" in stack.attrs or not passes:
        return
    total = np.zeros(stack.shape[1:], np.uint32)
    covered = np.zeros(stack.shape[1:], np.uint16)
    for index, record in passes.items():
        if index < stack.shape[0]:
            visited = _visited(frame, record)
            total += _placed(stack[index] * visited, frame, record)
            covered += _placed(visited.astype(np.uint16), frame, record)
    title = f"{text_of(event[name], 'stack_2d/title')}, sum"
    detector = text_of(event[name], "process/detector_identifier").removeprefix("detector_")
    data = add_image(
        event, f"{name.removeprefix('image_')}_sum", title=title, detector=detector, frame=frame, passes=1, dtype="u4"
    )
    data[...] = total
    field(event, "collection/passes_per_pixel", covered)
    overlay(file, data.parent, image_metadata(about, read_work(event)))


def _make_cube(file: h5py.File, event: h5py.Group, about: About, frame: Frame, passes: dict[int, PassRecord]) -> None:
    events = event["collection/events"]
    if not passes or any("unreadable_chunks" in events[name].attrs for name in events):
        return
    channels = read_channels(event)
    columns, rows = frame.pixels
    live, real = np.zeros((rows, columns)), np.zeros((rows, columns))
    cells = []
    for index, pixel, channel in events_by_pass(events):
        if index in passes:
            right, down = _shift(frame, passes[index])
            row, column = pixel // columns - down, pixel % columns - right
            inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            cells.append(((row * columns + column) * channels.count + channel)[inside])
    for record in passes.values():
        visited = _visited(frame, record) / max(1, record.pixels_done)
        live += _placed(visited * record.live_time, frame, record)
        real += _placed(visited * record.real_time, frame, record)
    occupied, counts = np.unique(np.concatenate(cells) if cells else np.empty(0, np.int64), return_counts=True)
    data = add_spectra(
        event,
        "eds",
        title="EDS map",
        axes=(*image_axes(frame), channels.axis),
        dtype="u2" if counts.max(initial=0) < 1 << 16 else "u4",
        chunks=(1, min(columns, 256), channels.count),
    )
    for block in blocks(data.shape):
        first, last = np.searchsorted(
            occupied, [block.start * columns * channels.count, block.stop * columns * channels.count]
        )
        part = np.zeros((block.stop - block.start, columns, channels.count), data.dtype)
        part.reshape(-1)[occupied[first:last] - block.start * columns * channels.count] = counts[first:last]
        data[block] = part
    field(event, "collection/live_time_per_pixel", live.astype(np.float32), "s")
    add_times(event, sum(r.live_time for r in passes.values()), sum(r.real_time for r in passes.values()))
    elements = read_elements(event)
    overlay(
        file,
        data.parent,
        spectrum_metadata(about, elements, float(live.mean()), float(real.mean()), frame.dwell, len(passes)),
    )


def events_by_pass(events: h5py.Group) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """(pass, pixels, channels) of every pass that was begun; what both lists hold counts, whatever a crash cut off."""
    kept = min(events["pixel"].size, events["channel"].size)
    starts = [min(int(start), kept) for start in events["frame_start"]]
    pixel, channel = events["pixel"][:kept].astype(np.int64), events["channel"][:kept].astype(np.int64)
    for index, (first, last) in enumerate(pairwise([*starts, kept])):
        yield index, pixel[first:last], channel[first:last]


def _visited(frame: Exposed, record: PassRecord) -> NDArray[np.bool_]:
    columns, rows = frame.pixels
    return np.asarray(np.arange(frame.count) < record.pixels_done).reshape(rows, columns)


def _shift(frame: Exposed, record: PassRecord) -> tuple[int, int]:
    """How many whole pixels the sample stands to the right and down in this pass's image: sums and cube move alike."""
    return round(record.drift[0] / frame.pitch[0]), round(record.drift[1] / frame.pitch[1])


def _placed(values: NDArray[Any], frame: Exposed, record: PassRecord) -> NDArray[Any]:
    """The image moved back to where the sample stood in the first pass; what comes from outside is zero."""
    right, down = _shift(frame, record)
    moved = np.zeros_like(values)
    rows, columns = values.shape
    if abs(down) < rows and abs(right) < columns:
        target = (slice(max(0, -down), rows - max(0, down)), slice(max(0, -right), columns - max(0, right)))
        source = (slice(max(0, down), rows - max(0, -down)), slice(max(0, right), columns - max(0, -right)))
        moved[target] = values[source]
    return moved


def _point_at_the_best(entry: h5py.Group) -> None:
    """Let viewers open the cube's map, else the last image, else a table."""
    plots: list[h5py.Group] = []
    entry.visititems(lambda _, item: plots.append(item) if item.attrs.get("NX_class") == "NXdata" else None)
    images = [p for p in plots if p.attrs.get("interpretation") == "image"]
    best = max(images or plots, key=lambda p: (p.name.endswith("image_2d"), p.name), default=None)
    if best is None:
        return
    chain, here = [best], best
    while here != entry:
        here = here.parent
        chain.insert(0, here)
    default(*chain)
