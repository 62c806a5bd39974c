"""PI GCS 2.0 messages, held to the manual's forms from both ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import WireError
from drivers.wire import gcs2 as wire
from drivers.wire.gcs2 import AnswerSplitter, Failure, Misheard, RequestSplitter, Said, hear
from tests.drivers.golden import golden, pairs

# what the manual's lines mean: (as our host says it, what was answered)
MEANT: dict[bytes, tuple[Said, Any]] = {
    b"POS? 2 1\n": (wire.POSITIONS("2", "1"), {"2": -1158.4405, "1": 0.0}),
    b"POS? 1\n": (wire.POSITIONS("1"), {"1": 0.25}),
    b"\x04": (wire.STATUS(), (0x9005,)),
    b"\x05": (wire.MOTION(), 3),
    b"\x07": (wire.READY(), True),
    b"ONT? 1\n": (wire.ON_TARGET("1"), {"1": True}),
    b"TMN? 1\n": (wire.LOWEST("1"), {"1": -6.0}),
    b"ERR?\n": (wire.ERROR(), 10),
    b"CSV?\n": (wire.SYNTAX(), 2.0),
    b"SAI?\n": (wire.AXES(), ("1", "2")),
}
GOLDEN = [(request, reply) for request, reply in pairs(golden("gcs2", "manual")) if reply]


def answers(data: bytes, due: int = 1) -> tuple[tuple[str, ...], ...]:
    splitter = AnswerSplitter()
    splitter.due = due
    splitter.feed(data)
    found = splitter.next()
    assert found is not None
    return found


def heard(data: bytes) -> list[Said]:
    splitter = RequestSplitter()
    splitter.feed(data)
    return list(iter(splitter.next, None))


@pytest.mark.parametrize(("request_", "reply"), GOLDEN, ids=[repr(request) for request, _ in GOLDEN])
def test_both_ends_write_and_read_what_the_manual_shows(request_: bytes, reply: bytes) -> None:
    said, meant = MEANT[request_]
    assert said.encoded() == request_
    assert said.read(answers(reply)[0]) == meant
    (again,) = heard(request_)
    assert (again.message, again.axes) == (said.message, said.axes)
    assert said.read(answers(said.answer(meant))[0]) == meant


def test_a_line_may_move_several_axes() -> None:
    assert hear("MOV 1 10.0") == wire.MOVE.of({"1": 10.0})
    assert hear("mov 1 17.3 2 2.05") == wire.MOVE.of({"1": 17.3, "2": 2.05})
    assert wire.MOVE.of({"1": 17.3, "2": 2.05}).encoded() == b"MOV 1 17.300000 2 2.050000\n"


def test_what_the_makers_client_sends_is_understood() -> None:
    for part in ("client", "stopped"):
        for request, reply in pairs(golden("gcs2", part)):
            (said,) = heard(request)
            assert (said.message.answer is not None) == bool(reply)
            if reply:
                said.read(answers(reply)[0])


def test_the_status_register_names_its_bits() -> None:
    (register,) = wire.STATUS().read(("0x9005",))
    bits = wire.Status
    assert bits(register) == bits.ON_TARGET | bits.SERVO | bits.POSITIVE_LIMIT | bits.NEGATIVE_LIMIT
    assert wire.STATUS().read(("0x90003000",)) == (0x9000, 0x3000)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (wire.POSITIONS("1"), "1=0.25O"),
        (wire.POSITIONS("1"), "1=nan"),
        (wire.POSITIONS("1"), "1=1e3"),
        (wire.POSITIONS("1"), "1="),
        (wire.POSITIONS("1"), "0.25"),
        (wire.POSITIONS("1"), "2=0.25"),
        (wire.POSITIONS("1"), "1= 0.25"),
        (wire.POSITIONS("1"), "11=0.25"),
        (wire.POSITIONS("1", "2"), "1=0.25"),
        (wire.POSITIONS("1", "2"), "2=0.25 \n1=0.5"),
        (wire.ON_TARGET("1"), "1=2"),
        (wire.ON_TARGET("1"), "1=1 "),
        (wire.ERROR(), "zero"),
        (wire.ERROR(), "1=0"),
        (wire.ERROR(), "0 \n0"),
        (wire.MOTION(), "G"),
        (wire.READY(), "1"),
        (wire.READY(), "\xb5"),
        (wire.STATUS(), "9005"),
        (wire.SYNTAX(), "two"),
        (wire.STOP(), "0"),
    ],
)
def test_what_is_not_the_answer_that_is_due_is_an_error(said: Said, text: str) -> None:
    with pytest.raises(WireError):
        said.read(tuple(text.split(" \n")))


def test_the_same_values_in_another_order_answer_another_question() -> None:
    assert wire.POSITIONS("2", "1").read(("2=0.5", "1=0.25")) == {"2": 0.5, "1": 0.25}
    with pytest.raises(WireError, match="axes 1 2 was due, '2 1' came"):
        wire.POSITIONS("1", "2").read(("2=0.5", "1=0.25"))


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        ("FOO", Failure.UNKNOWN_COMMAND),
        ("POS", Failure.UNKNOWN_COMMAND),
        ("MOV", Failure.MISSING_PARAMETER),
        ("MOV 1", Failure.MISSING_PARAMETER),
        ("MOV 1 2.0 3", Failure.MISSING_PARAMETER),
        ("MOV 1 far", Failure.INVALID_NUMBER),
        ("MOV 1 inf", Failure.INVALID_NUMBER),
        ("SVO 1 2", Failure.INVALID_NUMBER),
        ("ERR? 1", Failure.SYNTAX),
        ("*IDN? now", Failure.SYNTAX),
    ],
)
def test_what_no_controller_understands_is_an_error_by_its_number(line: str, failure: Failure) -> None:
    with pytest.raises(Misheard) as error:
        hear(line)
    assert error.value.failure == failure


def test_single_bytes_are_messages_wherever_they_stand() -> None:
    messages = [said.message for said in heard(b"PO\x05S? 1\n\x07\x18ERR?\n\r\n\n")]
    assert messages == [wire.MOTION, wire.POSITIONS, wire.READY, wire.STOP, wire.ERROR]


def test_what_is_no_line_costs_only_itself() -> None:
    splitter = RequestSplitter()
    splitter.feed(b"x" * 5000 + b"\nPOS\xff? 1\nERR?\n")
    for _ in range(2):
        with pytest.raises(Misheard) as error:
            splitter.next()
        assert error.value.failure == Failure.SYNTAX
    assert splitter.next() == wire.ERROR()


def test_a_thousand_empty_lines_are_nothing() -> None:
    assert heard(b"\n" * 10_000) == []


@pytest.mark.parametrize("at", range(1, len(b"0\n1=0.5 \n2=0.25\n")))
def test_every_split_of_the_answers_reads_the_same(at: int) -> None:
    data = b"0\n1=0.5 \n2=0.25\n"
    splitter = AnswerSplitter()
    splitter.due = 2
    splitter.feed(data[:at])
    early = splitter.next()
    splitter.feed(data[at:])
    assert (early, splitter.next()) == (None, (("0",), ("1=0.5", "2=0.25")))


def test_more_than_was_asked_for_is_an_error_and_forgotten() -> None:
    splitter = AnswerSplitter()
    for extra in (b"0\n0\n", b"0\n1=0."):
        splitter.feed(extra)
        with pytest.raises(WireError, match="more came"):
            splitter.next()
    splitter.feed(b"0\n")
    assert splitter.next() == (("0",),)


def test_one_by_one_whatever_follows_an_answer_waits() -> None:
    splitter = AnswerSplitter()
    splitter.due = 0
    splitter.feed(b"1=0.5 \n2=0.25\n0\n7")
    assert [splitter.next() for _ in range(3)] == [(("1=0.5", "2=0.25"),), (("0",),), None]


def test_an_answer_without_end_is_an_error() -> None:
    splitter = AnswerSplitter()
    with pytest.raises(WireError, match="more than"):
        for _ in range(100):
            splitter.feed(b"1=0.5 \n" * 100)
            assert splitter.next() is None
    splitter.feed(b"0\n")
    assert splitter.next() == (("0",),)


@pytest.mark.parametrize("byte", [0x00, 0x05, 0x07, 0x09, 0x0D, 0x7F, 0x80, 0xB2, 0xFF])
def test_a_byte_that_no_answer_has_is_an_error(byte: int) -> None:
    splitter = AnswerSplitter()
    splitter.feed(b"1=0" + bytes([byte]) + b"5\n")
    with pytest.raises(WireError):
        splitter.next()


def test_a_motion_is_never_asked_for_twice_and_a_stop_may_be() -> None:
    for once in (wire.MOVE, wire.REFERENCE, wire.SERVO, wire.VELOCITY, wire.ERROR):
        assert not once.safe
    for again in (wire.STOP, wire.STOP_ALL, wire.HALT, wire.POSITIONS, wire.MOTION, wire.READY):
        assert again.safe


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(0, 3))
def test_any_bytes_in_any_portions_are_answers_or_errors(portions: list[bytes], due: int) -> None:
    splitter = AnswerSplitter()
    splitter.due = due
    for portion in portions:
        splitter.feed(portion)
        try:
            found = splitter.next()
        except WireError:
            continue
        if found is None:
            continue
        assert len(found) == (due or 1)
        for said, _ in MEANT.values():
            try:
                said.read(found[0])
            except WireError:
                continue


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"MOV ", b"1 ", b"2.5", b"POS? ", b"\n"]))))
def test_any_bytes_in_any_portions_are_messages_or_errors(portions: list[bytes]) -> None:
    splitter = RequestSplitter()
    for portion in portions:
        splitter.feed(portion)
        for _ in range(len(portion) + 1):
            try:
                if splitter.next() is None:
                    break
            except Misheard as error:
                assert error.failure in Failure
        else:
            pytest.fail("more messages than bytes")


AXES = st.lists(st.from_regex(r"\A[A-Za-z0-9_]{1,16}\Z"), min_size=1, max_size=6, unique=True)


@settings(max_examples=100, deadline=None)
@given(AXES, st.data())
def test_positions_survive_the_wire_to_half_a_digit(axes: list[str], data: st.DataObject) -> None:
    values = {axis: data.draw(st.floats(-1e6, 1e6)) for axis in axes}
    question = wire.POSITIONS(*axes)
    assert question.read(answers(question.answer(values))[0]) == pytest.approx(values, abs=5.1e-7)
    (moved,) = heard(wire.MOVE.of(values).encoded())
    assert dict(zip(moved.axes, moved.values, strict=True)) == pytest.approx(values, abs=5.1e-7)
