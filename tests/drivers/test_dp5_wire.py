"""DP5 packets against transcripts of the guide and of a client that nobody here wrote."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import WireError
from drivers.wire import dp5
from drivers.wire.dp5 import Ack, BadPacket, Packet, Splitter
from drivers.wire.dp5_status import Device, ListSync, Status, decode_status
from tests.drivers.golden import Line, golden, pairs

GUIDE = golden("dp5", "guide", binary=True)
CLIENT = golden("dp5", "independent client", binary=True)
LIST = golden("dp5", "list mode", binary=True)
RECORDED = Path(__file__).parents[2].parent / "shared" / "vectors" / "dp5" / "conversation.txt"

PACKETS = [bytes_ for request, reply in pairs(GUIDE + CLIENT + LIST) for bytes_ in (request, reply)]


def parsed(data: bytes) -> list[Packet]:
    splitter = Splitter()
    splitter.feed(data)
    found = []
    while (packet := splitter.next()) is not None:
        found.append(packet)
    return found


def replies(lines: list[Line]) -> list[bytes]:
    return [reply for _, reply in pairs(lines)]


def status_of(lines: list[Line], request: dp5.Request) -> Status:
    (reply,) = [answer for asked, answer in pairs(lines) if parsed(asked)[0].pid == request.pid]
    return decode_status(parsed(reply)[0].data[-dp5.STATUS_SIZE :])


@pytest.mark.parametrize("data", PACKETS, ids=range(len(PACKETS)))
def test_every_golden_packet_is_read_and_written_to_the_byte(data: bytes) -> None:
    (packet,) = parsed(data)
    assert packet.encode() == data


def test_the_checked_in_conversation_is_the_recorded_one() -> None:
    if not RECORDED.exists():
        pytest.skip("the recording is not here; its copy is in golden/dp5.txt")
    lines = [line.split() for line in RECORDED.read_text().splitlines() if line[0] in "<>"]
    assert [(mark, bytes.fromhex(data)) for mark, data in lines] == CLIENT


def test_a_long_reply_is_cut_into_the_datagrams_of_the_recording() -> None:
    recorded = [data for mark, data in CLIENT if (mark == "<" and len(data) >= 520) or data.endswith(b"\xe7\x60")]
    assert dp5.datagrams(b"".join(recorded)) == recorded


def test_the_status_reads_as_the_independent_client_read_it() -> None:
    for request in (dp5.STATUS, dp5.SPECTRUM_STATUS):
        status = status_of(CLIENT, request)
        assert (status.fast, status.slow, status.accumulation, status.real) == (5500, 5000, 1005, 1005)
        assert (status.detector, status.enabled, status.device) == (2200, True, Device.PX5)


def test_the_status_survives_the_wire() -> None:
    status = Status(
        1, 2, 3, 123456, 5, 6, 0x69, 0x13, 7, -8, 2100, -9, (0xAA, 1, 2, 3), 4, Device.DP5X, 10, 3, b"x" * 20
    )
    assert decode_status(status.encode()) == status
    assert status.list_sync is ListSync.FRAME and status.list_tick == pytest.approx(100e-9)


def test_a_status_that_no_box_sends_is_an_error() -> None:
    good = Status().encode()
    for at, value in ((12, 100), (39, 6)):
        with pytest.raises(WireError):
            decode_status(good[:at] + bytes((value,)) + good[at + 1 :])


def test_the_spectrum_has_the_counts_of_the_independent_client() -> None:
    (reply,) = [parsed(answer)[0] for asked, answer in pairs(CLIENT) if parsed(asked)[0].pid == dp5.SPECTRUM_STATUS.pid]
    counts = dp5.decode_spectrum(reply.data[: -dp5.STATUS_SIZE])
    assert counts.shape == (1024,) and counts.sum() == 5000 and counts.max() == 0x102


@given(st.lists(st.integers(0, 2**24 - 1), min_size=256, max_size=256))
@settings(max_examples=20)
def test_channels_are_24_bit_little_endian(counts: list[int]) -> None:
    data = dp5.encode_spectrum(np.array(counts))
    assert data == b"".join(count.to_bytes(3, "little") for count in counts)
    assert dp5.decode_spectrum(data).tolist() == counts


def test_text_is_read_back_as_the_independent_client_did() -> None:
    text = next(packet.data for reply in replies(CLIENT) for packet in parsed(reply) if packet.pid == dp5.TEXT_REPLY)
    values = {"MCAC": "1024", "TPEA": "2.4", "PRET": "2.0"}
    assert dp5.decode_text(text) == values
    assert dp5.encode_text(values) == [text]


def test_long_configurations_go_in_packets_of_at_most_512_bytes() -> None:
    values = {f"P{number:03}": "1234567890" for number in range(100)}
    packets = dp5.encode_text(values)
    assert len(packets) == 4 and max(map(len, packets)) <= dp5.LONGEST_TEXT
    assert {name: value for packet in packets for name, value in dp5.decode_text(packet).items()} == values


@pytest.mark.parametrize(
    "text", [b"mcac=1024;", b"MCAC = 1024;", b"MCAC=1024", b"MCAC;", b"", b"MCAC=1024;\n", b"\xff\xff"]
)
def test_text_outside_the_grammar_is_an_error(text: bytes) -> None:
    with pytest.raises(WireError):
        dp5.decode_text(text)


def test_lower_case_is_never_sent() -> None:
    with pytest.raises(ValueError):
        dp5.encode_text({"mcac": "1024"})


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_every_split_of_the_stream_reads_the_same(data: st.DataObject) -> None:
    stream = b"".join(replies(CLIENT))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    splitter, found = Splitter(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        splitter.feed(stream[start:end])
        while (packet := splitter.next()) is not None:
            found.append(packet)
    assert found == parsed(stream) and splitter.pending == 0


def test_a_single_cut_anywhere_in_a_short_reply_reads_the_same() -> None:
    for reply in replies(GUIDE + LIST):
        for cut in range(len(reply)):
            splitter = Splitter()
            splitter.feed(reply[:cut])
            assert splitter.next() is None
            splitter.feed(reply[cut:])
            assert splitter.next() == parsed(reply)[0]


@pytest.mark.parametrize("reply", sorted(set(replies(GUIDE + CLIENT + LIST))), ids=lambda reply: reply[2:4].hex())
def test_a_flipped_bit_is_never_a_value(reply: bytes) -> None:
    step = 1 if len(reply) < 200 else 7  # of a long spectrum every seventh bit, and all of its head
    for bit in [*range(48), *range(48, 8 * len(reply), step)]:
        flipped = bytearray(reply)
        flipped[bit // 8] ^= 1 << bit % 8
        splitter = Splitter()
        splitter.feed(bytes(flipped))
        with suppress(WireError):
            assert splitter.next() is None and splitter.pending  # waits for more, so times out


def test_a_packet_says_what_is_wrong_with_it() -> None:
    good = dp5.STATUS.packet().encode()
    faults = {
        Ack.SYNC: b"\xf5\xfb" + good[2:],
        Ack.PID: b"\xf5\xfa\x55\x01\x00\x00\x00\x00",
        Ack.LENGTH: b"\xf5\xfa\x01\x01\x00\x01\x00\x00\x00",
        Ack.CHECKSUM: good[:-1] + b"\x00",
    }
    for ack, data in faults.items():
        with pytest.raises(BadPacket) as caught:
            parsed(data)
        assert caught.value.ack is ack


def test_what_follows_an_answer_must_be_a_packet() -> None:
    with pytest.raises(BadPacket):
        parsed(dp5.STATUS.packet().encode() + b"\x00")


def test_the_buffer_is_bounded() -> None:
    splitter = Splitter()
    with pytest.raises(WireError):
        for _ in range(1000):
            splitter.feed(bytes(520))


def test_reading_the_list_and_clearing_are_declared_consuming() -> None:
    consuming = {pid for pid, request in dp5.REQUESTS.items() if request.repeat is dp5.Repeat.CONSUMING}
    assert consuming == {dp5.LIST.pid, dp5.SPECTRUM_CLEAR.pid, dp5.SPECTRUM_STATUS_CLEAR.pid}
