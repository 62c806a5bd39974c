"""Transcripts: recorded, read, compared, replayed."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from drivers.clock import VirtualClock
from drivers.errors import LinkClosed, LinkTimeout
from drivers.links import Fault, FaultKind, FaultyLink, MemoryLink, ReplayLink, TapLink, TranscriptMismatch
from drivers.links.tap import Line, compare, read_transcript
from tests.drivers.toy_box import TEMPERATURES, Toy, ToyBox

STARTED = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def recorded(path: Path, talk, faults: tuple[Fault, ...] = ()) -> list[Line]:  # type: ignore[no-untyped-def]
    """The transcript of what `talk` does with a toy."""
    clock = VirtualClock(STARTED)
    box = ToyBox(clock)
    link = TapLink(FaultyLink(MemoryLink("toy", box, clock), faults, seed=1), path)
    talk(Toy(link), clock)
    link.close()
    return read_transcript(path)


def visit(toy: Toy, clock: VirtualClock) -> None:
    assert toy.temperature("A") == 77.350
    clock.sleep(1.0)
    toy.go(5)
    assert toy.events() == 3


def test_a_tap_writes_down_what_passed_and_when(tmp_path: Path) -> None:
    recorded(tmp_path / "toy.txt", visit)
    assert (tmp_path / "toy.txt").read_text() == (
        "# link toy, 2026-05-04T12:00:00+00:00\n"
        "0.000000 > T? A\\n\n"
        "0.010000 < T +77.350*0467\\n\n"
        "1.010000 > GO 5\\n\n"
        "1.020000 < OK 5*0239\\n\n"
        "1.020000 > E?\\n\n"
        "1.030000 < E 3*0152\\n\n"
    )


def test_a_tap_never_writes_over_a_transcript(tmp_path: Path) -> None:
    (tmp_path / "toy.txt").write_text("evidence")
    clock = VirtualClock()
    with pytest.raises(FileExistsError):
        TapLink(MemoryLink("toy", ToyBox(clock), clock), tmp_path / "toy.txt")


def test_a_lost_line_is_on_record_and_is_lost_again_in_the_replay(tmp_path: Path) -> None:
    def ask(toy: Toy, clock: VirtualClock) -> None:
        with pytest.raises(LinkClosed):
            toy.temperature("A")

    lines = recorded(tmp_path / "toy.txt", ask, (Fault(FaultKind.CLOSE),))
    assert [line.direction for line in lines] == [">", "!"]
    clock = VirtualClock()
    ask(Toy(ReplayLink("toy", lines, clock)), clock)


@given(st.lists(st.tuples(st.sampled_from("<>"), st.binary(max_size=40) | st.text(max_size=20).map(str.encode))))
def test_any_bytes_come_back_from_a_transcript(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, bytes]]
) -> None:
    lines = [Line(0.5 * n, direction, data) for n, (direction, data) in enumerate(said)]
    path = tmp_path_factory.mktemp("transcripts") / "any.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    back = read_transcript(path)
    assert back == lines
    assert [line.time for line in back] == [line.time for line in lines]


@pytest.mark.parametrize(
    "text", ["hello", "0.000000 = x", "0.000000 ># zz", "zero > x", "0.000000 > \\q", "0.000000 > ąx", "0.0 > x"]
)
def test_what_is_no_transcript_is_refused_with_file_and_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "toy.txt"
    path.write_text(f"# a comment\n{text}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"toy\.txt line 2: .*no transcript line"):
        read_transcript(path)


def test_a_replay_answers_as_the_box_did_and_as_fast(tmp_path: Path) -> None:
    lines = recorded(tmp_path / "toy.txt", visit)
    clock = VirtualClock()
    clock.sleep(100.0)
    link = ReplayLink("toy", lines, clock)
    visit(Toy(link), clock)
    link.verify_finished()
    assert clock.now() == pytest.approx(101.03)


def test_a_late_answer_is_late_again_in_the_replay(tmp_path: Path) -> None:
    def ask(toy: Toy, clock: VirtualClock) -> None:
        with pytest.raises(LinkTimeout):
            toy.events()
        assert toy.temperature("B") == 192.1

    lines = recorded(tmp_path / "toy.txt", ask, (Fault(FaultKind.DELAY, seconds=0.7),))
    clock = VirtualClock()
    link = ReplayLink("toy", lines, clock)
    ask(Toy(link), clock)
    link.verify_finished()


def test_another_request_than_the_recorded_one_shows_both_aligned(tmp_path: Path) -> None:
    lines = recorded(tmp_path / "toy.txt", visit)
    clock = VirtualClock()
    toy = Toy(ReplayLink("toy", lines, clock))
    toy.temperature("A")
    with pytest.raises(TranscriptMismatch) as mismatch:
        toy.go(6)
    assert str(mismatch.value).splitlines() == [
        "toy said something else than the transcript (line 3 of it):",
        "  > T? A\\n",
        "  < T +77.350*0467\\n",
        "- > GO 5\\n",
        "?      ^",
        "+ > GO 6\\n",
        "?      ^",
        "- < OK 5*0239\\n",
        "- > E?\\n",
        "- < E 3*0152\\n",
    ]


def test_a_request_left_out_is_seen_in_the_alignment(tmp_path: Path) -> None:
    lines = recorded(tmp_path / "toy.txt", visit)
    toy = Toy(ReplayLink("toy", lines, VirtualClock()))
    toy.temperature("A")
    with pytest.raises(TranscriptMismatch) as mismatch:
        toy.events()
    assert "- > GO 5\\n\n- < OK 5*0239\\n\n  > E?\\n" in str(mismatch.value)


def test_a_request_too_many_is_a_mismatch(tmp_path: Path) -> None:
    lines = recorded(tmp_path / "toy.txt", visit)
    clock = VirtualClock()
    toy = Toy(ReplayLink("toy", lines, clock))
    visit(toy, clock)
    with pytest.raises(TranscriptMismatch, match="line 7"):
        toy.go(7)


def test_an_unfinished_replay_says_what_was_not_asked(tmp_path: Path) -> None:
    lines = recorded(tmp_path / "toy.txt", visit)
    link = ReplayLink("toy", lines, VirtualClock())
    Toy(link).temperature("A")
    with pytest.raises(TranscriptMismatch, match=r"stopped before the transcript did"):
        link.verify_finished()


def test_two_runs_that_said_the_same_at_other_times_compare_equal(tmp_path: Path) -> None:
    def later(toy: Toy, clock: VirtualClock) -> None:
        clock.sleep(7.0)
        visit(toy, clock)

    assert compare(recorded(tmp_path / "a.txt", visit), recorded(tmp_path / "b.txt", later)) == ""


def test_two_runs_that_differ_are_shown_line_by_line(tmp_path: Path) -> None:
    def hotter(toy: Toy, clock: VirtualClock) -> None:
        toy.temperature("B")
        toy.go(5)
        toy.events()

    difference = compare(recorded(tmp_path / "a.txt", visit), recorded(tmp_path / "b.txt", hotter))
    assert "- > T? A\\n" in difference
    assert "+ > T? B\\n" in difference
    assert "  > GO 5\\n" in difference


def test_a_disk_that_is_full_ends_the_transcript_and_not_the_conversation(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    path, clock = tmp_path / "toy.txt", VirtualClock()
    tap = TapLink(MemoryLink("toy", ToyBox(clock), clock), path)
    toy = Toy(tap)
    assert toy.temperature("A") == TEMPERATURES["A"]
    full = mocker.patch.object(Path, "open", side_effect=OSError(errno.ENOSPC, "No space left on device"))
    tap.reopen()  # its file is opened anew, and cannot be
    assert toy.temperature("B") == TEMPERATURES["B"]
    assert full.called
    assert "No space left on device" in tap.broken
    tap.close()
