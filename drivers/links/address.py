"""Addresses of links as rig files write them: `sim:NAME`, `serial:PORT?...`, `tcp://`, `udp://` and `http://HOST:PORT`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from urllib.parse import urlsplit

from drivers.clock import Clock
from drivers.errors import Refused
from drivers.links.base import AbortFlag, Link
from drivers.links.serial import SerialLink
from drivers.links.tcp import TcpLink
from drivers.links.udp import UdpLink

FORMS = (
    "sim:NAME, serial:PORT?baudrate=57600&bytesize=7&parity=O&stopbits=1, tcp://HOST:PORT, udp://HOST:PORT "
    "or http://HOST:PORT"
)


class AddressError(Refused, ValueError):
    """An address that names no link."""


@dataclass(frozen=True)
class SimAddress:
    """A simulated device in the same process."""

    name: str

    def __str__(self) -> str:
        return f"sim:{self.name}"


@dataclass(frozen=True)
class SerialAddress:
    """A serial port or pyserial URL, with its line settings (9600 8N1 unless told)."""

    port: str
    baudrate: int = 9600
    bytesize: int = 8
    parity: str = "N"
    stopbits: float = 1

    def __str__(self) -> str:
        settings = [f for f in fields(self)[1:] if getattr(self, f.name) != f.default]
        query = "&".join(f"{f.name}={getattr(self, f.name)}" for f in settings)
        return f"serial:{self.port}?{query}" if query else f"serial:{self.port}"


@dataclass(frozen=True)
class TcpAddress:
    """A TCP port of a host."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True)
class UdpAddress:
    """A UDP port of a host."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"udp://{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True)
class HttpAddress:
    """An HTTP server; `stream` is the ZeroMQ address a detector pushes from, "" where its usual port is meant."""

    host: str
    port: int
    stream: str = ""

    def __str__(self) -> str:
        return f"http://{_bracketed(self.host)}:{self.port}" + (f"?stream={self.stream}" if self.stream else "")


Address = SimAddress | SerialAddress | TcpAddress | UdpAddress | HttpAddress


def parse_address(text: str) -> Address:
    """The address `text` stands for; `str` of it gives the text back. Raises AddressError."""
    scheme, _, rest = text.partition(":")
    if rest and not any(c.isspace() or not c.isprintable() for c in text):
        match scheme:
            case "sim" if all(c.isalnum() or c in "-_" for c in rest):
                return SimAddress(rest)
            case "serial":
                return _serial(text, rest)
            case "tcp":
                return TcpAddress(*_host_and_port(text))
            case "udp":
                return UdpAddress(*_host_and_port(text))
            case "http":
                return _http(text)
    raise AddressError(f'the address "{text}" names no link', way_out=f"Write {FORMS}.")


def open_link(name: str, address: str | Address, clock: Clock, abort: AbortFlag | None = None) -> Link:
    """Open the real link an address names; a simulated device needs its world and is linked by the rig.

    Of an HTTP server it is the link of bytes that an HttpLink works on.

    Raises AddressError, LinkError.
    """
    match parse_address(address) if isinstance(address, str) else address:
        case SerialAddress() as serial:
            return SerialLink(name, clock=clock, abort=abort, **asdict(serial))
        case TcpAddress(host, port):
            return TcpLink(name, host, port, clock, abort)
        case UdpAddress(host, port):
            return UdpLink(name, host, port, clock, abort)
        case HttpAddress(host, port):
            return TcpLink(name, host, port, clock, abort)
        case SimAddress() as simulated:
            raise AddressError(f"{simulated} is no port to open", way_out="Open the rig it belongs to.")


_CHOICES: dict[str, dict[str, int | float | str]] = {
    "bytesize": {"5": 5, "6": 6, "7": 7, "8": 8},
    "parity": {letter: letter for letter in "NEOMS"},
    "stopbits": {"1": 1, "1.5": 1.5, "2": 2},
}


def _serial(text: str, rest: str) -> SerialAddress:
    port, asked, query = rest.partition("?")
    settings: dict[str, int | float | str] = {}
    for item in query.split("&") if asked else []:
        key, _, value = item.partition("=")
        if key in settings:
            raise AddressError(f'the address "{text}" says {key} twice', way_out="Say it once.")
        if key == "baudrate" and value.isascii() and value.isdecimal() and 0 < int(value) < 10**8:
            settings[key] = int(value)
        elif value in _CHOICES.get(key, {}):
            settings[key] = _CHOICES[key][value]
        else:
            known = "baudrate (bits a second), " + ", ".join(f"{k} ({'|'.join(v)})" for k, v in _CHOICES.items())
            raise AddressError(f'the address "{text}" has a setting "{item}"', way_out=f"Known are {known}.")
    if not port:
        raise AddressError(f'the address "{text}" names no port', way_out=f"Write {FORMS}.")
    return SerialAddress(port, **settings)  # type: ignore[arg-type]


def _http(text: str) -> HttpAddress:
    place, asked, query = text.partition("?")
    key, _, stream = query.partition("=")
    if asked and not (key == "stream" and isinstance(_stream_address(stream), TcpAddress)):
        raise AddressError(
            f'the address "{text}" has a setting "{query}"',
            way_out="Known is stream=tcp://HOST:PORT, from where a camera pushes its images.",
        )
    return HttpAddress(*_host_and_port(place), stream)


def _stream_address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except AddressError:
        return None


def _host_and_port(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or text.partition("://")[2].lower() != f"{_bracketed(host)}:{port}":
        scheme = text.partition(":")[0]
        raise AddressError(
            f'the address "{text}" does not say which port of which host',
            way_out=f"Write {scheme}://HOST:PORT and nothing after it.",
        )
    return host, port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
