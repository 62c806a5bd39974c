"""NanoControl commands and replies, held from both ends to what public drivers send and read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import WireError
from drivers.wire import kleindiek as wire
from drivers.wire.kleindiek import Coarse, Counters, LineSplitter, Reply, ResetCounters, Stop, Verdict, Version
from tests.drivers.golden import golden, pairs

MEANT = {
    b"version\r": (Version(), Reply(Verdict.DONE, "NanoControl 3.1 2019-05-06")),
    b"coarse ?\r": (Counters(), Reply(Verdict.DONE, "0 0 -250 12")),
    b"coarse A 10\r": (Coarse("A", 10), Reply(Verdict.DONE)),
    b"coarse C -250\r": (Coarse("C", -250), Reply(Verdict.DONE)),
    b"coarsereset\r": (ResetCounters(), Reply(Verdict.DONE)),
    b"stop\r": (Stop(), Reply(Verdict.DONE)),
    b"stopnack\r": (Stop(answered=False), None),
}
GOLDEN = pairs(golden("kleindiek", "manual"))


@pytest.mark.parametrize(("request_", "reply"), GOLDEN, ids=[request.decode().strip() for request, _ in GOLDEN])
def test_both_ends_write_and_read_what_public_drivers_do(request_: bytes, reply: bytes) -> None:
    command, answer = MEANT[request_]
    assert wire.encode(command) == request_
    assert wire.decode(request_.decode().strip()) == command
    if answer is not None:
        assert wire.encode_reply(answer) == reply
        assert wire.decode_reply(reply.decode().removesuffix("\r")) == answer


def test_the_counters_are_four_whole_numbers() -> None:
    assert wire.decode_counters(Reply(Verdict.DONE, "0 0 -250 12")) == (0, 0, -250, 12)
    assert wire.encode_counters((0, 0, -250, 12)) == "0 0 -250 12"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(Verdict.DONE, "0 0 0"),
        Reply(Verdict.DONE, "0 0 0 0 0"),
        Reply(Verdict.DONE, "0 0 0 x"),
        Reply(Verdict.DONE, "0  0 0 0"),
        Reply(Verdict.DONE, ""),
        Reply(Verdict.ERROR, "0 0 0 0"),
        Reply(Verdict.INFORMATION, "0 0 0 0"),
    ],
)
def test_what_tells_no_counters_is_an_error(reply: Reply) -> None:
    with pytest.raises(WireError, match="four counters were due"):
        wire.decode_counters(reply)


@pytest.mark.parametrize("line", ["", "o", "o ", "x\t", "O\t", "oo\t", "o\ta\tb", "\to\t", "ok\t"])
def test_what_is_no_reply_is_an_error(line: str) -> None:
    with pytest.raises(WireError, match="was due"):
        wire.decode_reply(line)


@pytest.mark.parametrize(
    "line",
    ["", "Version", "coarse", "coarse E 1", "coarse A", "coarse A 1.5", "coarse A +1", "coarse A 65536", "fine A 1"],
)
def test_what_is_no_command_is_an_error(line: str) -> None:
    with pytest.raises(WireError):
        wire.decode(line)


@pytest.mark.parametrize("command", [Coarse("E", 1), Coarse("a", 1), Coarse("A", 65536), Coarse("A", -65536)])
def test_steps_the_box_cannot_do_are_not_sent(command: Coarse) -> None:
    with pytest.raises(WireError):
        wire.encode(command)


@pytest.mark.parametrize("at", range(1, len(b"o\t1 2 3 4\ro\t\r")))
def test_every_split_of_the_replies_reads_the_same(at: int) -> None:
    data = b"o\t1 2 3 4\ro\t\r"
    splitter = LineSplitter()
    lines = []
    for portion in (data[:at], data[at:]):
        splitter.feed(portion)
        while (line := splitter.next()) is not None:
            lines.append(line)
    assert lines == ["o\t1 2 3 4", "o\t"]


def test_a_line_without_end_is_an_error_and_bounded() -> None:
    splitter = LineSplitter()
    for _ in range(20):
        splitter.feed(b"x" * 300)
        with pytest.raises(WireError):
            splitter.next()
    splitter.feed(b"\ro\t\r")
    assert [splitter.next(), splitter.next()] == ["", "o\t"]


@pytest.mark.parametrize("byte", [0x00, 0x0A, 0x1B, 0x7F, 0x80, 0xFF])
def test_a_byte_that_no_line_has_is_an_error(byte: int) -> None:
    splitter = LineSplitter()
    splitter.feed(b"o\t" + bytes([byte]) + b"\ro\t\r")
    with pytest.raises(WireError):
        splitter.next()
    assert splitter.next() == "o\t"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=300), st.sampled_from([b"coarse A 1", b"o\t", b"0 0 0 0", b"\r"]))))
def test_any_bytes_in_any_portions_are_lines_or_errors(portions: list[bytes]) -> None:
    splitter = LineSplitter()
    for portion in portions:
        splitter.feed(portion)
        for _ in range(len(portion) + 2):
            try:
                line = splitter.next()
            except WireError:
                continue
            if line is None:
                break
            for read in (wire.decode, wire.decode_reply):
                try:
                    read(line)  # type: ignore[operator]
                except WireError:
                    continue
        else:
            pytest.fail("more lines than bytes")


@given(st.sampled_from("ABCD"), st.integers(-wire.MOST_STEPS, wire.MOST_STEPS))
def test_steps_survive_the_wire(channel: str, steps: int) -> None:
    command = Coarse(channel, steps)
    assert wire.decode(wire.encode(command).decode().removesuffix("\r")) == command
