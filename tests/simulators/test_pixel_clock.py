"""The pixel clock of the simulated scan box: one pulse a pixel, high for all of it but its last sample."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.ticket import Frame
from tests.drivers.camera_bench import LATENCY, WIRING
from tests.drivers.scan_bench import ScanBench, scan_bench

FRAME = Frame(centre=(0.0, 0.0), size=(64e-9, 32e-9), pixels=(64, 32), dwell=10e-6)


def _edges(bench: ScanBench) -> tuple[list[float], list[float]]:
    """Where the pulses that follow rise, and how long they are."""
    rise: list[float] = []
    high: list[float] = []

    def hear(start: float, period: float, width: float, count: int) -> None:
        rise.extend(start + period * np.arange(count))
        high.extend([width] * count)

    bench.world.listen_pulses("camera.gate", hear)
    return rise, high


def test_every_pixel_of_a_frame_is_one_pulse() -> None:
    bench = scan_bench(wiring=WIRING)
    rise, high = _edges(bench)
    begun = bench.clock.now()
    bench.run(FRAME)
    assert len(rise) == FRAME.count
    assert rise[0] == pytest.approx(begun + LATENCY, abs=1e-9)
    assert np.diff(rise) == pytest.approx(FRAME.dwell, rel=1e-6)
    assert high == pytest.approx([FRAME.dwell - 125e-9] * FRAME.count)


def test_a_blanked_frame_has_the_same_clock() -> None:
    bench = scan_bench(wiring=WIRING)
    bench.world.column.blank(True, bench.clock.now())
    rise, _ = _edges(bench)
    bench.run(FRAME)
    assert len(rise) == FRAME.count


def test_a_pixel_of_one_sample_is_too_short_for_a_pulse() -> None:
    bench = scan_bench(wiring=WIRING)
    rise, _ = _edges(bench)
    bench.run(Frame(FRAME.centre, FRAME.size, FRAME.pixels, 125e-9))
    assert not rise
