"""The simulated scan box: what its gateware does, and where the beam is meanwhile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_mock import MockerFixture
from scipy.constants import e

from drivers.clock import RealClock
from drivers.links import AbortFlag, MemoryLink
from drivers.links.tcp import TcpLink
from drivers.rigfile import Wire
from drivers.wire import obi
from drivers.wire.obi_reply import encode_synchronized
from simulators.boxes.scan import AHEAD, ScanServer
from simulators.serve import Port, serve
from tests.drivers.golden import golden
from tests.drivers.scan_bench import CURRENT, LONG, SMALL, Office, ScanBench, a_driver, a_world, scan_bench

PER_SECOND = CURRENT / e  # electrons
OPEN_BEAM = obi.Blank(enable=False, inline=False)
WITH_NEXT = obi.Blank(enable=False, inline=True)
DARK = obi.Blank(enable=True, inline=False)
LINE = obi.RasterRegion(8192, 512, 256, 8192, 16, 256)  # 512 x 16 pixels, 0.1 nm apart
SYNC = obi.Synchronize(5, raster=True, output=obi.Output.SIXTEEN_BIT)


@pytest.fixture
def bench() -> ScanBench:
    return scan_bench()


def tell(bench: ScanBench, *commands: obi.Command) -> None:
    bench.link.write(obi.encode(*commands))


def listen(bench: ScanBench, seconds: float) -> bytes:
    """All that comes within so many seconds."""
    heard, until = b"", bench.clock.now() + seconds
    while bench.clock.now() < until - 1e-12:
        heard += bench.link.read(min(0.5, until - bench.clock.now()))
    return heard


def codes(bench: ScanBench, mocker: MockerFixture, said: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """DAC codes x and y where the column was told to put the beam for what was said."""
    raster = mocker.spy(bench.world.column, "raster")
    tell(bench, WITH_NEXT)
    bench.link.write(said)
    listen(bench, 0.01)
    x = np.concatenate([call.args[0] for call in raster.call_args_list if len(call.args) == 5])
    y = np.concatenate([call.args[1] for call in raster.call_args_list if len(call.args) == 5])
    return np.round(x * 16384).astype(int), np.round(y * 16384).astype(int)


# --- where the beam goes


def test_the_beam_goes_where_the_gateware_puts_it(bench: ScanBench, mocker: MockerFixture) -> None:
    (_, said), (_, answered) = golden("obi", "wrap", binary=True)
    x, y = codes(bench, mocker, said + obi.encode(DARK))
    looped = np.frombuffer(answered, ">u2")[2:-2] // 4  # the gateware's own ADC showed the x code
    assert x[:8].tolist() == looped.tolist() == [16380, 16381, 16383, 0] * 2
    assert y[:8].tolist() == [200] * 4 + [202] * 4


def test_pixels_of_an_array_go_where_it_says(bench: ScanBench, mocker: MockerFixture) -> None:
    (_, said), _ = golden("obi", "array", binary=True)
    x, y = codes(bench, mocker, said + obi.encode(DARK))
    assert (x[:3].tolist(), y[:3].tolist()) == ([5, 7, 9], [6, 8, 10])


def test_each_pixel_gets_the_current_for_its_dwell(bench: ScanBench) -> None:
    bench.run()
    own = SMALL.seconds * PER_SECOND
    assert own < bench.electrons() < 1.01 * own  # and a way back for each row


def test_the_dose_does_not_depend_on_how_often_anybody_looks() -> None:
    seldom, often = scan_bench(), scan_bench()
    seldom.run()
    often.start()
    for _ in range(500):
        often.clock.sleep(SMALL.seconds / 493.3)
        often.world.catch_up()
    a, b = seldom.world.truth.fluence(), often.world.truth.fluence()
    # the column takes the drift of each call's middle: 0.2 nm at most on cells of 4 nm, at the edge of the field
    np.testing.assert_allclose(a.map, b.map, rtol=5e-3, atol=5e-3 * a.map.max())
    assert a.map.sum() == pytest.approx(b.map.sum(), rel=1e-9)


def test_the_scan_goes_on_although_nobody_reads_it(bench: ScanBench) -> None:
    bench.start(LONG)
    bench.clock.sleep(LONG.seconds / 2)
    ahead = (LONG.seconds / 2 + AHEAD) * PER_SECOND  # and the rest of a row
    assert ahead * 0.9 < bench.electrons() < ahead * 1.05
    bench.clock.sleep(LONG.seconds)
    assert bench.electrons() == pytest.approx(LONG.seconds * PER_SECOND, rel=0.01)


# --- traps of the real box


def test_a_stalled_host_leaves_the_beam_where_and_as_it_was(bench: ScanBench) -> None:
    tell(bench, WITH_NEXT, LINE, obi.RasterPixelRun(100, 8))
    listen(bench, 0.1)
    stalled = bench.electrons()
    bench.clock.sleep(2.0)
    assert bench.electrons() - stalled == pytest.approx(2.0 * PER_SECOND, rel=1e-6)
    tell(bench, DARK)
    blanked = bench.electrons()
    bench.clock.sleep(2.0)
    assert bench.electrons() == blanked


def test_a_connection_made_or_lost_lets_the_blank_pins_go() -> None:
    bench = scan_bench(opened=False)
    bench.clock.sleep(0.5)
    assert bench.electrons() == pytest.approx(0.5 * PER_SECOND, rel=1e-6)  # nobody holds the beam before the driver
    bench.scan.open()
    held = bench.electrons()
    bench.clock.sleep(0.5)
    assert bench.electrons() == held
    bench.scan.close()
    bench.clock.sleep(0.5)
    assert bench.electrons() - held == pytest.approx(0.5 * PER_SECOND, rel=1e-6)


def test_blanking_does_nothing_while_the_pins_are_let_go(bench: ScanBench) -> None:
    tell(bench, DARK, obi.ExternalCtrl(enable=False))
    bench.clock.sleep(1.0)
    assert bench.electrons() == pytest.approx(PER_SECOND, rel=1e-6)


def test_the_box_comes_up_unblanked_inside() -> None:
    bench = scan_bench(opened=False)
    tell(bench, obi.BeamSelect(obi.Beam.ELECTRON), obi.ExternalCtrl(enable=True))
    bench.clock.sleep(1.0)
    assert bench.electrons() == pytest.approx(PER_SECOND, rel=1e-6)


@pytest.mark.parametrize("beam", [obi.Beam.NONE, obi.Beam.ION])
def test_another_beam_selected_keeps_the_electrons_off(bench: ScanBench, beam: obi.Beam) -> None:
    tell(bench, obi.BeamSelect(beam), WITH_NEXT, LINE, obi.RasterPixelRun(512, 80))
    listen(bench, 1.0)
    assert bench.electrons() == 0.0


def test_an_abort_waits_its_turn_and_cuts_nothing_short(bench: ScanBench) -> None:
    tell(bench, LINE, obi.RasterPixelRun(8192, 80), obi.Abort(), SYNC)  # 81.92 ms
    heard = listen(bench, 0.2)
    assert len(heard) == 2 * 8192 + 4
    assert heard.endswith(encode_synchronized(5))


def test_an_abort_ends_the_region_so_that_the_next_pixel_hangs_the_box(bench: ScanBench) -> None:
    tell(bench, LINE, obi.RasterPixelRun(100, 8), obi.Abort(), obi.RasterPixel(8), SYNC)
    assert len(listen(bench, 1.0)) == 200


def test_a_pixel_too_many_hangs_the_box_with_the_beam_as_it_is(bench: ScanBench) -> None:
    tell(bench, WITH_NEXT, LINE, obi.RasterPixelRun(8193, 1), DARK, SYNC)
    assert len(listen(bench, 1.0)) == 2 * 8192  # the pixels of the region, a whole number of packets
    tell(bench, DARK, SYNC)
    assert listen(bench, 1.0) == b""
    assert bench.electrons() == pytest.approx(2.0 * PER_SECOND, rel=1e-3)


def test_an_inline_unblanking_waits_for_a_pixel_and_outlives_a_blanking(bench: ScanBench) -> None:
    tell(bench, WITH_NEXT, DARK)
    bench.clock.sleep(1.0)
    assert bench.electrons() == 0.0
    tell(bench, LINE, obi.RasterPixelRun(100, 80), DARK)
    listen(bench, 1.0)
    assert bench.electrons() == pytest.approx(100 * 10e-6 * PER_SECOND, rel=0.01)


def test_a_delay_is_time_the_beam_stands_still(bench: ScanBench) -> None:
    tell(bench, OPEN_BEAM, *[obi.Delay(48_000)] * 100, DARK, SYNC)  # 100 x 1 ms
    assert listen(bench, 1.0) == encode_synchronized(5)
    assert bench.electrons() == pytest.approx(0.1 * PER_SECOND, rel=1e-6)


def test_what_it_does_not_know_it_passes_over_without_a_word(bench: ScanBench) -> None:
    bench.link.write(b"\x70\x7f" + obi.encode(SYNC))
    assert listen(bench, 0.1) == encode_synchronized(5)


def test_a_new_host_finds_no_answers_of_the_old_one(bench: ScanBench) -> None:
    tell(bench, LINE, obi.RasterPixelRun(8192, 80), SYNC)
    bench.clock.sleep(0.05)
    bench.link.close()
    bench.link = MemoryLink("scan", bench.line, bench.clock, AbortFlag())
    tell(bench, SYNC)
    heard = listen(bench, 0.1)  # the run under way goes on, and its pixels come
    assert heard.endswith(encode_synchronized(5))
    assert heard.count(encode_synchronized(5)) == 1


# --- what comes back


def test_pixels_leave_in_whole_packets_unless_flushed(bench: ScanBench) -> None:
    tell(bench, LINE, obi.RasterPixelRun(300, 8))
    assert len(listen(bench, 1.0)) == 512
    tell(bench, obi.Flush())
    assert len(listen(bench, 1.0)) == 88


def test_pixels_come_about_every_ten_milliseconds(bench: ScanBench) -> None:
    tell(bench, LINE, obi.RasterPixelRun(8192, 80))  # 10 us a pixel
    arrivals = []
    while bench.link.read(0.05):
        arrivals.append(bench.clock.now())
    assert np.diff([0.0, *arrivals]) == pytest.approx(10.24e-3)  # 1024 pixels, four packets
    assert len(arrivals) == 8


@pytest.mark.parametrize(("output", "size"), [(obi.Output.EIGHT_BIT, 1), (obi.Output.NONE, 0)])
def test_an_output_is_pixels_of_that_size_and_whole_answers(bench: ScanBench, output: obi.Output, size: int) -> None:
    tell(bench, obi.Synchronize(1, raster=True, output=output), LINE, obi.RasterPixelRun(700, 8), SYNC)
    heard = listen(bench, 0.1)
    assert len(heard) == 4 + 700 * size + 4
    assert heard.endswith(encode_synchronized(5))


def test_a_fill_goes_to_the_end_of_the_region(bench: ScanBench) -> None:
    tell(bench, LINE, obi.RasterPixelRun(1000, 1), obi.RasterPixelFill(1), SYNC)
    assert len(listen(bench, 0.1)) == 2 * 8192 + 4


def test_a_free_run_goes_on_until_the_next_command(bench: ScanBench) -> None:
    tell(bench, LINE, obi.RasterPixelFreeRun(80))
    bench.clock.sleep(0.2)  # more than twice over the region
    tell(bench, SYNC)
    heard = listen(bench, 0.1)
    assert len(heard) == pytest.approx(2 * 20_000 + 4, abs=2)
    assert heard.endswith(encode_synchronized(5))


def test_a_blanked_pixel_is_dark_and_a_bright_one_saturates(bench: ScanBench) -> None:
    tell(bench, LINE, obi.RasterPixelRun(1024, 80))
    dark = np.frombuffer(listen(bench, 0.1), ">u2")
    assert np.median(dark) == pytest.approx(256.0, abs=4.0)
    assert dark.max() < 300
    bench.world.column.current *= 1e5
    tell(bench, WITH_NEXT, LINE, obi.RasterPixelRun(1024, 80), DARK)
    bright = np.frombuffer(listen(bench, 0.1), ">u2")
    assert bright.max() == 4 * 16383


def test_longer_dwells_have_less_read_noise(bench: ScanBench) -> None:
    noise = []
    for samples in (1, 64):
        tell(bench, LINE, obi.RasterPixelRun(2048, samples))
        values = np.frombuffer(listen(bench, 0.1), ">u2") / 4.0
        middle = np.median(values)
        noise.append(np.sqrt(np.mean((values[np.abs(values - middle) < 12] - middle) ** 2)))
    assert noise[0] == pytest.approx(3.0, rel=0.15)  # codes rms a sample, and rounding
    assert noise[1] < 1.0


# --- triggers


def test_the_unblank_pin_tells_when_the_beam_is_on() -> None:
    bench = scan_bench(wiring=[Wire(**{"from": "scan.unblanked"}, to="eds.sync", latency=1e-6)])
    edges: list[tuple[float, bool]] = []
    bench.world.listen("eds.sync", lambda time, level: edges.append((time, level)))
    bench.clock.sleep(1.0)
    bench.run(replace(SMALL, centre=(1e-9, 0.0)))
    (rise, on), (fall, off) = edges
    assert (on, off) == (True, False)
    assert rise == pytest.approx(1.0 + 1e-6, abs=1e-9)
    assert fall - rise == pytest.approx(SMALL.seconds, abs=1e-9)


# --- on a real port


def test_a_frame_runs_over_a_real_port() -> None:
    clock = RealClock()
    with serve(clock, {"scan": Port(ScanServer(a_world(clock)))}) as addresses:
        host, port = addresses["scan"].removeprefix("tcp://").split(":")
        scan = a_driver(TcpLink("scan", host, int(port), clock))
        scan.open()
        frame = scan.commanded(SMALL)
        scan.start(frame, Office().ticket(frame))
        pixels = 0
        while not scan.finished():
            pixels += scan.read(0.1).size
        scan.close()
    assert pixels == SMALL.count
