"""The scan driver on a line that is late, silent, garbled or gone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drivers.clock import VirtualClock
from drivers.errors import LinkTimeout, Refused, WireError
from drivers.links import AbortFlag, MemoryLink
from drivers.links.base import LONGEST_WAIT
from drivers.scan import PATIENCE
from drivers.wire import obi
from drivers.wire.obi_reply import encode_synchronized
from tests.drivers.scan_bench import (
    GATEWARE,
    LONG,
    SETTINGS,
    SIX_PIXELS,
    SMALL,
    Office,
    ScanBench,
    a_driver,
    scan_bench,
    transcript,
)
from tests.drivers.scripted import Scripted


@pytest.fixture
def bench() -> ScanBench:
    return scan_bench()


def until_it_raises(bench: ScanBench) -> None:
    for _ in range(100):
        bench.scan.read(0.5)


def test_without_its_cookie_a_frame_is_not_finished(bench: ScanBench) -> None:
    end = encode_synchronized(3)  # open takes cookie 1, the first frame 2 and 3
    bench.line.garble = lambda data: data.removesuffix(end)
    bench.start()
    with pytest.raises(LinkTimeout, match="the end of the frame"):
        until_it_raises(bench)
    assert not bench.scan.finished()
    assert bench.clock.now() > SMALL.seconds + 2.0


def test_a_silent_box_is_a_timeout_and_stays_in_doubt_until_it_confirms(bench: ScanBench) -> None:
    bench.start()
    bench.line.silent = True
    with pytest.raises(LinkTimeout, match="scan: read did not bring"):
        until_it_raises(bench)
    with pytest.raises(LinkTimeout, match="scan: stop did not bring word that the beam is blanked"):
        bench.scan.stop()
    with pytest.raises(Refused):
        bench.start()
    bench.line.silent = False
    bench.scan.stop()
    assert bench.run().size == SMALL.count


@pytest.mark.parametrize("action", ["blank", "stop", "make_safe"])
def test_a_box_that_falls_silent_after_a_finished_frame_is_a_timeout(bench: ScanBench, action: str) -> None:
    bench.run()
    bench.line.silent = True
    asked = bench.clock.now()
    with pytest.raises(LinkTimeout, match=f"scan: {action} did not bring word that the beam is blanked"):
        getattr(bench.scan, action)()
    assert bench.clock.now() - asked <= PATIENCE + 2 * LONGEST_WAIT
    bench.line.silent = False
    bench.scan.make_safe()
    assert bench.scan.status()["blanked"] is True


class Babble:
    """A box that says a pixel every 0.1 s, and never what it was asked for."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._next = 0.0

    def connected(self) -> None: ...

    def disconnected(self) -> None: ...

    def receive(self, data: bytes) -> None: ...

    def due(self) -> float:
        return self._next

    def send(self) -> bytes:
        self._next = self._clock.now() + 0.1
        return b"\x10\x00"


def test_a_box_that_talks_on_and_never_confirms_is_a_timeout() -> None:
    clock = VirtualClock()
    scan = a_driver(MemoryLink("scan", Babble(clock), clock, AbortFlag()))
    with pytest.raises(LinkTimeout, match="scan: make_safe did not bring word that the beam is blanked"):
        scan.make_safe()


def test_what_comes_late_is_not_taken_for_the_next_frame(bench: ScanBench) -> None:
    bench.start(replace(SMALL, pixels=(100, 7)))
    bench.line.silent = True
    with pytest.raises(LinkTimeout):
        until_it_raises(bench)
    bench.line.silent = False  # 700 stale pixels and two stale answers are on the line
    bench.scan.stop()
    frame = replace(SMALL, pixels=(33, 5))
    assert bench.run(frame).size == frame.count


def test_stale_bytes_before_a_frame_are_not_its_pixels(bench: ScanBench) -> None:
    stale = [b"\xff\xff\x00\x07\x10\x00\x20"]  # an old answer, a pixel and a half
    bench.line.garble = lambda data: (stale.pop() if stale else b"") + data
    assert bench.run().size == SMALL.count


def test_garbage_in_a_frame_is_an_error_and_the_beam_is_blanked_all_the_same(bench: ScanBench) -> None:
    bench.start(LONG)
    bench.line.garble = lambda data: b"\x12\x35" + data
    with pytest.raises(WireError, match=r"scan: read .* neither a pixel nor the mark"):
        until_it_raises(bench)
    with pytest.raises(Refused, match="the frame is lost"):
        bench.scan.read(0.1)
    bench.line.garble = lambda data: data
    assert bench.scan.stop() < LONG.count
    assert bench.scan.status()["blanked"] is True
    assert bench.run().size == SMALL.count


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("ffff0002 7e68 7e70 7e78 7e68 7e70 ffff0003", "cookie 0x0003 came after 5 of 6 pixels"),
        ("ffff0002 7e68 7e70 7e78 7e68 7e70 7e78 7e68 ffff0003", "more pixels came than the 6"),
        ("ffff0002 7e68 7e70 7e78 7e68 7e70 7e78 ffff0009", "cookie 0x0009 came after 6 of 6"),
        ("ffff0002 7e68 ffff0002", "cookie 0x0002 came after 1 of 6"),
        ("ffff0002 7e68 7e70 7e78 7e68 7e70 7e78 ffff", None),
    ],
)
def test_a_pixel_too_many_or_too_few_is_an_error(answer: str, why: str | None) -> None:
    clock = VirtualClock()
    lines = [*transcript("open", "frame")[:3], ("<", bytes.fromhex(answer))]
    scan = a_driver(MemoryLink("scan", Scripted(clock, lines), clock, AbortFlag()), GATEWARE)
    scan.open()
    frame = scan.commanded(SIX_PIXELS)
    scan.start(frame, Office().ticket(frame))
    if why is None:
        assert scan.read(0.1).size == 6
    else:
        with pytest.raises(WireError, match=why):
            scan.read(0.1)
    assert not scan.finished()


def test_a_host_that_died_in_the_middle_of_a_command_is_forgotten(bench: ScanBench) -> None:
    for half in ("a0 0064 00", "e0", "60", "00 05"):
        bench.link.write(bytes.fromhex(half))
        bench.scan.close()
        bench.link = MemoryLink("scan", bench.line, bench.clock, AbortFlag())
        bench.scan = a_driver(bench.link)
        bench.scan.open()
        assert bench.run().size == SMALL.count


def test_settings_of_the_bench_are_those_of_the_simulated_box(bench: ScanBench) -> None:
    bench.link.write(obi.encode(*[obi.RasterRegion(0, 1000, 16, 0, 1, 16), obi.RasterPixelRun(1000, 1)]))
    bench.link.write(obi.encode(obi.Flush()))
    bench.clock.sleep(1e-3)
    bench.link.write(obi.encode(obi.Flush()))
    dark = np.frombuffer(bench.link.read(0.1), ">u2")
    assert dark.size == 1000
    assert np.median(dark) == pytest.approx(SETTINGS.dark_level, abs=4.0)
