"""The scan driver in front of the simulated box, and of one that knows the gateware's answers by heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pytest_mock import MockerFixture

from drivers.clock import VirtualClock
from drivers.errors import (
    Aborted,
    InterlockError,
    LimitError,
    LinkClosed,
    Refused,
    TicketError,
)
from drivers.links import AbortFlag, MemoryLink
from drivers.scan import ScanSettings
from drivers.scan_settings import ScanLimits
from drivers.ticket import Frame
from drivers.wire import obi
from tests.drivers.scan_bench import (
    FIELD,
    GATEWARE,
    LONG,
    SIX_PIXELS,
    SMALL,
    STEP,
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


def commands(data: bytes) -> list[obi.Command]:
    splitter = obi.CommandSplitter()
    splitter.feed(data)
    found = []
    while (command := splitter.next()) is not None:
        found.append(command)
    return found


# --- what is sent


def test_the_gateware_is_driven_as_in_its_transcript() -> None:
    clock = VirtualClock()
    box = Scripted(clock, transcript("open", "frame", "stop"))
    scan = a_driver(MemoryLink("scan", box, clock, AbortFlag()), GATEWARE)
    scan.open()
    frame = scan.commanded(SIX_PIXELS)
    scan.start(frame, Office().ticket(frame))
    assert scan.read(0.1).tolist() == [4 * x for x in (8090, 8092, 8094, 8090, 8092, 8094)]
    assert scan.finished()
    assert scan.stop() == 6
    box.finish()


def test_a_frame_goes_out_in_one_piece_and_is_dark_outside_its_pixels(bench: ScanBench) -> None:
    before = len(bench.line.sent)
    bench.start()
    (whole,) = bench.line.sent[before:]
    said = commands(whole)
    blanks = [n for n, command in enumerate(said) if command == obi.Blank(enable=True, inline=False)]
    opened = [n for n, command in enumerate(said) if isinstance(command, obi.Blank) and not command.enable]
    runs = [n for n, command in enumerate(said) if isinstance(command, obi.RasterPixelRun)]
    assert len(blanks) == 2
    assert len(opened) == 1
    assert blanks[0] < opened[0] < runs[0] <= runs[-1] < blanks[1]
    assert isinstance(said[blanks[1] + 1], obi.Synchronize)
    assert said[-1] == obi.Flush()


def test_a_large_frame_is_runs_of_whole_rows_and_at_most_65536_pixels(bench: ScanBench) -> None:
    bench.start(Frame((0.0, 0.0), (1e-6, 1e-6), (400, 400), 1e-6))
    runs = [command.pixels for command in commands(bench.line.sent[-1]) if isinstance(command, obi.RasterPixelRun)]
    assert runs == [65200, 65200, 29600]


# --- what a frame becomes

pixels = st.integers(1, 4096)
frames = st.builds(
    Frame,
    centre=st.tuples(*[st.floats(-0.3 * FIELD, 0.3 * FIELD)] * 2),
    size=st.tuples(*[st.floats(0.05 * FIELD, 0.38 * FIELD)] * 2),
    pixels=st.tuples(pixels, pixels),
    dwell=st.floats(125e-9, 1e-6),
)
SCAN = a_driver(MemoryLink("scan", Scripted(VirtualClock(), []), VirtualClock(), AbortFlag()))


@settings(max_examples=100, deadline=None)
@given(frames)
def test_what_is_commanded_is_not_rounded_again(frame: Frame) -> None:
    try:
        commanded = SCAN.commanded(frame)
    except LimitError as error:
        assert "pitch" in str(error)  # of few pixels far apart
        return
    assert SCAN.commanded(commanded) == commanded


@settings(max_examples=100, deadline=None)
@given(frames.filter(lambda frame: min(frame.pixels) >= 64))
def test_what_is_commanded_is_as_near_as_the_box_can(frame: Frame) -> None:
    try:
        commanded = SCAN.commanded(frame)
    except LimitError as error:
        assert "position" in str(error) or "field" in str(error)  # of a frame at the edge, by rounding
        return
    for axis in (0, 1):
        off = abs(frame.pitch[axis] - commanded.pitch[axis])
        assert off <= (STEP / 2 if frame.pitch[axis] >= STEP else STEP / 256) * (1 + 1e-6)
        assert abs(commanded.centre[axis] - frame.centre[axis]) <= STEP / 2 * (1 + 1e-9)
    assert -125e-9 < commanded.dwell - frame.dwell <= 1e-6 * frame.dwell
    assert round(commanded.dwell / 125e-9) * 125e-9 == commanded.dwell
    assert commanded.pixels == frame.pixels


@settings(max_examples=100, deadline=None)
@given(frames)
def test_pixels_are_evenly_spaced_so_that_no_part_of_a_frame_gets_more_than_another(frame: Frame) -> None:
    try:
        commanded = SCAN.commanded(frame)
    except LimitError:
        return
    for pitch in commanded.pitch:
        steps = pitch / STEP
        assert steps < 1.0 or abs(steps - round(steps)) < 1e-6


def test_the_whole_scan_field_can_be_scanned() -> None:
    for n in (1024, 1000, 16384):
        frame = Frame((0.0, 0.0), (FIELD, FIELD), (n, 128), 1e-6)
        assert SCAN.commanded(frame).size == pytest.approx(frame.size, abs=n * STEP)


# --- what is refused before any byte


@pytest.mark.parametrize(
    ("change", "quantity"),
    [
        ({"dwell": 1.01e-3}, "dwell"),
        ({"dwell": 100e-9}, "dwell"),
        ({"size": (0.9e-9, 32e-9)}, "field"),
        ({"centre": (0.5 * FIELD - 31e-9, 0.0)}, "position"),
        ({"centre": (0.0, -0.5 * FIELD + 15e-9)}, "position"),
        ({"dwell": 1e-3, "pixels": (256, 128)}, "frame_time"),
        ({"pixels": (16385, 2), "dwell": 1e-6}, "pixels"),
        ({"pixels": (4096, 2), "size": (1e-9, 32e-9)}, "pitch"),
        ({"pixels": (2, 2), "size": (60e-9, 60e-9)}, "pitch"),
    ],
)
def test_a_frame_the_box_must_not_scan_is_refused_before_any_byte(
    bench: ScanBench, change: dict[str, object], quantity: str
) -> None:
    frame = replace(SMALL, **change)  # type: ignore[arg-type]
    before = len(bench.line.sent)
    with pytest.raises(LimitError, match=quantity):
        bench.scan.start(frame, bench.office.ticket(frame))
    assert len(bench.line.sent) == before
    assert bench.office.spent == []


def test_a_frame_that_would_be_rounded_is_refused_before_its_ticket_is_spent(bench: ScanBench) -> None:
    frame = replace(SMALL, dwell=10.03e-6)
    before = len(bench.line.sent)
    with pytest.raises(Refused, match=r"the box would scan 64 x 32 pixels of 10 us over 64 nm x 32 nm .*commanded\(\)"):
        bench.scan.start(frame, bench.office.ticket(frame))
    assert len(bench.line.sent) == before
    assert bench.office.spent == []


def test_no_beam_on_a_ticket_for_another_frame_or_on_one_that_is_spent(bench: ScanBench) -> None:
    frame = bench.scan.commanded(SMALL)
    other = bench.scan.commanded(replace(SMALL, dwell=20e-6))
    ticket = bench.office.ticket(frame)
    before = len(bench.line.sent)
    with pytest.raises(TicketError):
        bench.scan.start(other, ticket)
    ticket.spend(frame)
    with pytest.raises(TicketError):
        bench.scan.start(frame, ticket)
    assert len(bench.line.sent) == before
    assert bench.electrons() == 0.0


def test_the_ticket_is_spent_before_the_byte_that_unblanks(bench: ScanBench) -> None:
    sent_by_then: list[int] = []
    bench.office.on_spend = lambda: sent_by_then.append(len(bench.line.sent))
    before = len(bench.line.sent)
    bench.start()
    assert sent_by_then == [before]


def test_an_interlock_stops_a_frame_before_its_ticket_is_spent(bench: ScanBench) -> None:
    def forbid(command: str) -> None:
        raise InterlockError(f"{command} is forbidden")

    scan = a_driver(bench.link, guard=forbid)
    frame = scan.commanded(SMALL)
    before = len(bench.line.sent)
    with pytest.raises(InterlockError, match=r"scan\.start"):
        scan.start(frame, bench.office.ticket(frame))
    assert len(bench.line.sent) == before
    assert bench.office.spent == []


def test_a_dwell_the_box_cannot_count_is_no_limit() -> None:
    with pytest.raises(ValidationError, match=r"8\.192 ms"):
        ScanLimits(dwell=(125e-9, 8.3e-3), field=(1e-9, 1e-6))
    with pytest.raises(ValidationError, match="full_field"):
        ScanSettings(full_field=1e-6, counts_per_electron=1.0, dark_level=0.0, limits=ScanLimits(field=(1e-9, 1.1e-6)))


# --- a frame


def test_a_frame_brings_every_pixel_in_its_time(bench: ScanBench) -> None:
    values = bench.run()
    assert values.size == SMALL.count
    assert not np.any(values % 4)
    assert bench.clock.now() == pytest.approx(SMALL.seconds, abs=1e-6)
    assert bench.scan.status() == {"blanked": True, "pixels": 2048, "pixels_of_frame": 2048}


def test_pixels_come_while_the_frame_runs(bench: ScanBench) -> None:
    bench.start(LONG)
    assert bench.scan.read(0.5).size == 0  # the answer before the first pixel
    first = bench.scan.read(0.5)
    assert 0 < first.size < LONG.count
    assert not bench.scan.finished()
    assert bench.scan.status()["blanked"] is False
    assert first.size + bench.rest().size == LONG.count


def test_frames_follow_each_other(bench: ScanBench) -> None:
    assert [bench.run().size for _ in range(3)] == [SMALL.count] * 3


def test_a_second_frame_is_refused_while_one_is_under_way(bench: ScanBench) -> None:
    bench.start()
    with pytest.raises(Refused, match="another frame is under way"):
        bench.start()


def test_values_turn_into_the_electrons_that_were_counted(bench: ScanBench, mocker: MockerFixture) -> None:
    raster = mocker.spy(bench.world.column, "raster")
    for dwell in (8e-6, 11.875e-6):  # 64 samples, all averaged; 95, of which the box averages 64
        raster.spy_return_list.clear()
        values = bench.run(replace(SMALL, dwell=dwell))
        truth = np.concatenate(raster.spy_return_list).mean()
        # 2048 pixels of some 50 electrons: the standard error of what the box leaves out is 0.2 %
        assert bench.scan.electrons(values, dwell).mean() == pytest.approx(truth, rel=0.01)
    assert bench.scan.electrons(np.array([256], np.uint16), 8e-6).tolist() == [0.0]


# --- stopping


def test_stopping_sees_the_frame_to_its_end_and_the_beam_blanked(bench: ScanBench) -> None:
    bench.start(LONG)
    got = bench.scan.read(0.5)
    assert bench.scan.stop() == LONG.count  # the box cuts nothing short
    assert got.size + bench.scan.read(0.0).size == LONG.count
    assert bench.clock.now() == pytest.approx(LONG.seconds, rel=1e-3)
    dose = bench.electrons()
    bench.clock.sleep(10.0)
    assert bench.electrons() == dose


def test_the_beam_is_blanked_even_while_an_abort_is_due(bench: ScanBench) -> None:
    bench.start(LONG)
    bench.link.abort.set()
    with pytest.raises(Aborted):
        bench.scan.read(0.5)
    bench.scan.make_safe()
    assert bench.scan.status()["blanked"] is True
    dose = bench.electrons()
    bench.clock.sleep(10.0)
    assert bench.electrons() == dose


def test_blanking_is_asked_for_again_and_again_without_harm(bench: ScanBench) -> None:
    for _ in range(3):
        bench.scan.blank()
    assert bench.scan.stop() == 0
    assert bench.electrons() == 0.0
    assert bench.run().size == SMALL.count


def test_a_lost_line_is_an_error_and_never_an_empty_frame(bench: ScanBench) -> None:
    bench.start()
    bench.scan.close()
    with pytest.raises(LinkClosed):
        bench.scan.read(0.1)
    assert not bench.scan.finished()
