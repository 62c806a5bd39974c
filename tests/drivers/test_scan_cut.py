"""The scan driver on a line that takes only the first part of what is said."""

from __future__ import annotations

import pytest

from drivers.errors import Aborted, LinkTimeout, Refused, RigError
from drivers.scan import PADDING
from drivers.ticket import Frame
from tests.drivers.scan_bench import SMALL, ScanBench, scan_bench

FEW = Frame(centre=(0.0, 0.0), size=(4e-9, 2e-9), pixels=(4, 2), dwell=1e-3)  # 8 ms
TWO_RUNS = Frame(centre=(0.0, 0.0), size=(400e-9, 200e-9), pixels=(400, 200), dwell=125e-9)  # 65 200 and 14 800 pixels


def length(bench: ScanBench, frame: Frame) -> int:
    """Bytes in which a frame goes out."""
    bench.start(frame)
    return len(bench.line.sent[-1])


def start_cut(bench: ScanBench, frame: Frame, taken: int) -> None:
    bench.link.taken = taken
    with pytest.raises(bench.link.failure):
        bench.start(frame)


def see_it_stay_dark(bench: ScanBench) -> None:
    assert bench.scan.status()["blanked"] is True
    dose = bench.electrons()
    bench.clock.sleep(1.0)
    assert bench.electrons() == dose


@pytest.mark.parametrize("frame", [FEW, TWO_RUNS], ids=["one run", "two runs"])
def test_wherever_a_frame_is_cut_short_on_its_way_the_beam_is_blanked_afterwards(frame: Frame) -> None:
    bench = scan_bench()
    for taken in range(length(bench, frame)):
        bench.scan.stop()
        start_cut(bench, frame, taken)
        bench.scan.make_safe()
        see_it_stay_dark(bench)
        assert bench.scan.stop() == 0
    assert bench.run(SMALL).size == SMALL.count  # and the box is as good as ever


def test_wherever_the_blanking_itself_is_cut_short_the_next_one_blanks() -> None:
    bench = scan_bench()
    whole = length(bench, FEW)
    bench.scan.stop()
    bench.scan.make_safe()
    for within in range(len(PADDING + bench.line.sent[-1])):
        start_cut(bench, FEW, whole // 2)
        bench.link.taken = within
        with pytest.raises(LinkTimeout, match="scan: make_safe "):
            bench.scan.make_safe()
        assert bench.scan.status()["blanked"] is False
        bench.scan.make_safe()
        see_it_stay_dark(bench)
        bench.scan.stop()
    assert bench.run(SMALL).size == SMALL.count


def test_a_blanking_cut_short_while_a_frame_runs_loses_the_frame_and_the_next_one_blanks() -> None:
    bench = scan_bench()
    for taken in range(9):
        bench.start(SMALL)
        bench.link.taken = taken
        with pytest.raises(LinkTimeout):
            bench.scan.blank()
        with pytest.raises(Refused, match="the frame is lost"):
            bench.scan.read(0.1)
        bench.scan.blank()
        see_it_stay_dark(bench)
        bench.scan.stop()


@pytest.mark.parametrize("failure", [LinkTimeout, Aborted])
def test_a_frame_that_was_not_wholly_said_is_lost(failure: type[RigError]) -> None:
    bench = scan_bench()
    bench.link.failure = failure
    start_cut(bench, SMALL, 20)
    assert not bench.scan.finished()
    with pytest.raises(Refused, match="the frame is lost"):
        bench.scan.read(0.1)
    with pytest.raises(Refused, match="another frame is under way"):
        bench.start(SMALL)
    bench.scan.stop()
    assert bench.run(SMALL).size == SMALL.count
