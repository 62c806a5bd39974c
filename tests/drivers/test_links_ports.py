"""Links on real ports, loopback only; the waits here are wall time and short."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from drivers.clock import RealClock, VirtualClock, wall_seconds
from drivers.errors import Aborted, LinkClosed, LinkError, LinkTimeout
from drivers.links import SerialLink, TcpLink, UdpLink
from drivers.links.port import PortLink
from tests.drivers.toy_box import Toy, signed


@pytest.fixture
def line() -> Iterator[tuple[TcpLink, socket.socket]]:
    """A TCP link and the socket at the box's end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = TcpLink("toy", "127.0.0.1", server.getsockname()[1], RealClock())
        far, _ = server.accept()
        with closing(link), far:
            yield link, far


@pytest.fixture
def datagrams() -> Iterator[tuple[UdpLink, socket.socket]]:
    """A UDP link and the socket at the box's end."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        with closing(UdpLink("eds", "127.0.0.1", far.getsockname()[1], RealClock())) as link:
            yield link, far


@pytest.fixture
def loop() -> Iterator[SerialLink]:
    """A serial link whose box is a wire from output to input."""
    with closing(SerialLink("loop", "loop://", RealClock(), baudrate=57600, bytesize=7, parity="O")) as link:
        yield link


def test_tcp_carries_bytes_both_ways(line: tuple[TcpLink, socket.socket]) -> None:
    link, far = line
    link.write(b"*IDN?\r\n")
    assert far.recv(100) == b"*IDN?\r\n"
    far.sendall(b"LSCI,MODEL336\r\n")
    assert link.read(0.5) == b"LSCI,MODEL336\r\n"


def test_tcp_sends_a_request_at_once(line: tuple[TcpLink, socket.socket]) -> None:
    link, _ = line
    assert link._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_udp_gives_one_datagram_a_read(datagrams: tuple[UdpLink, socket.socket]) -> None:
    link, far = datagrams
    link.write(b"\xf5\xfa")
    request, host = far.recvfrom(100)
    assert request == b"\xf5\xfa"
    far.sendto(b"one", host)
    far.sendto(b"two", host)
    assert [link.read(0.5), link.read(0.5), link.read(0.0)] == [b"one", b"two", b""]


def test_udp_hears_nobody_but_the_box(datagrams: tuple[UdpLink, socket.socket]) -> None:
    link, far = datagrams
    link.write(b"ask")
    _, host = far.recvfrom(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"spoof", host)
    far.sendto(b"answer", host)
    assert link.read(0.5) == b"answer"
    assert link.read(0.05) == b""


def test_an_empty_datagram_is_nothing_and_no_lost_line(datagrams: tuple[UdpLink, socket.socket]) -> None:
    link, far = datagrams
    link.write(b"ask")
    _, host = far.recvfrom(100)
    far.sendto(b"", host)
    far.sendto(b"answer", host)
    assert link.read(0.5) == b"answer"


def test_a_serial_line_carries_bytes(loop: SerialLink) -> None:
    loop.write(b"KRDG? A\r\n")
    heard = b""
    while len(heard) < 9:
        piece = loop.read(0.5)
        assert piece
        heard += piece
    assert heard == b"KRDG? A\r\n"


def test_line_settings_reach_the_port(loop: SerialLink) -> None:
    port = loop._line
    assert (port.baudrate, port.bytesize, port.parity, port.stopbits) == (57600, 7, "O", 1)


@pytest.fixture(params=["line", "datagrams", "loop"])
def silent(request: pytest.FixtureRequest) -> PortLink:
    """A link to a box that says nothing."""
    fixture = request.getfixturevalue(request.param)
    link = fixture if isinstance(fixture, PortLink) else fixture[0]
    assert isinstance(link, PortLink)
    return link


def test_a_silent_port_is_waited_for_as_long_as_asked(silent: PortLink) -> None:
    began = wall_seconds()
    assert silent.read(0.12) == b""
    assert 0.12 <= wall_seconds() - began < 0.4


def test_looking_without_waiting_does_not_wait(silent: PortLink) -> None:
    began = wall_seconds()
    assert silent.read(0.0) == b""
    assert wall_seconds() - began < 0.04


def test_an_abort_ends_the_wait_on_a_real_port(silent: PortLink) -> None:
    stop = threading.Timer(0.05, silent.abort.set)
    began = wall_seconds()
    stop.start()
    with pytest.raises(Aborted):
        silent.read(0.5)
    assert wall_seconds() - began < 0.05 + 0.05 + 0.2  # the last for a busy machine
    stop.join()


def test_a_closed_port_says_so(silent: PortLink) -> None:
    silent.close()
    silent.close()
    with pytest.raises(LinkClosed):
        silent.read(0.0)
    with pytest.raises(LinkClosed):
        silent.write(b"x")


def test_tcp_closed_from_the_far_end_is_lost_after_its_last_bytes(line: tuple[TcpLink, socket.socket]) -> None:
    link, far = line
    far.sendall(b"bye")
    far.close()
    assert link.read(0.5) == b"bye"
    with pytest.raises(
        LinkClosed, match=rf"toy to tcp://127\.0\.0\.1:{link.port} was lost \(closed from the far end\)"
    ):
        link.read(0.5)
    assert link.closed


def test_a_box_that_takes_no_bytes_is_a_time_out(line: tuple[TcpLink, socket.socket]) -> None:
    link, far = line
    for side, option in ((link._socket, socket.SO_SNDBUF), (far, socket.SO_RCVBUF)):
        side.setsockopt(socket.SOL_SOCKET, option, 4096)
    began = wall_seconds()
    with pytest.raises(LinkTimeout, match=r"took no byte for 0\.5 s"):
        link.write(bytes(32 << 20))
    assert wall_seconds() - began < 3.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nobody_at_the_port_is_an_error_with_the_address() -> None:
    port = _free_port()
    with pytest.raises(LinkError, match=rf"^the link toy cannot reach tcp://127\.0\.0\.1:{port} .*Is the box on"):
        TcpLink("toy", "127.0.0.1", port, RealClock(), connect_timeout=5.0)


def test_a_box_switched_on_again_answers_the_next_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        address = far.getsockname()
    with closing(UdpLink("eds", *address, RealClock())) as link:
        with suppress(LinkError):  # some systems do not tell
            link.write(b"anybody?")
            assert link.read(0.2) == b""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
            far.bind(address)
            with suppress(LinkError):
                link.drain()
            link.write(b"now?")
            _, host = far.recvfrom(100)
            far.sendto(b"yes", host)
            assert link.read(0.5) == b"yes"


@pytest.mark.skipif(sys.platform != "linux", reason="tells only here that nobody listens")
def test_nobody_listening_is_told_at_the_next_read() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        address = far.getsockname()
    with closing(UdpLink("eds", *address, RealClock())) as link:
        link.write(b"anybody?")
        with pytest.raises(LinkError, match=rf"eds cannot reach udp://127\.0\.0\.1:{address[1]}"):
            link.read(0.5)


def test_an_unknown_serial_port_is_an_error_that_names_it() -> None:
    with pytest.raises(LinkError, match="cannot open the serial port no-such-port"):
        SerialLink("cryostat", "no-such-port", RealClock())


def test_impossible_line_settings_are_an_error() -> None:
    with pytest.raises(LinkError, match="cannot open"):
        SerialLink("cryostat", "loop://", RealClock(), parity="X")


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on Windows")
def test_a_serial_adapter_pulled_out_is_a_lost_line() -> None:
    far, near = os.openpty()
    with closing(SerialLink("cryostat", os.ttyname(near), RealClock(), baudrate=57600)) as link:
        os.write(far, b"+077.350\r\n")
        assert link.read(0.5) == b"+077.350\r\n"
        os.close(far)
        os.close(near)
        with pytest.raises(LinkClosed, match=r"cryostat on .* was lost"):
            link.read(0.5)


def test_time_outs_on_a_port_are_wall_time_however_fast_the_rig_runs() -> None:
    rig = RealClock(speed=1000.0)  # 20 ms are 20 s of rig time
    reply = signed("T +77.350")
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = TcpLink("toy", "127.0.0.1", server.getsockname()[1], rig)
        far, _ = server.accept()
        with closing(link), far:
            pieces = [threading.Timer(0.02, far.sendall, [reply[:4]]), threading.Timer(0.06, far.sendall, [reply[4:]])]
            for piece in pieces:
                piece.start()
            assert Toy(link).temperature("A") == 77.350
            for piece in pieces:
                piece.join()


def test_a_silent_port_is_a_time_out_although_the_rig_clock_stands_still() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = TcpLink("toy", "127.0.0.1", server.getsockname()[1], VirtualClock())
        with closing(link), pytest.raises(LinkTimeout):
            Toy(link, timeout=0.1).events()
