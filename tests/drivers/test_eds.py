"""The X-ray driver: events with their place in the frame, and nothing that is not so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock import VirtualClock
from drivers.eds import EdsSettings
from drivers.errors import (
    DeviceError,
    InterlockError,
    LimitError,
    WireError,
)
from drivers.links import MemoryLink
from drivers.wire import dp5
from drivers.wire.dp5 import Ack, Packet
from drivers.wire.dp5_status import Device
from tests.drivers.scripted import Scripted
from tests.simulators.eds_bench import EdsBench, a_driver, a_status, poisson, talk


def test_events_come_with_seconds_since_the_frame_began() -> None:
    bench = EdsBench()
    begins = bench.armed()
    bench.source.frame(begins)
    moments = np.array([0.0, 20e-6, 1e-3, 0.3, 0.6543217])
    bench.source.shine(begins + moments, np.array([277.0, 392.0, 525.0, 2013.0, 9000.0]))
    bench.until(begins + 0.7)
    events = bench.eds.read()
    assert events.times == pytest.approx(moments, abs=101e-9)  # one tick of 100 ns
    assert bench.eds.energies()[events.channels] == pytest.approx([277, 392, 525, 2013, 9000], abs=2.5)


@given(st.lists(st.floats(1e-4, 0.05), max_size=12), st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_how_often_it_is_read_changes_nothing(naps: list[float], seed: int) -> None:
    bench = EdsBench()
    begins = bench.armed()
    bench.source.frame(begins, begins + 0.1)
    arrivals = poisson(3000.0, 0.0, 0.1, seed)
    arrivals = arrivals[np.diff(arrivals, prepend=-1.0) > 6e-6]  # none in the dead time of another
    bench.source.shine(begins + arrivals, np.full(len(arrivals), 2013.0))
    parts = []
    for nap in naps:
        bench.clock.sleep(nap)
        parts.append(bench.eds.read())
    bench.until(max(begins + 0.2, bench.clock.now()))
    tally = bench.eds.finish()
    times = np.concatenate([part.times for part in [*parts, tally.rest]])
    assert times == pytest.approx(arrivals, abs=101e-9)
    assert tally.synced and not tally.full and tally.slow == tally.fast == len(arrivals)


def test_a_frame_longer_than_the_timer_keeps_its_time() -> None:
    bench = EdsBench()
    begins = bench.armed()
    bench.source.frame(begins)
    moments = np.array([1.0, 107.0, 108.0, 215.0, 262.0])  # the 30-bit timer wraps every 107.4 s
    bench.source.shine(begins + moments, np.full(5, 2013.0))
    times = []
    while bench.clock.now() < begins + 263.0:
        bench.clock.sleep(3.0)
        times.append(bench.eds.read().times)
    assert np.concatenate(times) == pytest.approx(moments, abs=101e-9)
    assert not bench.eds.finish().full


def test_events_before_the_frame_have_no_place_in_it() -> None:
    bench = EdsBench()
    begins = bench.armed()
    bench.source.shine(np.array([begins - 1e-3, begins + 1e-3]), np.full(2, 2013.0))
    bench.source.frame(begins)
    bench.until(begins + 0.01)
    assert bench.eds.read().times == pytest.approx([1e-3], abs=101e-9)


def test_the_frame_before_leaves_nothing_behind() -> None:
    bench = EdsBench()
    for _ in range(2):
        begins = bench.armed()
        bench.source.frame(begins, begins + 0.005)
        bench.source.shine(begins + np.array([1e-3, 2e-3]), np.full(2, 2013.0))
        bench.until(begins + 0.01)
    tally = bench.eds.finish()
    assert tally.rest.times == pytest.approx([1e-3, 2e-3], abs=101e-9) and tally.slow == 2


def test_a_full_fifo_makes_the_pass_invalid() -> None:
    bench = EdsBench()
    begins = bench.armed()
    bench.source.frame(begins)
    bench.source.shine(begins + np.arange(1, 2001) * 1e-5, np.full(2000, 2013.0))
    bench.until(begins + 0.05)
    first, later = bench.eds.read(), bench.eds.read()
    assert 900 < first.times.size < 1024 and not later.times.size
    tally = bench.eds.finish()
    assert tally.full and tally.slow == 2000
    bench.eds.arm("e2")
    assert not bench.eds.finish().full


def test_a_frame_whose_edge_never_came_is_told() -> None:
    bench = EdsBench()
    bench.armed()
    assert not bench.eds.finish().synced


def test_a_second_frame_in_one_pass_is_refused() -> None:
    bench = EdsBench()
    begins = bench.armed()
    bench.source.frame(begins, begins + 1e-3)
    bench.source.frame(begins + 2e-3)
    bench.until(begins + 0.01)
    with pytest.raises(DeviceError, match="more than one frame"):
        bench.eds.read()


def test_the_dead_fraction_is_what_the_slow_channel_lost() -> None:
    # guide: dead time = 1 - slow / fast; a paralyzable counter at rate x dead time = 0.5 loses 1 - exp(-0.5)
    bench = EdsBench()
    begins = bench.armed()
    arrivals = poisson(0.5 / 5.0e-6, begins, 1.0, 4)
    bench.source.shine(arrivals, np.full(len(arrivals), 2013.0))
    bench.until(begins + 1.01)
    # pulses merged by the fast channel (1 % here) are lost to both
    assert bench.eds.dead_fraction() == pytest.approx(1.0 - np.exp(-0.5), abs=0.01)
    assert bench.eds.status()["dead_fraction"] == pytest.approx(1.0 - np.exp(-0.5), abs=0.01)


def test_the_independent_clients_counts_are_9_percent_dead() -> None:
    eds, box = talk((dp5.STATUS, b"", a_status(fast=5500, slow=5000)))
    assert eds.dead_fraction() == pytest.approx(0.0909091, abs=1e-7)
    box.finish()


def test_light_elements_below_the_fast_threshold_never_give_a_negative_dead_time() -> None:
    eds, _ = talk((dp5.STATUS, b"", a_status(fast=90, slow=100)))
    assert eds.dead_fraction() == 0.0


def test_the_spectrum_stays_until_it_is_taken() -> None:
    bench = EdsBench()
    begins = bench.armed()
    bench.source.shine(begins + np.arange(1, 11) * 1e-4, np.full(10, 2013.0))
    bench.until(begins + 0.01)
    assert bench.eds.spectrum()[403] == 10
    counts, dead = bench.eds.take_spectrum()
    assert counts[403] == 10 and counts.shape == (2048,) and dead == 0.0
    assert not bench.eds.spectrum().any()


def test_what_the_box_rounds_is_an_error_naming_both_values() -> None:
    bench = EdsBench()
    bench.eds.open()
    with pytest.raises(DeviceError, match=r"eds: configure asked TPEA=2\.420, but the box took 2\.40"):
        bench.eds.configure(peaking_time=2.42e-6)


def test_another_peaking_time_moves_no_event() -> None:
    bench = EdsBench()
    bench.eds.open()
    bench.eds.configure(peaking_time=8e-6)
    bench.eds.arm("e1")
    begins = bench.clock.now() + 0.01
    bench.source.frame(begins)
    bench.source.shine(begins + np.array([5e-3]), np.array([2013.0]))
    bench.until(begins + 0.1)
    assert bench.eds.read().times == pytest.approx([5e-3], abs=101e-9)
    assert bench.eds.status()["peaking_time"] == 8e-6


@pytest.mark.parametrize("seconds", [0.1e-6, 20e-6, float("nan")])
def test_a_peaking_time_beyond_the_limits_sends_nothing(seconds: float) -> None:
    eds, box = talk()
    with pytest.raises(LimitError):
        eds.configure(peaking_time=seconds)
    assert not box.requests


def test_what_the_interlocks_forbid_sends_nothing() -> None:
    def guard(command: str) -> None:
        raise InterlockError(command)

    clock = VirtualClock()
    box = Scripted(clock, [])
    eds = a_driver(MemoryLink("eds", box, clock), guard=guard)
    for act in (lambda: eds.arm("e1"), lambda: eds.configure(2.4e-6)):
        with pytest.raises(InterlockError):
            act()


@pytest.mark.parametrize(
    "found", [{"device": Device.MCA8000D}, {"firmware": 0x66, "build": 4}, {"device": Device.TB5}], ids=str
)
def test_a_box_without_list_mode_is_refused(found: dict[str, object]) -> None:
    eds, _ = talk((dp5.STATUS, b"", a_status(**found)))
    with pytest.raises(DeviceError, match="no list mode"):
        eds.open()


def test_a_refusal_says_which_command() -> None:
    eds, _ = talk(
        (dp5.STATUS, b"", a_status()),
        (dp5.DISABLE, b"", Packet((0xFF, Ack.OK))),
        (dp5.CONFIGURE, b"".join(dp5.encode_text(CONFIGURATION)), Packet((0xFF, Ack.UNRECOGNISED), b"PURE")),
    )
    with pytest.raises(DeviceError, match='unrecognised" to "PURE"'):
        eds.open()


CONFIGURATION = {
    "MCAC": "2048",
    "TPEA": "2.400",
    "GAIN": "100.000",
    "TFLA": "0.200",
    "TPFA": "100",
    "PURE": "ON",
    "MCAS": "NORM",
    "THSL": "0.977",
    "THFA": "7.50",
    "TLLD": "OFF",
    "PRET": "OFF",
    "PRER": "OFF",
    "PREC": "OFF",
    "GATE": "OFF",
    "SYNC": "FRAME",
    "CLKL": "100",
}


def test_a_spectrum_of_another_size_is_an_error() -> None:
    eds, _ = talk((dp5.SPECTRUM, b"", Packet((0x81, 0x05), bytes(3 * 1024))))
    with pytest.raises(WireError, match="1024 channels"):
        eds.spectrum()


def test_pixels_are_found_from_times_alone() -> None:
    # 16 pixels of 20 us: each X-ray lands in the pixel the beam was on
    bench = EdsBench()
    begins = bench.armed()
    bench.source.frame(begins, begins + 16 * 20e-6)
    pixels = np.arange(16)
    bench.source.shine(begins + (pixels + 0.5) * 20e-6, np.full(16, 2013.0))
    bench.until(begins + 0.01)
    assert np.floor(bench.eds.read().times / 20e-6).tolist() == pixels.tolist()


def test_settings_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match="fast_dead_time"):
        EdsSettings(channels=2048, ev_per_channel=5.0, offset=0.0, fast_dead_time=150e-9)
    with pytest.raises(ValueError, match="ev_per_channel"):
        EdsSettings(channels=2048, ev_per_channel=0.0, offset=0.0)
