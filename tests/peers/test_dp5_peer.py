"""Our DP5 on a real UDP port, asked the questions that a client nobody here wrote has asked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from drivers.clock import RealClock
from drivers.links.udp import UdpLink
from drivers.wire import dp5
from drivers.wire.dp5 import Packet, Splitter
from drivers.wire.dp5_status import decode_status
from simulators.boxes.eds import EdsServer
from simulators.serve import Port, serve
from tests.drivers.golden import golden, pairs
from tests.simulators.eds_bench import Source, a_driver

pytestmark = pytest.mark.peer

CLIENT = pairs(golden("dp5", "independent client", binary=True))


@pytest.fixture
def source() -> Source:
    return Source(RealClock())


@pytest.fixture
def line(source: Source) -> Iterator[UdpLink]:
    clock = source.clock
    assert isinstance(clock, RealClock)
    with serve(clock, {"eds": Port(EdsServer(source), "udp")}) as addresses:
        host, _, port = addresses["eds"].removeprefix("udp://").partition(":")
        link = UdpLink("eds", host, int(port), clock)
        yield link
        link.close()


def answer(link: UdpLink, request: bytes) -> tuple[Packet, list[bytes]]:
    link.write(request)
    splitter = Splitter()
    datagrams: list[bytes] = []
    while (packet := splitter.next()) is None:
        datagrams.append(link.read(0.5))
        assert datagrams[-1], "no datagram came"
        splitter.feed(datagrams[-1])
    return packet, datagrams


def test_the_recorded_client_would_be_answered_as_it_was(line: UdpLink) -> None:
    for request, recorded in CLIENT:
        packet, datagrams = answer(line, request)
        splitter = Splitter()
        splitter.feed(recorded)
        expected = splitter.next()
        assert expected is not None and packet.pid == expected.pid
        assert [len(piece) for piece in datagrams] == [len(piece) for piece in dp5.datagrams(packet.encode())]
        if packet.pid == dp5.TEXT_REPLY:
            asked, found = dp5.decode_text(expected.data), dp5.decode_text(packet.data)
            assert {name: float(value) for name, value in found.items()} == {n: float(v) for n, v in asked.items()}
        else:
            assert len(packet.data) == len(expected.data)


def test_the_recorded_client_would_see_its_counts(line: UdpLink, source: Source) -> None:
    source.shine(source.clock.now() + 0.2 + np.arange(50) * 1e-5, np.full(50, 2013.0))
    enable = next(at for at, (request, _) in enumerate(CLIENT) if request == dp5.ENABLE.packet().encode())
    for request, _ in CLIENT[: enable + 1]:
        answer(line, request)
    source.clock.sleep(0.25)
    packet, datagrams = answer(line, CLIENT[enable + 1][0])
    status = decode_status(packet.data[-dp5.STATUS_SIZE :])
    assert len(datagrams) == 7 and status.enabled and status.fast == status.slow == 50
    assert dp5.decode_spectrum(packet.data[: -dp5.STATUS_SIZE]).sum() == 50


def test_our_driver_maps_a_frame_over_a_real_port(line: UdpLink, source: Source) -> None:
    eds = a_driver(line)
    eds.open()
    eds.arm("e1")
    begins = source.clock.now() + 0.05
    source.frame(begins)
    source.shine(begins + np.array([1e-3, 2e-3]), np.array([525.0, 2013.0]))
    source.clock.sleep(0.1)
    tally = eds.finish()
    assert tally.rest.times == pytest.approx([1e-3, 2e-3], abs=101e-9)
    assert tally.rest.channels.tolist() == [105, 403] and tally.synced and not tally.full
