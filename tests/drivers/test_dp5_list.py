"""List-mode records and the time axis they tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import WireError
from drivers.wire.dp5 import Splitter
from drivers.wire.dp5_list import Timeline, Words, decode_words, encode_words, event_words, frame_words, time_words
from tests.drivers.golden import golden, pairs


def stream(ticks: list[int], channels: list[int], frame: int = 1) -> Words:
    """What the box writes for one frame: its edge, the overflows and the events between them."""
    overflows = np.arange(0, (max(ticks, default=0) >> 16) + 1)
    words = np.concatenate((frame_words(frame, overflows), event_words(np.array(ticks, int), np.array(channels, int))))
    order = np.argsort(np.concatenate((overflows << 16, np.array(ticks, int))), kind="stable")
    return words[order]


def test_the_golden_records_read_as_their_layout_says() -> None:
    (_, first), (_, full) = pairs(golden("dp5", "list mode", binary=True))
    splitter = Splitter()
    timeline = Timeline()
    splitter.feed(first + full)
    packets = [splitter.next(), splitter.next()]
    records = timeline.read(decode_words(packets[0].data))
    assert records.frames.tolist() == [1, 1]
    assert records.ticks.tolist() == [8, 65538]
    assert records.channels.tolist() == [525, 392]
    assert not timeline.read(decode_words(packets[1].data)).ticks.size


def test_records_are_written_as_the_golden_ones() -> None:
    (_, reply), _ = pairs(golden("dp5", "list mode", binary=True))
    assert encode_words(stream([8, 65538], [525, 392])) == reply[6:-2]


@given(st.sets(st.integers(0, 3_000_000), max_size=60), st.data())
@settings(max_examples=50)
def test_time_and_channel_survive_however_the_list_is_cut(ticks: set[int], data: st.DataObject) -> None:
    ordered = sorted(ticks)
    channels = [tick % 8192 for tick in ordered]
    words = stream(ordered, channels)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(words)), max_size=5)))
    timeline = Timeline()
    parts = [timeline.read(part) for part in np.split(words, cuts)]
    assert np.concatenate([part.ticks for part in parts]).tolist() == ordered
    assert np.concatenate([part.channels for part in parts]).tolist() == channels


def test_the_timer_may_wrap_after_107_seconds() -> None:
    ticks = [5, 2**30 - 1, 2**30 + 7, 2**31 + 9]
    assert Timeline().read(stream(ticks, [1, 2, 3, 4])).ticks.tolist() == ticks


def test_each_frame_counts_from_its_own_edge() -> None:
    records = Timeline().read(np.concatenate((stream([3, 70000], [1, 2]), stream([4], [3], frame=2))))
    assert records.frames.tolist() == [1, 1, 2] and records.ticks.tolist() == [3, 70000, 4]


def test_what_comes_before_the_first_edge_has_no_place() -> None:
    before = np.concatenate((frame_words(0, np.array([17])), event_words(np.array([3]), np.array([9]))))
    assert Timeline().read(np.concatenate((before, stream([8], [1])))).channels.tolist() == [1]


@pytest.mark.parametrize("lost", [0, 2, 4])
def test_a_lost_record_that_times_depend_on_is_an_error(lost: int) -> None:
    words = stream([8, 70_000, 140_000, 200_000], [1, 2, 3, 4])  # edge, event, overflow, event, overflow, event, ...
    with pytest.raises(WireError):
        Timeline().read(np.delete(words, lost))


def test_records_that_come_twice_are_an_error() -> None:
    for words in (stream([8], [1]), stream([], []), stream([8, 9], [1, 1])[1:]):
        timeline = Timeline()
        timeline.read(stream([2], [5]))
        with pytest.raises(WireError):
            timeline.read(np.concatenate((words[-1:], words[-1:])))


def test_a_skipped_frame_is_an_error() -> None:
    with pytest.raises(WireError):
        Timeline().read(stream([1], [1], frame=2))


def test_records_of_another_sync_mode_are_an_error() -> None:
    for alien in (time_words(np.array([1])), np.array([1 << 30], dtype=np.uint32)):
        with pytest.raises(WireError):
            Timeline().read(alien)


def test_half_a_record_is_an_error() -> None:
    with pytest.raises(WireError):
        decode_words(b"\x00" * 6)
