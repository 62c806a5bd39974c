"""The simulated DP5: counts as a paralyzable counter does, answers as the guide says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock import VirtualClock, wall_seconds
from drivers.links import MemoryLink
from drivers.rigfile import Wire
from drivers.wire import dp5
from drivers.wire.dp5 import Ack, Packet, Request
from drivers.wire.dp5_list import Timeline, decode_words
from drivers.wire.dp5_status import Status, decode_status
from simulators.boxes.eds import EdsServer
from simulators.boxes.eds.pulses import PulseProcessor, Shaping
from simulators.sample.file import load_sample
from simulators.world import World
from tests.simulators.cold_bench import OPTICS
from tests.simulators.eds_bench import LATENCY, EdsBench, a_driver, poisson

PHOSPHORUS = 2013.0  # eV, P K-alpha (X-ray Data Booklet, table 1-2)
SHAPING = Shaping(2.4e-6, 0.2e-6, 100e-9, 100.0, 150.0, 5.0, 2048, 0)  # dead time 5.0 us


def bench(text: str = "MCAC=2048;SYNC=FRAME;") -> EdsBench:
    new = EdsBench()
    assert new.ask(dp5.CONFIGURE, text.encode()) == Packet((0xFF, Ack.OK))
    return new


def counting(text: str = "MCAC=2048;SYNC=FRAME;") -> EdsBench:
    new = bench(text)
    for request in (dp5.CLEAR, dp5.CLEAR_LIST_TIMER, dp5.ENABLE):
        new.ask(request)
    return new


def status(box: EdsBench) -> Status:
    return decode_status(box.ask(dp5.STATUS).data)


def lit(box: EdsBench, times: np.ndarray, energy: float = PHOSPHORUS) -> None:
    box.source.shine(times, np.full(len(times), energy))
    box.until(float(times[-1]) + 1e-3)


def test_the_output_rate_is_that_of_a_paralyzable_counter() -> None:
    # OCR = ICR exp(-ICR tau): 1/e at ICR tau = 1, which is 63.2 % dead
    rate, seconds = 1.0 / SHAPING.dead_time, 2.0
    times = poisson(rate, 0.0, seconds, 1)
    pulses = PulseProcessor().process(times, np.full(len(times), PHOSPHORUS), seconds + 1.0, SHAPING)
    # pulses closer than the fast width are one, so the pile-up takes its share of the input first
    expected = len(times) * math.exp(-rate * SHAPING.dead_time)
    assert len(pulses.times) == pytest.approx(expected, abs=5.0 * math.sqrt(expected))
    assert len(pulses.fast) == pytest.approx(len(times) * math.exp(-rate * SHAPING.fast), rel=0.005)


def test_photons_within_the_fast_width_are_one_pulse_of_their_sum() -> None:
    times = np.array([1.0, 1.0 + 50e-9, 2.0, 2.0 + 150e-9])
    pulses = PulseProcessor().process(times, np.array([500.0, 600.0, 500.0, 600.0]), 3.0, SHAPING)
    assert pulses.channels.tolist() == [220, 100]  # the sum; then one recorded and one that came while busy
    assert len(pulses.fast) == 3


@pytest.mark.parametrize("rate", [1e4, 1e5])
def test_sum_peaks_grow_as_the_rate_times_the_resolving_time(rate: float) -> None:
    """Of a Poisson source 1 - exp(-rate x time) of the pulses have a second photon in them: Knoll, section 17.VII."""
    times = poisson(rate, 0.0, 2e6 / rate, 5)
    pulses = PulseProcessor().process(times, np.full(len(times), 500.0), 1e9, SHAPING)
    summed = np.count_nonzero(pulses.channels >= 200)
    expected = len(pulses.channels) * -math.expm1(-rate * SHAPING.fast)
    assert summed == pytest.approx(expected, abs=5.0 * math.sqrt(expected))


def test_small_pulses_are_not_recorded_and_light_ones_are_not_counted_fast() -> None:
    pulses = PulseProcessor().process(np.array([1.0, 2.0, 3.0]), np.array([99.0, 120.0, 500.0]), 4.0, SHAPING)
    assert pulses.channels.tolist() == [24, 100] and len(pulses.fast) == 1


@given(st.lists(st.floats(0.0, 1e-3), max_size=60), st.lists(st.floats(0.0, 1.1e-3), max_size=6))
@settings(max_examples=60)
def test_how_photons_are_portioned_changes_nothing(times: list[float], looks: list[float]) -> None:
    arrivals = np.sort(np.array(times, dtype=np.float64))
    energies = 200.0 + np.arange(len(arrivals)) * 10.0
    whole = PulseProcessor().process(arrivals, energies, 2e-3, SHAPING)
    processor, done, parts = PulseProcessor(), 0, []
    for look in [*sorted(looks), 2e-3]:
        upto = int(np.searchsorted(arrivals, look, side="right"))
        parts.append(processor.process(arrivals[done:upto], energies[done:upto], look, SHAPING))
        done = upto
    assert np.concatenate([part.times for part in parts]).tolist() == whole.times.tolist()
    assert np.concatenate([part.channels for part in parts]).tolist() == whole.channels.tolist()
    assert np.concatenate([part.fast for part in parts]).tolist() == whole.fast.tolist()


def test_a_million_photons_take_well_under_a_second() -> None:
    times = poisson(1e5, 0.0, 10.0, 2)
    energies = np.full(len(times), PHOSPHORUS)
    began = wall_seconds()
    PulseProcessor().process(times, energies, 11.0, SHAPING)
    assert wall_seconds() - began < 1.0


def test_a_line_comes_into_its_channel() -> None:
    box = counting()
    lit(box, box.clock.now() + np.arange(1, 101) * 1e-4)
    counts = dp5.decode_spectrum(box.ask(dp5.SPECTRUM).data)
    assert counts.sum() == 100 and int(np.argmax(counts)) == round(PHOSPHORUS / 5.0)  # 10.24 keV in 2048 channels


def test_counts_and_times_run_only_while_enabled() -> None:
    box = bench()
    lit(box, box.clock.now() + np.arange(1, 11) * 1e-4)
    assert status(box).slow == 0 and status(box).real == 0
    box.ask(dp5.ENABLE)
    began = box.clock.now()
    lit(box, box.clock.now() + np.arange(1, 11) * 1e-4)
    box.ask(dp5.DISABLE)
    stopped = box.clock.now()
    lit(box, box.clock.now() + np.arange(1, 11) * 1e-4)
    after = status(box)
    assert (after.fast, after.slow, after.enabled) == (10, 10, False)
    assert after.real == pytest.approx((stopped - began) * 1e3, abs=6.0)


def test_spectrum_status_and_clear_takes_counts_out_of_the_box() -> None:
    box = counting()
    lit(box, box.clock.now() + np.arange(1, 6) * 1e-4)
    reply = box.ask(dp5.SPECTRUM_STATUS_CLEAR)
    assert dp5.SPECTRUM_STATUS_REPLIES[reply.pid] == 2048
    assert dp5.decode_spectrum(reply.data[:-64]).sum() == decode_status(reply.data[-64:]).slow == 5
    assert dp5.decode_spectrum(box.ask(dp5.SPECTRUM).data).sum() == status(box).slow == 0


def test_an_event_is_timed_from_the_edge_as_it_arrives() -> None:
    box = counting()
    begins = box.clock.now() + 0.01
    box.source.frame(begins)
    lit(box, begins + np.array([1e-3, 0.5]))
    reply = box.ask(dp5.LIST)
    records = Timeline().read(decode_words(reply.data))
    tagged = np.array([1e-3, 0.5]) + SHAPING.delay - LATENCY
    assert reply.pid == dp5.LIST_REPLY
    assert records.ticks.tolist() == [math.floor(time / 100e-9 + 1e-3) for time in tagged]


def test_events_before_the_edge_belong_to_frame_0() -> None:
    box = counting()
    begins = box.clock.now() + 0.01
    box.source.frame(begins)
    lit(box, begins + np.array([-1e-3, 1e-3]))
    assert Timeline().read(decode_words(box.ask(dp5.LIST).data)).ticks.size == 1


def test_an_edge_while_nothing_counts_still_sets_the_timer_back() -> None:
    box = bench()
    box.ask(dp5.CLEAR_LIST_TIMER)
    box.source.frame(box.clock.now() + 0.001)
    box.until(box.clock.now() + 0.01)
    assert box.ask(dp5.LIST).data.hex() == "c0000000c0004000"  # the cleared timer, then frame 1


def test_a_full_fifo_says_so_once_and_keeps_the_oldest() -> None:
    box = counting()
    begins = box.clock.now() + 0.001
    box.source.frame(begins)
    lit(box, begins + np.arange(1, 2001) * 1e-5)
    full, next_one = box.ask(dp5.LIST), box.ask(dp5.LIST)
    assert full.pid == dp5.LIST_FULL_REPLY and len(full.data) == 4 * 1024
    assert next_one.pid == dp5.LIST_REPLY
    assert status(box).slow == 2000


@pytest.mark.parametrize("preset", ["PRET=1.0;", "PRER=1.000;"])
def test_a_preset_ends_the_acquisition_at_its_instant(preset: str) -> None:
    box = counting(f"MCAC=1024;{preset}")
    began = box.clock.now()
    lit(box, began + np.arange(0, 30) * 0.1 + 0.045)
    after = status(box)
    assert (after.slow, after.real, after.enabled, after.preset_reached) == (10, 1000, False, True)


@pytest.mark.parametrize(
    ("text", "ack", "offending"),
    [
        (b"FOOB=1;", Ack.UNRECOGNISED, b"FOOB"),
        (b"MCAC=1000;", Ack.BAD_PARAMETER, b"MCAC=1000"),
        (b"TPEA=NO;", Ack.BAD_PARAMETER, b"TPEA=NO"),
        (b"PREC=100;", Ack.BAD_PARAMETER, b"PREC=100"),
        (b"mcac=1024;", Ack.UNRECOGNISED, b"mcac=1024;"),
    ],
)
def test_a_bad_command_comes_back_with_its_code(text: bytes, ack: Ack, offending: bytes) -> None:
    assert EdsBench().ask(dp5.CONFIGURE, text) == Packet((0xFF, ack), offending)


@pytest.mark.parametrize(
    ("data", "ack"),
    [
        (dp5.STATUS.packet().encode()[:-1] + b"\x00", Ack.CHECKSUM),
        (b"\xf5\xfb\x01\x01\x00\x00\xfe\x0e", Ack.SYNC),
        (b"\xf5\xfa\x01\x01\x00\x01\x00\xfe\x0e", Ack.LENGTH),
        (b"\xf5\xfa\x03\x01\x00\x00\xfe\x0d", Ack.PID),
        (Packet(dp5.STATUS_REPLY, bytes(64)).encode(), Ack.PID),
    ],
)
def test_a_broken_request_gets_its_acknowledge_code_and_does_nothing(data: bytes, ack: Ack) -> None:
    box = EdsBench()
    box.link.write(data)
    assert box.answer() == Packet((0xFF, ack))
    assert status(box) == Status(**{**vars(status(box)), "slow": 0, "real": 0})


def test_a_request_may_come_in_pieces_but_not_for_ever() -> None:
    box = EdsBench()
    request = dp5.STATUS.packet().encode()
    box.link.write(request[:5])
    box.link.write(request[5:])
    assert box.answer().pid == dp5.STATUS_REPLY
    box.link.write(request[:5])
    box.clock.sleep(0.2)
    assert box.ask(dp5.STATUS).pid == dp5.STATUS_REPLY


def test_values_are_kept_as_the_box_rounds_them() -> None:
    box = EdsBench()
    box.ask(dp5.CONFIGURE, b"TPEA=2.42;")
    assert dp5.decode_text(box.ask(dp5.READ_BACK, b"TPEA;").data) == {"TPEA": "2.40"}


def test_a_spectrum_by_udp_takes_seven_datagrams_and_about_35_ms() -> None:
    box = EdsBench()
    began = box.clock.now()
    box.ask(dp5.SPECTRUM_STATUS)
    assert box.clock.now() - began == pytest.approx(0.035, abs=0.001)


def test_an_echo_is_an_echo() -> None:
    echo = Request((0xF1, 0x7F), dp5.Repeat.SAFE, frozenset())
    assert EdsBench().ask(echo, b"abc") == Packet(dp5.ECHO_REPLY, b"abc")


def test_the_worlds_x_rays_come_with_the_time_of_their_pixel() -> None:
    clock = VirtualClock()
    world = World(
        load_sample("li-lipon"),
        seed=3,
        clock=clock,
        optics=OPTICS,
        beam_current=5e-10,
        hidden_errors=False,
        full_field=1e-6,
        wiring=[Wire.model_validate({"from": "scan.unblanked", "to": "eds.sync", "latency": LATENCY})],
    )
    eds = a_driver(MemoryLink("eds", EdsServer(world), clock))
    eds.open()
    eds.arm("e1")
    begins, dwell = clock.now() + 1e-3, 50e-6
    u, v = (axis.ravel() for axis in np.meshgrid(*(np.linspace(0.4, 0.6, 64),) * 2))
    clock.sleep(1e-3)
    world.signal("scan.unblanked", begins, True)
    clock.sleep(u.size * dwell)
    world.column.select("electron")
    world.column.raster(u, v, (0.003, 0.003), dwell, begins)
    world.signal("scan.unblanked", clock.now(), False)
    tally = eds.finish()
    assert tally.synced and not tally.full and 100 < tally.slow == tally.rest.times.size
    assert tally.rest.times.min() >= 0.0 and tally.rest.times.max() < u.size * dwell
