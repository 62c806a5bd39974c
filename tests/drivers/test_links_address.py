"""Addresses of links, as rig files write them."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock import VirtualClock
from drivers.errors import LinkError, Refused
from drivers.links import AddressError, SerialLink, TcpLink, UdpLink, open_link, parse_address
from drivers.links.address import Address, HttpAddress, SerialAddress, SimAddress, TcpAddress, UdpAddress

HOSTS = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z0-9]{1,5}){0,3}", fullmatch=True) | st.sampled_from(
    ["10.0.0.5", "127.0.0.1", "::1", "fe80::1"]
)
PORTS = st.integers(1, 65535)
ADDRESSES: st.SearchStrategy[Address] = st.one_of(
    st.builds(SimAddress, st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True)),
    st.builds(
        SerialAddress,
        st.sampled_from(["COM3", "COM12", "/dev/ttyUSB0", "loop://", "rfc2217://10.0.0.5:4000"]),
        st.integers(1, 4_000_000),
        st.integers(5, 8),
        st.sampled_from("NEOMS"),
        st.sampled_from([1, 1.5, 2]),
    ),
    st.builds(TcpAddress, HOSTS, PORTS),
    st.builds(UdpAddress, HOSTS, PORTS),
    st.builds(HttpAddress, HOSTS, PORTS),
    st.builds(HttpAddress, HOSTS, PORTS, st.builds(TcpAddress, HOSTS, PORTS).map(str)),
)


@settings(max_examples=200)
@given(ADDRESSES)
def test_an_address_read_back_from_its_text_is_the_same(address: Address) -> None:
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("sim:cryostat", SimAddress("cryostat")),
        ("serial:COM3", SerialAddress("COM3")),
        ("serial:COM3?baudrate=57600&bytesize=7&parity=O", SerialAddress("COM3", 57600, 7, "O")),
        ("serial:loop://?stopbits=1.5", SerialAddress("loop://", stopbits=1.5)),
        ("tcp://10.0.0.5:7777", TcpAddress("10.0.0.5", 7777)),
        ("tcp://Scan-PC:2222", TcpAddress("scan-pc", 2222)),
        ("udp://[::1]:10001", UdpAddress("::1", 10001)),
        ("http://10.0.0.5:80", HttpAddress("10.0.0.5", 80)),
        ("http://det:80?stream=tcp://det:31001", HttpAddress("det", 80, "tcp://det:31001")),
    ],
)
def test_these_texts_mean_these_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("query", ["stream=udp://h:1", "stream=", "stream", "speed=2", "stream=tcp://h:1&speed=2"])
def test_an_http_address_may_say_where_a_camera_streams_from_and_nothing_else(query: str) -> None:
    with pytest.raises(AddressError, match=r"Known is stream=tcp://HOST:PORT"):
        parse_address(f"http://h:80?{query}")


@pytest.mark.parametrize(
    "text",
    ["", "cryostat", "sim:", "sim:a b", "sim:../x", "zmq://10.0.0.5:9999", "COM3", "TCP://h:1"],
)
def test_an_unknown_form_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(AddressError, match=r"names no link\. Write sim:NAME, serial:PORT.*tcp://HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "tcp://10.0.0.5",
        "tcp://10.0.0.5:",
        "tcp://:7777",
        "tcp://10.0.0.5:0",
        "tcp://10.0.0.5:70000",
        "tcp://10.0.0.5:07777",
        "tcp://10.0.0.5:7777/x",
        "tcp://10.0.0.5:7777?x=1",
        "tcp://me@10.0.0.5:7777",
        "tcp:10.0.0.5:7777",
        "udp://[::1:7777",
        "udp://10.0.0.5:٧٧",
    ],
)
def test_half_an_internet_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError, match=r"Write (tcp|udp)://HOST:PORT and nothing after it"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("serial:COM3?baudrate=fast", "baudrate=fast"),
        ("serial:COM3?baudrate=0", "baudrate=0"),
        ("serial:COM3?baudrate=-9600", "baudrate=-9600"),
        ("serial:COM3?bytesize=9", "bytesize=9"),
        ("serial:COM3?parity=odd", "parity=odd"),
        ("serial:COM3?stopbits=3", "stopbits=3"),
        ("serial:COM3?rtscts=1", "rtscts=1"),
        ("serial:COM3?", ""),
        ("serial:COM3?baudrate=9600&&parity=O", ""),
    ],
)
def test_an_unknown_line_setting_is_refused_and_named(text: str, culprit: str) -> None:
    with pytest.raises(AddressError, match="Known are baudrate") as refusal:
        parse_address(text)
    assert f'setting "{culprit}"' in str(refusal.value)


def test_a_line_setting_said_twice_is_refused() -> None:
    with pytest.raises(AddressError, match="says baudrate twice"):
        parse_address("serial:COM3?baudrate=9600&baudrate=57600")


def test_a_serial_address_without_a_port_is_refused() -> None:
    with pytest.raises(AddressError, match="names no port"):
        parse_address("serial:?baudrate=9600")


def test_a_wrong_address_is_a_value_error_for_rig_files_and_a_refusal_for_operators() -> None:
    assert issubclass(AddressError, ValueError)
    assert issubclass(AddressError, Refused)


def test_an_address_opens_the_link_it_names() -> None:
    clock = VirtualClock()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for text, kind in (
            (f"tcp://127.0.0.1:{port}", TcpLink),
            (f"udp://127.0.0.1:{port}", UdpLink),
            ("serial:loop://?baudrate=57600", SerialLink),
        ):
            with closing(open_link("box", text, clock)) as link:
                assert type(link) is kind
                assert link.name == "box"
                assert link.clock is clock


def test_a_simulated_device_is_not_opened_as_a_port() -> None:
    with pytest.raises(AddressError, match="sim:scan is no port to open"):
        open_link("scan", "sim:scan", VirtualClock())


def test_a_box_that_is_not_there_is_a_link_error() -> None:
    with pytest.raises(LinkError, match="no-such-port"):
        open_link("cryostat", "serial:no-such-port", VirtualClock())
